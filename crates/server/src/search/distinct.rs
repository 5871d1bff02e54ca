use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeId, PublicKey};
use futures::{Stream, future::BoxFuture};

use crate::{
    Discovery,
    runtime::{lock, now},
};

/// How long a node counts as one of the discovery that offered it: a little longer than whoever was
/// dialed is not dialed again.
const MEMORY: Duration = Duration::from_secs(40);

/// The nodes that are remembered for this: several tables full of them.
const MAX_OFFERED: usize = 1_024;

/// A discovery beside others, without the nodes that one of those has just offered: a node that
/// several know takes the turn of one of them only.
pub(super) struct Distinct {
    source: Box<dyn Discovery>,
    number: usize,
    offered: Arc<Mutex<Offered>>,
}

/// Who offered what of late.
#[derive(Debug, Default)]
struct Offered {
    by: BTreeMap<NodeId, (usize, Instant)>,
    /// The same nodes, the one that was offered longest ago first. One that was offered again is in
    /// here more than once, and only the last counts.
    order: VecDeque<(NodeId, Instant)>,
}

impl Distinct {
    /// All of them beside each other, with their shares.
    pub(super) fn all(
        sources: impl IntoIterator<Item = (u32, Box<dyn Discovery>)>,
    ) -> Vec<(u32, Box<dyn Discovery>)> {
        let offered = Arc::<Mutex<Offered>>::default();
        let distinct = |(number, (share, source))| {
            let source: Box<dyn Discovery> =
                Box::new(Self { source, number, offered: Arc::clone(&offered) });
            (share, source)
        };
        sources.into_iter().enumerate().map(distinct).collect()
    }
}

impl Stream for Distinct {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        loop {
            let Some(node) = ready!(Pin::new(&mut self.source).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if lock(&self.offered).offer(now(), self.number, node.id()) {
                return Poll::Ready(Some(node));
            }
        }
    }
}

impl Discovery for Distinct {
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        self.source.resolve(public_key)
    }
}

impl Offered {
    /// Whether no other has offered it of late.
    fn offer(&mut self, now: Instant, number: usize, id: NodeId) -> bool {
        let is_late = |at| now.saturating_duration_since(at) >= MEMORY;
        while let Some(&(id, at)) = self.order.front()
            && (is_late(at) || self.order.len() >= MAX_OFFERED)
        {
            self.order.pop_front();
            if self.by.get(&id).is_some_and(|&(_, last)| last == at) {
                self.by.remove(&id);
            }
        }
        if self.by.get(&id).is_some_and(|&(by, _)| by != number) {
            return false;
        }
        self.by.insert(id, (number, now));
        self.order.push_back((id, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, future::ready as resolved};

    use devp2p_core::NodeKey;
    use futures::{FutureExt as _, StreamExt as _, stream};
    use tokio::time::advance;

    use super::*;

    fn node(n: u8) -> Node {
        Node::from(NodeKey::from_bytes(&[n; 32]).unwrap().public_key())
    }

    /// Always has the same nodes.
    struct Same(Pin<Box<dyn Stream<Item = Node> + Send>>);

    impl Stream for Same {
        type Item = Node;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
            self.0.as_mut().poll_next(cx)
        }
    }

    impl Discovery for Same {
        fn resolve(&self, _: PublicKey) -> BoxFuture<'static, Option<Node>> {
            resolved(None).boxed()
        }
    }

    fn sources(all: [&[u8]; 2]) -> [Box<dyn Discovery>; 2] {
        let sources = all.map(|numbers| {
            let nodes: Vec<_> = numbers.iter().map(|&n| node(n)).collect();
            let endless = stream::iter(nodes).chain(stream::pending());
            (1, Box::new(Same(endless.boxed())) as Box<dyn Discovery>)
        });
        let distinct = Distinct::all(sources).into_iter().map(|(_, source)| source);
        distinct.collect::<Vec<_>>().try_into().ok().unwrap()
    }

    fn take(source: &mut Box<dyn Discovery>) -> Vec<NodeId> {
        let mut taken = Vec::new();
        while let Some(Some(node)) = source.next().now_or_never() {
            taken.push(node.id());
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_two_know_comes_from_one() {
        let [mut one, mut other] = sources([&[1, 2, 3, 1], &[3, 4, 1, 5]]);
        assert_eq!(
            take(&mut one),
            [1, 2, 3, 1].map(|n| node(n).id()),
            "its own as often as it says"
        );
        assert_eq!(take(&mut other), [4, 5].map(|n| node(n).id()));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_while_it_may_come_from_the_other() {
        let [mut one, mut other] = sources([&[1], &[1]]);
        assert_eq!(take(&mut one).len(), 1);
        advance(MEMORY).await;
        assert_eq!(take(&mut other).len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut offered, now) = (Offered::default(), now_for_test());
        let id = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            NodeId::new(bytes)
        };
        for n in 0..10_000 {
            assert!(offered.offer(now, 0, id(n)));
            assert!(offered.offer(now, 0, id(7)), "again and again");
        }
        assert!(offered.order.len() <= MAX_OFFERED && offered.by.len() <= MAX_OFFERED);
        let kept: BTreeSet<_> = offered.by.keys().copied().collect();
        assert!(kept.contains(&id(9_999)) && kept.contains(&id(7)));
        assert!(!offered.offer(now, 1, id(9_999)));
        assert!(offered.offer(now, 1, id(0)), "it was too long ago");
    }

    fn now_for_test() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        Instant::now()
    }
}
