//! An adversary names its victim to all who ask: 10,000 nodes that do not exist, at one address.

use std::{net::Ipv4Addr, time::Duration};

use devp2p_discv4::Discv4;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::StandIn,
    liar::{INVENTED, Liar, Names},
    network::{Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "reflected PINGs",
    measures: &[
        Measure {
            what: "packets to the victim, of one node, in any second",
            bar: Bar::AtMost(1.0),
        },
        Measure { what: "packets to the victim, of all nodes, each second", bar: Bar::Counted },
        Measure { what: "bytes to the victim for each of the liar's", bar: Bar::AtMost(2.0) },
    ],
    run,
    nodes: 20,
};

const LIAR: Ipv4Addr = Ipv4Addr::new(45, 10, 7, 1);
const VICTIM: Ipv4Addr = Ipv4Addr::new(60, 1, 1, 1);
const IDS: usize = 10_000;
/// The identities with which it makes itself known to each node: as many as a table takes.
const IDENTITIES: usize = 10;
const SECS: u64 = 10;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    plan.pace = None;
    let mut network = Network::<Discv4<StandIn>>::new(seed, plan);
    network.run_for(10);

    let victim = network.add_probe(VICTIM);
    // All at one port, or each at its own.
    let many_ports = !seed.is_multiple_of(2);
    let names = Names::Victim { address: (VICTIM, 30_303).into(), ids: IDS, many_ports };
    let liar = network.add_liar(&[LIAR], Liar::new(network.clock, vec![LIAR], names));
    for at in 0..nodes {
        let address = network.nodes[at].0.address;
        network.with(at, |node, _| node.taps.watched = Some(VICTIM.into()));
        for n in 0..IDENTITIES {
            let identity = 1 + INVENTED * (network.rng.below(10_000) as usize);
            network.with_liar(liar, |liar, now| liar.ping(now, identity, address));
            if n % 2 == 1 {
                network.world.run_for(Duration::from_millis(10));
            }
        }
    }
    // Everybody asks, and so is lied to, all the time.
    network.set_pace(Some(Duration::from_secs(3)));
    network.run_for(SECS);
    let asked = network.with_liar(liar, |liar, _| liar.asked);
    assert!(asked > nodes as u64, "nobody asked the liar");

    let worst = (0..nodes).map(|at| network.at(at).taps.most_in_a_second()).max();
    let (to_victim, of_liar) = (network.world.traffic(victim), network.world.traffic(liar));
    vec![
        worst.unwrap_or(0) as f64,
        to_victim.received as f64 / SECS as f64,
        to_victim.bytes_received as f64 / of_liar.bytes_sent as f64,
    ]
}
