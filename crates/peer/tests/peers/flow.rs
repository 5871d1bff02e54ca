//! Back-pressure: nothing is lost or overtaken, nobody waits for ever, and memory is bounded.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use devp2p_core::BoxConnection;
use devp2p_peer::{
    Direction, DisconnectReason, Hello, MessageEvent, Observer, Peer, PipeConfig, Protocol,
    SendError, Side, hello, id, pipe_with,
};
use futures::{Sink as _, SinkExt as _, StreamExt as _};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::common::*;

/// Hands every message to the test, after a pause.
fn collector(
    name: &str,
    pause: std::time::Duration,
) -> (Protocol, mpsc::Receiver<devp2p_core::Message>) {
    let (to, from) = mpsc::channel(10_000);
    let protocol = script(name, move |_, mut stream| {
        let to = to.clone();
        Box::pin(async move {
            while let Some(message) = stream.next().await {
                to.send(message).await.unwrap();
                sleep(pause).await;
            }
            Ok(())
        })
    });
    (protocol, from)
}

#[tokio::test(start_paused = true)]
async fn a_slow_subprotocol_holds_the_remote_up_and_loses_nothing() {
    let mut config = config();
    (config.inbound_messages, config.inbound_bytes) = (4, 1_000);
    let (slow, mut from) = collector("a", secs(2));
    let (live, mut raw) = against_raw(&config, &[slow, sink("b")]).await;
    let start = now();
    for number in 0..100 {
        raw.send(numbered(0x10, number)).await.unwrap();
    }
    // At most what the pipe and the queue hold and the subprotocol has in hand had to wait less.
    let held = 16 + 4 + 1;
    assert!(start.elapsed() >= secs(2) * (100 - held - 4), "{:?}", start.elapsed());
    let reader = answer_pings(raw);
    for expected in 0..100 {
        assert_eq!(number(&from.recv().await.unwrap()), expected);
    }
    assert!(!live.peer.is_closed());
    drop(reader);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_subprotocol_drops_its_own_peer_after_30_s() {
    // The same subprotocol serves two peers, and stalls with one of them.
    let first = Arc::new(AtomicBool::new(true));
    let stalls_once = script("a", move |_, mut stream| {
        let stall = first.swap(false, Ordering::SeqCst);
        Box::pin(async move {
            if stall {
                std::future::pending::<()>().await;
            }
            while stream.next().await.is_some() {}
            Ok(())
        })
    });
    let mut config = config();
    config.inbound_messages = 4;
    let protocols = [stalls_once, sink("b")];
    let (stalled, mut raw) = against_raw(&config, &protocols).await;
    settle().await;
    let (other, other_raw) = against_raw(&config, &protocols).await;
    let other_reader = answer_pings(other_raw);

    for number in 0..3 {
        raw.send(numbered(0x10, number)).await.unwrap();
    }
    // Not full, not stalled: it may wait as long as it likes.
    for _ in 0..60 {
        sleep(secs(1)).await;
        raw.send(message(id::PONG, vec![0xc0])).await.unwrap();
        while let Some(Some(_)) = now_or_never(Box::pin(raw.next()).as_mut()).await {}
    }
    assert!(!stalled.peer.is_closed());

    raw.send(numbered(0x10, 3)).await.unwrap();
    let full = now();
    assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::Subprotocol));
    let waited = full.elapsed();
    assert!(waited >= secs(30) && waited <= millis(30_002), "{waited:?}");
    drop(raw);
    let end = stalled.end.await.unwrap();
    assert_eq!((end.reason, end.side), (DisconnectReason::Subprotocol, Side::Local));
    assert_eq!(end.error.unwrap(), "subprotocol a/1 took no message for 30s");
    assert!(!other.peer.is_closed(), "other peers notice nothing");
    drop(other_reader);
}

