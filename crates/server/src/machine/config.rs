//! The options of the machine.

use std::collections::BTreeSet;

use devp2p_core::{Node, NodeId};

use super::InboundLimits;
use crate::config::{DIAL_RATIO, MAX_PEERS, MAX_PENDING_PEERS};

/// What [`Core`](crate::Core) is told at its construction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoreConfig {
    /// Our own id.
    pub local: NodeId,
    /// Peers that use public slots: all but the trusted.
    pub max_peers: usize,
    /// Inbound peers among them.
    pub max_inbound: usize,
    /// Inbound connections that are being set up at one time.
    pub max_pending_peers: usize,
    /// Whether subprotocols are offered, so that a peer without a shared one is useless.
    pub has_protocols: bool,
    /// Peers that no limit concerns.
    pub trusted: BTreeSet<NodeId>,
    /// The limits by address.
    pub inbound: InboundLimits,
    /// What [`Core::anchors`](crate::Core::anchors) told an earlier run. (They are dialed by the scheduler.)
    pub anchors: Vec<Node>,
}

impl CoreConfig {
    /// geth's defaults, with no peer trusted.
    pub fn new(local: NodeId) -> Self {
        Self {
            local,
            max_peers: MAX_PEERS,
            max_inbound: MAX_PEERS - MAX_PEERS / DIAL_RATIO,
            max_pending_peers: MAX_PENDING_PEERS,
            has_protocols: true,
            trusted: BTreeSet::new(),
            inbound: InboundLimits::default(),
            anchors: Vec::new(),
        }
    }
}
