//! A whole client: the machines of a server as they are shipped, in a network without sockets.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use devp2p_core::{
    DiscoveryVersion, Host as NodeHost, Node, NodeId, NodeKey, PublicKey, Record, Rng, Seed,
    WallClock,
};
use devp2p_dial::Scheduler;
use devp2p_peer::{Capability, Direction, DisconnectReason, End, Hello, Side};
use devp2p_server::{
    Admission, Core, CoreConfig, DIAL_TIMEOUT, Mix, Offered, Output, PeerEntry, Row, SetupFailure,
    SetupId,
};
use devp2p_simnet::{Host, Transmit};

use super::{
    memory::Memory,
    search::{Found, Source, Start, sources},
    setup::Setup,
    stream::{Piece, Wire},
};

/// How long both handshakes may take: the server's default.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The connections that the system has accepted and the server has not.
const BACKLOG: usize = 1_024;
/// How often a peer says that it is there, as in the base protocol: so it hears who is gone. Nobody is
/// dropped for his silence; attackers would not be silent.
const ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How often the anchors are written.
const ANCHOR_INTERVAL: Duration = Duration::from_mins(5);

/// What stays when a node is restarted.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: NodeKey,
    pub(crate) address: SocketAddr,
    pub(crate) memory: Memory,
}

impl Identity {
    pub(crate) fn new(rng: &mut Rng, address: SocketAddr) -> Self {
        Self { key: super::keys::node_key(rng), address, memory: Memory::default() }
    }

    pub(crate) fn node(&self) -> Node {
        let host = Some(NodeHost::Ip(self.address.ip()));
        Node::new(self.key.public_key(), host, self.address.port(), self.address.port())
    }
}

/// One life of a node.
pub(crate) struct Client {
    key: PublicKey,
    now: Instant,
    core: Core,
    mix: Mix,
    /// The first sources of the mix.
    discoveries: Vec<Box<dyn Source>>,
    offered: Offered,
    /// Those that an earlier life knew, to be offered once: the last source of the mix.
    seeds: VecDeque<Node>,
    /// The nodes that are searched for, and how many discoveries still do.
    searches: BTreeMap<NodeId, usize>,
    memory: Memory,
    connections: BTreeMap<At, Connection>,
    /// When the dial or the set-up of a connection has taken too long.
    deadlines: BTreeSet<(Instant, At)>,
    /// Connections that are open and not accepted, and what came on them.
    backlog: VecDeque<(At, VecDeque<Piece>)>,
    peers: BTreeMap<NodeId, At>,
    dials: u64,
    alive_at: Instant,
    anchor_interval: Duration,
    anchors_at: Instant,
    out: VecDeque<Transmit>,
}

/// A connection: its other end, and its name there.
type At = (SocketAddr, Wire);

#[derive(Debug)]
struct Connection {
    setup: SetupId,
    stage: Stage,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The dialer waits for the stream.
    Opening {
        to: PublicKey,
    },
    /// The dialer waits for the answer to its handshake.
    Securing,
    /// The listener waits for the handshake.
    Accepted,
    /// Both wait for a Hello.
    Secured(PublicKey),
    /// It gives way to another one, for now.
    Waiting(PublicKey),
    Peer(NodeId),
}

impl Client {
    pub(crate) fn new(
        now: Instant,
        clock: WallClock,
        identity: &Identity,
        setup: &Setup,
        bootnodes: &[Node],
        rng: &mut Rng,
    ) -> Self {
        let key = identity.key.public_key();
        let id = NodeId::from(key);
        let address = identity.address;
        let record = Record::builder().seq(clock.unix_secs(now)).ip(address.ip());
        let record = record.tcp(address.port()).udp(address.port()).sign(&identity.key).unwrap();

        let defences = setup.defences;
        let memory = if defences.memory { identity.memory.clone() } else { Memory::default() };
        let remembered = memory.remembered(id, clock.unix_secs(now), rng.seed());
        let (key_pair, seeds) = (&identity.key, &remembered.seeds);
        let start = Start { now, clock, key: key_pair, record: &record, setup, bootnodes, seeds };
        let discoveries = sources(&start, rng);
        let shares = vec![1; discoveries.len() + 1];
        let seeds = nodes(seeds, rng);

        let mut dial = devp2p_dial::Config::new(id);
        dial.bootnodes = bootnodes.to_vec();
        dial.anchors = remembered.anchors;
        dial.stats_interval = Duration::ZERO;
        let mut core = CoreConfig::new(id);
        defences.apply(&mut dial, &mut core);
        let anchor_interval = ANCHOR_INTERVAL / setup.haste;
        let scheduler = Box::new(Scheduler::new(dial, rng.seed(), now));
        let mut client = Self {
            key,
            now,
            core: Core::new(core, scheduler, rng.seed()),
            mix: Mix::new(shares, Mix::PATIENCE),
            discoveries,
            offered: Offered::default(),
            seeds,
            searches: BTreeMap::new(),
            memory,
            connections: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            backlog: VecDeque::new(),
            peers: BTreeMap::new(),
            dials: rng.below(1 << 40),
            alive_at: now + ALIVE_INTERVAL,
            anchor_interval,
            anchors_at: now + anchor_interval,
            out: VecDeque::new(),
        };
        client.work();
        client
    }

