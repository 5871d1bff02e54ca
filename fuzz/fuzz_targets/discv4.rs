//! Discovery v4 as a list of what a few nodes, the clocks and the user do: whatever that is, what
//! it keeps is bounded, nobody gets an answer without a proof, and every command ends.
//!
//! The signatures are a stand-in, so that the time goes into the machine. A node may speak from
//! anywhere and answer what it was never asked; one operation has all of them answer honestly, so
//! that lookups get somewhere.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{
    DiscoveryVersion, Host, LanPolicy, Node, NodeId, PublicKey, Record, Seed, WallClock,
};
use devp2p_discv4::{
    Config, Discv4, Event, Output, QueryId, Transmit,
    wire::{
        Datagram, Endpoint, EnrRequest, EnrResponse, FindNode, Hash, MAX_PACKET_SIZE, Neighbor,
        Neighbors, Packet, Ping, Pong, Signer, Target, VERSION,
    },
};
use devp2p_fuzz::{keys::NODES, script::Script};
use libfuzzer_sys::fuzz_target;

/// The operations of one input; more of them make slow runs that find nothing new.
const MAX_STEPS: usize = 100;
/// A machine that is called this often at one moment and still wants to be called has lost its way.
const MAX_CALLS: usize = 64;
/// What the world remembers of what was sent to it.
const MAX_REMEMBERED: usize = 64;

const MAX_BONDS: usize = 12;
const MAX_BONDS_PER_PREFIX: usize = 5;
const MAX_REQUESTS: usize = 16;
const MAX_LOOKUPS: usize = 2;
const MAX_WAITING: usize = 4;
const BOND_EXPIRY: Duration = Duration::from_hours(12);
const HEARSAY_PAUSE: Duration = Duration::from_secs(1);
/// Long enough for every command to end when nobody answers any more.
const PATIENCE: Duration = Duration::from_mins(2);
const START: Duration = Duration::from_secs(1_700_000_000);

/// Ourselves; the others are strangers, but for the bootnode.
const OWN: usize = 0;
const BOOTNODE: usize = 8;
/// Where each node may be.
const PLACES: usize = 4;

/// Two records of each node: at its first and at its second place.
static RECORDS: LazyLock<Vec<[Record; 2]>> = LazyLock::new(|| {
    let record = |node: usize, place: usize| {
        let at = endpoint(node, place);
        let seq = u64::try_from(place).expect("small") + 1;
        let builder = Record::builder().seq(seq).ip(at.ip()).udp(at.port());
        builder.sign(&NODES[node]).expect("a small record")
    };
    (0..NODES.len()).map(|node| [record(node, 0), record(node, 1)]).collect()
});

static IDS: LazyLock<Vec<NodeId>> =
    LazyLock::new(|| NODES.iter().map(devp2p_core::NodeKey::id).collect());

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let mut world = World::new(script.byte());
    for _ in 0..MAX_STEPS {
        if script.is_done() {
            break;
        }
        world.step(&mut script);
        world.settle();
        world.check();
    }
    world.finish();
});

/// One IP address for all, one for each in one network, one for each in a network of its own, and
/// IPv6.
fn endpoint(node: usize, place: usize) -> SocketAddr {
    let number = u16::try_from(node).expect("few nodes");
    let [_, low] = number.to_be_bytes();
    match place {
        0 => ([23, 1, 0, low + 1], 30_303).into(),
        1 => ([23, 2, low, 1], 30_304).into(),
        2 => ([0x2a00, 1, number, 0, 0, 0, 0, 1], 30_303).into(),
        _ => ([23, 3, 0, 1], 3_000 + number).into(),
    }
}

/// Where the machine answers: a mapped address is the IPv4 address in it.
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

/// Who is at an endpoint.
fn node_at(addr: SocketAddr) -> Option<usize> {
    (0..NODES.len()).find(|&node| (0..PLACES).any(|place| endpoint(node, place) == addr))
}

/// The node's number and the digest: anybody could make it, and the world makes none that is wrong.
#[derive(Clone, Copy)]
struct Stamp(usize);

