//! What handles ask of a service, and how they are answered.

use std::{fmt, time::Duration};

use devp2p_core::{Fault, Node, PublicKey, Record};
use devp2p_udp::{Answer, Closed, LookupAnswer, TableInfo};

use crate::{RequestError, ServiceStatistics, wire::Target};

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    AddBootstrapNode(Node),
    AddNode(Node),
    Close,
    FindNode(Node, Target, Answer<Vec<Node>, QueryError>),
    Lookup(Target, LookupAnswer<QueryError>),
    /// Those of the table, and these that a lookup found.
    NodesToMeet(Vec<Node>, Answer<Vec<Node>, QueryError>),
    Ping(Node, Answer<Duration, QueryError>),
    /// A random lookup, which all that ask at the time share.
    RandomLookup(Answer<Vec<Node>, QueryError>),
    RequestEnr(Node, Answer<Record, QueryError>),
    Resolve(PublicKey, Answer<Option<Node>, QueryError>),
    Statistics(Answer<ServiceStatistics, QueryError>),
    Table(Answer<TableInfo, QueryError>),
}

impl Command {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::AddBootstrapNode(_) | Self::AddNode(_) | Self::Close => false,
            Self::FindNode(.., answer)
            | Self::RandomLookup(answer)
            | Self::NodesToMeet(_, answer) => answer.is_abandoned(),
            Self::Lookup(_, answer) => answer.is_abandoned(),
            Self::Ping(_, answer) => answer.is_abandoned(),
            Self::RequestEnr(_, answer) => answer.is_abandoned(),
            Self::Resolve(_, answer) => answer.is_abandoned(),
            Self::Statistics(answer) => answer.is_abandoned(),
            Self::Table(answer) => answer.is_abandoned(),
        }
    }
}

/// Why a [`Handle`](crate::Handle) has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// The service has ended.
    Closed,
    /// What was asked for failed.
    Request(RequestError),
}

impl QueryError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed => Fault::Local,
            Self::Request(error) => error.fault(),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::Request(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<RequestError> for QueryError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<Closed> for QueryError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}
