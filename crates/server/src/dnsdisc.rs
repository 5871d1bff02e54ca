//! Node lists in DNS as a part of the server.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Node, NodeId, PublicKey, Rng};
use devp2p_dnsdisc::{AnyResolver, Nodes};
use futures::{Stream, future::BoxFuture};
use tokio::time::sleep;

use crate::{Config, Discovery, StartError, runtime::lock};

/// The nodes of lists in DNS (EIP-1459), as candidates to dial.
///
/// A list says where a node was when somebody signed it; who is dialed has to prove its key. It
/// [resolves](Discovery::resolve) the nodes that it has told of so far, the last 4,096 of them.
pub struct DnsNodes {
    nodes: Nodes,
    told: Arc<Mutex<Told>>,
    /// How long others are given to answer first.
    patience: Duration,
}

impl DnsNodes {
    /// The nodes of these lists.
    pub fn new(nodes: Nodes) -> Self {
        Self { nodes, told: Arc::default(), patience: Duration::ZERO }
    }

    /// The lists of these options, if there are any. `is_alone` says that nothing else looks for
    /// nodes.
    pub(crate) fn of(
        config: &Config,
        is_alone: bool,
        rng: &mut Rng,
    ) -> Result<Option<Self>, StartError> {
        if config.dns_lists.is_empty() {
            return Ok(None);
        }
        let resolver = resolver(config)?;
        let lists = config.dns_lists.iter().cloned();
        let mut found = Self::new(Nodes::new(config.dnsdisc.clone(), lists, resolver, rng.seed()));
        if !is_alone {
            // There is no use in an answer for which nobody waits any more.
            found.patience = RESOLVE_PATIENCE.min(config.dial.resolve_timeout / 2);
        }
        Ok(Some(found))
    }
}

/// How long a discovery that asks the nodes of the network is given to find one before a list tells
/// of it: a list may well have an address that the node has left. A lookup takes a few seconds.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(10);

/// How many nodes are remembered to be resolved: with their records some 2 MB.
const MAX_TOLD: usize = 4_096;

/// The nodes that were told of last.
#[derive(Default)]
struct Told {
    nodes: BTreeMap<NodeId, Node>,
    /// In the order in which they came up first.
    order: VecDeque<NodeId>,
}

impl Told {
    fn insert(&mut self, node: &Node) {
        let id = node.id();
        // Of two lists that have the node one may be older.
        let seq = |node: &Node| node.record().map(devp2p_core::Record::seq);
        match self.nodes.get_mut(&id) {
            Some(known) if seq(known) > seq(node) => {}
            Some(known) => *known = node.clone(),
            None => {
                if self.order.len() >= MAX_TOLD
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.nodes.remove(&oldest);
                }
                self.nodes.insert(id, node.clone());
                self.order.push_back(id);
            }
        }
    }
}

impl Stream for DnsNodes {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        let next = ready!(Pin::new(&mut self.nodes).poll_next(cx));
        if let Some(node) = &next {
            lock(&self.told).insert(node);
        }
        Poll::Ready(next)
    }
}

impl Discovery for DnsNodes {
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        let found = lock(&self.told).nodes.get(&NodeId::from(public_key)).cloned();
        let patience = self.patience;
        Box::pin(async move {
            if found.is_some() && !patience.is_zero() {
                sleep(patience).await;
            }
            found
        })
    }
}

impl fmt::Debug for DnsNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsNodes").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// What asks DNS: that of the options, or else the name servers of the system.
#[cfg(feature = "hickory")]
fn resolver(config: &Config) -> Result<AnyResolver, StartError> {
    match &config.dns_resolver {
        Some(resolver) => Ok(resolver.clone()),
        None => devp2p_dnsdisc::HickoryResolver::from_system()
            .map(AnyResolver::new)
            .map_err(StartError::Resolver),
    }
}

#[cfg(not(feature = "hickory"))]
fn resolver(config: &Config) -> Result<AnyResolver, StartError> {
    config.dns_resolver.clone().ok_or(StartError::Missing("dns_resolver"))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use devp2p_core::{NodeKey, Record};
    use devp2p_dnsdisc::{LookupError, Resolver, Txt};
    use futures::{FutureExt as _, stream};
    use tokio::time::Instant;

    use super::*;
    use crate::FairMix;

    fn node(n: u16, seq: u64) -> Node {
        let mut secret = [1; 32];
        secret[..2].copy_from_slice(&n.to_be_bytes());
        let key = NodeKey::from_bytes(&secret).unwrap();
        Node::from_record(Record::builder().seq(seq).sign(&key).unwrap())
    }

    #[test]
    fn the_newest_record_of_a_node_is_remembered() {
        let mut told = Told::default();
        for seq in [2, 3, 1] {
            told.insert(&node(1, seq));
        }
        assert_eq!(told.nodes.get(&node(1, 3).id()), Some(&node(1, 3)));
        assert_eq!((told.nodes.len(), told.order.len()), (1, 1));
    }

    /// Knows no name.
    struct Nothing;

    impl Resolver for Nothing {
        fn lookup_txt(
            &self,
            _: &str,
        ) -> impl Future<Output = Result<Vec<Txt>, LookupError>> + Send {
            ready(Err(LookupError::NotFound))
        }
    }

    /// Finds this node, or none, in three seconds.
    struct Live(Option<Node>);

    impl Stream for Live {
        type Item = Node;

        fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
            Pin::new(&mut stream::pending()).poll_next(cx)
        }
    }

    impl Discovery for Live {
        fn resolve(&self, _: PublicKey) -> BoxFuture<'static, Option<Node>> {
            let found = self.0.clone();
            sleep(Duration::from_secs(3)).map(|()| found).boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_the_network_goes_before_a_list() {
        let (old, new) = (node(1, 1), node(1, 2));
        for (live, expected, seconds) in [(Some(&new), &new, 3), (None, &old, 10)] {
            let resolver = AnyResolver::new(Nothing);
            let nodes = Nodes::new(devp2p_dnsdisc::Config::default(), [], resolver, [7; 32]);
            let mut lists = DnsNodes::new(nodes);
            lists.patience = RESOLVE_PATIENCE;
            lock(&lists.told).insert(&old);
            let live = Live(live.cloned());
            let mix = FairMix::new([Box::new(lists) as Box<dyn Discovery>, Box::new(live)]);
            #[expect(clippy::disallowed_methods, reason = "the paused clock of a test")]
            let start = Instant::now();
            assert_eq!(mix.resolve(old.public_key()).await.as_ref(), Some(expected));
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
    }

    #[test]
    fn who_was_told_of_long_ago_is_forgotten() {
        let mut told = Told::default();
        let first = node(0, 1);
        told.insert(&first);
        // Filled up by hand: signing thousands of records takes long.
        for n in 1..MAX_TOLD {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            told.nodes.insert(NodeId::new(id), first.clone());
            told.order.push_back(NodeId::new(id));
        }
        told.insert(&first);
        assert_eq!(told.nodes.len(), MAX_TOLD);
        told.insert(&node(1, 1));
        assert_eq!((told.nodes.len(), told.order.len()), (MAX_TOLD, MAX_TOLD));
        assert!(!told.nodes.contains_key(&first.id()));
        assert!(told.nodes.contains_key(&node(1, 1).id()));
    }
}
