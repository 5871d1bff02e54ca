//! A network of clients, and whoever is against them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeId, Rng, WallClock};
use devp2p_peer::Direction;
use devp2p_simnet::{Churn, Delivery, Host, HostId, Link, Transmit, World};

use super::{
    attackers::{Attackers, Means},
    client::{Client, Identity},
    setup::Setup,
};

/// The time of day at which a run begins.
const BEGIN: Duration = Duration::from_secs(1_700_000_000);
/// Within what time all nodes start.
const START: Duration = Duration::from_secs(5);

/// The peers that a server dials, and all that it has, by default.
pub(crate) const TARGET: usize = 16;
pub(crate) const MAX_PEERS: usize = 50;

/// Whoever is in the network.
pub(crate) enum Member {
    Client(Box<Client>),
    Attackers(Box<Attackers>),
}

/// The nodes that are left when others have been killed.
pub(crate) struct Survivors {
    places: Vec<usize>,
    ids: BTreeSet<NodeId>,
}

impl Survivors {
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }
}

/// Clients, the first of which is the bootnode of all others.
pub(crate) struct Network {
    pub(crate) world: World<Member>,
    clock: WallClock,
    rng: Rng,
    pub(crate) nodes: Vec<(Identity, HostId)>,
    attackers: Option<HostId>,
    setup: Setup,
    bootnodes: Vec<Node>,
}

impl Network {
    /// Nodes that start within a few seconds.
    pub(crate) fn new(seed: u64, setup: Setup) -> Self {
        let mut world = World::new(seed, Link::default());
        let rng = Rng::from_seed(world.rng().seed());
        let clock = WallClock::new(world.now(), BEGIN);
        let (nodes, bootnodes) = (Vec::new(), Vec::new());
        let mut network = Self { world, clock, rng, nodes, attackers: None, setup, bootnodes };
        for n in 0..setup.nodes {
            network.add(n);
            network.world.run_for(START / setup.nodes as u32);
        }
        network
    }

    fn add(&mut self, n: usize) {
        let identity = Identity::new(&mut self.rng, address(n));
        let client = self.life(&identity);
        let host = self.world.spawn(identity.address, client);
        for at in 0..n {
            let (_, other) = self.nodes[at];
            // As far apart as from one city to the next, or to the other side of the world.
            let latency = Duration::from_millis(20 + self.rng.below(131));
            self.link(host, other, latency);
        }
        if n == 0 {
            self.bootnodes.push(identity.node());
        }
        self.nodes.push((identity, host));
    }

    /// The next life of a node.
    fn life(&mut self, identity: &Identity) -> Member {
        let now = self.world.now();
        let Self { clock, setup, bootnodes, rng, .. } = self;
        let client = Client::new(now, *clock, identity, setup, bootnodes, rng);
        Member::Client(Box::new(client))
    }

    /// Starts a node again.
    pub(crate) fn restart(&mut self, at: usize) {
        let (identity, host) = self.nodes[at].clone();
        let client = self.life(&identity);
        self.world.restart(host, client);
    }

    /// So many nodes, chosen by lot, lose their power at once. The bootnode is not among them: who starts
    /// anew needs one.
    pub(crate) fn kill(&mut self, count: usize) -> Survivors {
        let mut places: Vec<_> = (1..self.nodes.len()).collect();
        for _ in 0..count {
            let chosen = self.rng.below(places.len() as u64) as usize;
            let (_, host) = self.nodes[places.swap_remove(chosen)];
            self.world.crash(host);
        }
        places.push(0);
        let ids = places.iter().map(|&at| self.nodes[at].0.key.id()).collect();
        Survivors { places, ids }
    }

    /// How many of them have dialed so many peers that are alive: the dead count for nothing, also
    /// while nobody has noticed.
    pub(crate) fn at_target(&self, survivors: &Survivors, target: usize) -> usize {
        let outbound = |at: usize| {
            let dialed = self.node(at).peers().filter(|(id, peer)| {
                peer.direction == Direction::Outbound && survivors.ids.contains(id)
            });
            dialed.count()
        };
        survivors.places.iter().filter(|&&at| outbound(at) >= target).count()
    }

