//! No sequence of inputs exceeds a limit, dials a node twice at once or too soon, or starves a
//! static node.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::{Duration, Instant},
};

use devp2p_core::{Host, LanPolicy, Node, NodeId, NodeKey, Prefix, prefix_group};
use devp2p_dial::{Config, DialId, DialKind, Input, Outcome, Output, Refusal, Scheduler};
use proptest::prelude::*;

const NODES: u8 = 12;
const MAX_DIALED: usize = 4;
const MAX_ACTIVE: usize = 3;
const HISTORY: Duration = Duration::from_secs(35);
/// The longest wait of a static node for a dial or for a failed search that is over at once.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What happens. The inputs of a driver that keeps its contract, and those of one that does not.
#[derive(Clone, Debug)]
enum Step {
    Wait(u16),
    Candidate(u8),
    AddStatic(u8),
    RemoveStatic(u8),
    Inbound(u8),
    Gone(u8),
    GoneByCollision(u8),
    GoneAsUseless(u8),
    Pending(u8),
    PendingDone(u8),
    Refused(u8),
    /// One of the dials in flight ends.
    End(u8, Outcome),
    /// A dial that ended before ends again.
    EndAgain(u8, Outcome),
    /// A search is answered, asked for or not; with an address or without.
    Answer(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let outcome = || {
        prop::sample::select(vec![
            Outcome::Added,
            Outcome::Refused,
            Outcome::Useless,
            Outcome::ConnectFailed,
            Outcome::HandshakeFailed,
            Outcome::Collided,
        ])
    };
    prop_oneof![
        4 => (0..50_u16).prop_map(Step::Wait),
        1 => (0..4000_u16).prop_map(Step::Wait),
        6 => node().prop_map(Step::Candidate),
        3 => node().prop_map(Step::AddStatic),
        1 => node().prop_map(Step::RemoveStatic),
        1 => node().prop_map(Step::Inbound),
        3 => node().prop_map(Step::Gone),
        1 => node().prop_map(Step::GoneByCollision),
        1 => node().prop_map(Step::GoneAsUseless),
        1 => node().prop_map(Step::Pending),
        1 => node().prop_map(Step::PendingDone),
        1 => node().prop_map(Step::Refused),
        8 => (any::<u8>(), outcome()).prop_map(|(dial, outcome)| Step::End(dial, outcome)),
        1 => (any::<u8>(), outcome()).prop_map(|(dial, outcome)| Step::EndAgain(dial, outcome)),
        3 => (node(), any::<bool>()).prop_map(|(node, found)| Step::Answer(node, found)),
    ]
}

/// Node 0 is ourselves, node 1 has no address, node 2 has a name, node 3 has no port, node 4 is
/// outside of netrestrict.
fn node(number: u8) -> Node {
    static MADE: LazyLock<Vec<Node>> = LazyLock::new(|| (0..NODES).map(make_node).collect());
    MADE[usize::from(number)].clone()
}

fn make_node(number: u8) -> Node {
    let host = match number {
        1 => None,
        2 => Some(Host::Dns("node.example.org".into())),
        4 => Some(Host::Ip([192, 0, 2, 1].into())),
        _ => Some(Host::Ip([10, 0, number % 2, number].into())),
    };
    let port = if number == 3 { 0 } else { 30303 };
    let key = NodeKey::from_bytes(&[number.checked_add(1).unwrap(); 32]).unwrap();
    Node::new(key.public_key(), host, port, port)
}

fn addressed(number: u8) -> Node {
    Node::new(
        node(number).public_key(),
        Some(Host::Ip([10, 0, number % 2, number + 100].into())),
        30303,
        0,
    )
}

/// The scheduler, and what an onlooker knows.
struct Model {
    scheduler: Scheduler,
    now: Instant,
    nodes: Vec<Node>,
    running: BTreeMap<DialId, (NodeId, DialKind)>,
    ended: Vec<DialId>,
    searching: BTreeSet<NodeId>,
    /// The node whose dial has just found nobody, and those that are searched for because of that.
    lost: Option<NodeId>,
    renewing: BTreeSet<NodeId>,
    peers: BTreeMap<NodeId, bool>,
    max_dialed_per_prefix: usize,
    /// The networks of candidates that were dialed, and not added to the static list since.
    networks: BTreeMap<NodeId, Prefix>,
    /// When a node may be dialed again.
    past: BTreeMap<NodeId, Instant>,
    /// Until when a node is no candidate.
    useless: BTreeMap<NodeId, Instant>,
    log: Vec<String>,
}

impl Model {
    fn new(seed: u8) -> Self {
        let nodes: Vec<_> = (0..NODES).map(node).collect();
        let mut config = Config::new(nodes[0].id());
        config.max_dialed = MAX_DIALED;
        config.max_active_dials = MAX_ACTIVE;
        let max_dialed_per_prefix = usize::from(seed % 3) + 1;
        config.max_dialed_per_prefix = max_dialed_per_prefix;
        config.lan_policy = LanPolicy::Limit;
        config.net_restrict = Some("10.0.0.0/8".parse().unwrap());
        config.static_nodes = vec![node(5), node(1)];
        config.bootnodes = vec![node(6), node(2)];
        // One of them is a bootnode, too.
        config.anchors = vec![node(7), node(6)];
        #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock")]
        let now = Instant::now();
        let mut model = Self {
            scheduler: Scheduler::new(config, [seed; 32], now),
            now,
            nodes,
            running: BTreeMap::new(),
            ended: Vec::new(),
            searching: BTreeSet::new(),
            lost: None,
            renewing: BTreeSet::new(),
            peers: BTreeMap::new(),
            max_dialed_per_prefix,
            networks: BTreeMap::new(),
            past: BTreeMap::new(),
            useless: BTreeMap::new(),
            log: Vec::new(),
        };
        model.check();
        model
    }

