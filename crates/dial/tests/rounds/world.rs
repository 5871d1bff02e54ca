//! A scheduler, a clock, and what the scheduler asked for.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use devp2p_core::{Host, Node, NodeId, NodeKey};
use devp2p_dial::{Config, DialId, DialKind, Input, Outcome, Output, Refusal, Scheduler, Stats};

/// Nodes go by numbers; 0 is ourselves.
pub(crate) fn key(number: u32) -> NodeKey {
    let mut secret = [0xaa; 32];
    secret[..4].copy_from_slice(&number.to_be_bytes());
    NodeKey::from_bytes(&secret).unwrap()
}

pub(crate) fn id(number: u32) -> NodeId {
    key(number).id()
}

pub(crate) fn node_at(number: u32, addr: &str) -> Node {
    let addr: SocketAddr = addr.parse().unwrap();
    Node::new(key(number).public_key(), Some(Host::Ip(addr.ip())), addr.port(), addr.port())
}

pub(crate) fn node(number: u32) -> Node {
    let [_, a, b, c] = number.to_be_bytes();
    node_at(number, &format!("10.{a}.{b}.{c}:30303"))
}

pub(crate) fn node_without_address(number: u32) -> Node {
    Node::from(key(number).public_key())
}

pub(crate) fn node_named(number: u32, name: &str) -> Node {
    Node::new(key(number).public_key(), Some(Host::Dns(name.into())), 30303, 30303)
}

pub(crate) fn nodes(numbers: impl IntoIterator<Item = u32>) -> Vec<Node> {
    numbers.into_iter().map(node).collect()
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Instant,
    start: Instant,
    dial_names: bool,
    running: BTreeMap<NodeId, (DialId, DialKind)>,
    dialed: Vec<Node>,
    searched: Vec<Node>,
    refused: Vec<(NodeId, Refusal)>,
    stats: Vec<Stats>,
}

impl World {
    /// Dynamic dials up to `max_dialed`, no static nodes, no bootnodes.
    pub(crate) fn with_slots(max_dialed: usize) -> Self {
        Self::new(|config| config.max_dialed = max_dialed)
    }

    /// Only these static nodes.
    pub(crate) fn with_statics(statics: impl IntoIterator<Item = u32>) -> Self {
        Self::new(|config| {
            config.dynamic = false;
            config.static_nodes = nodes(statics);
        })
    }

    pub(crate) fn new(configure: impl FnOnce(&mut Config)) -> Self {
        Self::seeded(1, configure)
    }

