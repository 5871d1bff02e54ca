mod answers;
mod asks;
mod bonds;
mod contact;
mod limits;
mod lookups;
mod receive;
mod requests;
mod returning;
mod sending;
mod serving;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeId, NodeKey, PublicKey, Record, Rng, Seed, WallClock};
use devp2p_kad::{Newcomers, Table};

pub use self::contact::Contact;
use self::{
    asks::{Asks, Client, Question},
    bonds::Bonds,
    limits::Limits,
    lookups::{Goal, Lookups},
    requests::{Purpose, Requests},
    sending::SealedQuestions,
    upkeep::{Network, Remembered},
};
use crate::{
    Config, Event, Output, QueryId, RequestError, Statistics, Transmit,
    wire::{Signer, Target},
};

/// Node Discovery v4, without the network.
///
/// Nothing in here opens a socket, reads a clock or draws entropy: feed it datagrams, commands and
/// instants, then drain [`poll_output`](Self::poll_output) to `None`, then wait for
/// [`poll_timeout`](Self::poll_timeout) and call [`handle_timeout`](Self::handle_timeout).
///
/// # What it believes
///
/// A node is where it answered a PING of ours, to the hash, from the endpoint that the PING went
/// to. Only that gives it a place in the table, an answer to FINDNODE or ENRREQUEST, and a mention
/// to others. The proof is of this id at this IP address and port, and holds for 12 hours.
///
/// # What it sends to those who have proved nothing
///
/// - A PING gets a PONG and one PING, which asks for the proof; other questions get nothing.
/// - Nodes that others name are sent PING only, at most one a second for each IP address (of IPv6,
///   each /64), whoever named them and whatever else is said to be there.
///
/// # What it spends on them
///
/// Size, type, hash, data and time are checked first, then rates: strangers share that of their
/// prefix, and every endpoint that is proved has its own. Only then a signature is recovered.
/// Answers count against no rate, but only those to a question that is open there are looked at,
/// and of each question only so many. Everything that is kept has a bound, and what strangers send
/// takes no place from those who have proved themselves. All of it is in [`Config`].
pub struct Discv4<S: Signer = NodeKey> {
    config: Config,
    signer: S,
    record: Record,
    own: NodeId,
    clock: WallClock,
    rng: Rng,
    table: Table<Contact>,
    bonds: Bonds,
    limits: Limits,
    requests: Requests,
    asks: Asks,
    lookups: Lookups,
    sealed: SealedQuestions,
    /// The nodes of which there was an [`Event::NodeVerified`] and no [`Event::NodeRemoved`].
    placed: BTreeSet<NodeId>,
    /// The nodes of the table that are remembered across restarts.
    remembered: BTreeMap<NodeId, Remembered>,
    /// When anybody last answered, by the network where it is.
    answered_at: BTreeMap<Network, Instant>,
    refresh_at: Option<Instant>,
    /// Whether nodes that come to us get places: from the end of the first refresh on.
    takes_newcomers: bool,
    /// Those who came before, and have proved that they are there.
    newcomers: Newcomers<contact::Newcomer>,
    statistics: Statistics,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    next_query: u64,
}

impl<S: Signer> Discv4<S> {
    /// A machine of the node whose key `signer` has, and which `record` describes. `seed` is its
    /// randomness. It has something to do at once: see [`poll_timeout`](Self::poll_timeout).
    pub fn new(
        config: Config,
        signer: S,
        record: Record,
        seed: [u8; 32],
        now: Instant,
        clock: WallClock,
    ) -> Self {
        let own = NodeId::from(signer.public_key());
        let mut rng = Rng::from_seed(seed);
        let mut machine = Self {
            table: Table::new(config.table.clone(), contact::kad_id(own)),
            bonds: Bonds::new(&config),
            limits: Limits::new(&config, &mut rng),
            requests: Requests::new(&config),
            takes_newcomers: !config.newcomers_wait,
            newcomers: Newcomers::new(MAX_NEWCOMERS, MAX_NEWCOMERS_OF_GROUP),
            config,
            signer,
            record,
            own,
            clock,
            rng,
            asks: Asks::default(),
            lookups: Lookups::default(),
            sealed: SealedQuestions::default(),
            placed: BTreeSet::new(),
            remembered: BTreeMap::new(),
            answered_at: BTreeMap::new(),
            refresh_at: Some(now),
            statistics: Statistics::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            next_query: 0,
        };
        machine.pin_bootnodes(now);
        machine
    }

