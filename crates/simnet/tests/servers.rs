//! Whole servers in virtual time: they find one another, and who attacks one of them does not
//! become all that it sees. The programs `network` and `eclipse` do the same at length.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[expect(dead_code, reason = "programs use the rest")]
#[path = "../examples/support/mod.rs"]
mod support;

use std::time::Duration;

use devp2p_simnet::{assert_repeats, for_seeds};

use self::support::{
    defences::Defences,
    eclipse::{
        LongRun, Restart, SIXTEEN_NETWORKS, TWO_ADDRESSES, VERSIONS, long_run, restart, restart_of,
    },
    network::{MAX_PEERS, Network, TARGET},
    setup::{Discoveries, Setup},
    statistics::unevenness,
};

#[test]
fn servers_fill_their_slots_from_one_bootnode() {
    for_seeds(2, |seed| {
        let mut network = Network::new(seed, Setup::of(50));
        network.world.run_for(Duration::from_mins(1));
        assert!(network.outbound().all(|outbound| outbound == TARGET));
        assert!((0..50).all(|at| network.node(at).peers().count() <= MAX_PEERS));
        assert_eq!(network.components(), 1);
    });
}

#[test]
fn when_three_of_ten_are_killed_the_others_find_new_peers() {
    let mut network = Network::new(0, Setup::of(100));
    network.world.run_for(Duration::from_mins(1));
    assert!(network.outbound().all(|outbound| outbound == TARGET));
    let survivors = network.kill(30);
    assert!(network.at_target(&survivors, TARGET) < 10, "the dead are missed");
    network.world.run_for(Duration::from_mins(2));
    let at_target = network.at_target(&survivors, TARGET);
    assert!(at_target * 100 >= survivors.count() * 95, "{at_target} at target");
}

#[test]
fn neither_two_addresses_nor_sixteen_networks_eclipse_a_node_that_restarts() {
    for_seeds(4, |seed| attack_restarts(seed, Discoveries::Both));
}

#[test]
fn nor_do_they_where_there_is_one_discovery_only() {
    for_seeds(6, |seed| {
        let one = if seed.is_multiple_of(2) { Discoveries::V4 } else { Discoveries::V5 };
        attack_restarts(seed, one);
    });
}

fn attack_restarts(seed: u64, discoveries: Discoveries) {
    let setup = Setup { discoveries, ..Setup::of(100) };
    let [few, many] = [TWO_ADDRESSES, SIXTEEN_NETWORKS].map(|means| Restart::brief(setup, means));
    let mut network = Network::new(seed, few.setup);
    network.world.run_for(few.peace);
    // One node after the other: the first attackers have gone when the second come.
    for (victim, attack) in [(98, few), (99, many)] {
        let outcome = restart_of(&mut network, victim, (seed / 2).is_multiple_of(2), &attack);
        assert_eq!(outcome.eclipsed, 0, "{attack:?}: {outcome:?}");
        assert!(outcome.fewest >= 4, "{attack:?}: {outcome:?}");
        assert!(outcome.inbound.hostile > 0, "there was an attack");
        for (version, table) in VERSIONS.into_iter().zip(outcome.tables) {
            let is_there = discoveries.versions().contains(&version);
            assert_eq!(table.hostile > 0, is_there, "they came by {version:?}: {outcome:?}");
        }
    }
}

#[test]
fn without_limits_and_memory_both_attacks_succeed() {
    for means in [TWO_ADDRESSES, SIXTEEN_NETWORKS] {
        let attack = Restart::brief(Setup::of(100).with(Defences::NONE), means);
        let succeeds = (0..10).any(|seed| restart(seed, &attack).eclipsed > 0);
        assert!(succeeds, "{means:?} are no test of any defence");
    }
}

/// With one discovery at a time: where there are two, a node has candidates from before the attack for
/// longer.
#[test]
fn two_false_friends_stay_a_few_of_those_that_a_node_chose() {
    for discoveries in [Discoveries::V4, Discoveries::V5] {
        let setup = Setup { discoveries, ..Setup::of(50) };
        let (means, duration) = (TWO_ADDRESSES, Duration::from_mins(10));
        let (outcome, first) = long_run(0, &LongRun { setup, means, duration }, 20_000);
        assert_eq!(outcome.eclipsed, 0, "{outcome:?}");
        assert!(outcome.outbound.hostile <= 4 && outcome.fewest >= 4, "{outcome:?}");
        for (version, first) in first {
            // In one of 100 cases it is more by chance.
            assert!(unevenness(&first) < 2.33, "{version:?}: {first:?}");
        }
    }
}

#[test]
fn one_seed_is_one_run() {
    let [peace, before, after] = [10, 10, 35].map(Duration::from_secs);
    let brief = Restart::brief(Setup::of(20), TWO_ADDRESSES);
    let attack = Restart { peace, before, after, ..brief };
    assert_repeats(7, |seed| restart(seed, &attack).trace);
}
