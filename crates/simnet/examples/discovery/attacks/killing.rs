//! Three of ten nodes die at once.

use std::time::Duration;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    machine::Discovery,
    network::{Network, Plan},
};

pub(crate) const fn attack<D: Discovery>() -> Attack {
    Attack {
        name: "30 % of the nodes killed at once",
        measures: &[
            Measure { what: "of the table entries, dead at once", bar: Bar::Counted },
            Measure {
                what: "120 s later, of the survivors, those whose lookup finds 15 of 16",
                bar: Bar::AtLeast(0.9),
            },
            Measure { what: "120 s later, of the nearest nodes, found", bar: Bar::AtLeast(0.98) },
            Measure {
                what: "120 s later, of the survivors, listed in a table",
                bar: Bar::AtLeast(0.99),
            },
            // A table checks one of its hundred nodes every 4.5 s; the rest falls to lookups.
            Measure { what: "5 min later, of the table entries, dead", bar: Bar::AtMost(0.12) },
        ],
        run: run::<D>,
        nodes: 500,
    }
}

fn run<D: Discovery>(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    plan.pace = Some(Duration::from_secs(40));
    let links = plan.links;
    let mut network = Network::<D>::new(seed, plan);
    network.run_for(60);
    // The bootnode is not among them: who starts anew needs one.
    let others: Vec<_> = (1..nodes).collect();
    for at in network.choose(&others, nodes * 3 / 10) {
        network.world.crash(network.nodes[at].1);
    }
    let alive = network.alive();
    let at_once = network.strangers(&alive, &alive);

    network.run_for(120);
    let listed = network.listed(&alive);
    let found = network.known(&alive, &alive);
    network.set_links(links);
    network.world.run_for(Duration::from_mins(3));
    vec![at_once, found.nearly, found.found, listed, network.strangers(&alive, &alive)]
}
