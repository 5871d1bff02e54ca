//! Every line that go-ethereum's `p2p/server.go` logs, at its level and with its words; those of a
//! connection in a span with the id, the address and the flags.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use devp2p_core::Node;
use devp2p_peer::DisconnectReason as Reason;
use devp2p_server::{Builder, Dialer as _, Handle, Io, Listener, Server};
use tokio::{io::AsyncWriteExt as _, time::sleep};
use tracing::{
    Level,
    subscriber::{DefaultGuard, set_default},
};

use self::support::{
    Listening, Remote,
    capture::{Captured, Line},
    hello, id, ip, key,
    links::{LinkListener, Links},
    node, server, wait_for_peers,
};

/// Our server.
const OURS: u16 = 1;

/// Keeps what this thread logs, which is all that a test on one thread does.
fn capture() -> (Captured, DefaultGuard) {
    let captured = Captured::default();
    let guard = set_default(captured.subscriber());
    // A log point that another test met for the first time at this moment would stay silent.
    tracing::callsite::rebuild_interest_cache();
    (captured, guard)
}

/// A line that must have been logged.
struct Expected<'a> {
    level: Level,
    message: &'a str,
    /// Fields that it has, and what their values begin with.
    fields: &'a [(&'a str, &'a str)],
    /// The span that it is in.
    conn: Option<Conn>,
}

/// A span `conn`, by its flags and by the node at the other end, where that is known.
struct Conn {
    flags: &'static str,
    remote: Option<u16>,
}

fn line<'a>(level: Level, message: &'a str, fields: &'a [(&'a str, &'a str)]) -> Expected<'a> {
    Expected { level, message, fields, conn: None }
}

impl Expected<'_> {
    fn within(self, flags: &'static str, remote: Option<u16>) -> Self {
        Self { conn: Some(Conn { flags, remote }), ..self }
    }
}

/// The line is there, once, and as it should be.
fn check(captured: &Captured, expected: &Expected<'_>) {
    let lines: Vec<Line> =
        captured.lines().into_iter().filter(|line| line.message == expected.message).collect();
    let [line] = lines.as_slice() else {
        panic!("{:?} was logged {} times: {:#?}", expected.message, lines.len(), captured.lines());
    };
    assert_eq!(line.level, expected.level, "{line:?}");
    for &(name, begin) in expected.fields {
        let value = line.fields.get(name).unwrap_or_else(|| panic!("no {name}: {line:?}"));
        assert!(value.starts_with(begin), "{name} is {value}, wanted {begin}: {line:?}");
    }
    let Some(conn) = &expected.conn else { return };
    let span = line.spans.iter().find(|(name, _)| *name == "conn");
    let (_, fields) = span.unwrap_or_else(|| panic!("not in a span: {line:?}"));
    assert_eq!(fields["flags"].trim_matches('"'), conn.flags, "{line:?}");
    assert!(fields["addr"].starts_with("10.0.0."), "{line:?}");
    let remote = conn.remote.map(|n| id(n).to_string());
    assert_eq!(fields.get("id"), remote.as_ref(), "{line:?}");
}

async fn start(links: &Links, change: impl FnOnce(Builder) -> Builder) -> Handle {
    change(server(links, OURS)).start().await.unwrap()
}

async fn a_moment() {
    sleep(Duration::from_millis(20)).await;
}

