//! The suite of [`Connection`](devp2p_core::Connection).
//!
//! Its clauses:
//!
//! - **remote key**: each end tells the other's.
//! - **order and completeness**: what is sent arrives, unchanged and in order, both ways at once,
//!   empty payloads too.
//! - **large messages**: up to 10 MiB once established, compressed or not.
//! - **limit on sending**: before `established` a message above 2 KiB is `MessageTooLarge`, and
//!   nothing of it reaches the remote.
//! - **limit on receiving**: such a message from a remote that takes itself for established is an
//!   error and ends the stream, while the sink can still tell why.
//! - **cancellation**: polling may be given up at any point, in either direction, and nothing is
//!   lost, doubled or cut.
//! - **back-pressure**: a sender whom nobody reads from is stopped within 64 MiB, and nothing is
//!   lost.
//! - **reading does not wait for writing**: two ends that have filled up each other still receive.
//! - **end of stream**: after a close the remote receives all that was sent, then `None`, and
//!   `None` again.
//! - **the other direction stays open**: an end that closed still receives.
//! - **error after close**: sending is an error.
//! - **a dropped remote**: the stream ends, after an error at most, and sending becomes an error.
//! - **traffic**: what one end has sent, the other has received.

use std::{collections::VecDeque, future::poll_fn};

use bytes::Bytes;
use devp2p_core::{BoxConnection, ConnectionError, Message, NodeKey, Rng};
use futures::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::{try_join, try_join4},
};
use tokio::{task::yield_now, time::sleep};

use super::{Report, Seen, Suite, TICK, ensure, key, quiet, seen};

/// What to make a pair of connections with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ends {
    /// The key of the end that dialed.
    pub left: NodeKey,
    /// The key of the end that was dialed.
    pub right: NodeKey,
    /// How many bytes a stream below should hold in each direction, where there is one.
    pub window: usize,
}

/// Two connections that are each other's remote, left and right, or what went wrong.
pub type Pair = Result<(BoxConnection, BoxConnection), Box<dyn std::error::Error + Send + Sync>>;

/// What a stream below holds by default, as in a kernel.
const WINDOW: usize = 64 * 1024;

/// Less than any frame, so that each is cut many times.
const TINY_WINDOW: usize = 61;

/// More than any connection may hold for a reader who does not come.
const TOO_MUCH: usize = 64 * 1024 * 1024;

/// The first id of subprotocols.
const FIRST_ID: u64 = 0x10;

/// Tries every clause on the pairs that `pair` makes.
pub async fn check<F: Future<Output = Pair>>(pair: impl Fn(Ends) -> F) -> Report {
    let mut suite = Suite::new("Connection");
    clauses(&mut suite, &Pairs(pair)).await;
    suite.report()
}

/// The clauses alone, for the suite of what makes connections.
pub(super) async fn clauses<M: MakePair>(suite: &mut Suite, pairs: &M) {
    suite.clause("remote key", remote_key(pairs)).await;
    suite.clause("order and completeness", order(pairs)).await;
    suite.clause("large messages", large_messages(pairs)).await;
    suite.clause("limit on sending", limit_on_sending(pairs)).await;
    suite.clause("limit on receiving", limit_on_receiving(pairs)).await;
    suite.clause("cancellation", cancellation(pairs)).await;
    suite.clause("back-pressure", back_pressure(pairs)).await;
    suite.clause("reading does not wait for writing", no_deadlock(pairs)).await;
    suite.clause("end of stream", end_of_stream(pairs)).await;
    suite.clause("the other direction stays open", half_close(pairs)).await;
    suite.clause("error after close", error_after_close(pairs)).await;
    suite.clause("a dropped remote", dropped_remote(pairs)).await;
    suite.clause("traffic", traffic(pairs)).await;
}

/// Makes pairs of connections.
pub(super) trait MakePair {
    async fn make(&self, window: usize) -> Result<(BoxConnection, BoxConnection), Seen>;
}

struct Pairs<P>(P);

impl<F: Future<Output = Pair>, P: Fn(Ends) -> F> MakePair for Pairs<P> {
    async fn make(&self, window: usize) -> Result<(BoxConnection, BoxConnection), Seen> {
        let (left, right) = (left()?, right()?);
        match (self.0)(Ends { left, right, window }).await {
            Ok(pair) => Ok(pair),
            Err(error) => seen(format!("no pair: {error}")),
        }
    }
}

pub(super) fn left() -> Result<NodeKey, Seen> {
    key(0x11)
}

pub(super) fn right() -> Result<NodeKey, Seen> {
    key(0x22)
}

async fn established<M: MakePair>(
    pairs: &M,
    window: usize,
    snappy: bool,
) -> Result<(BoxConnection, BoxConnection), Seen> {
    let (mut left, mut right) = pairs.make(window).await?;
    left.as_mut().established(snappy);
    right.as_mut().established(snappy);
    Ok((left, right))
}

async fn remote_key<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (at_left, at_right) = pairs.make(WINDOW).await?;
    ensure(at_left.remote() == right()?.public_key(), || "left tells another key".to_owned())?;
    ensure(at_right.remote() == left()?.public_key(), || "right tells another key".to_owned())
}

