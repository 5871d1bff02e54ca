//! The programs of `examples/hostile.rs --discovery v5`, in small.

use devp2p_simnet::for_seeds;

use crate::discovery::attacks;

const NODES: usize = 100;
const SEEDS: u64 = 5;

/// Runs what has this in its name.
fn check(name: &str) {
    let attack = attacks::V5.iter().find(|attack| attack.name.contains(name)).unwrap();
    for_seeds(SEEDS, |seed| println!("{seed}: {:?}", attack.check(seed, NODES)));
}

#[test]
fn bad_links_do_not_keep_nodes_apart() {
    check("10 % loss");
}

#[test]
fn who_survives_finds_those_who_survive() {
    check("killed");
}

#[test]
fn a_partition_heals() {
    check("partition");
}
