//! A network of nodes, and whoever else is in it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{NodeId, Rng, WallClock};
use devp2p_simnet::{Delivery, Host, HostId, Link, Nat, NatKind, Transmit, World};

use super::{
    liar::Liar,
    machine::{Discovery, Settings},
    node::{Identity, Node},
    probe::Probe,
};

/// The time of day at which a run begins.
pub(crate) const BEGIN: Duration = Duration::from_secs(1_700_000_000);
/// The port of all nodes.
const PORT: u16 = 30_303;
/// How far nodes are apart, in milliseconds: from one city to the next, or to the other side of the
/// world.
const NEAREST: u64 = 20;
const FARTHEST: u64 = 150;
/// How a network begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan<C> {
    pub(crate) nodes: usize,
    /// The first of the nodes, whom all others know.
    pub(crate) bootnodes: usize,
    /// Within what time all start.
    pub(crate) join: Duration,
    /// How often the user of each node looks around.
    pub(crate) pace: Option<Duration>,
    pub(crate) links: Links,
    pub(crate) config: C,
}

/// What the links do beside their latency.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    pub(crate) loss: f64,
    pub(crate) reorder: f64,
    pub(crate) duplicate: f64,
}

impl<C: Settings> Plan<C> {
    /// So many nodes, one of them the bootnode of all others.
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            bootnodes: 1,
            join: Duration::from_secs(5),
            pace: Some(Duration::from_secs(30)),
            links: Links { loss: 0.01, ..Links::default() },
            config: C::simulated(),
        }
    }

    /// The same with fewer lookups in the beginning: they are enough to know a few hundred nodes.
    pub(crate) fn small(nodes: usize) -> Self {
        let mut plan = Self::new(nodes);
        plan.config.set_refresh_lookups(1);
        plan
    }
}

/// Whoever is in a network.
pub(crate) enum Member<D: Discovery> {
    Node(Box<Node<D>>),
    Liar(Liar),
    Probe(Probe),
}

pub(crate) struct Network<D: Discovery> {
    pub(crate) world: World<Member<D>>,
    pub(crate) clock: WallClock,
    pub(crate) rng: Rng,
    pub(crate) nodes: Vec<(Identity, HostId)>,
    plan: Plan<D::Config>,
    latencies: u64,
}

impl<D: Discovery> Network<D> {
    /// The nodes of the plan start one after the other.
    pub(crate) fn new(seed: u64, plan: Plan<D::Config>) -> Self {
        let nodes = plan.nodes;
        let mut network = Self::empty(seed, plan);
        for _ in 0..nodes {
            network.join(network.clock);
        }
        network
    }

    /// Nobody has started yet.
    pub(crate) fn empty(seed: u64, plan: Plan<D::Config>) -> Self {
        let mut world = World::new(seed, Link::default());
        let rng = Rng::from_seed(world.rng().seed());
        let clock = WallClock::new(world.now(), BEGIN);
        let latencies = world.rng().next_u64();
        let mut network = Self { world, clock, rng, nodes: Vec::new(), latencies, plan };
        network.set_links(network.plan.links);
        network
    }

    /// Starts one more node, whose clock this is.
    pub(crate) fn join(&mut self, clock: WallClock) -> usize {
        let identity = Identity::new(&mut self.rng, address(self.nodes.len()));
        let node = self.node(&identity, clock);
        let host = self.world.spawn(identity.address, Member::Node(Box::new(node)));
        self.joined(identity, host)
    }

    /// Starts one more node, behind a NAT of its own.
    pub(crate) fn join_behind(&mut self, kind: NatKind) -> usize {
        let nat = self.world.add_nat(Nat::new(kind, address(self.nodes.len()).ip()));
        let identity = Identity::new(&mut self.rng, SocketAddr::from(([192, 168, 1, 2], PORT)));
        let node = self.node(&identity, self.clock);
        let host = self.world.spawn_behind(nat, identity.address, Member::Node(Box::new(node)));
        self.joined(identity, host)
    }

    /// Starts somebody else's node, who has settings of his own.
    pub(crate) fn join_as(&mut self, identity: Identity, config: D::Config) -> usize {
        let (now, clock) = (self.world.now(), self.clock);
        let node = Node::new(now, clock, &identity, config, None, &mut self.rng);
        let host = self.world.spawn(identity.address, Member::Node(Box::new(node)));
        self.nodes.push((identity, host));
        self.nodes.len() - 1
    }

    /// A node begins anew, and has forgotten all but who it is.
    pub(crate) fn restart(&mut self, at: usize) {
        let (identity, host) = self.nodes[at].clone();
        let node = self.node(&identity, self.clock);
        self.world.restart(host, Member::Node(Box::new(node)));
    }

    /// The same, at another port.
    pub(crate) fn restart_elsewhere(&mut self, at: usize) {
        let (identity, host) = &mut self.nodes[at];
        self.world.remove(*host);
        identity.address.set_port(identity.address.port() + 1);
        let (identity, address) = (identity.clone(), identity.address);
        let node = self.node(&identity, self.clock);
        self.nodes[at].1 = self.world.spawn(address, Member::Node(Box::new(node)));
    }

