//! What handles ask of a service, and how they are answered.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Fault, Node, PublicKey, Record};
use tokio::sync::{mpsc, oneshot};

use crate::{RequestError, ServiceStatistics, TableInfo, wire::Target};

/// The commands that wait for the service. Whoever comes then waits for room; the service takes all
/// of them whenever it is polled.
pub(crate) const COMMANDS: usize = 64;

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    AddBootstrapNode(Node),
    AddNode(Node),
    Close,
    FindNode(Node, Target, Answer<Vec<Node>>),
    Lookup(Target, LookupAnswer),
    /// Those of the table, and these that a lookup found.
    NodesToMeet(Vec<Node>, Answer<Vec<Node>>),
    Ping(Node, Answer<Duration>),
    /// A random lookup, which all that ask at the time share.
    RandomLookup(Answer<Vec<Node>>),
    RequestEnr(Node, Answer<Record>),
    Resolve(PublicKey, Answer<Option<Node>>),
    Statistics(Answer<ServiceStatistics>),
    Table(Answer<TableInfo>),
}

impl Command {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::AddBootstrapNode(_) | Self::AddNode(_) | Self::Close => false,
            Self::FindNode(.., answer)
            | Self::RandomLookup(answer)
            | Self::NodesToMeet(_, answer) => answer.is_abandoned(),
            Self::Lookup(_, answer) => answer.done.is_abandoned(),
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
            Self::Closed => f.write_str("the service has ended"),
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

/// Where an answer goes. Dropping it says that the service has ended.
#[derive(Debug)]
pub(crate) struct Answer<T>(oneshot::Sender<Result<T, QueryError>>);

impl<T> Answer<T> {
    pub(crate) fn give(self, result: Result<T, RequestError>) {
        // Who asked may be gone.
        let _ = self.0.send(result.map_err(QueryError::Request));
    }

    /// Whether who asked is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// Where the results of a lookup go: each as it comes, where somebody wants that, and all at the
/// end.
#[derive(Debug)]
pub(crate) struct LookupAnswer {
    pub(crate) nodes: Option<mpsc::Sender<Node>>,
    pub(crate) done: Answer<Vec<Node>>,
}

impl LookupAnswer {
    pub(crate) fn tell(&self, node: Node) {
        if let Some(nodes) = &self.nodes {
            // A reader that does not read is told at the end.
            let _ = nodes.try_send(node);
        }
    }
}

/// An answer that is to come. Dropping it cancels what was asked.
#[derive(Debug)]
pub(crate) struct Query<T> {
    /// `None` once it is here.
    answer: Option<oneshot::Receiver<Result<T, QueryError>>>,
    cancelled: mpsc::Sender<()>,
}

impl<T> Query<T> {
    /// `cancelled` has room for one: that the service is to look which queries were dropped.
    pub(crate) fn new(cancelled: mpsc::Sender<()>) -> (Answer<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (Answer(sender), Self { answer: Some(receiver), cancelled })
    }
}

impl<T> Future for Query<T> {
    type Output = Result<T, QueryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(QueryError::Closed)) };
        let result = ready!(Pin::new(answer).poll(cx)).unwrap_or(Err(QueryError::Closed));
        self.answer = None;
        Poll::Ready(result)
    }
}

impl<T> Drop for Query<T> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            drop(answer);
            // Where there is no room, the service is about to look anyway.
            let _ = self.cancelled.try_send(());
        }
    }
}
