//! Who is asked for a sign of life, and when.

use std::collections::{BTreeMap, BTreeSet};

use devp2p_kad::{Change, Config, Place, Refused};

use crate::support::{World, free, id, peer, seconds};

#[test]
fn an_empty_table_has_nothing_to_do() {
    let mut world = World::new();
    assert_eq!(world.table.poll_timeout(), None);
    assert!(world.due().is_empty());
    world.verified(id(256, 1), free(1));
    world.table.remove(world.now, &id(256, 1));
    world.run(seconds(60), |_, _| true);
    assert_eq!(world.table.poll_timeout(), None);
}

#[test]
fn hearsay_is_checked_within_seconds_and_gets_a_place_by_its_answer() {
    let mut world = World::new();
    world.add(id(256, 1), free(1));
    let check = world.next_check();
    assert!(world.now - world.start <= seconds(3));
    world.table.check_passed(world.now, check);
    let entry = world.table.get(&id(256, 1)).unwrap();
    assert_eq!((entry.checks(), entry.verified_at()), (1, Some(world.now)));
    assert_eq!(world.table.place(&id(256, 1)), Some(Place::Bucket));
}

#[test]
fn hearsay_that_does_not_answer_is_dropped_at_once() {
    let mut world = World::new();
    world.add(id(256, 1), free(1));
    let check = world.next_check();
    world.table.check_failed(world.now, check);
    assert!(world.table.get(&id(256, 1)).is_none());
}

/// One node at a time, at random pauses of up to 3 s and 9 s.
#[test]
fn the_lists_keep_their_pace() {
    let mut world = World::new();
    for number in 0..10 {
        world.verified(id(256, number), free(number));
    }
    let checked = world.run(seconds(9_000), |_, _| true);
    // On average a check every 4.5 s.
    assert!((1_800..2_200).contains(&checked.len()), "{}", checked.len());
    let pauses: Vec<_> = checked.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(pauses.iter().all(|pause| *pause < seconds(9)));
    assert!(pauses.iter().any(|pause| *pause < seconds(1)));
    assert!(pauses.iter().any(|pause| *pause > seconds(8)));
    // Everyone gets its turn.
    let mut turns = BTreeMap::<_, u32>::new();
    checked.iter().for_each(|(_, id)| *turns.entry(*id).or_default() += 1);
    assert_eq!(turns.len(), 10);
    assert!(turns.values().all(|turns| (140..270).contains(turns)), "{turns:?}");

    // Hearsay for which there would be a place, at 1.5 s.
    let mut world = World::new();
    let dead = |number| id(249 + number as u16 % 8, number);
    for number in 0..80 {
        world.add(dead(number), free(number));
    }
    let checked = world.run(seconds(600), |_, _| false);
    assert_eq!(checked.len(), 80);
    assert!((60..180).contains(&checked[79].0.as_secs()), "{:?}", checked[79]);
    assert!(checked.windows(2).all(|w| w[1].0 - w[0].0 < seconds(3)));
}

#[test]
fn hearsay_for_which_there_is_no_place_is_left_alone() {
    let mut world = World::new();
    for number in 0..16 {
        world.verified(id(256, number), free(number));
    }
    world.verified(id(255, 1), peer(1, 1));
    world.verified(id(255, 2), peer(2, 1));
    world.add(id(256, 20), free(20));
    world.add(id(255, 3), peer(3, 1));
    let idle = [id(256, 20), id(255, 3)];
    let checked = world.run(seconds(600), |_, _| true);
    assert!(checked.iter().all(|(_, id)| !idle.contains(id)));

    // A place becomes free for each.
    world.table.remove(world.now, &id(256, 0));
    world.table.remove(world.now, &id(255, 1));
    world.run(seconds(60), |_, _| true);
    assert!(idle.iter().all(|id| world.table.place(id) == Some(Place::Bucket)));
}

