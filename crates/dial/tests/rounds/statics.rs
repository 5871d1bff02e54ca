//! Static nodes.

use std::collections::{BTreeMap, BTreeSet};

use devp2p_dial::{DialKind, Input, Outcome, Refusal};

use super::world::{World, id, node, node_at, node_without_address, nodes, secs};

#[test]
fn static_nodes_are_dialed_where_they_are_not_connected() {
    let mut world = World::with_statics([]);
    world.inbound_peer(1);
    world.dialed_peer(2);
    for number in 1..=5 {
        world.add_static(number);
    }
    world.dials("1 and 2 are connected", [3, 4, 5]);
    assert_eq!(world.why_not(1), Some(Refusal::AlreadyConnected));
    assert_eq!(world.why_not(3), Some(Refusal::AlreadyDialing));

    world.connect(3);
    world.no_dials("all are connected or being dialed");
    world.connect(4);
    world.connect(5);
    world.wait(secs(48));
    world.no_dials("all are connected");

    world.drop_peer(1);
    world.drop_peer(2);
    world.drop_peer(4);
    world.dials("who leaves is dialed at once, however it had come", [1, 2, 4]);
    assert_eq!(world.running(1).1, DialKind::Static);
}

#[test]
fn static_nodes_are_dialed_beyond_the_slots() {
    let mut world = World::new(|config| {
        config.max_dialed = 1;
        config.static_nodes = nodes(1..=4);
    });
    world.dials("four, where candidates had one slot", 1..=4);
    assert_eq!(world.scheduler.wanted_candidates(), 0);

    let mut world = World::new(|config| {
        config.max_dialed = 0;
        config.static_nodes = nodes(1..=4);
    });
    world.dials("four, where candidates had none", 1..=4);
}

#[test]
fn a_static_node_that_fails_is_dialed_for_ever() {
    let mut world = World::with_statics([1]);
    for (failure, seconds) in [35, 70, 120, 120, 120].into_iter().enumerate() {
        world.dials("the wait has passed", [1]);
        world.wait(secs(5));
        world.end(1, Outcome::HandshakeFailed);
        assert_eq!(world.backing_off(1), secs(seconds - 5), "after failure {}", failure + 1);
        world.wait(secs(seconds - 6));
        world.no_dials("the wait counts from the start of the dial");
        world.wait(secs(1));
    }
    world.dials("the wait has passed", [1]);
    world.connect(1);
    world.wait(secs(40));
    world.drop_peer(1);
    world.dials("it was connected", [1]);
    world.end(1, Outcome::Refused);
    assert_eq!(world.backing_off(1), secs(35), "so its failures no longer count");
}

#[test]
fn a_static_node_that_leaves_soon_is_dialed_after_35_s() {
    let mut world = World::with_statics([1]);
    for _ in 0..5 {
        world.dials("dialed", [1]);
        let until = world.now + secs(35);
        world.connect(1);
        world.wait(secs(1));
        world.drop_peer(1);
        assert_eq!(world.why_not(1), Some(Refusal::RecentlyDialed { until }));
        world.wait(secs(33));
        world.no_dials("it was dialed a short while ago");
        world.wait(secs(1));
    }
}

#[test]
fn a_node_that_came_to_us_is_no_longer_backed_off() {
    let mut world = World::with_statics([1]);
    for seconds in [35, 70] {
        world.dials("dialed", [1]);
        world.end(1, Outcome::HandshakeFailed);
        world.wait(secs(seconds));
    }
    world.dials("dialed", [1]);
    world.end(1, Outcome::HandshakeFailed);
    assert_eq!(world.backing_off(1), secs(120));
    world.inbound_peer(1);
    world.wait(secs(36));
    world.drop_peer(1);
    world.dials("it is alive, and its last dial is past", [1]);
}

#[test]
fn a_removed_node_is_not_dialed() {
    let mut world = World::with_statics([1, 2]);
    world.dials("both", [1, 2]);
    assert!(world.scheduler.is_static(id(1)));
    world.remove_static(1);
    assert!(!world.scheduler.is_static(id(1)));
    world.fail(1);
    world.fail(2);
    world.wait(secs(36));
    world.dials("only the other one is dialed again", [2]);
    world.remove_static(2);
    world.connect(2);
    world.drop_peer(2);
    world.wait(secs(1000));
    world.no_dials("neither is left");
    assert_eq!(world.scheduler.stats().statics, 0);
}

