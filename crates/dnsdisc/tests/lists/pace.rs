//! How much is asked, and how much is kept.

use std::time::Duration;

use devp2p_dnsdisc::{Config, Event};

use crate::world::{Behaviour, SECOND, World, records, tree};

/// The most lookups within any second.
fn most_in_a_second(world: &World) -> usize {
    let times: Vec<_> = world.lookups.iter().map(|&(at, _)| at).collect();
    let within = |from: Duration| times.iter().filter(move |&&at| at >= from && at < from + SECOND);
    times.iter().map(|&from| within(from).count()).max().unwrap()
}

#[test]
fn three_lookups_a_second() {
    let made = tree("nodes.example", 1, records(400), vec![]);
    let mut world = World::of(Config::default(), &made);
    world.run_for(60 * SECOND);
    assert_eq!(most_in_a_second(&world), 3);
    assert!((178..=181).contains(&world.lookups.len()), "{}", world.lookups.len());

    let mut config = Config::default();
    config.rate = 50;
    let mut fast = World::of(config, &made);
    fast.latency = Duration::ZERO;
    assert_eq!(fast.run_round(), (400, 0));
    assert_eq!(most_in_a_second(&fast), 50);
    assert!(fast.elapsed() < 10 * SECOND);
}

#[test]
fn at_most_four_lookups_wait() {
    let made = tree("nodes.example", 1, records(100), vec![]);
    let mut world = World::of(Config::default(), &made);
    world.latency = 4 * SECOND;
    world.run_for(100 * SECOND);
    let times: Vec<_> = world.lookups.iter().map(|&(at, _)| at).collect();
    let waiting =
        |now: Duration| times.iter().filter(move |&&at| at <= now && now < at + 4 * SECOND);
    assert_eq!(times.iter().map(|&now| waiting(now).count()).max(), Some(4));
}

#[test]
fn the_rate_holds_where_nothing_answers() {
    let made = tree("nodes.example", 1, records(100), vec![]);
    let mut world = World::of(Config::default(), &made);
    world.run_until(|event| matches!(event, Event::Record { .. }));
    for name in made.entries().keys() {
        world.zone.insert(format!("{name}.nodes.example"), Behaviour::Silent);
    }
    world.run_for(3_600 * SECOND);
    assert!(most_in_a_second(&world) <= 3);
    // The first round, and then rounds whose one entry is in the cache and leads to nothing.
    assert!(world.lookups.len() < 3_600, "{}", world.lookups.len());
}

#[test]
fn the_cache_is_bounded() {
    let made = tree("nodes.example", 1, records(200), vec![]);
    for (limit, kept) in [(0, 0), (1, 1), (50, 50), (1_000, made.entries().len())] {
        let mut config = Config::default();
        config.cache_entries = limit;
        config.rate = 1_000;
        let mut world = World::of(config, &made);
        assert_eq!(world.run_round(), (200, 0));
        assert_eq!(world.run_round(), (200, 0));
        assert_eq!(world.client.cached_entries(), kept);
    }
}
