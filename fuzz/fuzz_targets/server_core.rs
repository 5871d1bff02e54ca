//! The server's machine, as a list of what connections, peers, operators and the clock do, with
//! the real dial scheduler inside.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::LazyLock,
    time::{Duration, Instant},
};

use devp2p_core::{Host, LanPolicy, Node, NodeId, NodeKey, Prefix, PublicKey, prefix_group};
use devp2p_dial::Scheduler;
use devp2p_fuzz::{keys::NODES, script::Script};
use devp2p_peer::{Capability, Direction, DisconnectReason, End, Hello, Side};
use devp2p_server::{Admission, Core, CoreConfig, Output, SetupFailure, SetupId};
use libfuzzer_sys::fuzz_target;

/// The operations of one input; more of them make slow runs that find nothing new.
const MAX_STEPS: usize = 150;
const MAX_PEERS: usize = 4;
const MAX_INBOUND: usize = 3;
const MAX_PENDING: usize = 3;

const FAILURES: [SetupFailure; 7] = [
    SetupFailure::Connect,
    SetupFailure::SecureHandshake,
    SetupFailure::Hello,
    SetupFailure::Refused,
    SetupFailure::RefusedByRemote(DisconnectReason::TooManyPeers),
    SetupFailure::RefusedByRemote(DisconnectReason::AlreadyConnected),
    SetupFailure::Deadline,
];

/// The nodes; the one in the middle of the order of ids is ourselves, so that others are on both
/// sides of it.
static LIST: LazyLock<Vec<Node>> = LazyLock::new(|| {
    let node = |(number, key): (u8, &NodeKey)| {
        let host = Host::Ip([10, 0, 0, number].into());
        Node::new(key.public_key(), Some(host), 30303, 30303)
    };
    let mut nodes: Vec<_> = (0..).zip(NODES.iter()).map(node).collect();
    nodes.sort_by_key(Node::id);
    let middle = nodes.len() / 2;
    nodes.swap(0, middle);
    nodes
});

fn node(index: usize) -> Node {
    LIST[index].clone()
}

fn id(index: usize) -> NodeId {
    LIST[index].id()
}

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let mut world = World::new(script.byte());
    for _ in 0..MAX_STEPS {
        if script.is_done() {
            break;
        }
        world.step(&mut script);
        world.check();
    }
    world.wind_up();
});

/// A connection that is being set up.
struct Setup {
    direction: Direction,
    dialed: bool,
    expected: Option<NodeId>,
    remote: Option<PublicKey>,
    refused: bool,
    /// The network of which it takes a place.
    network: Option<Prefix>,
}

struct World {
    core: Core,
    now: Instant,
    setups: BTreeMap<SetupId, Setup>,
    peers: BTreeSet<NodeId>,
    trusted: BTreeSet<NodeId>,
    banned: BTreeSet<NodeId>,
    /// The networks of which inbound peers take a place.
    networks: BTreeMap<NodeId, Prefix>,
    /// Peers that hold a public slot, in and out: those that were trusted when they came hold none
    /// until they are trusted no longer.
    was_trusted: BTreeSet<NodeId>,
    stopped: bool,
}

