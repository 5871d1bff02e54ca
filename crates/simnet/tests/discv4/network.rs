//! Networks in which all is true, signatures and records too.

use std::time::Duration;

use devp2p_core::NodeKey;
use devp2p_discv4::{Config, Discv4};
use devp2p_simnet::{assert_repeats, for_seeds};

use crate::discovery::{
    keys::StandIn,
    machine::Sign,
    network::{Network, Plan},
};

const NODES: usize = 200;

fn network<S: Sign>(seed: u64) -> Network<Discv4<S>> {
    let mut plan = Plan::<Config>::small(NODES);
    plan.config.request_records = true;
    Network::new(seed, plan)
}

#[test]
fn from_one_bootnode_everybody_is_found() {
    for_seeds(1, |seed| {
        let mut network = network::<NodeKey>(seed);
        // One of many may have to ask again, where links lose 1 %.
        network.run_for(20);
        let all = network.alive();
        let (listed, sizes) = (network.listed(&all), network.table_sizes(&all));
        let from = network.choose(&all, 30);
        let found = network.known(&from, &all);
        println!("seed {seed}: {listed} listed, {sizes:?} in the tables, found {found}");
        assert_eq!(listed, 1.0);
        assert!(sizes[0] >= 10 && found.found > 0.97 && found.nearly > 0.9);
        assert!(network.is_connected(&all));

        let nodes = all.iter().flat_map(|&at| network.at(at).machine.nodes());
        let (with, without): (Vec<_>, Vec<_>) = nodes.partition(|node| node.record().is_some());
        // Those verified a moment ago have none yet, nor have those whose answer was lost.
        assert!(without.len() * 10 < with.len(), "{} of {}", with.len(), without.len());
    });
}

#[test]
fn one_seed_one_trace() {
    fn trace<S: Sign>(seed: u64) -> u64 {
        let mut plan = Plan::<Config>::small(NODES);
        (plan.config.request_records, plan.join) = (true, Duration::from_secs(1));
        let mut network = Network::<Discv4<S>>::new(seed, plan);
        network.run_for(1);
        assert!(network.world.statistics().delivered > 5_000);
        network.world.trace()
    }
    for_seeds(1, |seed| _ = assert_repeats(seed, trace::<NodeKey>));
    for_seeds(3, |seed| _ = assert_repeats(seed, trace::<StandIn>));
    assert_ne!(trace::<StandIn>(7), trace::<StandIn>(8));
}
