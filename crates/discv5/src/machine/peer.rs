use std::net::SocketAddr;

use devp2p_core::NodeId;

/// A node at an endpoint: what a session, a challenge and a request belong to. The same node at
/// another endpoint is another peer, until it has proved there, too, who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The node.
    pub id: NodeId,
    /// Where it is: an IPv4-mapped address is IPv4.
    pub endpoint: SocketAddr,
}