    /// The end of a life that ends in order.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.now = now;
        self.remember_anchors();
        self.core.stop(now);
        self.work();
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = (&NodeId, &PeerEntry)> {
        self.core.peers()
    }

    pub(crate) fn outbound(&self) -> usize {
        self.peers().filter(|(_, peer)| peer.direction == Direction::Outbound).count()
    }

    /// The nodes of the table of each discovery.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (DiscoveryVersion, Vec<NodeId>)> {
        self.discoveries.iter().map(|discovery| (discovery.version(), discovery.table()))
    }

    pub(crate) fn discoveries(&mut self) -> &mut [Box<dyn Source>] {
        &mut self.discoveries
    }

    /// Does all that there is to do, until nothing moves.
    fn work(&mut self) {
        loop {
            let moved = self.take_found() | self.take_outputs() | self.accept();
            if !(moved | self.offer()) {
                return;
            }
        }
    }

    // Discovery.

    fn take_found(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.discoveries.len() {
            while let Some(found) = self.discoveries[at].poll() {
                moved = true;
                match found {
                    Some(Found::Transmit(it)) => {
                        self.out.push_back(Transmit::datagram(it.to, it.bytes));
                    }
                    Some(Found::Resolved(id, node)) => self.resolved(id, node),
                    Some(Found::Row(row)) => self.memory.write(row),
                    None => {}
                }
            }
        }
        moved
    }

    /// The first discovery that finds a node is believed, and nobody has it if none finds it.
    fn resolved(&mut self, id: NodeId, node: Option<Node>) {
        let Some(searches) = self.searches.get_mut(&id) else { return };
        *searches -= 1;
        if node.is_some() || *searches == 0 {
            self.searches.remove(&id);
            self.core.handle_resolved(self.now, id, node);
        }
    }

    /// Gives the scheduler candidates while it has room for them.
    fn offer(&mut self) -> bool {
        let mut moved = false;
        while self.core.wanted_candidates() > 0 {
            for (number, discovery) in self.discoveries.iter_mut().enumerate() {
                if !self.mix.wants(number) {
                    continue;
                }
                let mut candidates = std::iter::from_fn(|| discovery.candidate());
                let offered = &mut self.offered;
                match candidates.find(|node| offered.offer(self.now, number, node.id())) {
                    Some(node) => _ = self.mix.push(number, node),
                    None => moved |= discovery.look_around(self.now),
                }
            }
            let remembered = self.discoveries.len();
            if self.mix.wants(remembered) {
                match self.seeds.pop_front() {
                    Some(node) => _ = self.mix.push(remembered, node),
                    None => self.mix.end(remembered),
                }
            }
            let Some(node) = self.mix.next(self.now) else { break };
            moved = true;
            // One that is not dialed now is offered again some time.
            let _ = self.core.handle_candidate(self.now, node);
        }
        moved
    }

    // Connections.

    fn take_outputs(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.core.poll_output() {
            moved = true;
            match output {
                Output::Dial { setup, node, .. } => self.dial(setup, &node),
                Output::Resolve { node } => {
                    self.searches.insert(node.id(), self.discoveries.len());
                    for discovery in &mut self.discoveries {
                        discovery.resolve(self.now, node.public_key());
                    }
                }
                Output::Disconnect { id, reason } => {
                    let Some(at) = self.peers.get(&id).copied() else { continue };
                    self.send(at, Piece::Disconnect(reason));
                    self.peer_ended(at, id, reason, Side::Local);
                }
                Output::Added { .. } | Output::Dropped(_) => {}
                other => panic!("{other:?}"),
            }
        }
        moved
    }

    fn dial(&mut self, setup: SetupId, node: &Node) {
        self.dials += 1;
        let at = (node.tcp_addr().unwrap(), Wire { dialed: true, number: self.dials });
        let connection =
            Connection { setup, stage: Stage::Opening { to: node.public_key() }, deadline: None };
        self.connections.insert(at, connection);
        self.set_deadline(at, DIAL_TIMEOUT);
        self.send(at, Piece::Open);
    }

    /// Accepts what waits, as far as there are slots.
    fn accept(&mut self) -> bool {
        let mut moved = false;
        while !self.backlog.is_empty()
            && let Some(setup) = self.core.take_slot()
        {
            let Some((at, pieces)) = self.backlog.pop_front() else { break };
            moved = true;
            if self.core.handle_accepted(self.now, setup, Some(at.0)).is_err() {
                self.core.handle_setup_ended(self.now, setup, SetupFailure::Refused);
                self.send(at, Piece::Reset);
                continue;
            }
            let connection = Connection { setup, stage: Stage::Accepted, deadline: None };
            self.connections.insert(at, connection);
            self.set_deadline(at, SETUP_TIMEOUT);
            for piece in pieces {
                self.handle_piece(at, piece);
            }
        }
        moved
    }

    fn handle_piece(&mut self, at: At, piece: Piece) {
        let Some(connection) = self.connections.get(&at) else { return self.handle_new(at, piece) };
        let (setup, stage) = (connection.setup, connection.stage);
        match (stage, piece) {
            (Stage::Opening { to }, Piece::Opened) => {
                self.set_stage(at, Stage::Securing);
                self.set_deadline(at, SETUP_TIMEOUT);
                self.send(at, Piece::Auth { from: self.key, to });
            }
            // Who dialed somebody else cannot read the answer.
            (Stage::Accepted, Piece::Auth { from, to }) if to == self.key => {
                self.send(at, Piece::Ack(self.key));
                self.secured(at, setup, from);
            }
            (Stage::Securing, Piece::Ack(key)) => self.secured(at, setup, key),
            (Stage::Secured(key), Piece::Hello(said)) if said == key => {
                self.set_stage(at, Stage::Waiting(key));
                self.greeted(at);
            }
            (Stage::Peer(_), Piece::Alive) => {}
            (Stage::Peer(id), Piece::Disconnect(reason)) => {
                self.peer_ended(at, id, reason, Side::Remote);
            }
            (Stage::Peer(id), _) => {
                self.peer_ended(at, id, DisconnectReason::NetworkError, Side::Remote);
            }
            (_, Piece::Disconnect(reason)) => {
                self.end_setup(at, SetupFailure::RefusedByRemote(reason));
            }
            (Stage::Opening { .. }, _) => self.end_setup(at, SetupFailure::Connect),
            (Stage::Accepted | Stage::Securing, _) => {
                self.send(at, Piece::Reset);
                self.end_setup(at, SetupFailure::SecureHandshake);
            }
            (Stage::Secured(_) | Stage::Waiting(_), _) => {
                self.send(at, Piece::Reset);
                self.end_setup(at, SetupFailure::Hello);
            }
        }
    }

    /// Something of a connection that is not known, or not accepted yet.
    fn handle_new(&mut self, at: At, piece: Piece) {
        if let Some(waiting) = self.backlog.iter().position(|(known, _)| *known == at) {
            match piece {
                Piece::Reset => _ = self.backlog.remove(waiting),
                piece => self.backlog.get_mut(waiting).unwrap().1.push_back(piece),
            }
        } else if piece == Piece::Open {
            if self.backlog.len() < BACKLOG {
                self.backlog.push_back((at, VecDeque::new()));
                self.send(at, Piece::Opened);
            }
        } else if !matches!(piece, Piece::Reset | Piece::Disconnect(_)) {
            self.send(at, Piece::Reset);
        }
    }

    /// The remote has proved its key.
    fn secured(&mut self, at: At, setup: SetupId, remote: PublicKey) {
        match self.core.handle_secured(self.now, setup, remote) {
            Ok(()) => {
                self.set_stage(at, Stage::Secured(remote));
                self.send(at, Piece::Hello(self.key));
            }
            Err(reason) => self.refuse(at, reason),
        }
    }

    /// The remote's Hello is there. Asked again when another connection that goes first may be gone.
    fn greeted(&mut self, at: At) {
        let Some(connection) = self.connections.get(&at) else { return };
        let Stage::Waiting(key) = connection.stage else { return };
        let shared = [Capability::new("test", 1)];
        let hello = Hello::new("simulated", shared.to_vec(), key);
        let ends = (None, Some(at.0));
        match self.core.handle_hello(self.now, connection.setup, &hello, &shared, ends) {
            Ok(Admission::Added(id)) => {
                self.set_stage(at, Stage::Peer(id));
                self.clear_deadline(at);
                self.peers.insert(id, at);
            }
            Ok(Admission::Wait) => {}
            Err(reason) => self.refuse(at, reason),
        }
    }

    fn refuse(&mut self, at: At, reason: DisconnectReason) {
        self.send(at, Piece::Disconnect(reason));
        self.end_setup(at, SetupFailure::Refused);
    }

    fn end_setup(&mut self, at: At, failure: SetupFailure) {
        self.clear_deadline(at);
        let Some(connection) = self.connections.remove(&at) else { return };
        self.core.handle_setup_ended(self.now, connection.setup, failure);
        let waiting = |connection: &Connection| matches!(connection.stage, Stage::Waiting(_));
        let waiting: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| waiting(connection))
            .map(|(at, _)| *at)
            .collect();
        for at in waiting {
            self.greeted(at);
        }
    }

    fn peer_ended(&mut self, at: At, id: NodeId, reason: DisconnectReason, side: Side) {
        self.connections.remove(&at);
        self.peers.remove(&id);
        self.core.handle_peer_ended(self.now, id, End::new(reason, side, None));
    }

    fn set_stage(&mut self, at: At, stage: Stage) {
        if let Some(connection) = self.connections.get_mut(&at) {
            connection.stage = stage;
        }
    }

    fn set_deadline(&mut self, at: At, after: Duration) {
        self.clear_deadline(at);
        let deadline = self.now + after;
        if let Some(connection) = self.connections.get_mut(&at) {
            connection.deadline = Some(deadline);
            self.deadlines.insert((deadline, at));
        }
    }

    fn clear_deadline(&mut self, at: At) {
        let deadline = self.connections.get_mut(&at).and_then(|it| it.deadline.take());
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, at));
        }
    }

    fn send(&mut self, (to, wire): At, piece: Piece) {
        self.out.push_back(Transmit::segment(to, piece.encode(wire)));
    }

    fn remember_anchors(&mut self) {
        let anchors = self.core.anchors(self.now);
        if !anchors.is_empty() {
            self.memory.write(Row::Anchors(anchors));
        }
    }
}

