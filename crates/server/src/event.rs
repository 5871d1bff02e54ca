//! What a server tells of itself.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use devp2p_core::NodeId;
use devp2p_peer::{Capability, Direction, DisconnectReason, Side};
use futures::{Stream, future::BoxFuture};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Something that happened to the server's peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer was added; its subprotocols are about to start.
    Add(PeerAdd),
    /// A peer is gone. It left [`Handle::peers`](crate::Handle::peers) before.
    Drop(PeerDrop),
    /// A subprotocol sent a message; only with `enable_msg_events`.
    MsgSend(PeerMessage),
    /// A subprotocol received a message; only with `enable_msg_events`.
    MsgRecv(PeerMessage),
    /// The listener is gone for good: nobody can connect to this server any more.
    ListenerFailed {
        /// What the operating system said.
        error: String,
    },
    /// Discovery is gone for good: its UDP socket failed. Nobody new is found any more.
    DiscoveryFailed {
        /// What the operating system said.
        error: String,
    },
    /// This subscriber was too slow and missed so many events.
    Missed(u64),
}

/// A peer that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerAdd {
    /// The peer.
    pub id: NodeId,
    /// Its client's name.
    pub name: String,
    /// The capabilities that run.
    pub shared: Vec<Capability>,
    /// Who dialed.
    pub direction: Direction,
    /// Our end of the stream.
    pub local_addr: Option<SocketAddr>,
    /// Its end of the stream.
    pub remote_addr: Option<SocketAddr>,
}

/// A peer that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerDrop {
    /// The peer.
    pub id: NodeId,
    /// Who had dialed.
    pub direction: Direction,
    /// How long it was a peer.
    pub duration: Duration,
    /// Why it ended.
    pub reason: DisconnectReason,
    /// Who ended it.
    pub side: Side,
    /// More about the reason, where there is more.
    pub error: Option<String>,
}

/// A message of a subprotocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerMessage {
    /// The peer.
    pub id: NodeId,
    /// The subprotocol.
    pub capability: Capability,
    /// The message's id, as the subprotocol counts.
    pub code: u64,
    /// The payload's size in bytes, uncompressed.
    pub size: usize,
}

/// The server's events from the moment of the subscription on. Ends when the server has stopped.
///
/// A subscriber that lags behind by more than 1,024 events loses the oldest and gets an
/// [`Event::Missed`] in their place; it never blocks the server or another subscriber.
pub struct Events {
    next: BoxFuture<'static, (Option<Event>, Receiver<Event>)>,
    ended: bool,
}

/// How many events a subscriber may lag behind.
pub(crate) const EVENT_BUFFER: usize = 1_024;

impl Events {
    pub(crate) fn new(receiver: Receiver<Event>) -> Self {
        Self { next: Box::pin(receive(receiver)), ended: false }
    }

    pub(crate) fn ended() -> Self {
        Self { next: Box::pin(std::future::pending()), ended: true }
    }

    /// The next event, `None` when the server has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

async fn receive(mut receiver: Receiver<Event>) -> (Option<Event>, Receiver<Event>) {
    let event = match receiver.recv().await {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
        Err(RecvError::Closed) => None,
    };
    (event, receiver)
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let (event, receiver) = std::task::ready!(self.next.as_mut().poll(cx));
        self.ended = event.is_none();
        self.next = Box::pin(receive(receiver));
        Poll::Ready(event)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("ended", &self.ended).finish_non_exhaustive()
    }
}
