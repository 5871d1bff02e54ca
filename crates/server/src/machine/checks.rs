//! The two checkpoints, in geth's order, and what the end of a peer says of it.

use std::time::Duration;

use devp2p_core::NodeId;
use devp2p_peer::{Direction, DisconnectReason, End, Side};

/// How soon whoever has no use for a peer says so. go-ethereum gives later, and to any peer, the
/// same reason when it wants to make room for others.
const USELESS_WITHIN: Duration = Duration::from_mins(1);

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

/// Whether the end of a peer that was one for so long says that the two have no use for each other:
/// one side found that by what the other offers, or go-ethereum's `eth` that it is on another chain,
/// which it tells as an error of the subprotocol. Such an error on our side may be our own fault.
pub(super) fn is_useless(end: &End, duration: Duration) -> bool {
    let said_so = match (end.reason, end.side) {
        (DisconnectReason::UselessPeer, _) => true,
        (DisconnectReason::Subprotocol, side) => side == Side::Remote,
        _ => false,
    };
    said_so && duration < USELESS_WITHIN
}
