//! Discovery v5 as a list of what the network, the clock and the users do: two machines that talk
//! to each other over a network that loses, repeats, damages and moves their packets, and a few
//! strangers who may say anything in their sessions. Whatever that is, what a machine keeps is
//! bounded, nobody is in a table but where he answered, and every command ends.
//!
//! The signatures and key agreements are a stand-in, so that the time goes into the machines.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{LanPolicy, Node, NodeId, PublicKey, Record, Rng, WallClock};
use devp2p_discv5::{
    Config, Discv5, Event, Output, QueryId, TalkId, Transmit,
    crypto::{Identity, SharedSecret},
    handshake::{Challenge, Initiator, Unconfirmed},
    message::{Body, FindNode, Message, Nodes, Ping, Pong, RequestId, TalkRequest, TalkResponse},
    session::Session,
    wire::{MAX_PACKET_SIZE, MIN_PACKET_SIZE, Masking, Nonce, Packet, ProtocolId, WhoAreYou},
};
use devp2p_fuzz::{keys::NODES, script::Script};
use libfuzzer_sys::fuzz_target;

/// The operations of one input; more of them make slow runs that find nothing new.
const MAX_STEPS: usize = 80;
/// A machine that is called this often at one moment and still wants to be called has lost its way.
const MAX_CALLS: usize = 64;
/// The packets that are under way; more are lost.
const MAX_IN_FLIGHT: usize = 64;
/// How often all that is under way arrives in one operation.
const MAX_HOPS: usize = 8;
/// The requests that a stranger has not answered.
const MAX_ASKED: usize = 8;
/// The first nodes are the machines, the others are strangers, and the last is a bootnode.
const MACHINES: usize = 2;
const BOOTNODE: usize = 8;
/// Long enough for every command to end when nobody answers any more.
const PATIENCE: Duration = Duration::from_mins(2);
const START: Duration = Duration::from_secs(1_700_000_000);
const TALK: &[u8] = b"talk";

