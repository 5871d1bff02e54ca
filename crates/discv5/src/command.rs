//! What handles ask of a service, and how they are answered.

use std::{fmt, time::Duration};

use bytes::Bytes;
use devp2p_core::{Fault, Node, NodeId, Record};
use devp2p_udp::{Answer, Closed, LookupAnswer, TableInfo};
use tokio::sync::mpsc;

use crate::{Predicate, RequestError, ServiceStatistics, TalkError, TalkId, talk_requests::Asked};

/// What a handle asks for.
pub(crate) enum Command {
    AddBootstrapNode(Node),
    AddNode(Node),
    Close,
    FindNode(Node, Vec<u16>, Answer<Vec<Node>, QueryError>),
    Lookup(NodeId, LookupAnswer<QueryError>),
    LookupWhere(NodeId, usize, Predicate, LookupAnswer<QueryError>),
    /// Those of the table, and these that a lookup found.
    NodesToMeet(Vec<Node>, Answer<Vec<Node>, QueryError>),
    Ping(Node, Answer<Duration, QueryError>),
    /// A random lookup, which all that ask at the time share.
    RandomLookup(Answer<Vec<Node>, QueryError>),
    RegisterTalk(Bytes, mpsc::Sender<Asked>),
    RequestEnr(Node, Answer<Record, QueryError>),
    Resolve(NodeId, Answer<Option<Node>, QueryError>),
    Respond(TalkId, Bytes, Answer<(), TalkError>),
    Statistics(Answer<ServiceStatistics, QueryError>),
    Table(Answer<TableInfo, QueryError>),
    Talk(Node, Bytes, Bytes, Answer<Bytes, QueryError>),
}

impl Command {
    /// Whether nobody waits for the answer any more, and it matters to nobody else.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::AddBootstrapNode(_)
            | Self::AddNode(_)
            | Self::Close
            | Self::RegisterTalk(..)
            | Self::Respond(..) => false,
            Self::FindNode(.., answer)
            | Self::RandomLookup(answer)
            | Self::NodesToMeet(_, answer) => answer.is_abandoned(),
            Self::Lookup(_, answer) | Self::LookupWhere(.., answer) => answer.is_abandoned(),
            Self::Ping(_, answer) => answer.is_abandoned(),
            Self::RequestEnr(_, answer) => answer.is_abandoned(),
            Self::Resolve(_, answer) => answer.is_abandoned(),
            Self::Statistics(answer) => answer.is_abandoned(),
            Self::Table(answer) => answer.is_abandoned(),
            Self::Talk(.., answer) => answer.is_abandoned(),
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
