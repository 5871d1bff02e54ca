//! Links that lose a tenth of all packets, let others overtake a tenth, and double some.

use std::time::Duration;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    machine::Discovery,
    network::{Links, Network, Plan},
};

pub(crate) const fn attack<D: Discovery>() -> Attack {
    Attack {
        name: "10 % loss, 10 % reordered, 5 % doubled",
        measures: &[
            Measure { what: "of 100 pairs, known to each other in 30 s", bar: Bar::AtLeast(0.99) },
            Measure { what: "of all nodes, in somebody's table", bar: Bar::AtLeast(0.98) },
            Measure { what: "of the nearest nodes, found without loss", bar: Bar::AtLeast(0.95) },
        ],
        run: run::<D>,
        nodes: 20,
    }
}

const PAIRS: usize = 100;
/// A user who gets no answer asks again after so many seconds.
const RETRY: u64 = 3;
const TRIES: u64 = 10;

fn run<D: Discovery>(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    plan.links = Links { loss: 0.1, reorder: 0.1, duplicate: 0.05 };
    let mut network = Network::<D>::new(seed, plan);
    let all = network.alive();
    let pairs: Vec<_> = (0..PAIRS)
        .map(|_| {
            let pair = network.choose(&all, 2);
            (pair[0], pair[1])
        })
        .collect();
    let bonded = |network: &Network<D>, a: usize, b: usize| {
        let proved = |a: usize, b: usize| {
            let (it, _) = &network.nodes[b];
            network.at(a).machine.has_proved(network.world.now(), it.id, it.address)
        };
        proved(a, b) && proved(b, a)
    };
    for _ in 0..TRIES {
        for &(a, b) in &pairs {
            if !bonded(&network, a, b) {
                let other = network.nodes[b].0.node();
                network.with(a, |node, now| node.machine.ask(now, &other));
            }
        }
        network.world.run_for(Duration::from_secs(RETRY));
    }
    let count = pairs.iter().filter(|&&(a, b)| bonded(&network, a, b)).count();

    network.run_for(30);
    let listed = network.listed(&all);
    let from = network.choose(&all, 50);
    let found = network.known(&from, &all);
    vec![count as f64 / PAIRS as f64, listed, found.found]
}
