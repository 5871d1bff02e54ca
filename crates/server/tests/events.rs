//! What a server tells of its peers: the hook, the events, and the lists.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{Message, NodeId};
use devp2p_peer::{
    Capability, Direction, DisconnectReason as Reason, Peer, ProtocolError, ProtocolStream, Side,
    Subprotocol,
};
use devp2p_server::{
    Event, Events, Handle, Io, NodeList, PeerMessage, RlpxTransport, Transport as _,
};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::{
    task::unconstrained,
    time::{sleep, timeout},
};

use self::support::{
    Listening, Remote, addr, id, ip, key,
    links::{Latency, Links},
    next_event, node, now, server, wait_for_peers,
};

/// What has come already, without waiting, and however much it is.
fn waiting(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| unconstrained(events.next()).now_or_never().flatten()).collect()
}

// The order of an addition.

/// A subprotocol that notes when it starts.
struct Noting(Arc<dyn Fn() + Send + Sync>);

impl Subprotocol for Noting {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        (self.0)();
        while stream.next().await.is_some() {}
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_hook_comes_first_then_the_event_then_the_subprotocols() {
    let links = Links::immediate();
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let events: Arc<Mutex<Option<Events>>> = Arc::default();
    let story: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = {
        let (handle, events, story) =
            (Arc::clone(&handle), Arc::clone(&events), Arc::clone(&story));
        move |what: &str| {
            let peers = handle.get().unwrap().peer_count();
            let events = waiting(events.lock().unwrap().as_mut().unwrap());
            let adds = events.iter().filter(|event| matches!(event, Event::Add(_))).count();
            story.lock().unwrap().push(format!("{what}: {peers} peers, {adds} events"));
        }
    };
    let in_hook = tell.clone();
    let server = server(&links, 1)
        .configure(|config| config.protocols.clear())
        .protocol(Noting(Arc::new(move || tell("subprotocol"))))
        .on_peer(move |peer| {
            assert_eq!((peer.id, peer.name.as_str()), (id(2), "node 2"));
            in_hook("hook");
        })
        .start()
        .await
        .unwrap();
    *events.lock().unwrap() = Some(server.events());
    assert!(handle.set(server).is_ok());
    let _peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(
        *story.lock().unwrap(),
        ["hook: 1 peers, 0 events", "subprotocol: 1 peers, 1 events"]
    );
    handle.get().unwrap().stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_call_the_server_and_may_panic() {
    let links = Links::immediate();
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let hooked = Arc::clone(&handle);
    let server = server(&links, 1)
        .on_peer(move |peer| {
            let server = hooked.get().unwrap();
            assert_eq!(server.peers().len(), 1);
            server.add_trusted_peer(peer.id);
            server.add_peer(node(7));
            panic!("a hook that panics, as this test wants it");
        })
        .start()
        .await
        .unwrap();
    assert!(handle.set(server.clone()).is_ok());
    let mut events = server.events();
    let peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Add(add) if add.id == id(2)));
    sleep(Duration::from_secs(20)).await;
    assert!(server.peer(id(2)).unwrap().is_trusted, "the peer lives");
    drop(peer);
    assert!(matches!(next_event(&mut events).await, Event::Drop(drop) if drop.id == id(2)));
    server.stop().await;
}

// The events.

#[tokio::test(start_paused = true)]
async fn an_addition_and_one_drop_are_told_of_every_peer() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    let mut events = server.events();
    let peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    let Event::Add(add) = next_event(&mut events).await else { panic!("an addition comes first") };
    assert_eq!((add.id, add.name.as_str(), add.direction), (id(2), "node 2", Direction::Inbound));
    assert_eq!(add.shared, [Capability::new("test", 1)]);
    assert_eq!(add.local_addr, Some(addr(1)));
    assert_eq!(add.remote_addr.unwrap().ip(), ip(2));

    sleep(Duration::from_secs(7)).await;
    peer.disconnect(Reason::TooManyPeers, Duration::from_millis(1)).await;
    let Event::Drop(drop) = next_event(&mut events).await else { panic!("then the drop") };
    assert_eq!(server.peers(), [], "it has left the list before");
    assert_eq!((drop.id, drop.direction), (id(2), Direction::Inbound));
    assert_eq!((drop.reason, drop.side, drop.error), (Reason::TooManyPeers, Side::Remote, None));
    assert_eq!(drop.duration.as_secs(), 7);
    server.stop().await;
    assert_eq!(waiting(&mut events), [], "one drop");
    assert_eq!(events.next().await, None);
}

