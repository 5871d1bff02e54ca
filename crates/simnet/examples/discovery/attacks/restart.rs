//! A third of the nodes restarts at once and has forgotten everybody, half of them at another port.
//! Others still have sessions or proofs of them, and go on speaking to them as before.

use std::{collections::BTreeMap, time::Duration};

use super::{Attack, Bar, Measure};
use crate::discovery::{
    machine::Discovery,
    network::{Links, Network, Plan},
};

pub(crate) const fn attack<D: Discovery>() -> Attack {
    Attack {
        name: "a third of the nodes restarts, half of those at another port",
        measures: &[
            Measure { what: "of those who knew them, answered at once", bar: Bar::Counted },
            Measure { what: "in at most 5 s, as nodes ask again", bar: Bar::AtLeast(0.99) },
            Measure { what: "60 s later, of the entries of who moved, old", bar: Bar::Counted },
            Measure { what: "60 s later, of who moved, listed in a table", bar: Bar::AtLeast(1.0) },
            Measure { what: "60 s later, of the nearest nodes, found", bar: Bar::AtLeast(0.95) },
        ],
        run: run::<D>,
        nodes: 50,
    }
}

/// A user who gets no answer asks again after so many seconds.
const RETRY: u64 = 1;
const TRIES: usize = 5;

fn run<D: Discovery>(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    plan.pace = Some(Duration::from_secs(20));
    let mut network = Network::<D>::new(seed, plan);
    network.run_for(40);
    let others: Vec<_> = (1..nodes).collect();
    let restarting = network.choose(&others, nodes / 3);
    let staying: Vec<_> = (0..nodes).filter(|at| !restarting.contains(at)).collect();
    // Who has whom in its table.
    let mut pairs = Vec::new();
    for &at in &staying {
        let known: Vec<_> = network.at(at).table().map(|(id, _)| id).collect();
        let known = restarting.iter().filter(|&&it| known.contains(&network.nodes[it].0.id));
        pairs.extend(known.map(|&it| (at, it)));
    }

    let (same, moved) = restarting.split_at(restarting.len() / 2);
    for &at in same {
        network.restart(at);
    }
    for &at in moved {
        network.restart_elsewhere(at);
    }
    network.world.run_for(Duration::from_millis(500));
    let mut at_once = 0.0;
    let mut left = pairs.clone();
    for attempt in 0..TRIES {
        let questions: Vec<_> = left
            .iter()
            .map(|&(at, it)| {
                let node = network.nodes[it].0.node();
                (at, it, network.with(at, |own, now| own.ask(now, &node)))
            })
            .collect();
        network.run_for(RETRY);
        let is_open =
            |(at, _, query): &&(usize, usize, D::Query)| !network.at(*at).is_answered(*query);
        left = questions.iter().filter(is_open).map(|&(at, it, _)| (at, it)).collect();
        if attempt == 0 {
            at_once = 1.0 - left.len() as f64 / pairs.len() as f64;
        }
    }
    let in_time = 1.0 - left.len() as f64 / pairs.len() as f64;

    network.run_for(60);
    let all = network.alive();
    let places: BTreeMap<_, _> =
        moved.iter().map(|&at| (network.nodes[at].0.id, network.nodes[at].0.address)).collect();
    let entries: Vec<_> = all
        .iter()
        .flat_map(|&at| network.at(at).table())
        .filter_map(|(id, at)| places.get(&id).map(|place| (id, *place == at)))
        .collect();
    let old = entries.iter().filter(|(_, is_new)| !is_new).count() as f64 / entries.len() as f64;
    let listed = moved
        .iter()
        .filter(|&&at| entries.iter().any(|(id, is_new)| *is_new && *id == network.nodes[at].0.id));
    let listed = listed.count() as f64 / moved.len() as f64;
    network.set_links(Links::default());
    let from = network.choose(&all, 50);
    let found = network.look_around(&from);
    vec![at_once, in_time, old, listed, network.sharpness(&found, &all).found]
}
