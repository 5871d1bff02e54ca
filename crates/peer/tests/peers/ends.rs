//! How peers end: with which reason, on whose side, after what time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use devp2p_peer::{
    DisconnectReason, End, Peer, PipeConfig, ProtocolError, SendError, Side, hello, id, pipe,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::{sync::mpsc, time::sleep};

use crate::common::*;

fn local(reason: DisconnectReason, error: Option<&str>) -> End {
    End::new(reason, Side::Local, error.map(Into::into))
}

fn remote(reason: DisconnectReason, error: Option<&str>) -> End {
    End::new(reason, Side::Remote, error.map(Into::into))
}

/// What a subprotocol makes of the peer, and that other peers notice nothing.
#[tokio::test(start_paused = true)]
async fn what_a_subprotocol_returns() {
    type Make = fn() -> Outcome;
    let cases: [(Make, End); 6] = [
        (|| Ok(()), local(DisconnectReason::Quitting, None)),
        (
            || Err(ProtocolError::bad_message("no such block")),
            local(
                DisconnectReason::ProtocolError,
                Some("subprotocol bad/1: bad message: no such block"),
            ),
        ),
        (
            || Err(ProtocolError::failed("disk full")),
            local(DisconnectReason::Subprotocol, Some("subprotocol bad/1: disk full")),
        ),
        (
            || Err(SendError::NotReady.into()),
            local(DisconnectReason::Subprotocol, Some("subprotocol bad/1: the queue is full")),
        ),
        (
            || Err(ProtocolError::Disconnect(DisconnectReason::UselessPeer)),
            local(DisconnectReason::UselessPeer, Some("subprotocol bad/1: useless peer")),
        ),
        (
            || panic!("on purpose"),
            local(DisconnectReason::Subprotocol, Some("subprotocol bad/1: panicked: on purpose")),
        ),
    ];
    for (outcome, expected) in cases {
        let first = Arc::new(AtomicBool::new(true));
        let bad = script("bad", move |_, mut stream| {
            let first = first.swap(false, Ordering::SeqCst);
            Box::pin(async move {
                if first {
                    stream.next().await;
                    return outcome();
                }
                while stream.next().await.is_some() {}
                Ok(())
            })
        });
        let protocols = [bad, sink("good")];
        let (live, mut raw) = against_raw(&config(), &protocols).await;
        settle().await;
        let (other, other_raw) = against_raw(&config(), &protocols).await;
        let other_reader = answer_pings(other_raw);
        raw.send(message(0x10, vec![])).await.unwrap();
        assert_eq!(disconnected(&mut raw).await, Some(expected.reason));
        drop(raw);
        assert_eq!(live.end.await.unwrap(), expected);
        sleep(secs(60)).await;
        assert!(!other.peer.is_closed());
        drop(other_reader);
    }
}

#[tokio::test(start_paused = true)]
async fn every_reason_in_both_directions() {
    for code in (0..=0x0b).chain([0x10, 0x0c, 0xff]) {
        let reason = DisconnectReason::from_code(code);
        let protocols = [sink("a")];
        let (left, right) = both(&config(), &PipeConfig::default(), &protocols, &protocols).await;
        left.peer.disconnect(reason);
        left.peer.disconnect(DisconnectReason::Requested);
        assert_eq!(left.end.await.unwrap(), local(reason, None));
        let seen = right.end.await.unwrap();
        if reason == DisconnectReason::NetworkError {
            // That one is never sent: there is nobody to read it.
            assert_eq!((seen.reason, seen.side), (reason, Side::Remote));
        } else {
            assert_eq!(seen, remote(reason, None));
        }
    }
}

