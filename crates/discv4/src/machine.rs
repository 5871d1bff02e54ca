mod contact;

use std::{collections::VecDeque, fmt, net::SocketAddr, time::Instant};

use devp2p_core::{Node, NodeId, NodeKey, PublicKey, Record, Rng, Seed, WallClock};
use devp2p_kad::Table;

pub use self::contact::Contact;
use crate::{
    Config, Event, Output, QueryId, Statistics, Transmit,
    wire::{Signer, Target},
};

/// Node Discovery v4, without the network.
///
/// Nothing in here opens a socket, reads a clock or draws entropy: feed it datagrams, commands and
/// instants, then drain [`poll_output`](Self::poll_output) to `None`, then wait for
/// [`poll_timeout`](Self::poll_timeout) and call [`handle_timeout`](Self::handle_timeout).
pub struct Discv4<S: Signer = NodeKey> {
    config: Config,
    signer: S,
    record: Record,
    own: NodeId,
    clock: WallClock,
    rng: Rng,
    table: Table<Contact>,
    statistics: Statistics,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    next_query: u64,
}

impl<S: Signer> Discv4<S> {
    /// A machine of the node whose key `signer` has, with its record. `seed` is its randomness.
    pub fn new(
        config: Config,
        signer: S,
        record: Record,
        seed: [u8; 32],
        _now: Instant,
        clock: WallClock,
    ) -> Self {
        let own = NodeId::from(signer.public_key());
        Self {
            table: Table::new(config.table.clone(), contact::kad_id(own)),
            config,
            signer,
            record,
            own,
            clock,
            rng: Rng::from_seed(seed),
            statistics: Statistics::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            next_query: 0,
        }
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, _now: Instant, _from: SocketAddr, _bytes: &[u8]) {}

    /// Time passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The wall clock may have been set.
    pub fn handle_wall_clock(&mut self, clock: WallClock) {
        self.clock = clock;
    }

    /// Our record changed.
    pub fn set_record(&mut self, _now: Instant, record: Record) {
        self.record = record;
    }

    /// The next datagram to send, or event.
    pub fn poll_output(&mut self) -> Option<Output> {
        let transmit = self.transmits.pop_front().map(Output::Transmit);
        transmit.or_else(|| self.events.pop_front().map(Output::Event))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.poll_timeout()
    }

    /// Looks for the nodes nearest to a target.
    pub fn lookup(&mut self, _now: Instant, _target: Target) -> QueryId {
        self.query()
    }

    /// Looks for the nodes nearest to a random target; at most one starts a second.
    pub fn lookup_random(&mut self, _now: Instant) -> QueryId {
        self.query()
    }

    /// Looks for one node.
    pub fn resolve(&mut self, _now: Instant, _public_key: PublicKey) -> QueryId {
        self.query()
    }

    /// Sends PING.
    pub fn ping(&mut self, _now: Instant, _node: &Node) -> QueryId {
        self.query()
    }

    /// Sends FINDNODE: one hop.
    pub fn find_node(&mut self, _now: Instant, _node: &Node, _target: Target) -> QueryId {
        self.query()
    }

    /// Sends ENRREQUEST.
    pub fn request_enr(&mut self, _now: Instant, _node: &Node) -> QueryId {
        self.query()
    }

    /// Forgets a command: no event of it comes any more.
    pub fn cancel(&mut self, _now: Instant, _query: QueryId) {}

    /// Tells of a node that may be there; it is checked like one that a stranger named.
    pub fn add_node(&mut self, _now: Instant, _node: Node) {}

    /// What an earlier run remembered.
    pub fn add_seeds(&mut self, _now: Instant, _seeds: Vec<Seed>) {}

    /// The table.
    pub const fn table(&self) -> &Table<Contact> {
        &self.table
    }

    /// The nodes of the table, all of them verified, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.table.entries().map(|entry| entry.value().node())
    }

    /// Up to `limit` different nodes of the table, each set of them as likely as any other.
    pub fn random_nodes(&mut self, limit: usize) -> Vec<Node> {
        let Self { table, rng, .. } = self;
        let chosen = table.random_entries(limit, || rng.next_u64());
        chosen.into_iter().map(|entry| entry.value().node().clone()).collect()
    }

    /// What was counted.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether this node has proved that it is there, not too long ago.
    pub fn is_bonded(&self, _now: Instant, _id: NodeId, _endpoint: SocketAddr) -> bool {
        false
    }

    /// Our id.
    pub const fn own_id(&self) -> NodeId {
        self.own
    }

    /// Our record.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    fn query(&mut self) -> QueryId {
        self.next_query = self.next_query.wrapping_add(1);
        QueryId(self.next_query)
    }
}

impl<S: Signer> fmt::Debug for Discv4<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discv4")
            .field("id", &self.own)
            .field("nodes", &self.table.len())
            .finish_non_exhaustive()
    }
}