#[tokio::test(start_paused = true)]
async fn starting() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    check(&captured, &line(Level::INFO, "Starting P2P networking", &[]));
    let url = server.node_info().enode.to_string();
    check(&captured, &line(Level::INFO, "RLPx listener up", &[("self", &url)]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_useless() {
    let (captured, _guard) = capture();
    let message = "P2P server will be useless, neither dialing nor listening";
    let builder = || Server::builder(key(OURS)).listen_addr(None);
    let server = builder().start().await.unwrap();
    assert!(captured.find(message).is_none(), "it dials");
    assert!(captured.find("RLPx listener up").is_none());
    server.stop().await;
    let server = builder().configure(|config| config.no_dial = true).start().await.unwrap();
    check(&captured, &line(Level::WARN, message, &[]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_dialed_and_removed() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let mut remote = Listening::new(&links, 2);
    let server = start(&links, |builder| builder).await;
    let url = node(2).to_string();
    server.add_peer(node(2));
    check(&captured, &line(Level::DEBUG, "Adding static node", &[("node", &url)]));
    check(&captured, &line(Level::TRACE, "New dial task", &[("node", &url), ("kind", "Static")]));
    let io = remote.accept().await;
    let peer = tokio::spawn(remote.secure(io).await.refusal());
    wait_for_peers(&server, 1).await;

    let text = id(2).to_string();
    let fields =
        [("id", &*text), ("name", "\"node 2\""), ("addr", "10.0.0.2:30303"), ("peers", "1")];
    let added = line(Level::DEBUG, "Adding p2p peer", &fields);
    check(&captured, &added.within("staticdial", Some(2)));
    let done = line(Level::TRACE, "Dial task done", &[("outcome", "Added")]);
    check(&captured, &done.within("staticdial", Some(2)));

    server.remove_peer(id(2)).await;
    check(&captured, &line(Level::DEBUG, "Removing static node", &[("id", &text)]));
    let fields = [
        ("id", &*text),
        ("duration", ""),
        ("peers", "0"),
        ("req", "false"),
        ("err", "disconnect requested"),
    ];
    let removed = line(Level::DEBUG, "Removing p2p peer", &fields);
    check(&captured, &removed.within("staticdial", Some(2)));
    peer.await.unwrap();
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_and_goes_by_itself() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let server = start(&links, |builder| builder.trusted_node(node(2))).await;
    let peer = Remote::dial(&links, 2, &node(OURS)).await;
    a_moment().await;
    check(&captured, &line(Level::TRACE, "Accepted connection", &[("addr", "10.0.0.2:")]));
    let peer = peer.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    let added = line(Level::DEBUG, "Adding p2p peer", &[("peers", "1")]);
    check(&captured, &added.within("trusted-inbound", Some(2)));
    peer.disconnect(Reason::TooManyPeers, Duration::from_millis(1)).await;
    wait_for_peers(&server, 0).await;
    let removed = [("req", "true"), ("err", "too many peers")];
    let removed = line(Level::DEBUG, "Removing p2p peer", &removed);
    check(&captured, &removed.within("trusted-inbound", Some(2)));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let _peer = Remote::dial(&links, 2, &node(OURS)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    assert!(captured.find("P2P networking is spinning down").is_none());
    server.stop().await;
    check(&captured, &line(Level::TRACE, "P2P networking is spinning down", &[]));
    let gone = line(Level::TRACE, "<-delpeer (spindown)", &[("remaining_tasks", "")]);
    check(&captured, &gone.within("inbound", Some(2)));
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_fail() {
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;

    let (captured, _guard) = capture();
    let mut io = links.dialer(ip(2)).dial(&node(OURS)).await.unwrap();
    io.write_all(&[0xff; 64]).await.unwrap();
    a_moment().await;
    let failed = line(Level::TRACE, "Failed RLPx handshake", &[("err", "the secure handshake")]);
    check(&captured, &failed.within("inbound", None));

    let (captured, _guard) = capture();
    let _silent = links.dialer(ip(2)).dial(&node(OURS)).await.unwrap();
    sleep(Duration::from_secs(6)).await;
    let failed =
        line(Level::TRACE, "Failed RLPx handshake", &[("err", "the set-up took too long")]);
    check(&captured, &failed.within("inbound", None));

    let (captured, _guard) = capture();
    drop(Remote::dial(&links, 2, &node(OURS)).await);
    a_moment().await;
    let failed = line(Level::TRACE, "Failed proto handshake", &[("err", "the remote closed")]);
    check(&captured, &failed.within("inbound", Some(2)));

    let (captured, _guard) = capture();
    let _silent = Remote::dial(&links, 2, &node(OURS)).await;
    sleep(Duration::from_secs(6)).await;
    let failed =
        line(Level::TRACE, "Failed proto handshake", &[("err", "the set-up took too long")]);
    check(&captured, &failed.within("inbound", Some(2)));

    // The remote's word on our identity is not ours on the remote's.
    let (captured, _guard) = capture();
    let remote = Remote::dial(&links, 2, &node(OURS)).await;
    let (reason, linger) = (Reason::UnexpectedIdentity, Duration::from_millis(1));
    support::refuse(remote.connection, reason, linger).await;
    a_moment().await;
    let failed =
        line(Level::TRACE, "Failed proto handshake", &[("err", "the remote disconnected")]);
    check(&captured, &failed.within("inbound", Some(2)));

    let (captured, _guard) = capture();
    let liar = Remote::dial(&links, 2, &node(OURS)).await.saying(hello(3, &["test"]));
    liar.refusal().await;
    a_moment().await;
    let wrong = line(Level::TRACE, "Wrong devp2p handshake identity", &[("err", "the node id")]);
    check(&captured, &wrong.within("inbound", Some(2)));
    assert!(captured.find("Failed proto handshake").is_none());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn checkpoints_that_refuse() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let server = start(&links, |builder| builder.max_peers(0)).await;
    Remote::dial(&links, 2, &node(OURS)).await.refusal().await;
    let message = "Rejected peer before protocol handshake";
    let rejected = line(Level::TRACE, message, &[("err", "too many peers")]);
    check(&captured, &rejected.within("inbound", Some(2)));
    server.stop().await;

    let (captured, _guard) = capture();
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let other = Remote::dial(&links, 2, &node(OURS)).await.saying(hello(2, &["other"]));
    other.refusal().await;
    let rejected = line(Level::TRACE, "Rejected peer", &[("err", "useless peer")]);
    check(&captured, &rejected.within("inbound", Some(2)));
    server.stop().await;

    let (captured, _guard) = capture();
    let links = Links::immediate();
    let mut listening = Listening::new(&links, 2);
    // The address of the second node with the key of the third.
    let wrong = Node::new(key(3).public_key(), node(2).host().cloned(), support::PORT, 0);
    let server = start(&links, |builder| builder.static_node(wrong)).await;
    let io = listening.accept().await;
    listening.secure(io).await.refusal().await;
    let want = id(3).to_string();
    let fields = [("want", &*want)];
    let mismatch = line(Level::TRACE, "Dialed identity mismatch", &fields);
    check(&captured, &mismatch.within("staticdial", Some(2)));
    assert!(captured.find(message).is_none(), "one line for one refusal");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn addresses_that_are_not_welcome() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let server = start(&links, |builder| {
        builder.configure(|config| config.net_restrict = Some("192.0.2.0/24".parse().unwrap()))
    })
    .await;
    let _stranger = links.dialer(ip(2)).dial(&node(OURS)).await.unwrap();
    a_moment().await;
    let message = "Rejected conn (not whitelisted in NetRestrict)";
    check(&captured, &line(Level::DEBUG, message, &[("addr", "10.0.0.2:")]));
    assert!(captured.find("Accepted connection").is_none());
    server.stop().await;
}

/// A listener that fails with each of these errors in turn.
struct Failing(LinkListener, Vec<io::ErrorKind>);

impl Listener for Failing {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        match self.1.pop() {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => self.0.poll_accept(cx),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[tokio::test(start_paused = true)]
async fn listeners_that_fail() {
    let (captured, _guard) = capture();
    let links = Links::immediate();
    let inner = links.listen(support::addr(9)).unwrap();
    let errors = vec![io::ErrorKind::NotConnected, io::ErrorKind::ResourceBusy];
    let server = start(&links, |builder| builder.listener(Failing(inner, errors))).await;
    a_moment().await;
    let temporary = [("err", "resource busy"), ("pause", "200ms")];
    check(&captured, &line(Level::DEBUG, "Temporary read error", &temporary));
    assert!(captured.find("Read error").is_none());
    sleep(Duration::from_secs(1)).await;
    check(&captured, &line(Level::DEBUG, "Read error", &[("err", "not connected")]));
    server.stop().await;
}

/// What a remote says of itself can neither steer a terminal, nor forge a line or a field, nor fill
/// a disk.
#[tokio::test(start_paused = true)]
async fn what_a_remote_says_is_escaped_and_cut() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let marked = |text: &str| format!("begin{text}end");
    let names = [
        marked("\u{1b}[2J\u{1b}]0;title\u{7}"),
        marked("\r\n2030-01-01T00:00:00Z ERROR devp2p_server: forged"),
        marked("\" peers=99 addr=\"203.0.113.1:1\" \\"),
        marked("\u{202e}desrever\u{2066}\u{200b}\u{2028}\u{85}\u{9b}"),
        marked(&"long".repeat(400)),
    ];
    for (n, name) in (2..).zip(&names) {
        let mut said = hello(n, &["test", "te\u{1b}[2Jst", "new\nline", "\u{202e}tset"]);
        said.name.clone_from(name);
        let peer = Remote::dial(&links, n, &node(OURS)).await.saying(said).greet().await.unwrap();
        wait_for_peers(&server, 1).await;
        let info = server.peer(id(n)).unwrap();
        assert_eq!(info.capabilities.len(), 1, "the rest is no name of a capability");
        assert!(info.name.len() <= 256 && info.name.starts_with("begin"));
        peer.disconnect(Reason::from_code(0x1b), Duration::from_millis(1)).await;
        wait_for_peers(&server, 0).await;
    }
    server.stop().await;
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let steers = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    assert!(!text.contains(steers), "{text:?}");
    let added: Vec<_> = text.lines().filter(|line| line.contains("Adding p2p peer")).collect();
    assert_eq!(added.len(), names.len(), "{text}");
    assert!(added.iter().all(|line| line.contains("name=\"begin")), "{added:#?}");
    assert!(text.lines().all(|line| line.len() < 1_000), "{text}");
    // Every line is one of ours: the time of this year, a level, and our target.
    let is_ours = |line: &str| !line.starts_with("2030") && line.contains(" devp2p_");
    assert!(text.lines().all(is_ours), "{text}");
    // And a forged field stays in its quotes.
    assert!(text.contains(r#"name="begin\" peers=99 addr=\"203.0.113.1:1\" \\end""#), "{text}");
}

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A span that is wanted at the level `debug` is not lost by a filter that drops `trace`.
#[tokio::test(start_paused = true)]
async fn connections_have_their_span_at_the_level_debug() {
    use tracing_subscriber::{Layer as _, filter::LevelFilter, layer::SubscriberExt as _};

    let captured = Captured::default();
    let layer = captured.layer().with_filter(LevelFilter::DEBUG);
    let _guard = set_default(tracing_subscriber::registry().with(layer));
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let _peer = Remote::dial(&links, 2, &node(OURS)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    server.stop().await;
    let removed = line(Level::DEBUG, "Removing p2p peer", &[("err", "client quitting")]);
    check(&captured, &removed.within("inbound", Some(2)));
    assert!(captured.lines().iter().all(|line| line.level <= Level::DEBUG));
}