    /// A datagram came. What is wrong with it is counted in the [`Statistics`], and it is dropped.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        match self.receive(now, contact::canonical(from), bytes) {
            Ok(kind) => self.statistics.count_received(kind, bytes.len()),
            Err(cause) => self.statistics.count_dropped(cause),
        }
        self.advance(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(request) = self.requests.due(now) {
            self.handle_request_timeout(now, request);
        }
        while let Some(ask) = self.asks.due(now) {
            self.handle_ask_settled(now, ask);
        }
        self.advance(now);
    }

    /// The wall clock was read again: it may have been set, or the system may have slept. What the
    /// instants do not tell of the time in between, the proofs age by.
    pub fn handle_wall_clock(&mut self, clock: WallClock) {
        let ahead = clock.ahead_of(&self.clock);
        if ahead >= CLOCK_TOLERANCE {
            self.bonds.age(ahead);
        }
        self.clock = clock;
    }

    /// Our record changed. Others are told of its number from now on.
    pub fn set_record(&mut self, record: Record) {
        self.record = record;
    }

    /// The next datagram to send, or else the next event.
    pub fn poll_output(&mut self) -> Option<Output> {
        let transmit = self.transmits.pop_front().map(Output::Transmit);
        transmit.or_else(|| self.events.pop_front().map(Output::Event))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.table.poll_timeout(),
            self.requests.next_deadline(),
            self.asks.next_timer(),
            self.lookups.next_start(self.config.max_lookups.max(1)),
            self.refresh_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Looks for the nodes nearest to a target. Ends in [`Event::LookupDone`], after an
    /// [`Event::LookupNode`] for each node that answered.
    pub fn lookup(&mut self, now: Instant, target: Target) -> QueryId {
        let query = self.query();
        self.queue_lookup(query, target, Goal::Nodes);
        self.advance(now);
        query
    }

    /// Looks for the nodes nearest to a random target, with the same events. One such lookup starts
    /// in a [second](Config::random_lookup_interval) at most; others wait.
    pub fn lookup_random(&mut self, now: Instant) -> QueryId {
        let query = self.query();
        self.queue_random_lookup(query);
        self.advance(now);
        query
    }

    /// Looks for one node, and asks it for its record. Ends in [`Event::Resolved`].
    pub fn resolve(&mut self, now: Instant, public_key: PublicKey) -> QueryId {
        let query = self.query();
        self.start_resolve(now, query, public_key);
        self.advance(now);
        query
    }

    /// Sends PING to a node. Ends in [`Event::Pong`].
    pub fn ping(&mut self, now: Instant, node: &Node) -> QueryId {
        let query = self.query();
        let sent = self.command_contact(node).and_then(|contact| {
            self.check_contact(&contact)?;
            self.send_ping(now, contact, Purpose::Query(query))
        });
        self.tell_failure(query, sent);
        self.advance(now);
        query
    }

    /// Sends FINDNODE to a node, after the proof that it may need: one hop. Ends in
    /// [`Event::Neighbors`].
    pub fn find_node(&mut self, now: Instant, node: &Node, target: Target) -> QueryId {
        self.command(now, node, Question::FindNode(target))
    }

    /// Sends ENRREQUEST to a node, after the proof that it may need. Ends in [`Event::Enr`].
    pub fn request_enr(&mut self, now: Instant, node: &Node) -> QueryId {
        self.command(now, node, Question::Enr)
    }

    /// Forgets a command: no event of it comes any more.
    pub fn cancel(&mut self, now: Instant, query: QueryId) {
        self.lookups.remove(query);
        for ping in self.requests.pings_mut() {
            ping.purposes.retain(|p| !matches!(p, Purpose::Query(q) if *q == query));
        }
        self.cancel_asks(now, query);
        self.events.retain(|event| event.query() != Some(query));
        self.advance(now);
    }

    /// Tells of a node that may be there. It is checked like one that a stranger named.
    pub fn add_node(&mut self, now: Instant, node: Node) {
        if let Some(contact) = self.contact_of(node)
            && self.check_contact(&contact).is_ok()
        {
            // Where it finds no place it is one of the many that we do not keep.
            let _ = self.table.add(now, contact::kad_id(contact.id()), contact);
        }
        self.advance(now);
    }

    /// Tells of one more of the [bootstrap nodes](Config::bootstrap_nodes), whose name was looked up
    /// for example: it is tried at once, and never forgotten. One that is known by its id is from
    /// now on to be found at this address.
    pub fn add_bootstrap_node(&mut self, now: Instant, node: Node) {
        self.pin(now, node);
        self.advance(now);
    }

    /// What an earlier run remembered; best told before anything else.
    pub fn add_seeds(&mut self, now: Instant, seeds: Vec<Seed>) {
        for seed in seeds.into_iter().take(self.config.max_bonds) {
            self.take_seed(now, seed);
            self.handle_changes(now);
        }
        self.advance(now);
    }

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

    /// For whoever wants to meet nodes: all of the table, each order of them as likely as any other,
    /// and then those of `found`, from a lookup, that are not among them.
    ///
    /// Lookups are second because anybody can have ids near to any target, and so be all that they
    /// find; nobody can fill the table whose addresses are in few networks.
    pub fn nodes_to_meet(&mut self, found: Vec<Node>) -> Vec<Node> {
        let mut nodes = self.random_nodes(usize::MAX);
        let mut known: BTreeSet<_> = nodes.iter().map(Node::id).collect();
        nodes.extend(found.into_iter().filter(|node| known.insert(node.id())));
        nodes
    }

    /// What was counted.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether a node has proved that it is at an endpoint, not too long ago.
    pub fn is_bonded(&self, now: Instant, id: NodeId, endpoint: SocketAddr) -> bool {
        self.bonds.is_proven(now, id, contact::canonical(endpoint))
    }

    /// How much is kept at the moment.
    pub fn usage(&self) -> Usage {
        Usage {
            bonds: self.bonds.len(),
            requests: self.requests.len(),
            ping_backs: self.requests.ping_backs(),
            asks: self.asks.len(),
            lookups: self.lookups.len(),
            outputs: self.transmits.len().saturating_add(self.events.len()),
        }
    }

    /// The configuration in force.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Our id.
    pub const fn own_id(&self) -> NodeId {
        self.own
    }

    /// Our record.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    fn command(&mut self, now: Instant, node: &Node, question: Question) -> QueryId {
        let query = self.query();
        let contact = self.command_contact(node);
        let asked = contact
            .and_then(|contact| self.ask(now, contact, question, Client::Query(query), true));
        self.tell_failure(query, asked);
        self.advance(now);
        query
    }

    fn command_contact(&self, node: &Node) -> Result<Contact, RequestError> {
        self.contact_of(node.clone()).ok_or(RequestError::NoEndpoint)
    }

    fn tell_failure(&mut self, query: QueryId, result: Result<(), RequestError>) {
        if let Err(error) = result {
            self.tell(Event::Failed { query, error });
        }
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

/// How much a [`Discv4`] keeps, beside its table. Each of these is bounded by its [`Config`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The proofs; see [`Config::max_bonds`].
    pub bonds: usize,
    /// The requests of our own that wait for an answer; see [`Config::max_requests`].
    pub requests: usize,
    /// The PINGs in answer to PINGs that do; see [`Config::max_ping_backs`].
    pub ping_backs: usize,
    /// What is being asked of others, requests included, except for PINGs; bounded likewise.
    pub asks: usize,
    /// The lookups that run or wait; see [`Config::max_lookups`] and
    /// [`Config::max_waiting_lookups`].
    pub lookups: usize,
    /// The datagrams and events that wait to be polled; see [`Config::max_events`].
    pub outputs: usize,
}

/// Those who wait for the end of the first refresh, and those of one group among them: as many as
/// the table would take of it by default.
const MAX_NEWCOMERS: usize = 256;
const MAX_NEWCOMERS_OF_GROUP: usize = 10;
/// Two readings of the clocks differ by less than this for no reason: it takes time to read them.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(100);

/// What stands for "never" where a configured duration is too long for the clock.
const FAR: Duration = Duration::from_hours(24 * 365);

/// `duration` after `from`; never panics, however long the duration.
fn after(from: Instant, duration: Duration) -> Instant {
    from.checked_add(duration).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}
