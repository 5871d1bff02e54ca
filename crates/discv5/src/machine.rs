mod answers;
mod challenges;
mod contact;
mod handshakes;
mod limits;
mod lookups;
mod newcomers;
mod peer;
mod purpose;
mod receive;
mod records;
mod requests;
mod sending;
mod serving;
mod sessions;
mod talks;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use devp2p_core::{Node, NodeId, NodeKey, RateLimiter, Record, Rng, Seed, Transmit, WallClock};
use devp2p_kad::Table;

use self::{
    challenges::Challenges,
    limits::Limits,
    lookups::Lookups,
    newcomers::Newcomers,
    purpose::Purpose,
    records::Records,
    requests::{Ask, Requests},
    sessions::Sessions,
    talks::Talks,
    upkeep::{Network, Remembered},
};
pub use self::{contact::Contact, lookups::Predicate, peer::Peer};
use crate::{
    Config, Event, Output, QueryId, RequestError, RespondError, Statistics, TalkId,
    crypto::Identity, wire::Masking,
};

/// Node Discovery v5, without the network.
///
/// Nothing in here opens a socket, reads a clock or draws entropy: feed it datagrams, commands and
/// instants, then drain [`poll_output`](Self::poll_output) to `None`, then wait for
/// [`poll_timeout`](Self::poll_timeout) and call [`handle_timeout`](Self::handle_timeout).
///
/// # What it believes
///
/// Who shares keys with us after a handshake is who it says, at the endpoint that the handshake
/// came from or went to. One bad packet changes nothing about that: keys stay until others have
/// proved themselves. A node is in the table, and is told to others, once it answered a request of
/// ours there.
///
/// # What it sends to those who have proved nothing
///
/// One WHOAREYOU for a packet that cannot be opened, which is smaller than the packet; the same
/// again for a second one within a second.
///
/// # What it spends on them
///
/// The header is unmasked first; what is not for us ends there. What claims to be of a session
/// costs one or two attempts to open it. What nothing opens is answered at the rate of its prefix,
/// and what is kept of its sender is in a table whose size never changes. Of handshakes only those
/// are looked at that a WHOAREYOU is open for, one for each, at most so many a second. All of it is
/// in [`Config`].
pub struct Discv5<I: Identity = NodeKey> {
    config: Config,
    identity: I,
    record: Record,
    own: NodeId,
    /// Of what comes in.
    masking: Masking,
    clock: WallClock,
    rng: Rng,

    // The packets.
    sessions: Sessions,
    challenges: Challenges,
    limits: Limits,
    requests: Requests,
    talks: Talks,
    /// The protocols whose TALKREQs the user answers.
    protocols: BTreeSet<Bytes>,
    /// Where messages are written before they are sealed.
    scratch: BytesMut,

    // The nodes.
    table: Table<Contact>,
    lookups: Lookups,
    records: Records,
    newcomers: Newcomers,
    /// The packets to addresses that are known only from others.
    hearsay: RateLimiter,
    /// The nodes of which there was an [`Event::NodeVerified`] and no [`Event::NodeRemoved`].
    placed: BTreeSet<NodeId>,
    /// The nodes of the table that are remembered across restarts.
    remembered: BTreeMap<NodeId, Remembered>,
    /// When anybody last answered, by the network where it is.
    answered_at: BTreeMap<Network, Instant>,
    refresh_at: Option<Instant>,
    /// Whether nodes that come to us get places: from the end of the first refresh on.
    takes_newcomers: bool,

    statistics: Statistics,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    next_query: u64,
}

impl<I: Identity> Discv5<I> {
    /// A machine of the node whose key `identity` has, and which `record` describes. `seed` is its
    /// randomness. It has something to do at once: see [`poll_timeout`](Self::poll_timeout).
    pub fn new(
        config: Config,
        identity: I,
        record: Record,
        seed: [u8; 32],
        now: Instant,
        clock: WallClock,
    ) -> Self {
        let own = NodeId::from(identity.public_key());
        let mut rng = Rng::from_seed(seed);
        let mut machine = Self {
            masking: Masking::new(own, config.protocol),
            sessions: Sessions::new(own, config.max_sessions),
            challenges: Challenges::new(&config, &mut rng),
            limits: Limits::new(&config, &mut rng),
            requests: Requests::new(&config, &mut rng),
            talks: Talks::new(&config),
            protocols: BTreeSet::new(),
            scratch: BytesMut::new(),
            table: Table::new(config.table.clone(), contact::kad_id(own)),
            lookups: Lookups::default(),
            records: Records::new(config.max_records),
            newcomers: Newcomers::default(),
            hearsay: RateLimiter::new(config.hearsay_rate, config.rate_keys, &mut rng),
            placed: BTreeSet::new(),
            remembered: BTreeMap::new(),
            answered_at: BTreeMap::new(),
            refresh_at: Some(now),
            takes_newcomers: !config.newcomers_wait,
            config,
            identity,
            record,
            own,
            clock,
            rng,
            statistics: Statistics::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            next_query: 0,
        };
        for node in machine.config.bootstrap_nodes.clone() {
            machine.pin(now, node);
        }
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
        while let Some(talk) = self.talks.due(now) {
            self.handle_talk_timeout(talk);
        }
        self.advance(now);
    }

