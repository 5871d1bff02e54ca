use std::net::SocketAddr;

use crate::Node;

/// What a discovery protocol remembers of a node across restarts: that it was there, and who has
/// proved an endpoint to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seed {
    /// The node.
    pub node: Node,
    /// The UDP endpoint at which it answered.
    pub endpoint: SocketAddr,
    /// The protocol that found it.
    pub protocol: DiscoveryVersion,
    /// When it last answered us there, in seconds since 1970; 0 for never.
    pub last_pong: u64,
    /// When we last answered it, likewise: so long it need not ask us again.
    pub last_ping: u64,
}

impl Seed {
    /// A node that answered at `endpoint` `last_pong` seconds after 1970.
    pub const fn new(
        node: Node,
        endpoint: SocketAddr,
        protocol: DiscoveryVersion,
        last_pong: u64,
    ) -> Self {
        Self { node, endpoint, protocol, last_pong, last_ping: 0 }
    }
}

/// A version of the Node Discovery Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DiscoveryVersion {
    /// Version 4.
    V4,
    /// Version 5.
    V5,
}
