//! The seam that finds nodes to dial.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Node, NodeId};
use futures::{Stream, future::BoxFuture};
use tokio::time::{Sleep, sleep};

/// A source of nodes to dial.
///
/// # Contract
/// - As a stream it yields candidates and does not end while the source is alive; one that has
///   nothing now stays pending. It is polled only while dial slots are free, and it looks up
///   again, at most once a second, when it is polled and short.
/// - Candidates are hearsay: the scheduler checks each.
/// - [`resolve`](Discovery::resolve) ends by itself.
pub trait Discovery: Stream<Item = Node> + Send + Unpin + 'static {
    /// The freshest record of one node, where this source can find it.
    fn resolve(&self, id: NodeId) -> BoxFuture<'static, Option<Node>>;
}

/// How often a source may start over.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);

/// A fixed list of nodes, offered in turn for ever, one round a second at most.
#[derive(Debug)]
pub struct NodeList {
    nodes: Vec<Node>,
    next: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl NodeList {
    /// A source that offers these nodes.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().collect(), next: 0, pause: None }
    }
}

impl Stream for NodeList {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        if self.nodes.is_empty() {
            // Alive, with nothing to offer, now or later.
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let node = self.nodes.get(self.next).cloned();
        self.next = self.next.saturating_add(1);
        if self.next >= self.nodes.len() {
            self.next = 0;
            self.pause = Some(Box::pin(sleep(ROUND_INTERVAL)));
        }
        Poll::Ready(node)
    }
}

impl Discovery for NodeList {
    fn resolve(&self, id: NodeId) -> BoxFuture<'static, Option<Node>> {
        let found = self.nodes.iter().find(|node| node.id() == id).cloned();
        Box::pin(std::future::ready(found))
    }
}