impl Signer for Stamp {
    fn public_key(&self) -> PublicKey {
        NODES[self.0].public_key()
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 65] {
        let mut signature = [0; 65];
        signature[0] = u8::try_from(self.0).expect("few nodes");
        signature[1..33].copy_from_slice(digest);
        signature
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<PublicKey> {
        let node = NODES.get(usize::from(signature[0]))?;
        (signature[1..33] == *digest).then(|| node.public_key())
    }
}

struct World {
    machine: Discv4<Stamp>,
    now: Instant,
    clock: WallClock,
    /// What was sent to whom and not answered yet, the newest last.
    inbox: Vec<(SocketAddr, Packet, Hash)>,
    /// Every PING that was sent, and where to.
    pings: BTreeMap<Hash, SocketAddr>,
    /// Datagrams that were sent to the machine, for a replay.
    past: Vec<(SocketAddr, Bytes, Cause)>,
    /// Who has answered a PING where, or is said to have by a seed, and when.
    proven: BTreeMap<(NodeId, SocketAddr), Instant>,
    /// Where a node that nobody has heard of was last spoken to.
    contacted: BTreeMap<IpAddr, Instant>,
    queries: BTreeSet<QueryId>,
    placed: BTreeSet<NodeId>,
}

/// What a datagram from nowhere may cause to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The machine's own work.
    Itself,
    /// A command of the user, which may name any node.
    User,
    /// A question from there.
    Question(SocketAddr),
}

impl World {
    fn new(seed: u8) -> Self {
        let mut config = Config::default();
        config.bootstrap_nodes = vec![node(BOOTNODE, 0)];
        config.lan_policy = LanPolicy::Limit;
        config.max_bonds = MAX_BONDS;
        config.max_bonds_per_prefix = MAX_BONDS_PER_PREFIX;
        config.max_requests = MAX_REQUESTS;
        config.max_lookups = MAX_LOOKUPS;
        config.max_waiting_lookups = MAX_WAITING;
        config.bond_expiry = BOND_EXPIRY;
        config.remember_checks = 1;
        config.refresh_lookups = 1;
        let now = devp2p_fuzz::start();
        let clock = WallClock::new(now, START);
        let record = RECORDS[OWN][0].clone();
        let mut world = Self {
            machine: Discv4::new(config, Stamp(OWN), record, [seed; 32], now, clock),
            now,
            clock,
            inbox: Vec::new(),
            pings: BTreeMap::new(),
            past: Vec::new(),
            proven: BTreeMap::new(),
            contacted: BTreeMap::new(),
            queries: BTreeSet::new(),
            placed: BTreeSet::new(),
        };
        world.settle();
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.pick(16) {
            0 => self.wait(Duration::from_millis(u64::from(script.short()))),
            1 => self.wait(Duration::from_mins(u64::from(script.short() % 2_000))),
            2 => {
                if let Some(at) = self.machine.poll_timeout() {
                    self.wait(at.saturating_duration_since(self.now));
                }
            }
            3 => {
                let packet = Packet::Ping(Ping {
                    version: VERSION,
                    from: Endpoint { ip: None, udp: 0, tcp: script.short() },
                    to: Endpoint::default(),
                    expiration: self.expiration(script),
                    enr_seq: Some(u64::from(script.byte() % 4)).filter(|&seq| seq < 3),
                });
                self.say(script, &packet);
            }
            4 => {
                let (target, expiration) = (target(script), self.expiration(script));
                self.say(script, &Packet::FindNode(FindNode { target, expiration }));
            }
            5 => {
                let expiration = self.expiration(script);
                self.say(script, &Packet::EnrRequest(EnrRequest { expiration }));
            }
            6 => self.pong(script),
            7 => {
                let nodes = (0..script.pick(14)).map(|_| neighbor(script)).collect();
                let expiration = self.expiration(script);
                self.say(script, &Packet::Neighbors(Neighbors { nodes, expiration }));
            }
            8 => {
                let request_hash = self.some_hash(script);
                let record = match script.byte() {
                    0 => Bytes::from_static(&[0xc0]),
                    _ => self.some_record(script).to_bytes(),
                };
                self.say(script, &Packet::EnrResponse(EnrResponse { request_hash, record }));
            }
            9 => {
                let from = place(script);
                let bytes = script.string();
                self.deliver(from, bytes, Cause::Question(canonical(from)));
            }
            10 => {
                let count = self.past.len();
                if count > 0 {
                    let (from, bytes, cause) = self.past[script.pick(count)].clone();
                    self.deliver(from, &bytes, cause);
                }
            }
            11 | 12 => self.answer_all(),
            13 | 14 => self.command(script),
            _ => {
                // An hour at most.
                let unix = self.clock.unix(self.now) + Duration::from_secs(1_800);
                let unix = unix - Duration::from_secs(u64::from(script.short() % 3_600));
                self.clock = WallClock::new(self.now, unix);
                self.machine.handle_wall_clock(self.clock);
            }
        }
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        let number = script.pick(NODES.len());
        let named = node(number, script.pick(PLACES));
        let query = match script.pick(10) {
            0 => self.machine.lookup(now, target(script)),
            1 => self.machine.lookup_random(now),
            2 => self.machine.resolve(now, named.public_key()),
            3 => self.machine.ping(now, &named),
            4 => self.machine.find_node(now, &named, target(script)),
            5 => self.machine.request_enr(now, &named),
            6 => {
                let count = self.queries.len();
                if count > 0
                    && let Some(&query) = self.queries.iter().nth(script.pick(count))
                {
                    self.queries.remove(&query);
                    self.machine.cancel(now, query);
                }
                return self.drain(Cause::User);
            }
            7 => {
                self.machine.add_node(now, named);
                return self.drain(Cause::Itself);
            }
            8 => {
                let ago = Duration::from_mins(u64::from(script.short() % 1_000));
                let at = self.clock.unix(now).saturating_sub(ago).as_secs();
                let endpoint = named.udp_addr().expect("it has a port");
                let mut seed = Seed::new(named, endpoint, DiscoveryVersion::V4, at);
                seed.last_ping = at * u64::from(script.byte() % 2);
                // As far back as the machine's instants reach.
                if let Some(at) = self.clock.instant(Duration::from_secs(at)) {
                    let proven = self.proven.entry((seed.node.id(), endpoint)).or_insert(at);
                    *proven = at.max(*proven);
                }
                self.machine.add_seeds(now, vec![seed]);
                return self.drain(Cause::Itself);
            }
            _ => {
                let record = RECORDS[OWN][script.pick(2)].clone();
                self.machine.set_record(record);
                return self.drain(Cause::Itself);
            }
        };
        assert!(self.queries.insert(query), "a name for two commands");
        self.drain(Cause::User);
    }