async fn order<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (left, right) = pairs.make(WINDOW).await?;
    let (left, right) = both_ways(left, right, &messages(300, 1_900)).await?;
    let (mut left, mut right) = (left, right);
    left.as_mut().established(true);
    right.as_mut().established(true);
    both_ways(left, right, &messages(300, 20_000)).await?;
    Ok(())
}

async fn large_messages<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let mut noise = vec![0; 10 * 1024 * 1024];
    Rng::from_seed([3; 32]).fill(&mut noise);
    let noise = Bytes::from(noise);
    for snappy in [false, true] {
        let (left, right) = established(pairs, WINDOW, snappy).await?;
        let payloads = [
            noise.slice(..100_000),
            noise.slice(..1024 * 1024),
            Bytes::from(vec![7; 1024 * 1024]),
            noise.clone(),
        ];
        let messages: Vec<_> =
            payloads.into_iter().map(|payload| Message { id: FIRST_ID, payload }).collect();
        both_ways(left, right, &messages).await?;
    }
    Ok(())
}

async fn limit_on_sending<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = pairs.make(WINDOW).await?;
    match left.send(message(0, 4_096)).await {
        Err(ConnectionError::MessageTooLarge { .. }) => {}
        other => return seen(format!("sending 4 KiB came to {other:?}")),
    }
    // The connection may go on or not, but what was refused is not in it.
    let after = message(1, 10);
    let goes_on = left.send(after.clone()).await.is_ok();
    drop(left);
    match right.next().await {
        Some(Ok(received)) if goes_on => ensure(received == after, || {
            format!("a message of {} bytes arrived", received.payload.len())
        }),
        Some(Ok(received)) => seen(format!("message {:#x} arrived", received.id)),
        _ if goes_on => seen("the message after it did not arrive"),
        _ => Ok(()),
    }
}

async fn limit_on_receiving<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = pairs.make(WINDOW).await?;
    left.as_mut().established(false);
    left.send(message(0, 4_096)).await?;
    match right.next().await {
        Some(Err(_)) => {}
        other => return seen(format!("receiving 4 KiB came to {:?}", other.map(brief))),
    }
    ensure_ended(&mut right).await?;
    // It can still say why.
    right.send(message(1, 10)).await?;
    compare(&message(1, 10), left.next().await)
}

async fn cancellation<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = pairs.make(TINY_WINDOW).await?;
    let messages = messages(60, 1_500);
    let send = async {
        for message in &messages {
            // Each of these futures is polled once and dropped.
            while poll_fn(|cx| left.poll_ready_unpin(cx)).now_or_never().transpose()?.is_none() {
                sleep(TICK).await;
            }
            left.start_send_unpin(message.clone())?;
            while left.flush().now_or_never().transpose()?.is_none() {
                sleep(TICK).await;
            }
        }
        Ok::<_, Seen>(())
    };
    let receive = async {
        let mut expected = VecDeque::from(messages.clone());
        while let Some(expected) = expected.pop_front() {
            let received = loop {
                match right.next().now_or_never() {
                    Some(received) => break received,
                    None => sleep(TICK).await,
                }
            };
            compare(&expected, received)?;
        }
        Ok(())
    };
    try_join(send, receive).await?;
    ensure(quiet(right.next()).await.is_none(), || "more came than was sent".to_owned())
}

async fn back_pressure<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = established(pairs, WINDOW, false).await?;
    let sent = fill(&mut left).await?;
    let close = async { Ok::<_, Seen>(left.close().await?) };
    let receive = async {
        for index in 0..sent {
            compare(&message(index, FILL), right.next().await)?;
        }
        ensure_ended(&mut right).await
    };
    try_join(close, receive).await?;
    Ok(())
}

async fn no_deadlock<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = established(pairs, WINDOW, false).await?;
    let (from_left, from_right) = (fill(&mut left).await?, fill(&mut right).await?);
    let filled = |count| (0..count).map(|index| message(index, FILL)).collect::<Vec<_>>();
    let (from_left, from_right) = (filled(from_left), filled(from_right));
    let ((mut left_sink, mut left_stream), (mut right_sink, mut right_stream)) =
        (left.split(), right.split());
    try_join4(
        send_all(&mut left_sink, &[]),
        receive_all(&mut left_stream, &from_right),
        send_all(&mut right_sink, &[]),
        receive_all(&mut right_stream, &from_left),
    )
    .await?;
    Ok(())
}

async fn end_of_stream<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = pairs.make(WINDOW).await?;
    for index in 0..3 {
        left.feed(message(index, 100)).await?;
    }
    left.close().await?;
    for index in 0..3 {
        compare(&message(index, 100), right.next().await)?;
    }
    ensure_ended(&mut right).await?;
    ensure_ended(&mut right).await
}

async fn half_close<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, mut right) = pairs.make(WINDOW).await?;
    left.close().await?;
    ensure_ended(&mut right).await?;
    right.send(message(5, 500)).await?;
    compare(&message(5, 500), left.next().await)
}

