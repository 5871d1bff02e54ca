//! The suite of [`Multiplexer`], with its [`Negotiated`](crate::Negotiated) and
//! [`PeerControl`](crate::PeerControl).
//!
//! Its clauses:
//!
//! - **hellos**: each side tells the other's name, capabilities and key, and what both share.
//! - **established**: was called once on each connection when the Hellos are done.
//! - **identity**: a remote whose Hello has another key than its connection is an error, or is
//!   shown with the key that it proved.
//! - **nothing runs before the first poll**: of the future that
//!   [`Negotiated::run`](crate::Negotiated::run) gave.
//! - **order and completeness**: of the messages of a subprotocol, both ways at once.
//! - **large messages**: of 4 MiB.
//! - **back-pressure**: a subprotocol that does not read stops the remote's within 64 MiB, and
//!   nothing is lost.
//! - **cancellation**: dropping whatever waits in a subprotocol loses nothing.
//! - **disconnect**: returns at once, may be repeated, and ends both sides with its reason; each
//!   knows who did it.
//! - **error after close**: a subprotocol of a peer that is gone reads what had arrived, then the
//!   end, and cannot send.
//! - **subprotocols end first**: all have ended when the future ends.
//! - **a subprotocol that returns**: ends the peer.
//! - **a closed connection**, **a failing connection**: ends Hellos, refusals and peers, within a
//!   minute also those with a subprotocol that does not read.
//! - **a dropped Hello closes**, **a dropped peer closes**: the connection, and drops the
//!   subprotocols.
//! - **refuse before the Hello**, **refuse after the Hello**: the remote hears the reason.
//! - **a refusal ends**: also where the remote does nothing.
//! - **the handle outlives the peer**: its methods do no harm then.

mod application;
mod party;
mod spy;

use std::sync::{Arc, atomic::Ordering};

use devp2p_peer::{DisconnectReason, Hello, HelloError, ProtocolError, Side};
use futures::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::{join, poll_fn, try_join},
};
use tokio::time::sleep;

pub use self::application::Application;
use self::{
    application::{FILL, compare, exchange, failed, message},
    party::{Running, greeted, parties, parties_with, running, spawn},
};
use super::{
    Report, Seen, Suite, TICK,
    connection::{left, right},
    ensure, key, quiet, seen,
};
use crate::Multiplexer;

/// Tries every clause. `multiplexer` makes one that says this Hello and runs this application.
/// What the capabilities of the Hello are, with the application's alone, is set already.
pub async fn check(multiplexer: impl Fn(Hello, Application) -> Arc<dyn Multiplexer>) -> Report {
    let mut suite = Suite::new("Multiplexer");
    let make = &multiplexer;
    suite.clause("hellos", hellos(make)).await;
    suite.clause("established", established(make)).await;
    suite.clause("identity", identity(make)).await;
    suite.clause("nothing runs before the first poll", not_before(make)).await;
    suite.clause("order and completeness", order(make)).await;
    suite.clause("large messages", large_messages(make)).await;
    suite.clause("back-pressure", back_pressure(make)).await;
    suite.clause("cancellation", cancellation(make)).await;
    suite.clause("disconnect", disconnect(make)).await;
    suite.clause("error after close", error_after_close(make)).await;
    suite.clause("subprotocols end first", end_first(make)).await;
    suite.clause("a subprotocol that returns", returning(make)).await;
    suite.clause("a closed connection", closed(make)).await;
    suite.clause("a failing connection", failing(make)).await;
    suite.clause("a dropped Hello closes", dropped_hello(make)).await;
    suite.clause("a dropped peer closes", dropped_peer(make)).await;
    suite.clause("refuse before the Hello", refuse_before(make)).await;
    suite.clause("refuse after the Hello", refuse_after(make)).await;
    suite.clause("a refusal ends", refusal_ends(make)).await;
    suite.clause("the handle outlives the peer", handle(make)).await;
    suite.report()
}

trait Make: Fn(Hello, Application) -> Arc<dyn Multiplexer> {}

impl<T: Fn(Hello, Application) -> Arc<dyn Multiplexer>> Make for T {}

async fn hellos(make: &impl Make) -> Result<(), Seen> {
    let (at_left, at_right) = greeted(make).await?;
    for (greeted, name, key) in [(&at_left, "right", right()?), (&at_right, "left", left()?)] {
        let hello = greeted.negotiated.hello();
        ensure(hello.name == name, || format!("{name} is called {:?}", hello.name))?;
        let same = hello.public_key == key.public_key();
        ensure(same, || format!("{name} has the key {}", hello.public_key))?;
        let expected = [Application::capability()];
        let (all, shared) = (&hello.capabilities, greeted.negotiated.shared());
        ensure(*all == expected && shared == expected, || {
            format!("{name} has {all:?}, of which {shared:?} are shared")
        })?;
    }
    Ok(())
}

async fn established(make: &impl Make) -> Result<(), Seen> {
    let (at_left, at_right) = greeted(make).await?;
    for greeted in [at_left, at_right] {
        let calls = greeted.spy.established.load(Ordering::SeqCst);
        ensure(calls == 1, || format!("called {calls} times"))?;
    }
    Ok(())
}

