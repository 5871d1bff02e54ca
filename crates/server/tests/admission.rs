//! Who becomes a peer of a whole server, who does not, and what the refused one is told.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{io, time::Duration};

use devp2p_core::{BoxConnection, Node};
use devp2p_peer::{Direction, DisconnectReason as Reason, Established};
use devp2p_server::{
    Builder, Dialer as _, Handle, Io, Server, SetupError, SetupFailure, Transport as _,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    time::{sleep, timeout},
};

use self::support::{
    Listening, Remote, Stage, hello, id, ip, key, links::Links, node, now, plain::PlainTransport,
    server, wait_for_peers,
};

/// The server that is asked.
const OURS: u16 = 100;

async fn start(links: &Links, change: impl FnOnce(Builder) -> Builder) -> Handle {
    change(server(links, OURS)).start().await.unwrap()
}

/// The `n`th node becomes a peer. It stays one while the connection that it gets is kept.
async fn join(links: &Links, n: u16) -> Established {
    Remote::dial(links, n, &node(OURS)).await.greet().await.unwrap()
}

/// The `n`th node asks, and is refused.
async fn refused(links: &Links, n: u16) -> (Reason, Stage) {
    Remote::dial(links, n, &node(OURS)).await.refusal().await
}

/// With room for that many inbound peers, and none to dial.
fn inbound_only(max_peers: usize) -> impl FnOnce(Builder) -> Builder {
    move |builder| builder.max_peers(max_peers).configure(|config| config.no_dial = true)
}

