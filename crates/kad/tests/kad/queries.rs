//! What a table answers.

use std::collections::BTreeMap;

use devp2p_kad::Id;

use crate::support::{OWN, Random, World, free, id, seconds};

/// A table with 16 verified nodes in each bucket, and 10 that wait.
fn full() -> World {
    let mut world = World::new();
    for distance in 240..=256 {
        for number in 0..16 {
            world.verified(id(distance, number), free(number));
        }
        for number in 16..26 {
            world.add(id(distance, number), free(number));
        }
    }
    world
}

#[test]
fn nodes_at_a_distance_are_at_that_distance() {
    let mut world = World::new();
    for distance in 200..=256 {
        let _ = world.table.verified(world.now, id(distance, 1), free(1));
    }
    // Those of the first bucket came first.
    for distance in 200..=256 {
        let found: Vec<_> = world.table.at_distance(distance).map(|entry| entry.id()).collect();
        let expected = (!(216..=240).contains(&distance)).then(|| id(distance, 1));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{distance}");
    }
    for distance in [0, 1, 199, 257, u16::MAX] {
        assert_eq!(world.table.at_distance(distance).count(), 0);
    }
}

#[test]
fn only_verified_nodes_are_handed_out() {
    let world = full();
    let answer = world.table.closest(&id(250, 20), 300);
    assert_eq!(answer.len(), 272);
    assert!(answer.iter().all(|entry| entry.is_verified()));
    assert!(world.table.entries().all(|entry| entry.is_verified()));
    assert_eq!(world.table.closest_known(&OWN, 1000).len(), 17 * 26);
    assert_eq!(world.table.closest_known(&id(250, 20), 1)[0].0, id(250, 20));
    assert!(world.table.closest(&OWN, 0).is_empty());
}

/// The 0.999 quantile of chi-square with 271 degrees of freedom is about 347.
#[test]
fn random_nodes_are_uniform_over_the_table() {
    let world = full();
    let mut random = Random(3);
    let mut counts: BTreeMap<Id, u32> =
        world.table.entries().map(|entry| (entry.id(), 0)).collect();
    let (rounds, size) = (20_000, 5);
    for _ in 0..rounds {
        let mut chosen = Vec::new();
        for entry in world.table.random_entries(size, || random.next()) {
            *counts.get_mut(&entry.id()).expect("a verified node") += 1;
            chosen.push(entry.id());
        }
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), size);
    }
    let expected = f64::from(rounds) * size as f64 / 272.0;
    let chi_square: f64 =
        counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    assert!((200.0..347.0).contains(&chi_square), "{chi_square}");
}

#[test]
fn random_nodes_are_as_many_as_there_are() {
    let mut world = World::new();
    assert!(world.table.random_entries(5, || 0).is_empty());
    world.verified(id(256, 1), free(1));
    world.add(id(256, 2), free(2));
    assert_eq!(world.table.random_entries(5, || u64::MAX).len(), 1);
    assert_eq!(full().table.random_entries(1000, || 0).len(), 272);
}

#[test]
fn the_bucket_refreshed_longest_ago_is_next() {
    let mut world = World::new();
    let mut random = Random(5);
    let mut seen = Vec::new();
    for _ in 0..3 * 17 {
        let distances = world.table.stalest_bucket().distances();
        let target = world.table.refresh_target(*random.id().as_bytes());
        assert!(distances.contains(&OWN.log_distance(&target)));
        world.now += seconds(1);
        world.table.refreshed(world.now, &target);
        seen.push(*distances.end());
    }
    let each: Vec<_> = (240..=256).rev().collect();
    assert_eq!(seen, each.repeat(3));
    assert_eq!(world.table.buckets()[16].refreshed_at(), Some(world.now - seconds(16)));
}

#[test]
fn refresh_targets_differ_in_every_bit_below_their_distance() {
    let mut world = World::new();
    let mut random = Random(8);
    for distance in (241..=256).rev() {
        let mut seen = [0_u8; 32];
        for _ in 0..200 {
            let target = world.table.refresh_target(*random.id().as_bytes());
            for (seen, byte) in seen.iter_mut().zip(OWN.distance(&target).as_bytes()) {
                *seen |= byte;
            }
        }
        let bits: u32 = seen.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(bits, distance);
        world.table.refreshed(world.now, &id(distance as u16, 0));
    }
}
