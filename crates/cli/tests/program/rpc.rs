use std::fs;

use serde_json::{Value, json};

use crate::tool::{Running, devp2p, stdout_of};

/// A node with a folder of its own, and the folder.
fn node(name: &str, more: &[&str]) -> (Running, String, Value) {
    // Short, for the path of a socket is.
    let folder = std::env::temp_dir().join(format!("devp2p-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let folder = folder.to_str().unwrap().to_owned();
    let common = ["run", "--json", "--addr", "127.0.0.1:0", "--nodiscover", "--datadir", &folder];
    let mut node = Running::start([&common, more].concat());
    let ready = node.event("ready");
    (node, folder, ready)
}

fn attach(to: &[&str], call: &[&str]) -> Value {
    serde_json::from_str(&stdout_of([&["attach"], to, call].concat())).unwrap()
}

#[test]
fn a_node_is_administered_over_its_socket() {
    let (first, folder, ready) = node("first", &[]);
    let (second, other_folder, _) = node("second", &["--ipcpath", "other"]);
    let to = ["--datadir", folder.as_str()];
    let socket = format!("{other_folder}/other");
    assert_eq!(attach(&to, &["admin_datadir"]), folder);
    assert_eq!(attach(&to, &["admin.nodeInfo"])["id"], ready["id"]);
    assert_eq!(attach(&to, &["net_listening"]), true);
    let enode = ready["enode"].as_str().unwrap();
    assert_eq!(attach(&["--to", &socket], &["admin_addPeer", enode]), true);
    while attach(&to, &["net_peerCount"]) != "0x1" {}
    let peers = attach(&["--to", &socket], &["admin_peers"]);
    assert_eq!((&peers[0]["id"], &peers[0]["network"]["static"]), (&ready["id"], &json!(true)));

    let dials = attach(&["--to", &socket], &["admin_dialStatus"]);
    assert_eq!(
        (&dials["dialed"], &dials["recent"][0]["outcome"]),
        (&json!(1), &json!("connected"))
    );
    assert_eq!(attach(&to, &["admin_disconnects"]), json!([]));

    assert_eq!(attach(&to, &["admin_banPeer", "203.0.113.0/24", "60"]), true);
    assert_eq!(attach(&to, &["admin_bans"])[0]["target"], "203.0.113.0/24");

    let refused = devp2p(["attach", to[0], to[1], "admin_addPeer", "enode://x"]);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.starts_with("error: invalid enode: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);

    for node in [first, second] {
        assert_eq!(node.signal("INT"), (Some(0), String::new()));
    }
    let gone = devp2p(["attach", to[0], to[1], "net_version"]);
    assert_eq!(gone.status.code(), Some(1));
    for folder in [folder, other_folder] {
        let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name());
        let mut files: Vec<_> = files.collect();
        files.sort();
        assert_eq!(files, ["nodekey", "nodes"]);
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn over_http_and_websocket_only_what_was_opened_can_be_called() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let taken =
        devp2p(["run", "--addr", "127.0.0.1:0", "--nodiscover", "--http", "--http.port", &port]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("--http: cannot listen on"));
    drop(listener);
    let web = ["--http", "--http.port", &port, "--ws", "--ws.port", &port, "--ipcdisable"];
    let (node, folder, _) = node("web", &web);
    for scheme in ["http", "ws"] {
        let to = format!("{scheme}://127.0.0.1:{port}");
        assert_eq!(attach(&["--to", &to], &["net_peerCount"]), "0x0");
        let modules = json!({ "net": "1.0", "rpc": "1.0", "web3": "1.0" });
        assert_eq!(attach(&["--to", &to], &["rpc_modules"]), modules);
        let closed = devp2p(["attach", "--to", &to, "admin_peers"]);
        assert_eq!(closed.status.code(), Some(1));
        let stderr = String::from_utf8(closed.stderr).unwrap();
        let why = "error: the method admin_peers does not exist/is not available (code -32601)\n";
        assert_eq!(stderr, why);
    }
    assert_eq!(node.signal("INT"), (Some(0), String::new()));
    fs::remove_dir_all(folder).unwrap();
}
