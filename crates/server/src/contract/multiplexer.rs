//! The suite of [`Multiplexer`], with its [`Negotiated`] and [`PeerControl`].
//!
//! Its clauses:
//!
//! - **hellos**: each side tells the other's name, capabilities and key, and what both share.
//! - **established**: was called once on each connection when the Hellos are done.
//! - **identity**: a remote whose Hello has another key than its connection is an error, or is
//!   shown with the key that it proved.
//! - **nothing runs before the first poll**: of the future that [`Negotiated::run`] gave.
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
//! - **a closed connection**, **a failing connection**: ends Hellos, refusals and peers.
//! - **a dropped Hello closes**, **a dropped peer closes**: the connection, and drops the
//!   subprotocols.
//! - **refuse before the Hello**, **refuse after the Hello**: the remote hears the reason.
//! - **a refusal ends**: also where the remote does nothing.
//! - **the handle outlives the peer**: its methods do no harm then.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use devp2p_core::{BoxConnection, Connection, ConnectionError, Message, PublicKey, Rng, Traffic};
use devp2p_peer::{
    Capability, Direction, DisconnectReason, End, Hello, HelloError, Peer, ProtocolError,
    ProtocolStream, Side, Subprotocol, pipe,
};
use futures::{
    FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _,
    future::{BoxFuture, join, poll_fn, try_join, try_join4},
    stream::BoxStream,
    task::AtomicWaker,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

use tokio_util::task::AbortOnDropHandle;

use super::{
    Report, Seen, Suite,
    connection::{left, right},
    ensure, key, quiet, seen,
};
use crate::{Multiplexer, Negotiated, PeerControl};

/// More than may be held for a subprotocol that does not read.
const TOO_MUCH: usize = 64 * 1024 * 1024;

/// Room for what runs at one time in a clause: one of each side.
const LINES: usize = 4;

/// The one subprotocol that the suite has a multiplexer run. It does as the suite says.
///
/// A multiplexer of [`Subprotocol`]s runs it as such; another calls [`talk`](Application::talk)
/// with whatever its subprotocols read and write. Its capability is
/// [`capability`](Application::capability), with 16 message ids.
#[derive(Clone, Debug)]
pub struct Application {
    lines: mpsc::Sender<Line>,
    running: Arc<AtomicUsize>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running application, as the suite holds it.
struct Line {
    incoming: BoxStream<'static, Message>,
    outgoing: Pin<Box<dyn Sink<Message, Error = Failure> + Send>>,
    /// What it is to return.
    finish: oneshot::Sender<Result<(), ProtocolError>>,
}

impl Application {
    /// The number of message ids.
    pub const LENGTH: u64 = 16;

    /// Its name and version.
    pub fn capability() -> Capability {
        Capability::new("contract", 1)
    }

    /// Runs with one peer, until the suite has it return.
    ///
    /// # Errors
    /// Where the suite wants it to fail.
    pub async fn talk<S, E>(&self, stream: S) -> Result<(), ProtocolError>
    where
        S: Stream<Item = Message> + Sink<Message, Error = E> + Send + 'static,
        E: Into<Failure> + 'static,
    {
        let _count = Count::new(&self.running);
        let (outgoing, incoming) = stream.split();
        let (finish, finished) = oneshot::channel();
        let line = Line {
            incoming: incoming.boxed(),
            outgoing: Box::pin(outgoing.sink_map_err(Into::into)),
            finish,
        };
        match self.lines.try_send(line) {
            // The suite that drops its end wants no return.
            Ok(()) => match finished.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            },
            Err(_) => Err(ProtocolError::failed("started more often than there are peers")),
        }
    }
}

impl Subprotocol for Application {
    fn capability(&self) -> Capability {
        Self::capability()
    }

    fn length(&self) -> u64 {
        Self::LENGTH
    }

    async fn run(&self, _: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        self.talk(stream).await
    }
}

/// Counts what runs, until it is dropped.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

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
    const SIZE: usize = 16 * 1024;
    let (mut left, mut right) = running(make).await?;
    let mut sent = 0_usize;
    while let Some(ready) = quiet(poll_fn(|cx| left.line.outgoing.poll_ready_unpin(cx))).await {
        ready.map_err(failed)?;
        left.line.outgoing.start_send_unpin(message(sent, SIZE)).map_err(failed)?;
        sent = sent.saturating_add(1);
        let bytes = sent.saturating_mul(SIZE);
        ensure(bytes < TOO_MUCH, || format!("{bytes} bytes were taken, and nobody reads"))?;
    }
    let messages: Vec<_> = (0..sent).map(|index| message(index, SIZE)).collect();
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
            while poll_fn(|cx| outgoing.poll_ready_unpin(cx))
                .now_or_never()
                .transpose()
                .map_err(failed)?
                .is_none()
            {
                yield_now().await;
            }
            outgoing.start_send_unpin(message.clone()).map_err(failed)?;
            if message.id == 0 {
                while outgoing.flush().now_or_never().transpose().map_err(failed)?.is_none() {
                    yield_now().await;
                }
            }
        }
        Ok::<_, Seen>(())
    };
    let incoming = &mut right.line.incoming;
    let receive = async {
        for expected in &messages {
            let received = loop {
                match incoming.next().now_or_never() {
                    Some(received) => break received,
                    None => yield_now().await,
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

/// One side of a connection.
struct Party {
    multiplexer: Arc<dyn Multiplexer>,
    connection: BoxConnection,
    direction: Direction,
    spy: Arc<Spy>,
    lines: mpsc::Receiver<Line>,
    running: Arc<AtomicUsize>,
}

/// A side that knows the other's Hello.
struct Greeted {
    negotiated: Box<dyn Negotiated>,
    spy: Arc<Spy>,
    lines: mpsc::Receiver<Line>,
    running: Arc<AtomicUsize>,
}

/// A side whose application runs.
struct Running {
    control: Arc<dyn PeerControl>,
    life: AbortOnDropHandle<End>,
    line: Line,
    spy: Arc<Spy>,
    running: Arc<AtomicUsize>,
}

impl Party {
    fn new(
        make: &impl Make,
        name: &str,
        key: PublicKey,
        connection: BoxConnection,
        direction: Direction,
    ) -> Self {
        let (sender, lines) = mpsc::channel(LINES);
        let running = Arc::new(AtomicUsize::new(0));
        let application = Application { lines: sender, running: Arc::clone(&running) };
        let hello = Hello::new(name, vec![Application::capability()], key);
        let spy = Arc::new(Spy::default());
        Self {
            multiplexer: make(hello, application),
            connection: Box::pin(Spied { connection, spy: Arc::clone(&spy) }),
            direction,
            spy,
            lines,
            running,
        }
    }

    async fn hello(self) -> Result<Greeted, HelloError> {
        let Self { multiplexer, connection, direction, spy, lines, running } = self;
        let negotiated = multiplexer.hello(connection, direction).await?;
        Ok(Greeted { negotiated, spy, lines, running })
    }
}

impl Greeted {
    async fn run(mut self) -> Result<Running, Seen> {
        let (control, life) = self.negotiated.run();
        let life = spawn(life);
        let Some(line) = self.lines.recv().await else { return seen("no subprotocol") };
        Ok(Running { control, life, line, spy: self.spy, running: self.running })
    }
}

/// Runs it as the server does, in a task; dropping the handle drops the future.
fn spawn(life: BoxFuture<'static, End>) -> AbortOnDropHandle<End> {
    AbortOnDropHandle::new(tokio::spawn(life))
}

/// Two sides, left having dialed right.
fn parties(make: &impl Make) -> Result<(Party, Party), Seen> {
    parties_with(make, right()?.public_key())
}

/// Two sides, of which the right one says that it has this key.
fn parties_with(make: &impl Make, said: PublicKey) -> Result<(Party, Party), Seen> {
    let (left, right) = (left()?.public_key(), right()?.public_key());
    let (at_left, at_right) = pipe(left, right);
    Ok((
        Party::new(make, "left", left, at_left, Direction::Outbound),
        Party::new(make, "right", said, at_right, Direction::Inbound),
    ))
}

async fn greeted(make: &impl Make) -> Result<(Greeted, Greeted), Seen> {
    let (left, right) = parties(make)?;
    Ok(try_join(left.hello(), right.hello()).await?)
}

async fn running(make: &impl Make) -> Result<(Running, Running), Seen> {
    let (left, right) = greeted(make).await?;
    try_join(left.run(), right.run()).await
}

impl Line {
    async fn send(&mut self, messages: &[Message]) -> Result<(), Seen> {
        for message in messages {
            self.outgoing.feed(message.clone()).await.map_err(failed)?;
        }
        self.outgoing.flush().await.map_err(failed)
    }

    async fn receive(&mut self, messages: &[Message]) -> Result<(), Seen> {
        for expected in messages {
            compare(expected, self.incoming.next().await)?;
        }
        Ok(())
    }
}

/// Sends the messages both ways at once, and compares what arrives.
async fn exchange(left: &mut Line, right: &mut Line, messages: &[Message]) -> Result<(), Seen> {
    let send = async |outgoing: &mut Pin<Box<dyn Sink<Message, Error = Failure> + Send>>| {
        for message in messages {
            outgoing.feed(message.clone()).await.map_err(failed)?;
        }
        outgoing.flush().await.map_err(failed)
    };
    let receive = async |incoming: &mut BoxStream<'static, Message>| {
        for expected in messages {
            compare(expected, incoming.next().await)?;
        }
        Ok(())
    };
    try_join4(
        send(&mut left.outgoing),
        receive(&mut left.incoming),
        send(&mut right.outgoing),
        receive(&mut right.incoming),
    )
    .await?;
    Ok(())
}

/// A message that tells its place.
fn message(index: usize, size: usize) -> Message {
    let step = u8::try_from(index % 100).unwrap_or_default();
    let mut payload = vec![0; size];
    Rng::from_seed([step; 32]).fill(&mut payload);
    Message { id: u64::from(step) % Application::LENGTH, payload: payload.into() }
}

fn compare(expected: &Message, received: Option<Message>) -> Result<(), Seen> {
    let brief = |message: &Message| format!("{:#x} ({} bytes)", message.id, message.payload.len());
    ensure(received.as_ref() == Some(expected), || {
        let other = received.as_ref().map_or_else(|| "the end".to_owned(), brief);
        format!("in place of message {} came {other}", brief(expected))
    })
}

fn failed(error: Failure) -> Seen {
    Seen(format!("sending failed: {error}"))
}

/// What is seen of a connection, and can be done to it.
#[derive(Default)]
struct Spy {
    established: AtomicUsize,
    dropped: AtomicBool,
    failing: AtomicBool,
    reader: AtomicWaker,
}

impl Spy {
    /// From here on the connection is broken.
    fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
        self.reader.wake();
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), ConnectionError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(ConnectionError::Io(std::io::ErrorKind::ConnectionReset.into()));
        }
        Ok(())
    }
}

