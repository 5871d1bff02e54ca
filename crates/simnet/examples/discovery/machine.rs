//! The two discoveries, as far as a network of them is the same.

use std::{fmt, net::SocketAddr, time::Instant};

use devp2p_core::{Node, NodeId, NodeKey, Record, Transmit, WallClock};
use devp2p_discv4::{
    Discv4,
    wire::{Datagram, Packet, Signer, Target},
};
use devp2p_discv5::{Discv5, crypto::Identity};

use super::keys::{StandIn, publish};

/// How many senders each rate is kept for, and so on: less than as shipped, as nobody meets so many
/// here, and thousands of nodes have to fit into one machine.
const RATE_KEYS: usize = 128;
const MAX_SESSIONS: usize = 256;
const MAX_CHALLENGES: usize = 64;
const MAX_RECORDS: usize = 256;

/// How nodes sign: with their key, or not at all.
pub(crate) trait Sign: Signer + Identity {
    fn with_key(key: &NodeKey) -> Self;
}

impl Sign for NodeKey {
    fn with_key(key: &NodeKey) -> Self {
        key.clone()
    }
}

impl Sign for StandIn {
    fn with_key(key: &NodeKey) -> Self {
        Self(key.public_key())
    }
}

/// A machine as it is shipped.
pub(crate) trait Discovery: Sized {
    type Config: Settings;
    type Query: Copy + Ord;

    fn new(
        config: Self::Config,
        key: &NodeKey,
        record: Record,
        seed: [u8; 32],
        now: Instant,
        clock: WallClock,
    ) -> Self;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll(&mut self) -> Option<Happening<Self::Query>>;

    /// Looks for a target that these bytes make.
    fn lookup(&mut self, now: Instant, target: [u8; 64]) -> (Self::Query, NodeId);
    fn lookup_random(&mut self, now: Instant);
    /// Asks a node something that it answers only to who has proved itself.
    fn ask(&mut self, now: Instant, node: &Node) -> Self::Query;
    /// Whether a node has proved that it is there.
    fn has_proved(&self, now: Instant, id: NodeId, endpoint: SocketAddr) -> bool;

    /// With whom a lookup begins.
    fn start(&self, target: NodeId) -> Vec<NodeId>;
    fn table(&self) -> Vec<(NodeId, SocketAddr)>;
    /// The nodes that a datagram of ours names, and where, if that can be read.
    fn named(bytes: &[u8]) -> Vec<(NodeId, SocketAddr)>;
}

pub(crate) trait Settings: Clone + fmt::Debug {
    /// For thousands of nodes in one machine.
    fn simulated() -> Self;
    fn set_bootnodes(&mut self, nodes: Vec<Node>);
    /// The lookups of a refresh, beside that for the own id.
    fn set_refresh_lookups(&mut self, lookups: usize);
}

/// What a machine wants, or tells.
pub(crate) enum Happening<Q> {
    /// What was asked.
    Answered(Q),
    Failed(Q, String),
    Found(Q, Vec<NodeId>),
    /// Somebody named a node.
    Named {
        node: NodeId,
        by: NodeId,
    },
    Other,
    Transmit(Transmit),
}

impl<S: Sign> Discovery for Discv4<S> {
    type Config = devp2p_discv4::Config;
    type Query = devp2p_discv4::QueryId;

    fn new(
        config: Self::Config,
        key: &NodeKey,
        record: Record,
        seed: [u8; 32],
        now: Instant,
        clock: WallClock,
    ) -> Self {
        Self::new(config, S::with_key(key), record, seed, now, clock)
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll(&mut self) -> Option<Happening<Self::Query>> {
        use devp2p_discv4::{Event, Output, Source};

        Some(match self.poll_output()? {
            Output::Transmit(transmit) => Happening::Transmit(transmit),
            Output::Event(Event::LookupDone { query, nodes }) => {
                Happening::Found(query, nodes.iter().map(Node::id).collect())
            }
            Output::Event(Event::Failed { query, error }) => {
                Happening::Failed(query, error.to_string())
            }
            Output::Event(Event::Neighbors { query, .. }) => Happening::Answered(query),
            Output::Event(Event::Sighting { node, source: Source::Neighbors(by) }) => {
                Happening::Named { node: node.id(), by }
            }
            _ => Happening::Other,
        })
    }

    fn lookup(&mut self, now: Instant, target: [u8; 64]) -> (Self::Query, NodeId) {
        let target = Target::new(target);
        (self.lookup(now, target), target.id())
    }

    fn lookup_random(&mut self, now: Instant) {
        self.lookup_random(now);
    }

    fn ask(&mut self, now: Instant, node: &Node) -> Self::Query {
        self.find_node(now, node, Target::from(node.public_key()))
    }

    fn has_proved(&self, now: Instant, id: NodeId, endpoint: SocketAddr) -> bool {
        self.is_bonded(now, id, endpoint)
    }

    fn start(&self, target: NodeId) -> Vec<NodeId> {
        start(self.table(), target)
    }

    fn table(&self) -> Vec<(NodeId, SocketAddr)> {
        let contacts = self.table().entries().map(|entry| entry.value());
        contacts.map(|contact| (contact.node().id(), contact.endpoint())).collect()
    }

    fn named(bytes: &[u8]) -> Vec<(NodeId, SocketAddr)> {
        let packet = Datagram::parse(bytes).and_then(|datagram| datagram.packet());
        let Ok(Packet::Neighbors(neighbors)) = packet else { return Vec::new() };
        neighbors.nodes.iter().map(|it| (it.public_key.into(), it.udp_addr())).collect()
    }
}

impl<S: Sign> Discovery for Discv5<S> {
    type Config = devp2p_discv5::Config;
    type Query = devp2p_discv5::QueryId;

