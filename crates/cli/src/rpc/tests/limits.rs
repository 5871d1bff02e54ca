use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _};

use devp2p_core::Node as CoreNode;
use soketto::{
    Receiver, Sender,
    handshake::{Client, ServerResponse},
};
use tokio::io::BufStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;
use crate::{
    failure::Failure,
    rpc::{
        MAX_CONNECTIONS, MAX_REQUEST,
        calls::{Calls, MAX_BATCH, MAX_SUBSCRIPTIONS},
        session::{self, Incoming, MAX_WAITING, Outgoing},
    },
};

type Stream = Compat<BufStream<TcpStream>>;

pub(super) struct WebSocket {
    sender: Sender<Stream>,
    receiver: Receiver<Stream>,
}

impl WebSocket {
    pub(super) async fn connect(addr: SocketAddr) -> Self {
        Self::shake_hands(addr, "localhost", None).await.unwrap()
    }

    /// The status where it is refused.
    async fn shake_hands(addr: SocketAddr, host: &str, origin: Option<&str>) -> Result<Self, u16> {
        let stream = BufStream::new(TcpStream::connect(addr).await.unwrap()).compat();
        let mut client = Client::new(stream, host, "/");
        let origin = origin.map(|origin| soketto::handshake::client::Header {
            name: "Origin",
            value: origin.as_bytes(),
        });
        let headers: Vec<_> = origin.into_iter().collect();
        client.set_headers(&headers);
        match client.handshake().await.unwrap() {
            ServerResponse::Accepted { .. } => {}
            ServerResponse::Rejected { status_code }
            | ServerResponse::Redirect { status_code, .. } => return Err(status_code),
        }
        let (sender, receiver) = client.into_builder().finish();
        Ok(Self { sender, receiver })
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.sender.send_text(text).await.unwrap();
        self.sender.flush().await.unwrap();
    }

    pub(super) async fn hear(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        let heard = self.receiver.receive_data(&mut message);
        let heard = timeout(Duration::from_secs(10), heard).await.expect("a message in time");
        heard.ok().map(|_| serde_json::from_slice(&message).unwrap())
    }

    pub(super) async fn call(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<Value, (i64, String)> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.say(&call.to_string()).await;
        result(self.hear().await.unwrap())
    }
}

/// RPC over HTTP and WebSocket, each at a port of its own.
async fn web(byte: u8, origins: &[&str]) -> (Handle, Running) {
    let handle = server(byte).await;
    let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
    let http = Site { origins, ..site(&["net", "admin"]) };
    // A port of 0 is the same address for both: another address of loopback for one of them.
    let ws = Site { addr: "127.0.0.2:0".parse().unwrap(), ..http.clone() };
    let options = Options { http: Some(http), ws: Some(ws), ipc: None };
    let running = start(options, Node::new(handle.clone(), None)).await.unwrap();
    (handle, running)
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"net_version"}"#;

