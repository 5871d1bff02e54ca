use crate::Capability;

/// Is told of every message of every subprotocol of a peer.
///
/// It is called from the peer's own task, so it must not wait. If it panics, it is not called again
/// and the peer ends with [`DisconnectReason::Subprotocol`](crate::DisconnectReason::Subprotocol).
pub trait Observer: Send + Sync {
    /// A message was received or sent.
    fn message(&self, event: &MessageEvent<'_>);
}

/// One message of a subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageEvent<'a> {
    /// Its way.
    pub direction: MessageDirection,
    /// The capability that it belongs to.
    pub capability: &'a Capability,
    /// Its id within the capability.
    pub id: u64,
    /// The size of its payload in bytes, uncompressed.
    pub size: usize,
}

/// The way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageDirection {
    /// From the remote, when it was queued for the subprotocol.
    Received,
    /// To the remote, when it was handed to the connection.
    Sent,
}
