//! An adversary sends answers that nobody asked for, from where it is known and from where it is
//! not.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_discv4::{
    Discv4, DropCause,
    wire::{Endpoint, Neighbors, Packet, Pong},
};

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::StandIn,
    liar::{INVENTED, Liar, Names, made_up_neighbor},
    network::{Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "unsolicited NEIGHBORS and PONGs",
    measures: &[
        Measure { what: "packets to those who were named", bar: Bar::AtMost(0.0) },
        Measure { what: "entries of those who were named, in all tables", bar: Bar::AtMost(0.0) },
        Measure { what: "endpoints proved by a PONG that nobody asked for", bar: Bar::AtMost(0.0) },
        Measure { what: "of the nearest nodes, found in lookups", bar: Bar::AtLeast(0.95) },
    ],
    run,
    nodes: 20,
};

const KNOWN: Ipv4Addr = Ipv4Addr::new(45, 10, 7, 1);
const UNKNOWN: Ipv4Addr = Ipv4Addr::new(45, 10, 8, 1);
const NAMED: Ipv4Addr = Ipv4Addr::new(60, 1, 1, 1);
/// An identity that each node knows, and one that nobody knows; neither is among those
/// [invented](INVENTED).
const IDENTITIES: [usize; 2] = [INVENTED + 1, INVENTED + 2];
const ROUNDS: usize = 30;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    // Who is known may be asked, and then says what it likes. So either nobody asks anything, or
    // only the one whom nobody knows sends what it was not asked for.
    let asks = !seed.is_multiple_of(2);
    plan.pace = Some(Duration::from_secs(15));
    let mut network = Network::<Discv4<StandIn>>::new(seed, plan);
    network.run_for(25);
    network.set_pace(asks.then_some(Duration::from_secs(5)));
    // What was asked before is over.
    network.run_for(5);
    let named = network.add_probe(NAMED);
    let liar = |clock, ip| Liar::new(clock, vec![ip], Names::Itself);
    let known = network.add_liar(&[KNOWN], liar(network.clock, KNOWN));
    let unknown = network.add_liar(&[UNKNOWN], liar(network.clock, UNKNOWN));
    let addresses: Vec<_> = network.nodes.iter().map(|(it, _)| it.address).collect();
    for &address in &addresses {
        network.with_liar(known, |liar, now| liar.ping(now, IDENTITIES[0], address));
    }
    network.run_for(2);

    for round in 0..ROUNDS {
        for &address in &addresses {
            let packets = [neighbors(&network, round), pong(&mut network, address)];
            let hosts = [(unknown, IDENTITIES[1]), (known, IDENTITIES[0])];
            for (host, identity) in hosts.into_iter().take(if asks { 1 } else { 2 }) {
                network.with_liar(host, |liar, _| {
                    for packet in &packets {
                        liar.send(identity, address, packet);
                    }
                });
            }
        }
        network.world.run_for(Duration::from_millis(50));
    }

    let all = network.alive();
    let unsolicited =
        |at: &usize| network.at(*at).machine.statistics().dropped(DropCause::Unsolicited);
    assert!(all.iter().map(unsolicited).sum::<u64>() > (ROUNDS * nodes) as u64);
    let is_named = |at: &&usize| network.at(**at).table().any(|(_, at)| at.ip() == NAMED);
    let with_named = all.iter().filter(is_named).count();
    let unknown = network.with_liar(unknown, |liar, _| liar.identity(IDENTITIES[1]));
    let proves =
        |at: &&usize| network.at(**at).machine.is_bonded(network.world.now(), unknown.0, unknown.1);
    let proved = all.iter().filter(proves).count();
    let packets = network.world.traffic(named).received;
    network.world.remove(known);
    let from = network.choose(&all, 50);
    let known = network.known(&from, &all);
    vec![packets as f64, with_named as f64, proved as f64, known.found]
}

fn neighbors(network: &Network<Discv4<StandIn>>, round: usize) -> Packet {
    let named = |n: usize| made_up_neighbor(n, (NAMED, 10_000 + n as u16).into());
    let nodes = (12 * round..12 * (round + 1)).map(named).collect();
    let expiration = network.clock.unix_secs(network.world.now()) + 20;
    Packet::Neighbors(Neighbors { nodes, expiration })
}

fn pong(network: &mut Network<Discv4<StandIn>>, to: SocketAddr) -> Packet {
    let expiration = network.clock.unix_secs(network.world.now()) + 20;
    let ping_hash = network.rng.seed();
    Packet::Pong(Pong { to: Endpoint::new(to, to.port()), ping_hash, expiration, enr_seq: None })
}