/// A subprotocol that ends as it is told to.
struct Ending(fn() -> Result<(), ProtocolError>);

impl Subprotocol for Ending {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, _stream: ProtocolStream) -> Result<(), ProtocolError> {
        (self.0)()
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_tells_what_went_wrong() {
    type End = fn() -> Result<(), ProtocolError>;
    let table: [(End, Reason, Option<&str>); 4] = [
        (|| Ok(()), Reason::Quitting, None),
        (|| Err(ProtocolError::bad_message("no such block")), Reason::ProtocolError, Some("block")),
        (|| Err(ProtocolError::failed("disk full")), Reason::Subprotocol, Some("disk full")),
        (|| panic!("as this test wants it"), Reason::Subprotocol, Some("panicked")),
    ];
    for (end, reason, error) in table {
        let links = Links::immediate();
        let builder = server(&links, 1).configure(|config| config.protocols.clear());
        let server = builder.protocol(Ending(end)).start().await.unwrap();
        let mut events = server.events();
        let (told, _) = Remote::dial(&links, 2, &node(1)).await.refusal().await;
        assert_eq!(told, reason, "the other side is told");
        let _add = next_event(&mut events).await;
        let Event::Drop(drop) = next_event(&mut events).await else { panic!("a drop") };
        assert_eq!((drop.reason, drop.side), (reason, Side::Local));
        match (&drop.error, error) {
            (None, None) => {}
            (Some(text), Some(part)) if text.contains(part) && text.contains("test/1") => {}
            _ => panic!("{drop:?}, wanted {error:?}"),
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_begins_when_it_is_made() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    let _first = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    let mut events = server.events();
    assert_eq!(waiting(&mut events), []);
    let _second = Remote::dial(&links, 3, &node(1)).await.greet().await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Add(add) if add.id == id(3)));
    server.stop().await;
}

/// Sends so many messages, each longer by one byte than the one before, and takes what comes.
struct Sends(u64, Arc<AtomicU64>);

impl Subprotocol for Sends {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        4
    }