    /// Lets time pass in which nodes lose their power, and are started again.
    pub(crate) fn run_with_churn(&mut self, churn: &mut Churn, duration: Duration) {
        let Self { world, clock, rng, nodes, setup, bootnodes, .. } = self;
        churn.run_for(world, duration, |_, host, now| {
            let (identity, _) = nodes.iter().find(|(_, known)| *known == host).unwrap();
            Member::Client(Box::new(Client::new(now, *clock, identity, setup, bootnodes, rng)))
        });
    }

    /// Adversaries of a node, who sit beside everybody.
    pub(crate) fn attack(&mut self, victim: usize, means: Means) {
        let (identity, _) = &self.nodes[victim];
        let victim = (identity.key.public_key(), identity.address);
        let (now, rng) = (self.world.now(), Rng::from_seed(self.rng.seed()));
        let versions = self.setup.discoveries.versions();
        let attackers = Attackers::new(now, self.clock, means, versions, victim, rng);
        let ips = means.ips();
        let first = SocketAddr::from((ips[0], 0));
        let host = self.world.spawn(first, Member::Attackers(Box::new(attackers)));
        for (at, ip) in ips.into_iter().enumerate() {
            if at > 0 {
                self.world.add_address(host, (ip, 0).into());
            }
            self.world.add_address(host, (ip, super::attackers::TCP_PORT).into());
        }
        for at in 0..self.nodes.len() {
            let (_, node) = self.nodes[at];
            self.link(host, node, Duration::from_millis(10));
        }
        self.attackers = Some(host);
    }

    /// The adversaries are gone.
    pub(crate) fn end_attack(&mut self) {
        if let Some(host) = self.attackers.take() {
            self.world.remove(host);
        }
    }

    pub(crate) fn with_attackers(&mut self, act: impl FnOnce(&mut Attackers, Instant)) {
        let Some(host) = self.attackers else { return };
        self.world.with(host, |member, now| {
            if let Member::Attackers(attackers) = member {
                act(attackers, now);
            }
        });
    }

    pub(crate) fn node(&self, at: usize) -> &Client {
        let (_, host) = self.nodes[at];
        let Member::Client(client) = self.world.host(host) else { panic!("not a client") };
        client
    }

    pub(crate) fn with_node<R>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Client, Instant) -> R,
    ) -> R {
        let (_, host) = self.nodes[at];
        self.world.with(host, |member, now| {
            let Member::Client(client) = member else { panic!("not a client") };
            act(client, now)
        })
    }

    /// The peers that each server has dialed.
    pub(crate) fn outbound(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).map(|at| self.node(at).outbound())
    }

    /// The parts of the network that have no connection with each other.
    pub(crate) fn components(&self) -> usize {
        let ids = self.nodes.iter().enumerate().map(|(at, (it, _))| (it.key.id(), at));
        let places: BTreeMap<_, _> = ids.collect();
        let mut left: BTreeSet<_> = (0..self.nodes.len()).collect();
        let mut components = 0;
        while let Some(first) = left.pop_first() {
            components += 1;
            let mut reached = vec![first];
            while let Some(at) = reached.pop() {
                let peers = self.node(at).peers().filter_map(|(id, _)| places.get(id).copied());
                reached.extend(peers.filter(|peer| left.remove(peer)));
            }
        }
        components
    }

    fn link(&mut self, a: HostId, b: HostId, latency: Duration) {
        let link = Link { jitter: Duration::from_millis(5), ..Link::with_latency(latency) };
        self.world.set_link_between(a, b, link);
        self.world.set_link_between(b, a, link);
    }
}

/// Each in a /24 of its own, but for a few.
fn address(n: usize) -> SocketAddr {
    let network = n - usize::from(n % 25 == 24);
    let [.., high, low] = network.to_be_bytes();
    SocketAddr::from(([23, high, low, 1 + (n % 25) as u8], 30303))
}

impl Host for Member {
    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        match self {
            Self::Client(client) => client.handle_delivery(now, delivery),
            Self::Attackers(attackers) => attackers.handle_delivery(now, delivery),
        }
    }

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: &[u8]) {}

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        match self {
            Self::Client(client) => client.handle_unreachable(now, to),
            Self::Attackers(attackers) => attackers.handle_unreachable(now, to),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Client(client) => client.handle_timeout(now),
            Self::Attackers(attackers) => attackers.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Client(client) => client.poll_transmit(),
            Self::Attackers(attackers) => attackers.poll_transmit(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Client(client) => client.poll_timeout(),
            Self::Attackers(attackers) => attackers.poll_timeout(),
        }
    }
}