#[test]
fn a_node_that_is_removed_and_added_again_is_dialed_at_once() {
    let mut world = World::with_statics([1, 2]);
    world.dials("both", [1, 2]);
    world.connect(1);
    world.connect(2);
    world.remove_static(1);
    world.add_static(1);
    world.no_dials("it is still connected");

    world.drop_peer(1);
    world.drop_peer(2);
    world.dials("2 was dialed a short while ago; the past of 1 was forgotten", [1]);
    world.end(1, Outcome::HandshakeFailed);
    world.remove_static(1);
    world.remove_static(2);
    world.no_dials("both wait");
    world.add_static(1);
    world.add_static(2);
    world.dials("removing them cleared their pasts", [1, 2]);
}

#[test]
fn a_static_node_that_waits_for_its_past_is_dialed_when_it_ends() {
    let mut world = World::with_statics([1, 2, 3]);
    world.dials("all three", [1, 2, 3]);
    world.wait(secs(16));
    world.connect(1);
    world.connect(2);
    world.no_dials("all are connected or being dialed");
    world.end(3, Outcome::HandshakeFailed);
    world.wait(secs(18));
    world.no_dials("3 waits for its past to end");
    world.wait(secs(1));
    world.dials("35 s are over", [3]);
}

#[test]
fn two_thousand_static_nodes_are_dialed_sixteen_at_a_time_in_random_order() {
    let numbers: BTreeMap<_, _> = (1..=2000).map(|number| (id(number), number)).collect();
    let order = |seed| {
        let mut world = World::seeded(seed, |config| config.static_nodes = nodes(1..=2000));
        let mut order: Vec<u32> = Vec::new();
        loop {
            let dialed: Vec<_> = world.take_dialed().iter().map(|id| numbers[id]).collect();
            if dialed.is_empty() {
                break order;
            }
            assert!(world.scheduler.stats().dialing <= 16);
            order.extend(&dialed);
            dialed.iter().for_each(|&number| world.connect(number));
        }
    };
    let first = order(1);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 2000, "each is dialed once");
    assert_eq!(first.len(), 2000);
    assert!(!first.is_sorted());
    assert_eq!(first, order(1), "one seed, one order");
    assert_ne!(first, order(2), "another seed, another order");
}

#[test]
fn who_waits_longest_is_dialed_first() {
    let mut world = World::new(|config| {
        config.dynamic = false;
        config.max_active_dials = 1;
        config.static_nodes = nodes([1]);
    });
    world.dials("the only dial", [1]);
    for number in [7, 3, 9, 2] {
        world.wait(secs(1));
        world.add_static(number);
        assert_eq!(world.why_not(number), Some(Refusal::NoSlot));
    }
    world.wait(secs(60));
    world.add_static(7);
    let mut running = 1;
    for next in [7, 3, 9, 2] {
        world.end(running, Outcome::HandshakeFailed);
        world.dials("the one that has waited longest, added again or not", [next]);
        world.wait(secs(8));
        running = next;
    }
    world.end(running, Outcome::HandshakeFailed);
    world.dials("1 began 92 s ago and failed first", [1]);
}

#[test]
fn thousands_of_static_nodes_that_fail_get_equal_turns() {
    let numbers: BTreeMap<_, _> = (1..=3000).map(|number| (id(number), number)).collect();
    let mut world = World::with_statics(1..=3000);
    let mut turns = BTreeMap::new();
    // At 16 dials in 15 s one round takes 2812 s.
    while world.at() < secs(2 * 2850) {
        let dialed: Vec<_> = world.take_dialed().iter().map(|id| numbers[id]).collect();
        world.wait(secs(15));
        for number in dialed {
            *turns.entry(number).or_insert(0) += 1;
            world.end(number, Outcome::HandshakeFailed);
        }
    }
    assert_eq!(turns.len(), 3000);
    assert!(turns.values().all(|turns| (2..=3).contains(turns)));
}

