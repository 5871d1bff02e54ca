//! The seam that finds nodes to dial.

use std::{
    fmt,
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
/// - What it told once it tells again in a later round. Dropping whatever waits for a candidate
///   loses none, and a task that waits is woken.
/// - Candidates are hearsay: the scheduler checks each.
/// - [`resolve`](Discovery::resolve) ends by itself, with the node that was asked for or nothing;
///   its future does not need the source.
///
/// The suite `contract::discovery` (feature `test-util`) checks this.
pub trait Discovery: Stream<Item = Node> + Send + Unpin + 'static {
    /// The freshest record of one node, where this source can find it.
    fn resolve(&self, id: NodeId) -> BoxFuture<'static, Option<Node>>;
}

/// Several sources as one: each in turn, one that has nothing now is passed over.
///
/// A source that ends is left out from then on; the mix itself does not end.
pub struct FairMix {
    sources: Vec<Box<dyn Discovery>>,
    next: usize,
}

impl FairMix {
    /// A mix of these sources.
    pub fn new(sources: impl IntoIterator<Item = Box<dyn Discovery>>) -> Self {
        Self { sources: sources.into_iter().collect(), next: 0 }
    }
}

impl Stream for FairMix {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        let mut idle = 0;
        while idle < self.sources.len() {
            if self.next >= self.sources.len() {
                self.next = 0;
            }
            let turn = self.next;
            let Some(source) = self.sources.get_mut(turn) else { break };
            match Pin::new(source.as_mut()).poll_next(cx) {
                Poll::Ready(Some(node)) => {
                    self.next = turn.saturating_add(1);
                    return Poll::Ready(Some(node));
                }
                Poll::Ready(None) => {
                    // The one that moves up has its turn now.
                    self.sources.remove(turn);
                }
                Poll::Pending => {
                    self.next = turn.saturating_add(1);
                    idle = idle.saturating_add(1);
                }
            }
        }
        Poll::Pending
    }
}

impl Discovery for FairMix {
    /// Asks the sources one after the other.
    fn resolve(&self, id: NodeId) -> BoxFuture<'static, Option<Node>> {
        let lookups: Vec<_> = self.sources.iter().map(|source| source.resolve(id)).collect();
        Box::pin(async move {
            for lookup in lookups {
                if let Some(node) = lookup.await {
                    return Some(node);
                }
            }
            None
        })
    }
}

impl fmt::Debug for FairMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairMix").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

/// The candidates that a subprotocol knows of; it resolves none.
pub(crate) struct SubprotocolCandidates(pub(crate) Pin<Box<dyn Stream<Item = Node> + Send>>);

impl Stream for SubprotocolCandidates {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl Discovery for SubprotocolCandidates {
    fn resolve(&self, _: NodeId) -> BoxFuture<'static, Option<Node>> {
        Box::pin(std::future::ready(None))
    }
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

#[cfg(test)]
mod tests {
    use devp2p_core::NodeKey;
    use futures::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    fn node(seed: u8) -> Node {
        Node::new(NodeKey::from_bytes(&[seed; 32]).unwrap().public_key(), None, 0, 0)
    }

    fn source(seeds: &[u8]) -> Box<dyn Discovery> {
        let nodes: Vec<_> = seeds.iter().map(|&seed| node(seed)).collect();
        Box::new(SubprotocolCandidates(stream::iter(nodes).boxed()))
    }

    #[test]
    fn a_mix_takes_turns_and_outlives_its_sources() {
        let mut mix = FairMix::new([source(&[1, 2, 3]), source(&[]), source(&[11])]);
        let taken: Vec<_> =
            (0..4).map(|_| mix.next().now_or_never().unwrap().unwrap().id()).collect();
        assert_eq!(taken, [1, 11, 2, 3].map(|seed| node(seed).id()));
        assert_eq!(mix.next().now_or_never(), None, "alive, with nothing to offer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_goes_round_once_a_second_and_resolves_its_own() {
        let mut list = NodeList::new([node(1), node(2)]);
        for round in 0..3 {
            assert_eq!(list.next().await, Some(node(1)), "round {round}");
            assert_eq!(list.next().await, Some(node(2)), "round {round}");
            assert_eq!(list.next().now_or_never(), None, "round {round}");
        }
        let mix = FairMix::new([source(&[]), Box::new(list) as Box<dyn Discovery>]);
        assert_eq!(mix.resolve(node(2).id()).await, Some(node(2)));
        assert_eq!(mix.resolve(node(3).id()).await, None);
    }
}