    fn id(&self, number: u8) -> NodeId {
        self.nodes[usize::from(number)].id()
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Wait(seconds) => self.wait(Duration::from_secs(seconds.into())),
            Step::Candidate(number) => {
                let wanted = self.scheduler.wanted_candidates();
                let node = node(number);
                let why_not = match self.scheduler.is_static(node.id()) {
                    true => Some(Refusal::IsStatic),
                    false => self.scheduler.why_not(self.now, &node),
                };
                let result = self.scheduler.handle_candidate(self.now, node);
                assert_eq!(result.err(), why_not, "the query tells what the dial is refused for");
                assert!(result.is_err() || wanted > 0, "a candidate was taken without a slot");
                assert!(result.is_ok() || self.scheduler.wanted_candidates() == wanted);
            }
            Step::AddStatic(number) => {
                self.useless.remove(&self.id(number));
                self.networks.remove(&self.id(number));
                self.input(Input::AddStatic(node(number)));
            }
            Step::RemoveStatic(number) => {
                let id = self.id(number);
                if self.scheduler.is_static(id) {
                    self.past.remove(&id);
                    self.useless.remove(&id);
                    self.renewing.remove(&id);
                }
                self.input(Input::RemoveStatic(id));
            }
            Step::Inbound(number) => {
                let id = self.id(number);
                self.renewing.remove(&id);
                self.peers.insert(id, false);
                self.input(Input::PeerAdded { id, dialed: false, kind: None, remote_addr: None });
            }
            Step::Gone(number) => {
                let id = self.id(number);
                self.useless.remove(&id);
                self.peers.remove(&id);
                self.input(Input::PeerRemoved { id });
            }
            Step::GoneByCollision(number) => {
                let id = self.id(number);
                if self.peers.remove(&id).is_some() && self.scheduler.is_static(id) {
                    self.past.remove(&id);
                }
                self.input(Input::PeerCollided { id });
            }
            Step::GoneAsUseless(number) => {
                let id = self.id(number);
                self.peers.remove(&id);
                self.input(Input::PeerUseless { id });
                self.note_useless(number);
            }
            Step::Pending(number) => self.input(Input::PendingInbound { id: self.id(number) }),
            Step::PendingDone(number) => {
                self.input(Input::PendingInboundDone { id: self.id(number) });
            }
            Step::Refused(number) => self.input(Input::Refused { id: self.id(number) }),
            Step::End(pick, outcome) => {
                let Some(&dial) = self.running.keys().nth(usize::from(pick) % MAX_ACTIVE) else {
                    return;
                };
                let (id, kind) = self.running.remove(&dial).unwrap();
                // The contract: the peer is told first. One in eight dials breaks it.
                if outcome == Outcome::Added && pick < 224 {
                    self.peers.insert(id, true);
                    self.input(Input::PeerAdded {
                        id,
                        dialed: true,
                        kind: Some(kind),
                        remote_addr: None,
                    });
                }
                if outcome == Outcome::Collided {
                    self.past.remove(&id);
                }
                self.lost = (outcome == Outcome::ConnectFailed).then_some(id);
                self.ended.push(dial);
                self.input(Input::DialDone { dial, outcome });
                let number = self.nodes.iter().position(|node| node.id() == id).unwrap();
                self.note_useless(u8::try_from(number).unwrap());
            }
            Step::EndAgain(pick, outcome) => {
                if let Some(&dial) = self.ended.get(usize::from(pick)) {
                    self.input(Input::DialDone { dial, outcome });
                }
            }
            Step::Answer(number, found) => {
                let id = self.id(number);
                let result = found.then(|| addressed(number));
                self.input(Input::Resolved { id, result });
            }
        }
        self.check();
        self.lost = None;
    }