#[tokio::test]
async fn a_name_that_was_rebound_and_pages_of_other_sites_are_refused() {
    let (_handle, running) = web(11, &["https://a.example"]).await;
    let http = running.http().unwrap();
    for (headers, status) in [
        ("Host: localhost:8545\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nHost: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: https://a.example\r\n", 200),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
    ] {
        let (answered, head, body) = post(http, headers, CALL).await;
        assert_eq!(answered, status, "{headers}: {head}");
        assert_eq!(body.contains("result"), status == 200, "{body}");
        let allowed = head.contains("access-control-allow-origin: https://a.example");
        assert_eq!(allowed, headers.contains("https://a.example"), "{head}");
    }
    let preflight = |origin| {
        format!(
            "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: {origin}\r\n\r\n"
        )
    };
    let (status, head, _) = send(http, &preflight("https://a.example"), b"").await;
    assert_eq!(status, 204);
    assert!(head.contains("access-control-allow-methods: post"), "{head}");
    assert_eq!(send(http, &preflight("https://evil.example"), b"").await.0, 403);

    let ws = running.ws().unwrap();
    for (host, origin, refused) in [
        ("localhost", None, None),
        ("localhost", Some("https://a.example"), None),
        ("evil.example", None, Some(403)),
        ("localhost", Some("http://localhost"), Some(403)),
    ] {
        let shaken = WebSocket::shake_hands(ws, host, origin).await;
        assert_eq!(shaken.err(), refused, "{host} {origin:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn requests_of_other_kinds_and_sizes_are_refused() {
    let (_handle, running) = web(12, &[]).await;
    let http = running.http().unwrap();
    let request = |line: &str, headers: &str| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
    };
    let plain = "Content-Type: text/plain\r\nContent-Length: 47\r\n";
    assert_eq!(send(http, &request("POST /", plain), CALL.as_bytes()).await.0, 415);
    assert_eq!(send(http, &request("PUT /", ""), b"").await.0, 405);
    assert_eq!(send(http, &request("GET /", ""), b"").await.0, 200);
    assert_eq!(send(http, &request("GET /?x", ""), b"").await.0, 405);

    // Too long by what it says, and by what it is.
    let json = "Content-Type: application/json\r\n";
    let long = format!("{json}Content-Length: {}\r\n", MAX_REQUEST + 1);
    assert_eq!(send(http, &request("POST /", &long), b"").await.0, 413);
    let chunked = format!("{json}Transfer-Encoding: chunked\r\n");
    let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", MAX_REQUEST + 1, " ".repeat(MAX_REQUEST + 1));
    assert_eq!(send(http, &request("POST /", &chunked), body.as_bytes()).await.0, 413);
    let fits = format!("{CALL}{}", " ".repeat(MAX_REQUEST - CALL.len()));
    assert_eq!(post(http, "Host: localhost\r\n", &fits).await.0, 200);
    let headers = format!("Host: localhost\r\nX: {}\r\n", "x".repeat(64 * 1024));
    assert_eq!(post(http, &headers, CALL).await.0, 431);

    let batch = |length: usize| format!("[{}]", vec![CALL; length].join(","));
    let (_, _, answers) = post(http, "Host: localhost\r\n", &batch(MAX_BATCH)).await;
    assert_eq!(answers.matches("result").count(), MAX_BATCH);
    let (_, _, answers) = post(http, "Host: localhost\r\n", &batch(MAX_BATCH + 1)).await;
    assert!(answers.contains("batch too large"), "{answers}");

    let mut ws = WebSocket::connect(running.ws().unwrap()).await;
    ws.say(&fits).await;
    assert_eq!(ws.hear().await.unwrap()["result"], "0");
    // It may be gone before everything is written.
    let _ = ws.sender.send_text(&format!("{fits} ")).await;
    let _ = ws.sender.flush().await;
    let answer = ws.hear().await;
    assert!(answer.is_none_or(|answer| answer["error"]["code"] == -32700));
    assert_eq!(send(running.ws().unwrap(), &request("POST /", json), b"").await.0, 426);
    running.stop().await;
}

#[tokio::test]
async fn connections_and_subscriptions_are_counted() {
    let (_handle, running) = web(13, &[]).await;
    let (http, ws) = (running.http().unwrap(), running.ws().unwrap());
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        held.push(WebSocket::connect(ws).await);
    }
    let mut refused = TcpStream::connect(ws).await.unwrap();
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // HTTP has connections of its own.
    assert_eq!(ask(http, "net_version").await, Ok("0".into()));

    let client = &mut held[0];
    let mut ids = Vec::new();
    for _ in 0..MAX_SUBSCRIPTIONS {
        ids.push(client.call("admin_subscribe", json!(["peerEvents"])).await.unwrap());
    }
    let one_more = client.call("admin_subscribe", json!(["peerEvents"])).await;
    assert_eq!(one_more, Err((-32000, "too many subscriptions".to_owned())));
    assert_eq!(client.call("admin_unsubscribe", json!([ids[0]])).await, Ok(true.into()));
    // The slot is free once the task behind it has noticed.
    let again = async {
        while client.call("admin_subscribe", json!(["peerEvents"])).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), again).await.unwrap();

    drop(held);
    let free = async {
        while WebSocket::shake_hands(ws, "localhost", None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), free).await.unwrap();
    running.stop().await;
}

/// A client that subscribes, and then neither says nor takes anything.
struct Silent {
    says: Vec<&'static str>,
}

impl Incoming for Silent {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        match self.says.pop() {
            Some(text) => Ok(Some(text.into())),
            None => std::future::pending().await,
        }
    }
}

/// Takes so many messages.
struct Takes(usize);