/// Raw forms of a Disconnect that are seen in the field.
#[tokio::test(start_paused = true)]
async fn a_disconnect_in_any_form() {
    for (payload, reason) in [
        (vec![0xc1, 0x04], DisconnectReason::TooManyPeers),
        (vec![0x04], DisconnectReason::TooManyPeers),
        (vec![0xc0], DisconnectReason::Requested),
        (vec![], DisconnectReason::Requested),
        (vec![0x02, 0x04, 0xc1, 0x04], DisconnectReason::TooManyPeers),
        (vec![0xc2, 0x81, 0xee], DisconnectReason::from_code(0xee)),
    ] {
        let (live, mut raw) = against_raw(&config(), &[sink("a")]).await;
        raw.send(message(id::DISCONNECT, payload)).await.unwrap();
        assert_eq!(live.end.await.unwrap(), remote(reason, None));
        // It is not answered: what follows is the close.
        assert_eq!(next(&mut raw).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_without_a_word() {
    let (live, raw) = against_raw(&config(), &[sink("a")]).await;
    drop(raw);
    let error = Some("the remote closed the connection");
    assert_eq!(live.end.await.unwrap(), remote(DisconnectReason::NetworkError, error));
}

#[tokio::test(start_paused = true)]
async fn ids_that_nobody_has() {
    for id in [0x20, 0x21, u64::MAX] {
        let (live, mut raw) = against_raw(&config(), &[sink("a")]).await;
        // These are the base protocol's, and ignored.
        for base in 0x04..0x10 {
            raw.send(message(base, vec![1, 2, 3])).await.unwrap();
        }
        raw.send(message(id, vec![])).await.unwrap();
        assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::ProtocolError));
        drop(raw);
        let end = live.end.await.unwrap();
        assert_eq!((end.reason, end.side), (DisconnectReason::ProtocolError, Side::Local));
        assert_eq!(end.error.unwrap(), format!("message id {id:#x} is out of range"));
    }
}

/// What the transport cannot read ends the peer with 0x02. The remote is told, and has the time
/// to read it before the connection is closed.
#[tokio::test(start_paused = true)]
async fn a_frame_that_cannot_be_read() {
    for established in [false, true] {
        let (a, b) = (key(1).public_key(), key(2).public_key());
        let (here, mut raw) = pipe(a, b);
        let here = Box::pin(Odd::new(here));
        let ours = devp2p_peer::Hello::new("ours", vec![], a);
        let start = now();
        if established {
            raw.send(devp2p_peer::Hello::new("raw", vec![], b).message()).await.unwrap();
            let here = hello(here, &ours, &config()).await.unwrap();
            let live = run(here, &[], devp2p_peer::Direction::Inbound);
            raw.send(message(BROKEN, vec![])).await.unwrap();
            let error = Some("the remote broke the protocol: a broken frame");
            assert_eq!(live.end.await.unwrap(), local(DisconnectReason::ProtocolError, error));
        } else {
            raw.send(message(BROKEN, vec![])).await.unwrap();
            let error = hello(here, &ours, &config()).await.unwrap_err();
            assert_eq!(error.reason(), DisconnectReason::ProtocolError);
        }
        assert_eq!(start.elapsed(), config().linger);
        assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::ProtocolError));
        assert_eq!(next(&mut raw).await, None);
    }
}

/// The times that a Disconnect may take: writing, and waiting for the remote's close. They depend
/// on whether this node stops, not on the reason.
#[tokio::test(start_paused = true)]
async fn how_long_a_disconnect_takes() {
    // (the remote reads, how it ends, the reason, the time)
    type Ending = fn(&Peer);
    let quit: Ending = |peer| peer.disconnect(DisconnectReason::Quitting);
    let request: Ending = |peer| peer.disconnect(DisconnectReason::Requested);
    let late_stop: Ending = |peer| {
        peer.disconnect(DisconnectReason::Requested);
        peer.stop();
    };
    for (reads, ending, reason, time) in [
        (true, request, DisconnectReason::Requested, secs(2)),
        (true, quit, DisconnectReason::Quitting, secs(2)),
        (true, late_stop, DisconnectReason::Requested, secs(2)),
        (true, Peer::stop, DisconnectReason::Quitting, millis(500)),
        (false, request, DisconnectReason::Requested, secs(1)),
        (false, quit, DisconnectReason::Quitting, secs(1)),
        (false, Peer::stop, DisconnectReason::Quitting, millis(500)),
    ] {
        let eager = script("a", |_, mut stream| {
            Box::pin(async move {
                loop {
                    stream.feed(message(0, vec![0; 100_000])).await?;
                }
            })
        });
        let protocols = if reads { [sink("a")] } else { [eager] };
        let (live, mut raw) = against_raw(&config(), &protocols).await;
        settle().await;
        let start = now();
        ending(&live.peer);
        if reads {
            assert_eq!(disconnected(&mut raw).await, Some(reason));
        }
        // It is not closed by the remote.
        assert_eq!(live.end.await.unwrap(), local(reason, None));
        let took = start.elapsed();
        assert!(took >= time && took <= time + millis(2), "{reason}: {took:?}");
        drop(raw);
    }
}

/// A subprotocol that is done gives the remote the same time as any other end.
#[tokio::test(start_paused = true)]
async fn how_long_the_end_of_a_subprotocol_takes() {
    let done = script("a", |_, _| Box::pin(async { Ok(()) }));
    let start = now();
    let (live, mut raw) = against_raw(&config(), &[done]).await;
    assert_eq!(disconnected(&mut raw).await, Some(DisconnectReason::Quitting));
    assert_eq!(live.end.await.unwrap(), local(DisconnectReason::Quitting, None));
    let took = start.elapsed();
    assert!(took >= config().linger && took <= config().linger + millis(2), "{took:?}");
    drop(raw);
}