    async fn run(&self, _: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        let (mut sink, mut source) = stream.split();
        let send = async {
            for n in 0..self.0 {
                let payload = Bytes::from(vec![0; usize::try_from(n % 50).unwrap_or(0)]);
                sink.send(Message { id: n % 4, payload }).await?;
            }
            Ok(())
        };
        let receive = async {
            while source.next().await.is_some() {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (sent, ()) = tokio::join!(send, receive);
        sent
    }
}

/// Two servers of which the first sends messages to the second, and how many have arrived.
async fn sending(links: &Links, count: u64, msg_events: bool) -> (Handle, Handle, Arc<AtomicU64>) {
    let arrived = Arc::new(AtomicU64::new(0));
    let one = server(links, 1).configure(|config| {
        config.protocols.clear();
        config.enable_msg_events = msg_events;
    });
    let two = server(links, 2).configure(|config| {
        config.protocols.clear();
        config.enable_msg_events = msg_events;
    });
    let one = one.protocol(Sends(count, Arc::default())).start().await.unwrap();
    let two = two.protocol(Sends(0, Arc::clone(&arrived))).start().await.unwrap();
    (one, two, arrived)
}

async fn all_arrived(arrived: &AtomicU64, count: u64) {
    let all = async {
        while arrived.load(Ordering::Relaxed) < count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("not all messages arrived");
}

#[tokio::test(start_paused = true)]
async fn messages_are_events_where_that_was_asked_for() {
    let links = Links::immediate();
    for enabled in [false, true] {
        let (one, two, arrived) = sending(&links, 9, enabled).await;
        let (mut at_one, mut at_two) = (one.events(), two.events());
        one.add_peer(node(2));
        all_arrived(&arrived, 9).await;
        sleep(Duration::from_millis(10)).await;
        let message = |peer: u16, n: u64| {
            let (code, size) = (n % 4, usize::try_from(n).unwrap());
            (id(peer), Capability::new("test", 1), code, size)
        };
        let fields =
            |message: PeerMessage| (message.id, message.capability, message.code, message.size);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for event in waiting(&mut at_one) {
            match event {
                Event::MsgSend(message) => sent.push(fields(message)),
                event => assert!(matches!(event, Event::Add(_)), "{event:?}"),
            }
        }
        for event in waiting(&mut at_two) {
            match event {
                Event::MsgRecv(message) => received.push(fields(message)),
                event => assert!(matches!(event, Event::Add(_)), "{event:?}"),
            }
        }
        let count = if enabled { 9 } else { 0 };
        assert_eq!(sent, (0..count).map(|n| message(2, n)).collect::<Vec<_>>());
        assert_eq!(received, (0..count).map(|n| message(1, n)).collect::<Vec<_>>());
        one.stop().await;
        two.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_told_what_it_missed_and_blocks_nobody() {
    const MESSAGES: u64 = 3_000;
    let links = Links::immediate();
    let (one, two, arrived) = sending(&links, MESSAGES, true).await;
    let mut slow = two.events();
    let mut fast = two.events();
    let counted = tokio::spawn(async move {
        let mut received = 0;
        while let Some(event) = fast.next().await {
            assert!(!matches!(event, Event::Missed(_)), "{event:?}");
            received += u64::from(matches!(event, Event::MsgRecv(_)));
        }
        received
    });
    one.add_peer(node(2));
    all_arrived(&arrived, MESSAGES).await;
    sleep(Duration::from_millis(10)).await;

    let events = waiting(&mut slow);
    let Event::Missed(missed) = events[0] else { panic!("{:?}", events[0]) };
    assert_eq!(
        u64::try_from(events.len()).unwrap() - 1 + missed,
        MESSAGES + 1,
        "with the addition"
    );
    assert_eq!(events.len() - 1, 1_024);
    assert!(events[1..].iter().all(|event| matches!(event, Event::MsgRecv(_))));
    // It goes on from there.
    one.stop().await;
    assert!(matches!(next_event(&mut slow).await, Event::Drop(_)));
    two.stop().await;
    assert_eq!(counted.await.unwrap(), MESSAGES, "another subscriber misses nothing");
}

// Commands.

#[tokio::test(start_paused = true)]
async fn a_removed_peer_is_told_0x00_and_not_dialed_again() {
    let links = Links::immediate();
    let mut remote = Listening::new(&links, 2);
    let server = server(&links, 1).static_node(node(2)).start().await.unwrap();
    let io = remote.accept().await;
    let told = tokio::spawn(remote.secure(io).await.refusal());
    wait_for_peers(&server, 1).await;
    let mut events = server.events();
    server.remove_peer(id(2)).await;
    assert_eq!(server.peer_count(), 0, "it returns when the peer is gone");
    assert_eq!(told.await.unwrap().0, Reason::Requested);
    let Event::Drop(gone) = next_event(&mut events).await else { panic!("it is gone") };
    assert_eq!((gone.reason, gone.side), (Reason::Requested, Side::Local));
    let dialed = timeout(Duration::from_secs(250), remote.accept()).await;
    assert!(dialed.is_err(), "it is dialed again");

    // Added again, it is dialed at once.
    let start = now();
    server.add_peer(node(2));
    let io = remote.accept().await;
    assert!(now() - start < Duration::from_millis(10));
    drop(io);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn removing_a_node_that_is_not_connected_returns_at_once() {
    let links = Links::immediate();
    let server = server(&links, 1).static_node(node(2)).start().await.unwrap();
    let start = now();
    server.remove_peer(id(2)).await;
    server.remove_peer(id(3)).await;
    assert_eq!(now(), start);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_came_by_itself_can_be_removed_too() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    let told = tokio::spawn(Remote::dial(&links, 2, &node(1)).await.refusal());
    wait_for_peers(&server, 1).await;
    server.remove_peer(id(2)).await;
    assert_eq!(told.await.unwrap().0, Reason::Requested);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_added_is_dialed_and_dialed_again_when_it_is_gone() {
    let links = Links::immediate();
    let one = server(&links, 1).start().await.unwrap();
    let two = server(&links, 2).start().await.unwrap();
    let start = now();
    one.add_peer(node(2));
    wait_for_peers(&one, 1).await;
    assert!(now() - start < Duration::from_secs(1));
    assert!(one.peer(id(2)).unwrap().is_static);
    two.stop().await;
    wait_for_peers(&one, 0).await;
    let two = server(&links, 2).start().await.unwrap();
    sleep(Duration::from_secs(40)).await;
    assert_eq!((one.peer_count(), two.peer_count()), (1, 1));
    one.stop().await;
    two.stop().await;
}

// Lists.

#[tokio::test(start_paused = true)]
async fn peers_are_told_with_all_that_is_known() {
    let links = Links::new(Latency::fixed(Duration::from_millis(30)), 0);
    let one = server(&links, 1).static_node(node(2)).trusted_node(node(3));
    let one = one.discovery(NodeList::new([node(4)])).start().await.unwrap();
    let two = server(&links, 2).start().await.unwrap();
    let three = server(&links, 3).static_node(node(1)).start().await.unwrap();
    let four = server(&links, 4).start().await.unwrap();
    wait_for_peers(&one, 3).await;

    let peers = one.peers();
    assert!(peers.is_sorted_by_key(|peer| peer.id));
    let of = |n| one.peer(id(n)).unwrap();
    for n in 2..=4 {
        let peer = of(n);
        assert!(peers.contains(&peer));
        assert_eq!((peer.id, peer.public_key), (id(n), key(n).public_key()));
        assert_eq!(peer.name, format!("node {n}"));
        assert_eq!(peer.capabilities, [Capability::new("test", 1)]);
        assert_eq!(peer.shared, peer.capabilities);
        assert_eq!(peer.rtt, None, "no ping yet");
        assert!(peer.traffic.ingress > 64 && peer.traffic.egress > 64);
        let flags = (peer.is_static, peer.is_trusted, peer.is_dynamic());
        assert_eq!(flags, (n == 2, n == 3, n == 4));
        let inbound = n == 3;
        assert_eq!(peer.direction == Direction::Inbound, inbound);
        let (own, other) = (peer.local_addr.unwrap(), peer.remote_addr.unwrap());
        assert_eq!((own.ip(), other.ip()), (ip(1), ip(n)));
        assert_eq!((own == addr(1), other == addr(n)), (inbound, !inbound));
    }
    let before = of(2);
    sleep(Duration::from_secs(20)).await;
    let after = of(2);
    assert_eq!((after.age - before.age).as_secs(), 20);
    assert_eq!(after.rtt, Some(Duration::from_millis(60)), "there and back");
    assert!(after.traffic.ingress > before.traffic.ingress);
    for server in [one, two, three, four] {
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn trust_and_static_lists_show_at_once() {
    let links = Links::immediate();
    let server = server(&links, 1).start().await.unwrap();
    let _peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    let flags = || server.peer(id(2)).map(|peer| (peer.is_static, peer.is_trusted)).unwrap();
    assert_eq!(flags(), (false, false));
    server.add_trusted_peer(id(2));
    assert_eq!(flags(), (false, true));
    server.add_peer(node(2));
    assert_eq!(flags(), (true, true));
    server.remove_trusted_peer(id(2));
    assert_eq!(flags(), (true, false));
    server.stop().await;
}

#[tokio::test]
async fn a_node_tells_the_address_that_it_really_has() {
    let server = devp2p_server::Server::builder(key(1))
        .name("named")
        .listen_addr("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())
        .protocol(support::Quiet("test"))
        .start()
        .await
        .unwrap();
    let info = server.node_info();
    let address = info.listen_addr.unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!((info.id, info.name.as_str()), (id(1), "named"));
    assert_eq!(info.enode.tcp_addr(), Some(address));
    assert_eq!(info.enode.public_key(), key(1).public_key());
    assert_eq!((info.enr.id(), info.enr.tcp()), (id(1), Some(address.port())));
    assert_eq!(info.protocols.keys().collect::<Vec<_>>(), ["test"]);

    // Its Hello tells the same.
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (near, far) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let io = Io::new(stream, Some(near), Some(far));
    let transport = RlpxTransport::new(key(2), devp2p_rlpx::Config::default());
    let connection = transport.connect(io, key(1).public_key()).await.unwrap();
    let remote = Remote { connection, hello: support::hello(2, &["test"]) };
    let established = remote.greet().await.unwrap();
    let hello = established.hello();
    assert_eq!((hello.name.as_str(), hello.listen_port), ("named", address.port()));
    drop(established);
    server.stop().await;
}

/// A subprotocol that tells of itself and of its peers.
struct Telling;

impl Subprotocol for Telling {
    fn capability(&self) -> Capability {
        Capability::new("tell", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        while stream.next().await.is_some() {}
        Ok(())
    }

    fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        // The RLP of 5; a text that is no RLP; a key that is not a subprotocol's to set.
        vec![
            (b"tell".to_vec(), Bytes::from_static(&[5])),
            (b"torn".to_vec(), Bytes::from_static(&[0x83, 1])),
            (b"secp256k1".to_vec(), Bytes::from_static(&[5])),
        ]
    }

    fn node_info(&self) -> Option<String> {
        Some(r#"{"network":1}"#.into())
    }

    fn peer_info(&self, id: NodeId) -> Option<String> {
        Some(format!(r#"{{"head of":"{id}"}}"#))
    }
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_tells_of_itself_and_of_its_peers() {
    let links = Links::immediate();
    let server = server(&links, 1).protocol(Telling).start().await.unwrap();
    let info = server.node_info();
    assert_eq!(info.protocols["tell"].as_deref(), Some(r#"{"network":1}"#));
    assert_eq!(info.protocols["test"], None);
    assert_eq!(info.enr.get(b"tell"), Some(&[5][..]));
    assert_eq!(info.enr.get(b"torn"), None, "an entry that cannot stand is left out");
    assert_eq!(info.enr.public_key(), key(1).public_key());

    let both = Remote::dial(&links, 2, &node(1)).await;
    let _both = both.saying(support::hello(2, &["tell", "test"])).greet().await.unwrap();
    let _one = Remote::dial(&links, 3, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 2).await;
    let told = server.peer(id(2)).unwrap().protocols;
    assert_eq!(told["tell"], Some(format!(r#"{{"head of":"{}"}}"#, id(2))));
    assert_eq!(told["test"], None);
    let told = server.peer(id(3)).unwrap().protocols;
    assert_eq!(told.keys().collect::<Vec<_>>(), ["test"], "the one that it shares");
    server.stop().await;
}

// From elsewhere.

#[tokio::test(start_paused = true)]
async fn events_from_before_the_start_on_miss_nothing() {
    let links = Links::immediate();
    let two = server(&links, 2).start().await.unwrap();
    let server = server(&links, 1).static_node(node(2)).build().unwrap();
    let mut events = server.events();
    let server = server.start().await.unwrap();
    wait_for_peers(&server, 1).await;
    assert_eq!(waiting(&mut server.events()), []);
    assert!(matches!(next_event(&mut events).await, Event::Add(add) if add.id == id(2)));
    server.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_thread_without_a_runtime_may_call_the_server() {
    let links = Links::immediate();
    let two = server(&links, 2).start().await.unwrap();
    let server = server(&links, 1).start().await.unwrap();
    let on_a_thread = |call: fn(&Handle)| {
        let server = server.clone();
        std::thread::spawn(move || call(&server)).join().unwrap();
    };
    on_a_thread(|server| server.add_peer(node(2)));
    wait_for_peers(&server, 1).await;
    on_a_thread(|server| {
        server.add_trusted_peer(id(2));
        let [peer] = <[_; 1]>::try_from(server.peers()).unwrap();
        assert!(peer.is_static && peer.is_trusted);
    });
    server.stop().await;
    two.stop().await;
}