impl Outgoing for Takes {
    async fn send(&mut self, _: &serde_json::value::RawValue) -> std::io::Result<()> {
        match self.0.checked_sub(1) {
            Some(left) => self.0 = left,
            None => std::future::pending().await,
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_dropped_before_it_costs_more() {
    let handle = server(14).await;
    let node = std::sync::Arc::new(Node::new(handle.clone(), None));
    let all = crate::rpc::methods::all(&node).unwrap();
    let (calls, _) =
        crate::rpc::methods::of(&all, &["admin".to_owned()], &std::sync::Arc::default()).unwrap();
    let says =
        vec![r#"{"jsonrpc":"2.0","id":1,"method":"admin_subscribe","params":["peerEvents"]}"#];
    let session = tokio::spawn(session::run(calls, Silent { says }, Takes(1)));
    // Each of these makes four events: two messages, and that it came and went.
    let other = server(15).await;
    let enode: CoreNode = other.node_info().enode;
    let mut events = handle.events();
    let mut made = 0;
    while !session.is_finished() {
        assert!(made < 4 * MAX_WAITING, "it is still there after {made} events");
        handle.add_peer(enode.clone());
        while !matches!(events.next().await, Some(devp2p_server::Event::MsgRecv(_))) {}
        handle.remove_peer(enode.id()).await;
        while !matches!(events.next().await, Some(devp2p_server::Event::Drop(_))) {}
        made += 4;
    }
    assert!(made > MAX_WAITING / 2, "it was gone after {made} events");
    session.await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the clock of the test")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_dropped_in_time() {
    let calls = Calls::new(jsonrpsee::Methods::new(), &std::sync::Arc::default());
    let began = now();
    session::run(calls, Silent { says: vec![CALL] }, Takes(0)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn the_socket_is_this_users_and_goes_with_the_node() {
    let (handle, running, folder) = with_ipc(16).await;
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.ipc()), 0o600);
    // One that is in use is left alone.
    let same = Options { ipc: Some(folder.ipc()), ..Options::default() };
    let second = start(same.clone(), Node::new(handle.clone(), None)).await;
    let Err(Failure::Work(why)) = second else { panic!("two at one socket") };
    assert!(why.contains("another process answers there"), "{why}");
    assert_eq!(Ipc::connect(&folder).await.call("net_version", json!([])).await, Ok("0".into()));
    running.stop().await;
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);

    // One that a crash left behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(folder.ipc()).unwrap());
    let running = start(same.clone(), Node::new(handle.clone(), None)).await.unwrap();
    assert_eq!(mode(folder.ipc()), 0o600);
    let mut ipc = Ipc::connect(&folder).await;
    assert_eq!(ipc.call("net_version", json!([])).await, Ok("0".into()));
    // What is too long, or no JSON, ends the connection.
    ipc.say(&format!("[{}", " ".repeat(MAX_REQUEST))).await;
    assert_eq!(ipc.hear().await.unwrap()["error"]["code"], -32700);
    assert_eq!(ipc.hear().await, None);
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        held.push(Ipc::connect(&folder).await);
    }
    for client in &mut held {
        assert_eq!(client.call("net_version", json!([])).await, Ok("0".into()));
    }
    assert_eq!(Ipc::connect(&folder).await.hear().await, None);
    running.stop().await;

    // A file of another kind is nobody's socket.
    std::fs::write(folder.ipc(), "mine").unwrap();
    let Err(Failure::Arguments(_)) = start(same, Node::new(handle, None)).await else {
        panic!("a file was replaced");
    };
    assert_eq!(std::fs::read(folder.ipc()).unwrap(), b"mine");
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_flag() {
    let (handle, running) = web(17, &[]).await;
    for (flag, http, ws) in [("--http", running.http(), None), ("--ws", None, running.ws())] {
        let at = |addr: Option<SocketAddr>| addr.map(|addr| Site { addr, ..site(&["net"]) });
        let options = Options { http: at(http), ws: at(ws), ipc: None };
        let again = start(options, Node::new(handle.clone(), None)).await;
        let Err(Failure::Work(why)) = again else { panic!("two on one port") };
        assert!(why.starts_with(&format!("{flag}: cannot listen on 127.0.0.")), "{why}");
    }
    running.stop().await;
}
