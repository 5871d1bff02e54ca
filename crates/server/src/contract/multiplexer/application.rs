use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use devp2p_core::{Message, Rng};
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use futures::{
    Sink, SinkExt as _, Stream, StreamExt as _,
    future::{poll_fn, try_join4},
    stream::BoxStream,
};
use tokio::sync::{mpsc, oneshot};

use crate::contract::{Seen, ensure, quiet};

/// More than may be held for a subprotocol that does not read.
const TOO_MUCH: usize = 64 * 1024 * 1024;

/// The payload of messages that are to fill a connection up.
pub(super) const FILL: usize = 16 * 1024;

/// Room for what was started and not picked up yet: each side starts one in a clause.
pub(super) const LINES: usize = 1;

/// The one subprotocol that the suite has a multiplexer run. It does as the suite says.
///
/// A multiplexer of [`Subprotocol`]s runs it as such; another calls [`talk`](Application::talk)
/// with whatever its subprotocols read and write. Its capability is
/// [`capability`](Application::capability), with 16 message ids.
#[derive(Clone, Debug)]
pub struct Application {
    pub(super) lines: mpsc::Sender<Line>,
    pub(super) running: Arc<AtomicUsize>,
}

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running application, as the suite holds it.
pub(super) struct Line {
    pub(super) incoming: BoxStream<'static, Message>,
    pub(super) outgoing: Pin<Box<dyn Sink<Message, Error = Failure> + Send>>,
    /// What it is to return.
    pub(super) finish: oneshot::Sender<Result<(), ProtocolError>>,
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

impl Line {
    pub(super) async fn send(&mut self, messages: &[Message]) -> Result<(), Seen> {
        for message in messages {
            self.outgoing.feed(message.clone()).await.map_err(failed)?;
        }
        self.outgoing.flush().await.map_err(failed)
    }

    /// Sends until there is no more room. How many messages there was room for.
    pub(super) async fn fill(&mut self) -> Result<usize, Seen> {
        let mut sent = 0_usize;
        while let Some(ready) = quiet(poll_fn(|cx| self.outgoing.poll_ready_unpin(cx))).await {
            ready.map_err(failed)?;
            self.outgoing.start_send_unpin(message(sent, FILL)).map_err(failed)?;
            sent = sent.saturating_add(1);
            let bytes = sent.saturating_mul(FILL);
            ensure(bytes < TOO_MUCH, || format!("{bytes} bytes were taken, and nobody reads"))?;
        }
        Ok(sent)
    }

    pub(super) async fn receive(&mut self, messages: &[Message]) -> Result<(), Seen> {
        for expected in messages {
            compare(expected, self.incoming.next().await)?;
        }
        Ok(())
    }
}

/// Sends the messages both ways at once, and compares what arrives.
pub(super) async fn exchange(
    left: &mut Line,
    right: &mut Line,
    messages: &[Message],
) -> Result<(), Seen> {
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
pub(super) fn message(index: usize, size: usize) -> Message {
    let step = u8::try_from(index % 100).unwrap_or_default();
    let mut payload = vec![0; size];
    Rng::from_seed([step; 32]).fill(&mut payload);
    Message { id: u64::from(step) % Application::LENGTH, payload: payload.into() }
}

pub(super) fn compare(expected: &Message, received: Option<Message>) -> Result<(), Seen> {
    let brief = |message: &Message| format!("{:#x} ({} bytes)", message.id, message.payload.len());
    ensure(received.as_ref() == Some(expected), || {
        let other = received.as_ref().map_or_else(|| "the end".to_owned(), brief);
        format!("in place of message {} came {other}", brief(expected))
    })
}

pub(super) fn failed(error: Failure) -> Seen {
    Seen(format!("sending failed: {error}"))
}
