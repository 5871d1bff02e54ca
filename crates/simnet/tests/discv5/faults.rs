//! The programs of `examples/hostile.rs --discovery v5`, in small.

use devp2p_simnet::for_seeds;

use crate::discovery::attacks;

const NODES: usize = 100;
const SEEDS: u64 = 3;

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

#[test]
fn nodes_behind_nats_are_served_and_not_listed() {
    check("NATs");
}

#[test]
fn who_restarts_is_spoken_to_again() {
    check("restarts");
}

#[test]
fn answers_that_nobody_asked_for_do_nothing() {
    check("unsolicited");
}

#[test]
fn what_is_replayed_makes_no_session() {
    check("replay");
}

#[test]
fn who_has_proved_nothing_gets_less_than_it_sent() {
    check("amplification");
}

#[test]
fn two_hosts_stay_a_small_part_of_a_table() {
    check("False Friends");
}

#[test]
fn what_is_forged_ends_no_session_and_takes_no_entry() {
    check("forged");
}
