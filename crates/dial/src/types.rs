use std::{fmt, net::SocketAddr, time::Duration};

use devp2p_core::{Node, NodeId};

use crate::Refusal;

/// Names one dial, from [`Output::Dial`] to [`Input::DialDone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(crate) u64);

impl DialId {
    /// A name for a dial; each scheduler gives out its own, one for every dial.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a node is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialKind {
    /// It is in the static list: the operator wants this connection.
    Static,
    /// It came from discovery and there was a free slot.
    Dynamic,
    /// It is a bootnode, and we have no peer at all.
    Bootstrap,
    /// It was a good peer before we were restarted.
    Anchor,
}

impl DialKind {
    /// Whether nobody configured the node: it is one of those that a stranger may have named.
    pub(crate) const fn is_our_choice(self) -> bool {
        match self {
            Self::Anchor | Self::Dynamic => true,
            Self::Static | Self::Bootstrap => false,
        }
    }
}

impl fmt::Display for DialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Bootstrap => "bootstrap",
            Self::Anchor => "anchor",
        })
    }
}

/// What the scheduler is told.
///
/// [`Input::PeerAdded`] or [`Input::Refused`] always comes before the [`Input::DialDone`] of a dial
/// that got that far: else a slot would look free for a moment, and the node as if it could be
/// dialed again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// The node is a peer now.
    PeerAdded {
        /// The node.
        id: NodeId,
        /// Whether we dialed it, or otherwise brought the connection about.
        dialed: bool,
        /// From [`Output::Dial`], where the connection came from one.
        kind: Option<DialKind>,
        /// The remote end of the connection, where it has an address: of several that were
        /// dialed, the one that answered.
        remote_addr: Option<SocketAddr>,
    },
    /// The node is no longer a peer.
    PeerRemoved {
        /// The node.
        id: NodeId,
    },
    /// The node is no longer a peer: it refused the connection that we had dialed and admitted, as
    /// a second one between the two. Comes in the place of [`Input::PeerRemoved`].
    PeerCollided {
        /// The node.
        id: NodeId,
    },
    /// The node is no longer a peer, and was of no use: one of both sides said so soon after the
    /// start. Comes in the place of [`Input::PeerRemoved`].
    PeerUseless {
        /// The node.
        id: NodeId,
    },
    /// The set-up of a connection to a node that we dialed was refused at a checkpoint.
    Refused {
        /// The node.
        id: NodeId,
    },
    /// A connection from this node is being set up: it is not dialed meanwhile.
    PendingInbound {
        /// The node.
        id: NodeId,
    },
    /// That set-up ended, one way or the other. Comes after [`Input::PeerAdded`].
    PendingInboundDone {
        /// The node.
        id: NodeId,
    },
    /// A dial ended: its connection is a peer by now, or is gone.
    DialDone {
        /// From [`Output::Dial`].
        dial: DialId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// The node asked for.
        id: NodeId,
        /// The node with an IP address, or nothing where none was found.
        result: Option<Node>,
    },
    /// Stay connected to this node from now on. Where it is in the list already, this replaces
    /// what is known about its address.
    AddStatic(Node),
    /// No longer stay connected to this node. Forgets its past, so that it is dialed at once
    /// should it be added again.
    RemoveStatic(NodeId),
    /// Stop: no further output comes, and all further input is ignored.
    Stop,
}

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The node became a peer.
    Added,
    /// One side refused the other after the secure handshake, for instance for want of a slot.
    Refused,
    /// One side refused the other after the secure handshake because it is of no use to it: they
    /// share no capability. It is no candidate for
    /// [`useless_backoff`](crate::Config::useless_backoff).
    Useless,
    /// There was no connection.
    ConnectFailed,
    /// A handshake failed.
    HandshakeFailed,
    /// Both sides dialed at the same time and this connection gave way to the other. The node is
    /// dialed again after a short random time, unless it is a peer by then; the third time in a row
    /// counts as a failure.
    Collided,
}

/// What the scheduler wants done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Dial this node, and answer with [`Input::DialDone`].
    Dial {
        /// Names the dial.
        dial: DialId,
        /// Where to dial, and whose key to expect. It has an IP address and a port.
        node: Node,
        /// Why.
        kind: DialKind,
    },
    /// Find the address of this node, and answer with [`Input::Resolved`]. Where its host is a DNS
    /// name, look up the name; otherwise ask discovery for the id.
    Resolve {
        /// The node.
        node: Node,
    },
    /// For the log: a static node or a bootnode cannot be dialed now, or an attempt ended before
    /// its dial. Nothing need be done.
    Refused {
        /// The node.
        id: NodeId,
        /// Why it is not dialed.
        refusal: Refusal,
    },
    /// For the log: we are looking for peers, and have few. At most every
    /// [`Config::stats_interval`](crate::Config::stats_interval).
    Stats(Stats),
}

/// Numbers for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Peers of any direction.
    pub peers: usize,
    /// Peers that we dialed.
    pub dialed: usize,
    /// Dials in flight, the wait for an address included.
    pub dialing: usize,
    /// Dials that ended since the last [`Output::Stats`].
    pub tried: usize,
    /// Nodes in the static list.
    pub statics: usize,
}

/// How it stands with the dials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// How many dialed peers are wanted, static nodes apart.
    pub max_dialed: usize,
    /// Peers that we dialed.
    pub dialed: usize,
    /// How many candidates there is room for.
    pub wanted: usize,
    /// What is under way, in the order of the nodes' ids.
    pub dialing: Vec<Dialing>,
}

/// A dial that is under way, or the search for the address that comes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialing {
    /// The node, with the address where it is dialed.
    pub node: Node,
    /// Why it is dialed.
    pub kind: DialKind,
    /// How long ago the dial or the search began.
    pub since: Duration,
}

impl Dialing {
    /// A dial of `node` that began so long ago.
    pub const fn new(node: Node, kind: DialKind, since: Duration) -> Self {
        Self { node, kind, since }
    }
}

/// What earlier dials of a node mean for the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlook {
    /// How many dials in a row led to no peer, or to none of use.
    pub failures: u32,
    /// How long it is until the node may be dialed again; `None` where nothing of the past forbids
    /// it now.
    pub retry_in: Option<Duration>,
}