#[test]
fn adding_a_node_again_replaces_its_address() {
    let mut world = World::with_statics([1]);
    world.dials("dialed", [1]);
    world.end(1, Outcome::HandshakeFailed);
    let moved = node_at(1, "10.9.9.9:30303");
    world.input(Input::AddStatic(moved.clone()));
    assert_eq!(world.scheduler.stats().statics, 1);
    world.no_dials("its past still counts");
    world.wait(secs(35));
    world.dials_at("the new address is dialed", [moved]);
}

#[test]
fn a_candidate_can_become_static_while_it_is_dialed() {
    let mut world = World::with_slots(5);
    world.offer([1]);
    world.dials("as a candidate", [1]);
    world.add_static(1);
    assert_eq!(world.take_refused(), [(id(1), Refusal::AlreadyDialing)]);
    world.no_dials("a dial is in flight");
    world.end(1, Outcome::HandshakeFailed);
    world.wait(secs(35));
    world.dials("as a static node", [1]);
    assert_eq!(world.running(1).1, DialKind::Static);
}

#[test]
fn a_node_dialed_a_moment_ago_waits_also_as_a_static_node() {
    let mut world = World::with_slots(5);
    world.offer([1]);
    let until = world.now + secs(35);
    world.fail(1);
    world.dials("as a candidate", [1]);
    world.add_static(1);
    assert_eq!(world.take_refused(), [(id(1), Refusal::RecentlyDialed { until })]);
    world.wait(secs(35));
    world.dials("its wait as a candidate no longer counts", [1]);
}

#[test]
fn a_static_node_that_is_dialing_us_is_waited_for() {
    let mut world = World::with_statics([]);
    world.input(Input::PendingInbound { id: id(1) });
    world.add_static(1);
    assert_eq!(world.take_refused(), [(id(1), Refusal::PendingInbound)]);
    world.no_dials("its set-up goes on");
    world.inbound_peer(1);
    world.input(Input::PendingInboundDone { id: id(1) });
    world.no_dials("it is a peer");
    world.drop_peer(1);
    world.dials("it left", [1]);

    world.input(Input::PendingInbound { id: id(2) });
    world.add_static(2);
    world.input(Input::PendingInboundDone { id: id(2) });
    world.dials("its set-up came to nothing", [2]);

    world.input(Input::PendingInbound { id: id(3) });
    world.add_static(3);
    world.wait(secs(29));
    world.no_dials("it may still come to something");
    world.wait(secs(1));
    world.dials("an end that is never told does not block it for ever", [3]);
}

#[test]
fn a_static_node_that_cannot_be_dialed_is_told_and_kept() {
    let mut world = World::new(|config| {
        config.net_restrict = Some("10.0.0.0/8".parse().unwrap());
        config.static_nodes = vec![
            node(0),
            node_at(1, "10.0.0.1:0"),
            node_at(2, "192.0.2.2:30303"),
            node_at(3, "0.0.0.0:30303"),
        ];
    });
    let refused = [Refusal::SelfDial, Refusal::NoPort, Refusal::NetRestrict, Refusal::NoAddress];
    let told: Vec<_> = (0..).map(id).zip(refused).collect();
    assert_eq!(world.take_refused(), told);
    world.wait(secs(1000));
    world.no_dials("waiting does not help");
    for (number, refusal) in (0..).zip(refused) {
        assert!(world.scheduler.is_static(id(number)));
        let stored = node_without_address(number);
        assert_eq!(world.scheduler.why_not(world.now, &stored), Some(refusal));
    }
    world.add_static(2);
    world.dials("a better address does", [2]);
}

#[test]
fn the_list_has_an_end() {
    let mut world = World::new(|config| {
        config.max_active_dials = 1;
        config.static_nodes = nodes(1..=16_384);
    });
    world.take_refused();
    world.add_static(20_000);
    assert_eq!(world.take_refused(), [(id(20_000), Refusal::ListFull)]);
    assert!(!world.scheduler.is_static(id(20_000)));
    world.remove_static(5);
    world.add_static(20_000);
    assert!(world.scheduler.is_static(id(20_000)));
    assert_eq!(world.scheduler.stats().statics, 16_384);
}
