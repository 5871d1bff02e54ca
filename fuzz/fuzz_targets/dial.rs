//! The dial scheduler, as a list of what happens around it: no limit is exceeded, no node is
//! dialed twice at once or too soon, and it asks for no time that has passed.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::{Duration, Instant},
};

use devp2p_core::{Host, Node, NodeId, NodeKey};
use devp2p_dial::{Config, DialId, DialKind, Input, Outcome, Output, Refusal, Scheduler};
use devp2p_fuzz::{keys::NODES, script::Script};
use libfuzzer_sys::fuzz_target;

/// The operations of one input; more of them make slow runs that find nothing new.
const MAX_STEPS: usize = 150;
const MAX_DIALED: usize = 4;
const MAX_ACTIVE: usize = 3;
const HISTORY: Duration = Duration::from_secs(35);

const OUTCOMES: [Outcome; 6] = [
    Outcome::Added,
    Outcome::Refused,
    Outcome::Useless,
    Outcome::ConnectFailed,
    Outcome::HandshakeFailed,
    Outcome::Collided,
];

/// Node 0 is ourselves, 1 has no address, 2 has a name, 3 has no port, and 4 is outside of the
/// networks that may be dialed.
static LIST: LazyLock<Vec<Node>> = LazyLock::new(|| {
    let node = |(number, key): (u8, &NodeKey)| {
        let host = match number {
            1 => None,
            2 => Some(Host::Dns("node.example.org".into())),
            4 => Some(Host::Ip([192, 0, 2, 1].into())),
            _ => Some(Host::Ip([10, 0, 0, number].into())),
        };
        let port = if number == 3 { 0 } else { 30303 };
        Node::new(key.public_key(), host, port, port)
    };
    (0..).zip(NODES.iter()).map(node).collect()
});

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
    world.scheduler.handle_input(world.now, Input::Stop);
    assert!(world.scheduler.poll_output().is_none() && world.scheduler.poll_timeout().is_none());
});

struct World {
    scheduler: Scheduler,
    now: Instant,
    running: BTreeMap<DialId, (NodeId, DialKind)>,
    ended: Vec<DialId>,
    peers: BTreeMap<NodeId, bool>,
    /// Until when a node must not be dialed again.
    recent: BTreeMap<NodeId, Instant>,
    /// Nodes that may be dialed once more within the same attempt, at a newer address.
    renewing: BTreeSet<NodeId>,
}

impl World {
    fn new(seed: u8) -> Self {
        let mut config = Config::new(LIST[0].id());
        config.max_dialed = MAX_DIALED;
        config.max_active_dials = MAX_ACTIVE;
        // Every 10 s, as by default, makes nothing but slow runs.
        config.stats_interval = Duration::from_mins(10);
        config.net_restrict = "10.0.0.0/8".parse().ok();
        config.static_nodes = vec![LIST[5].clone(), LIST[1].clone()];
        config.bootnodes = vec![LIST[6].clone(), LIST[2].clone()];
        let now = devp2p_fuzz::start();
        let mut world = Self {
            scheduler: Scheduler::new(config, [seed; 32], now),
            now,
            running: BTreeMap::new(),
            ended: Vec::new(),
            peers: BTreeMap::new(),
            recent: BTreeMap::new(),
            renewing: BTreeSet::new(),
        };
        world.check();
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let kind = script.pick(12);
        if kind == 0 {
            return self.wait(Duration::from_secs(u64::from(script.short() % 4_000)));
        }
        if kind <= 2 {
            return self.end_dial(script);
        }
        let number = script.pick(LIST.len());
        let node = LIST[number].clone();
        let id = node.id();
        match kind {
            3 | 4 => self.offer(node),
            5 => self.input(Input::AddStatic(node)),
            6 => {
                if self.scheduler.is_static(id) {
                    self.recent.remove(&id);
                }
                self.input(Input::RemoveStatic(id));
            }
            7 => {
                self.peers.insert(id, false);
                self.input(Input::PeerAdded { id, dialed: false, kind: None, remote_addr: None });
            }
            8 => {
                self.peers.remove(&id);
                let is_useless = script.byte() < 64;
                let gone =
                    if is_useless { Input::PeerUseless { id } } else { Input::PeerRemoved { id } };
                self.input(gone);
            }
            9 if script.byte() < 128 => self.input(Input::PendingInbound { id }),
            9 => self.input(Input::PendingInboundDone { id }),
            10 => self.input(Input::Refused { id }),
            _ => {
                let host = Host::Ip([10, 1, script.byte(), number as u8].into());
                let found = Node::new(node.public_key(), Some(host), 30303, 0);
                self.input(Input::Resolved { id, result: (script.byte() < 192).then_some(found) });
            }
        }
    }

