//! An adversary: many identities at a few addresses, all under one hand.
//!
//! It does nothing that another host could not do: it answers whoever asks, at once, and proves
//! every one of its endpoints. It lies about others.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use devp2p_core::{NodeId, WallClock};
use devp2p_discv4::wire::{
    Datagram, Endpoint, MAX_NEIGHBORS, Neighbor, Neighbors, Packet, Ping, Pong,
};
use devp2p_simnet::{Delivery, Host, Transmit};

use super::keys::{MINED, StandIn, mined};

/// Of its UDP ports the first.
const FIRST_PORT: u16 = 10_000;
/// The nodes in an answer to FINDNODE.
const NEIGHBORS: usize = 16;

/// Of so many identities in the order of ids one is named, of those that do not exist.
pub(crate) const INVENTED: usize = 3;

/// Whom it names to those who ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names {
    /// Its own identities, those nearest to the target.
    Itself,
    /// Ever other identities, so many of them, at this address: all at one port or each at one of
    /// its own.
    Victim { address: SocketAddr, ids: usize, many_ports: bool },
}

pub(crate) struct Liar {
    ips: Vec<Ipv4Addr>,
    clock: WallClock,
    names: Names,
    next_named: usize,
    out: VecDeque<Transmit>,
    /// The FINDNODEs that it answered.
    pub(crate) asked: u64,
}

impl Liar {
    pub(crate) fn new(clock: WallClock, ips: Vec<Ipv4Addr>, names: Names) -> Self {
        Self { ips, clock, names, next_named: 0, out: VecDeque::new(), asked: 0 }
    }

    /// Whether an identity is one of its own, or one that it makes up.
    pub(crate) fn knows(id: &NodeId) -> bool {
        mined().binary_search_by_key(id, |identity| identity.id).is_ok()
    }

    /// Pings a node with one of its identities, so that it is known there.
    pub(crate) fn ping(&mut self, now: Instant, at: usize, to: SocketAddr) {
        let packet = Packet::Ping(Ping {
            version: 4,
            from: Endpoint::new(self.endpoint(at), FIRST_PORT),
            to: Endpoint::new(to, to.port()),
            expiration: self.clock.unix_secs(now) + 20,
            enr_seq: None,
        });
        self.send(at, to, &packet);
    }

    /// Who and where one of its identities is.
    pub(crate) fn identity(&self, at: usize) -> (NodeId, SocketAddr) {
        (mined()[at].id, self.endpoint(at))
    }

    /// Neighbours in the order of ids have different addresses.
    fn endpoint(&self, at: usize) -> SocketAddr {
        (self.ips[at % self.ips.len()], FIRST_PORT + (at / self.ips.len()) as u16).into()
    }

    fn identity_at(&self, endpoint: SocketAddr) -> Option<usize> {
        let ip = self.ips.iter().position(|ip| endpoint.ip() == *ip)?;
        let at = usize::from(endpoint.port().checked_sub(FIRST_PORT)?) * self.ips.len() + ip;
        (at < MINED).then_some(at)
    }

    pub(crate) fn send(&mut self, at: usize, to: SocketAddr, packet: &Packet) {
        let sealed = packet.seal(&StandIn(mined()[at].key)).unwrap();
        let from = self.endpoint(at);
        self.out.push_back(Transmit::datagram(to, sealed.bytes).with_source(from));
    }

    fn answer(&mut self, now: Instant, at: usize, from: SocketAddr, bytes: &[u8]) {
        let Ok(datagram) = Datagram::parse(bytes) else { return };
        let expiration = self.clock.unix_secs(now) + 20;
        match datagram.packet() {
            Ok(Packet::Ping(_)) => {
                let pong = Packet::Pong(Pong {
                    to: Endpoint::new(from, from.port()),
                    ping_hash: datagram.hash(),
                    expiration,
                    enr_seq: None,
                });
                self.send(at, from, &pong);
                // Who is asked for a proof may ask for one, and then be asked what it wants.
                self.ping(now, at, from);
            }
            Ok(Packet::FindNode(find_node)) => {
                self.asked += 1;
                for part in self.named(&find_node.target.id()).chunks(MAX_NEIGHBORS) {
                    let neighbors = Neighbors { nodes: part.to_vec(), expiration };
                    self.send(at, from, &Packet::Neighbors(neighbors));
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, target: &NodeId) -> Vec<Neighbor> {
        match self.names {
            Names::Itself => {
                let near = mined().partition_point(|identity| identity.id < *target);
                let near = near.saturating_sub(2 * NEIGHBORS)..(near + 2 * NEIGHBORS).min(MINED);
                let mut near: Vec<_> = near.collect();
                near.sort_by_key(|&at| mined()[at].id.distance(target));
                near.truncate(NEIGHBORS);
                near.into_iter().map(|at| neighbor(at, self.endpoint(at))).collect()
            }
            Names::Victim { address, ids, many_ports } => {
                let first = self.next_named;
                self.next_named += NEIGHBORS;
                let made_up = (first..first + NEIGHBORS).map(|n| n % ids);
                let port =
                    |n: usize| if many_ports { FIRST_PORT + n as u16 } else { address.port() };
                made_up.map(|n| made_up_neighbor(n, (address.ip(), port(n)).into())).collect()
            }
        }
    }
}

/// A neighbour as anybody can invent it. Their ids are spread over all.
pub(crate) fn made_up_neighbor(n: usize, endpoint: SocketAddr) -> Neighbor {
    neighbor(n * INVENTED % MINED, endpoint)
}

fn neighbor(at: usize, endpoint: SocketAddr) -> Neighbor {
    let public_key = mined()[at].key;
    Neighbor { ip: endpoint.ip(), udp: endpoint.port(), tcp: endpoint.port(), public_key }
}

impl Host for Liar {
    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        if let Some(at) = self.identity_at(delivery.to) {
            self.answer(now, at, delivery.from, &delivery.bytes);
        }
    }

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: &[u8]) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