/// Two of ours: while one's subprotocol is slow it reads no pings, and the other bears with it.
#[tokio::test(start_paused = true)]
async fn a_pause_below_the_limit_costs_nobody_the_peer() {
    let mut config = config();
    config.inbound_messages = 4;
    let sleepy = script("a", |_, mut stream| {
        Box::pin(async move {
            let mut expected = 0;
            while let Some(message) = stream.next().await {
                assert_eq!(number(&message), expected);
                expected += 1;
                if expected == 1 || expected == 1_000 {
                    sleep(millis(29_900)).await;
                }
            }
            assert_eq!(expected, 2_000);
            Ok(())
        })
    });
    let fast = script("a", |_, mut stream| {
        Box::pin(async move {
            for number in 0..2_000 {
                stream.send(numbered(0, number)).await?;
            }
            sleep(secs(100)).await;
            Ok(())
        })
    });
    let (left, right) = both(&config, &PipeConfig::default(), &[sleepy], &[fast]).await;
    let (left, right) = (left.end.await.unwrap(), right.end.await.unwrap());
    assert_eq!((left.reason, left.side), (DisconnectReason::Quitting, Side::Remote), "{left:?}");
    assert_eq!((right.reason, right.side), (DisconnectReason::Quitting, Side::Local), "{right:?}");
}

