//! What a server tells of the peers that are gone.

use std::{net::SocketAddr, time::Duration};

use devp2p_core::NodeId;
use devp2p_peer::{Direction, DisconnectReason, Side};

/// The end of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnect {
    /// The peer.
    pub id: NodeId,
    /// Its client's name.
    pub name: String,
    /// Its end of the stream.
    pub remote_addr: Option<SocketAddr>,
    /// Who had dialed.
    pub direction: Direction,
    /// How long it was a peer.
    pub age: Duration,
    /// Why it ended.
    pub reason: DisconnectReason,
    /// Who ended it.
    pub side: Side,
    /// More about the reason, where there is more: the first 256 bytes.
    pub error: Option<String>,
    /// When it ended: seconds since 1970.
    pub at: u64,
    /// Whether it was in the static list then.
    pub is_static: bool,
    /// Whether no limit concerned it.
    pub is_trusted: bool,
}
