use devp2p_server::Event;

use super::*;

#[tokio::test]
async fn peers_come_and_go_as_geth_tells_it() {
    let (handle, running, folder) = with_ipc(1).await;
    let other = server(2).await;
    let mut ipc = Ipc::connect(&folder).await;
    let mut watcher = Ipc::connect(&folder).await;
    let id = watcher.call("admin_subscribe", json!(["peerEvents"])).await.unwrap();
    assert!(id.as_str().unwrap().starts_with("0x"));
    let enode = other.node_info().enode.to_enode();
    assert_eq!(ipc.call("admin_addPeer", json!([enode])).await, Ok(true.into()));

    let mut events = Vec::new();
    while events.len() < 3 {
        let told = watcher.hear().await.unwrap();
        assert_eq!(told["method"], "admin_subscription");
        assert_eq!(told["params"]["subscription"], id);
        events.push(told["params"]["result"].clone());
    }
    let peer = &ipc.call("admin_peers", json!([])).await.unwrap()[0];
    let network = &peer["network"];
    let other_id = other.node_info().id.to_string();
    let about = |kind: &str| {
        json!({
            "type": kind, "peer": other_id,
            "local": network["localAddress"], "remote": network["remoteAddress"],
        })
    };
    let mut message = about("msgsend");
    message.as_object_mut().unwrap().extend([
        ("protocol".to_owned(), "greet".into()),
        ("msg_code".to_owned(), 3.into()),
        ("msg_size".to_owned(), 20.into()),
    ]);
    assert_eq!(events[0], about("add"));
    assert!(events[1..].contains(&message), "{events:?}");
    message["type"] = "msgrecv".into();
    assert!(events[1..].contains(&message), "{events:?}");

    let remote = other.node_info().listen_addr.unwrap().to_string();
    let local = network["localAddress"].clone();
    assert!(local.as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(
        *peer,
        json!({
            "enode": enode.split('?').next(),
            "id": other_id,
            "name": "test-2",
            "caps": ["greet/1"],
            "network": {
                "localAddress": local, "remoteAddress": remote,
                "inbound": false, "trusted": false, "static": true,
            },
            "protocols": { "greet": "unknown" },
        })
    );
    assert_eq!(ipc.call("net_peerCount", json!([])).await, Ok("0x1".into()));
    assert_eq!(ipc.call("admin_addTrustedPeer", json!([enode])).await, Ok(true.into()));
    let peers = ipc.call("admin_peers", json!([])).await.unwrap();
    assert_eq!(peers[0]["network"]["trusted"], true);
    assert_eq!(ipc.call("admin_removeTrustedPeer", json!([enode])).await, Ok(true.into()));

    assert_eq!(ipc.call("admin_removePeer", json!([enode])).await, Ok(true.into()));
    assert_eq!(handle.peer_count(), 0);
    let mut dropped = about("drop");
    dropped["error"] = "disconnect requested".into();
    assert_eq!(watcher.hear().await.unwrap()["params"]["result"], dropped);
    assert_eq!(ipc.call("net_peerCount", json!([])).await, Ok("0x0".into()));

    // Who asks for no more is told no more.
    let not_found = Err((-32000, "subscription not found".to_owned()));
    assert_eq!(ipc.call("admin_unsubscribe", json!([id])).await, not_found);
    assert_eq!(watcher.call("admin_unsubscribe", json!([id])).await, Ok(true.into()));
    assert_eq!(watcher.call("admin_unsubscribe", json!([id])).await, not_found);
    running.stop().await;
    other.stop().await;
    handle.stop().await;
}

#[tokio::test]
async fn a_node_tells_of_itself() {
    let (handle, running, folder) = with_ipc(3).await;
    let mut ipc = Ipc::connect(&folder).await;
    let info = handle.node_info();
    let port = info.listen_addr.unwrap().port();
    assert_eq!(
        ipc.call("admin_nodeInfo", json!([])).await.unwrap(),
        json!({
            "id": info.id.to_string(),
            "name": "test-3",
            "enode": info.enode.to_enode(),
            "enr": info.enr.to_string(),
            "ip": "127.0.0.1",
            "ports": { "discovery": 0, "listener": port },
            "listenAddr": format!("127.0.0.1:{port}"),
            "protocols": { "greet": { "greets": true } },
        })
    );
    let mut told = async |method| ipc.call(method, json!([])).await.unwrap();
    assert_eq!(told("admin_datadir").await, folder.0.to_str().unwrap());
    assert_eq!(told("web3_clientVersion").await, "test-3");
    assert_eq!(told("net_version").await, "0");
    assert_eq!(told("debug_discoveryV4Table").await, Value::Null);
    assert_eq!(told("debug_discoveryV5Table").await, Value::Null);
    let modules =
        json!({ "admin": "1.0", "debug": "1.0", "net": "1.0", "rpc": "1.0", "web3": "1.0" });
    assert_eq!(told("rpc_modules").await, modules);
    assert_eq!(told("net_listening").await, true);
    handle.stop().await;
    let mut events = handle.events();
    assert_eq!(events.next().await, None::<Event>);
    while told("net_listening").await == true {
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn bad_calls_are_refused_as_geth_refuses_them() {
    let (_handle, running, folder) = with_ipc(4).await;
    let mut ipc = Ipc::connect(&folder).await;
    let refused = |code: i64, why: &str| Err((code, why.to_owned()));
    for method in ["addPeer", "removePeer", "addTrustedPeer", "removeTrustedPeer"] {
        let answer = ipc.call(&format!("admin_{method}"), json!(["enode://x"])).await;
        let (code, why) = answer.unwrap_err();
        assert_eq!(code, -32000);
        assert!(why.starts_with("invalid enode: "), "{why}");
    }
    for (method, params, code, why) in [
        ("admin_addPeer", json!([]), -32602, "missing value for required argument 0"),
        ("admin_addPeer", json!([1]), -32602, "invalid argument 0: wants a string, not 1"),
        ("admin_peers", json!([1]), -32602, "too many arguments, want at most 0"),
        ("admin_peers", json!({}), -32602, "non-array args"),
        ("admin_x", json!([]), -32601, "the method admin_x does not exist/is not available"),
        ("admin_subscribe", json!(["x"]), -32601, "no \"x\" subscription in admin namespace"),
    ] {
        assert_eq!(ipc.call(method, params).await, refused(code, why), "{method}");
    }
    for (text, code) in [("{}", -32600), ("[]", -32600), ("{\"a\":}", -32700), ("[1]", 0)] {
        ipc.say(text).await;
        let answer = ipc.hear().await.unwrap();
        match answer {
            Value::Array(answers) => assert_eq!(answers[0]["error"]["code"], -32600),
            answer => assert_eq!(answer["error"]["code"], code, "{text}"),
        }
    }
    // A call without an id is none to answer; the next one is.
    ipc.say(r#"{"jsonrpc":"2.0","method":"net_version"}"#).await;
    assert_eq!(ipc.call("net_version", Value::Null).await, Ok("0".into()));
    running.stop().await;
}

#[tokio::test]
async fn calls_come_in_batches_and_pieces() {
    let (_handle, running, folder) = with_ipc(5).await;
    let mut ipc = Ipc::connect(&folder).await;
    let call = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "net_version" });
    let without_id = json!({ "jsonrpc": "2.0", "method": "net_version" });
    let text = format!("{} {}", json!([call(1), without_id, call(2)]), call(3));
    for piece in text.as_bytes().chunks(5) {
        ipc.stream.write_all(piece).await.unwrap();
    }
    let answers = ipc.hear().await.unwrap();
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(ipc.hear().await.unwrap()["id"], 3);
    running.stop().await;
}

#[tokio::test]
async fn one_port_answers_http_and_websocket_with_what_each_opens() {
    let handle = server(6).await;
    let folder = Folder::new();
    let options = Options {
        http: Some(site(&["net"])),
        ws: Some(site(&["admin", "x"])),
        ipc: Some(folder.ipc()),
    };
    let running = start(options, Node::new(handle.clone(), None)).await.unwrap();
    let (http, ws) = (running.http().unwrap(), running.ws().unwrap());
    assert_eq!(http, ws);
    assert_eq!(ask(http, "rpc_modules").await.unwrap(), json!({ "net": "1.0", "rpc": "1.0" }));
    assert_eq!(ask(http, "net_listening").await, Ok(true.into()));
    for closed in ["admin_peers", "web3_clientVersion", "admin_subscribe", "debug_discoveryV4Table"]
    {
        assert_eq!(ask(http, closed).await.unwrap_err().0, -32601, "{closed}");
    }
    let mut client = limits::WebSocket::connect(ws).await;
    let modules = client.call("rpc_modules", json!([])).await;
    assert_eq!(modules, Ok(json!({ "admin": "1.0", "rpc": "1.0" })));
    let id = client.call("admin_subscribe", json!(["peerEvents"])).await.unwrap();
    // One client's subscription is not another's, whichever way they came.
    let mut ipc = Ipc::connect(&folder).await;
    let other_id = ipc.call("admin_subscribe", json!(["peerEvents"])).await.unwrap();
    assert_ne!(other_id, id);
    let other = server(7).await;
    handle.add_peer(other.node_info().enode);
    let told = client.hear().await.unwrap();
    assert_eq!(told["params"]["subscription"], id);
    assert_eq!(told["params"]["result"]["type"], "add");
    assert_eq!(ipc.hear().await.unwrap()["params"]["result"]["type"], "add");
    running.stop().await;
    // What was on its way, and then the end.
    while client.hear().await.is_some() {}
    // The port is free.
    tokio::net::TcpListener::bind(http).await.unwrap();
}
