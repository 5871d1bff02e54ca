//! What a server tells of its peers and of itself.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use devp2p_core::{Node, NodeId, PublicKey, Record, Traffic};
use devp2p_peer::{Capability, CapabilityMeters, Direction};

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its id.
    pub id: NodeId,
    /// Its key.
    pub public_key: PublicKey,
    /// Its client's name.
    pub name: String,
    /// All capabilities that it offered.
    pub capabilities: Vec<Capability>,
    /// Those that run.
    pub shared: Vec<Capability>,
    /// Our end of the stream.
    pub local_addr: Option<SocketAddr>,
    /// Its end of the stream.
    pub remote_addr: Option<SocketAddr>,
    /// Who dialed.
    pub direction: Direction,
    /// Whether it is in the static list.
    pub is_static: bool,
    /// Whether no limit concerns it.
    pub is_trusted: bool,
    /// For how long it has been a peer.
    pub age: Duration,
    /// The last round trip of a ping, once there was one.
    pub rtt: Option<Duration>,
    /// Bytes moved on the wire so far.
    pub traffic: Traffic,
    /// What moved in each shared capability so far, by message id, and what waits.
    pub meters: Vec<CapabilityMeters>,
    /// What each shared subprotocol knows of it, a JSON text, by the capability's name.
    pub protocols: BTreeMap<String, Option<String>>,
}

impl PeerInfo {
    /// Whether the scheduler or a peer of its own accord chose this connection, neither the
    /// static nor the trusted list.
    pub const fn is_dynamic(&self) -> bool {
        !self.is_static && !self.is_trusted
    }
}

/// This node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its client's name.
    pub name: String,
    /// The address that it really listens on, where it listens.
    pub listen_addr: Option<SocketAddr>,
    /// The UDP address that discovery really has, where it runs: that of both versions, or of the
    /// one that runs.
    pub disc_addr: Option<SocketAddr>,
    /// The UDP address that discovery v5 really has, where it has a socket of its own.
    pub disc_v5_addr: Option<SocketAddr>,
    /// How others name it: with the address and the port that it really has.
    pub enode: Node,
    /// Its record.
    pub enr: Record,
    /// What each subprotocol tells of itself, a JSON text, by the capability's name.
    pub protocols: BTreeMap<String, Option<String>>,
}
