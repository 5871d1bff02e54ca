use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use devp2p_core::{BoxConnection, Connection, ConnectionError, Message, PublicKey, Traffic};
use futures_core::Stream;
use futures_sink::Sink;

use crate::Hello;

/// What a [`pipe`] holds and allows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PipeConfig {
    /// How many messages one direction holds. Default 16.
    pub messages: usize,
    /// How many bytes one direction holds; a message that goes beyond is still taken whole.
    /// Default 64 KiB.
    pub bytes: usize,
    /// The largest payload after [`established`](Connection::established), in bytes. Before it,
    /// the limit is 2 KiB. Default 16 MiB less one byte.
    pub max_message: usize,
    /// The address of the left end, which the right end sees as remote, and the other way round.
    pub addrs: Option<(SocketAddr, SocketAddr)>,
}

impl Default for PipeConfig {
    fn default() -> Self {
        Self { messages: 16, bytes: 64 * 1024, max_message: (1 << 24) - 1, addrs: None }
    }
}

/// Two connections that are each other's remote, in memory, for tests: a secure connection without
/// the secrets. `left` and `right` are the keys of the ends in their order.
///
/// It keeps the contract of [`Connection`]: back-pressure, limits, order, close. Dropping an end
/// closes it; what it has sent can still be read.
pub fn pipe(left: PublicKey, right: PublicKey) -> (BoxConnection, BoxConnection) {
    pipe_with(left, right, &PipeConfig::default())
}

/// As [`pipe`], with other limits.
pub fn pipe_with(
    left: PublicKey,
    right: PublicKey,
    config: &PipeConfig,
) -> (BoxConnection, BoxConnection) {
    let (to_right, to_left) = (Arc::new(Half::new(config)), Arc::new(Half::new(config)));
    let end = |remote, incoming: &Arc<Half>, outgoing: &Arc<Half>, addrs| End {
        remote,
        addrs,
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        limit: Hello::MAX_SIZE,
        max_message: config.max_message,
        traffic: Traffic::default(),
        failed: false,
    };
    let turned = config.addrs.map(|(left, right)| (right, left));
    (
        Box::pin(end(right, &to_left, &to_right, config.addrs)),
        Box::pin(end(left, &to_right, &to_left, turned)),
    )
}

/// One end.
struct End {
    remote: PublicKey,
    /// Local and remote.
    addrs: Option<(SocketAddr, SocketAddr)>,
    incoming: Arc<Half>,
    outgoing: Arc<Half>,
    limit: usize,
    max_message: usize,
    traffic: Traffic,
    /// The stream has given its one error.
    failed: bool,
}

/// One direction.
struct Half {
    max_messages: usize,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The writer has closed: after what is here, nothing comes.
    finished: bool,
    /// The reader is gone: what is sent goes nowhere.
    abandoned: bool,
    /// The reader went without having taken everything.
    lost: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Half {
    fn new(config: &PipeConfig) -> Self {
        Self {
            max_messages: config.messages.max(1),
            max_bytes: config.bytes.max(1),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes both sides: simple, and fast enough for tests.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        result
    }
}

/// What a message counts as in [`Traffic`]: its payload and its id.
fn wire_size(message: &Message) -> u64 {
    u64::try_from(message.payload.len()).unwrap_or(u64::MAX).saturating_add(1)
}

impl Stream for End {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let next = {
            let mut state = self.incoming.lock();
            if state.messages.is_empty() && !state.finished {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.messages.pop_front()
        };
        let Some(message) = next else { return Poll::Ready(None) };
        let size = message.payload.len();
        self.incoming.change(|state| state.bytes = state.bytes.saturating_sub(size));
        self.traffic.ingress = self.traffic.ingress.saturating_add(wire_size(&message));
        if size > self.limit {
            self.failed = true;
            let error = ConnectionError::Malformed("a message is above the limit");
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(Ok(message)))
    }
}

impl Sink<Message> for End {
    type Error = ConnectionError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let mut state = self.outgoing.lock();
        if state.finished || state.abandoned {
            return Poll::Ready(Err(ConnectionError::Closed));
        }
        if state.messages.len() < self.outgoing.max_messages
            && state.bytes < self.outgoing.max_bytes
        {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ConnectionError> {
        let (size, limit) = (message.payload.len(), self.limit);
        if size > limit {
            return Err(ConnectionError::MessageTooLarge { size, limit });
        }
        let wire_size = wire_size(&message);
        self.outgoing.change(|state| {
            if state.finished || state.abandoned {
                return Err(ConnectionError::Closed);
            }
            state.bytes = state.bytes.saturating_add(size);
            state.messages.push_back(message);
            Ok(())
        })?;
        self.traffic.egress = self.traffic.egress.saturating_add(wire_size);
        Ok(())
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        // What was sent is where the other end reads it already.
        let lost = self.outgoing.lock().lost;
        Poll::Ready(if lost { Err(ConnectionError::Closed) } else { Ok(()) })
    }

    fn poll_close(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.outgoing.change(|state| state.finished = true);
        Poll::Ready(Ok(()))
    }
}

impl Connection for End {
    fn remote(&self) -> PublicKey {
        self.remote
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.addrs.map(|(local, _)| local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.addrs.map(|(_, remote)| remote)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn established(mut self: Pin<&mut Self>, _snappy: bool) {
        self.limit = self.max_message;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outgoing.change(|state| state.finished = true);
        self.incoming.change(|state| {
            state.abandoned = true;
            state.lost = !state.messages.is_empty();
            state.messages = VecDeque::new();
        });
    }
}
