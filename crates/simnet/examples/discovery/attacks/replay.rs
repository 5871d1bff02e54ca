//! Somebody who has listened sends it all once more: to a node that has restarted, from his own
//! address and from those of the true senders, who are gone; and again when the time of all of it is
//! over.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_simnet::Transmit;

use devp2p_discv4::Discv4;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::StandIn,
    network::{Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "replay after a restart, and after expiry",
    measures: &[
        Measure { what: "endpoints proved by what was replayed", bar: Bar::AtMost(0.0) },
        Measure { what: "entries in the table", bar: Bar::AtMost(0.0) },
        Measure { what: "bytes back for each replayed", bar: Bar::AtMost(2.0) },
        Measure { what: "bytes back after expiry", bar: Bar::AtMost(0.0) },
    ],
    run,
    nodes: 20,
};

const LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(45, 10, 7, 1)), 30_303);
/// For so long packets are recorded: all of them are valid for as long again.
const SECS: u64 = 10;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    plan.pace = None;
    let mut network = Network::<Discv4<StandIn>>::new(seed, plan);
    network.run_for(15);
    let victim = 1 + (seed as usize % (nodes - 1));
    network.with(victim, |node, now| {
        node.taps.records = true;
        node.set_pace(now, Some(Duration::from_secs(2)), 0.0);
    });
    network.run_for(SECS);
    let packets = network.with(victim, |node, _| std::mem::take(&mut node.taps.received));
    assert!(packets.len() > 20, "little was recorded: {}", packets.len());

    let listener = network.add_probe(Ipv4Addr::new(45, 10, 7, 1));
    for at in network.alive() {
        network.world.crash(network.nodes[at].1);
    }
    let identity = network.nodes[victim].0.clone();
    network.restart(victim);
    let replay = |network: &mut Network<Discv4<StandIn>>| {
        for (from, bytes) in &packets {
            network.with_probe(listener, |probe, _| {
                let packet = Transmit::datagram(identity.address, bytes.clone());
                probe.out.push_back(packet.clone().with_source(*from));
                probe.out.push_back(packet.with_source(LISTENER));
            });
        }
    };

    replay(&mut network);
    network.run_for(2);
    let own: u64 = packets.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let back = network.world.traffic(listener).bytes_received;
    network.run_for(30);
    replay(&mut network);
    let before = network.world.traffic(listener).bytes_received;
    network.run_for(2);
    let late = network.world.traffic(listener).bytes_received - before;

    let machine = &network.at(victim).machine;
    let (bonds, entries) = (machine.usage().bonds, machine.table().len());
    vec![bonds as f64, entries as f64, back as f64 / own as f64, late as f64]
}