    fn pong(&mut self, script: &mut Script<'_>) {
        let pings: Vec<_> = self
            .inbox
            .iter()
            .filter(|(_, packet, _)| matches!(packet, Packet::Ping(_)))
            .map(|(to, _, hash)| (*to, *hash))
            .collect();
        if pings.is_empty() {
            return;
        }
        let (to, ping_hash) = pings[pings.len() - 1 - script.pick(pings.len())];
        let pong = Packet::Pong(Pong {
            to: Endpoint::new(endpoint(OWN, script.pick(PLACES)), 0),
            ping_hash,
            expiration: self.expiration(script),
            enr_seq: Some(u64::from(script.byte() % 4)).filter(|&seq| seq < 3),
        });
        match (script.byte(), node_at(to)) {
            // Mostly from whom and where it is expected.
            (0..=191, Some(node)) => self.tell(node, to, &pong),
            _ => self.say(script, &pong),
        }
    }

    /// All answer what they were sent, as they should.
    fn answer_all(&mut self) {
        let expiration = self.clock.unix_secs(self.now) + 20;
        for (to, packet, hash) in std::mem::take(&mut self.inbox) {
            let Some(number) = node_at(to) else { continue };
            let place = (0..PLACES).find(|&place| endpoint(number, place) == to).unwrap_or(0);
            match packet {
                Packet::Ping(_) => {
                    let (us, enr_seq) = (Endpoint::new(endpoint(OWN, 0), 0), Some(1));
                    let pong = Pong { to: us, ping_hash: hash, expiration, enr_seq };
                    self.tell(number, to, &Packet::Pong(pong));
                    let from = Endpoint::new(to, 30_303);
                    let ping = Ping { version: VERSION, from, to: us, expiration, enr_seq };
                    self.tell(number, to, &Packet::Ping(ping));
                }
                Packet::FindNode(_) => {
                    let nodes = (1..NODES.len()).map(|node| named(node, place)).collect();
                    self.tell(number, to, &Packet::Neighbors(Neighbors { nodes, expiration }));
                }
                Packet::EnrRequest(_) => {
                    let record = RECORDS[number][place % 2].to_bytes();
                    let response = EnrResponse { request_hash: hash, record };
                    self.tell(number, to, &Packet::EnrResponse(response));
                }
                _ => {}
            }
        }
    }

    /// Somebody says this from somewhere, mostly from where he is.
    fn say(&mut self, script: &mut Script<'_>, packet: &Packet) {
        let node = script.pick(NODES.len());
        let from = match script.byte() {
            choice @ 0..=223 => endpoint(node, usize::from(choice) % PLACES),
            _ => place(script),
        };
        self.tell(node, from, packet);
    }