    fn joined(&mut self, identity: Identity, host: HostId) -> usize {
        self.nodes.push((identity, host));
        let pause = self.plan.join / u32::try_from(self.plan.nodes.max(1)).unwrap();
        self.world.run_for(pause);
        self.nodes.len() - 1
    }

    /// The first life of a node, or another one.
    pub(crate) fn node(&mut self, identity: &Identity, clock: WallClock) -> Node<D> {
        let mut config = self.plan.config.clone();
        let bootnodes = self.nodes.iter().take(self.plan.bootnodes);
        let bootnodes = bootnodes.filter(|(it, _)| it.id != identity.id);
        config.set_bootnodes(bootnodes.map(|(it, _)| it.node()).collect());
        Node::new(self.world.now(), clock, identity, config, self.plan.pace, &mut self.rng)
    }

    /// Changes what the links do. How far two are apart stays as it is.
    pub(crate) fn set_links(&mut self, Links { loss, reorder, duplicate }: Links) {
        let seed = self.latencies;
        self.world.set_link_rule(move |from, to| Link {
            jitter: Duration::from_millis(5),
            loss,
            reorder,
            duplicate,
            ..Link::with_latency(latency(seed, from, to))
        });
    }

    /// Lets the users of all nodes look around so often from now on.
    pub(crate) fn set_pace(&mut self, pace: Option<Duration>) {
        self.plan.pace = pace;
        for at in self.alive() {
            let first = self.rng.below(1 << 20) as f64 / f64::from(1 << 20);
            self.with(at, |node, now| node.set_pace(now, pace, first));
        }
    }

    pub(crate) fn add_probe(&mut self, ip: Ipv4Addr) -> HostId {
        self.world.spawn((ip, 0).into(), Member::Probe(Probe::default()))
    }

    pub(crate) fn add_liar(&mut self, ips: &[Ipv4Addr], liar: Liar) -> HostId {
        let host = self.world.spawn((ips[0], 0).into(), Member::Liar(liar));
        for ip in &ips[1..] {
            self.world.add_address(host, (*ip, 0).into());
        }
        host
    }

    pub(crate) fn run_for(&mut self, secs: u64) {
        self.world.run_for(Duration::from_secs(secs));
    }

    /// A node that is up.
    pub(crate) fn at(&self, at: usize) -> &Node<D> {
        let Member::Node(node) = self.world.host(self.nodes[at].1) else { panic!("no node") };
        node
    }

    pub(crate) fn with<R>(&mut self, at: usize, act: impl FnOnce(&mut Node<D>, Instant) -> R) -> R {
        self.world.with(self.nodes[at].1, |member, now| {
            let Member::Node(node) = member else { panic!("no node") };
            act(node, now)
        })
    }

    pub(crate) fn with_liar<R>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut Liar, Instant) -> R,
    ) -> R {
        self.world.with(host, |member, now| {
            let Member::Liar(liar) = member else { panic!("no liar") };
            act(liar, now)
        })
    }

    pub(crate) fn with_probe<R>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut Probe, Instant) -> R,
    ) -> R {
        self.world.with(host, |member, now| {
            let Member::Probe(probe) = member else { panic!("no probe") };
            act(probe, now)
        })
    }

    /// The nodes that are up.
    pub(crate) fn alive(&self) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, (_, host))| self.world.get(*host).is_some()).map(|(at, _)| at).collect()
    }

    pub(crate) fn ids(&self, nodes: &[usize]) -> Vec<NodeId> {
        nodes.iter().map(|&at| self.nodes[at].0.id).collect()
    }

    /// So many different nodes of these, at random.
    pub(crate) fn choose(&mut self, nodes: &[usize], count: usize) -> Vec<usize> {
        let mut left = nodes.to_vec();
        let count = count.min(left.len());
        (0..count).map(|_| left.swap_remove(self.rng.below(left.len() as u64) as usize)).collect()
    }
}

/// Each in a /24 of its own.
fn address(n: usize) -> SocketAddr {
    let [.., third, high, low] = n.to_be_bytes();
    SocketAddr::new(IpAddr::from([23 + third, high, low, 1]), PORT)
}

/// The same both ways.
fn latency(seed: u64, from: HostId, to: HostId) -> Duration {
    let (a, b) = (from.index().min(to.index()) as u64, from.index().max(to.index()) as u64);
    // SplitMix64.
    let z = (seed ^ (a << 32 | b)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let micros = (z ^ (z >> 31)) % (1_000 * (FARTHEST - NEAREST));
    Duration::from_micros(1_000 * NEAREST + micros)
}

impl<D: Discovery> Host for Member<D> {
    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        match self {
            Self::Node(node) => node.handle_delivery(now, delivery),
            Self::Liar(liar) => liar.handle_delivery(now, delivery),
            Self::Probe(probe) => probe.handle_delivery(now, delivery),
        }
    }

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: &[u8]) {}

    fn handle_timeout(&mut self, now: Instant) {
        if let Self::Node(node) = self {
            node.handle_timeout(now);
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Node(node) => node.poll_transmit(),
            Self::Liar(liar) => liar.poll_transmit(),
            Self::Probe(probe) => probe.poll_transmit(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Node(node) => node.poll_timeout(),
            Self::Liar(_) | Self::Probe(_) => None,
        }
    }
}
