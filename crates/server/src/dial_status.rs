//! What a server tells of its dials.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use devp2p_core::NodeId;
use devp2p_dial::{DialKind, Dialing, RefusalCause};
use devp2p_peer::{DisconnectReason, Side};

use crate::SetupFailure;

/// How it stands with the dials of a server. What its [`DialScheduler`](crate::DialScheduler) does
/// not tell is zero or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialStatus {
    /// How many dialed peers are wanted, static nodes apart.
    pub max_dialed: usize,
    /// Peers that we dialed.
    pub dialed: usize,
    /// How many candidates there is room for.
    pub wanted: usize,
    /// What is under way, in the order of the nodes' ids.
    pub dialing: Vec<Dialing>,
    /// What became of the last dials, the newest first: one for a node, and 1,000 at most.
    pub recent: Vec<DialRecord>,
    /// How often a candidate was refused, by cause.
    pub refusals: BTreeMap<RefusalCause, u64>,
    /// How often the [`dial_filter`](crate::Config::dial_filter) refused one before that.
    pub filtered: u64,
}

/// What became of the last dial of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialRecord {
    /// The node.
    pub id: NodeId,
    /// Where it was dialed; nothing where a proxy looked for its name.
    pub addr: Option<SocketAddr>,
    /// Why it was dialed.
    pub kind: DialKind,
    /// What became of it.
    pub outcome: DialOutcome,
    /// How many dials of the node in a row led to no peer, or to none of use.
    pub failures: u32,
    /// How long ago that was.
    pub ago: Duration,
    /// How long it is until the node may be dialed again; `None` where it may be dialed now, or is
    /// a peer.
    pub retry_in: Option<Duration>,
}

/// What became of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialOutcome {
    /// The node became a peer, and still is one.
    Added,
    /// The node became a peer, and is gone.
    Ended {
        /// Why.
        reason: DisconnectReason,
        /// Who ended it.
        side: Side,
    },
    /// A checkpoint of ours refused it.
    Refused(DisconnectReason),
    /// No connection came of it.
    Failed(SetupFailure),
}

impl fmt::Display for DialOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("connected"),
            Self::Ended { reason, side: Side::Local } => write!(f, "disconnected by us: {reason}"),
            Self::Ended { reason, side: Side::Remote } => {
                write!(f, "disconnected by the remote: {reason}")
            }
            Self::Refused(reason) => write!(f, "refused by us: {reason}"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}
