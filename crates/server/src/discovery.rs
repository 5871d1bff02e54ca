//! The seam that finds nodes to dial.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Node, PublicKey};
use futures::{Stream, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Sleep, sleep, sleep_until};

use crate::{Mix, runtime};

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
    /// The freshest record of the node with this key, where this source can find it. (The key
    /// rather than the id: searches of discv4 are for keys.)
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>>;
}

/// Several sources as one, in fixed shares: a [`Mix`], and the sources that it is fed from.
///
/// A source that ends is left out from then on; the mix itself does not end. Of each source one
/// candidate is fetched in advance.
pub struct FairMix {
    mix: Mix,
    sources: Vec<Option<Box<dyn Discovery>>>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl FairMix {
    /// A mix of these sources in equal shares.
    pub fn new(sources: impl IntoIterator<Item = Box<dyn Discovery>>) -> Self {
        Self::with_shares(sources.into_iter().map(|source| (1, source)))
    }

    /// A mix of these sources, each with its share of the candidates.
    pub fn with_shares(sources: impl IntoIterator<Item = (u32, Box<dyn Discovery>)>) -> Self {
        let (shares, sources): (Vec<_>, _) =
            sources.into_iter().map(|(share, source)| (share, Some(source))).unzip();
        Self { mix: Mix::new(shares, Mix::PATIENCE), sources, patience: None }
    }

    /// Asks every source that has room in the mix.
    fn fill(&mut self, cx: &mut Context<'_>) {
        for (index, place) in self.sources.iter_mut().enumerate() {
            let Some(source) = place.as_mut().filter(|_| self.mix.wants(index)) else { continue };
            match Pin::new(source).poll_next(cx) {
                Poll::Ready(Some(node)) => {
                    let _there_is_room = self.mix.push(index, node);
                }
                Poll::Ready(None) => {
                    self.mix.end(index);
                    *place = None;
                }
                Poll::Pending => {}
            }
        }
    }
}

impl Stream for FairMix {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        let this = &mut *self;
        this.fill(cx);
        loop {
            if let Some(node) = this.mix.next(runtime::now()) {
                this.patience = None;
                return Poll::Ready(Some(node));
            }
            let Some(until) = this.mix.poll_timeout() else { return Poll::Pending };
            let patience = this.patience.get_or_insert_with(|| Box::pin(sleep_until(until.into())));
            if patience.deadline() != until.into() {
                patience.as_mut().reset(until.into());
            }
            ready!(patience.as_mut().poll(cx));
        }
    }
}

impl Discovery for FairMix {
    /// Asks all sources at once, and takes the first node that is found.
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        let sources = self.sources.iter().flatten();
        let mut lookups: FuturesUnordered<_> =
            sources.map(|source| source.resolve(public_key)).collect();
        Box::pin(async move {
            while let Some(found) = lookups.next().await {
                if found.is_some() {
                    return found;
                }
            }
            None
        })
    }
}

impl fmt::Debug for FairMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairMix").field("mix", &self.mix).finish_non_exhaustive()
    }
}

/// The candidates of a stream, which resolves none: those that a subprotocol knows of, for one.
pub(crate) struct Candidates(pub(crate) Pin<Box<dyn Stream<Item = Node> + Send>>);

impl Stream for Candidates {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl Discovery for Candidates {
    fn resolve(&self, _: PublicKey) -> BoxFuture<'static, Option<Node>> {
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
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        let found = self.nodes.iter().find(|node| node.public_key() == public_key).cloned();
        Box::pin(std::future::ready(found))
    }
}

#[cfg(test)]
mod tests {
    use devp2p_core::NodeKey;
    use futures::{FutureExt as _, future::pending, stream};

    use super::*;

    fn node(seed: u8) -> Node {
        Node::new(NodeKey::from_bytes(&[seed; 32]).unwrap().public_key(), None, 0, 0)
    }

    fn source(seeds: &[u8]) -> Box<dyn Discovery> {
        let nodes: Vec<_> = seeds.iter().map(|&seed| node(seed)).collect();
        Box::new(Candidates(stream::iter(nodes).boxed()))
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
    async fn a_mix_waits_a_moment_for_the_one_whose_turn_it_is() {
        let silent = Box::new(Candidates(stream::pending().boxed()));
        let mut mix = FairMix::new([silent as Box<dyn Discovery>, source(&[1, 2])]);
        let start = runtime::now();
        assert_eq!(mix.next().now_or_never(), None);
        assert_eq!(mix.next().await, Some(node(1)));
        assert_eq!(runtime::now() - start, Mix::PATIENCE);
        assert_eq!(mix.next().await, Some(node(2)));
        assert_eq!(runtime::now() - start, Mix::PATIENCE * 3 / 2);
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
        assert_eq!(mix.resolve(node(2).public_key()).await, Some(node(2)));
        assert_eq!(mix.resolve(node(3).public_key()).await, None);
    }

    /// Searches for ever.
    struct Slow;

    impl Stream for Slow {
        type Item = Node;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Node>> {
            Poll::Pending
        }
    }

    impl Discovery for Slow {
        fn resolve(&self, _: PublicKey) -> BoxFuture<'static, Option<Node>> {
            Box::pin(pending())
        }
    }

    #[test]
    fn a_slow_source_does_not_hold_up_a_search() {
        let list = NodeList::new([node(1)]);
        let sources = [Box::new(Slow) as Box<dyn Discovery>, Box::new(list), source(&[])];
        let mix = FairMix::new(sources);
        assert_eq!(mix.resolve(node(1).public_key()).now_or_never(), Some(Some(node(1))));
        assert_eq!(mix.resolve(node(2).public_key()).now_or_never(), None, "it may be found yet");
    }
}