    fn note_useless(&mut self, number: u8) {
        if let Some(Refusal::Useless { until }) = self.scheduler.why_not(self.now, &node(number)) {
            self.useless.insert(self.id(number), until);
        }
    }

    fn input(&mut self, input: Input) {
        self.scheduler.handle_input(self.now, input);
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.check();
        while let Some(at) = self.scheduler.poll_timeout().filter(|&at| at <= end) {
            assert!(at > self.now, "it wants to be woken in the past");
            self.now = at;
            self.scheduler.handle_timeout(at);
            self.check();
        }
        self.now = end;
        self.scheduler.handle_timeout(end);
        assert!(self.drain().is_empty(), "it did something at a time that it had not announced");
    }

    /// Drains the outputs; returns the nodes that were dialed or searched for.
    fn drain(&mut self) -> Vec<NodeId> {
        let mut begun = Vec::new();
        while let Some(output) = self.scheduler.poll_output() {
            self.log.push(format!("{output:?}"));
            match output {
                Output::Dial { dial, node, kind } => {
                    begun.push(node.id());
                    self.check_dial(dial, &node, kind);
                }
                Output::Resolve { node } => {
                    begun.push(node.id());
                    self.searching.insert(node.id());
                    if self.lost == Some(node.id()) {
                        self.renewing.insert(node.id());
                    }
                }
                _ => {}
            }
        }
        begun
    }

    fn check_dial(&mut self, dial: DialId, node: &Node, kind: DialKind) {
        let id = node.id();
        let addr = node.tcp_addr().unwrap();
        assert!(addr.ip().to_string().starts_with("10."), "{addr} is outside of netrestrict");
        assert_ne!(id, self.id(0), "it dials ourselves");
        assert!(!self.peers.contains_key(&id), "it dials a peer");
        let twice = self.running.values().any(|&(running, _)| running == id);
        assert!(!twice, "it dials a node twice at once");
        assert!(!self.ended.contains(&dial), "it uses the name of a dial twice");
        let useless = self.useless.get(&id).is_some_and(|&until| until > self.now);
        assert!(kind != DialKind::Dynamic || !useless, "it dials a useless node too soon");
        self.running.insert(dial, (id, kind));
        if matches!(kind, DialKind::Anchor | DialKind::Dynamic) {
            self.networks.insert(id, prefix_group(addr.ip()));
        } else {
            // It was an anchor until its dial ended, just now; a bootnode has a place in any case.
            self.networks.remove(&id);
        }

        // Once more with a newer address is within the same attempt, and not held back.
        let renewal = self.renewing.remove(&id);
        let again = self.past.insert(id, self.now + HISTORY);
        assert!(renewal || again.is_none_or(|again| again <= self.now), "it dials a node too soon");
    }

