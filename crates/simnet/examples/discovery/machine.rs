//! The two discoveries, as far as a network of them is the same.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use devp2p_core::{
    DiscoveryVersion, Node, NodeId, NodeKey, PublicKey, Rate, Record, Seed, Transmit, WallClock,
};
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
/// The same of servers, of which there are hundreds. Tables for floods of forged packets take
/// megabytes each.
const SERVER_CHALLENGES: usize = 1_024;
const SERVER_PREFIXES: usize = 4_096;

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
    const VERSION: DiscoveryVersion;

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

    fn add_seeds(&mut self, now: Instant, seeds: Vec<Seed>);
    /// Whether a datagram on a socket that others share is for this one.
    fn claims(&self, bytes: &[u8]) -> bool;
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll(&mut self) -> Option<Happening<Self::Query>>;

    /// Looks for a target that these bytes make.
    fn lookup(&mut self, now: Instant, target: [u8; 64]) -> (Self::Query, NodeId);
    fn lookup_random(&mut self, now: Instant) -> Self::Query;
    fn resolve(&mut self, now: Instant, key: PublicKey) -> Self::Query;
    /// The order in which to meet those of the table, and those that were found beside them.
    fn nodes_to_meet(&mut self, found: Vec<Node>) -> Vec<Node>;
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
    /// For hundreds of servers in one machine: all but as they are shipped.
    fn of_server() -> Self;
    fn limits(&mut self) -> Limits<'_>;
    /// How long a node is known before it is worth remembering.
    fn remember_interval(&mut self) -> &mut Duration;
    fn set_bootnodes(&mut self, nodes: Vec<Node>);
    /// The lookups of a refresh, beside that for the own id.
    fn set_refresh_lookups(&mut self, lookups: usize);
}

/// What keeps strangers from doing harm.
pub(crate) struct Limits<'a> {
    pub(crate) table: &'a mut devp2p_kad::Config,
    pub(crate) newcomers_wait: &'a mut bool,
    pub(crate) rates: Vec<&'a mut Rate>,
}

/// What a machine wants, or tells.
pub(crate) enum Happening<Q> {
    /// What was asked.
    Answered(Q),
    Failed(Q, String),
    Forget(NodeId),
    Found(Q, Vec<Node>),
    /// Somebody named a node.
    Named {
        node: NodeId,
        by: NodeId,
    },
    Other,
    Remember(Seed),
    Resolved(Q, Option<Node>),
    Transmit(Transmit),
}

impl<S: Sign> Discovery for Discv4<S> {
    const VERSION: DiscoveryVersion = DiscoveryVersion::V4;

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

    fn add_seeds(&mut self, now: Instant, seeds: Vec<Seed>) {
        self.add_seeds(now, seeds);
    }

    /// All that nobody else claims.
    fn claims(&self, _: &[u8]) -> bool {
        true
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
            Output::Event(Event::LookupDone { query, nodes }) => Happening::Found(query, nodes),
            Output::Event(Event::Resolved { query, node }) => Happening::Resolved(query, node),
            Output::Event(Event::Remember(seed)) => Happening::Remember(seed),
            Output::Event(Event::Forget(id)) => Happening::Forget(id),
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

    fn lookup_random(&mut self, now: Instant) -> Self::Query {
        self.lookup_random(now)
    }

    fn resolve(&mut self, now: Instant, key: PublicKey) -> Self::Query {
        self.resolve(now, key)
    }

    fn nodes_to_meet(&mut self, found: Vec<Node>) -> Vec<Node> {
        self.nodes_to_meet(found)
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
    const VERSION: DiscoveryVersion = DiscoveryVersion::V5;

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

    fn add_seeds(&mut self, now: Instant, seeds: Vec<Seed>) {
        self.add_seeds(now, seeds);
    }

    fn claims(&self, bytes: &[u8]) -> bool {
        self.claims(bytes)
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
            Output::Event(Event::LookupDone { query, nodes }) => Happening::Found(query, nodes),
            Output::Event(Event::Resolved { query, node }) => Happening::Resolved(query, node),
            Output::Event(Event::Remember(seed)) => Happening::Remember(seed),
            Output::Event(Event::Forget(id)) => Happening::Forget(id),
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

    fn lookup_random(&mut self, now: Instant) -> Self::Query {
        self.lookup_random(now)
    }

    fn resolve(&mut self, now: Instant, key: PublicKey) -> Self::Query {
        self.resolve(now, key.into())
    }

    fn nodes_to_meet(&mut self, found: Vec<Node>) -> Vec<Node> {
        self.nodes_to_meet(found)
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
        let mut config = Self::of_server();
        config.rate_keys = RATE_KEYS;
        config
    }

    fn of_server() -> Self {
        let mut config = Self::default();
        // Records have true signatures, and checking those would take most of the time.
        config.request_records = false;
        config
    }

    fn limits(&mut self) -> Limits<'_> {
        Limits {
            table: &mut self.table,
            newcomers_wait: &mut self.newcomers_wait,
            rates: vec![&mut self.stranger_rate, &mut self.ping_back_rate, &mut self.hearsay_rate],
        }
    }

    fn remember_interval(&mut self) -> &mut Duration {
        &mut self.remember_interval
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

    fn of_server() -> Self {
        let mut config = Self::default();
        (config.max_challenges, config.stranger_prefixes) = (SERVER_CHALLENGES, SERVER_PREFIXES);
        config
    }

    fn limits(&mut self) -> Limits<'_> {
        Limits {
            table: &mut self.table,
            newcomers_wait: &mut self.newcomers_wait,
            rates: vec![
                &mut self.stranger_rate,
                &mut self.handshake_rate_total,
                &mut self.session_rate,
                &mut self.session_prefix_rate,
                &mut self.hearsay_rate,
            ],
        }
    }

    fn remember_interval(&mut self) -> &mut Duration {
        &mut self.remember_interval
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
