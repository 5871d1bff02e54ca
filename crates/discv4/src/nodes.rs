use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Node, NodeId};
use futures_core::Stream;
use tokio::time::sleep;

use crate::{Handle, QueryError, ring::Reader};

/// How many nodes are known to have been given in a round: more than a round ever has.
const MAX_GIVEN: usize = 1_024;

/// The pause after a lookup that could not be made, because too much was under way.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Verified nodes, without end: for whoever wants to meet nodes.
///
/// First come those in the table, in random order, then those that are verified from then on. When
/// it is polled and has none, it has a random lookup made, and gives what that finds, known before
/// or not; at most one is made a second, however many of these there are, and none while nobody
/// polls. A node that is given twice is there again, or still.
///
/// It ends with the service, and keeps it alive like a [`Handle`].
///
/// # Cancel safety
/// Whatever waits for the next node may be dropped: none is lost. Several of these are independent
/// of each other.
pub struct Nodes {
    handle: Handle,
    verified: Reader<Node>,
    /// Those to be given next.
    ready: VecDeque<Node>,
    /// Those that were given since the last lookup began.
    given: BTreeSet<NodeId>,
    /// More of them: the table at first, then a lookup, once there is a need of one.
    more: Option<Asking>,
}

/// Nodes that were asked for; `None` if the service has ended.
type Asking = Pin<Box<dyn Future<Output = Option<Vec<Node>>> + Send>>;

impl Nodes {
    pub(crate) fn new(handle: Handle, verified: Reader<Node>) -> Self {
        let first = handle.clone();
        Self {
            handle,
            verified,
            ready: VecDeque::new(),
            given: BTreeSet::new(),
            more: Some(Box::pin(async move { first.verified_nodes().await.ok() })),
        }
    }

    /// The next node; `None` when the service has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Node> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next of what has to be asked for; `None` if the service has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<Node>>> {
        let more = self.more.get_or_insert_with(|| {
            self.given.clear();
            Box::pin(look_up(self.handle.clone()))
        });
        let result = ready!(more.as_mut().poll(cx));
        self.more = None;
        Poll::Ready(result)
    }

    /// Remembers that a node is given. Whether it was not before.
    fn is_new(&mut self, node: &Node) -> bool {
        if self.given.len() >= MAX_GIVEN {
            self.given.clear();
        }
        self.given.insert(node.id())
    }
}

impl Stream for Nodes {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        loop {
            while let Some(node) = self.ready.pop_front() {
                if self.is_new(&node) {
                    return Poll::Ready(Some(node));
                }
            }
            match self.verified.poll_next(cx) {
                Poll::Ready(Some(Ok(node))) => self.ready.push_back(node),
                // Lookups find again what was lost.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => match ready!(self.poll_more(cx)) {
                    Some(nodes) => self.ready.extend(nodes),
                    None => return Poll::Ready(None),
                },
            }
        }
    }
}

/// The nodes of a random lookup, `None` if the service has ended.
async fn look_up(handle: Handle) -> Option<Vec<Node>> {
    loop {
        match handle.lookup_random().await {
            Err(QueryError::Request(_)) => sleep(RETRY_INTERVAL).await,
            result => return result.ok(),
        }
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
