//! The RPC of `devp2p run`, as clients of go-ethereum's know it: asked by go-ethereum's client and by
//! web3.py, and compared with what a node of go-ethereum answers.

use std::{env, fs, net::TcpListener, path::PathBuf};

use devp2p_core::Node;
use devp2p_interop::{GethNode, OurPrograms, RunningProgram, Web3};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

/// A folder of one test, removed with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        // Short, for the path of a socket is.
        let folder = env::temp_dir().join(format!("devp2p-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Our node, and where it is asked.
struct Ours {
    running: RunningProgram,
    /// Over the socket, HTTP and WebSocket.
    urls: [String; 3],
}

impl Ours {
    async fn start(folder: &Folder, known: Option<&Node>) -> Self {
        let (http, ws) = (free_port(), free_port());
        let config = folder.path("config.toml");
        fs::write(&config, "[Node.P2P]\nEnableMsgEvents = true\n").unwrap();
        let datadir = folder.path("ours");
        let known = known.map(ToString::to_string).unwrap_or_default();
        let mut options = vec!["--config", &config, "--datadir", &datadir, "--nat", "none"];
        let apis = "admin,debug,net,web3";
        let (http_port, ws_port) = (http.to_string(), ws.to_string());
        options.extend(["--http", "--http.port", &http_port, "--http.api", apis]);
        options.extend(["--ws", "--ws.port", &ws_port, "--ws.api", apis]);
        match known.is_empty() {
            true => options.push("--nodiscover"),
            false => options.extend(["--discovery", "v4", "--bootnodes", &known]),
        }
        let running = OurPrograms::get().run(&options).await;
        let urls = [
            format!("{datadir}/devp2p.ipc"),
            format!("http://127.0.0.1:{http}"),
            format!("ws://127.0.0.1:{ws}"),
        ];
        Self { running, urls }
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn call(geth: &'static GethNode, url: &str, method: &str, arguments: &[Value]) -> Value {
    let (url, method, arguments) = (url.to_owned(), method.to_owned(), arguments.to_vec());
    spawn_blocking(move || geth.call(&url, &method, &arguments)).await.unwrap()
}

/// A result that is not empty, once there is one.
async fn filled(geth: &'static GethNode, url: &str, method: &str) -> Value {
    for _ in 0..200 {
        let answer = call(geth, url, method, &[]).await;
        let result = answer.get("result").unwrap();
        let buckets = result.as_array().unwrap();
        if buckets.iter().any(|it| it.as_array().is_none_or(|nodes| !nodes.is_empty())) {
            return result.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{method} of {url} stays empty");
}

/// The names and the JSON types of a value; of a list those of its elements, which are all alike.
/// What subprotocols tell is their affair.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(items) => {
            let mut shapes: Vec<_> = items.iter().map(shape).collect();
            shapes.dedup();
            shapes.into()
        }
        Value::Object(fields) => {
            let shapes = fields.iter().map(|(name, value)| {
                let is_free = name == "protocols" && value.is_object();
                (name.clone(), if is_free { "object".into() } else { shape(value) })
            });
            shapes.collect::<Map<_, _>>().into()
        }
    }
}

/// The nodes of all buckets.
fn nodes(table: &Value) -> Value {
    let buckets = table.as_array().unwrap();
    assert_eq!(buckets.len(), 17);
    buckets.iter().flat_map(|nodes| nodes.as_array().unwrap().clone()).collect()
}

#[tokio::test]
async fn answers_have_the_shape_of_go_ethereums() {
    let Some(geth) = devp2p_interop::geth_node() else { return };
    let folder = Folder::new("shape");
    let theirs = geth.node(folder.0.join("geth").as_path()).await;
    let ours = Ours::start(&folder, None).await;
    let [ipc, http, ws] = &ours.urls;
    let mut told_by_us = [geth.watch(ipc).await, geth.watch(ws).await];
    let mut told_by_geth = geth.watch(theirs.ipc()).await;

    let enode = json!(theirs.node().to_enode());
    let added = call(geth, http, "admin_addPeer", std::slice::from_ref(&enode)).await;
    assert_eq!(added["result"], true);
    for kind in ["add", "msgsend", "msgrecv"] {
        let of_geth = shape(&told_by_geth.told(kind).await);
        for watcher in &mut told_by_us {
            assert_eq!(shape(&watcher.told(kind).await), of_geth, "{kind}");
        }
    }

    for url in &ours.urls {
        // Of the peer that it has found, geth knows the record: that field may be missing.
        let mut of_geth = filled(geth, theirs.ipc(), "admin_peers").await;
        of_geth[0].as_object_mut().unwrap().remove("enr");
        let mut of_us = filled(geth, url, "admin_peers").await;
        of_us[0].as_object_mut().unwrap().remove("enr");
        assert_eq!(shape(&of_us), shape(&of_geth), "admin_peers over {url}");
        assert_eq!(of_us[0]["id"], theirs.node().id().to_string());
        assert_eq!(of_us[0]["protocols"], of_geth[0]["protocols"]);

        let of_geth = call(geth, theirs.ipc(), "admin_nodeInfo", &[]).await;
        let of_us = call(geth, url, "admin_nodeInfo", &[]).await;
        assert_eq!(shape(&of_us), shape(&of_geth), "admin_nodeInfo over {url}");

        for (method, arguments) in [
            ("admin_addPeer", vec![json!("enode://nobody")]),
            ("admin_removePeer", vec![json!("enode://nobody")]),
            ("admin_addPeer", vec![]),
            ("admin_nobody", vec![]),
            ("admin_datadir", vec![]),
            ("web3_clientVersion", vec![]),
        ] {
            let of_geth = call(geth, theirs.ipc(), method, &arguments).await;
            let of_us = call(geth, url, method, &arguments).await;
            assert_eq!(of_us["error"]["code"], of_geth["error"]["code"], "{method} over {url}");
            assert_eq!(shape(&of_us), shape(&of_geth), "{method} over {url}");
        }
    }
    let removed = call(geth, ws, "admin_removePeer", &[enode]).await;
    assert_eq!(removed["result"], true);
    let of_geth = shape(&told_by_geth.told("drop").await);
    for watcher in &mut told_by_us {
        assert_eq!(shape(&watcher.told("drop").await), of_geth);
    }
    drop(told_by_us);
    ours.running.interrupt().await;
    assert!(!folder.0.join("ours/devp2p.ipc").exists());
}

#[tokio::test]
async fn tables_have_the_shape_of_go_ethereums() {
    let Some(geth) = devp2p_interop::geth_node() else { return };
    let folder = Folder::new("table");
    let theirs = geth.node(folder.0.join("geth").as_path()).await;
    let ours = Ours::start(&folder, Some(theirs.node())).await;
    let of_geth = filled(geth, theirs.ipc(), "debug_discoveryV4Table").await;
    for url in &ours.urls {
        let of_us = filled(geth, url, "debug_discoveryV4Table").await;
        assert_eq!(shape(&nodes(&of_us)), shape(&nodes(&of_geth)), "over {url}");
        let node: Node = nodes(&of_us)[0]["node"].as_str().unwrap().parse().unwrap();
        assert_eq!(node.id(), theirs.node().id());
    }
    ours.running.interrupt().await;
}

#[tokio::test]
async fn web3_py_administers_our_node() {
    let Some(web3) = devp2p_interop::web3() else { return };
    let folder = Folder::new("web3");
    let ours = Ours::start(&folder, None).await;
    let peer = OurPrograms::get().run(&["--nodiscover", "--nat", "none"]).await;
    let enode = peer.node().to_enode();
    // Its WebSocket is for asynchronous programs alone.
    for url in ours.urls.clone().into_iter().take(2) {
        let told = ask(web3, url.clone(), enode.clone()).await;
        for (name, value) in [
            ("connected", json!(true)),
            ("added", json!(true)),
            ("listening", json!(true)),
            ("peer_count", json!(1)),
            ("version", json!("0")),
            ("datadir", json!(folder.path("ours"))),
        ] {
            assert_eq!(told[name], value, "{name} over {url}");
        }
        let id = |node: &Node| json!(node.id().to_string());
        assert_eq!(told["peers"][0]["id"], id(peer.node()), "{url}");
        assert_eq!(told["node_info"]["id"], id(ours.running.node()), "{url}");
        assert_eq!(told["client_version"], told["node_info"]["name"]);
        assert_eq!(told["refusal"]["code"], -32000);
        let why = told["refusal"]["message"].as_str().unwrap();
        assert!(why.starts_with("invalid enode: "), "{why}");
    }
    ours.running.interrupt().await;
}

async fn ask(web3: &'static Web3, url: String, enode: String) -> Value {
    spawn_blocking(move || web3.admin(&url, &enode)).await.unwrap().unwrap()
}