    fn tell(&mut self, node: usize, from: SocketAddr, packet: &Packet) {
        let Ok(sealed) = packet.seal(&Stamp(node)) else { return };
        let there = canonical(from);
        if let Packet::Pong(pong) = packet {
            // More than the machine will believe, as it may be late, or of another node.
            if self.pings.get(&pong.ping_hash) == Some(&there) {
                self.proven.insert((IDS[node], there), self.now);
            }
        }
        let cause = match packet {
            Packet::Ping(_) | Packet::FindNode(_) | Packet::EnrRequest(_) => Cause::Question(there),
            _ => Cause::Itself,
        };
        if self.past.len() < MAX_REMEMBERED {
            self.past.push((from, sealed.bytes.clone(), cause));
        }
        self.deliver(from, &sealed.bytes, cause);
    }

    fn deliver(&mut self, from: SocketAddr, bytes: &[u8], cause: Cause) {
        let statistics = self.machine.statistics();
        let (before, dropped) = (received(&self.machine), statistics.dropped_total());
        self.machine.handle_datagram(self.now, from, bytes);
        let dropped = self.machine.statistics().dropped_total() - dropped;
        assert_eq!(received(&self.machine) - before + dropped, 1, "every datagram is counted once");
        self.drain(cause);
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// Calls the machine until it has nothing to do at this moment.
    fn settle(&mut self) {
        let mut calls = 0;
        while self.machine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.machine.handle_timeout(self.now);
            self.drain(Cause::Itself);
            calls += 1;
            assert!(calls <= MAX_CALLS, "it asks for a time that has passed, again and again");
        }
    }

    fn drain(&mut self, cause: Cause) {
        let mut to_sender = 0;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Event(event) => self.handle_event(event),
                Output::Transmit(transmit) => {
                    to_sender += usize::from(cause == Cause::Question(transmit.to));
                    self.handle_transmit(&transmit, cause);
                }
                _ => {}
            }
        }
        if let Cause::Question(from) = cause
            && !self.is_any_proven(from)
        {
            assert!(to_sender <= 2, "more than a PONG and a PING to one who proved nothing");
        }
        assert_eq!(self.machine.usage().outputs, 0);
    }

    fn handle_transmit(&mut self, Transmit { to, bytes }: &Transmit, cause: Cause) {
        assert!(bytes.len() <= MAX_PACKET_SIZE);
        let datagram = Datagram::parse(bytes).expect("what it sends can be read");
        assert!(!to.ip().is_unspecified() && to.port() != 0);
        let packet = datagram.packet().expect("what it sends can be read");
        match packet {
            Packet::Neighbors(_) | Packet::EnrResponse(_) => {
                assert!(self.is_any_proven(*to), "an answer to one who proved nothing: {packet:?}");
            }
            Packet::Ping(_) => {
                self.pings.insert(datagram.hash(), *to);
                if cause != Cause::User && cause != Cause::Question(*to) {
                    self.check_contact(*to);
                }
            }
            _ => {}
        }
        if self.inbox.len() >= MAX_REMEMBERED {
            self.inbox.remove(0);
        }
        self.inbox.push((*to, packet, datagram.hash()));
    }

    /// Nobody who never answered there is spoken to twice a second at one address, except for
    /// bootnodes.
    fn check_contact(&mut self, to: SocketAddr) {
        let was_there = self.proven.keys().any(|&(_, at)| at == to);
        if was_there || to == endpoint(BOOTNODE, 0) {
            return;
        }
        let last = self.contacted.insert(to.ip(), self.now);
        let ago = last.map(|at| self.now - at);
        assert!(ago.is_none_or(|ago| ago >= HEARSAY_PAUSE), "{to} was spoken to {ago:?} ago");
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Enr { query, .. }
            | Event::Failed { query, .. }
            | Event::LookupDone { query, .. }
            | Event::Neighbors { query, .. }
            | Event::Pong { query, .. }
            | Event::Resolved { query, .. } => {
                assert!(self.queries.remove(&query), "the second end of a command");
            }
            Event::LookupNode { query, .. } => {
                assert!(self.queries.contains(&query), "a node of a command that has ended");
            }
            Event::NodeVerified(node) => {
                assert!(node.id() != IDS[OWN]);
                self.placed.insert(node.id());
            }
            Event::NodeRemoved(node) => {
                assert!(self.placed.remove(&node.id()), "it had no place");
            }
            Event::Remember(seed) => {
                assert!(self.proven.contains_key(&(seed.node.id(), seed.endpoint)));
            }
            _ => {}
        }
    }

    fn check(&self) {
        let usage = self.machine.usage();
        assert!(usage.bonds <= MAX_BONDS, "{usage:?}");
        assert!(usage.requests <= MAX_REQUESTS, "{usage:?}");
        assert!(usage.asks <= MAX_REQUESTS, "{usage:?}");
        // A refresh waits beyond the bound: two for our own id, and a few more.
        let refresh = 2 + self.machine.config().refresh_lookups;
        assert!(usage.lookups <= MAX_LOOKUPS + MAX_WAITING + refresh, "{usage:?}");
        let statistics = self.machine.statistics();
        assert_eq!((statistics.events_lost, statistics.transmits_lost), (0, 0));

        let mut in_table = BTreeSet::new();
        for entry in self.machine.table().entries() {
            let (id, at) = (entry.value().node().id(), entry.value().endpoint());
            assert!(id != IDS[OWN], "we are in our own table");
            assert!(self.proven.contains_key(&(id, at)), "{id} never was at {at}");
            assert!(in_table.insert(id), "{id} is in the table twice");
        }
        assert_eq!(in_table, self.placed, "the events tell what is in the table");
        for (node, place) in (0..NODES.len()).flat_map(|n| (0..PLACES).map(move |p| (n, p))) {
            let (id, at) = (IDS[node], endpoint(node, place));
            if self.machine.is_bonded(self.now, id, at) {
                assert!(self.is_proven(id, at), "{id} at {at} is believed without a proof");
            }
        }
    }

    /// Without another word from anybody all commands end.
    fn finish(mut self) {
        let end = self.now + PATIENCE;
        while !self.queries.is_empty()
            && let Some(at) = self.machine.poll_timeout()
            && at <= end
        {
            self.now = at.max(self.now);
            self.settle();
            self.inbox.clear();
        }
        assert!(self.queries.is_empty(), "{:?} never end", self.queries);
        self.check();
    }

    fn is_proven(&self, id: NodeId, at: SocketAddr) -> bool {
        let age = self.proven.get(&(id, at)).map(|&at| self.now.saturating_duration_since(at));
        // A replay can be believed a moment after the first time it came.
        age.is_some_and(|age| age < BOND_EXPIRY + Duration::from_secs(1))
    }

    fn is_any_proven(&self, at: SocketAddr) -> bool {
        self.proven.keys().any(|&(id, there)| there == at && self.is_proven(id, there))
    }

    /// Mostly to come.
    fn expiration(&self, script: &mut Script<'_>) -> u64 {
        let unix = self.clock.unix_secs(self.now);
        match script.byte() {
            0 => u64::MAX,
            1 => 0,
            2..=9 => unix,
            _ => unix + 20,
        }
    }

    fn some_hash(&self, script: &mut Script<'_>) -> Hash {
        match self.inbox.len() {
            0 => [0; 32],
            count => self.inbox[count - 1 - script.pick(count)].2,
        }
    }

    fn some_record(&self, script: &mut Script<'_>) -> &'static Record {
        &RECORDS[script.pick(NODES.len())][script.pick(2)]
    }
}

