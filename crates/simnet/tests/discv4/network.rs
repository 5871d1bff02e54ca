//! Networks in which all is true, signatures and records too.

use std::time::Duration;

use devp2p_core::NodeKey;
use devp2p_simnet::{assert_repeats, for_seeds};

use crate::discovery::{
    keys::StandIn,
    network::{Network, Plan},
    node::Sign,
};

const NODES: usize = 200;

fn network<S: Sign>(seed: u64) -> Network<S> {
    let mut plan = Plan::new(NODES);
    plan.pace = Some(Duration::from_secs(30));
    plan.config.request_records = true;
    // Two of the four lookups with which a node begins are enough to know a few hundred.
    plan.config.refresh_lookups = 1;
    Network::new(seed, plan)
}

#[test]
fn from_one_bootnode_everybody_is_found() {
    for_seeds(1, |seed| {
        let mut network = network::<NodeKey>(seed);
        network.run_for(30);
        let all = network.alive();
        let (listed, sizes) = (network.listed(&all), network.table_sizes(&all));
        let from = network.choose(&all, 50);
        let found = network.known(&from, &all);
        println!("seed {seed}: {listed} listed, {sizes:?} in the tables, {found:?}");
        assert_eq!(listed, 1.0);
        assert!(sizes[0] >= 16 && found.found > 0.97 && found.nearly > 0.9);
        assert!(network.is_connected(&all));
    });
}

#[test]
fn records_are_fetched() {
    for_seeds(1, |seed| {
        let mut network = network::<NodeKey>(seed);
        network.run_for(15);
        let nodes = network.alive().into_iter().flat_map(|at| network.at(at).machine.nodes());
        let (with, without): (Vec<_>, Vec<_>) = nodes.partition(|node| node.record().is_some());
        // Those verified a moment ago, and those whose answer was lost.
        assert!(without.len() * 10 < with.len(), "{} of {}", with.len(), without.len());
    });
}

#[test]
fn one_seed_one_trace() {
    for_seeds(1, |seed| {
        assert_repeats(seed, |seed| {
            let mut network = network::<NodeKey>(seed);
            network.run_for(5);
            assert!(network.world.statistics().delivered > 10_000);
            network.world.trace()
        });
    });
    let trace = |seed| {
        let mut network = network::<StandIn>(seed);
        network.run_for(5);
        network.world.trace()
    };
    assert_eq!(assert_repeats(7, trace), trace(7));
    assert_ne!(trace(7), trace(8));
}