#[tokio::test(start_paused = true)]
async fn above_max_peers_a_stranger_is_told_too_many_peers() {
    let links = Links::immediate();
    let server = start(&links, inbound_only(2)).await;
    let _peers = (join(&links, 1).await, join(&links, 2).await);
    wait_for_peers(&server, 2).await;
    assert_eq!(refused(&links, 3).await, (Reason::TooManyPeers, Stage::BeforeHello));
    assert_eq!(server.counters().refused[&Reason::TooManyPeers], 1);
    assert_eq!(server.peer_count(), 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_last_slot_during_its_hello_is_told_so_after_it() {
    let links = Links::immediate();
    let server = start(&links, inbound_only(1)).await;
    let slow = Remote::dial(&links, 1, &node(OURS)).await;
    sleep(Duration::from_millis(10)).await;
    let _fast = join(&links, 2).await;
    wait_for_peers(&server, 1).await;
    assert_eq!(slow.refusal().await, (Reason::TooManyPeers, Stage::AfterHello));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inbound_peers_leave_the_share_of_dialed_ones_free() {
    let links = Links::immediate();
    // A third is for dialed ones.
    let server = start(&links, |builder| builder.max_peers(3)).await;
    let mut listening = Listening::new(&links, 4);
    let _peers = (join(&links, 1).await, join(&links, 2).await);
    wait_for_peers(&server, 2).await;
    assert_eq!(refused(&links, 3).await, (Reason::TooManyPeers, Stage::BeforeHello));
    server.add_peer(node(4));
    let io = listening.accept().await;
    let _dialed = listening.secure(io).await.greet().await.unwrap();
    wait_for_peers(&server, 3).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn trusted_nodes_come_in_above_the_limit_and_take_no_place() {
    let links = Links::immediate();
    let server = start(&links, |builder| inbound_only(1)(builder).trusted_node(node(1))).await;
    let _trusted = join(&links, 1).await;
    wait_for_peers(&server, 1).await;
    assert!(server.peer(id(1)).unwrap().is_trusted);
    let _public = join(&links, 2).await;
    wait_for_peers(&server, 2).await;
    assert_eq!(refused(&links, 3).await.0, Reason::TooManyPeers);

    // At run time too.
    server.add_trusted_peer(id(3));
    let third = join(&links, 3).await;
    wait_for_peers(&server, 3).await;
    server.remove_trusted_peer(id(3));
    assert_eq!(server.peer_count(), 3, "it stays");
    drop(third);
    wait_for_peers(&server, 2).await;
    assert_eq!(refused(&links, 3).await.0, Reason::TooManyPeers, "but does not come back");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_shared_subprotocol_a_node_is_useless() {
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let remote = Remote::dial(&links, 1, &node(OURS)).await.saying(hello(1, &["other", "tes"]));
    assert_eq!(remote.refusal().await, (Reason::UselessPeer, Stage::AfterHello));
    let nothing = Remote::dial(&links, 2, &node(OURS)).await.saying(hello(2, &[]));
    assert_eq!(nothing.refusal().await, (Reason::UselessPeer, Stage::AfterHello));
    assert_eq!(server.counters().refused[&Reason::UselessPeer], 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_connected_already_is_told_so() {
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let _peer = join(&links, 1).await;
    wait_for_peers(&server, 1).await;
    let since = server.peer(id(1)).unwrap().remote_addr;
    assert_eq!(refused(&links, 1).await, (Reason::AlreadyConnected, Stage::BeforeHello));
    assert_eq!(server.peer(id(1)).unwrap().remote_addr, since, "the first one stays");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_our_own_key_is_told_that_it_is_us() {
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    assert_eq!(refused(&links, OURS).await, (Reason::SelfConnect, Stage::BeforeHello));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hello_under_another_key_is_refused() {
    let links = Links::immediate();
    let server = start(&links, |builder| builder).await;
    let remote = Remote::dial(&links, 1, &node(OURS)).await.saying(hello(2, &["test"]));
    assert_eq!(remote.refusal().await, (Reason::UnexpectedIdentity, Stage::AfterHello));
    assert_eq!(server.peer_count(), 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dialed_node_with_another_key_is_refused() {
    let links = Links::immediate();
    let mut listening = Listening::new(&links, 1);
    let server = start(&links, |builder| {
        // The address of the first node with the key of the second.
        let node = Node::new(key(2).public_key(), node(1).host().cloned(), support::PORT, 0);
        builder.static_node(node)
    })
    .await;
    let io = listening.accept().await;
    let remote = listening.secure(io).await;
    assert_eq!(remote.refusal().await, (Reason::UnexpectedIdentity, Stage::BeforeHello));
    assert_eq!(server.peer_count(), 0);
    server.stop().await;
}

// Silence, and the deadline.

/// Everything that comes until the end, and when that is.
async fn read_to_end(mut io: Io) -> (Vec<u8>, tokio::time::Instant) {
    let mut read = Vec::new();
    let end = timeout(Duration::from_secs(60), io.read_to_end(&mut read)).await;
    match end.unwrap_or_else(|_| panic!("still open, after {} bytes", read.len())) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}"),
    }
    (read, now())
}

#[tokio::test(start_paused = true)]
async fn a_failed_secure_handshake_is_closed_without_a_word() {
    let links = Links::immediate();
    let plain = start(&links, |builder| builder).await;
    // Another one with the transport that real servers have.
    let encrypted = Server::builder(key(101))
        .dialer(links.dialer(ip(101)))
        .listener(links.listen(support::addr(101)).unwrap())
        .start()
        .await
        .unwrap();
    for n in [OURS, 101] {
        for length in [64, 307, 2_000] {
            let mut io = links.dialer(ip(1)).dial(&node(n)).await.unwrap();
            io.write_all(&vec![0xff; length]).await.unwrap();
            io.shutdown().await.unwrap();
            let start = now();
            let (read, end) = read_to_end(io).await;
            assert_eq!(read, [], "server {n} answered {length} bytes of garbage");
            assert!(end - start < Duration::from_secs(6));
        }
    }
    for server in [plain, encrypted] {
        sleep(Duration::from_millis(10)).await;
        assert_eq!(server.counters().failed[&SetupFailure::SecureHandshake], 3);
        server.stop().await;
    }
}

/// How far a remote gets before it falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    AtOnce,
    InTheSecureHandshake,
    AfterTheSecureHandshake,
    InItsHello,
    ByteByByte,
}

const STALLS: [Stall; 5] = [
    Stall::AtOnce,
    Stall::InTheSecureHandshake,
    Stall::AfterTheSecureHandshake,
    Stall::InItsHello,
    Stall::ByteByByte,
];

/// What a node that dialed us sends in all: its key, then a Hello as the plain transport frames it.
fn opening(n: u16) -> Vec<u8> {
    let hello = hello(n, &["test"]).encode();
    let mut bytes = key(n).public_key().as_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(hello.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&hello);
    bytes
}

/// Sends what comes before the stall, then waits for the end.
async fn stall(mut io: Io, n: u16, at: Stall) -> tokio::time::Instant {
    let opening = opening(n);
    let sent = match at {
        Stall::AtOnce => 0,
        Stall::InTheSecureHandshake => 63,
        Stall::AfterTheSecureHandshake => 64,
        Stall::InItsHello => opening.len() - 1,
        Stall::ByteByByte => {
            for byte in opening {
                if io.write_all(&[byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(40)).await;
            }
            return read_to_end(io).await.1;
        }
    };
    io.write_all(&opening[..sent]).await.unwrap();
    read_to_end(io).await.1
}

/// About the deadline of a set-up.
fn about_5_s(took: Duration) -> bool {
    (Duration::from_millis(4_950)..Duration::from_millis(5_100)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_every_stage_of_an_inbound_set_up() {
    for at in STALLS {
        let links = Links::immediate();
        let server = start(&links, |builder| builder).await;
        let io = links.dialer(ip(1)).dial(&node(OURS)).await.unwrap();
        let start = now();
        let end = stall(io, 1, at).await;
        assert!(about_5_s(end - start), "{at:?}: closed after {:?}", end - start);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(server.counters().failed[&SetupFailure::Deadline], 1, "{at:?}");
        assert_eq!(server.pending(), 1, "{at:?}: only the slot for the next connection is taken");
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_every_stage_of_a_dial() {
    for at in STALLS {
        let links = Links::immediate();
        let mut listening = Listening::new(&links, 1);
        let server = start(&links, |builder| builder.static_node(node(1))).await;
        let io = listening.accept().await;
        let start = now();
        let end = stall(io, 1, at).await;
        assert!(about_5_s(end - start), "{at:?}: closed after {:?}", end - start);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(server.counters().failed[&SetupFailure::Deadline], 1, "{at:?}");
        assert_eq!(server.pending(), 1, "{at:?}: only the slot for the next connection is taken");
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_real_handshake_that_stalls_is_closed_at_the_deadline_without_a_word() {
    let links = Links::immediate();
    let server = Server::builder(key(OURS))
        .dialer(links.dialer(ip(OURS)))
        .listener(links.listen(support::addr(OURS)).unwrap())
        .start()
        .await
        .unwrap();
    // Nothing; a part of the length; the length; a part of the packet.
    for sent in [0, 1, 2, 200] {
        let mut io = links.dialer(ip(1)).dial(&node(OURS)).await.unwrap();
        let mut packet = vec![0x01, 0xa0];
        packet.resize(200, 0x04);
        io.write_all(&packet[..sent]).await.unwrap();
        let start = now();
        let (read, end) = read_to_end(io).await;
        assert_eq!(read, [], "after {sent} bytes");
        assert!(about_5_s(end - start), "closed {:?} after {sent} bytes", end - start);
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!((server.counters().failed.values().sum::<u64>(), server.pending()), (4, 1));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_does_not_leave_is_left_at_the_deadline() {
    let links = Links::immediate();
    let server = start(&links, inbound_only(0)).await;
    let start = now();
    // It has its Disconnect, and neither reads it nor closes.
    let remote = Remote::dial(&links, 1, &node(OURS)).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(server.pending(), 2);
    while server.pending() > 1 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(now() - start <= Duration::from_millis(5_020), "{:?}", now() - start);
    drop(remote);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_can_be_changed() {
    let links = Links::immediate();
    let server = start(&links, |builder| {
        builder.configure(|config| config.setup_timeout = Duration::from_secs(1))
    })
    .await;
    let io = links.dialer(ip(1)).dial(&node(OURS)).await.unwrap();
    let start = now();
    let end = stall(io, 1, Stall::AtOnce).await;
    assert!((Duration::from_millis(990)..Duration::from_millis(1_100)).contains(&(end - start)));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_taken_before_a_connection_is_accepted() {
    let links = Links::immediate();
    let server =
        start(&links, |builder| builder.configure(|config| config.max_pending_peers = 2)).await;
    let dialer = links.dialer(ip(1));
    let mut stalled = Vec::new();
    for _ in 0..5 {
        stalled.push(dialer.dial(&node(OURS)).await.unwrap());
    }
    for (after, accepted) in [(0, 2), (5_050, 4), (5_050, 5)] {
        sleep(Duration::from_millis(after)).await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(server.counters().accepted, accepted);
    }
    sleep(Duration::from_secs(6)).await;
    let _peer = join(&links, 1).await;
    wait_for_peers(&server, 1).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn slots_are_for_set_ups_not_for_peers() {
    let links = Links::immediate();
    let server =
        start(&links, |builder| builder.configure(|config| config.max_pending_peers = 1)).await;
    let mut peers = Vec::new();
    for n in 1..=20 {
        peers.push(join(&links, n).await);
    }
    wait_for_peers(&server, 20).await;
    server.stop().await;
}

// Streams that are handed in.

/// A server without a listener.
async fn closed(n: u16) -> Handle {
    let links = Links::immediate();
    Server::builder(key(n))
        .listen_addr(None)
        .dialer(links.dialer(ip(n)))
        .transport(PlainTransport::new(key(n)))
        .protocol(support::Quiet("test"))
        .start()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_of_any_kind_makes_peers_of_its_ends() {
    let (one, two) = (closed(1).await, closed(2).await);
    let (near, far) = duplex(1_000);
    let (near, far) = (Io::new(near, None, None), Io::new(far, None, None));
    let (at_one, at_two) = tokio::join!(
        one.setup_conn(near, Direction::Outbound, Some(key(2).public_key())),
        two.setup_conn(far, Direction::Inbound, None),
    );
    assert_eq!((at_one.unwrap(), at_two.unwrap()), (id(2), id(1)));
    let (at_one, at_two) = (one.peers(), two.peers());
    assert_eq!(
        (at_one[0].direction, at_two[0].direction),
        (Direction::Outbound, Direction::Inbound)
    );
    assert_eq!((at_one[0].remote_addr, at_two[0].remote_addr), (None, None));
    one.stop().await;
    assert_eq!(two.peer_count(), 0);
    two.stop().await;
}

/// Hands in one end of a stream, whose other end does something.
async fn hand_in<T>(
    server: &Handle,
    direction: Direction,
    expected: Option<u16>,
    remote: impl AsyncFnOnce(Io) -> T,
) -> (Result<(), SetupError>, T) {
    let (near, far) = duplex(1_000);
    let (near, far) = (Io::new(near, None, None), Io::new(far, None, None));
    let expected = expected.map(|n| key(n).public_key());
    let (result, told) = tokio::join!(server.setup_conn(near, direction, expected), remote(far));
    (result.map(|_| ()), told)
}

async fn secured(io: Io, n: u16) -> BoxConnection {
    PlainTransport::new(key(n)).connect(io, key(OURS).public_key()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn whose_stream_does_not_become_a_peer_is_told_why() {
    let server = closed(OURS).await;

    let stranger = async |io| {
        Remote { connection: secured(io, 2).await, hello: hello(2, &["test"]) }.refusal().await
    };
    let (result, told) = hand_in(&server, Direction::Inbound, Some(1), stranger).await;
    assert!(matches!(result, Err(SetupError::Refused(Reason::UnexpectedIdentity))), "{result:?}");
    assert_eq!(told, (Reason::UnexpectedIdentity, Stage::BeforeHello));

    let garbage = async |mut io: Io| io.write_all(&[0xff; 64]).await.unwrap();
    let (result, ()) = hand_in(&server, Direction::Inbound, None, garbage).await;
    assert!(matches!(result, Err(SetupError::Secure(_))), "{result:?}");

    let silent = async |io: Io| {
        sleep(Duration::from_secs(20)).await;
        drop(io);
    };
    let (result, ()) = hand_in(&server, Direction::Inbound, None, silent).await;
    assert!(matches!(result, Err(SetupError::Deadline)), "{result:?}");

    let refusing = async |io: Io| {
        let remote = Remote { connection: secured(io, 2).await, hello: hello(2, &["test"]) };
        remote.refuse(Reason::TooManyPeers).await;
    };
    let (result, ()) = hand_in(&server, Direction::Inbound, None, refusing).await;
    match result {
        Err(SetupError::Hello(error)) => assert_eq!(error.reason(), Reason::TooManyPeers),
        other => panic!("{other:?}"),
    }

    let (result, ()) = hand_in(&server, Direction::Outbound, None, async |_| ()).await;
    assert!(matches!(result, Err(SetupError::MissingKey)), "{result:?}");

    assert_eq!(server.pending(), 0);
    server.stop().await;
    let (result, ()) = hand_in(&server, Direction::Inbound, None, async |_| ()).await;
    assert!(matches!(result, Err(SetupError::Stopped)), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn handed_in_streams_need_slots_and_ask_no_address() {
    let links = Links::immediate();
    let server = start(&links, |builder| {
        builder.configure(|config| {
            config.max_pending_peers = 1;
            config.net_restrict = Some("192.0.2.0/24".parse().unwrap());
        })
    })
    .await;
    sleep(Duration::from_millis(10)).await;
    // The listener has the only slot.
    let (result, ()) = hand_in(&server, Direction::Inbound, None, async |_| ()).await;
    assert!(matches!(result, Err(SetupError::NoSlot)), "{result:?}");
    server.stop().await;

    let server = closed(OURS).await;
    let (near, far) = links.pair(support::addr(1), support::addr(2));
    let remote = async {
        Remote { connection: secured(far, 1).await, hello: hello(1, &["test"]) }.greet().await
    };
    let (result, _established) =
        tokio::join!(server.setup_conn(near, Direction::Inbound, None), remote);
    assert_eq!(result.unwrap(), id(1));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn net_restrict_binds_both_directions() {
    let links = Links::immediate();
    let mut listening = Listening::new(&links, 1);
    let mut forbidden = Listening::new(&links, 2);
    let server = start(&links, |builder| {
        builder.static_node(node(1)).static_node(node(2)).configure(|config| {
            config.net_restrict = Some(format!("{}/32", ip(1)).parse().unwrap());
        })
    })
    .await;
    // Nothing is said to a stranger, not even by the secure handshake.
    let mut io = links.dialer(ip(3)).dial(&node(OURS)).await.unwrap();
    let _ = io.write_all(&opening(3)).await;
    assert_eq!(read_to_end(io).await.0, []);
    let io = listening.accept().await;
    let _peer = listening.secure(io).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    assert_eq!(server.counters().accepted, 0);
    assert!(forbidden.is_left_alone().await);
    server.stop().await;
}

// Whom a server dials.

#[tokio::test(start_paused = true)]
async fn no_dial_keeps_static_nodes_and_bootnodes_from_being_dialed() {
    for no_dial in [true, false] {
        let links = Links::immediate();
        let mut nodes = [1, 2, 3].map(|n| Listening::new(&links, n));
        let server = start(&links, |builder| {
            builder.static_node(node(1)).configure(|config| {
                config.bootstrap_nodes = vec![node(2)];
                // Nobody asks it, so that it needs no UDP port.
                config.discovery_v4 = false;
                config.no_dial = no_dial;
            })
        })
        .await;
        server.add_peer(node(3));
        for (n, listening) in (1..).zip(&mut nodes) {
            assert_eq!(listening.is_left_alone().await, no_dial, "node {n}, no_dial {no_dial}");
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bootnode_is_dialed_after_20_s_without_a_peer() {
    for (bootstrap_after, expected) in [(None, 20), (Some(Duration::from_secs(7)), 7)] {
        let links = Links::immediate();
        let mut listening = Listening::new(&links, 1);
        let begin = now();
        let server = start(&links, |builder| {
            builder.configure(|config| {
                config.bootstrap_nodes = vec![node(1)];
                // Nobody asks it, so that it needs no UDP port.
                config.discovery_v4 = false;
                if let Some(after) = bootstrap_after {
                    config.dial.bootstrap_after = after;
                }
            })
        })
        .await;
        let io = listening.accept().await;
        assert_eq!((now() - begin).as_secs(), expected);
        let _peer = listening.secure(io).await.greet().await.unwrap();
        wait_for_peers(&server, 1).await;
        assert!(!server.peer(id(1)).unwrap().is_static);
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn dials_at_one_time_can_be_limited() {
    for (max_active_dials, dials) in [(1, 1), (16, 2)] {
        let links = Links::immediate();
        // They accept, and say nothing.
        let _silent = (Listening::new(&links, 1), Listening::new(&links, 2));
        let server = start(&links, |builder| {
            builder
                .static_node(node(1))
                .static_node(node(2))
                .configure(|config| config.dial.max_active_dials = max_active_dials)
        })
        .await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(server.pending(), dials + 1, "with the listener's slot");
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_waits_between_dials_can_be_changed() {
    for (wait, expected) in [(None, 35), (Some(Duration::from_secs(3)), 3)] {
        let links = Links::immediate();
        let begin = now();
        let server = start(&links, |builder| {
            builder.static_node(node(1)).configure(|config| {
                if let Some(wait) = wait {
                    config.dial.history = wait;
                    config.dial.static_backoff = wait..=wait;
                }
            })
        })
        .await;
        // It is down at first.
        sleep(Duration::from_secs(1)).await;
        let _stream = Listening::new(&links, 1).accept().await;
        assert_eq!((now() - begin).as_secs(), expected);
        server.stop().await;
    }
}
