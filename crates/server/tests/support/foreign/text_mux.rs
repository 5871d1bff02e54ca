use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{BoxConnection, ConnectionError, Message, PublicKey, Traffic};
use devp2p_peer::{
    Capability, Direction, DisconnectReason, End, Hello, HelloError, ProtocolError, Side,
};
use devp2p_server::{Multiplexer, Negotiated, PeerControl};
use futures::{
    Sink, SinkExt as _, Stream, StreamExt as _,
    channel::mpsc::{Receiver, SendError, Sender, channel},
    future::BoxFuture,
    stream::SplitSink,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// The messages of the base protocol: one greeting, one goodbye.
const GREETING: u64 = 0;
const GOODBYE: u64 = 1;

/// Where the ids of the one subprotocol begin: connections keep messages with ids below small.
const FIRST_ID: u64 = 0x10;

/// How many messages wait on the way to the subprotocol, and as many on the way from it.
const QUEUE: usize = 16;

/// For how long a subprotocol may take nothing.
const STALL: Duration = Duration::from_secs(20);

/// How long the last things may take: the goodbye, the remote's close, the subprotocol's return.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a subprotocol is here: a function of a stream of messages.
type Talk =
    dyn Fn(PublicKey, TextStream) -> BoxFuture<'static, Result<(), ProtocolError>> + Send + Sync;

/// A base protocol in text, with one subprotocol at most, and without pings.
#[derive(Clone)]
pub(crate) struct TextMux {
    name: String,
    capability: Capability,
    talk: Arc<Talk>,
}

impl TextMux {
    /// What calls itself `name` and runs `talk` with each peer that has the capability too.
    pub(crate) fn new(
        name: impl Into<String>,
        capability: Capability,
        talk: impl Fn(PublicKey, TextStream) -> BoxFuture<'static, Result<(), ProtocolError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { name: name.into(), capability, talk: Arc::new(talk) }
    }
}

impl Multiplexer for TextMux {
    fn hello(
        &self,
        mut connection: BoxConnection,
        _: Direction,
    ) -> BoxFuture<'static, Result<Box<dyn Negotiated>, HelloError>> {
        let this = self.clone();
        Box::pin(async move {
            let greeting = format!("I am {}, and speak {}", this.name, this.capability);
            let greeting = Message { id: GREETING, payload: greeting.into() };
            // If that fails, the remote may still have said why.
            let sent = connection.send(greeting).await;
            let message = connection.next().await.ok_or(HelloError::Closed)?;
            let hello = greeted(message.map_err(HelloError::Connection)?, connection.remote())?;
            sent.map_err(HelloError::Connection)?;
            connection.as_mut().established(true);
            Ok(Box::new(Greeted { mux: this, connection, hello }) as Box<dyn Negotiated>)
        })
    }

    fn refuse(
        &self,
        connection: BoxConnection,
        reason: DisconnectReason,
    ) -> BoxFuture<'static, ()> {
        Box::pin(goodbye(connection, reason))
    }
}

/// What the first message of a remote says.
fn greeted(message: Message, remote: PublicKey) -> Result<Hello, HelloError> {
    let text = String::from_utf8_lossy(&message.payload).into_owned();
    match message.id {
        GREETING => {
            let (name, spoken) = text
                .strip_prefix("I am ")
                .and_then(|text| text.split_once(", and speak "))
                .ok_or(HelloError::UnexpectedMessage(GREETING))?;
            let capability = spoken
                .split_once('/')
                .and_then(|(name, version)| Some(Capability::new(name, version.parse().ok()?)));
            Ok(Hello::new(name, capability.into_iter().collect(), remote))
        }
        GOODBYE => Err(HelloError::Disconnected(reason(&message.payload))),
        id => Err(HelloError::UnexpectedMessage(id)),
    }
}

/// Says goodbye, and waits a moment for the remote to close.
async fn goodbye(mut connection: BoxConnection, reason: DisconnectReason) {
    let payload = Bytes::from(reason.code().to_string());
    let said = timeout(PATIENCE, connection.send(Message { id: GOODBYE, payload })).await;
    if matches!(said, Ok(Ok(()))) {
        let closed = async { while let Some(Ok(_)) = connection.next().await {} };
        let _ = timeout(PATIENCE, closed).await;
    }
}

fn reason(goodbye: &[u8]) -> DisconnectReason {
    let code = std::str::from_utf8(goodbye).ok().and_then(|text| text.parse().ok());
    code.map_or(DisconnectReason::ProtocolError, DisconnectReason::from_code)
}

/// A connection after the greetings.
struct Greeted {
    mux: TextMux,
    connection: BoxConnection,
    hello: Hello,
}

impl Negotiated for Greeted {
    fn hello(&self) -> &Hello {
        &self.hello
    }

    fn shared(&self) -> Vec<Capability> {
        let own = &self.mux.capability;
        self.hello.capabilities.iter().filter(|&remote| remote == own).cloned().collect()
    }