async fn error_after_close<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, _right) = pairs.make(WINDOW).await?;
    left.send(message(0, 100)).await?;
    left.close().await?;
    let sent = left.send(message(1, 100)).await;
    ensure(sent.is_err(), || "a message is taken after the close".to_owned())
}

async fn dropped_remote<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (mut left, right) = pairs.make(WINDOW).await?;
    drop(right);
    match left.next().await {
        None => {}
        Some(Err(_)) => ensure_ended(&mut left).await?,
        Some(Ok(received)) => return seen(format!("message {:#x} out of nothing", received.id)),
    }
    let mut taken = 0_usize;
    while left.send(message(0, 1_000)).await.is_ok() {
        taken = taken.saturating_add(1_000);
        ensure(taken < TOO_MUCH, || format!("{taken} bytes were taken for nobody"))?;
        yield_now().await;
    }
    Ok(())
}

async fn traffic<M: MakePair>(pairs: &M) -> Result<(), Seen> {
    let (left, right) = established(pairs, WINDOW, true).await?;
    let before = left.traffic();
    let (left, right) = both_ways(left, right, &messages(20, 1_000)).await?;
    let (left, right) = (left.traffic(), right.traffic());
    let same = left.egress == right.ingress && right.egress == left.ingress;
    ensure(same, || format!("left counts {left:?} and right {right:?}"))?;
    let grew = left.egress > before.egress && left.ingress > before.ingress;
    ensure(grew, || format!("{before:?} did not grow"))
}

/// Sends the messages both ways at once, and compares what arrives.
async fn both_ways(
    left: BoxConnection,
    right: BoxConnection,
    messages: &[Message],
) -> Result<(BoxConnection, BoxConnection), Seen> {
    let (mut left_sink, mut left_stream) = left.split();
    let (mut right_sink, mut right_stream) = right.split();
    try_join4(
        send_all(&mut left_sink, messages),
        receive_all(&mut left_stream, messages),
        send_all(&mut right_sink, messages),
        receive_all(&mut right_stream, messages),
    )
    .await?;
    match (left_sink.reunite(left_stream), right_sink.reunite(right_stream)) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        _ => seen("halves of different connections"),
    }
}

async fn send_all(
    sink: &mut (impl futures::Sink<Message, Error = ConnectionError> + Unpin),
    messages: &[Message],
) -> Result<(), Seen> {
    for message in messages {
        sink.feed(message.clone()).await?;
    }
    Ok(sink.flush().await?)
}

async fn receive_all(
    stream: &mut (impl futures::Stream<Item = Result<Message, ConnectionError>> + Unpin),
    messages: &[Message],
) -> Result<(), Seen> {
    for expected in messages {
        compare(expected, stream.next().await)?;
    }
    Ok(())
}

/// The payload of messages that are to fill a connection up.
const FILL: usize = 16 * 1024;

/// Sends until there is no more room. How many messages there was room for.
async fn fill(connection: &mut BoxConnection) -> Result<usize, Seen> {
    let mut sent = 0;
    while let Some(ready) = quiet(poll_fn(|cx| connection.poll_ready_unpin(cx))).await {
        ready?;
        connection.start_send_unpin(message(sent, FILL))?;
        sent = sent.saturating_add(1);
        let bytes = sent.saturating_mul(FILL);
        ensure(bytes < TOO_MUCH, || format!("{bytes} bytes were taken, and nobody reads"))?;
    }
    Ok(sent)
}

/// A message that tells its place.
fn message(index: usize, size: usize) -> Message {
    let step = u64::try_from(index % 100).unwrap_or_default();
    let mut payload = vec![0; size];
    Rng::from_seed([u8::try_from(step).unwrap_or_default(); 32]).fill(&mut payload);
    Message { id: FIRST_ID.saturating_add(step), payload: payload.into() }
}

/// Messages of all sizes up to `max`.
fn messages(count: usize, max: usize) -> Vec<Message> {
    let sizes = [0, 1, 15, 16, 17, 55, 56, 255, 256, max / 2, max];
    sizes.iter().cycle().take(count).enumerate().map(|(i, &size)| message(i, size)).collect()
}

fn compare(
    expected: &Message,
    received: Option<Result<Message, ConnectionError>>,
) -> Result<(), Seen> {
    match received {
        Some(Ok(message)) if message == *expected => Ok(()),
        other => seen(format!(
            "in place of message {:#x} with {} bytes came {}",
            expected.id,
            expected.payload.len(),
            other.map_or_else(|| "the end".to_owned(), brief)
        )),
    }
}

fn brief(received: Result<Message, ConnectionError>) -> String {
    match received {
        Ok(message) => format!("message {:#x} with {} bytes", message.id, message.payload.len()),
        Err(error) => format!("the error {error:?}"),
    }
}

async fn ensure_ended(connection: &mut BoxConnection) -> Result<(), Seen> {
    match connection.next().await {
        None => Ok(()),
        Some(received) => seen(format!("in place of the end came {}", brief(received))),
    }
}
