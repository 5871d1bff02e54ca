//! Adversaries of one node: many identities at a few addresses, all under one hand.
//!
//! They do nothing that another host could not do. They answer whoever asks, at once, in any version
//! of discovery; to FINDNODE they name one another, the nearest to the target, at as many addresses
//! as they have. They ping their victim with ever other identities, at first with those that fit
//! best into its table. They take every connection, dial the victim without pause, and never hang
//! up.

mod v4;
mod v5;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

use devp2p_core::{DiscoveryVersion, NodeId, PublicKey, Rng, WallClock};
use devp2p_simnet::{Class, Delivery, Host, Transmit};

use self::{v4::SpeakerV4, v5::SpeakerV5};
use super::{
    keys::{Identity, MINED, mined},
    stream::{Piece, Wire},
};

/// Where all of them take connections.
pub(crate) const TCP_PORT: u16 = 30_303;
/// The first of their UDP ports.
const FIRST_PORT: u16 = 10_000;
/// The nodes in an answer to FINDNODE.
const NEIGHBORS: usize = 16;
/// The places of the buckets and of the table that one prefix can hold, in a node with limits.
const PER_BUCKET: usize = 2;
const PER_TABLE: usize = 10;
/// The places of a bucket, and of buckets enough, in a node without.
const BUCKET: usize = 16;
const TABLE: usize = 64;
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
    /// The PINGs from each /24, in each version of discovery.
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

/// A node, as all know it.
pub(crate) type Target = (PublicKey, SocketAddr);

/// One version of discovery, as they speak it.
trait Speaker {
    /// Lets an identity ping a node.
    fn ping(&mut self, now: Instant, at: usize, to: Target);
    /// Lets an identity answer a datagram. Whether it is one of this version.
    fn answer(&mut self, now: Instant, at: usize, from: SocketAddr, bytes: &[u8]) -> bool;
    fn poll_transmit(&mut self) -> Option<Transmit>;
}

/// Where the identities are.
struct Places(Vec<Ipv4Addr>);

impl Places {
    /// Neighbours in the order of ids are in different prefixes.
    fn endpoint(&self, at: usize) -> SocketAddr {
        (self.0[at % self.0.len()], FIRST_PORT + (at / self.0.len()) as u16).into()
    }

    fn at(&self, endpoint: SocketAddr) -> Option<usize> {
        let ip = self.0.iter().position(|ip| endpoint.ip() == *ip)?;
        let at = usize::from(endpoint.port().checked_sub(FIRST_PORT)?) * self.0.len() + ip;
        (at < MINED).then_some(at)
    }
}

pub(crate) struct Attackers {
    means: Means,
    places: Rc<Places>,
    /// The versions that the others speak. The last takes whatever the others do not.
    speakers: Vec<Box<dyn Speaker>>,
    target: Target,
    effort: Effort,
    /// For each of the speakers and each /24, the identities with which to ping the victim, in turn:
    /// others for each version, as a node that is known to both counts once.
    order: Vec<Vec<VecDeque<usize>>>,
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
        versions: &[DiscoveryVersion],
        target: Target,
        mut rng: Rng,
    ) -> Self {
        let places = Rc::new(Places(means.ips()));
        let victim = NodeId::from(target.0);
        let speakers = versions.iter().map(|version| -> Box<dyn Speaker> {
            let places = Rc::clone(&places);
            match version {
                DiscoveryVersion::V4 => Box::new(SpeakerV4::new(clock, places)),
                DiscoveryVersion::V5 => Box::new(SpeakerV5::new(places, victim, rng.seed())),
                other => panic!("{other:?}"),
            }
        });
        let mut attackers = Self {
            means,
            speakers: speakers.collect(),
            places,
            target,
            effort: Effort::STEADY,
            order: Vec::new(),
            dialed: BTreeMap::new(),
            next_dial: 0,
            rng,
            tick_at: now,
            ticks: 0,
            out: VecDeque::new(),
        };
        attackers.start_over();
        attackers
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
        let Self { means, speakers, target, rng, .. } = self;
        let mut order = |prefix| order(target.0.into(), *means, prefix, rng);
        let orders = speakers.iter().map(|_| (0..means.prefixes).map(&mut order).collect());
        self.order = orders.collect();
    }

    /// Makes itself known to a node: it is one of the network like any other.
    pub(crate) fn join(&mut self, now: Instant, node: Target) {
        let prefixes = self.means.prefixes;
        let near = position(&self.target.0.into());
        let (bucket, table) = (PER_BUCKET.max(BUCKET / prefixes), PER_TABLE.max(TABLE / prefixes));
        for speaker in &mut self.speakers {
            for prefix in 0..prefixes {
                for pick in 0..table {
                    // Some near to the victim, to be named to it.
                    let spread = if pick < bucket {
                        near + pick * prefixes
                    } else {
                        self.rng.below(MINED as u64) as usize
                    };
                    let at = spread - spread % prefixes + prefix;
                    speaker.ping(now, at % MINED, node);
                }
            }
        }
    }

    /// Pings and dials the victim.
    fn press(&mut self, now: Instant) {
        let pings = self.share(self.effort.pings);
        for (speaker, orders) in self.speakers.iter_mut().zip(&mut self.order) {
            for order in orders {
                for _ in 0..pings {
                    let Some(at) = order.pop_front() else { continue };
                    order.push_back(at);
                    speaker.ping(now, at, self.target);
                }
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
        let ip = self.places.0[number as usize % self.places.0.len()];
        let bytes = piece.encode(Wire { dialed: true, number });
        let transmit = Transmit::segment(self.target.1, bytes);
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
                    self.send_piece(wire.number, Piece::Auth { from: key, to: self.target.0 });
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
                if let Some(at) = self.places.at(*to) {
                    let mut speakers = self.speakers.iter_mut();
                    speakers.find_map(|it| it.answer(now, at, *from, bytes).then_some(()));
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
        let said = self.speakers.iter_mut().find_map(|speaker| speaker.poll_transmit());
        said.or_else(|| self.out.pop_front())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.tick_at)
    }
}
