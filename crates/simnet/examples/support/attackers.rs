//! Adversaries of one node: many identities at a few addresses, all under one hand.
//!
//! They do nothing that another host could not do. They answer whoever asks, at once; to FINDNODE
//! they name one another, the nearest to the target, at as many addresses as they have. They ping
//! their victim with ever other identities, at first with those that fit best into its table. They
//! take every connection, dial the victim without pause, and never hang up.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{NodeId, PublicKey, Rng, WallClock};
use devp2p_discv4::wire::{
    Datagram, Endpoint, MAX_NEIGHBORS, Neighbor, Neighbors, Packet, Ping, Pong,
};
use devp2p_simnet::{Class, Delivery, Host, Transmit};

use super::{
    keys::{Identity, MINED, StandIn, mined},
    stream::{Piece, Wire},
};

/// Where all of them take connections.
pub(crate) const TCP_PORT: u16 = 30_303;
/// The first of their UDP ports.
const FIRST_PORT: u16 = 10_000;
/// The nodes in an answer to FINDNODE.
const NEIGHBORS: usize = 16;
/// For how long a packet is valid, in seconds.
const LIFETIME: u64 = 20;
/// The places of the buckets and of the table that one prefix can hold, in a node with limits.
const PER_BUCKET: usize = 2;
const PER_TABLE: usize = 10;
/// How often they do something of their own accord.
const TICK: Duration = Duration::from_millis(100);

/// What they have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// The /24s.
    pub(crate) prefixes: usize,
    /// The addresses in each.
    pub(crate) addresses: usize,
}

impl Means {
    /// Each /24 in a /16 of its own, so that no coarser limit would find them either.
    pub(crate) fn ips(self) -> Vec<Ipv4Addr> {
        let prefixes = 0..self.prefixes;
        let ip = |at: usize, prefix: usize| Ipv4Addr::new(45, 10 + prefix as u8, 7, 1 + at as u8);
        (0..self.addresses).flat_map(|at| prefixes.clone().map(move |p| ip(at, p))).collect()
    }
}

/// How hard they try, each second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// The PINGs from each /24.
    pub(crate) pings: usize,
    /// The dials, all together.
    pub(crate) dials: usize,
}

impl Effort {
    /// As much as gets through the limits of a node, for as long as it takes.
    pub(crate) const STEADY: Self = Self { pings: 5, dials: 50 };
    /// For hours.
    pub(crate) const LONG: Self = Self { pings: 5, dials: 4 };
    /// In the seconds in which it counts: more than anybody listens to.
    pub(crate) const RUSH: Self = Self { pings: 60, dials: 500 };
}

pub(crate) struct Attackers {
    ips: Vec<Ipv4Addr>,
    prefixes: usize,
    clock: WallClock,
    victim: NodeId,
    target: SocketAddr,
    target_key: PublicKey,
    effort: Effort,
    /// For each /24, the identities with which to ping the victim, in turn.
    order: Vec<VecDeque<usize>>,
    /// The connections that they dialed and that were not refused.
    dialed: BTreeMap<u64, Identity>,
    next_dial: u64,
    rng: Rng,
    tick_at: Instant,
    ticks: u64,
    out: VecDeque<Transmit>,
}

impl Attackers {
    pub(crate) fn new(
        now: Instant,
        clock: WallClock,
        means: Means,
        (target_key, target): (PublicKey, SocketAddr),
        mut rng: Rng,
    ) -> Self {
        let victim = NodeId::from(target_key);
        let order = (0..means.prefixes).map(|at| order(victim, means, at, &mut rng)).collect();
        Self {
            ips: means.ips(),
            prefixes: means.prefixes,
            clock,
            victim,
            target,
            target_key,
            effort: Effort::STEADY,
            order,
            dialed: BTreeMap::new(),
            next_dial: 0,
            rng,
            tick_at: now,
            ticks: 0,
            out: VecDeque::new(),
        }
    }

    /// Whether an identity is one of theirs.
    pub(crate) fn own(id: &NodeId) -> bool {
        mined().binary_search_by_key(id, |identity| identity.id).is_ok()
    }