impl World {
    fn new(seed: u8) -> Self {
        let now = devp2p_fuzz::start();
        let mut dial = devp2p_dial::Config::new(id(0));
        dial.max_dialed = MAX_PEERS - MAX_INBOUND + 1;
        dial.static_nodes = vec![node(1)];
        dial.bootnodes = vec![node(2)];
        let mut config = CoreConfig::new(id(0));
        config.max_peers = MAX_PEERS;
        config.max_inbound = MAX_INBOUND;
        config.max_pending_peers = MAX_PENDING;
        config.trusted = BTreeSet::from([id(3)]);
        if seed.is_multiple_of(4) {
            config.inbound.net_restrict = "8.8.0.0/16,192.168.0.0/16".parse().ok();
        }
        let scheduler = Box::new(Scheduler::new(dial, [seed; 32], now));
        let mut world = Self {
            core: Core::new(config, scheduler, [seed; 32]),
            now,
            setups: BTreeMap::new(),
            peers: BTreeSet::new(),
            trusted: BTreeSet::from([id(3)]),
            banned: BTreeSet::new(),
            networks: BTreeMap::new(),
            was_trusted: BTreeSet::new(),
            stopped: false,
        };
        world.drain(&mut Vec::new(), &mut Vec::new());
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let (mut added, mut dropped) = (Vec::new(), Vec::new());
        match script.pick(16) {
            0 => self.wait(Duration::from_millis(u64::from(script.short()) * 10)),
            1 => self.accept(script),
            2 => self.hand_in(script),
            3..=5 => self.secured(script),
            6..=8 => added = self.hello(script),
            9 => {
                if let Some(setup) = self.pick_setup(script) {
                    self.setups.remove(&setup);
                    self.core.handle_setup_ended(self.now, setup, script.one_of(&FAILURES));
                }
            }
            10 | 11 => {
                let peer = id(script.pick(LIST.len()));
                if self.peers.remove(&peer) {
                    dropped.push(peer);
                }
                self.core.handle_peer_ended(self.now, peer, end(script));
            }
            12 => {
                let _ = self.core.handle_candidate(self.now, node(script.pick(LIST.len())));
            }
            13 => self.core.add_peer(self.now, node(script.pick(LIST.len()))),
            14 => self.operate(script),
            _ if script.byte() == 0xff => {
                self.core.stop(self.now);
                self.stopped = true;
            }
            _ => {
                let index = script.pick(LIST.len());
                self.core.handle_resolved(self.now, id(index), Some(node(index)));
            }
        }
        self.drain(&mut added, &mut dropped);
        assert!(added.is_empty() && dropped.is_empty(), "an event is missing");
    }

    fn operate(&mut self, script: &mut Script<'_>) {
        let peer = id(script.pick(LIST.len()));
        match script.pick(5) {
            0 => {
                let connected = self.core.remove_peer(self.now, peer);
                assert_eq!(connected, self.peers.contains(&peer));
                assert!(self.stopped || !self.core.is_static(peer));
            }
            1 => {
                self.core.add_trusted_peer(peer);
                self.trusted.insert(peer);
            }
            2 => {
                let is_banned = self.core.ban(self.now, 0, peer.into(), None).is_ok();
                assert_eq!(is_banned, peer != id(0));
                self.banned.extend(is_banned.then_some(peer));
            }
            3 => {
                assert_eq!(self.core.unban(self.now, &peer.into()), self.banned.remove(&peer));
            }
            _ => {
                self.core.remove_trusted_peer(peer);
                self.trusted.remove(&peer);
                if self.peers.contains(&peer) {
                    self.was_trusted.insert(peer);
                }
            }
        }
    }

    fn accept(&mut self, script: &mut Script<'_>) {
        let free = self.core.has_free_slot();
        let setup = self.core.take_slot();
        assert_eq!(setup.is_some(), free);
        let Some(setup) = setup else { return };
        let from = match script.byte() {
            0..128 => IpAddr::from([8, 8, script.byte() % 4, script.byte()]),
            128..192 => IpAddr::from([0x2001, 0x4860, 0, script.byte().into(), 0, 0, 0, 1]),
            _ => IpAddr::from([192, 168, 0, script.byte()]),
        };
        if self.core.handle_accepted(self.now, setup, Some(SocketAddr::new(from, 1))).is_ok() {
            assert!(!self.stopped);
            self.insert(setup, Direction::Inbound, false, None);
            let is_limited = !LanPolicy::default().exempts(from);
            let network = is_limited.then(|| prefix_group(from));
            self.setups.get_mut(&setup).expect("it was inserted").network = network;
        } else {
            self.core.handle_setup_ended(self.now, setup, SetupFailure::Refused);
        }
    }

    /// An open stream of any kind.
    fn hand_in(&mut self, script: &mut Script<'_>) {
        let direction = script.one_of(&[Direction::Inbound, Direction::Outbound]);
        let expected = (direction == Direction::Outbound).then(|| id(script.pick(LIST.len())));
        if let Some(setup) = self.core.begin_setup(direction, expected) {
            self.insert(setup, direction, false, expected);
        }
    }