/// Two records of each node: where it is, and where it is not.
static RECORDS: LazyLock<Vec<[Record; 2]>> = LazyLock::new(|| {
    let record = |node: usize, seq: u64, at: SocketAddr| {
        let builder = Record::builder().seq(seq).ip(at.ip()).udp(at.port());
        builder.sign(&NODES[node]).expect("a small record")
    };
    let nodes = 0..NODES.len();
    nodes.map(|node| [record(node, 1, endpoint(node)), record(node, 2, elsewhere(node))]).collect()
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

/// Two nodes in each network.
fn endpoint(node: usize) -> SocketAddr {
    let number = u8::try_from(node).expect("few nodes");
    ([23, number / 2, 0, number], 30_303).into()
}

fn elsewhere(node: usize) -> SocketAddr {
    let number = u8::try_from(node).expect("few nodes");
    ([24, number, 0, 1], 30_304).into()
}

fn masking(node: usize) -> Masking {
    Masking::new(IDS[node], ProtocolId::default())
}

/// The node's number and the digest: anybody could make it, and the world makes none that is wrong.
/// A shared secret is what the initiator chose, with the recipient's key.
#[derive(Clone, Copy)]
struct Stamp(usize);

impl Stamp {
    fn secret(ephemeral_key: &[u8; 33], recipient: &PublicKey) -> SharedSecret {
        let mut secret = recipient.to_compressed();
        secret.iter_mut().zip(ephemeral_key).for_each(|(byte, other)| *byte ^= other);
        SharedSecret::from_bytes(&secret)
    }
}

impl Identity for Stamp {
    fn public_key(&self) -> PublicKey {
        NODES[self.0].public_key()
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature[0] = u8::try_from(self.0).expect("few nodes");
        signature[1..33].copy_from_slice(digest);
        signature
    }

    fn verify(&self, signer: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        let node = NODES.get(usize::from(signature[0]));
        node.is_some_and(|node| node.public_key() == *signer) && signature[1..33] == *digest
    }

    fn agree(&self, ephemeral_key: &[u8; 33]) -> Option<SharedSecret> {
        // Half of what could be keys are none.
        (ephemeral_key[0] < 0x80).then(|| Self::secret(ephemeral_key, &self.public_key()))
    }

    fn ephemeral(&self, remote: &PublicKey, rng: &mut Rng) -> ([u8; 33], SharedSecret) {
        let mut key = [2; 33];
        rng.fill(&mut key[1..]);
        (key, Self::secret(&key, remote))
    }
}

#[derive(Clone)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Bytes,
}

/// What a stranger has of a machine.
#[derive(Default)]
struct Acquaintance {
    whoareyou: Option<WhoAreYou>,
    challenge: Option<Challenge>,
    unopened: Option<Nonce>,
    unconfirmed: Option<Unconfirmed>,
    session: Option<Session>,
    asked: Vec<Message>,
}

struct Peer {
    machine: Discv5<Stamp>,
    queries: BTreeSet<QueryId>,
    talks: Vec<TalkId>,
    placed: BTreeSet<NodeId>,
}

struct World {
    peers: Vec<Peer>,
    /// By stranger and machine.
    strangers: BTreeMap<(usize, usize), Acquaintance>,
    in_flight: Vec<Datagram>,
    now: Instant,
    rng: Rng,
}

impl World {
    fn new(seed: u8) -> Self {
        let now = devp2p_fuzz::start();
        let clock = WallClock::new(now, START);
        let peer = |number: usize| {
            let (mut config, record) = (config(), RECORDS[number][0].clone());
            config.bootstrap_nodes = vec![Node::from_record(RECORDS[BOOTNODE][0].clone())];
            let seed = [seed ^ u8::try_from(number).expect("few"); 32];
            let mut machine = Discv5::new(config, Stamp(number), record, seed, now, clock);
            machine.register_talk(Bytes::from_static(TALK));
            let (queries, talks, placed) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
            Peer { machine, queries, talks, placed }
        };
        let pairs = (MACHINES..NODES.len()).flat_map(|s| (0..MACHINES).map(move |m| (s, m)));
        let mut world = Self {
            peers: (0..MACHINES).map(peer).collect(),
            strangers: pairs.map(|pair| (pair, Acquaintance::default())).collect(),
            in_flight: Vec::new(),
            now,
            rng: Rng::from_seed([seed; 32]),
        };
        world.settle();
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.pick(16) {
            0 => self.now += Duration::from_millis(u64::from(script.short() % 2_000)),
            1 => self.now += Duration::from_mins(u64::from(script.byte())),
            2 => {
                let machine = script.pick(MACHINES);
                if let Some(at) = self.peers[machine].machine.poll_timeout() {
                    self.now = at.max(self.now);
                }
            }
            3 => self.network(script),
            4 | 5 => self.deliver_all(),
            6 => {
                let (stranger, machine) = some_pair(script);
                let size = usize::from(script.short() % 1_300);
                let to = masking(machine);
                let (_, bytes) = to.random_packet_like(IDS[stranger], size, &mut self.rng);
                self.send(stranger, machine, bytes);
            }
            7 => self.handshake(script),
            8 => self.challenge(script),
            9 => self.serve(),
            10 => {
                let (stranger, machine) = some_pair(script);
                let message = self.message(script, stranger, machine);
                self.say(stranger, machine, &message);
            }
            11 => {
                let (stranger, machine) = some_pair(script);
                let message = script.string();
                self.say(stranger, machine, message);
            }
            12 => {
                let (from, machine) = (some_endpoint(script), script.pick(MACHINES));
                let bytes = script.string();
                self.receive(machine, from, bytes);
            }
            13 => self.respond(script),
            _ => self.command(script),
        }
    }

    /// What becomes of one packet that is under way.
    fn network(&mut self, script: &mut Script<'_>) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = script.pick(self.in_flight.len());
        match script.pick(6) {
            0 => drop(self.in_flight.remove(at)),
            1 => self.in_flight.push(self.in_flight[at].clone()),
            2 => {
                let datagram = &mut self.in_flight[at];
                let mut bytes = datagram.bytes.to_vec();
                // Of one that was cut, nothing may be left.
                let position = usize::from(script.short()) % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= script.byte();
                }
                datagram.bytes = bytes.into();
            }
            3 => self.in_flight[at].from = some_endpoint(script),
            4 => {
                let datagram = &mut self.in_flight[at];
                let size = usize::from(script.short()) % datagram.bytes.len().max(1);
                datagram.bytes.truncate(size);
            }
            _ => {
                let datagram = self.in_flight.remove(at);
                self.deliver(&datagram);
            }
        }
    }

    fn deliver_all(&mut self) {
        for _ in 0..MAX_HOPS {
            for datagram in std::mem::take(&mut self.in_flight) {
                self.deliver(&datagram);
            }
        }
    }

    fn deliver(&mut self, datagram: &Datagram) {
        let at = (0..NODES.len()).find(|&node| endpoint(node) == datagram.to);
        match at {
            Some(machine) if machine < MACHINES => {
                self.receive(machine, datagram.from, &datagram.bytes);
            }
            Some(stranger) => self.read(stranger, datagram),
            None => {}
        }
    }

    fn receive(&mut self, machine: usize, from: SocketAddr, bytes: &[u8]) {
        let peer = &mut self.peers[machine].machine;
        let before = counted(peer);
        peer.handle_datagram(self.now, from, bytes);
        assert_eq!(counted(peer) - before, 1, "every datagram is counted once");
        self.drain(machine);
    }

    /// A stranger reads what it got, if it is from a machine.
    fn read(&mut self, stranger: usize, datagram: &Datagram) {
        let Some(machine) = (0..MACHINES).find(|&node| endpoint(node) == datagram.from) else {
            return;
        };
        let known = self.strangers.get_mut(&(stranger, machine)).expect("all pairs");
        let message = match masking(stranger).decode(&datagram.bytes) {
            Ok(Packet::WhoAreYou(whoareyou)) => {
                known.whoareyou = Some(whoareyou);
                return;
            }
            Ok(Packet::Handshake(packet)) => {
                let accepted = known.challenge.take().map(|c| c.accept(&Stamp(stranger), &packet));
                let Some(Ok(accepted)) = accepted else { return };
                known.session = Some(accepted.session);
                accepted.message
            }
            Ok(Packet::Ordinary(packet)) => {
                let opened = known.session.as_ref().and_then(|session| session.open(&packet));
                match (opened, known.unconfirmed.take()) {
                    (Some(message), unconfirmed) => {
                        known.unconfirmed = unconfirmed;
                        message
                    }
                    (None, None) => {
                        known.unopened = Some(packet.nonce());
                        return;
                    }
                    (None, Some(unconfirmed)) => match unconfirmed.confirm(&packet) {
                        Ok((session, message)) => {
                            known.session = Some(session);
                            message
                        }
                        Err(unconfirmed) => {
                            known.unconfirmed = Some(unconfirmed);
                            known.unopened = Some(packet.nonce());
                            return;
                        }
                    },
                }
            }
            // Damaged.
            Err(_) => return,
        };
        let message = Message::decode(&message).expect("what is sealed can be read");
        if message.kind().is_request() && known.asked.len() < MAX_ASKED {
            known.asked.push(message);
        }
    }

    /// A stranger answers a WHOAREYOU, with any of its records or another's.
    fn handshake(&mut self, script: &mut Script<'_>) {
        let (stranger, machine) = some_pair(script);
        let owner = if script.pick(8) == 7 { some_stranger(script) } else { stranger };
        let record = &RECORDS[owner][script.pick(2)];
        let message = self.message(script, stranger, machine);
        let known = self.strangers.get_mut(&(stranger, machine)).expect("all pairs");
        let Some(whoareyou) = known.whoareyou else { return };
        let remote = NODES[machine].public_key();
        let initiator = Initiator::new(&Stamp(stranger), record, remote, &whoareyou, &mut self.rng);
        let sealed = initiator.seal(&masking(machine), &message, &mut self.rng);
        let Ok((bytes, unconfirmed)) = sealed else { return };
        known.unconfirmed = Some(unconfirmed);
        self.send(stranger, machine, bytes);
    }

    /// A stranger asks who sent what it cannot open, or anything else.
    fn challenge(&mut self, script: &mut Script<'_>) {
        let (stranger, machine) = some_pair(script);
        let known = self.strangers.get_mut(&(stranger, machine)).expect("all pairs");
        let nonce = known.unopened.unwrap_or_else(|| Nonce::new([script.byte(); 12]));
        let record = Some(RECORDS[machine][0].clone()).filter(|_| script.pick(2) == 1);
        let protocol = ProtocolId::default();
        let challenge = Challenge::new(protocol, IDS[machine], nonce, record, &mut self.rng);
        let bytes = challenge.encode(&masking(machine));
        known.challenge = Some(challenge);
        self.send(stranger, machine, Bytes::copy_from_slice(&bytes));
    }

    /// All strangers do what they should, once.
    fn serve(&mut self) {
        for ((stranger, machine), known) in &mut self.strangers {
            let (stranger, machine) = (*stranger, *machine);
            let mut send = |bytes: Bytes| {
                let (from, to) = (endpoint(stranger), endpoint(machine));
                self.in_flight.push(Datagram { from, to, bytes });
            };
            if let Some(nonce) = known.unopened.take() {
                let (protocol, id) = (ProtocolId::default(), IDS[machine]);
                let challenge = Challenge::new(protocol, id, nonce, None, &mut self.rng);
                send(Bytes::copy_from_slice(&challenge.encode(&masking(machine))));
                known.challenge = Some(challenge);
            }
            let Some(session) = &mut known.session else { continue };
            for request in std::mem::take(&mut known.asked) {
                let records = || RECORDS.iter().skip(MACHINES).map(|records| records[0].to_bytes());
                let body = match request.body {
                    Body::Ping(_) => pong(endpoint(machine)),
                    Body::FindNode(asked) if asked.distances == [0] => {
                        Body::Nodes(Nodes { total: 1, records: records().take(1).collect() })
                    }
                    Body::FindNode(_) => {
                        Body::Nodes(Nodes { total: 1, records: records().collect() })
                    }
                    _ => Body::TalkResponse(TalkResponse { response: Bytes::new() }),
                };
                let answer = Message { request_id: request.request_id, body };
                let answer = answer.to_bytes().expect("records are lists");
                let to = masking(machine);
                if let Ok(bytes) = session.seal(&to, IDS[stranger], &answer, &mut self.rng) {
                    send(bytes);
                }
            }
        }
    }

    /// A message of any kind, in answer to something perhaps.
    fn message(&mut self, script: &mut Script<'_>, stranger: usize, machine: usize) -> Bytes {
        let known = self.strangers.get_mut(&(stranger, machine)).expect("all pairs");
        let request_id = match known.asked.len() {
            count if count > 0 && script.pick(4) > 0 => known.asked[script.pick(count)].request_id,
            _ => RequestId::from(u64::from(script.byte())),
        };
        let body = match script.pick(8) {
            0 => Body::Ping(Ping { enr_seq: u64::from(script.byte() % 4) }),
            1 => pong(some_endpoint(script)),
            2 => {
                let count = script.pick(6);
                let distances = (0..count).map(|_| 256 - u16::from(script.byte())).collect();
                Body::FindNode(FindNode { distances })
            }
            3 => Body::FindNode(FindNode { distances: vec![0] }),
            4 | 5 => {
                let (total, count) = (u64::from(script.byte() % 20), script.pick(10));
                Body::Nodes(Nodes { total, records: (0..count).map(|_| record(script)).collect() })
            }
            6 => {
                let protocol = Bytes::from_static(if script.pick(4) > 0 { TALK } else { b"?" });
                let request = Bytes::copy_from_slice(script.string());
                Body::TalkRequest(TalkRequest { protocol, request })
            }
            _ => {
                let response = Bytes::copy_from_slice(script.string());
                Body::TalkResponse(TalkResponse { response })
            }
        };
        Message { request_id, body }.to_bytes().expect("records are lists")
    }

    /// A stranger says something in its session.
    fn say(&mut self, stranger: usize, machine: usize, message: &[u8]) {
        let known = self.strangers.get_mut(&(stranger, machine)).expect("all pairs");
        let Some(session) = &mut known.session else { return };
        let to = masking(machine);
        if let Ok(bytes) = session.seal(&to, IDS[stranger], message, &mut self.rng) {
            self.send(stranger, machine, bytes);
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Bytes) {
        let datagram = Datagram { from: endpoint(from), to: endpoint(to), bytes };
        if self.in_flight.len() < MAX_IN_FLIGHT {
            self.in_flight.push(datagram);
        }
    }

    fn respond(&mut self, script: &mut Script<'_>) {
        let machine = script.pick(MACHINES);
        let peer = &mut self.peers[machine];
        if peer.talks.is_empty() {
            return;
        }
        let talk = peer.talks.remove(script.pick(peer.talks.len()));
        let response = vec![7; usize::from(script.short() % 1_300)];
        // It may be late, or too large.
        let _ = peer.machine.respond(self.now, talk, response.into());
        self.drain(machine);
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let (now, number) = (self.now, script.pick(MACHINES));
        let Peer { machine, queries, .. } = &mut self.peers[number];
        let named = script.pick(NODES.len());
        let node = Node::from_record(RECORDS[named][script.pick(2)].clone());
        let query = match script.pick(12) {
            0 => Some(machine.lookup(now, IDS[named])),
            1 => {
                let limit = script.pick(4);
                let choose = move |record: &Record| record.seq() == 1;
                Some(machine.lookup_where(now, IDS[named], limit, Box::new(choose)))
            }
            2 => Some(machine.lookup_random(now)),
            3 => Some(machine.resolve(now, IDS[named])),
            4 | 5 => Some(machine.ping(now, &node)),
            6 => {
                let distances = vec![256, 255, u16::from(script.byte())];
                Some(machine.find_node(now, &node, distances))
            }
            7 => {
                let request = vec![7; usize::from(script.short() % 1_300)];
                Some(machine.talk(now, &node, Bytes::from_static(TALK), request.into()))
            }
            8 => Some(machine.request_enr(now, &node)),
            9 => {
                if let Some(&query) = queries.iter().nth(script.pick(4)) {
                    queries.remove(&query);
                    machine.cancel(now, query);
                }
                None
            }
            10 => {
                machine.add_node(now, node);
                None
            }
            _ => {
                machine.set_record(RECORDS[number][script.pick(2)].clone());
                None
            }
        };
        if let Some(query) = query {
            assert!(queries.insert(query), "a name for two commands");
        }
        self.drain(number);
    }

    /// Calls the machines until they have nothing to do at this moment.
    fn settle(&mut self) {
        for number in 0..MACHINES {
            let mut calls = 0;
            while self.peers[number].machine.poll_timeout().is_some_and(|at| at <= self.now) {
                self.peers[number].machine.handle_timeout(self.now);
                self.drain(number);
                calls += 1;
                assert!(calls <= MAX_CALLS, "it asks for a time that has passed, again and again");
            }
        }
    }

    fn drain(&mut self, number: usize) {
        while let Some(output) = self.peers[number].machine.poll_output() {
            match output {
                Output::Event(event) => self.peers[number].handle_event(event, IDS[number]),
                Output::Transmit(Transmit { to, bytes }) => {
                    assert!((MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&bytes.len()));
                    assert!(!to.ip().is_unspecified() && to.port() != 0);
                    if self.in_flight.len() < MAX_IN_FLIGHT {
                        self.in_flight.push(Datagram { from: endpoint(number), to, bytes });
                    }
                }
            }
        }
        assert_eq!(self.peers[number].machine.usage().outputs, 0);
    }

    fn check(&self) {
        for peer in &self.peers {
            peer.check();
        }
    }

    /// Without another word from anybody all commands end.
    fn finish(mut self) {
        let end = self.now + PATIENCE;
        while self.peers.iter().any(|peer| !peer.queries.is_empty())
            && let Some(at) = self.peers.iter().filter_map(|p| p.machine.poll_timeout()).min()
            && at <= end
        {
            self.now = at.max(self.now);
            self.settle();
            self.in_flight.clear();
        }
        self.check();
        for peer in &self.peers {
            assert!(peer.queries.is_empty(), "{:?} never end", peer.queries);
        }
    }
}

impl Peer {
    fn handle_event(&mut self, event: Event, own: NodeId) {
        match event {
            Event::Enr { query, .. }
            | Event::Failed { query, .. }
            | Event::LookupDone { query, .. }
            | Event::Nodes { query, .. }
            | Event::Pong { query, .. }
            | Event::Resolved { query, .. }
            | Event::TalkResponse { query, .. } => {
                assert!(self.queries.remove(&query), "the second end of a command");
            }
            Event::LookupNode { query, .. } => {
                assert!(self.queries.contains(&query), "a node of a command that has ended");
            }
            Event::NodeVerified(node) => {
                assert!(node.id() != own);
                self.placed.insert(node.id());
            }
            Event::NodeRemoved(node) => {
                assert!(self.placed.remove(&node.id()), "it had no place");
            }
            Event::TalkRequest { talk, .. } => self.talks.push(talk),
            _ => {}
        }
    }

    fn check(&self) {
        let (usage, config) = (self.machine.usage(), self.machine.config());
        assert!(usage.sessions <= config.max_sessions, "{usage:?}");
        // Some handshakes have a request of their own, one for each peer.
        assert!(usage.requests <= config.max_requests + 2 * NODES.len(), "{usage:?}");
        assert!(usage.talks <= config.max_talks, "{usage:?}");
        // A refresh waits beyond the bound: one for our own id, and a few more.
        let lookups = config.max_lookups + config.max_waiting_lookups + 2 + config.refresh_lookups;
        assert!(usage.lookups <= lookups, "{usage:?}");
        let statistics = self.machine.statistics();
        assert!(statistics.bytes_to_unproven <= statistics.bytes_from_unproven);
        assert_eq!((statistics.events_lost, statistics.transmits_lost), (0, 0));

        let mut in_table = BTreeSet::new();
        for entry in self.machine.table().entries() {
            let (id, at) = (entry.value().node().id(), entry.value().endpoint());
            assert!(id != self.machine.own_id(), "we are in our own table");
            assert!(in_table.insert(id), "{id} is in the table twice");
            let node = IDS.iter().position(|known| *known == id).expect("there are no others");
            if entry.is_verified() {
                assert_eq!(at, endpoint(node), "{id} never answered there");
            }
        }
        assert!(self.placed.is_subset(&in_table), "the events tell what is in the table");
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.lan_policy = LanPolicy::Limit;
    config.max_sessions = 4;
    config.max_challenges = 8;
    config.stranger_prefixes = 16;
    config.rate_keys = 16;
    config.max_requests = 16;
    config.max_requests_per_peer = 4;
    config.max_talks = 3;
    config.max_records = 8;
    config.max_lookups = 2;
    config.max_waiting_lookups = 4;
    config.refresh_lookups = 1;
    config.remember_checks = 1;
    config
}

fn counted(machine: &Discv5<Stamp>) -> u64 {
    let (statistics, kinds) = (machine.statistics(), devp2p_discv5::wire::PacketKind::ALL);
    let received: u64 = kinds.iter().map(|&kind| statistics.received_packets(kind).packets).sum();
    received + statistics.dropped_total()
}

fn some_pair(script: &mut Script<'_>) -> (usize, usize) {
    (some_stranger(script), script.pick(MACHINES))
}

fn some_stranger(script: &mut Script<'_>) -> usize {
    MACHINES + script.pick(NODES.len() - MACHINES)
}

/// Somewhere, where nobody is perhaps; and nobody answers from where he is not.
fn some_endpoint(script: &mut Script<'_>) -> SocketAddr {
    match script.pick(4) {
        0 => elsewhere(script.pick(NODES.len())),
        1 => ([127, 0, 0, 1], 30_303).into(),
        2 => ([0, 0, 0, 0], 30_303).into(),
        _ => ([23, 9, 0, script.byte()], 53).into(),
    }
}

fn pong(seen: SocketAddr) -> Body {
    Body::Pong(Pong { enr_seq: 1, ip: seen.ip(), port: seen.port() })
}

/// One that is valid, mostly; always a list, else it could not be written.
fn record(script: &mut Script<'_>) -> Bytes {
    match script.byte() {
        choice @ 0..=223 => {
            let node = usize::from(choice) % NODES.len();
            RECORDS[node][script.pick(2)].to_bytes()
        }
        _ => {
            let mut list = rlp::RlpStream::new_list(1);
            list.append(&script.string());
            list.out().freeze()
        }
    }
}
