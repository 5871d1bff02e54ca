//! Pings, pongs and what the session tells of itself while it lives.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use devp2p_core::Traffic;
use devp2p_peer::{
    Direction, DisconnectReason, Hello, MessageDirection, MessageEvent, Observer, PipeConfig, Side,
    hello, id, pipe,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::time::{sleep, timeout};

use crate::common::*;

#[tokio::test(start_paused = true)]
async fn pings_come_within_every_interval() {
    let (live, mut raw) = against_raw(&config(), &[idle("a")]).await;
    let mut last = now();
    let mut gaps = Vec::new();
    for _ in 0..20 {
        assert_eq!(raw.next().await.unwrap().unwrap(), message(id::PING, vec![0xc0]));
        gaps.push(last.elapsed());
        last = now();
        raw.send(message(id::PONG, vec![0xc0])).await.unwrap();
    }
    // tokio's timer rounds up to the millisecond.
    assert!(gaps.iter().all(|&gap| gap >= millis(11_250) && gap <= millis(15_001)), "{gaps:?}");
    gaps.sort();
    gaps.dedup();
    assert!(gaps.len() > 10, "there is jitter");
    assert!(!live.peer.is_closed());
}

#[tokio::test(start_paused = true)]
async fn one_seed_one_schedule() {
    let schedule = |seed: u8| async move {
        let mut config = config();
        config.seed = Some([seed; 32]);
        let (_live, mut raw) = against_raw(&config, &[]).await;
        let start = now();
        let mut times = Vec::new();
        for _ in 0..5 {
            raw.next().await.unwrap().unwrap();
            times.push(start.elapsed());
            raw.send(message(id::PONG, vec![0xc0])).await.unwrap();
        }
        times
    };
    assert_eq!(schedule(1).await, schedule(1).await);
    assert_ne!(schedule(1).await, schedule(2).await);
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_kept() {
    let (live, mut raw) = against_raw(&config(), &[]).await;
    assert_eq!(live.peer.rtt(), None);
    raw.next().await.unwrap().unwrap();
    sleep(millis(70)).await;
    raw.send(message(id::PONG, vec![0xc0])).await.unwrap();
    settle().await;
    assert_eq!(live.peer.rtt().unwrap().as_millis(), 70);

    // A pong that nobody asked for changes nothing.
    sleep(millis(100)).await;
    raw.send(message(id::PONG, vec![0xc0])).await.unwrap();
    settle().await;
    assert_eq!(live.peer.rtt().unwrap().as_millis(), 70);
}

#[tokio::test(start_paused = true)]
async fn a_silent_remote_is_given_up() {
    let (live, mut raw) = against_raw(&config(), &[idle("a")]).await;
    raw.next().await.unwrap().unwrap();
    let pinged = now();
    assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::ReadTimeout));
    let waited = pinged.elapsed();
    assert!(waited >= secs(15) && waited <= millis(15_002), "{waited:?}");
    drop(raw);
    let end = live.end.await.unwrap();
    assert_eq!((end.reason, end.side), (DisconnectReason::ReadTimeout, Side::Local));
    assert!(end.error.unwrap().contains("ping"));
}

/// A remote that answers no ping, but sends: it may be paused for as long as a subprotocol may
/// stall, and is given up after that.
#[tokio::test(start_paused = true)]
async fn a_remote_that_sends_without_a_pong() {
    let (live, mut raw) = against_raw(&config(), &[sink("a")]).await;
    raw.next().await.unwrap().unwrap();
    let pinged = now();
    loop {
        sleep(secs(1)).await;
        if raw.send(message(0x10, vec![1])).await.is_err() || live.peer.is_closed() {
            break;
        }
    }
    let waited = pinged.elapsed();
    assert!(waited >= secs(45) && waited <= secs(47), "{waited:?}");
    assert_eq!(live.peer.end().unwrap().reason, DisconnectReason::ReadTimeout);
}