    fn insert(
        &mut self,
        setup: SetupId,
        direction: Direction,
        dialed: bool,
        expected: Option<NodeId>,
    ) {
        let (remote, refused, network) = (None, false, None);
        let new = Setup { direction, dialed, expected, remote, refused, network };
        assert!(self.setups.insert(setup, new).is_none(), "a set-up's name is used twice");
    }

    fn pick_setup(&self, script: &mut Script<'_>) -> Option<SetupId> {
        let count = self.setups.len();
        (count > 0).then(|| self.setups.keys().nth(script.pick(count)).copied())?
    }

    fn secured(&mut self, script: &mut Script<'_>) {
        let Some(id) = self.pick_setup(script) else { return };
        let setup = self.setups.get_mut(&id).expect("it was picked");
        if setup.remote.is_some() {
            return;
        }
        let any = &LIST[script.pick(LIST.len())];
        let right = LIST.iter().find(|node| Some(node.id()) == setup.expected).unwrap_or(any);
        let remote = if script.byte() % 8 == 7 { any } else { right }.public_key();
        setup.remote = Some(remote);
        let verdict = self.core.handle_secured(self.now, id, remote);
        setup.refused = verdict.is_err();
        if verdict.is_ok() {
            self.check_admissible(id);
        }
    }

    /// Returns the peer that has to be reported.
    fn hello(&mut self, script: &mut Script<'_>) -> Vec<NodeId> {
        let Some(id) = self.pick_setup(script) else { return Vec::new() };
        let setup = &self.setups[&id];
        let (Some(remote), false) = (setup.remote, setup.refused) else { return Vec::new() };
        let capabilities = vec![Capability::new("demo", 1)];
        let hello = Hello::new("fuzz", capabilities.clone(), remote);
        let shared = if script.byte() % 8 == 7 { Vec::new() } else { capabilities };
        match self.core.handle_hello(self.now, id, &hello, &shared, (None, None)) {
            Ok(Admission::Added(peer)) => {
                assert!(!shared.is_empty(), "a useless peer");
                assert_eq!(peer, NodeId::from(remote));
                self.check_admissible(id);
                let setup = self.setups.remove(&id).expect("it was picked");
                self.networks.remove(&peer);
                self.networks.extend(setup.network.map(|network| (peer, network)));
                self.peers.insert(peer);
                self.was_trusted.remove(&peer);
                vec![peer]
            }
            Ok(Admission::Wait) => {
                let rivals = self.setups.iter().filter(|(other, setup)| {
                    **other != id && setup.remote == Some(remote) && !setup.refused
                });
                assert!(rivals.count() > 0, "it waits for nobody");
                Vec::new()
            }
            Err(_) => {
                self.setups.get_mut(&id).expect("it was picked").refused = true;
                Vec::new()
            }
        }
    }