    pub(crate) fn seeded(seed: u8, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(id(0));
        configure(&mut config);
        #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock")]
        let start = Instant::now();
        let dial_names = config.dial_names;
        let mut world = Self {
            dial_names,
            scheduler: Scheduler::new(config, [seed; 32], start),
            now: start,
            start,
            running: BTreeMap::new(),
            dialed: Vec::new(),
            searched: Vec::new(),
            refused: Vec::new(),
            stats: Vec::new(),
        };
        world.drain();
        world
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.scheduler.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.scheduler.poll_output() {
            match output {
                Output::Dial { dial, node, kind } => {
                    let by_name = self.dial_names && node.tcp_port().is_some();
                    assert!(node.tcp_addr().is_some() || by_name, "{node:?} has no address");
                    let twice = self.running.insert(node.id(), (dial, kind));
                    assert_eq!(twice, None, "{node:?} is dialed twice at once");
                    self.dialed.push(node);
                }
                Output::Resolve { node } => self.searched.push(node),
                Output::Refused { id, refusal } => self.refused.push((id, refusal)),
                Output::Stats(stats) => self.stats.push(stats),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Lets time pass, and wakes the scheduler whenever it wants to be woken.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.scheduler.poll_timeout().filter(|&at| at <= end) {
            assert!(at > self.now, "the scheduler wants to be woken in the past, over and over");
            self.now = at;
            self.scheduler.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn at(&self) -> Duration {
        self.now - self.start
    }

    /// Candidates from discovery; returns those that were taken.
    pub(crate) fn offer(&mut self, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let take = |&number: &u32| self.offer_node(node(number)).is_ok();
        numbers.into_iter().filter(take).collect()
    }

    pub(crate) fn offer_node(&mut self, node: Node) -> Result<(), Refusal> {
        let result = self.scheduler.handle_candidate(self.now, node);
        self.drain();
        result
    }

    /// The dial succeeds.
    pub(crate) fn connect(&mut self, number: u32) {
        let (_, kind) = self.running[&id(number)];
        self.input(Input::PeerAdded {
            id: id(number),
            dialed: true,
            kind: Some(kind),
            remote_addr: None,
        });
        self.end(number, Outcome::Added);
    }

    /// The dial finds nobody. A search for a newer address that follows finds nothing.
    pub(crate) fn fail(&mut self, number: u32) {
        self.end(number, Outcome::ConnectFailed);
        if self.searched.pop_if(|node| node.id() == id(number)).is_some() {
            self.input(Input::Resolved { id: id(number), result: None });
        }
    }

    pub(crate) fn end(&mut self, number: u32, outcome: Outcome) {
        let (dial, _) = self.running.remove(&id(number)).unwrap();
        self.input(Input::DialDone { dial, outcome });
    }

    pub(crate) fn running(&self, number: u32) -> (DialId, DialKind) {
        self.running[&id(number)]
    }

    pub(crate) fn resolved(&mut self, number: u32, result: Option<Node>) {
        self.input(Input::Resolved { id: id(number), result });
    }

    pub(crate) fn inbound_peer(&mut self, number: u32) {
        self.input(Input::PeerAdded {
            id: id(number),
            dialed: false,
            kind: None,
            remote_addr: None,
        });
    }

    pub(crate) fn dialed_peer(&mut self, number: u32) {
        self.input(Input::PeerAdded {
            id: id(number),
            dialed: true,
            kind: None,
            remote_addr: None,
        });
    }

    pub(crate) fn drop_peer(&mut self, number: u32) {
        self.input(Input::PeerRemoved { id: id(number) });
    }

    pub(crate) fn add_static(&mut self, number: u32) {
        self.input(Input::AddStatic(node(number)));
    }

    pub(crate) fn remove_static(&mut self, number: u32) {
        self.input(Input::RemoveStatic(id(number)));
    }

    pub(crate) fn why_not(&self, number: u32) -> Option<Refusal> {
        self.scheduler.why_not(self.now, &node(number))
    }

    /// How long the node waits after failures.
    pub(crate) fn backing_off(&self, number: u32) -> Duration {
        match self.why_not(number) {
            Some(Refusal::BackingOff { until }) => until - self.now,
            other => panic!("node {number} is not backing off: {other:?}"),
        }
    }

    /// These are the nodes dialed since the last comparison, and no address was searched for.
    #[track_caller]
    pub(crate) fn dials(&mut self, prose: &str, numbers: impl IntoIterator<Item = u32>) {
        self.dials_at(prose, numbers.into_iter().map(node));
    }

    /// The same, with their addresses.
    #[track_caller]
    pub(crate) fn dials_at(&mut self, prose: &str, nodes: impl IntoIterator<Item = Node>) {
        let show = |nodes: Vec<Node>| {
            let mut shown: Vec<_> = nodes.iter().map(|node| format!("{node:?}")).collect();
            shown.sort();
            shown
        };
        let dialed = show(std::mem::take(&mut self.dialed));
        assert_eq!(dialed, show(nodes.into_iter().collect()), "{prose} ({:?})", self.at());
        self.searches(prose, []);
    }

    #[track_caller]
    pub(crate) fn no_dials(&mut self, prose: &str) {
        self.dials(prose, []);
    }

    /// These are the nodes for whose address was searched since the last comparison.
    #[track_caller]
    pub(crate) fn searches(&mut self, prose: &str, nodes: impl IntoIterator<Item = Node>) {
        let searched = std::mem::take(&mut self.searched);
        let wanted: Vec<_> = nodes.into_iter().collect();
        assert_eq!(searched, wanted, "{prose} ({:?})", self.at());
    }

    pub(crate) fn take_dialed(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.dialed).iter().map(Node::id).collect()
    }

    pub(crate) fn take_refused(&mut self) -> Vec<(NodeId, Refusal)> {
        std::mem::take(&mut self.refused)
    }

    pub(crate) fn take_stats(&mut self) -> Vec<Stats> {
        std::mem::take(&mut self.stats)
    }
}