/// A connection with a spy in it.
struct Spied {
    connection: BoxConnection,
    spy: Arc<Spy>,
}

impl Drop for Spied {
    fn drop(&mut self) {
        self.spy.dropped.store(true, Ordering::SeqCst);
    }
}

impl Stream for Spied {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.spy.reader.register(cx.waker());
        match self.spy.check() {
            Ok(()) => self.connection.poll_next_unpin(cx),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl Sink<Message> for Spied {
    type Error = ConnectionError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.spy.check()?;
        self.connection.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ConnectionError> {
        self.spy.check()?;
        self.connection.start_send_unpin(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.spy.check()?;
        self.connection.poll_flush_unpin(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.spy.check()?;
        self.connection.poll_close_unpin(cx)
    }
}

impl Connection for Spied {
    fn remote(&self) -> PublicKey {
        self.connection.remote()
    }

    fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.connection.local_addr()
    }

    fn remote_addr(&self) -> Option<std::net::SocketAddr> {
        self.connection.remote_addr()
    }

    fn traffic(&self) -> Traffic {
        self.connection.traffic()
    }

    fn established(mut self: Pin<&mut Self>, snappy: bool) {
        self.spy.established.fetch_add(1, Ordering::SeqCst);
        self.connection.as_mut().established(snappy);
    }
}
