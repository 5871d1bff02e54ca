//! The programs of `examples/hostile.rs`, in small.

use devp2p_simnet::for_seeds;

use crate::discovery::attacks;

const NODES: usize = 100;
const SEEDS: u64 = 10;

/// Runs what has this in its name.
fn check(name: &str) {
    let attack = attacks::V4.iter().find(|attack| attack.name.contains(name)).unwrap();
    for_seeds(SEEDS, |seed| _ = attack.check(seed, NODES));
}

#[test]
fn a_victim_of_reflected_pings_gets_one_a_second_of_each_node() {
    check("reflected");
}

#[test]
fn answers_that_nobody_asked_for_do_nothing() {
    check("unsolicited");
}

#[test]
fn what_is_replayed_proves_nothing() {
    check("replay");
}

#[test]
fn who_has_proved_nothing_gets_little_back() {
    check("amplification");
}

#[test]
fn two_hosts_stay_a_small_part_of_a_table() {
    check("False Friends");
}

#[test]
fn wrong_clocks_harm_only_their_owners() {
    check("clocks");
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

#[test]
fn nodes_behind_nats_take_part() {
    check("NATs");
}
