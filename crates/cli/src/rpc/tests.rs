//! A server, and clients of its RPC.

mod bans;
mod dials;
mod limits;
mod messages;
mod methods;

use std::{path::PathBuf, sync::atomic::AtomicU32, time::Duration};

use devp2p_core::NodeKey;
use devp2p_peer::{Peer, Protocol, ProtocolError, ProtocolStream, Subprotocol};
use devp2p_server::{Handle, Server};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{Node, Options, Running, Site, framing::Framing, start};

/// A subprotocol of which each side sends one message.
struct Greet;

impl Subprotocol for Greet {
    fn capability(&self) -> devp2p_peer::Capability {
        devp2p_peer::Capability::new("greet", 1)
    }

    fn length(&self) -> u64 {
        4
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        stream.send(devp2p_core::Message { id: 3, payload: vec![7; 20].into() }).await?;
        while stream.next().await.is_some() {}
        Ok(())
    }

    fn node_info(&self) -> Option<String> {
        Some(json!({ "greets": true }).to_string())
    }
}

/// A server on loopback that nobody finds.
async fn server(byte: u8) -> Handle {
    let server = Server::builder(NodeKey::from_bytes(&[byte; 32]).unwrap()).configure(|config| {
        config.listen_addr = Some("127.0.0.1:0".parse().unwrap());
        config.no_discovery = true;
        config.enable_msg_events = true;
        config.name = format!("test-{byte}");
        config.protocols.push(Protocol::new(Greet));
    });
    server.start().await.unwrap()
}

/// A path that no other test has; what is there is removed with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("devp2p-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn ipc(&self) -> PathBuf {
        self.0.join("devp2p.ipc")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A site at a free port with these APIs.
fn site(apis: &[&str]) -> Site {
    let apis = apis.iter().map(|&api| api.to_owned()).collect();
    Site { apis, ..Site::on_loopback(0) }
}

/// A server of which everything can be called over the Unix socket.
async fn with_ipc(byte: u8) -> (Handle, Running, Folder) {
    let folder = Folder::new();
    let handle = server(byte).await;
    let options = Options { ipc: Some(folder.ipc()), ..Options::default() };
    let node = Node::new(handle.clone(), Some(folder.0.clone()));
    let running = start(options, node).await.unwrap();
    assert_eq!(running.ipc(), Some(&folder.ipc()));
    (handle, running, folder)
}

/// A client over the Unix socket.
struct Ipc {
    stream: UnixStream,
    framing: Framing,
    next: u64,
}

impl Ipc {
    async fn connect(folder: &Folder) -> Self {
        let stream = UnixStream::connect(folder.ipc()).await.unwrap();
        Self { stream, framing: Framing::new(1 << 20), next: 0 }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// What comes next; `None` at the end.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.framing.next_value().unwrap() {
                return Some(serde_json::from_slice(&message).unwrap());
            }
            let mut chunk = [0; 4096];
            let read = timeout(Duration::from_secs(10), self.stream.read(&mut chunk));
            // A connection that the other side drops with something unread ends with an error.
            match read.await.expect("a message in time") {
                Ok(length) if length > 0 => self.framing.push(&chunk[..length]),
                _ => return None,
            }
        }
    }

    /// The result of a call, or the code and the message of its error.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, (i64, String)> {
        self.next += 1;
        let id = self.next;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.say(&call.to_string()).await;
        loop {
            let answer = self.hear().await.expect("an answer");
            if answer["id"] == id {
                return result(answer);
            }
        }
    }
}

fn result(answer: Value) -> Result<Value, (i64, String)> {
    assert_eq!(answer["jsonrpc"], "2.0");
    match answer.get("error") {
        None => Ok(answer["result"].clone()),
        Some(error) => {
            assert!(answer.get("result").is_none());
            let message = error["message"].as_str().unwrap().to_owned();
            Err((error["code"].as_i64().unwrap(), message))
        }
    }
}

/// The status of an answer over HTTP, its head and its body.
async fn send(addr: std::net::SocketAddr, head: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    // Refused with something unread, it may end with an error.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

/// A POST of JSON with more headers.
async fn post(addr: std::net::SocketAddr, headers: &str, body: &str) -> (u16, String, String) {
    let head = format!(
        "POST / HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    send(addr, &head, body.as_bytes()).await
}

/// What an HTTP client is answered to a call.
async fn ask(addr: std::net::SocketAddr, method: &str) -> Result<Value, (i64, String)> {
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method });
    let (status, head, body) = post(addr, "Host: localhost\r\n", &call.to_string()).await;
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["id"], 7);
    result(answer)
}
