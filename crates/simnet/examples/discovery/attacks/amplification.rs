//! What comes back to an endpoint that has proved nothing, for each byte that was sent in its name.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_core::NodeId;
use devp2p_discv4::{
    Discv4,
    wire::{Endpoint, EnrRequest, EnrResponse, FindNode, Neighbors, Packet, Ping, Pong, Target},
};
use devp2p_simnet::{HostId, Transmit};

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::{StandIn, mined},
    network::{Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "amplification, for each unproven endpoint",
    measures: &[
        Measure { what: "packets back for one PING", bar: Bar::AtMost(2.0) },
        Measure { what: "bytes back for each of one PING as nodes send it", bar: Bar::Counted },
        Measure { what: "bytes back for each of one PING as small as can be", bar: Bar::Counted },
        Measure { what: "bytes back for each of 5 PINGs a second", bar: Bar::AtMost(2.0) },
        Measure { what: "bytes back for FINDNODE", bar: Bar::AtMost(0.0) },
        Measure { what: "bytes back for ENRREQUEST", bar: Bar::AtMost(0.0) },
        Measure { what: "bytes back for PONG, NEIGHBORS and ENRRESPONSE", bar: Bar::AtMost(0.0) },
    ],
    run,
    nodes: 5,
};

/// The meter is at one node, who needs some to name.
const ENOUGH: usize = 30;

/// Each source is in a prefix of its own.
struct Meter {
    network: Network<Discv4<StandIn>>,
    to: SocketAddr,
    sources: u8,
}

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes.min(ENOUGH));
    // What is lost would make it look better.
    plan.links.loss = 0.0;
    let mut network = Network::<Discv4<StandIn>>::new(seed, plan);
    network.run_for(30);
    let to = network.nodes[seed as usize % network.nodes.len()].0.address;
    let mut meter = Meter { network, to, sources: 0 };
    let expiration = meter.expiration();

    let from = Endpoint::new(SocketAddr::from(([45, 10, 7, 1], 30_303)), 30_303);
    let unknown = Endpoint { ip: None, udp: 0, tcp: 0 };
    let ping = |endpoint, expiration, enr_seq| {
        Packet::Ping(Ping { version: 4, from: endpoint, to: endpoint, expiration, enr_seq })
    };
    let usual = ping(from, expiration, Some(1_700_000_000_000));
    let smallest = ping(unknown, expiration, None);
    let one = [&usual, &smallest].map(|ping| meter.send(ping, 1));
    let find_node = Packet::FindNode(FindNode { target: Target::new([7; 64]), expiration });
    let enr_request = Packet::EnrRequest(EnrRequest { expiration });
    let answers = [
        Packet::Pong(Pong { to: from, ping_hash: [7; 32], expiration, enr_seq: None }),
        Packet::Neighbors(Neighbors { nodes: vec![], expiration }),
        Packet::EnrResponse(EnrResponse { request_hash: [7; 32], record: [0xc0][..].into() }),
    ];
    let packets = one.iter().map(|back| back.packets).max().unwrap_or(0);
    let of_answers = answers.iter().map(|answer| meter.send(answer, 20).ratio).fold(0.0, f64::max);
    vec![
        packets as f64,
        one[0].ratio,
        one[1].ratio,
        meter.send(&smallest, 50).ratio,
        meter.send(&find_node, 20).ratio,
        meter.send(&enr_request, 20).ratio,
        of_answers,
    ]
}

struct Back {
    packets: u64,
    /// The bytes that came back for each that was sent.
    ratio: f64,
}

impl Meter {
    fn expiration(&self) -> u64 {
        self.network.clock.unix_secs(self.network.world.now()) + 1_000
    }

    /// Sends a packet so often, five times a second, and says what comes back.
    fn send(&mut self, packet: &Packet, times: usize) -> Back {
        let (network, to) = (&mut self.network, self.to);
        let ip = Ipv4Addr::new(45, 20, self.sources, 1);
        let identity = mined()[usize::from(self.sources)];
        self.sources += 1;
        let source: HostId = network.add_probe(ip);
        let sealed = packet.seal(&StandIn(identity.key)).unwrap();
        for _ in 0..times {
            network.with_probe(source, |probe, _| {
                let packet = Transmit::datagram(to, sealed.bytes.clone());
                probe.out.push_back(packet.with_source((ip, 30_303).into()));
            });
            network.world.run_for(Duration::from_millis(200));
        }
        network.run_for(5);
        let traffic = network.world.traffic(source);
        let node = network.nodes.iter().position(|(it, _)| it.address == to).unwrap();
        let machine = &network.at(node).machine;
        assert!(!machine.is_bonded(
            network.world.now(),
            NodeId::from(identity.key),
            (ip, 30_303).into()
        ));
        let ratio = traffic.bytes_received as f64 / traffic.bytes_sent as f64;
        Back { packets: traffic.received, ratio }
    }
}