    fn new(
        config: Self::Config,
        key: &NodeKey,
        record: Record,
        seed: [u8; 32],
        now: Instant,
        clock: WallClock,
    ) -> Self {
        publish(&record);
        Self::new(config, S::with_key(key), record, seed, now, clock)
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll(&mut self) -> Option<Happening<Self::Query>> {
        use devp2p_discv5::{Event, Output, Source};

        Some(match self.poll_output()? {
            Output::Transmit(transmit) => Happening::Transmit(transmit),
            Output::Event(Event::LookupDone { query, nodes }) => {
                Happening::Found(query, nodes.iter().map(Node::id).collect())
            }
            Output::Event(Event::Failed { query, error }) => {
                Happening::Failed(query, error.to_string())
            }
            Output::Event(Event::Nodes { query, .. }) => Happening::Answered(query),
            Output::Event(Event::Sighting { node, source: Source::Nodes(by) }) => {
                Happening::Named { node: node.id(), by }
            }
            _ => Happening::Other,
        })
    }

    fn lookup(&mut self, now: Instant, target: [u8; 64]) -> (Self::Query, NodeId) {
        let target = NodeId::new(*target.first_chunk().unwrap());
        (self.lookup(now, target), target)
    }

    fn lookup_random(&mut self, now: Instant) {
        self.lookup_random(now);
    }

    fn ask(&mut self, now: Instant, node: &Node) -> Self::Query {
        self.find_node(now, node, vec![0])
    }

    fn has_proved(&self, _: Instant, id: NodeId, endpoint: SocketAddr) -> bool {
        self.has_session(id, endpoint)
    }

    fn start(&self, target: NodeId) -> Vec<NodeId> {
        start(self.table(), target)
    }

    fn table(&self) -> Vec<(NodeId, SocketAddr)> {
        let contacts = self.table().entries().map(|entry| entry.value());
        contacts.map(|contact| (contact.node().id(), contact.endpoint())).collect()
    }

    /// They are for nobody to read.
    fn named(_: &[u8]) -> Vec<(NodeId, SocketAddr)> {
        Vec::new()
    }
}

impl Settings for devp2p_discv4::Config {
    fn simulated() -> Self {
        let mut config = Self::default();
        config.rate_keys = RATE_KEYS;
        // Records have true signatures, and checking those would take most of the time.
        config.request_records = false;
        config
    }

    fn set_bootnodes(&mut self, nodes: Vec<Node>) {
        self.bootstrap_nodes = nodes;
    }

    fn set_refresh_lookups(&mut self, lookups: usize) {
        self.refresh_lookups = lookups;
    }
}

impl Settings for devp2p_discv5::Config {
    fn simulated() -> Self {
        let mut config = Self::default();
        (config.rate_keys, config.stranger_prefixes) = (RATE_KEYS, RATE_KEYS);
        (config.max_sessions, config.max_challenges) = (MAX_SESSIONS, MAX_CHALLENGES);
        config.max_records = MAX_RECORDS;
        config
    }

    fn set_bootnodes(&mut self, nodes: Vec<Node>) {
        self.bootstrap_nodes = nodes;
    }

    fn set_refresh_lookups(&mut self, lookups: usize) {
        self.refresh_lookups = lookups;
    }
}

fn start<C: devp2p_kad::Contact>(table: &devp2p_kad::Table<C>, target: NodeId) -> Vec<NodeId> {
    let target = devp2p_kad::Id::new(*target.as_bytes());
    let known = table.closest_known(&target, 16).into_iter();
    known.map(|(id, _)| NodeId::new(*id.as_bytes())).collect()
}
