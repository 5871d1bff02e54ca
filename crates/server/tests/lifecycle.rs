//! Starting and stopping, and what a server does when its listener fails.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{Host, Message, Node};
use devp2p_peer::{
    Capability, Direction, DisconnectReason as Reason, Peer, ProtocolError, ProtocolStream, Side,
    Subprotocol,
};
use devp2p_server::{
    Dialer, Event, Handle, Io, Listener, Server, SetupError, SetupFailure, StartError,
};
use futures::{SinkExt as _, future::BoxFuture};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use self::support::{
    Listening, Quiet, Remote, addr, id, ip, key,
    links::{LinkListener, Links},
    next_event, node, node_at, now, server, wait_for_peers,
};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server with the default parts, on a free port of this machine.
async fn on_tcp(n: u16) -> Handle {
    Server::builder(key(n)).listen_addr(ANY_PORT).protocol(Quiet("test")).start().await.unwrap()
}

fn tcp_node(server: &Handle, n: u16) -> Node {
    node_at(&key(n), server.node_info().listen_addr.unwrap())
}

/// How many tasks this runtime has. Those that have just ended may be among them for a moment.
async fn settled_tasks() -> usize {
    sleep(Duration::from_millis(20)).await;
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// How long the server takes to stop, a minute at most.
async fn stop(server: &Handle) -> Duration {
    let start = now();
    let _ = timeout(Duration::from_secs(60), server.stop()).await;
    now() - start
}

#[tokio::test]
async fn two_servers_meet_on_real_sockets_and_say_goodbye() {
    let one = on_tcp(1).await;
    let two = on_tcp(2).await;
    let mut events = two.events();
    two.add_peer(tcp_node(&one, 1));
    let Event::Add(add) = next_event(&mut events).await else { panic!("a peer was added") };
    assert_eq!((add.id, add.remote_addr), (id(1), one.node_info().listen_addr));
    wait_for_peers(&one, 1).await;

    let mut own_events = one.events();
    assert!(stop(&one).await < Duration::from_secs(1), "nobody is slow");
    let Event::Drop(own) = next_event(&mut own_events).await else { panic!("its peer is gone") };
    assert_eq!((own.id, own.reason, own.side), (id(2), Reason::Quitting, Side::Local));
    assert_eq!(own_events.next().await, None, "after the last event comes the end");
    let Event::Drop(drop) = next_event(&mut events).await else { panic!("its peer is gone") };
    assert_eq!((drop.id, drop.reason, drop.side), (id(1), Reason::Quitting, Side::Remote));
    two.stop().await;
}

#[tokio::test]
async fn the_port_is_free_as_soon_as_the_server_has_stopped() {
    let server = on_tcp(1).await;
    let address = server.node_info().listen_addr.unwrap();
    let two = on_tcp(2).await;
    two.add_peer(tcp_node(&server, 1));
    let _silent = TcpStream::connect(address).await.unwrap();
    wait_for_peers(&server, 1).await;
    server.stop().await;
    let _listener = TcpListener::bind(address).await.unwrap();
    two.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_leaves_nothing_behind() {
    let before = settled_tasks().await;
    let taken = TcpListener::bind(ANY_PORT).await.unwrap();
    let address = taken.local_addr().unwrap();
    let builder = || Server::builder(key(1)).listen_addr(address).static_node(node(2));
    match builder().start().await {
        Err(StartError::Listen { address: named, error }) => {
            assert_eq!((named, error.kind()), (address, io::ErrorKind::AddrInUse));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(settled_tasks().await, before);
    drop(taken);
    builder().start().await.unwrap().stop().await;
}

/// A listener that cannot say where it listens.
struct Nowhere;

impl Listener for Nowhere {
    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Io>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_an_address_is_an_error() {
    let result = Server::builder(key(1)).listener(Nowhere).start().await;
    assert!(matches!(result, Err(StartError::Io(_))), "{result:?}");
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_after_the_stop_return_at_once() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    server.stop().await;
    let calls = async {
        server.add_peer(node(2));
        server.remove_peer(id(2)).await;
        server.add_trusted_peer(id(2));
        server.remove_trusted_peer(id(2));
        assert_eq!((server.peers(), server.peer(id(2)), server.peer_count()), (vec![], None, 0));
        assert_eq!((server.pending(), server.node_info().id), (0, id(1)));
        assert_eq!(server.counters().added, 0);
        assert_eq!(server.events().next().await, None);
        let (near, _far) = links.pair(addr(1), addr(2));
        let result = server.setup_conn(near, Direction::Inbound, None).await;
        assert!(matches!(result, Err(SetupError::Stopped)), "{result:?}");
        server.stop().await;
        server.stopped().await;
    };
    let start = now();
    calls.await;
    assert_eq!(now(), start);
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_nobody_waits_for_goes_on() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    let _peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    assert!(timeout(Duration::from_millis(1), server.stop()).await.is_err(), "the peer is slow");
    timeout(Duration::from_secs(2), server.stopped()).await.unwrap();
    assert_eq!(server.peer_count(), 0);
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_server() {
    let links = Links::immediate();
    let first = server(&links, 1).start().await.unwrap();
    let mut events = first.events();
    let second = first.clone();
    let peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&first, 1).await;
    drop(first);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(second.peer_count(), 1, "another handle is left");
    drop(second);
    let (_, life) = peer.run(&[], Direction::Outbound, None);
    assert_eq!(life.await.reason, Reason::Quitting);
    while events.next().await.is_some() {}
    assert_eq!(settled_tasks().await, 0);
    links.listen(addr(1)).expect("the address is free");
}

/// Never returns, and takes nothing.
#[derive(Clone, Debug)]
struct Stubborn;

impl Subprotocol for Stubborn {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, _stream: ProtocolStream) -> Result<(), ProtocolError> {
        pending().await
    }
}

/// Sends until nobody takes any more.
#[derive(Clone, Debug)]
struct Flood;

impl Subprotocol for Flood {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        loop {
            stream.send(Message { id: 0, payload: Bytes::from(vec![7; 10_000]) }).await?;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_stop_takes_2_s_at_most_whatever_the_peers_do() {
    let links = Links::immediate();
    let stubborn = server(&links, 1).configure(|config| config.protocols.clear());
    let stubborn = stubborn.protocol(Stubborn).start().await.unwrap();
    let flooding = server(&links, 2).configure(|config| config.protocols.clear());
    let flooding = flooding.protocol(Flood).start().await.unwrap();
    let mut remotes = Vec::new();
    for n in 10..30 {
        // They read nothing, and do not close.
        remotes.push(Remote::dial(&links, n, &node(1)).await.greet().await.unwrap());
        remotes.push(Remote::dial(&links, n, &node(2)).await.greet().await.unwrap());
    }
    wait_for_peers(&stubborn, 20).await;
    wait_for_peers(&flooding, 20).await;
    sleep(Duration::from_secs(1)).await;
    for server in [stubborn, flooding] {
        let took = stop(&server).await;
        assert!(took <= Duration::from_secs(2), "{took:?}");
        assert_eq!(server.peer_count(), 0);
        assert_eq!(server.counters().dropped, 20);
    }
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_ended_2_s_after_the_stop_is_dropped() {
    let links = Links::immediate();
    let server = server(&links, 1).configure(|config| {
        config.protocols.clear();
        // A multiplexer of another kind may know no limit at all.
        config.peer.task_grace = Duration::from_secs(3_600);
    });
    let server = server.protocol(Stubborn).start().await.unwrap();
    let mut events = server.events();
    let _peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    let took = stop(&server).await;
    assert!((Duration::from_millis(1_500)..=Duration::from_secs(2)).contains(&took), "{took:?}");
    let _add = next_event(&mut events).await;
    let Event::Drop(drop) = next_event(&mut events).await else { panic!("its peer is gone") };
    assert_eq!((drop.reason, drop.side), (Reason::Quitting, Side::Local));
    assert_eq!(drop.error.as_deref(), Some("did not end in time"));
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_listen_dials_at_once() {
    let links = Links::immediate();
    let mut remote = Listening::new(&links, 2);
    let server = Server::builder(key(1))
        .listen_addr(None)
        .dialer(links.dialer(ip(1)))
        .static_node(node(2))
        .start()
        .await
        .unwrap();
    let start = now();
    let _dialed = remote.accept().await;
    assert!(now() - start < Duration::from_millis(10));
    server.stop().await;
}

/// Opens nothing and resolves nothing, for ever.
#[derive(Clone, Debug)]
struct Hanging;

impl Dialer for Hanging {
    fn dial(&self, _: &Node) -> BoxFuture<'static, io::Result<Io>> {
        Box::pin(pending())
    }

    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn the_stop_ends_set_ups_dials_and_lookups() {
    let links = Links::immediate();
    let named = Node::new(key(3).public_key(), Some(Host::Dns("node.example".into())), 30303, 0);
    let server =
        server(&links, 1).dialer(Hanging).static_node(node(2)).static_node(named).start().await;
    let server = server.unwrap();
    let mut inbound = links.dialer(ip(4)).dial(&node(1)).await.unwrap();
    let (near, mut far) = links.pair(addr(1), addr(5));
    let handed_in = tokio::spawn({
        let server = server.clone();
        async move { server.setup_conn(near, Direction::Inbound, None).await }
    });
    sleep(Duration::from_millis(100)).await;
    // The listener's own slot is the fourth.
    assert_eq!(server.pending(), 4, "a dial, an inbound connection, a handed-in one");

    assert!(stop(&server).await < Duration::from_millis(10));
    assert!(matches!(handed_in.await.unwrap(), Err(SetupError::Stopped)));
    assert_eq!(server.pending(), 0);
    assert_eq!(server.counters().failed[&SetupFailure::Stopped], 4);
    for io in [&mut inbound, &mut far] {
        assert_eq!(io.read(&mut [0]).await.unwrap(), 0, "closed, without a word");
    }
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_in_at_the_moment_of_the_stop_is_none_afterwards() {
    for micros in (0..3_000).step_by(250) {
        let links = Links::new(support::links::Latency::fixed(Duration::from_micros(700)), 0);
        let one = server(&links, 1).start().await.unwrap();
        let two = server(&links, 2).static_node(node(1)).start().await.unwrap();
        sleep(Duration::from_micros(micros)).await;
        one.stop().await;
        assert_eq!((one.peer_count(), one.pending()), (0, 0));
        assert_eq!(one.counters().added, one.counters().dropped);
        two.stop().await;
        assert_eq!(two.counters().added, two.counters().dropped);
        assert_eq!(settled_tasks().await, 0, "stopped after {micros} us");
    }
}

// Listeners that fail.

/// A listener that fails some times before it goes on.
struct Failing {
    inner: LinkListener,
    failures: usize,
    error: fn() -> io::Error,
    calls: Arc<AtomicUsize>,
}

impl Listener for Failing {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        if self.failures > 0 {
            self.failures -= 1;
            self.calls.fetch_add(1, Ordering::Relaxed);
            return Poll::Ready(Err((self.error)()));
        }
        self.inner.poll_accept(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

fn too_many_open_files() -> io::Error {
    const EMFILE: i32 = 24;
    io::Error::from_raw_os_error(EMFILE)
}

#[tokio::test(start_paused = true)]
async fn accept_errors_back_off_and_end() {
    let links = Links::immediate();
    let calls = Arc::new(AtomicUsize::new(0));
    let listener = Failing {
        inner: links.listen(addr(1)).unwrap(),
        failures: 20,
        error: too_many_open_files,
        calls: Arc::clone(&calls),
    };
    let mut dialed = Listening::new(&links, 2);
    let server = Server::builder(key(1))
        .listener(listener)
        .dialer(links.dialer(ip(1)))
        .transport(support::plain::PlainTransport::new(key(1)))
        .protocol(Quiet("test"))
        .static_node(node(2))
        .start()
        .await
        .unwrap();
    let io = dialed.accept().await;
    let _peer = dialed.secure(io).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;

    // It does not spin: 0, 0.2, 0.6, 1.4 s, and then once a second.
    let mut waiting = links.dialer(ip(3)).dial(&node(1)).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let so_far = calls.load(Ordering::Relaxed);
    assert!((8..=15).contains(&so_far), "{so_far} calls in 10 s");
    assert_eq!(server.peer_count(), 1, "who is connected stays so");
    assert_eq!(server.counters().accepted, 0);

    // Nobody was lost: who waited is accepted, a second after the last error at most.
    while calls.load(Ordering::Relaxed) < 20 {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(1_010)).await;
    assert_eq!((server.counters().accept_errors, server.counters().accepted), (20, 1));
    assert_eq!(timeout(Duration::from_secs(6), waiting.read(&mut [0])).await.unwrap().unwrap(), 0);
    let _another = Remote::dial(&links, 4, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 2).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_an_error_does_not_hold_up_the_stop() {
    let links = Links::immediate();
    let inner = links.listen(addr(1)).unwrap();
    let calls = Arc::default();
    let listener = Failing { inner, failures: usize::MAX, error: too_many_open_files, calls };
    let server = Server::builder(key(1)).listener(listener).start().await.unwrap();
    sleep(Duration::from_secs(20)).await;
    assert!(stop(&server).await < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_dies_is_an_event() {
    let links = Links::immediate();
    let listener = Failing {
        inner: links.listen(addr(1)).unwrap(),
        failures: usize::MAX,
        error: || io::Error::new(io::ErrorKind::NotConnected, "the proxy is gone"),
        calls: Arc::default(),
    };
    let mut dialed = Listening::new(&links, 2);
    let server = server(&links, 9).listener(listener).static_node(node(2)).start().await.unwrap();
    let mut events = server.events();
    match next_event(&mut events).await {
        Event::ListenerFailed { error } => assert_eq!(error, "the proxy is gone"),
        other => panic!("{other:?}"),
    }
    let io = dialed.accept().await;
    let _peer = dialed.secure(io).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    assert_eq!(server.pending(), 0, "no slot is held any more");
    server.stop().await;
}