/// A large message over a slow line keeps the pong behind it waiting.
#[tokio::test(start_paused = true)]
async fn bytes_of_a_message_under_way_are_a_sign_of_life() {
    let (a, b) = (key(1).public_key(), key(2).public_key());
    let (inner, mut raw) = pipe(a, b);
    raw.send(Hello::new("raw", vec![], b).message()).await.unwrap();
    let slow = Odd::new(inner);
    let here = hello(Box::pin(slow), &Hello::new("left", vec![], a), &config()).await.unwrap();
    let live = run(here, &[], Direction::Inbound);
    assert_eq!(raw.next().await.unwrap().unwrap().id, id::HELLO);
    assert_eq!(raw.next().await.unwrap().unwrap().id, id::PING);
    sleep(secs(29)).await;
    assert!(!live.peer.is_closed(), "{:?}", live.peer.end());
    sleep(secs(18)).await;
    assert_eq!(live.peer.end().unwrap().reason, DisconnectReason::ReadTimeout);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered() {
    let (_live, mut raw) = against_raw(&config(), &[idle("a")]).await;
    for _ in 0..3 {
        raw.send(message(id::PING, vec![0xc0])).await.unwrap();
        assert_eq!(next(&mut raw).await.unwrap(), message(id::PONG, vec![0xc0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_drops_the_remote() {
    let (live, mut raw) = against_raw(&config(), &[idle("a")]).await;
    let (mut pongs, mut sent) = (0, 0);
    let start = now();
    let reason = loop {
        // As fast as the pipe takes them.
        while let Ok(Ok(())) = timeout(millis(0), raw.send(message(id::PING, vec![0xc0]))).await {
            sent += 1;
            if sent % 16 == 0 {
                break;
            }
        }
        match timeout(millis(0), raw.next()).await {
            Ok(Some(Ok(message))) if message.id == id::DISCONNECT => {
                break DisconnectReason::decode(&message.payload);
            }
            Ok(Some(Ok(message))) if message.id == id::PONG => pongs += 1,
            other => assert!(sent < 1_000_000, "{other:?}"),
        }
    };
    assert_eq!(reason, DisconnectReason::ProtocolError);
    assert!(pongs <= 5 + start.elapsed().as_secs() + 1, "{pongs} pongs");
    drop(raw);
    assert_eq!(live.end.await.unwrap().side, Side::Local);
}

#[tokio::test(start_paused = true)]
async fn what_a_handle_tells() {
    let addrs = ("127.0.0.1:30303".parse().unwrap(), "127.0.0.1:40404".parse().unwrap());
    let mut pipe = PipeConfig::default();
    pipe.addrs = Some(addrs);
    let protocols = [sink("b"), sink("a")];
    let (left, right) = both(&config(), &pipe, &protocols, &[sink("b")]).await;
    assert_eq!(left.peer.id(), key(2).id());
    assert_eq!(left.peer.public_key(), key(2).public_key());
    assert_eq!(left.peer.name(), "right");
    assert_eq!(left.peer.capabilities().len(), 1);
    assert_eq!(right.peer.capabilities().len(), 2);
    assert_eq!(left.peer.shared().len(), 1);
    assert_eq!(left.peer.shared()[0].offset, 0x10);
    assert_eq!(
        (left.peer.direction(), right.peer.direction()),
        (Direction::Outbound, Direction::Inbound)
    );
    assert_eq!((left.peer.local_addr(), left.peer.remote_addr()), (Some(addrs.0), Some(addrs.1)));
    assert_eq!((right.peer.local_addr(), right.peer.remote_addr()), (Some(addrs.1), Some(addrs.0)));
    sleep(secs(16)).await;
    let Traffic { ingress, egress } = left.peer.traffic();
    assert!(ingress > 0 && egress > 0);
    assert!(left.peer.rtt().is_some() && right.peer.rtt().is_some());
    assert!(!left.peer.is_closed());
    left.peer.disconnect(DisconnectReason::Requested);
    assert!(left.peer.is_closed(), "at once");
}

/// Panics at the first message.
struct Panicking(AtomicUsize);

impl Observer for Panicking {
    fn message(&self, _: &MessageEvent<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("an observer of the tests");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_ends_its_peer_and_no_more() {
    let eager = script("a", |_, mut stream| {
        Box::pin(async move {
            loop {
                stream.send(message(0, vec![])).await?;
            }
        })
    });
    for protocol in [sink("a"), eager] {
        let protocols = [protocol];
        let (a, b) = (key(1).public_key(), key(2).public_key());
        let (here, mut raw) = pipe(a, b);
        let caps = capabilities(&protocols);
        raw.send(Hello::new("raw", caps.clone(), b).message()).await.unwrap();
        let here = hello(here, &Hello::new("left", caps, a), &config()).await.unwrap();
        raw.as_mut().established(true);
        let observer = Arc::new(Panicking(AtomicUsize::new(0)));
        let (_, future) = here.run(&protocols, Direction::Inbound, Some(observer.clone()));
        let task = tokio::spawn(future);
        for _ in 0..3 {
            raw.send(message(0x10, vec![])).await.unwrap();
        }
        assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::Subprotocol));
        drop(raw);
        let end = task.await.expect("the peer's own task does not panic");
        assert_eq!((end.reason, end.side), (DisconnectReason::Subprotocol, Side::Local));
        assert_eq!(end.error.unwrap(), "the observer panicked");
        assert_eq!(observer.0.load(Ordering::SeqCst), 1);
    }
}

struct Recorder(Mutex<Vec<(MessageDirection, String, u64, usize)>>);

impl Observer for Recorder {
    fn message(&self, event: &MessageEvent<'_>) {
        let row = (event.direction, event.capability.to_string(), event.id, event.size);
        self.0.lock().unwrap().push(row);
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_every_message_of_subprotocols() {
    let echo = |name| {
        script(name, |_, mut stream| {
            Box::pin(async move {
                while let Some(received) = stream.next().await {
                    stream.send(message(received.id + 1, received.payload)).await?;
                }
                Ok(())
            })
        })
    };
    let protocols = [echo("a"), echo("b")];
    let (a, b) = (key(1).public_key(), key(2).public_key());
    let (here, mut raw) = pipe(a, b);
    let caps = capabilities(&protocols);
    raw.send(Hello::new("raw", caps.clone(), b).message()).await.unwrap();
    let ours = Hello::new("left", caps, a);
    let here = hello(here, &ours, &config()).await.unwrap();
    raw.as_mut().established(true);
    let recorder = Arc::new(Recorder(Mutex::default()));
    let (_peer, future) = here.run(&protocols, Direction::Inbound, Some(recorder.clone()));
    let _task = tokio::spawn(future);
    assert_eq!(raw.next().await.unwrap().unwrap().id, id::HELLO);
    for sent in [message(0x10 + 4, vec![9; 7]), message(0x20, vec![])] {
        raw.send(sent).await.unwrap();
        next(&mut raw).await.unwrap();
    }
    raw.send(message(id::PING, vec![0xc0])).await.unwrap();
    next(&mut raw).await.unwrap();
    use MessageDirection::{Received, Sent};
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            (Received, "a/1".into(), 4, 7),
            (Sent, "a/1".into(), 5, 7),
            (Received, "b/1".into(), 0, 0),
            (Sent, "b/1".into(), 1, 0),
        ]
    );
}
