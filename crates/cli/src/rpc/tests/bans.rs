use super::*;
use crate::clock;

#[tokio::test]
async fn who_is_banned_is_disconnected_and_told() {
    let (handle, running, folder) = with_ipc(13).await;
    let mut ipc = Ipc::connect(&folder).await;
    let other = server(14).await;
    let node = other.node_info().enode;
    handle.add_peer(node.clone());
    let until = |count| {
        let handle = handle.clone();
        let reached = async move {
            while handle.peer_count() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), reached)
    };
    until(1).await.unwrap();
    assert_eq!(ipc.call("admin_bans", json!([])).await, Ok(json!([])));

    // By its URL, for good.
    assert_eq!(ipc.call("admin_banPeer", json!([node.to_enode()])).await, Ok(true.into()));
    until(0).await.unwrap();
    let id = node.id().to_string();
    let for_good = json!({ "target": id, "until": null });
    assert_eq!(ipc.call("admin_bans", json!([])).await, Ok(json!([for_good])));

    // A network, for a while.
    let before = clock::unix().as_secs();
    let banned = ipc.call("admin_banPeer", json!(["203.0.113.7/24", 3_600])).await;
    assert_eq!(banned, Ok(true.into()));
    let after = clock::unix().as_secs();
    let bans = ipc.call("admin_bans", json!([])).await.unwrap();
    let ban = bans.as_array().unwrap().iter().find(|ban| ban["target"] == "203.0.113.0/24");
    let until = ban.unwrap()["until"].as_str().unwrap();
    let at = |seconds| super::super::times::rfc3339(Duration::from_secs(seconds));
    assert!((at(before + 3_600)..=at(after + 3_600)).contains(&until.to_owned()), "{until}");
    assert_eq!(bans.as_array().unwrap().len(), 2);

    for target in [id.as_str(), "203.0.113.0/24"] {
        assert_eq!(ipc.call("admin_unbanPeer", json!([target])).await, Ok(true.into()));
        assert_eq!(ipc.call("admin_unbanPeer", json!([target])).await, Ok(false.into()));
    }
    assert_eq!(ipc.call("admin_bans", json!([])).await, Ok(json!([])));
    other.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn bans_that_cannot_be_made_are_refused() {
    let (handle, running, folder) = with_ipc(15).await;
    let mut ipc = Ipc::connect(&folder).await;
    let refused = |code: i64, why: &str| Err((code, why.to_owned()));
    let seconds = "invalid argument 1: wants seconds, more than 0, not ";
    for (method, params, code, why) in [
        ("admin_banPeer", json!([]), -32602, "missing value for required argument 0"),
        ("admin_banPeer", json!([5]), -32602, "invalid argument 0: wants a string, not 5"),
        ("admin_banPeer", json!(["10.0.0.1", 0]), -32602, &format!("{seconds}0")),
        ("admin_banPeer", json!(["10.0.0.1", -1]), -32602, &format!("{seconds}-1")),
        ("admin_banPeer", json!(["10.0.0.1", "1h"]), -32602, &format!("{seconds}\"1h\"")),
        ("admin_banPeer", json!(["10.0.0.1", 1, 2]), -32602, "too many arguments, want at most 2"),
        ("admin_unbanPeer", json!([]), -32602, "missing value for required argument 0"),
        ("admin_bans", json!([1]), -32602, "too many arguments, want at most 0"),
    ] {
        assert_eq!(ipc.call(method, params).await, refused(code, why), "{method}");
    }
    for method in ["admin_banPeer", "admin_unbanPeer"] {
        let (code, why) = ipc.call(method, json!(["example.org"])).await.unwrap_err();
        assert_eq!(code, -32000);
        assert!(why.starts_with("invalid target: "), "{why}");
    }
    assert_eq!(handle.bans(), []);
    running.stop().await;
}
