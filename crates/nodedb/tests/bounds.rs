//! Nothing grows without end: not the file, not the queue.
#![expect(clippy::unwrap_used, reason = "a test")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{fs, path::Path};

use devp2p_core::{DiscoveryVersion, NodeId, Seed};
use devp2p_nodedb::{MAX_FILE_SIZE, MAX_QUEUED, MAX_SEEDS, Options};

use self::support::{
    NOW, endpoint, folder, local, node_of_full_size, open, open_with, seed, seed_v5,
};

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Writes seeds as fast as the file takes them.
fn flood(path: &Path, seeds: impl Iterator<Item = Seed>) {
    let opened = open(path, NOW);
    for (count, seed) in seeds.enumerate() {
        if count % 1_500 == 0 {
            assert!(opened.db.flush());
            assert!(size(path) < MAX_FILE_SIZE);
        }
        opened.db.write_seed(seed);
    }
    assert!(opened.db.flush());
    assert_eq!((opened.db.dropped(), opened.notices()), (0, vec![]));
    opened.db.close();
}

#[test]
fn a_hundred_thousand_seeds_leave_a_small_file() {
    let path = folder("flood").join("nodes");
    flood(&path, (0..100_000).map(|n| seed(n, NOW + u64::from(n) / 1_000)));
    assert!(size(&path) < MAX_FILE_SIZE / 2, "{}", size(&path));

    let again = open(&path, NOW + 100);
    assert_eq!(again.remembered.seeds.len(), MAX_SEEDS);
    // Of equal networks the freshest are left.
    assert!(again.remembered.seeds.iter().all(|seed| seed.last_pong >= NOW + 90));
    again.db.close();
}

/// Both protocols full of the largest records, and replaced a few times over.
#[test]
fn the_largest_file_is_below_the_bound() {
    let path = folder("largest").join("nodes");
    let full: Vec<_> = (0..10_000).map(node_of_full_size).collect();
    for time in 0..2 {
        for protocol in [DiscoveryVersion::V4, DiscoveryVersion::V5] {
            let seeds = full
                .iter()
                .zip(0..)
                .map(|(node, n)| Seed::new(node.clone(), endpoint(n), protocol, NOW + time * 60));
            flood(&path, seeds);
        }
    }
    assert!(size(&path) < MAX_FILE_SIZE / 4 * 3, "{}", size(&path));
    let again = open(&path, NOW + 60);
    assert_eq!(again.remembered.seeds.len(), 2 * MAX_SEEDS);
}

/// One with two addresses and any number of ids does not drive the others out.
#[test]
fn many_ids_behind_few_addresses_leave_room_for_the_others() {
    let path = folder("crowd").join("nodes");
    let options = |now| {
        let mut options = Options::new(local(1), now, [3; 32]);
        options.max_seeds = 100;
        options
    };
    let opened = open_with(&path, options(NOW)).unwrap();
    (0..60).for_each(|n| opened.db.write_seed(seed(n, NOW)));
    for n in 1_000..3_000 {
        let mut crowd = seed(n, NOW + 60);
        crowd.endpoint = endpoint(1_000 + n % 2);
        opened.db.write_seed(crowd);
    }
    opened.db.close();

    let again = open_with(&path, options(NOW + 61)).unwrap();
    assert_eq!(again.remembered.seeds.len(), 30);
    let crowd = again.remembered.seeds.iter().filter(|seed| seed.last_pong > NOW).count();
    assert!((2..=4).contains(&crowd), "{crowd}");
    again.db.close();
    let mut all = options(NOW + 61);
    all.seeds_at_open = 1_000;
    let again = open_with(&path, all).unwrap();
    assert_eq!(again.remembered.seeds.len(), 100);
    assert_eq!(again.remembered.seeds.iter().filter(|seed| seed.last_pong == NOW).count(), 60);
}

#[test]
fn so_many_of_each_protocol_are_told_as_are_asked_for() {
    let path = folder("told").join("nodes");
    let opened = open(&path, NOW);
    for n in 0..200 {
        opened.db.write_seed(seed(n, NOW - u64::from(n)));
        opened.db.write_seed(seed_v5(n, NOW - u64::from(n)));
    }
    opened.db.close();
    let ids = |rng_seed: u8, protocol| -> Vec<NodeId> {
        let options = Options::new(local(1), NOW, [rng_seed; 32]);
        let opened = open_with(&path, options).unwrap();
        opened.db.close();
        let seeds = opened.remembered.seeds.into_iter();
        seeds.filter(|seed| seed.protocol == protocol).map(|seed| seed.node.id()).collect()
    };
    for protocol in [DiscoveryVersion::V4, DiscoveryVersion::V5] {
        let (one, two) = (ids(1, protocol), ids(2, protocol));
        assert_eq!((one.len(), two.len()), (30, 30));
        assert_eq!(one[..15], two[..15], "the freshest");
        assert_ne!(one[15..], two[15..], "drawn");
        assert_eq!(one, ids(1, protocol), "from the seed alone");
    }
}

#[test]
fn a_full_queue_drops_seeds_and_nothing_else() {
    let path = folder("queue").join("nodes");
    let opened = open(&path, NOW);
    let seeds: Vec<_> = (0..3 * MAX_QUEUED as u32).map(|n| seed(n, NOW)).collect();
    // Faster than any disk.
    for seed in &seeds {
        opened.db.write_seed(seed.clone());
    }
    opened.db.write_local_seq(9);
    opened.db.write_anchors(vec![seeds[0].node.clone()]);
    let dropped = opened.db.dropped();
    opened.db.close();

    let again = open(&path, NOW);
    assert_eq!(again.remembered.local_seq, Some(9));
    assert_eq!(again.remembered.anchors, [seeds[0].node.clone()]);
    let kept = again.remembered.seeds.len();
    assert!(kept >= MAX_QUEUED.min(MAX_SEEDS));
    assert!(dropped as usize + kept <= seeds.len());
    assert!(dropped as usize + kept == seeds.len() || kept == MAX_SEEDS);
}
