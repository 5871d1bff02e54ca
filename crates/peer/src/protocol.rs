use std::{error::Error, fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use devp2p_core::{Node, NodeId};
use futures_core::Stream;

use crate::{Capability, CapabilityError, DisconnectReason, Peer, ProtocolStream, SendError};

/// A subprotocol: what runs on a connection, besides the base protocol, with every peer that has
/// the same capability.
///
/// ```
/// use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
/// use futures::StreamExt as _;
///
/// struct Listener;
///
/// impl Subprotocol for Listener {
///     fn capability(&self) -> Capability {
///         Capability::new("news", 1)
///     }
///
///     fn length(&self) -> u64 {
///         1
///     }
///
///     async fn run(&self, peer: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
///         while let Some(message) = stream.next().await {
///             println!("{}: {} bytes", peer.id(), message.payload.len());
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Subprotocol: Send + Sync + 'static {
    /// Name and version.
    fn capability(&self) -> Capability;

    /// How many message ids the capability has.
    fn length(&self) -> u64;

    /// Talks to one peer, from the time when both know that they share the capability.
    ///
    /// It runs as a task of its own, once for every peer. When it returns or panics, this peer
    /// ends, with all its subprotocols: with the reason 0x08 after `Ok`, with the error's after an
    /// error, and with 0x10 after a panic; other peers notice nothing. When the peer ends
    /// otherwise, `stream` gives `None` after what has arrived and refuses what is sent, and this
    /// future has the time [`Config::task_grace`](crate::Config::task_grace) to return before it
    /// is dropped.
    ///
    /// It should take its messages soon: while its queue is full, nothing is read from the peer,
    /// and if that lasts [`Config::stall_timeout`](crate::Config::stall_timeout) the peer is
    /// dropped. So two sides that both send much do not wait for each other, send and receive in
    /// turn with a limit, or split `stream` and do both at once.
    fn run(
        &self,
        peer: Peer,
        stream: ProtocolStream,
    ) -> impl Future<Output = Result<(), ProtocolError>> + Send;

    /// What the subprotocol adds to the local node record: keys and their values in RLP.
    fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        Vec::new()
    }

    /// What the subprotocol tells of this node, as a JSON text.
    fn node_info(&self) -> Option<String> {
        None
    }

    /// What the subprotocol knows of a connected peer, as a JSON text.
    fn peer_info(&self, _id: NodeId) -> Option<String> {
        None
    }

    /// Nodes that may speak the subprotocol, to be dialed.
    fn candidates(&self) -> Option<Pin<Box<dyn Stream<Item = Node> + Send>>> {
        None
    }
}

/// A [`Subprotocol`] of any type, as it is handed to a server; a cheap handle.
#[derive(Clone)]
pub struct Protocol(Arc<dyn AnySubprotocol>);

impl Protocol {
    /// Wraps a subprotocol.
    pub fn new(subprotocol: impl Subprotocol) -> Self {
        Self(Arc::new(subprotocol))
    }

    /// See [`Subprotocol::capability`].
    pub fn capability(&self) -> Capability {
        self.0.capability()
    }

    /// See [`Subprotocol::length`].
    pub fn length(&self) -> u64 {
        self.0.length()
    }

    /// See [`Subprotocol::record_entries`].
    pub fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        self.0.record_entries()
    }

    /// See [`Subprotocol::node_info`].
    pub fn node_info(&self) -> Option<String> {
        self.0.node_info()
    }

    /// See [`Subprotocol::peer_info`].
    pub fn peer_info(&self, id: NodeId) -> Option<String> {
        self.0.peer_info(id)
    }

    /// See [`Subprotocol::candidates`].
    pub fn candidates(&self) -> Option<Pin<Box<dyn Stream<Item = Node> + Send>>> {
        self.0.candidates()
    }

    /// See [`Subprotocol::run`].
    pub(crate) fn run(&self, peer: Peer, stream: ProtocolStream) -> Running {
        Arc::clone(&self.0).run(peer, stream)
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol({})", self.capability())
    }
}

/// Checks the capabilities of these subprotocols, before anything is started with them.
///
/// # Errors
/// As [`check_capabilities`](crate::check_capabilities).
pub fn check_protocols(protocols: &[Protocol]) -> Result<(), CapabilityError> {
    crate::check_capabilities(&offers(protocols))
}

/// Each subprotocol's capability and number of message ids.
pub(crate) fn offers(protocols: &[Protocol]) -> Vec<(Capability, u64)> {
    protocols.iter().map(|protocol| (protocol.capability(), protocol.length())).collect()
}

type Running = Pin<Box<dyn Future<Output = Result<(), ProtocolError>> + Send>>;

/// [`Subprotocol`] with a future that can be boxed, so that subprotocols of different types stand
/// in one list.
trait AnySubprotocol: Send + Sync {
    fn capability(&self) -> Capability;
    fn length(&self) -> u64;
    fn run(self: Arc<Self>, peer: Peer, stream: ProtocolStream) -> Running;
    fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)>;
    fn node_info(&self) -> Option<String>;
    fn peer_info(&self, id: NodeId) -> Option<String>;
    fn candidates(&self) -> Option<Pin<Box<dyn Stream<Item = Node> + Send>>>;
}

impl<T: Subprotocol> AnySubprotocol for T {
    fn capability(&self) -> Capability {
        Subprotocol::capability(self)
    }

    fn length(&self) -> u64 {
        Subprotocol::length(self)
    }

    fn run(self: Arc<Self>, peer: Peer, stream: ProtocolStream) -> Running {
        // The future owns the subprotocol that it borrows, and so can be a task.
        Box::pin(async move { Subprotocol::run(&*self, peer, stream).await })
    }

    fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        Subprotocol::record_entries(self)
    }

    fn node_info(&self) -> Option<String> {
        Subprotocol::node_info(self)
    }

    fn peer_info(&self, id: NodeId) -> Option<String> {
        Subprotocol::peer_info(self, id)
    }

    fn candidates(&self) -> Option<Pin<Box<dyn Stream<Item = Node> + Send>>> {
        Subprotocol::candidates(self)
    }
}

/// Why a subprotocol gave a peer up.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The remote sent a message that the subprotocol does not allow; ends the peer with 0x02.
    BadMessage(String),
    /// The peer is of no use for another reason; ends it with this one.
    Disconnect(DisconnectReason),
    /// Anything else; ends the peer with 0x10.
    Failed(Box<dyn Error + Send + Sync>),
}

impl ProtocolError {
    /// The remote sent a message that the subprotocol does not allow.
    pub fn bad_message(what: impl fmt::Display) -> Self {
        Self::BadMessage(what.to_string())
    }

    /// Anything else.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// What to tell the remote.
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            Self::BadMessage(_) => DisconnectReason::ProtocolError,
            Self::Disconnect(reason) => *reason,
            Self::Failed(_) => DisconnectReason::Subprotocol,
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> devp2p_core::Fault {
        match self {
            Self::BadMessage(_) => devp2p_core::Fault::Remote,
            Self::Disconnect(reason) => reason.fault(),
            Self::Failed(_) => devp2p_core::Fault::Local,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMessage(what) => write!(f, "bad message: {what}"),
            Self::Disconnect(reason) => reason.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for ProtocolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            _ => None,
        }
    }
}

impl From<SendError> for ProtocolError {
    fn from(error: SendError) -> Self {
        Self::Failed(Box::new(error))
    }
}