#[tokio::test(start_paused = true)]
async fn subprotocols_take_turns() {
    let eager = |name| {
        script(name, |_, mut stream| {
            Box::pin(async move {
                for number in 0.. {
                    stream.feed(numbered(0, number)).await?;
                }
                Ok(())
            })
        })
    };
    let (_live, mut raw) = against_raw(&config(), &[eager("a"), eager("b"), eager("c")]).await;
    settle().await;
    let mut received = Vec::new();
    for _ in 0..600 {
        received.push(next(&mut raw).await.unwrap());
    }
    let mut counts = [0_u32; 3];
    for message in &received {
        let protocol = usize::try_from((message.id - 0x10) / 16).unwrap();
        assert_eq!(number(message), counts[protocol], "in order");
        counts[protocol] += 1;
    }
    assert!(counts.iter().all(|&count| (190..=210).contains(&count)), "{counts:?}");
    // Once all three have something, nobody is served twice before the others.
    for window in received[100..].windows(3) {
        let ids: BTreeSet<_> = window.iter().map(|message| message.id).collect();
        assert_eq!(ids.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_sink_of_one_does_not_hold_up_another() {
    // A pong must come through although a subprotocol has more to send than fits.
    let eager = script("a", |_, mut stream| {
        Box::pin(async move {
            loop {
                stream.feed(message(0, vec![0; 10_000])).await?;
            }
        })
    });
    let (_live, mut raw) = against_raw(&config(), &[eager, sink("b")]).await;
    settle().await;
    raw.send(message(id::PING, vec![0xc0])).await.unwrap();
    settle().await;
    // What is in the pipe goes first: 64 KiB, and the one that went beyond.
    let mut before = 0;
    while next(&mut raw).await.unwrap().id != id::PONG {
        before += 1;
    }
    assert!(before <= 7, "{before}");
}

/// A connection that takes all that is sent, and a subprotocol that never stops sending: what
/// comes in is read all the same.
/// However much is there to be read, one turn of the peer's task takes about 256 KiB of it, or 32
/// messages.
#[tokio::test(start_paused = true)]
async fn a_turn_reads_a_bounded_batch() {
    for (size, count, turn) in [(64 * 1024, 16, 4), (1024 * 1024, 2, 1), (100, 100, 32)] {
        let protocols = [sink("a")];
        let (a, b) = (key(1).public_key(), key(2).public_key());
        let mut wide = PipeConfig::default();
        (wide.messages, wide.bytes) = (200, 16 << 20);
        let (here, mut raw) = pipe_with(a, b, &wide);
        let caps = capabilities(&protocols);
        raw.send(Hello::new("raw", caps.clone(), b).message()).await.unwrap();
        let here = hello(here, &Hello::new("left", caps, a), &config()).await.unwrap();
        raw.as_mut().established(true);
        for _ in 0..count {
            raw.send(message(0x10, vec![0; size])).await.unwrap();
        }
        let counter = Arc::new(Counter(AtomicU32::new(0)));
        let (_, mut future) = here.run(&protocols, Direction::Inbound, Some(counter.clone()));
        for turns in 1..=count / turn {
            assert!(now_or_never(future.as_mut()).await.is_none());
            assert_eq!(counter.0.load(Ordering::SeqCst), turns * turn, "{size} bytes each");
        }
    }
}

struct Counter(AtomicU32);

impl Observer for Counter {
    fn message(&self, _: &MessageEvent<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn sending_without_end_does_not_keep_from_reading() {
    let eager = script("a", |_, mut stream| {
        Box::pin(async move {
            loop {
                stream.feed(message(0, vec![])).await?;
            }
        })
    });
    let mut pipe = PipeConfig::default();
    (pipe.messages, pipe.bytes) = (usize::MAX, usize::MAX);
    let (live, mut raw) = against_raw_over(&config(), &pipe, &[eager]).await;
    settle().await;
    raw.send(DisconnectReason::TooManyPeers.message()).await.unwrap();
    settle().await;
    assert!(live.peer.is_closed());
    assert_eq!(live.end.await.unwrap().reason, DisconnectReason::TooManyPeers);
}

/// Both sides send all they can, over buffers of one message; both read on the side.
#[tokio::test(start_paused = true)]
async fn two_busy_peers_do_not_block_each_other() {
    busy_exchange(500).await;
}

/// The same where driver, streams and pipe run at the same time, and wakers can miss each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_busy_peers_on_many_threads() {
    busy_exchange(5_000).await;
}

async fn busy_exchange(count: u32) {
    let mut config = config();
    (config.inbound_messages, config.outbound_messages) = (1, 1);
    let mut pipe = PipeConfig::default();
    (pipe.messages, pipe.bytes) = (1, 1);
    let done = Arc::new(AtomicU32::new(0));
    let busy = |name, done: &Arc<AtomicU32>| {
        let done = Arc::clone(done);
        script(name, move |_, stream| {
            let done = Arc::clone(&done);
            Box::pin(async move {
                let (mut sink, mut stream) = stream.split();
                let send = async {
                    for number in 0..count {
                        sink.send(numbered(u64::from(number) % 16, number)).await.unwrap();
                    }
                };
                let receive = async {
                    for expected in 0..count {
                        let message = stream.next().await.unwrap();
                        assert_eq!(number(&message), expected);
                        assert_eq!(message.id, u64::from(expected) % 16);
                    }
                };
                tokio::join!(send, receive);
                done.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            })
        })
    };
    let protocols = [busy("a", &done), busy("b", &done)];
    let start = now();
    let (left, right) = both(&config, &pipe, &protocols, &protocols).await;
    while done.load(Ordering::SeqCst) < 4 {
        assert!(start.elapsed() < secs(10), "somebody waits for ever, or for a timeout");
        assert!(!left.peer.is_closed() && !right.peer.is_closed(), "{:?}", left.peer.end());
        sleep(millis(1)).await;
    }
}

/// Two that both disconnect with all buffers full.
#[tokio::test(start_paused = true)]
async fn two_disconnects_over_full_buffers() {
    let mut pipe = PipeConfig::default();
    (pipe.messages, pipe.bytes) = (1, 1);
    let eager = script("a", |_, mut stream| {
        Box::pin(async move {
            loop {
                stream.feed(message(0, vec![0; 1_000])).await?;
            }
        })
    });
    let protocols = [eager];
    let (left, right) = both(&config(), &pipe, &protocols, &protocols).await;
    settle().await;
    let start = now();
    left.peer.disconnect(DisconnectReason::TooManyPeers);
    right.peer.disconnect(DisconnectReason::UselessPeer);
    let (left, right) = (left.end.await.unwrap(), right.end.await.unwrap());
    assert_eq!(start.elapsed(), secs(0));
    assert_eq!((left.reason, left.side), (DisconnectReason::TooManyPeers, Side::Local));
    assert_eq!((right.reason, right.side), (DisconnectReason::UselessPeer, Side::Local));
}

/// Asks and never reads: what is queued for it stays bounded, and it is dropped in the end.
#[tokio::test(start_paused = true)]
async fn a_remote_that_asks_and_never_reads() {
    let answered = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&answered);
    let server = script("a", move |_, mut stream| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            while let Some(request) = stream.next().await {
                stream.feed(message(request.id, vec![0; 100_000])).await?;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
    });
    let (live, mut raw) = against_raw(&config(), &[server]).await;
    let mut requests = 0;
    while !live.peer.is_closed() {
        if let Ok(Ok(())) = timeout(secs(1), raw.send(message(0x10, vec![1]))).await {
            requests += 1;
        }
    }
    // 2 MiB and one in the queue, 64 KiB and one in the pipe, one in the hand.
    let answered = answered.load(Ordering::SeqCst);
    assert!(answered <= 21 + 1 + 1 + 1, "{answered} of {requests}");
    // One that waits to be answered, a full queue, and a full pipe that the end empties once.
    assert!(requests <= answered + 1 + 256 + 2 * 16, "{requests} and {answered} answered");
    let end = live.end.await.unwrap();
    assert_eq!(end.reason, DisconnectReason::Subprotocol, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_every_budget_passes() {
    let mut config = config();
    (config.inbound_bytes, config.outbound_bytes) = (1_000, 1_000);
    let (slow, mut from) = collector("a", millis(1));
    let sender = script("a", |_, mut stream| {
        Box::pin(async move {
            for number in 0..4 {
                let mut payload = vec![0; 15 << 20];
                payload[..4].copy_from_slice(&u32::to_be_bytes(number));
                stream.send(message(1, payload)).await?;
            }
            let above = stream.send(message(1, vec![0; 1 << 24])).await;
            assert!(matches!(above, Err(SendError::TooLarge { .. })), "{above:?}");
            let beyond = stream.send(message(16, vec![])).await;
            assert_eq!(beyond, Err(SendError::IdOutOfRange { id: 16, length: 16 }));
            stream.send(numbered(2, 4)).await?;
            std::future::pending().await
        })
    });
    let (_left, _right) = both(&config, &PipeConfig::default(), &[slow], &[sender]).await;
    for expected in 0..5 {
        let message = from.recv().await.unwrap();
        assert_eq!(number(&message), expected);
        assert_eq!(message.payload.len(), if expected < 4 { 15 << 20 } else { 4 });
    }
}

/// Futures that wait at a stream are dropped over and over: nothing is lost or sent twice.
#[tokio::test(start_paused = true)]
async fn waiting_can_be_given_up_at_any_time() {
    let mut config = config();
    (config.inbound_messages, config.outbound_messages) = (2, 2);
    let mut pipe = PipeConfig::default();
    pipe.messages = 1;
    let (to, mut from) = mpsc::channel(1_000);
    let reader = script("a", move |_, mut stream| {
        let to = to.clone();
        Box::pin(async move {
            loop {
                match now_or_never(Box::pin(stream.next()).as_mut()).await {
                    Some(Some(message)) => to.send(message).await.unwrap(),
                    Some(None) => return Ok(()),
                    None => tokio::task::yield_now().await,
                }
            }
        })
    });
    let writer = script("a", |_, mut stream| {
        Box::pin(async move {
            for number in 0..300 {
                loop {
                    let mut ready = Box::pin(std::future::poll_fn(|cx| {
                        std::pin::Pin::new(&mut stream).poll_ready(cx)
                    }));
                    let polled = now_or_never(ready.as_mut()).await;
                    drop(ready);
                    if let Some(ready) = polled {
                        ready?;
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                std::pin::Pin::new(&mut stream).start_send(numbered(0, number))?;
                // A flush that is begun and dropped.
                now_or_never(Box::pin(stream.flush()).as_mut()).await;
            }
            stream.flush().await?;
            std::future::pending().await
        })
    });
    let (_left, _right) = both(&config, &pipe, &[reader], &[writer]).await;
    for expected in 0..300 {
        assert_eq!(number(&from.recv().await.unwrap()), expected);
    }
}

/// A subprotocol that drops its stream is in nobody's way.
#[tokio::test(start_paused = true)]
async fn a_dropped_stream_does_not_stall() {
    let mut config = config();
    config.inbound_messages = 2;
    let detached = script("a", |_, stream| {
        Box::pin(async move {
            drop(stream);
            std::future::pending().await
        })
    });
    let (collector, mut from) = collector("b", millis(0));
    let (live, mut raw): (_, BoxConnection) = against_raw(&config, &[detached, collector]).await;
    for number in 0..100 {
        raw.send(numbered(0x10, number)).await.unwrap();
        raw.send(numbered(0x20, number)).await.unwrap();
    }
    for expected in 0..100 {
        assert_eq!(number(&from.recv().await.unwrap()), expected);
    }
    assert!(!Peer::is_closed(&live.peer));
}

/// All of `send` is on its way before the Disconnect that follows.
#[tokio::test(start_paused = true)]
async fn what_was_sent_comes_before_the_disconnect() {
    let speaker = script("a", |_, mut stream| {
        Box::pin(async move {
            for number in 0..50 {
                stream.feed(numbered(0, number)).await?;
            }
            stream.flush().await?;
            Ok(())
        })
    });
    let (_live, mut raw) = against_raw(&config(), &[speaker]).await;
    for expected in 0..50 {
        assert_eq!(number(&next(&mut raw).await.unwrap()), expected);
    }
    assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::Quitting));
}
