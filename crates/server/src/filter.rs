//! Which candidates may be dialed.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use devp2p_core::{Node, PublicKey};
use futures::{Stream, future::BoxFuture};
use tracing::trace;

use crate::Discovery;

/// Says which nodes may be dialed, of those that nobody configured; mostly by what their records
/// tell.
///
/// It is asked about each candidate of each source, before the sources are mixed, so that one that
/// brings much of no use takes no turn of the others; and about the peers of an earlier run that
/// are dialed at the start. Static nodes and bootstrap nodes it is not asked about, nor about
/// whoever dials us. A trusted node that is a candidate is one like any other.
///
/// A node that discovery v4 finds has no record at first; where there is a filter it is asked for
/// it, and is no candidate without.
///
/// ```
/// # use devp2p_server::DialFilter;
/// // Only nodes that say something of the chain that they are on.
/// let filter = DialFilter::new(|node| node.record().is_some_and(|it| it.get("eth").is_some()));
/// # let key = devp2p_core::NodeKey::from_bytes(&[7; 32])?;
/// let node = devp2p_core::Node::from(key.public_key());
/// assert!(!filter.accepts(&node));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DialFilter(Arc<dyn Fn(&Node) -> bool + Send + Sync>);

impl DialFilter {
    /// A filter that takes the nodes for which `accepts` is true. It must return at once, and the
    /// server ends if it panics.
    pub fn new(accepts: impl Fn(&Node) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(accepts))
    }

    /// Whether the node may be dialed.
    pub fn accepts(&self, node: &Node) -> bool {
        (self.0)(node)
    }
}

impl fmt::Debug for DialFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DialFilter(..)")
    }
}

/// A filter at work in one server, and how many candidates it has refused there.
#[derive(Clone, Debug)]
pub(crate) struct Filtering {
    filter: DialFilter,
    refused: Arc<AtomicU64>,
}

impl Filtering {
    pub(crate) const fn new(filter: DialFilter, refused: Arc<AtomicU64>) -> Self {
        Self { filter, refused }
    }

    /// Whether the node may be dialed; counts and logs it where it may not.
    pub(crate) fn accepts(&self, node: &Node) -> bool {
        let accepted = self.filter.accepts(node);
        if !accepted {
            self.refused.fetch_add(1, Ordering::Relaxed);
            trace!(id = %node.id(), err = "refused by the dial filter", "Discarding dial candidate");
        }
        accepted
    }

    /// The source without the nodes that are refused.
    pub(crate) fn of(&self, source: Box<dyn Discovery>) -> Box<dyn Discovery> {
        Box::new(Filtered { source, filtering: self.clone() })
    }
}

/// How many nodes in a row are refused before others have their turn on the thread.
const MAX_REFUSED_AT_ONCE: usize = 64;

/// A source without the nodes that a filter refuses.
struct Filtered {
    source: Box<dyn Discovery>,
    filtering: Filtering,
}

impl Stream for Filtered {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        for _ in 0..MAX_REFUSED_AT_ONCE {
            match ready!(Pin::new(&mut self.source).poll_next(cx)) {
                Some(node) if !self.filtering.accepts(&node) => {}
                next => return Poll::Ready(next),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Discovery for Filtered {
    /// Whoever is looked for by its key was configured.
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        self.source.resolve(public_key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{FutureExt as _, StreamExt as _};
    use tokio::time::timeout;

    use super::*;
    use crate::{NodeList, testing::node};

    fn filtered(nodes: impl IntoIterator<Item = Node>) -> (Box<dyn Discovery>, Arc<AtomicU64>) {
        let refused = Arc::<AtomicU64>::default();
        let filter = DialFilter::new(|it| *it == node(1) || *it == node(3));
        let filtering = Filtering::new(filter, Arc::clone(&refused));
        (filtering.of(Box::new(NodeList::new(nodes))), refused)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_counted_and_goes_no_further() {
        let (mut source, refused) = filtered((1..=4).map(node));
        for (n, count) in [(1, 0), (3, 1), (1, 2), (3, 3)] {
            assert_eq!(source.next().await, Some(node(n)));
            assert_eq!(refused.load(Ordering::Relaxed), count);
        }
        assert_eq!(source.resolve(node(2).public_key()).await, Some(node(2)), "it is looked for");
    }

    #[cfg(feature = "test-util")]
    #[tokio::test(start_paused = true)]
    async fn a_filtered_source_keeps_the_contract() {
        use crate::contract::discovery::{Resolves, check};

        let report = check(Resolves::Known, |known| {
            let refused = (101..=200).map(node);
            let refuses = |node: &Node| node.ip().is_some();
            let filtering = Filtering::new(DialFilter::new(refuses), Arc::default());
            filtering.of(Box::new(NodeList::new(refused.chain(known))))
        });
        report.await.assert_kept();
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_without_a_good_node_keeps_nobody_waiting() {
        let many = || std::iter::repeat_with(|| node(2)).take(3 * MAX_REFUSED_AT_ONCE);
        let (mut source, refused) = filtered(many());
        assert_eq!(source.next().now_or_never(), None);
        assert_eq!(refused.load(Ordering::Relaxed), 64);
        let (mut source, _) = filtered(many().chain([node(3)]));
        let found = timeout(Duration::from_millis(10), source.next()).await;
        assert_eq!(found, Ok(Some(node(3))), "it is woken for the rest");
    }
}
