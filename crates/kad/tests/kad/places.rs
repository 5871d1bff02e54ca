//! Who gets a place, who waits, and who is refused.

use devp2p_kad::{BUCKETS, Bucket, Change, Config, Place, Refused};

use crate::support::{OWN, World, free, id, peer};

/// Weaker defaults must be a decision.
#[test]
fn the_defaults_are_the_safe_ones() {
    let config = Config::default();
    assert_eq!(BUCKETS, 17);
    assert_eq!((config.bucket_size, config.replacements), (16, 10));
    assert_eq!((config.bucket_group_limit, config.table_group_limit), (2, 10));
    assert_eq!((config.fast_interval.as_secs(), config.slow_interval.as_secs()), (3, 9));
    assert!(config.pin_interval.as_secs() <= 55 && config.max_pins <= 128);
    assert!(config.check_timeout >= config.slow_interval);
}

#[test]
fn a_table_has_17_buckets_of_16_places_with_10_replacements() {
    let mut world = World::new();
    for distance in 230..=256 {
        for number in 0..40 {
            let _ = world.table.verified(world.now, id(distance, number), free(number));
        }
    }
    let buckets = world.table.buckets();
    assert_eq!(buckets.len(), BUCKETS);
    assert!(buckets.iter().all(|b| (b.entries().len(), b.replacements().len()) == (16, 10)));
    assert_eq!((buckets[0].distances(), buckets[1].distances()), (1..=240, 241..=241));
    assert_eq!(buckets[16].distances(), 256..=256);
    assert_eq!(world.table.len(), 272);
}

#[test]
fn our_own_id_is_refused() {
    let mut world = World::new();
    assert_eq!(world.table.add(world.now, OWN, free(1)), Err(Refused::OwnId));
    assert_eq!(world.table.verified(world.now, OWN, free(1)), Err(Refused::OwnId));
    assert_eq!(world.table.pin(world.now, OWN, free(1)), Err(Refused::OwnId));
    assert_eq!(world.table.poll_timeout(), None);
}

#[test]
fn hearsay_takes_no_place() {
    let mut world = World::new();
    for number in 0..40 {
        assert_eq!(world.add(id(256, number), free(number)), Place::Replacement);
    }
    assert!(world.table.is_empty() && world.table.closest(&OWN, 16).is_empty());
    // Of many the newest wait.
    let waiting: Vec<_> =
        world.table.buckets()[16].replacements().iter().map(|e| e.value().endpoint).collect();
    assert_eq!(waiting, (30..40).collect::<Vec<_>>());
    // Who answers finds a place nonetheless.
    assert_eq!(world.verified(id(256, 99), free(99)), Place::Bucket);
    assert_eq!(world.verified(id(256, 35), free(35)), Place::Bucket);
    assert_eq!(world.table.len(), 2);
}

#[test]
fn hearsay_of_a_known_node_changes_nothing() {
    let mut world = World::new();
    world.verified(id(256, 1), peer(1, 1));
    assert_eq!(world.add(id(256, 1), peer(2, 2)), Place::Bucket);
    assert_eq!(world.table.get(&id(256, 1)).unwrap().value(), &peer(1, 1));
    world.add(id(256, 2), peer(1, 1));
    assert_eq!(world.add(id(256, 2), peer(2, 2)), Place::Replacement);
    assert_eq!(world.table.get(&id(256, 2)).unwrap().value(), &peer(1, 1));
}

#[test]
fn a_group_has_two_places_in_a_bucket_and_one_who_waits() {
    let mut world = World::new();
    assert_eq!(world.verified(id(256, 1), peer(1, 7)), Place::Bucket);
    assert_eq!(world.verified(id(256, 2), peer(2, 7)), Place::Bucket);
    assert_eq!(world.verified(id(256, 3), peer(3, 7)), Place::Replacement);
    let refused = world.table.verified(world.now, id(256, 4), peer(4, 7));
    assert_eq!(refused, Err(Refused::GroupLimit));
    assert_eq!(world.table.add(world.now, id(256, 5), peer(5, 7)), Err(Refused::GroupLimit));
    assert_eq!(world.verified(id(256, 6), peer(6, 8)), Place::Bucket);
    assert_eq!(world.verified(id(255, 1), peer(7, 7)), Place::Bucket);
}

#[test]
fn a_group_has_ten_places_in_the_table() {
    let mut world = World::new();
    let mut places = 0;
    for distance in 240..=256 {
        for number in 0..3 {
            let result = world.table.verified(world.now, id(distance, number), peer(number, 7));
            places += usize::from(result == Ok(Place::Bucket));
        }
    }
    assert_eq!((places, world.table.len()), (10, 10));
    // Beyond them, one of the group waits in each bucket.
    assert!(world.table.buckets().iter().all(|b| b.replacements().len() == 1));

    // One of ten goes: the one who waits in the same bucket, or in any other, gets the place.
    world.table.remove(world.now, &id(240, 0)).unwrap();
    assert!(world.due().len() <= 1);
    assert_eq!(world.table.len(), 10);
}