#[tokio::test(start_paused = true)]
async fn the_streams_when_the_peer_goes() {
    let (to, mut from) = mpsc::channel(100);
    let late = script("a", move |peer, mut stream| {
        let to = to.clone();
        Box::pin(async move {
            while !peer.is_closed() {
                sleep(millis(1)).await;
            }
            // What arrived before is still here, then there is nothing; sending is over at once.
            let sent = stream.send(numbered(0, 0)).await;
            let mut numbers = Vec::new();
            while let Some(message) = stream.next().await {
                numbers.push(number(&message));
            }
            to.send((sent, numbers, stream.next().await)).await.unwrap();
            Ok(())
        })
    });
    let (live, mut raw) = against_raw(&config(), &[late]).await;
    for number in 0..3 {
        raw.send(numbered(0x10, number)).await.unwrap();
    }
    raw.send(DisconnectReason::Quitting.message()).await.unwrap();
    let (sent, numbers, after) = from.recv().await.unwrap();
    assert_eq!(sent, Err(SendError::Closed));
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(after, None);
    assert_eq!(live.end.await.unwrap(), remote(DisconnectReason::Quitting, None));
}

/// Set when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_that_does_not_return_is_aborted() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let stubborn = script("a", move |_, stream| {
        let flag = Flag(Arc::clone(&flag));
        Box::pin(async move {
            let (_flag, _stream) = (flag, stream);
            std::future::pending().await
        })
    });
    let (live, mut raw) = against_raw(&config(), &[stubborn]).await;
    settle().await;
    let start = now();
    raw.send(DisconnectReason::Quitting.message()).await.unwrap();
    live.end.await.unwrap();
    assert!(dropped.load(Ordering::SeqCst));
    let took = start.elapsed();
    assert!(took >= config().task_grace && took <= config().task_grace + millis(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_leaves_nothing_behind() {
    for polled in [false, true] {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        let protocol = script("a", move |_, stream| {
            let flag = Flag(Arc::clone(&flag));
            Box::pin(async move {
                let (_flag, _stream) = (flag, stream);
                std::future::pending().await
            })
        });
        let (a, b) = (key(1).public_key(), key(2).public_key());
        let (here, mut raw) = pipe(a, b);
        let caps = vec![protocol.capability()];
        raw.send(devp2p_peer::Hello::new("raw", caps.clone(), b).message()).await.unwrap();
        let ours = devp2p_peer::Hello::new("ours", caps, a);
        let here = hello(here, &ours, &config()).await.unwrap();
        raw.next().await.unwrap().unwrap();
        let (peer, future) = here.run(&[protocol], devp2p_peer::Direction::Inbound, None);
        if polled {
            let task = tokio::spawn(future);
            settle().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        } else {
            drop(future);
        }
        settle().await;
        assert!(peer.is_closed());
        assert_eq!(dropped.load(Ordering::SeqCst), polled, "what ran was aborted");
        assert_eq!(next(&mut raw).await, None, "the connection is closed");
        peer.disconnect(DisconnectReason::Quitting);
    }
}

/// A stream that a subprotocol gave away sees the end too, however it comes.
#[tokio::test(start_paused = true)]
async fn a_stream_that_was_given_away() {
    for dropped in [false, true] {
        let (to, mut from) = mpsc::channel(1);
        let generous = script("a", move |_, stream| {
            let to = to.clone();
            Box::pin(async move {
                to.send(stream).await.unwrap();
                std::future::pending().await
            })
        });
        let (live, raw) = against_raw(&config(), &[generous]).await;
        let mut stream = from.recv().await.unwrap();
        let waiting = tokio::spawn(async move { stream.next().await });
        settle().await;
        let reader = answer_pings(raw);
        if dropped {
            live.end.abort();
        } else {
            live.peer.disconnect(DisconnectReason::Requested);
        }
        assert_eq!(waiting.await.unwrap(), None);
        drop(reader);
    }
}

/// The remote says why and closes at once, while we have much to write: its reason is what counts.
#[tokio::test(start_paused = true)]
async fn the_reason_of_a_remote_that_closes_at_once() {
    let eager = script("a", |_, mut stream| {
        Box::pin(async move {
            loop {
                stream.feed(message(0, vec![0; 100_000])).await?;
            }
        })
    });
    let (live, mut raw) = against_raw(&config(), &[eager]).await;
    settle().await;
    for number in 0..10 {
        raw.send(numbered(0x10, number)).await.unwrap();
    }
    raw.send(DisconnectReason::TooManyPeers.message()).await.unwrap();
    drop(raw);
    assert_eq!(live.end.await.unwrap(), remote(DisconnectReason::TooManyPeers, None));
}

/// Nothing shared: the connection lives until somebody ends it.
#[tokio::test(start_paused = true)]
async fn a_peer_without_subprotocols() {
    let (left, right) = both(&config(), &PipeConfig::default(), &[], &[]).await;
    sleep(secs(300)).await;
    assert!(!left.peer.is_closed() && !right.peer.is_closed());
    assert!(left.peer.rtt().is_some());
    right.peer.disconnect(DisconnectReason::Requested);
    assert_eq!(left.end.await.unwrap(), remote(DisconnectReason::Requested, None));
}