#[test]
fn a_failure_takes_two_thirds_of_the_checks() {
    let mut world = World::new();
    let node = id(256, 1);
    world.verified(node, free(1));
    for _ in 0..13 {
        let check = world.next_check();
        world.table.check_passed(world.now, check);
    }
    for left in [4, 1] {
        let check = world.next_check();
        world.table.check_failed(world.now, check);
        assert_eq!(world.table.get(&node).unwrap().checks(), left);
        assert_eq!(world.table.place(&node), Some(Place::Bucket));
    }
    let failed_at = world.now;
    let check = world.next_check();
    assert!(world.now - failed_at <= seconds(3), "a node that failed is checked again soon");
    world.table.check_failed(world.now, check);
    assert!(world.table.get(&node).is_none());
}

#[test]
fn a_random_verified_node_takes_the_place_of_a_dropped_one() {
    let mut chosen = BTreeSet::new();
    for seed in 0..100 {
        let mut world = World::new();
        world.random.0 = seed;
        for number in 0..20 {
            world.verified(id(256, number), free(number));
        }
        world.add(id(256, 30), free(30));
        let check = world.next_check();
        let gone = check.id();
        world.table.check_failed(world.now, check);
        world.changes();
        world.due();
        let changes = world.changes();
        let [Change::Verified(new)] = changes[..] else { panic!("{changes:?}") };
        assert!(world.table.get(&gone).is_none());
        assert_eq!(world.table.buckets()[16].entries().len(), 16);
        chosen.insert(new);
        // It may have waited long, so it is soon checked, before any hearsay.
        let next = world.next_check();
        assert!(next.id() == new || world.table.get(&next.id()).unwrap().checks() > 0);
    }
    assert_eq!(chosen, (16..20).map(|number| id(256, number)).collect());
}

#[test]
fn the_result_of_a_check_at_an_old_endpoint_is_ignored() {
    let mut world = World::new();
    let node = id(256, 1);
    world.verified(node, free(1));
    let check = world.next_check();
    world.table.update(world.now, &node, free(2));
    world.table.check_passed(world.now, check);
    assert!(!world.table.get(&node).unwrap().is_verified());

    let check = world.next_check();
    world.verified(node, free(3));
    world.table.check_failed(world.now, check);
    assert_eq!(world.table.place(&node), Some(Place::Bucket));

    let check = world.next_check();
    world.table.remove(world.now, &node);
    world.verified(node, free(3));
    world.table.check_failed(world.now, check);
    assert_eq!(world.table.place(&node), Some(Place::Bucket));
}

#[test]
fn another_answer_does_not_take_the_place_of_a_check() {
    let mut world = World::new();
    let node = id(256, 1);
    world.verified(node, free(1));
    let check = world.next_check();
    world.verified(node, free(1));
    world.table.check_passed(world.now, check);
    assert_eq!(world.table.get(&node).unwrap().checks(), 2);
}

#[test]
fn a_node_is_checked_again_when_a_check_is_lost() {
    let mut world = World::new();
    world.verified(id(256, 1), free(1));
    drop(world.next_check());
    let lost_at = world.now;
    let _again = world.next_check();
    let timeout = Config::default().check_timeout;
    assert!((timeout..timeout + seconds(9)).contains(&(world.now - lost_at)));
}

/// Whoever speaks of many nodes that do not exist must not keep a dead one in its place.
#[test]
fn hearsay_does_not_keep_a_failing_node_in_its_place() {
    let mut world = World::new();
    let node = id(256, 1);
    world.verified(node, free(1));
    for _ in 0..8 {
        let check = world.next_check();
        world.table.check_passed(world.now, check);
    }
    for number in 0..150 {
        let _ = world.table.add(world.now, id(241 + (number % 15) as u16, number), free(number));
    }
    let checked = world.run(seconds(40), |_, _| false);
    assert!(world.table.get(&node).is_none(), "{checked:?}");
}