    fn check(&mut self) {
        self.drain();
        let stats = self.scheduler.stats();
        let dialed = self.peers.values().filter(|&&dialed| dialed).count();
        assert_eq!((stats.peers, stats.dialed), (self.peers.len(), dialed));
        assert!(stats.dialing <= MAX_ACTIVE, "too many dials are in flight");
        assert!(stats.dialing >= self.running.len(), "it forgot a dial");
        let wanted = self.scheduler.wanted_candidates();
        assert!(wanted == 0 || stats.dialed + stats.dialing + wanted <= MAX_DIALED);
        assert!(stats.dialing + wanted <= MAX_ACTIVE);
        let Self { networks, running, peers, .. } = self;
        let is_dialed = |id| running.values().any(|&(running, _)| running == id);
        networks.retain(|id, _| is_dialed(*id) || peers.get(id) == Some(&true));
        for network in networks.values() {
            let count = networks.values().filter(|other| *other == network).count();
            assert!(count <= self.max_dialed_per_prefix, "{count} nodes of {network} are dialed");
        }
        // No static node waits while there is a free dial.
        for node in &self.nodes {
            if self.scheduler.is_static(node.id()) {
                match self.scheduler.why_not(self.now, node) {
                    None => panic!("{node:?} waits for nothing"),
                    Some(Refusal::NoSlot) => assert_eq!(stats.dialing, MAX_ACTIVE),
                    Some(_) => {}
                }
            }
        }
    }

    /// From here on the driver keeps its contract and every dial fails: each static node that can
    /// be dialed must be.
    fn check_nobody_starves(&mut self) {
        for id in std::mem::take(&mut self.peers).into_keys() {
            self.input(Input::PeerRemoved { id });
        }
        let can_be_dialed = |node: &&Node| {
            let dialable = node.ip().is_none() || node.tcp_addr().is_some();
            self.scheduler.is_static(node.id())
                && dialable
                && node.id() != self.nodes[0].id()
                && node.id() != self.nodes[4].id()
        };
        let mut waiting: BTreeSet<_> =
            self.nodes.iter().filter(can_be_dialed).map(Node::id).collect();
        let end = self.now + 2 * LONGEST_WAIT;
        while self.now < end && !waiting.is_empty() {
            for id in self.drain() {
                waiting.remove(&id);
            }
            if let Some((dial, (id, _))) = self.running.pop_first() {
                waiting.remove(&id);
                self.input(Input::DialDone { dial, outcome: Outcome::HandshakeFailed });
            } else if let Some(id) = self.searching.pop_first() {
                self.input(Input::Resolved { id, result: None });
            } else if let Some(at) = self.scheduler.poll_timeout() {
                self.now = self.now.max(at);
                self.scheduler.handle_timeout(self.now);
            }
        }
        assert!(waiting.is_empty(), "{waiting:?} starve");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_input_breaks_the_rules(seed: u8, steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new(seed);
        for step in &steps {
            model.apply(step);
        }
        model.check_nobody_starves();
    }

    #[test]
    fn one_seed_and_one_input_make_one_output(
        seed: u8,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let run = || {
            let mut model = Model::new(seed);
            steps.iter().for_each(|step| model.apply(step));
            model.log
        };
        // The times in a refusal differ by the start of the run.
        let untimed = |log: Vec<String>| -> Vec<_> {
            log.into_iter().map(|line| line.split("until").next().unwrap().to_owned()).collect()
        };
        prop_assert_eq!(untimed(run()), untimed(run()));
    }
}

#[test]
fn an_anchor_that_is_dialed_again_as_a_bootnode_takes_no_place() {
    let end = |pick| Step::End(pick, Outcome::Refused);
    let mut model = Model::new(186);
    let waits = [Step::Wait(20), Step::Wait(40)];
    let dials = [end(190), end(9), end(83), Step::Gone(0), Step::Wait(510), end(33)];
    for step in [end(163)].iter().chain(&waits).chain(&dials).chain(&[Step::Candidate(8)]) {
        model.apply(step);
    }
}