async fn identity(make: &impl Make) -> Result<(), Seen> {
    let (at_left, liar) = parties_with(make, key(0x33)?.public_key())?;
    let (at_left, liar) = join(at_left.hello(), liar.hello()).await;
    drop(liar);
    match at_left {
        Ok(greeted) => {
            let shown = greeted.negotiated.hello().public_key;
            ensure(shown == right()?.public_key(), || format!("the key {shown}"))
        }
        Err(_) => Ok(()),
    }
}

async fn not_before(make: &impl Make) -> Result<(), Seen> {
    let (at_left, at_right) = greeted(make).await?;
    for greeted in [at_left, at_right] {
        let (_control, life) = greeted.negotiated.run();
        let elsewhere = quiet(std::future::pending::<()>()).await;
        let running = greeted.running.load(Ordering::SeqCst);
        drop((life, elsewhere));
        ensure(running == 0, || "the subprotocol runs".to_owned())?;
    }
    Ok(())
}

async fn order(make: &impl Make) -> Result<(), Seen> {
    let (mut left, mut right) = running(make).await?;
    let sizes = [0, 1, 55, 56, 1_000, 2_048, 20_000];
    let messages: Vec<_> =
        sizes.iter().cycle().take(500).enumerate().map(|(i, &size)| message(i, size)).collect();
    exchange(&mut left.line, &mut right.line, &messages).await
}

async fn large_messages(make: &impl Make) -> Result<(), Seen> {
    let (mut left, mut right) = running(make).await?;
    let messages = [message(0, 4 * 1024 * 1024), message(1, 1), message(2, 4 * 1024 * 1024)];
    exchange(&mut left.line, &mut right.line, &messages).await
}

async fn back_pressure(make: &impl Make) -> Result<(), Seen> {
    let (mut left, mut right) = running(make).await?;
    let sent = left.line.fill().await?;
    let messages: Vec<_> = (0..sent).map(|index| message(index, FILL)).collect();
    try_join(left.line.send(&[]), right.line.receive(&messages)).await?;
    Ok(())
}

async fn cancellation(make: &impl Make) -> Result<(), Seen> {
    let (mut left, mut right) = running(make).await?;
    let messages: Vec<_> = (0..1_000).map(|index| message(index, 1_000)).collect();
    let outgoing = &mut left.line.outgoing;
    let send = async {
        for message in &messages {
            // Each of these futures is polled once and dropped.
            while poll_fn(|cx| outgoing.poll_ready_unpin(cx)).now_or_never().is_none() {
                sleep(TICK).await;
            }
            outgoing.start_send_unpin(message.clone()).map_err(failed)?;
            if message.id == 0 {
                while outgoing.flush().now_or_never().is_none() {
                    sleep(TICK).await;
                }
            }
        }
        outgoing.flush().await.map_err(failed)
    };
    let incoming = &mut right.line.incoming;
    let receive = async {
        for expected in &messages {
            let received = loop {
                match incoming.next().now_or_never() {
                    Some(received) => break received,
                    None => sleep(TICK).await,
                }
            };
            compare(expected, received)?;
        }
        Ok(())
    };
    try_join(send, receive).await?;
    Ok(())
}

async fn disconnect(make: &impl Make) -> Result<(), Seen> {
    let (left, right) = running(make).await?;
    left.control.disconnect(DisconnectReason::UselessPeer);
    left.control.disconnect(DisconnectReason::UselessPeer);
    let (at_left, at_right) = try_join(left.life, right.life).await?;
    for (end, side) in [(at_left, Side::Local), (at_right, Side::Remote)] {
        ensure(end.reason == DisconnectReason::UselessPeer && end.side == side, || {
            format!("the end {end:?} where {side:?} was expected")
        })?;
    }
    Ok(())
}

async fn error_after_close(make: &impl Make) -> Result<(), Seen> {
    let (mut left, mut right) = running(make).await?;
    let messages: Vec<_> = (0..3).map(|index| message(index, 100)).collect();
    left.line.send(&messages).await?;
    left.control.disconnect(DisconnectReason::Requested);
    right.line.receive(&messages).await?;
    let after = right.line.incoming.next().await;
    ensure(after.is_none(), || "more than was sent".to_owned())?;
    right.life.await?;
    let sent = right.line.outgoing.send(message(0, 1)).await;
    ensure(sent.is_err(), || "a message is taken for a peer that is gone".to_owned())
}

async fn end_first(make: &impl Make) -> Result<(), Seen> {
    let (left, right) = running(make).await?;
    right.control.disconnect(DisconnectReason::Requested);
    // The applications would not return by themselves.
    for (party, life, count) in
        [("left", left.life, &left.running), ("right", right.life, &right.running)]
    {
        life.await?;
        let running = count.load(Ordering::SeqCst);
        ensure(running == 0, || format!("the subprotocol of {party} still runs"))?;
    }
    Ok(())
}