    pub(crate) const fn set_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// Begins with the identities that fit best, as the victim has forgotten all others.
    pub(crate) fn start_over(&mut self) {
        let means = Means { prefixes: self.prefixes, addresses: self.ips.len() / self.prefixes };
        for at in 0..self.prefixes {
            self.order[at] = order(self.victim, means, at, &mut self.rng);
        }
    }

    /// Makes itself known to a node: it is one of the network like any other.
    pub(crate) fn join(&mut self, now: Instant, node: SocketAddr) {
        let near = position(&self.victim);
        for prefix in 0..self.prefixes {
            for pick in 0..PER_TABLE {
                let spread = match pick {
                    // Near to the victim, to be named to it.
                    0..PER_BUCKET => near + pick * self.prefixes,
                    _ => self.rng.below(MINED as u64) as usize,
                };
                let at = spread - spread % self.prefixes + prefix;
                self.ping(now, at % MINED, node);
            }
        }
    }

    /// The endpoint of an identity: neighbours in the order of ids are in different prefixes.
    fn endpoint(&self, at: usize) -> SocketAddr {
        let ip = self.ips[at % self.ips.len()];
        (ip, FIRST_PORT + (at / self.ips.len()) as u16).into()
    }

    fn at(&self, endpoint: SocketAddr) -> Option<usize> {
        let ip = self.ips.iter().position(|ip| endpoint.ip() == *ip)?;
        let at = usize::from(endpoint.port().checked_sub(FIRST_PORT)?) * self.ips.len() + ip;
        (at < MINED).then_some(at)
    }

    fn send(&mut self, at: usize, to: SocketAddr, packet: &Packet) {
        let Ok(sealed) = packet.seal(&StandIn(mined()[at].key)) else { return };
        let from = self.endpoint(at);
        self.out.push_back(Transmit::datagram(to, sealed.bytes).with_source(from));
    }

    fn ping(&mut self, now: Instant, at: usize, to: SocketAddr) {
        let packet = Packet::Ping(Ping {
            version: 4,
            from: Endpoint::new(self.endpoint(at), TCP_PORT),
            to: Endpoint::new(to, to.port()),
            expiration: self.expiration(now),
            enr_seq: None,
        });
        self.send(at, to, &packet);
    }

    fn answer(&mut self, now: Instant, at: usize, from: SocketAddr, bytes: &[u8]) {
        let Ok(datagram) = Datagram::parse(bytes) else { return };
        match datagram.packet() {
            Ok(Packet::Ping(_)) => {
                let pong = Packet::Pong(Pong {
                    to: Endpoint::new(from, from.port()),
                    ping_hash: datagram.hash(),
                    expiration: self.expiration(now),
                    enr_seq: None,
                });
                self.send(at, from, &pong);
                // Who is asked for a proof may ask for one, and then be asked what it wants.
                self.ping(now, at, from);
            }
            Ok(Packet::FindNode(find_node)) => {
                let nodes = self.nearest(&find_node.target.id());
                for part in nodes.chunks(MAX_NEIGHBORS) {
                    let expiration = self.expiration(now);
                    let neighbors = Neighbors { nodes: part.to_vec(), expiration };
                    self.send(at, from, &Packet::Neighbors(neighbors));
                }
            }
            _ => {}
        }
    }

    /// The nearest of them, which are neighbours in the order of ids, too.
    fn nearest(&self, target: &NodeId) -> Vec<Neighbor> {
        let near = position(target);
        let mut all: Vec<_> =
            (near.saturating_sub(2 * NEIGHBORS)..(near + 2 * NEIGHBORS).min(MINED)).collect();
        all.sort_by_key(|&at| mined()[at].id.distance(target));
        let neighbor = |at: usize| {
            let endpoint = self.endpoint(at);
            let public_key = mined()[at].key;
            Neighbor { ip: endpoint.ip(), udp: endpoint.port(), tcp: TCP_PORT, public_key }
        };
        all.into_iter().take(NEIGHBORS).map(neighbor).collect()
    }

    /// Pings and dials the victim.
    fn press(&mut self, now: Instant) {
        for prefix in 0..self.prefixes {
            for _ in 0..self.share(self.effort.pings) {
                let Some(at) = self.order[prefix].pop_front() else { continue };
                self.order[prefix].push_back(at);
                self.ping(now, at, self.target);
            }
        }
        for _ in 0..self.share(self.effort.dials) {
            self.dial();
        }
    }

