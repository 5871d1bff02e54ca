//! Somebody who has listened sends it all once more, from his own address and from those of the
//! true senders: to the node as it is, to the node after a restart, when all others are gone, and
//! half a minute later. Packets have no time, so all of that is as valid as ever.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use devp2p_discv5::{Discv5, wire::PacketKind};
use devp2p_simnet::Transmit;

use crate::discovery::{
    attacks::{Attack, Bar, Measure},
    caller::masking,
    keys::StandIn,
    network::{Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "replay: at once, after a restart, and later",
    measures: &[
        Measure { what: "sessions at the address of who replays", bar: Bar::AtMost(0.0) },
        Measure { what: "bytes back to it for each replayed", bar: Bar::AtMost(1.0) },
        Measure { what: "of the sessions before, lost", bar: Bar::AtMost(0.0) },
        Measure { what: "sessions made by it after a restart", bar: Bar::AtMost(0.0) },
        Measure { what: "entries in the table after a restart", bar: Bar::AtMost(0.0) },
        Measure { what: "bytes back for each, after a restart", bar: Bar::AtMost(1.0) },
        Measure { what: "the same, half a minute later", bar: Bar::AtMost(1.0) },
    ],
    run,
    nodes: 20,
};

const LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(45, 10, 7, 1)), 30_303);
/// From its start on it is listened to for so long, so that handshakes are among what is heard.
const SECS: u64 = 15;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut network = Network::<Discv5<StandIn>>::new(seed, Plan::small(nodes));
    network.run_for(15);
    let victim = 1 + (seed as usize % (nodes - 1));
    let identity = network.nodes[victim].0.clone();
    network.restart(victim);
    network.with(victim, |node, _| node.taps.records = true);
    network.run_for(SECS);
    let packets = network.with(victim, |node, _| {
        node.taps.records = false;
        std::mem::take(&mut node.taps.received)
    });
    let masking = masking(identity.public_key());
    let is_handshake = |bytes: &[u8]| {
        masking.peek(bytes).is_ok_and(|packet| packet.kind() == PacketKind::Handshake)
    };
    assert!(packets.iter().any(|(_, bytes)| is_handshake(bytes)), "no handshake was recorded");
    let listener = network.add_probe(Ipv4Addr::new(45, 10, 7, 1));
    let size = packets.iter().map(|(_, bytes)| bytes.len() as f64).sum::<f64>();
    let replay = |network: &mut Network<Discv5<StandIn>>| {
        let before = network.world.traffic(listener).bytes_received;
        for (from, bytes) in &packets {
            network.with_probe(listener, |probe, _| {
                let packet = Transmit::datagram(identity.address, bytes.clone());
                probe.out.push_back(packet.clone().with_source(*from));
                probe.out.push_back(packet.with_source(LISTENER));
            });
            network.world.run_for(std::time::Duration::from_millis(5));
        }
        network.run_for(2);
        (network.world.traffic(listener).bytes_received - before) as f64 / size
    };

    let others: Vec<_> = network.nodes.iter().map(|(it, _)| (it.id, it.address)).collect();
    let sessions = |network: &Network<Discv5<StandIn>>, moved: bool| {
        let machine = &network.at(victim).machine;
        let at = |address| if moved { LISTENER } else { address };
        let has = |(id, address): &&_| machine.has_session(*id, at(*address));
        others.iter().filter(has).map(|(id, _)| *id).collect::<Vec<_>>()
    };
    let before = sessions(&network, false);
    assert!(before.len() > 5, "only {} sessions", before.len());
    let back = replay(&mut network);
    let after = sessions(&network, false);
    let lost = before.iter().filter(|id| !after.contains(id)).count();
    let moved = sessions(&network, true).len();

    for at in network.alive() {
        network.world.crash(network.nodes[at].1);
    }
    network.restart(victim);
    let anew = replay(&mut network);
    network.run_for(30);
    let late = replay(&mut network);
    let machine = &network.at(victim).machine;
    let (made, entries) = (machine.usage().sessions, machine.table().len());
    vec![moved as f64, back, lost as f64, made as f64, entries as f64, anew, late]
}
