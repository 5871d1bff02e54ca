use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use devp2p_core::{Node, PublicKey};
use futures::{Stream, future::BoxFuture};

use crate::{
    Discovery, Offered,
    runtime::{lock, now},
};

/// A discovery beside others, without the nodes that one of those has just offered: a node that
/// several know takes the turn of one of them only.
pub(super) struct Distinct {
    source: Box<dyn Discovery>,
    number: usize,
    offered: Arc<Mutex<Offered>>,
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

#[cfg(test)]
mod tests {
    use std::future::ready as resolved;

    use devp2p_core::NodeId;
    use futures::{FutureExt as _, StreamExt as _, stream};
    use tokio::time::advance;

    use super::*;
    use crate::testing::node;

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

    fn sources(all: [&[u16]; 2]) -> [Box<dyn Discovery>; 2] {
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
        advance(Offered::MEMORY).await;
        assert_eq!(take(&mut other).len(), 1);
    }
}