    fn offer(&mut self, node: Node) {
        let wanted = self.scheduler.wanted_candidates();
        let why_not = if self.scheduler.is_static(node.id()) {
            Some(Refusal::IsStatic)
        } else {
            self.scheduler.why_not(self.now, &node)
        };
        let result = self.scheduler.handle_candidate(self.now, node);
        assert_eq!(result.err(), why_not, "the query tells what the dial is refused for");
        assert!(result.is_err() || wanted > 0, "a candidate was taken without a slot");
    }

    fn end_dial(&mut self, script: &mut Script<'_>) {
        let outcome = script.one_of(&OUTCOMES);
        let pick = usize::from(script.byte());
        let Some(&dial) = self.running.keys().nth(pick % MAX_ACTIVE) else {
            // An end that was told already changes nothing.
            if let Some(&dial) = self.ended.get(pick) {
                self.input(Input::DialDone { dial, outcome });
            }
            return;
        };
        let (id, kind) = self.running.remove(&dial).expect("it is running");
        if outcome == Outcome::Added {
            self.peers.insert(id, true);
            let kind = Some(kind);
            self.input(Input::PeerAdded { id, dialed: true, kind, remote_addr: None });
        }
        if outcome == Outcome::Collided {
            self.recent.remove(&id);
        }
        if outcome == Outcome::ConnectFailed {
            self.renewing.insert(id);
        }
        self.ended.push(dial);
        self.input(Input::DialDone { dial, outcome });
    }

    fn input(&mut self, input: Input) {
        self.scheduler.handle_input(self.now, input);
        self.drain();
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.scheduler.poll_timeout().filter(|&at| at <= end) {
            assert!(at > self.now, "it wants to be woken in the past");
            self.now = at;
            self.scheduler.handle_timeout(at);
            self.drain();
        }
        self.now = end;
        self.scheduler.handle_timeout(end);
        assert_eq!(self.drain(), 0, "it did something at a time that it had not announced");
    }

    /// Returns how many dials and searches began.
    fn drain(&mut self) -> usize {
        let mut begun = 0;
        while let Some(output) = self.scheduler.poll_output() {
            match output {
                Output::Dial { dial, node, kind } => {
                    self.dialed(dial, &node, kind);
                    begun += 1;
                }
                Output::Resolve { .. } => begun += 1,
                _ => {}
            }
        }
        begun
    }

    fn dialed(&mut self, dial: DialId, node: &Node, kind: DialKind) {
        let id = node.id();
        let addr = node.tcp_addr().expect("what is dialed has an address");
        assert!(addr.to_string().starts_with("10."), "{addr} is outside of the networks");
        assert_ne!(id, LIST[0].id(), "it dials ourselves");
        assert!(!self.peers.contains_key(&id), "it dials a peer");
        assert!(self.running.values().all(|(other, _)| *other != id), "it dials a node twice");
        assert!(!self.ended.contains(&dial), "it uses the name of a dial twice");
        self.running.insert(dial, (id, kind));
        let renewed = self.renewing.remove(&id);
        let until = self.recent.insert(id, self.now + HISTORY);
        assert!(renewed || until.is_none_or(|until| until <= self.now), "it dials too soon");
    }

    fn check(&mut self) {
        self.drain();
        let stats = self.scheduler.stats();
        let dialed = self.peers.values().filter(|&&dialed| dialed).count();
        assert_eq!((stats.peers, stats.dialed), (self.peers.len(), dialed));
        assert!(stats.dialing <= MAX_ACTIVE && stats.dialing >= self.running.len());
        let wanted = self.scheduler.wanted_candidates();
        assert!(wanted == 0 || stats.dialed + stats.dialing + wanted <= MAX_DIALED);
        for node in LIST.iter().filter(|node| self.scheduler.is_static(node.id())) {
            match self.scheduler.why_not(self.now, node) {
                None => panic!("{node:?} waits for nothing"),
                Some(Refusal::NoSlot) => assert_eq!(stats.dialing, MAX_ACTIVE),
                Some(_) => {}
            }
        }
    }
}