fn received(machine: &Discv4<Stamp>) -> u64 {
    let kinds = devp2p_discv4::wire::PacketKind::ALL;
    kinds.iter().map(|&kind| machine.statistics().received(kind).packets).sum()
}

fn node(number: usize, place: usize) -> Node {
    let at = endpoint(number, place);
    Node::new(NODES[number].public_key(), Some(Host::Ip(at.ip())), 30_303, at.port())
}

fn named(number: usize, place: usize) -> Neighbor {
    let at = endpoint(number, place);
    Neighbor { ip: at.ip(), udp: at.port(), tcp: 30_303, public_key: NODES[number].public_key() }
}

/// Somewhere, perhaps where nobody can be.
fn place(script: &mut Script<'_>) -> SocketAddr {
    match script.pick(8) {
        0 => ([0, 0, 0, 0], 30_303).into(),
        1 => ([127, 0, 0, 1], 30_303).into(),
        2 => ([224, 0, 0, 1], 30_303).into(),
        3 => ([23, 4, 0, 1], 53).into(),
        4 => ([0, 0, 0, 0, 0, 0xffff, 0x1701, 0x0002], 30_303).into(),
        _ => endpoint(script.pick(NODES.len()), script.pick(PLACES)),
    }
}

fn neighbor(script: &mut Script<'_>) -> Neighbor {
    let number = script.pick(NODES.len());
    let at = match script.byte() {
        choice @ 0..=191 => endpoint(number, usize::from(choice) % PLACES),
        _ => place(script),
    };
    Neighbor { ip: at.ip(), udp: at.port(), tcp: 0, public_key: NODES[number].public_key() }
}

fn target(script: &mut Script<'_>) -> Target {
    match script.byte() {
        choice @ 0..=127 => NODES[usize::from(choice) % NODES.len()].public_key().into(),
        choice => Target::new([choice; 64]),
    }
}
