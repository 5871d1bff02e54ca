//! Messages that are made in unusual ways.

use jsonrpsee::{Methods, RpcModule};

use super::*;
use crate::rpc::{
    calls::{Calls, MAX_ANSWER, Numbers},
    params,
};

/// Methods without a server: one that says how often it was called, and one with a long answer.
fn calls() -> Calls {
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let mut module = RpcModule::new(counter);
    module
        .register_method("test_count", |params, counter, _| {
            params::none(&params)?;
            let count = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, jsonrpsee::types::ErrorObjectOwned>(count)
        })
        .unwrap();
    module.register_method("test_long", |_, _, _| "x".repeat(MAX_ANSWER / 3)).unwrap();
    Calls::new(Methods::from(module), &std::sync::Arc::new(Numbers::default()))
}

async fn answer(calls: &Calls, message: &str) -> Option<Value> {
    let answer = calls.answer(message.as_bytes(), None).await?;
    Some(serde_json::from_str(answer.get()).unwrap())
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_sent() {
    let calls = calls();
    for id in ["7", "-1", "1.50", "true", "null", r#""a\u0062""#, "123456789012345678901234567890"]
    {
        for (method, field) in [("test_count", "result"), ("test_none", "error")] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
            let answer = calls.answer(message.as_bytes(), None).await.unwrap();
            let start = format!(r#"{{"jsonrpc":"2.0","id":{id},"{field}""#);
            // The library writes the ids that it knows in its own way.
            let plain = answer.get().replace(r#""ab""#, r#""a\u0062""#);
            assert!(plain.starts_with(&start), "{id}: {plain}");
        }
    }
    let wrong =
        answer(&calls, r#"{"jsonrpc":"2.0","id":[1],"method":"test_count"}"#).await.unwrap();
    assert_eq!((&wrong["id"], &wrong["error"]["code"]), (&Value::Null, &json!(-32600)));
    let wrong = answer(&calls, r#"{"jsonrpc":"1.0","id":-3,"method":"test_count"}"#).await.unwrap();
    assert_eq!((&wrong["id"], &wrong["error"]["code"]), (&json!(-3), &json!(-32600)));
    assert_eq!(answer(&calls, r#"{"jsonrpc":"2.0","method":"test_count"}"#).await, None);
}

#[tokio::test]
async fn arguments_are_plain_and_no_more_than_asked_for() {
    let calls = calls();
    for (params, wanted) in [
        (format!("[{}0]", r#"{"":0},"#.repeat(1_000)), "too many arguments, want at most 0"),
        ("{}".to_owned(), "non-array args"),
    ] {
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"test_count","params":{params}}}"#);
        assert_eq!(answer(&calls, &message).await.unwrap()["error"]["message"], wanted);
    }
    let one = jsonrpsee::types::Params::new(Some(r#"[{"":[[[]]]}]"#));
    let error = params::one_text(&one).unwrap_err();
    assert_eq!(error.message(), "invalid argument 0: wants a plain value");
}

#[tokio::test]
async fn a_batch_keeps_what_was_answered_before_it_got_too_long() {
    let calls = calls();
    let call =
        |id: &str, method: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
    let messages = [
        call("1", "test_count"),
        call("-2", "test_long"),
        call("3", "test_long"),
        call("4", "test_long"),
        call("5.5", "test_count"),
        r#"{"jsonrpc":"2.0","method":"test_count"}"#.to_owned(),
    ];
    let answers = answer(&calls, &format!("[{}]", messages.join(","))).await.unwrap();
    let told: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["id"].to_string(), it["error"]["code"].as_i64()))
        .collect();
    let wanted =
        [("1", None), ("-2", None), ("3", None), ("4", Some(-32003)), ("5.5", Some(-32003))];
    assert_eq!(told, wanted.map(|(id, code)| (id.to_owned(), code)));
    let count = answer(&calls, &call("1", "test_count")).await.unwrap();
    assert_eq!(count["result"], 1, "what comes after that is not called");
}

#[tokio::test]
async fn a_batch_of_too_many_calls_is_refused_to_the_first() {
    let calls = calls();
    let batch = vec![r#"{"jsonrpc":"2.0","id":"x","method":"test_count"}"#; 1_001].join(",");
    let answer = answer(&calls, &format!("[{batch}]")).await.unwrap();
    assert_eq!(answer[0]["id"], "x");
    assert_eq!(answer[0]["error"]["message"], "batch too large");
    assert_eq!(answer.as_array().unwrap().len(), 1);
}