async fn returning(make: &impl Make) -> Result<(), Seen> {
    for result in [Ok(()), Err(ProtocolError::bad_message("as the suite wants it"))] {
        let (left, right) = running(make).await?;
        // An error would say that it has returned before.
        let _ = left.line.finish.send(result);
        let (at_left, at_right) = try_join(left.life, right.life).await?;
        ensure(at_left.side == Side::Local && at_right.side == Side::Remote, || {
            format!("the ends {at_left:?} and {at_right:?}")
        })?;
    }
    Ok(())
}

async fn closed(make: &impl Make) -> Result<(), Seen> {
    let (at_left, at_right) = parties(make)?;
    drop(at_right);
    ensure(at_left.hello().await.is_err(), || "a Hello of nobody".to_owned())?;

    let (at_left, at_right) = parties(make)?;
    drop(at_right);
    at_left.multiplexer.refuse(at_left.connection, DisconnectReason::TooManyPeers).await;

    let (at_left, at_right) = greeted(make).await?;
    drop(at_right);
    at_left.negotiated.refuse(DisconnectReason::TooManyPeers).await;

    let (left, right) = running(make).await?;
    drop(right);
    left.life.await?;

    // Also where a subprotocol does not read.
    let (mut left, right) = running(make).await?;
    left.line.fill().await?;
    drop(left);
    right.life.await?;
    Ok(())
}

async fn failing(make: &impl Make) -> Result<(), Seen> {
    let (at_left, _at_right) = parties(make)?;
    at_left.spy.fail();
    ensure(at_left.hello().await.is_err(), || "a Hello on a broken connection".to_owned())?;

    let (left, _right) = running(make).await?;
    left.spy.fail();
    left.life.await?;
    Ok(())
}

async fn dropped_hello(make: &impl Make) -> Result<(), Seen> {
    let (at_left, _at_right) = parties(make)?;
    let spy = Arc::clone(&at_left.spy);
    let waiting = quiet(at_left.hello()).await;
    ensure(waiting.is_none(), || "an end without the remote".to_owned())?;
    ensure(spy.is_dropped(), || "the connection lives on".to_owned())
}

async fn dropped_peer(make: &impl Make) -> Result<(), Seen> {
    let (left, right) = running(make).await?;
    let Running { life, spy, running, control, line } = left;
    drop(life);
    // Who still holds the handle or the stream does not keep it alive.
    while !spy.is_dropped() || running.load(Ordering::SeqCst) > 0 {
        let waited = quiet(std::future::pending::<()>()).await;
        debug_assert!(waited.is_none(), "pending is for ever");
    }
    drop((control, line));
    right.life.await?;
    Ok(())
}

async fn refuse_before(make: &impl Make) -> Result<(), Seen> {
    let (at_left, at_right) = parties(make)?;
    let refuse = at_left.multiplexer.refuse(at_left.connection, DisconnectReason::TooManyPeers);
    let ((), heard) = join(refuse, at_right.hello()).await;
    ensure(at_left.spy.is_dropped(), || "the connection lives on".to_owned())?;
    match heard {
        Err(HelloError::Disconnected(DisconnectReason::TooManyPeers)) => Ok(()),
        Err(error) => seen(format!("the remote heard of it as {error:?}")),
        Ok(_) => seen("the remote was greeted"),
    }
}

async fn refuse_after(make: &impl Make) -> Result<(), Seen> {
    let (at_left, at_right) = greeted(make).await?;
    let spy = at_left.spy;
    let refuse = at_left.negotiated.refuse(DisconnectReason::UselessPeer);
    let (_control, life) = at_right.negotiated.run();
    let ((), end) = join(refuse, spawn(life)).await;
    let end = end?;
    ensure(spy.is_dropped(), || "the connection lives on".to_owned())?;
    let expected = end.reason == DisconnectReason::UselessPeer && end.side == Side::Remote;
    ensure(expected, || format!("the remote heard of it as {end:?}"))
}

async fn refusal_ends(make: &impl Make) -> Result<(), Seen> {
    let (at_left, _silent) = parties(make)?;
    at_left.multiplexer.refuse(at_left.connection, DisconnectReason::TooManyPeers).await;

    let (at_left, _silent) = greeted(make).await?;
    at_left.negotiated.refuse(DisconnectReason::TooManyPeers).await;

    let (at_left, _silent) = greeted(make).await?;
    let (control, life) = at_left.negotiated.run();
    let life = spawn(life);
    control.disconnect(DisconnectReason::Quitting);
    life.await?;
    Ok(())
}

async fn handle(make: &impl Make) -> Result<(), Seen> {
    let (mut left, mut right) = running(make).await?;
    exchange(&mut left.line, &mut right.line, &[message(0, 1_000)]).await?;
    right.control.disconnect(DisconnectReason::Requested);
    left.life.await?;
    left.control.disconnect(DisconnectReason::Requested);
    let _ = left.control.rtt();
    let traffic = left.control.traffic();
    ensure(traffic.egress > 0 && traffic.ingress > 0, || format!("no traffic in {traffic:?}"))
}
