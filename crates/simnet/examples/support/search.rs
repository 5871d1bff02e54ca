//! The discoveries of a client, each a source of candidates to dial.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::{
    DiscoveryVersion, Node, NodeId, NodeKey, PublicKey, Record, Rng, Seed, Transmit, WallClock,
};
use devp2p_discv4::Discv4;
use devp2p_discv5::Discv5;
use devp2p_server::Row;

use super::{
    keys::StandIn,
    machine::{Discovery, Happening, Settings as _},
    setup::{Discoveries, Setup},
};

/// What a discovery begins with.
pub(crate) struct Start<'a> {
    pub(crate) now: Instant,
    pub(crate) clock: WallClock,
    pub(crate) key: &'a NodeKey,
    /// What the node tells of itself, in all discoveries the same.
    pub(crate) record: &'a Record,
    pub(crate) setup: &'a Setup,
    pub(crate) bootnodes: &'a [Node],
    /// What an earlier life remembered, for any discovery.
    pub(crate) seeds: &'a [Seed],
}

/// What a discovery wants, or tells.
pub(crate) enum Found {
    /// What came of a search for one node.
    Resolved(NodeId, Option<Node>),
    /// To be remembered across restarts.
    Row(Row),
    Transmit(Transmit),
}

/// One discovery of a client, whichever.
pub(crate) trait Source {
    fn version(&self) -> DiscoveryVersion;
    fn claims(&self, bytes: &[u8]) -> bool;
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    /// What it wants, or tells; nothing if it only found candidates.
    fn poll(&mut self) -> Option<Option<Found>>;
    /// A node to dial, if there is one left of those that it found.
    fn candidate(&mut self) -> Option<Node>;
    /// Looks for more. Whether it did not already.
    fn look_around(&mut self, now: Instant) -> bool;
    /// Searches for one node. Ends in [`Found::Resolved`].
    fn resolve(&mut self, now: Instant, key: PublicKey);
    /// The nodes of its table.
    fn table(&self) -> Vec<NodeId>;
    /// The first node of a round of candidates.
    fn draw(&mut self) -> Option<NodeId>;
}

/// All discoveries of a client, in the order in which they are asked whose a datagram is.
pub(crate) fn sources(start: &Start<'_>, rng: &mut Rng) -> Vec<Box<dyn Source>> {
    let mut v4 = || Box::new(Search::<Discv4<StandIn>>::new(start, rng)) as Box<dyn Source>;
    match start.setup.discoveries {
        Discoveries::V4 => vec![v4()],
        Discoveries::V5 => vec![Box::new(Search::<Discv5<StandIn>>::new(start, rng))],
        Discoveries::Both => {
            let v4 = v4();
            vec![Box::new(Search::<Discv5<StandIn>>::new(start, rng)), v4]
        }
    }
}

struct Search<D: Discovery> {
    machine: D,
    /// The rest of the round of candidates.
    candidates: VecDeque<Node>,
    /// The random lookup whose nodes are candidates.
    lookup: Option<D::Query>,
    searches: BTreeMap<D::Query, NodeId>,
}

impl<D: Discovery> Search<D> {
    fn new(start: &Start<'_>, rng: &mut Rng) -> Self {
        let &Start { now, clock, key, record, setup, .. } = start;
        let mut config = D::Config::of_server();
        config.set_bootnodes(start.bootnodes.to_vec());
        *config.remember_interval() /= setup.haste;
        setup.defences.apply_to_discovery(config.limits());
        let mut machine = D::new(config, key, record.clone(), rng.seed(), now, clock);
        let seeds = start.seeds.iter().filter(|seed| seed.protocol == D::VERSION);
        machine.add_seeds(now, seeds.cloned().collect());
        let (candidates, searches) = Default::default();
        Self { machine, candidates, lookup: None, searches }
    }

    /// A query is over, with this node or without one.
    fn end(&mut self, query: D::Query, node: Option<Node>) -> Option<Found> {
        if self.lookup == Some(query) {
            self.lookup = None;
        }
        self.searches.remove(&query).map(|id| Found::Resolved(id, node))
    }
}

impl<D: Discovery> Source for Search<D> {
    fn version(&self) -> DiscoveryVersion {
        D::VERSION
    }

    fn claims(&self, bytes: &[u8]) -> bool {
        self.machine.claims(bytes)
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.machine.handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    fn poll(&mut self) -> Option<Option<Found>> {
        Some(match self.machine.poll()? {
            Happening::Failed(query, _) => self.end(query, None),
            Happening::Forget(id) => Some(Found::Row(Row::Forget { protocol: D::VERSION, id })),
            Happening::Found(query, nodes) if self.lookup == Some(query) => {
                self.candidates.extend(self.machine.nodes_to_meet(nodes));
                self.end(query, None)
            }
            Happening::Remember(seed) => Some(Found::Row(Row::Seed(seed))),
            Happening::Resolved(query, node) => self.end(query, node),
            Happening::Transmit(transmit) => Some(Found::Transmit(transmit)),
            Happening::Answered(_)
            | Happening::Found(..)
            | Happening::Named { .. }
            | Happening::Other => None,
        })
    }

    fn candidate(&mut self) -> Option<Node> {
        self.candidates.pop_front()
    }

    fn look_around(&mut self, now: Instant) -> bool {
        let looks = self.lookup.is_some();
        if !looks {
            self.lookup = Some(self.machine.lookup_random(now));
        }
        !looks
    }

    fn resolve(&mut self, now: Instant, key: PublicKey) {
        let query = self.machine.resolve(now, key);
        self.searches.insert(query, key.into());
    }

    fn table(&self) -> Vec<NodeId> {
        self.machine.table().into_iter().map(|(id, _)| id).collect()
    }

    fn draw(&mut self) -> Option<NodeId> {
        self.machine.nodes_to_meet(Vec::new()).first().map(Node::id)
    }
}
