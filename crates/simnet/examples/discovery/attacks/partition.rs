//! For ten minutes the network is two, of which only one has the bootnode.

use std::time::Duration;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    machine::Discovery,
    network::{Network, Plan},
};

pub(crate) const fn attack<D: Discovery>() -> Attack {
    Attack {
        name: "a partition of 10 minutes, 60 s after it",
        measures: &[
            Measure {
                what: "before it heals, of the table entries, out of reach",
                bar: Bar::Counted,
            },
            Measure {
                what: "everybody reaches everybody, from table to table",
                bar: Bar::AtLeast(1.0),
            },
            Measure { what: "of the nearest nodes, found in lookups", bar: Bar::AtLeast(0.9) },
        ],
        run: run::<D>,
        nodes: 50,
    }
}

fn run<D: Discovery>(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    // Whoever has enough peers looks for none.
    plan.pace = None;
    let mut network = Network::<D>::new(seed, plan);
    network.run_for(20);
    let (near, far): (Vec<_>, Vec<_>) = (0..nodes).partition(|at| at % 2 == 0);
    let hosts: Vec<_> = far.iter().map(|&at| network.nodes[at].1).collect();
    network.world.partition(&[&hosts]);
    network.world.run_for(Duration::from_mins(10));
    let parted = network.strangers(&near, &near).max(network.strangers(&far, &far));

    network.world.heal();
    network.set_pace(Some(Duration::from_secs(15)));
    network.run_for(60);
    let all = network.alive();
    let connected = network.is_connected(&all);
    let from = network.choose(&all, 50);
    let found = network.known(&from, &all);
    vec![parted, f64::from(u8::from(connected)), found.found]
}
