//! How they speak discovery v4.

use std::{collections::VecDeque, net::SocketAddr, rc::Rc, time::Instant};

use devp2p_core::{NodeId, WallClock};
use devp2p_discv4::wire::{
    Datagram, Endpoint, MAX_NEIGHBORS, Neighbor, Neighbors, Packet, Ping, Pong,
};
use devp2p_simnet::Transmit;

use super::{
    super::keys::{MINED, StandIn, mined},
    NEIGHBORS, Places, Speaker, TCP_PORT, Target, position,
};

/// For how long a packet is valid, in seconds.
const LIFETIME: u64 = 20;

pub(super) struct SpeakerV4 {
    clock: WallClock,
    places: Rc<Places>,
    out: VecDeque<Transmit>,
}

impl SpeakerV4 {
    pub(super) const fn new(clock: WallClock, places: Rc<Places>) -> Self {
        Self { clock, places, out: VecDeque::new() }
    }

    fn send(&mut self, at: usize, to: SocketAddr, packet: &Packet) {
        let Ok(sealed) = packet.seal(&StandIn(mined()[at].key)) else { return };
        let from = self.places.endpoint(at);
        self.out.push_back(Transmit::datagram(to, sealed.bytes).with_source(from));
    }

    fn send_ping(&mut self, now: Instant, at: usize, to: SocketAddr) {
        let packet = Packet::Ping(Ping {
            version: 4,
            from: Endpoint::new(self.places.endpoint(at), TCP_PORT),
            to: Endpoint::new(to, to.port()),
            expiration: self.expiration(now),
            enr_seq: None,
        });
        self.send(at, to, &packet);
    }

    /// The nearest of them, which are neighbours in the order of ids, too.
    fn nearest(&self, target: &NodeId) -> Vec<Neighbor> {
        let near = position(target);
        let mut all: Vec<_> =
            (near.saturating_sub(2 * NEIGHBORS)..(near + 2 * NEIGHBORS).min(MINED)).collect();
        all.sort_by_key(|&at| mined()[at].id.distance(target));
        let neighbor = |at: usize| {
            let endpoint = self.places.endpoint(at);
            let public_key = mined()[at].key;
            Neighbor { ip: endpoint.ip(), udp: endpoint.port(), tcp: TCP_PORT, public_key }
        };
        all.into_iter().take(NEIGHBORS).map(neighbor).collect()
    }

    fn expiration(&self, now: Instant) -> u64 {
        self.clock.unix_secs(now) + LIFETIME
    }
}

impl Speaker for SpeakerV4 {
    fn ping(&mut self, now: Instant, at: usize, (_, to): Target) {
        self.send_ping(now, at, to);
    }

    fn answer(&mut self, now: Instant, at: usize, from: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(datagram) = Datagram::parse(bytes) else { return false };
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
                self.send_ping(now, at, from);
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
        true
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }
}
