//! The two checkpoints, in geth's order.

use devp2p_core::NodeId;
use devp2p_peer::{Direction, DisconnectReason};

/// What a checkpoint looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applicant {
    pub(super) id: NodeId,
    pub(super) direction: Direction,
    pub(super) trusted: bool,
}

/// The state that it is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occupancy {
    pub(super) local: NodeId,
    pub(super) max_peers: usize,
    pub(super) max_inbound: usize,
    /// Peers that use public slots: all but the trusted.
    pub(super) public: usize,
    pub(super) public_inbound: usize,
    pub(super) already_connected: bool,
}

/// geth's `postHandshakeChecks`, except that trusted peers use no public slot.
pub(super) fn check(applicant: Applicant, now: Occupancy) -> Result<(), DisconnectReason> {
    let inbound = applicant.direction == Direction::Inbound;
    if !applicant.trusted && now.public >= now.max_peers {
        return Err(DisconnectReason::TooManyPeers);
    }
    if !applicant.trusted && inbound && now.public_inbound >= now.max_inbound {
        return Err(DisconnectReason::TooManyPeers);
    }
    if now.already_connected {
        return Err(DisconnectReason::AlreadyConnected);
    }
    if applicant.id == now.local {
        return Err(DisconnectReason::SelfConnect);
    }
    Ok(())
}
