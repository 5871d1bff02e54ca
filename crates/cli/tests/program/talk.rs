//! `devp2p discv5 talk`, and `listen --echo`, which answers it.

use std::{net::UdpSocket, str};

use devp2p_core::{Node, NodeKey};
use serde_json::json;

use crate::discovery::V5;

#[test]
fn a_request_comes_back() {
    let (mut node, record) = V5.listener(&["--echo", "parrot"]);
    let enr = record.to_string();
    let enode = Node::from_record(record.clone()).to_enode();
    for (url, request, answer) in [
        (&enr, "hello, you", "hello, you\n"),
        (&enode, "0x00ff", "0x00ff\n"),
        (&enr, "0x6869", "hi\n"),
        (&enode, "", "0x\n"),
    ] {
        let options = ["--protocol", "parrot", "--request", request];
        assert_eq!(V5.ask("talk", url, &options), answer);
        let talk = node.event("talk");
        assert_eq!((&talk["protocol"], &talk["error"]), (&json!("parrot"), &json!(null)));
        assert_eq!(talk["request"], answer.trim_end());
    }

    let options = ["--protocol", "0x706172726f74", "--request", "hello"];
    let expected = json!({
        "event": "talk", "id": record.id().to_string(),
        "addr": format!("127.0.0.1:{}", record.udp().unwrap()),
        "protocol": "parrot", "response": "hello",
    });
    assert_eq!(V5.ask_json("talk", &enr, &options), expected);

    // A protocol that it does not speak.
    assert_eq!(V5.ask("talk", &enr, &["--protocol", "parro", "--request", "hello"]), "0x\n");
    assert_eq!(node.signal("INT"), (Some(0), String::new()));
}

#[test]
fn who_does_not_answer_is_told_in_one_line_with_exit_code_1() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let key = NodeKey::from_hex(&"1".repeat(64)).unwrap().public_key();
    let enode = format!("enode://{key}@{}", silent.local_addr().unwrap());
    let output = V5.ask_once("talk", &enode, &["--protocol", "parrot"]);
    let stderr = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr, "error: node didn't respond: no answer in time\n");
    assert!(output.stdout.is_empty());
}
