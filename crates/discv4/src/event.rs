use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use devp2p_core::{Fault, Node, NodeId, Record, Seed, Transmit};

use crate::wire::PacketKind;

/// Names a command, from its call to the last of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(crate) u64);

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a [`Discv4`](crate::Discv4) asks for, and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Something happened.
    Event(Event),
    /// Send this.
    Transmit(Transmit),
}

/// What happened.
///
/// Those with a `query` belong to a command. Every command ends with exactly one of
/// [`Enr`](Self::Enr), [`Failed`](Self::Failed), [`LookupDone`](Self::LookupDone),
/// [`Neighbors`](Self::Neighbors), [`Pong`](Self::Pong) and [`Resolved`](Self::Resolved), unless it
/// is cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The record that was asked for. It is verified, and the node's own.
    Enr {
        /// The command.
        query: QueryId,
        /// The record.
        record: Record,
    },
    /// A command failed.
    Failed {
        /// The command.
        query: QueryId,
        /// Why.
        error: RequestError,
    },
    /// A node of which there was a [`Remember`](Self::Remember), or a seed that was there in this
    /// run, is not there any more.
    Forget(NodeId),
    /// A lookup is over.
    LookupDone {
        /// The command.
        query: QueryId,
        /// The nodes nearest to the target that answered, nearest first.
        nodes: Vec<Node>,
    },
    /// A node answered in a lookup, near to the target or not.
    LookupNode {
        /// The command.
        query: QueryId,
        /// The node.
        node: Node,
    },
    /// What a node answered to FINDNODE.
    Neighbors {
        /// The command.
        query: QueryId,
        /// The nodes that it named, without those it cannot know or we may not speak to.
        nodes: Vec<Node>,
    },
    /// A node lost its place in the table.
    NodeRemoved(Node),
    /// A node got a place in the table: it answered at its endpoint.
    NodeVerified(Node),
    /// The answer to PING.
    Pong {
        /// The command.
        query: QueryId,
        /// The time between the two.
        rtt: Duration,
        /// Our endpoint as the node sees it.
        endpoint: Option<SocketAddr>,
        /// The sequence number of its record, if it has one.
        enr_seq: Option<u64>,
    },
    /// Worth remembering across restarts.
    Remember(Seed),
    /// Nobody answered a request of ours.
    RequestTimeout {
        /// Whom we asked.
        id: NodeId,
        /// Where.
        endpoint: SocketAddr,
        /// What.
        kind: PacketKind,
    },
    /// What came of a search for one node.
    Resolved {
        /// The command.
        query: QueryId,
        /// The node, which answered, with its record if it gave that; nothing if nobody knows it.
        node: Option<Node>,
    },
    /// Somebody spoke of a node, which may not exist, or not there.
    Sighting {
        /// The node.
        node: Node,
        /// Who.
        source: Source,
    },
    /// A node that answered a request of ours sees us there, or says so; for
    /// [`LocalRecord::vote`](devp2p_core::LocalRecord::vote), which knows what it can see.
    Vote {
        /// The node's address.
        voter: IpAddr,
        /// Our endpoint as it sees it.
        endpoint: SocketAddr,
    },
}

/// Who spoke of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// This node, in NEIGHBORS.
    Neighbors(NodeId),
    /// The node itself, in a PING.
    Ping,
}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The answer has no valid record, or another node's, or one older than is known.
    BadRecord,
    /// Too much is under way.
    Busy,
    /// The node has no UDP endpoint.
    NoEndpoint,
    /// It is our own id.
    OwnId,
    /// The endpoint is outside of the networks that we are restricted to.
    Restricted,
    /// No answer in time.
    Timeout,
}

impl RequestError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Busy | Self::NoEndpoint | Self::OwnId | Self::Restricted => Fault::Local,
            Self::BadRecord => Fault::Remote,
            Self::Timeout => Fault::Network,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRecord => "the answer has no valid record of the node",
            Self::Busy => "too much is under way",
            Self::NoEndpoint => "the node has no UDP endpoint",
            Self::OwnId => "our own id",
            Self::Restricted => "the endpoint is not in an allowed network",
            Self::Timeout => "no answer in time",
        })
    }
}

impl std::error::Error for RequestError {}

impl Event {
    /// The command that the event belongs to.
    pub const fn query(&self) -> Option<QueryId> {
        match self {
            Self::Enr { query, .. }
            | Self::Failed { query, .. }
            | Self::LookupDone { query, .. }
            | Self::LookupNode { query, .. }
            | Self::Neighbors { query, .. }
            | Self::Pong { query, .. }
            | Self::Resolved { query, .. } => Some(*query),
            Self::Forget(_)
            | Self::NodeRemoved(_)
            | Self::NodeVerified(_)
            | Self::Remember(_)
            | Self::RequestTimeout { .. }
            | Self::Sighting { .. }
            | Self::Vote { .. } => None,
        }
    }

    /// Whether it is the last event of a command.
    pub(crate) const fn ends_command(&self) -> bool {
        self.query().is_some() && !matches!(self, Self::LookupNode { .. })
    }
}