    /// The wall clock was read again: it may have been set, or the system may have slept.
    pub fn handle_wall_clock(&mut self, clock: WallClock) {
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
            self.requests.next_deadline(),
            self.talks.next_deadline(),
            self.lookups.next_start(self.config.max_lookups.max(1)),
            self.next_upkeep(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Looks for the nodes nearest to a target. Ends in [`Event::LookupDone`], after an
    /// [`Event::LookupNode`] for each node that answered.
    pub fn lookup(&mut self, now: Instant, target: NodeId) -> QueryId {
        let query = self.query();
        self.queue_lookup(query, target, None);
        self.advance(now);
        query
    }

    /// The same, but only nodes count whose records `predicate` chooses, and it is over when there
    /// are `limit` of them.
    pub fn lookup_where(
        &mut self,
        now: Instant,
        target: NodeId,
        limit: usize,
        predicate: Predicate,
    ) -> QueryId {
        let query = self.query();
        self.queue_lookup(query, target, Some((limit, predicate)));
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

    /// Looks for one node, and its newest record. Ends in [`Event::Resolved`].
    pub fn resolve(&mut self, now: Instant, id: NodeId) -> QueryId {
        let query = self.query();
        self.start_resolve(now, query, id);
        self.advance(now);
        query
    }

    /// Sends PING to a node. Ends in [`Event::Pong`].
    pub fn ping(&mut self, now: Instant, node: &Node) -> QueryId {
        self.command(now, node, Ask::Ping, Purpose::Query)
    }

    /// Asks a node whom it knows at these logarithmic distances from itself: one hop. Ends in
    /// [`Event::Nodes`].
    pub fn find_node(&mut self, now: Instant, node: &Node, distances: Vec<u16>) -> QueryId {
        self.command(now, node, Ask::FindNode(distances), Purpose::Query)
    }

    /// Sends a request of another protocol to a node. Ends in [`Event::TalkResponse`].
    pub fn talk(&mut self, now: Instant, node: &Node, protocol: Bytes, request: Bytes) -> QueryId {
        self.command(now, node, Ask::Talk { protocol, request }, Purpose::Query)
    }

    /// Asks a node for its record. Ends in [`Event::Enr`].
    pub fn request_enr(&mut self, now: Instant, node: &Node) -> QueryId {
        self.command(now, node, Ask::FindNode(vec![0]), Purpose::Enr)
    }

    /// Forgets a command: no event of it comes any more.
    pub fn cancel(&mut self, now: Instant, query: QueryId) {
        self.cancel_lookup(query);
        self.cancel_requests(query);
        self.events.retain(|event| event.query() != Some(query));
        self.advance(now);
    }

    /// From now on TALKREQs of this protocol are told, in [`Event::TalkRequest`].
    pub fn register_talk(&mut self, protocol: Bytes) {
        self.protocols.insert(protocol);
    }

    /// From now on TALKREQs of this protocol are answered with nothing. Whether it was registered.
    pub fn unregister_talk(&mut self, protocol: &[u8]) -> bool {
        self.protocols.remove(protocol)
    }

    /// Answers a TALKREQ.
    ///
    /// # Errors
    /// All of [`RespondError`].
    pub fn respond(
        &mut self,
        now: Instant,
        talk: TalkId,
        response: Bytes,
    ) -> Result<(), RespondError> {
        let responded = self.send_talk_response(talk, response);
        self.advance(now);
        responded
    }

    /// Tells of a node that may be there. It is checked like one that a stranger named.
    pub fn add_node(&mut self, now: Instant, node: Node) {
        self.take_hearsay(now, node);
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
        for seed in seeds.into_iter().take(self.config.max_records) {
            self.take_seed(now, seed);
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

    /// Whether keys are shared with a node at an endpoint.
    pub fn has_session(&self, id: NodeId, endpoint: SocketAddr) -> bool {
        self.sessions.contains(&Peer { id, endpoint: contact::canonical(endpoint) })
    }

    /// How much is kept at the moment.
    pub fn usage(&self) -> Usage {
        Usage {
            sessions: self.sessions.len(),
            requests: self.requests.len(),
            talks: self.talks.len(),
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

    /// Whether a datagram is one of this protocol to us, by its header.
    pub fn claims(&self, bytes: &[u8]) -> bool {
        self.masking.peek(bytes).is_ok()
    }

    fn command(
        &mut self,
        now: Instant,
        node: &Node,
        ask: Ask,
        purpose: impl FnOnce(QueryId) -> Purpose,
    ) -> QueryId {
        let query = self.query();
        let asked = match self.command_endpoint(node) {
            Some(endpoint) => self.request(now, node, endpoint, ask, purpose(query)),
            None => Err(RequestError::NoEndpoint),
        };
        if let Err(error) = asked {
            self.tell(Event::Failed { query, error });
        }
        self.advance(now);
        query
    }

    /// Where a node is spoken to that the user named.
    fn command_endpoint(&self, node: &Node) -> Option<SocketAddr> {
        node.udp_addr().map(contact::canonical)
    }

    const fn query(&mut self) -> QueryId {
        self.next_query = self.next_query.wrapping_add(1);
        QueryId(self.next_query)
    }
}

impl<I: Identity> fmt::Debug for Discv5<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discv5")
            .field("id", &self.own)
            .field("nodes", &self.table.len())
            .finish_non_exhaustive()
    }
}

/// How much a [`Discv5`] keeps, beside its table. Each of these is bounded by its [`Config`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The sessions; see [`Config::max_sessions`].
    pub sessions: usize,
    /// The requests of our own that wait for an answer; see [`Config::max_requests`].
    pub requests: usize,
    /// The TALKREQs that wait for the user's answer; see [`Config::max_talks`].
    pub talks: usize,
    /// The lookups that run or wait; see [`Config::max_lookups`] and
    /// [`Config::max_waiting_lookups`].
    pub lookups: usize,
    /// The datagrams and events that wait to be polled; see [`Config::max_events`].
    pub outputs: usize,
}

/// What stands for "never" where a configured duration is too long for the clock.
const FAR: Duration = Duration::from_hours(24 * 365);

/// `duration` after `from`; never panics, however long the duration.
fn after(from: Instant, duration: Duration) -> Instant {
    from.checked_add(duration).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}