    /// What holds of a connection that passed a checkpoint, against the peers before it.
    fn check_admissible(&self, setup: SetupId) {
        let setup = &self.setups[&setup];
        let remote = NodeId::from(setup.remote.expect("it is past the secure handshake"));
        assert!(!self.stopped, "admitted after the stop");
        assert_ne!(remote, id(0), "connected to ourselves");
        assert!(!self.banned.contains(&remote), "connected to who is banned");
        assert!(!self.peers.contains(&remote), "connected twice");
        assert!(setup.expected.is_none_or(|expected| expected == remote), "another node");
        if !self.trusted.contains(&remote) {
            let public = self.peers.iter().filter(|peer| !self.trusted.contains(peer));
            assert!(public.count() < MAX_PEERS, "too many peers");
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.core.poll_timeout().filter(|&at| at <= end) {
            assert!(at > self.now, "it wants to be woken in the past");
            self.now = at;
            self.core.handle_timeout(at);
            self.drain(&mut Vec::new(), &mut Vec::new());
        }
        self.now = end;
    }

    /// Takes the events that were due from the lists.
    fn drain(&mut self, added: &mut Vec<NodeId>, dropped: &mut Vec<NodeId>) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Dial { setup, node, .. } => {
                    assert!(!self.stopped, "a dial after the stop");
                    assert_ne!(node.id(), id(0), "it dials ourselves");
                    assert!(!self.banned.contains(&node.id()), "it dials who is banned");
                    assert!(!self.peers.contains(&node.id()), "it dials a peer");
                    let mut dials = self.setups.values().filter(|setup| setup.dialed);
                    assert!(dials.all(|dial| dial.expected != Some(node.id())), "it dials twice");
                    self.insert(setup, Direction::Outbound, true, Some(node.id()));
                }
                Output::Resolve { .. } => assert!(!self.stopped, "a search after the stop"),
                Output::Disconnect { id, .. } => assert!(self.peers.contains(&id)),
                Output::Added { id } => assert_eq!(added.pop(), Some(id)),
                Output::Dropped(drop) => assert_eq!(dropped.pop(), Some(drop.id)),
                _ => panic!("an output that this model does not know"),
            }
        }
    }

    fn check(&self) {
        assert!(self.core.peers().map(|(id, _)| id).eq(self.peers.iter()));
        assert_eq!(self.core.pending(), self.setups.len());
        let taken = |direction| {
            let setups = self.setups.values();
            setups.filter(|setup| !setup.dialed && setup.direction == direction).count()
        };
        let (inbound, outbound) = (taken(Direction::Inbound), taken(Direction::Outbound));
        assert!(inbound <= MAX_PENDING && outbound <= MAX_PENDING);
        assert_eq!(self.core.has_free_slot(), !self.stopped && inbound < MAX_PENDING);

        // Whoever lost our trust while connected stays, and may be one too many.
        let public = |id: &&NodeId| !self.trusted.contains(id) && !self.was_trusted.contains(id);
        assert!(self.peers.iter().filter(public).count() <= MAX_PEERS);
        let inbound = self.core.peers().filter(|(id, entry)| {
            assert_eq!(entry.trusted, self.trusted.contains(id));
            entry.direction == Direction::Inbound && public(id)
        });
        assert!(inbound.count() <= MAX_INBOUND, "outbound peers find no slot");
        let mut places: BTreeMap<Prefix, usize> = BTreeMap::new();
        for id in self.peers.iter().filter(public) {
            if let Some(network) = self.networks.get(id) {
                let taken = places.entry(*network).or_default();
                *taken += 1;
                assert!(*taken <= 2, "a network has too many places");
            }
        }
    }

    /// Everything comes to its end, and nothing is left over.
    fn wind_up(&mut self) {
        for setup in std::mem::take(&mut self.setups).into_keys() {
            self.core.handle_setup_ended(self.now, setup, SetupFailure::Deadline);
            // What is dialed in its place ends too, in the second round.
            self.drain(&mut Vec::new(), &mut Vec::new());
        }
        self.core.stop(self.now);
        self.stopped = true;
        for peer in std::mem::take(&mut self.peers) {
            let end = End::new(DisconnectReason::Quitting, Side::Local, None);
            self.core.handle_peer_ended(self.now, peer, end);
        }
        while let Some(output) = self.core.poll_output() {
            assert!(!matches!(output, Output::Dial { .. } | Output::Resolve { .. }));
        }
        for setup in std::mem::take(&mut self.setups).into_keys() {
            self.core.handle_setup_ended(self.now, setup, SetupFailure::Stopped);
        }
        assert_eq!((self.core.pending(), self.core.peers().len()), (0, 0));
        let counters = self.core.counters();
        assert_eq!(counters.added, counters.dropped);
        assert!(self.core.poll_output().is_none() && self.core.poll_timeout().is_none());
    }
}

fn end(script: &mut Script<'_>) -> End {
    let side = script.one_of(&[Side::Local, Side::Remote]);
    End::new(DisconnectReason::from_code(script.byte()), side, None)
}