    /// What of so many a second is due in this tick.
    fn share(&self, per_second: usize) -> usize {
        let ticks = 10;
        let due = |tick: u64| per_second * (tick % ticks) as usize / ticks as usize;
        let tick = self.ticks % ticks;
        if tick + 1 == ticks { per_second - due(tick) } else { due(tick + 1) - due(tick) }
    }

    fn dial(&mut self) {
        self.next_dial += 1;
        let number = self.next_dial;
        // As identities of their own, so that no peer is one already.
        let at = self.rng.below(MINED as u64) as usize;
        self.dialed.insert(number, mined()[at]);
        self.send_piece(number, Piece::Open);
    }

    fn send_piece(&mut self, number: u64, piece: Piece) {
        let ip = self.ips[number as usize % self.ips.len()];
        let bytes = piece.encode(Wire { dialed: true, number });
        let transmit = Transmit::segment(self.target, bytes);
        self.out.push_back(transmit.with_source((ip, TCP_PORT).into()));
    }

    fn handle_piece(&mut self, to: SocketAddr, from: SocketAddr, wire: Wire, piece: Piece) {
        let mut answer = |piece: Piece| {
            let transmit = Transmit::segment(from, piece.encode(wire));
            self.out.push_back(transmit.with_source(to));
        };
        match piece {
            Piece::Open => answer(Piece::Opened),
            Piece::Auth { to, .. } => {
                answer(Piece::Ack(to));
                answer(Piece::Hello(to));
            }
            _ if !wire.dialed => {}
            Piece::Opened => {
                if let Some(&Identity { key, .. }) = self.dialed.get(&wire.number) {
                    self.send_piece(wire.number, Piece::Auth { from: key, to: self.target_key });
                }
            }
            Piece::Ack(_) => {
                if let Some(&Identity { key, .. }) = self.dialed.get(&wire.number) {
                    self.send_piece(wire.number, Piece::Hello(key));
                }
            }
            Piece::Disconnect(_) | Piece::Reset => drop(self.dialed.remove(&wire.number)),
            // It stays.
            Piece::Hello(_) | Piece::Alive => {}
        }
    }

    fn expiration(&self, now: Instant) -> u64 {
        self.clock.unix_secs(now) + LIFETIME
    }
}

/// The identities of a prefix in the order in which they are of use: those with which it gets all
/// places that the limits of a table leave it, then all others, from far and near in turn.
fn order(victim: NodeId, means: Means, prefix: usize, rng: &mut Rng) -> VecDeque<usize> {
    let mut buckets: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
    let start = rng.below(MINED as u64) as usize;
    for at in (0..MINED).map(|at| (at + start) % MINED) {
        if at % means.prefixes == prefix {
            let distance = victim.log_distance(&mined()[at].id);
            buckets.entry(std::cmp::Reverse(distance)).or_default().push_back(at);
        }
    }
    let mut order = VecDeque::new();
    // Half of the prefixes are enough to fill a bucket; the others take the next.
    for bucket in buckets.values_mut().skip(prefix % 2).step_by(2).take(PER_TABLE / PER_BUCKET) {
        order.extend(bucket.drain(..PER_BUCKET.min(bucket.len())));
    }
    loop {
        let before = order.len();
        order.extend(buckets.values_mut().filter_map(VecDeque::pop_front));
        if order.len() == before || order.len() > 4_096 {
            return order;
        }
    }
}

/// Where in the order of ids the target would be.
fn position(target: &NodeId) -> usize {
    mined().partition_point(|identity| identity.id < *target)
}

impl Host for Attackers {
    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        let Delivery { from, to, bytes, class } = delivery;
        match class {
            Class::Datagram => {
                if let Some(at) = self.at(*to) {
                    self.answer(now, at, *from, bytes);
                }
            }
            Class::Segment => {
                if let Some((wire, piece)) = Piece::decode(bytes) {
                    self.handle_piece(*to, *from, wire, piece);
                }
            }
        }
    }

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: &[u8]) {}

    fn handle_unreachable(&mut self, _: Instant, _: SocketAddr) {
        self.dialed.clear();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.tick_at = now + TICK;
        self.ticks += 1;
        self.press(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.tick_at)
    }
}
