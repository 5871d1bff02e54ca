use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use devp2p_core::Message;
use futures_core::Stream;
use futures_sink::Sink;
use pin_project::{pin_project, pinned_drop};
use tokio::task::coop::poll_proceed;

use crate::{
    SendError, SharedCapability,
    link::{Link, SendStage},
};

/// The messages of one subprotocol with one peer, both ways. Ids are those within the capability,
/// from 0 to its length.
///
/// As a stream it gives what the remote sent, in order and without loss, and `None` once the peer
/// is going and all that arrived was taken. As a sink it is ready while the subprotocol's own
/// queue has room; `poll_flush` waits until all of it was handed to the connection, ahead of any
/// later Disconnect. Once the peer is going, sending is [`SendError::Closed`]. Closing the sink
/// flushes it and no more: the peer ends when the subprotocol returns. Once this is dropped, what
/// still comes for the subprotocol is dropped too. Messages count for tokio's budget of a task, so
/// that a busy remote cannot keep a thread.
///
/// # Cancel safety
/// Whatever waits here may be dropped at any time: no message is lost or cut, in either direction.
#[pin_project(PinnedDrop)]
pub struct ProtocolStream {
    link: Arc<Link>,
    protocol: usize,
}

impl ProtocolStream {
    pub(crate) fn new(link: Arc<Link>, protocol: usize) -> Self {
        Self { link, protocol }
    }

    /// The capability, and its message ids on the wire.
    pub fn shared(&self) -> Option<&SharedCapability> {
        self.link.shared.get(self.protocol)
    }
}

impl Stream for ProtocolStream {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = self.project();
        let turn = ready!(poll_proceed(cx));
        let next = this.link.poll_receive(*this.protocol, cx);
        if next.is_ready() {
            turn.made_progress();
        }
        next
    }
}

impl Sink<Message> for ProtocolStream {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let this = self.project();
        let turn = ready!(poll_proceed(cx));
        let room = this.link.poll_send(*this.protocol, cx, SendStage::Room);
        if room.is_ready() {
            turn.made_progress();
        }
        room
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        let this = self.project();
        this.link.send(*this.protocol, message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let this = self.project();
        this.link.poll_send(*this.protocol, cx, SendStage::Sent)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_flush(cx)
    }
}

#[pinned_drop]
impl PinnedDrop for ProtocolStream {
    /// Frees what nobody will take, also where handles outlive the peer.
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        this.link.discard(*this.protocol);
    }
}

impl fmt::Debug for ProtocolStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolStream")
            .field("peer", &self.link.id)
            .field("shared", &self.shared())
            .finish()
    }
}