#[test]
fn a_failed_bootnode_is_tried_again_within_a_minute_for_ever() {
    let mut world = World::new();
    let bootnode = id(256, 1);
    world.table.pin(world.now, bootnode, peer(1, 1)).unwrap();
    let day = 24 * 60 * 60;
    let checked = world.run(seconds(day), |_, _| false);
    assert_eq!(checked[0].0, seconds(0));
    assert!(checked.windows(2).all(|w| w[1].0 - w[0].0 <= seconds(55)));
    assert!(checked.len() >= 24 * 60);
    assert!(world.table.is_empty() && world.table.get(&bootnode).is_none());
    // Lookups may begin with it, but nobody hears of it.
    assert_eq!(world.table.closest_known(&bootnode, 16), [(bootnode, &peer(1, 1))]);

    // It answers; then it dies again, and once more it comes back.
    for _ in 0..2 {
        world.run(seconds(60), |_, _| true);
        assert_eq!(world.table.place(&bootnode), Some(Place::Bucket));
        world.run(seconds(day), |_, _| false);
        assert_eq!(world.table.place(&bootnode), None);
    }
}

/// One bootnode behind another's forged or outdated endpoint is still tried where it was pinned.
#[test]
fn a_pinned_node_is_tried_where_it_was_pinned() {
    let mut world = World::new();
    let bootnode = id(256, 1);
    world.table.pin(world.now, bootnode, free(1)).unwrap();
    world.run(seconds(1), |_, _| true);
    world.table.update(world.now, &bootnode, free(2));
    world.run(seconds(60), |_, peer| peer.endpoint == 1);
    assert_eq!(world.table.get(&bootnode).unwrap().value(), &free(1));
    assert_eq!(world.table.place(&bootnode), Some(Place::Bucket));
}

#[test]
fn a_pinned_node_keeps_to_the_limits_and_out_of_the_way() {
    let mut world = World::new();
    world.verified(id(256, 1), peer(1, 1));
    world.verified(id(256, 2), peer(2, 1));
    for number in 0..128 {
        world.table.pin(world.now, id(256, 100 + number), peer(number, 1)).unwrap();
    }
    let refused = world.table.pin(world.now, id(256, 300), free(1));
    assert_eq!(refused, Err(Refused::TooManyPins));
    world.run(seconds(60), |_, _| true);
    assert_eq!(world.table.len(), 2);
    assert_eq!(world.table.pinned().count(), 128);

    // Pinning again replaces; an unpinned node is forgotten like any other.
    world.table.pin(world.now, id(256, 100), peer(77, 1)).unwrap();
    assert_eq!(world.table.pinned().next(), Some((id(256, 100), &peer(77, 1))));
    for number in 0..128 {
        assert!(world.table.unpin(&id(256, 100 + number)));
    }
    assert!(!world.table.unpin(&id(256, 100)));
    world.run(seconds(600), |_, _| false);
    assert_eq!(world.table.poll_timeout(), None);
}

#[test]
fn a_node_whose_requests_fail_is_dropped_unless_there_are_few() {
    let mut world = World::new();
    for number in 0..4 {
        world.verified(id(256, number), free(number));
    }
    world.verified(id(255, 0), free(9));
    for _ in 0..20 {
        world.table.request_failed(world.now, &id(255, 0));
    }
    assert_eq!(world.table.place(&id(255, 0)), Some(Place::Bucket));

    let node = id(256, 0);
    for _ in 0..4 {
        world.table.request_failed(world.now, &node);
    }
    world.table.request_answered(&node);
    for _ in 0..4 {
        world.table.request_failed(world.now, &node);
        assert_eq!(world.table.place(&node), Some(Place::Bucket));
    }
    world.table.request_failed(world.now, &node);
    assert_eq!(world.table.place(&node), None);
}

#[test]
fn a_node_whose_request_failed_is_checked_soon() {
    let mut world = World::new();
    for number in 0..10 {
        world.verified(id(256, number), free(number));
    }
    let doubtful = id(256, 3);
    for _ in 0..100 {
        world.table.request_failed(world.now, &doubtful);
        let checked = world.run(seconds(3), |_, _| true);
        assert!(checked.iter().any(|(_, id)| *id == doubtful));
        world.table.request_answered(&doubtful);
    }
}