#[test]
fn nodes_without_a_group_are_not_limited() {
    let mut world = World::new();
    for number in 0..16 {
        assert_eq!(world.verified(id(256, number), free(1)), Place::Bucket);
    }
    for number in 16..26 {
        assert_eq!(world.verified(id(256, number), free(1)), Place::Replacement);
    }
}

/// Records with an honest node's group, for ids of the attacker's making, must not keep it out.
#[test]
fn strangers_records_do_not_lock_a_node_out() {
    let mut world = World::new();
    // Its group and every other is spoken of, in every bucket, as often as may be.
    for distance in 200..=256 {
        for number in 0..100_u8 {
            let _ = world.table.add(
                world.now,
                id(distance, number.into()),
                peer(number.into(), number),
            );
            let _ = world.table.add(world.now, id(distance, 1000), peer(1000, 7));
        }
    }
    let honest = id(256, 5000);
    assert_eq!(world.verified(honest, peer(5000, 7)), Place::Bucket);
    assert_eq!(world.table.closest(&honest, 1)[0].id(), honest);

    // Nor in a full bucket, where it waits, before all of them.
    for number in 0..16 {
        let _ = world.table.verified(world.now, id(256, 2000 + number), free(number));
    }
    let second = id(256, 5001);
    assert_eq!(world.verified(second, peer(5001, 7)), Place::Replacement);
    for number in 0..100 {
        let _ = world.table.add(world.now, id(256, 3000 + number), free(number));
        let _ = world.table.add(world.now, id(256, 4000 + number), peer(number, 7));
    }
    assert_eq!(world.table.place(&second), Some(Place::Replacement));
}

#[test]
fn hearsay_does_not_displace_who_answered() {
    let mut world = World::new();
    for number in 0..26 {
        world.verified(id(256, number), free(number));
    }
    assert_eq!(world.table.add(world.now, id(256, 30), free(30)), Err(Refused::Full));
    // The newest answer takes the turn of the oldest.
    assert_eq!(world.verified(id(256, 31), free(31)), Place::Replacement);
    assert_eq!(world.table.place(&id(256, 16)), None);
    assert_eq!(world.table.place(&id(256, 17)), Some(Place::Replacement));
}

#[test]
fn a_node_that_moves_is_unverified_and_loses_its_place() {
    let mut world = World::new();
    let node = id(256, 1);
    world.verified(node, peer(1, 1));
    // The same endpoint with other news is still proven.
    assert_eq!(world.table.update(world.now, &node, peer(1, 1)), Some(Place::Bucket));
    assert_eq!(world.table.update(world.now, &node, peer(2, 1)), Some(Place::Replacement));
    let entry = world.table.get(&node).unwrap();
    assert!(!entry.is_verified() && entry.checks() == 0);
    assert!(world.table.is_empty());
    let changes = world.changes();
    assert_eq!(changes, [Change::Verified(node), Change::Demoted(node)]);

    // It answers there.
    let check = world.next_check();
    assert_eq!((check.id(), check.value()), (node, &peer(2, 1)));
    world.table.check_passed(world.now, check);
    assert_eq!(world.table.place(&node), Some(Place::Bucket));
    assert_eq!(world.table.update(world.now, &id(256, 2), peer(2, 1)), None);
}

#[test]
fn a_node_that_moves_counts_in_its_new_group() {
    let mut world = World::new();
    for number in 0..3 {
        let _ = world.table.verified(world.now, id(256, number), peer(number, 1));
    }
    assert_eq!(world.table.place(&id(256, 2)), Some(Place::Replacement));
    // One of the two leaves the group, proven at once: it keeps its place, and frees one.
    assert_eq!(world.verified(id(256, 0), peer(9, 2)), Place::Bucket);
    world.due();
    assert_eq!(world.table.place(&id(256, 2)), Some(Place::Bucket));
    assert_eq!(world.table.len(), 3);
}

#[test]
fn changes_tell_who_came_and_went() {
    let config = {
        let mut config = Config::default();
        (config.bucket_size, config.replacements) = (1, 1);
        config
    };
    let mut world = World::with(config);
    let (a, b, c) = (id(256, 1), id(256, 2), id(256, 3));
    world.verified(a, free(1));
    world.add(b, free(2));
    world.verified(c, free(3));
    world.table.remove(world.now, &a);
    world.due();
    assert_eq!(
        world.changes(),
        [
            Change::Verified(a),
            Change::Inserted(b),
            Change::Removed { id: b, value: free(2) },
            Change::Inserted(c),
            Change::Removed { id: a, value: free(1) },
            Change::Verified(c),
        ]
    );
    assert_eq!(world.table.lost_changes(), 0);
}

#[test]
fn changes_that_nobody_asks_for_are_bounded() {
    let mut world = World::new();
    for number in 0..3000 {
        world.verified(id(256, 1), free(number));
        world.table.remove(world.now, &id(256, 1));
    }
    assert_eq!(world.table.lost_changes(), 6000 - 1024);
    assert_eq!(world.changes().len(), 1024);
    assert!(world.table.buckets().iter().map(Bucket::replacements).all(<[_]>::is_empty));
}
