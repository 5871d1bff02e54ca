//! Two servers that dial each other at the same moment end up with one connection.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::time::Duration;

use devp2p_core::NodeId;
use devp2p_peer::{Direction, DisconnectReason, HelloError};
use devp2p_server::{Event, Handle, Io};
use tokio::time::sleep;

use self::support::{
    Listening, Remote, id,
    links::{Latency, Links},
    next_event, node, now, server, wait_for_peers,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What happened at one side, and when.
type Log = Vec<(Duration, Event)>;

/// Two servers with each other in their static lists, the second started a bit after the first,
/// run for 10 s. Tells who dialed the connection that they have then.
async fn meet(latency: &Latency, apart: Duration, seed: u64) -> NodeId {
    let links = Links::new(latency.clone(), seed);
    let start = now();
    // Which of the two has the smaller id changes with the seed.
    let (a, b) = if seed.is_multiple_of(2) { (1, 2) } else { (2, 1) };
    let (one, two) = (server(&links, a), server(&links, b));
    let first = one.static_node(node(b)).start().await.unwrap();
    let first_log = watch(&first, start);
    sleep(apart).await;
    let second = two.static_node(node(a)).start().await.unwrap();
    let second_log = watch(&second, start);
    sleep(Duration::from_secs(10)).await;

    let case = format!("{latency:?}, {apart:?} apart, seed {seed}");
    let (at_first, at_second) = (first.peers(), second.peers());
    assert_eq!(at_first.iter().map(|peer| peer.id).collect::<Vec<_>>(), [id(b)], "{case}");
    assert_eq!(at_second.iter().map(|peer| peer.id).collect::<Vec<_>>(), [id(a)], "{case}");
    assert_ne!(at_first[0].direction, at_second[0].direction, "two connections: {case}");
    assert_eq!(at_first[0].local_addr, at_second[0].remote_addr, "two connections: {case}");
    let dialed_by = if at_first[0].direction == Direction::Outbound { id(a) } else { id(b) };

    first.stop().await;
    second.stop().await;
    for (log, remote) in [(first_log.await.unwrap(), id(b)), (second_log.await.unwrap(), id(a))] {
        // An admitted connection is never replaced: one addition, and one drop, at the stop.
        let [(_, Event::Add(add)), (until, Event::Drop(drop))] = log.as_slice() else {
            panic!("{log:?}: {case}");
        };
        assert_eq!((add.id, drop.id), (remote, remote));
        assert!(*until >= apart + Duration::from_secs(10), "{log:?}: {case}");
    }
    dialed_by
}

fn watch(server: &Handle, start: tokio::time::Instant) -> tokio::task::JoinHandle<Log> {
    let mut events = server.events();
    tokio::spawn(async move {
        let mut log = Log::new();
        while let Some(event) = events.next().await {
            log.push((now() - start, event));
        }
        log
    })
}

#[tokio::test(start_paused = true)]
async fn of_two_equal_dials_that_of_the_smaller_id_stays() {
    for one_way in [0, 1, 20, 300] {
        for seed in 0..2 {
            let dialed_by = meet(&Latency::fixed(millis(one_way)), Duration::ZERO, seed).await;
            assert_eq!(dialed_by, id(1).min(id(2)), "{one_way} ms one way, seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_comes_of_two_dials() {
    let latencies = [
        Latency { base: millis(1)..=millis(10), jitter: millis(0)..=millis(5) },
        Latency { base: millis(10)..=millis(300), jitter: millis(0)..=millis(0) },
        Latency { base: millis(10)..=millis(150), jitter: millis(0)..=millis(100) },
        Latency { base: millis(50)..=millis(60), jitter: millis(0)..=millis(400) },
    ];
    let mut dialed_by_smaller = 0;
    for latency in &latencies {
        for seed in 0..400 {
            // From the same moment to about the time that one dial and its handshakes take.
            let apart = latency.base.end().mul_f64(f64::from(u8::try_from(seed % 8).unwrap()));
            let dialed_by = meet(latency, apart, seed).await;
            dialed_by_smaller += u32::from(dialed_by == id(1).min(id(2)));
        }
    }
    assert!((400..1_200).contains(&dialed_by_smaller), "both kinds occur: {dialed_by_smaller}");
}

/// The numbers of two nodes in the order of their ids.
fn ordered() -> (u16, u16) {
    if id(1) < id(2) { (1, 2) } else { (2, 1) }
}

/// Our server, which has dialed the remote, whose connection is about to be secure, and the
/// connection that the remote has dialed, as far as our Hello.
async fn both_dialed(ours: u16, theirs: u16) -> (Handle, Listening, Io, Remote) {
    let links = Links::immediate();
    let mut remote = Listening::new(&links, theirs);
    let server = server(&links, ours).static_node(node(theirs)).start().await.unwrap();
    let dialed = remote.accept().await;
    let dialing = Remote::dial(&links, theirs, &node(ours)).await;
    sleep(millis(10)).await;
    (server, remote, dialed, dialing)
}

#[tokio::test(start_paused = true)]
async fn the_second_connection_waits_and_takes_the_place_of_the_first() {
    let (ours, theirs) = ordered();
    let (server, remote, dialed, dialing) = both_dialed(ours, theirs).await;
    let mut events = server.events();
    // A remote that knows no such rule, as go-ethereum, admits its own connection and refuses ours.
    let dialed = remote.secure(dialed).await;
    sleep(millis(10)).await;
    let dialing = tokio::spawn(dialing.greet());
    sleep(millis(10)).await;
    assert_eq!(server.peer_count(), 0, "it waits");
    support::refuse(dialed.connection, DisconnectReason::AlreadyConnected, millis(10)).await;

    let Event::Add(add) = next_event(&mut events).await else { panic!("a peer was added") };
    assert_eq!((add.id, add.direction), (id(theirs), Direction::Inbound));
    let _established = dialing.await.unwrap().unwrap();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(server.peer_count(), 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_second_connection_waits_and_is_refused_for_the_first() {
    let (ours, theirs) = ordered();
    let (server, remote, dialed, dialing) = both_dialed(ours, theirs).await;
    let mut events = server.events();
    let dialed = remote.secure(dialed).await;
    sleep(millis(10)).await;
    let refusal = tokio::spawn(dialing.refusal());
    sleep(millis(10)).await;
    assert_eq!(server.peer_count(), 0, "it waits");
    let _established = dialed.greet().await.unwrap();

    let Event::Add(add) = next_event(&mut events).await else { panic!("a peer was added") };
    assert_eq!((add.id, add.direction), (id(theirs), Direction::Outbound));
    assert_eq!(refusal.await.unwrap().0, DisconnectReason::AlreadyConnected);
    assert_eq!(server.peer_count(), 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_second_connection_takes_the_place_of_a_first_that_stalls() {
    let (ours, theirs) = ordered();
    let (server, remote, dialed, dialing) = both_dialed(ours, theirs).await;
    let mut events = server.events();
    let _dialed = remote.secure(dialed).await;
    sleep(millis(10)).await;
    // The deadline of the first, which began earlier, comes before that of the second.
    let _established = dialing.greet().await.unwrap();
    let waited = now();
    let Event::Add(add) = next_event(&mut events).await else { panic!("a peer was added") };
    assert_eq!(add.direction, Direction::Inbound);
    assert!(now() - waited > millis(4_900));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_the_greater_id_is_refused_at_the_first_checkpoint() {
    let links = Links::immediate();
    let (ours, theirs) = ordered();
    let mut remote = Listening::new(&links, theirs);
    let server = server(&links, ours).static_node(node(theirs)).start().await.unwrap();
    let dialed = remote.accept().await;
    let _dialed = remote.secure(dialed).await;
    sleep(millis(10)).await;
    match Remote::dial(&links, theirs, &node(ours)).await.greet().await {
        Err(HelloError::Disconnected(DisconnectReason::AlreadyConnected)) => {}
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

/// How long after the end of one dial, which `end` brings about, the next one comes.
async fn retry(end: impl AsyncFn(Remote)) -> Duration {
    let links = Links::immediate();
    let mut remote = Listening::new(&links, 2);
    let server = server(&links, 1).static_node(node(2)).start().await.unwrap();
    let dialed = remote.accept().await;
    end(remote.secure(dialed).await).await;
    wait_for_peers(&server, 0).await;
    let ended = now();
    let _again = remote.accept().await;
    let waited = now() - ended;
    server.stop().await;
    waited
}

#[tokio::test(start_paused = true)]
async fn after_both_died_a_retry_comes_after_1_to_3_s() {
    let reason = DisconnectReason::AlreadyConnected;
    let before_hello = retry(async |remote: Remote| {
        support::refuse(remote.connection, reason, millis(10)).await;
    });
    // go-ethereum may find out only after our side has admitted the connection.
    let after_hello = retry(async |remote: Remote| {
        remote.greet().await.unwrap().disconnect(reason, millis(10)).await;
    });
    for waited in [before_hello.await, after_hello.await] {
        let soon = millis(900)..=millis(3_010);
        assert!(soon.contains(&waited), "the next dial came after {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_another_end_a_retry_waits_as_ever() {
    let waited = retry(async |remote: Remote| {
        let reason = DisconnectReason::TooManyPeers;
        remote.greet().await.unwrap().disconnect(reason, millis(10)).await;
    });
    let waited = waited.await;
    assert!(waited > Duration::from_secs(30), "the next dial came after {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn two_servers_that_lose_their_connection_have_one_again_within_40_s() {
    let latency = Latency { base: millis(10)..=millis(100), jitter: millis(0)..=millis(50) };
    for seed in 0..20 {
        let links = Links::new(latency.clone(), seed);
        let first = server(&links, 1).static_node(node(2)).start().await.unwrap();
        let second = server(&links, 2).static_node(node(1)).start().await.unwrap();
        wait_for_peers(&first, 1).await;
        // Both schedulers dial again at about the same time, 35 s after the dials before.
        second.stop().await;
        let second = server(&links, 2).static_node(node(1)).start().await.unwrap();
        wait_for_peers(&first, 0).await;
        wait_for_peers(&second, 1).await;
        sleep(Duration::from_secs(40)).await;
        assert_eq!((first.peer_count(), second.peer_count()), (1, 1), "seed {seed}");
        first.stop().await;
        second.stop().await;
    }
}
