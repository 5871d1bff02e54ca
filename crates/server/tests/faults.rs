//! Parts of the user's that panic, runtimes that go, and threads that meet: nobody is left waiting,
//! and no peer is left behind.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use devp2p_core::{BoxConnection, Node, NodeId, PublicKey, Traffic};
use devp2p_peer::{
    Capability, Config, Direction, DisconnectReason as Reason, End, Hello, HelloError, Peer,
    ProtocolError, ProtocolStream, Subprotocol,
};
use devp2p_server::{
    BaseProtocol, Discovery, Event, Handle, Multiplexer, Negotiated, PeerControl, Server,
    SetupError,
};
use futures::{Stream, future::BoxFuture};
use tokio::time::{sleep, timeout};

use self::support::{
    Quiet, Remote, addr, hello, id, key, links::Links, next_event, node, node_at, server,
    wait_for_peers,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A source that panics when it is polled, or that tells when it is dropped.
struct Source {
    panics: bool,
    dropped: Arc<AtomicBool>,
}

impl Stream for Source {
    type Item = Node;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Node>> {
        assert!(!self.panics, "a source that panics");
        Poll::Pending
    }
}

impl Discovery for Source {
    fn resolve(&self, _: PublicKey) -> BoxFuture<'static, Option<Node>> {
        Box::pin(std::future::ready(None))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_stops_the_server_and_its_peers_hear_of_it() {
    let links = Links::immediate();
    let source = Source { panics: true, dropped: Arc::default() };
    let server = server(&links, 1).discovery(source).build().unwrap();
    let mut events = server.events();
    let server = server.start().await.unwrap();
    timeout(MINUTE, server.stopped()).await.unwrap();
    timeout(MINUTE, server.stop()).await.unwrap();
    assert_eq!(timeout(MINUTE, events.next()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_dropped_at_the_stop_though_a_handle_is_held() {
    let links = Links::immediate();
    let dropped = Arc::new(AtomicBool::new(false));
    let source = Source { panics: false, dropped: Arc::clone(&dropped) };
    let server = server(&links, 1).discovery(source).start().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(!dropped.load(Ordering::SeqCst));
    server.stop().await;
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn a_runtime_that_is_gone_takes_its_server_with_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(async {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        Server::builder(key(1)).listen_addr(address).protocol(Quiet("test")).start().await.unwrap()
    });
    runtime.shutdown_background();
    let waiting = async {
        server.add_peer(node(2));
        server.remove_peer(id(2)).await;
        timeout(MINUTE, server.stop()).await.unwrap();
        assert_eq!(server.peer_count(), 0);
    };
    let other = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    other.block_on(waiting);
}

/// A subprotocol that does not know its peers.
struct Forgetful;

impl Subprotocol for Forgetful {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        Quiet("test").run(peer, stream).await
    }

    fn peer_info(&self, _: NodeId) -> Option<String> {
        panic!("a subprotocol that panics when it is asked");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_that_panics_when_it_is_asked_leaves_no_peer_behind() {
    let links = Links::immediate();
    let server = server(&links, 1)
        .configure(|config| config.protocols.clear())
        .protocol(Forgetful)
        .on_peer(|_| {})
        .start()
        .await
        .unwrap();
    let mut events = server.events();
    let remote = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Add(add) if add.id == id(2)));
    remote.disconnect(Reason::Requested, Duration::from_secs(1)).await;
    assert!(matches!(next_event(&mut events).await, Event::Drop(drop) if drop.id == id(2)));
    assert_eq!(server.peer_count(), 0);
    server.stop().await;
}

/// A multiplexer whose peers panic after a second.
struct Brittle(BaseProtocol);

impl Multiplexer for Brittle {
    fn hello(
        &self,
        connection: BoxConnection,
        direction: Direction,
    ) -> BoxFuture<'static, Result<Box<dyn Negotiated>, HelloError>> {
        let hello = self.0.hello(connection, direction);
        Box::pin(async move { Ok(Box::new(BrittlePeer(hello.await?)) as Box<dyn Negotiated>) })
    }

    fn refuse(&self, connection: BoxConnection, reason: Reason) -> BoxFuture<'static, ()> {
        self.0.refuse(connection, reason)
    }
}

struct BrittlePeer(Box<dyn Negotiated>);

impl Negotiated for BrittlePeer {
    fn hello(&self) -> &Hello {
        self.0.hello()
    }

    fn shared(&self) -> Vec<Capability> {
        self.0.shared()
    }

    fn refuse(self: Box<Self>, reason: Reason) -> BoxFuture<'static, ()> {
        self.0.refuse(reason)
    }

    fn run(self: Box<Self>) -> (Arc<dyn PeerControl>, BoxFuture<'static, End>) {
        let life = async {
            sleep(Duration::from_secs(1)).await;
            panic!("a multiplexer that panics");
        };
        (Arc::new(Uncontrolled), Box::pin(life))
    }
}

struct Uncontrolled;

impl PeerControl for Uncontrolled {
    fn disconnect(&self, _: Reason) {}

    fn rtt(&self) -> Option<Duration> {
        None
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_multiplexer_panics_is_dropped() {
    let links = Links::immediate();
    let protocols = vec![devp2p_peer::Protocol::new(Quiet("test"))];
    let base = BaseProtocol::new(hello(1, &["test"]), protocols, Config::default(), None);
    let server = server(&links, 1).multiplexer(Brittle(base)).start().await.unwrap();
    let mut events = server.events();
    let _remote = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Add(_)));
    assert!(matches!(next_event(&mut events).await, Event::Drop(_)));
    timeout(MINUTE, server.remove_peer(id(2))).await.unwrap();
    assert_eq!(server.peer_count(), 0);
    timeout(MINUTE, server.stop()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_stop_waits_for_streams_that_were_handed_in() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    let mut events = server.events();
    let (ours, theirs) = links.pair(addr(1), addr(2));
    let handed_in = {
        let server = server.clone();
        tokio::spawn(async move { server.setup_conn(ours, Direction::Inbound, None).await })
    };
    sleep(Duration::from_secs(1)).await;
    timeout(MINUTE, server.stop()).await.unwrap();
    assert!(matches!(handed_in.await.unwrap(), Err(SetupError::Stopped)));
    assert_eq!(events.next().await, None);
    drop(theirs);
}

/// On several threads, with connections that come and go as fast as they can: what a subscriber
/// hears of one node is always an `add`, then its `drop`, and so on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn additions_and_drops_of_one_node_alternate() {
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::builder(key(1))
        .listen_addr(anywhere)
        .protocol(Quiet("test"))
        .transport(support::plain::PlainTransport::new(key(1)))
        .start()
        .await
        .unwrap();
    let mut events = server.events();
    let target = node_at(&key(1), server.node_info().listen_addr.unwrap());
    let remotes: Vec<_> = (0..4).map(|_| tokio::spawn(come_and_go(target.clone()))).collect();
    for remote in remotes {
        remote.await.unwrap();
    }
    wait_for_peers(&server, 0).await;
    server.stop().await;
    let mut connected = BTreeMap::<NodeId, bool>::new();
    let mut added = 0;
    while let Some(event) = events.next().await {
        match event {
            Event::Add(add) => {
                assert_ne!(connected.insert(add.id, true), Some(true), "added twice");
                added += 1;
            }
            Event::Drop(drop) => assert_eq!(connected.insert(drop.id, false), Some(true)),
            other => panic!("{other:?}"),
        }
    }
    assert!(added > 20, "{added} additions");
    assert!(connected.values().all(|&connected| !connected));
}

/// Node 2 connects and hangs up, again and again.
async fn come_and_go(target: Node) {
    use devp2p_server::{Dialer as _, TcpDialer, Transport as _};

    let transport = support::plain::PlainTransport::new(key(2));
    for _ in 0..100 {
        let io = TcpDialer::default().dial(&target).await.unwrap();
        let Ok(connection) = transport.connect(io, target.public_key()).await else { continue };
        let remote = Remote { connection, hello: hello(2, &["test"]) };
        // It may be refused: another connection of the same node is there.
        drop(remote.greet().await);
    }
}

#[test]
fn calls_from_outside_of_the_runtime_do_their_work() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let start = |n| -> Handle {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let builder = Server::builder(key(n)).listen_addr(address).protocol(Quiet("test"));
        runtime.block_on(builder.start()).unwrap()
    };
    let (one, two) = (start(1), start(2));
    one.add_peer(node_at(&key(2), two.node_info().listen_addr.unwrap()));
    runtime.block_on(wait_for_peers(&one, 1));
    runtime.block_on(async { tokio::join!(one.stop(), two.stop()) });
}