    fn refuse(self: Box<Self>, reason: DisconnectReason) -> BoxFuture<'static, ()> {
        Box::pin(goodbye(self.connection, reason))
    }

    fn run(self: Box<Self>) -> (Arc<dyn PeerControl>, BoxFuture<'static, End>) {
        let control = Arc::new(Control::default());
        (Arc::<Control>::clone(&control), Box::pin(live(*self, control)))
    }
}

/// What a handle and the life of a peer share.
struct Control {
    wanted: watch::Sender<Option<DisconnectReason>>,
    traffic: Mutex<Traffic>,
}

impl Default for Control {
    fn default() -> Self {
        Self { wanted: watch::Sender::new(None), traffic: Mutex::default() }
    }
}

impl PeerControl for Control {
    fn disconnect(&self, reason: DisconnectReason) {
        self.wanted.send_if_modified(|wanted| {
            let first = wanted.is_none();
            wanted.get_or_insert(reason);
            first
        });
    }

    fn rtt(&self) -> Option<Duration> {
        None
    }

    fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap()
    }
}

type Outgoing = SplitSink<BoxConnection, Message>;

/// A peer's life: reads and writes at once, until one of them, the subprotocol or the handle ends
/// it.
async fn live(greeted: Greeted, control: Arc<Control>) -> End {
    let Greeted { mux, connection, hello } = greeted;
    let (to_talk, incoming) = channel(QUEUE);
    let (sender, mut from_talk) = channel(QUEUE);
    let talk = (mux.talk)(hello.public_key, TextStream { incoming, outgoing: sender });
    let mut talk = AbortOnDropHandle::new(tokio::spawn(talk));
    let (mut sink, mut stream) = connection.split();

    let read = async {
        let mut to_talk = to_talk;
        loop {
            match stream.next().await {
                None => return ended(DisconnectReason::NetworkError, Side::Remote, None),
                Some(Err(error)) => return broken(&error),
                Some(Ok(Message { id: GOODBYE, payload })) => {
                    return ended(reason(&payload), Side::Remote, None);
                }
                Some(Ok(Message { id, payload })) => {
                    control.traffic.lock().unwrap().ingress += size(&payload);
                    let message = Message { id: id.saturating_sub(FIRST_ID), payload };
                    // One that does not listen any more is about to return.
                    if timeout(STALL, to_talk.send(message)).await.is_err() {
                        return ended(
                            DisconnectReason::Subprotocol,
                            Side::Local,
                            Some("stalled".to_owned()),
                        );
                    }
                }
            }
        }
    };
    let write = async {
        match write_all(&mut sink, &mut from_talk, &control).await {
            Ok(()) => std::future::pending().await,
            Err(error) => broken(&error),
        }
    };
    let mut wanted = control.wanted.subscribe();
    let wanted = async {
        let reason = wanted.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        ended(reason.unwrap_or(DisconnectReason::Requested), Side::Local, None)
    };
    let end = tokio::select! {
        biased;
        end = read => end,
        end = write => end,
        returned = &mut talk => returned_with(returned.ok()),
        end = wanted => end,
    };

    // The subprotocol reads its end now. What it sent before goes ahead of the goodbye.
    from_talk.close();
    let _ = timeout(PATIENCE, write_all(&mut sink, &mut from_talk, &control)).await;
    drop(from_talk);
    if let Ok(connection) = sink.reunite(stream)
        && end.side == Side::Local
        && end.reason != DisconnectReason::NetworkError
    {
        goodbye(connection, end.reason).await;
    }
    if !talk.is_finished() && timeout(PATIENCE, &mut talk).await.is_err() {
        talk.abort();
        let _ = talk.await;
    }
    end
}

async fn write_all(
    sink: &mut Outgoing,
    from_talk: &mut Receiver<Message>,
    control: &Control,
) -> Result<(), ConnectionError> {
    while let Some(Message { id, payload }) = from_talk.next().await {
        control.traffic.lock().unwrap().egress += size(&payload);
        sink.send(Message { id: id + FIRST_ID, payload }).await?;
    }
    Ok(())
}

/// Payload and id.
fn size(payload: &Bytes) -> u64 {
    u64::try_from(payload.len()).unwrap_or(u64::MAX).saturating_add(1)
}

fn returned_with(result: Option<Result<(), ProtocolError>>) -> End {
    match result {
        Some(Ok(())) => ended(DisconnectReason::Quitting, Side::Local, None),
        Some(Err(error)) => ended(error.reason(), Side::Local, Some(error.to_string())),
        None => ended(DisconnectReason::Subprotocol, Side::Local, Some("panicked".to_owned())),
    }
}

fn broken(error: &ConnectionError) -> End {
    ended(DisconnectReason::NetworkError, Side::Remote, Some(error.to_string()))
}

const fn ended(reason: DisconnectReason, side: Side, error: Option<String>) -> End {
    End::new(reason, side, error)
}

/// The messages of the subprotocol with one peer, both ways.
pub(crate) struct TextStream {
    pub(crate) incoming: Receiver<Message>,
    pub(crate) outgoing: Sender<Message>,
}

impl Stream for TextStream {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.incoming.poll_next_unpin(cx)
    }
}

impl Sink<Message> for TextStream {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.outgoing.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.outgoing.start_send_unpin(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.outgoing.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.outgoing.poll_close_unpin(cx)
    }
}
