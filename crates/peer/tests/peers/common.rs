//! What these tests share.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{
    BoxConnection, Connection, ConnectionError, Message, NodeKey, PublicKey, Traffic,
};
use devp2p_peer::{
    Capability, Config, Direction, DisconnectReason, End, Established, Hello, Peer, PipeConfig,
    Protocol, ProtocolError, ProtocolStream, Subprotocol, hello, id, pipe_with,
};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _, future::BoxFuture};
use tokio::task::JoinHandle;

/// The same key for the same number.
pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes(&[number; 32]).unwrap()
}

/// A subprotocol made from a closure.
pub(crate) struct Script<F> {
    capability: Capability,
    length: u64,
    run: F,
}

pub(crate) type Outcome = Result<(), ProtocolError>;

impl<F> Subprotocol for Script<F>
where
    F: Fn(Peer, ProtocolStream) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
{
    fn capability(&self) -> Capability {
        self.capability.clone()
    }

    fn length(&self) -> u64 {
        self.length
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Outcome {
        (self.run)(peer, stream).await
    }
}

/// Version 1 of `name`, with 16 message ids.
pub(crate) fn script<F>(name: &str, run: F) -> Protocol
where
    F: Fn(Peer, ProtocolStream) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
{
    Protocol::new(Script { capability: Capability::new(name, 1), length: 16, run })
}

/// Takes everything and does nothing, until the peer ends.
pub(crate) fn sink(name: &str) -> Protocol {
    script(name, |_, mut stream| {
        Box::pin(async move {
            while stream.next().await.is_some() {}
            Ok(())
        })
    })
}

/// Waits for ever.
pub(crate) fn idle(name: &str) -> Protocol {
    script(name, |_, stream| {
        Box::pin(async move {
            let _stream = stream;
            std::future::pending().await
        })
    })
}

pub(crate) fn message(id: u64, payload: impl Into<Bytes>) -> Message {
    Message { id, payload: payload.into() }
}

/// A message whose payload is this number.
pub(crate) fn numbered(id: u64, number: u32) -> Message {
    message(id, number.to_be_bytes().to_vec())
}

pub(crate) fn number(message: &Message) -> u32 {
    u32::from_be_bytes(message.payload[..4].try_into().unwrap())
}

pub(crate) fn capabilities(protocols: &[Protocol]) -> Vec<Capability> {
    protocols.iter().map(Protocol::capability).collect()
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.seed = Some([7; 32]);
    config
}

/// A running peer.
pub(crate) struct Live {
    pub(crate) peer: Peer,
    pub(crate) end: JoinHandle<End>,
}

pub(crate) fn run(established: Established, protocols: &[Protocol], direction: Direction) -> Live {
    let (peer, future) = established.run(protocols, direction, None);
    Live { peer, end: tokio::spawn(future) }
}

/// Both Hellos over a pipe; the right end speaks our code too.
pub(crate) async fn established(
    config: &Config,
    pipe: &PipeConfig,
    left: &[Protocol],
    right: &[Protocol],
) -> (Established, Established) {
    let (a, b) = (key(1).public_key(), key(2).public_key());
    let (here, there) = pipe_with(a, b, pipe);
    let ours = Hello::new("left", capabilities(left), a);
    let theirs = Hello::new("right", capabilities(right), b);
    let (left, right) = tokio::join!(hello(here, &ours, config), hello(there, &theirs, config));
    (left.unwrap(), right.unwrap())
}

/// Two running peers, both ours.
pub(crate) async fn both(
    config: &Config,
    pipe: &PipeConfig,
    left: &[Protocol],
    right: &[Protocol],
) -> (Live, Live) {
    let (here, there) = established(config, pipe, left, right).await;
    (run(here, left, Direction::Outbound), run(there, right, Direction::Inbound))
}

/// A running peer, whose remote is a bare connection in the hand of the test.
pub(crate) async fn against_raw(config: &Config, protocols: &[Protocol]) -> (Live, BoxConnection) {
    against_raw_over(config, &PipeConfig::default(), protocols).await
}

pub(crate) async fn against_raw_over(
    config: &Config,
    pipe: &PipeConfig,
    protocols: &[Protocol],
) -> (Live, BoxConnection) {
    let (a, b) = (key(1).public_key(), key(2).public_key());
    let (here, mut raw) = pipe_with(a, b, pipe);
    let ours = Hello::new("left", capabilities(protocols), a);
    let theirs = Hello::new("raw", capabilities(protocols), b);
    raw.send(theirs.message()).await.unwrap();
    let established = hello(here, &ours, config).await.unwrap();
    let first = raw.next().await.unwrap().unwrap();
    assert_eq!(first.id, id::HELLO);
    raw.as_mut().established(true);
    (run(established, protocols, Direction::Outbound), raw)
}

/// The next message that is no Ping.
pub(crate) async fn next(raw: &mut BoxConnection) -> Option<Message> {
    loop {
        let message = raw.next().await?.unwrap();
        if message.id != id::PING {
            return Some(message);
        }
    }
}

/// Reads until the remote disconnects, and returns why.
pub(crate) async fn disconnected(raw: &mut BoxConnection) -> Option<DisconnectReason> {
    loop {
        let message = next(raw).await?;
        if message.id == id::DISCONNECT {
            return Some(DisconnectReason::decode(&message.payload));
        }
    }
}

/// Answers every Ping and drops the rest, until the connection ends.
pub(crate) fn answer_pings(mut raw: BoxConnection) -> JoinHandle<Option<DisconnectReason>> {
    tokio::spawn(async move {
        while let Some(Ok(received)) = raw.next().await {
            match received.id {
                id::PING => raw.send(message(id::PONG, vec![0xc0])).await.ok()?,
                id::DISCONNECT => return Some(DisconnectReason::decode(&received.payload)),
                _ => {}
            }
        }
        None
    })
}

/// Lets every task run until none can go on, without time passing.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// What a future gives within no time at all.
pub(crate) async fn now_or_never<T>(
    mut future: Pin<&mut (dyn Future<Output = T> + Send)>,
) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// A connection on which a byte comes every second besides the messages, and where a message with
/// the id [`BROKEN`] stands for a frame that cannot be read.
pub(crate) struct Odd {
    inner: BoxConnection,
    began: tokio::time::Instant,
    failed: bool,
}

pub(crate) const BROKEN: u64 = 0x0f;

impl Odd {
    pub(crate) fn new(inner: BoxConnection) -> Self {
        Self { inner, began: now(), failed: false }
    }
}

impl Stream for Odd {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let next = ready!(self.inner.as_mut().poll_next(cx));
        self.failed = matches!(&next, Some(Ok(Message { id: BROKEN, .. })));
        let error = ConnectionError::Malformed("a broken frame");
        Poll::Ready(if self.failed { Some(Err(error)) } else { next })
    }
}

impl Sink<Message> for Odd {
    type Error = ConnectionError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.inner.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ConnectionError> {
        self.inner.as_mut().start_send(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.inner.as_mut().poll_flush(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.inner.as_mut().poll_close(cx)
    }
}

impl Connection for Odd {
    fn remote(&self) -> PublicKey {
        self.inner.remote()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    fn traffic(&self) -> Traffic {
        Traffic { ingress: self.began.elapsed().as_secs(), egress: 0 }
    }

    fn established(mut self: Pin<&mut Self>, snappy: bool) {
        self.inner.as_mut().established(snappy);
    }
}

/// tokio's paused clock.
pub(crate) fn now() -> tokio::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "virtual time")]
    tokio::time::Instant::now()
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