impl Host for Client {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.now = now;
        if let Some(discovery) = self.discoveries.iter_mut().find(|it| it.claims(bytes)) {
            discovery.handle_datagram(now, from, bytes);
        }
        self.work();
    }

    fn handle_segment(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.now = now;
        let Some((wire, piece)) = Piece::decode(bytes) else { return };
        self.handle_piece((from, wire), piece);
        self.work();
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        self.now = now;
        let broken: Vec<_> =
            self.connections.keys().copied().filter(|(there, _)| *there == to).collect();
        for at in broken {
            self.handle_piece(at, Piece::Reset);
        }
        self.backlog.retain(|((there, _), _)| *there != to);
        self.work();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(&(_, at)) = self.deadlines.first().filter(|(due, _)| *due <= now) {
            self.send(at, Piece::Reset);
            let is_opening = self
                .connections
                .get(&at)
                .is_some_and(|connection| matches!(connection.stage, Stage::Opening { .. }));
            let failure = if is_opening { SetupFailure::Connect } else { SetupFailure::Deadline };
            self.end_setup(at, failure);
        }
        if self.alive_at <= now {
            self.alive_at = now + ALIVE_INTERVAL;
            for at in self.peers.values().copied().collect::<Vec<_>>() {
                self.send(at, Piece::Alive);
            }
        }
        if self.anchors_at <= now {
            self.anchors_at = now + self.anchor_interval;
            self.remember_anchors();
        }
        if self.core.poll_timeout().is_some_and(|at| at <= now) {
            self.core.handle_timeout(now);
        }
        for discovery in &mut self.discoveries {
            discovery.handle_timeout(now);
        }
        self.work();
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let others = [
            self.core.poll_timeout(),
            self.mix.poll_timeout(),
            self.deadlines.first().map(|(at, _)| *at),
            Some(self.alive_at),
            Some(self.anchors_at),
        ];
        let discoveries = self.discoveries.iter().map(|discovery| discovery.poll_timeout());
        discoveries.chain(others).flatten().min()
    }
}

/// The nodes of these seeds, each once, in any order.
fn nodes(seeds: &[Seed], rng: &mut Rng) -> VecDeque<Node> {
    let mut known = BTreeSet::new();
    let nodes = seeds.iter().map(|seed| &seed.node).filter(|node| known.insert(node.id()));
    let mut nodes: Vec<_> = nodes.cloned().collect();
    for last in 1..nodes.len() {
        nodes.swap(last, rng.below(last as u64 + 1) as usize);
    }
    nodes.into()
}
