//! Dynamic dials of candidates from discovery.

use std::time::Duration;

use devp2p_dial::{Input, Outcome, Refusal};

use super::world::{World, id, node, node_at, node_named, node_without_address, nodes, secs};

#[test]
fn candidates_fill_the_free_slots() {
    let mut world = World::with_slots(5);
    world.dialed_peer(1);
    world.dialed_peer(2);
    world.inbound_peer(9);
    assert_eq!(world.scheduler.wanted_candidates(), 3, "an inbound peer takes no slot");
    assert_eq!(world.offer(2..=7), [3, 4, 5]);
    world.dials("2 is connected, and 6 and 7 come when no slot is left", [3, 4, 5]);
    assert_eq!(world.why_not(6), Some(Refusal::NoSlot));

    world.connect(3);
    world.connect(4);
    assert_eq!(world.scheduler.wanted_candidates(), 0);
    world.no_dials("a dial that became a peer keeps its slot");

    world.fail(5);
    assert_eq!(world.scheduler.wanted_candidates(), 1);
    assert_eq!(world.offer([6, 7]), [6]);
    world.dials("a dial that failed gives its slot back", [6]);

    world.connect(6);
    world.wait(secs(60));
    world.drop_peer(2);
    world.drop_peer(3);
    assert_eq!(world.offer([7, 8, 10]), [7, 8]);
    world.dials("peers that leave give their slots back", [7, 8]);
}

#[test]
fn a_peer_dialed_from_the_static_list_takes_a_slot_too() {
    let mut world = World::new(|config| {
        config.max_dialed = 2;
        config.static_nodes = nodes([1]);
    });
    world.dials("the static node is dialed", [1]);
    assert_eq!(world.scheduler.wanted_candidates(), 1, "its dial takes a slot");
    world.connect(1);
    assert_eq!(world.scheduler.wanted_candidates(), 1, "and so does the peer");
}

#[test]
fn what_is_offered_again_and_again_is_dialed_in_turn() {
    let mut world = World::with_slots(10);
    assert_eq!(world.offer(1..=8), [1, 2, 3, 4, 5, 6, 7, 8]);
    world.dials("all eight fit", 1..=8);

    world.connect(1);
    world.connect(2);
    assert_eq!(world.offer(10..=12), [10, 11]);
    world.dials("two slots were left for what a lookup found", [10, 11]);

    for number in [3, 4, 5, 6, 7, 8] {
        world.fail(number);
    }
    world.connect(10);
    world.connect(11);
    assert_eq!(world.offer((1..=8).chain(10..=12)), [12]);
    world.dials("the rest is connected or was dialed a moment ago", [12]);

    world.wait(secs(121));
    assert_eq!(world.offer(1..=8), [3, 4, 5, 6, 7]);
    world.dials("those that failed are tried again, as far as slots go", 3..=7);
}

#[test]
fn no_more_dials_at_once_than_max_active_dials() {
    let mut world = World::new(|config| {
        config.max_dialed = 50;
        config.static_nodes = nodes(1..=10);
    });
    world.dials("static nodes go first", 1..=10);
    assert_eq!(world.scheduler.wanted_candidates(), 6);
    assert_eq!(world.offer(11..=30), [11, 12, 13, 14, 15, 16]);
    world.dials("candidates take what is left of the 16", 11..=16);

    world.add_static(40);
    world.no_dials("a static node waits for its turn");
    world.fail(12);
    world.dials("and takes it before any candidate", [40]);
    assert_eq!(world.scheduler.wanted_candidates(), 0);
}

#[test]
fn nothing_is_wanted_where_dynamic_dials_are_off() {
    let mut world = World::new(|config| config.dynamic = false);
    assert_eq!(world.scheduler.wanted_candidates(), 0);
    assert_eq!(world.offer_node(node(1)), Err(Refusal::DialingOff));
}

#[test]
fn a_candidate_outside_of_netrestrict_is_refused() {
    let mut world = World::new(|config| {
        config.net_restrict = Some("127.0.2.0/24".parse().unwrap());
    });
    let inside = node_at(5, "127.0.2.5:30303");
    for number in 1..=4 {
        let outside = node_at(number, &format!("127.0.0.{number}:30303"));
        assert_eq!(world.offer_node(outside), Err(Refusal::NetRestrict));
    }
    assert_eq!(world.offer_node(inside.clone()), Ok(()));
    world.dials_at("only the node inside is dialed", [inside]);
}

#[test]
fn a_node_is_not_dialed_again_within_35_s() {
    let mut world = World::with_slots(10);
    world.offer([1, 2]);
    world.dials("both are new", [1, 2]);
    let until = world.now + secs(35);

    world.dialed_peer(1);
    world.end(1, Outcome::Added);
    world.wait(secs(5));
    world.drop_peer(1);
    assert_eq!(world.offer_node(node(1)), Err(Refusal::RecentlyDialed { until }));
    world.wait(secs(29));
    assert_eq!(world.offer_node(node(1)), Err(Refusal::RecentlyDialed { until }));
    world.no_dials("it left at once, but was dialed 34 s ago");

    world.connect(2);
    world.wait(secs(36));
    world.drop_peer(2);
    assert_eq!(world.offer([2]), [2]);
    world.dials("its dial was long ago", [2]);
}

#[test]
fn every_failure_doubles_the_wait_up_to_an_hour() {
    let mut world = World::with_slots(10);
    world.inbound_peer(99);
    let mut longest = secs(60);
    for failure in 1..=10 {
        assert_eq!(world.offer([1]), [1], "failure {failure}");
        world.dials("it is tried", [1]);
        world.end(1, Outcome::HandshakeFailed);
        // The first may be below the 35 s for which a dial is recent.
        world.wait(secs(35));
        if let Some(refusal) = world.why_not(1) {
            assert!(matches!(refusal, Refusal::BackingOff { .. }));
            let delay = secs(35) + world.backing_off(1);
            assert!((longest / 2..=longest).contains(&delay), "failure {failure}: {delay:?}");
            world.wait(delay - secs(35));
        }
        longest = (longest * 2).min(secs(3600));
    }
    assert_eq!(longest, secs(3600));

    world.offer([1]);
    world.connect(1);
    world.wait(secs(36));
    world.drop_peer(1);
    assert_eq!(world.why_not(1), None, "a session of some length clears the past");
    world.offer([1]);
    world.end(1, Outcome::Refused);
    world.wait(secs(60));
    assert_eq!(world.why_not(1), None, "the next failure is a first one");
}

#[test]
fn the_waits_of_two_nodes_differ() {
    let mut world = World::with_slots(10);
    world.offer(1..=8);
    (1..=8).for_each(|number| world.fail(number));
    world.wait(secs(40));
    assert_eq!(world.why_not(9), None);
    let ready = world.offer(1..=8).len();
    assert!((1..8).contains(&ready), "after 40 s of 30 to 60 s some wait, some do not: {ready}");
}

#[test]
fn a_peer_that_leaves_at_once_counts_as_a_failure() {
    let mut world = World::with_slots(10);
    world.inbound_peer(99);
    for longest in [60, 120, 240] {
        assert_eq!(world.offer([1]), [1]);
        world.connect(1);
        world.wait(Duration::from_millis(20));
        world.drop_peer(1);
        world.wait(secs(longest / 2 - 1));
        assert_ne!(world.why_not(1), None, "it waits at least half of {longest} s");
        world.wait(secs(longest / 2 + 1));
    }
    // A remote without room says so after its Hello: dialing it twice a minute helps nobody.
    assert_eq!(world.why_not(1), None);
}

#[test]
fn without_any_peer_the_wait_does_not_grow() {
    let mut world = World::with_slots(10);
    for _ in 0..8 {
        assert_eq!(world.offer([1]), [1], "our own network may have been down");
        world.fail(1);
        world.wait(secs(60));
    }
}

#[test]
fn a_node_that_is_dialing_us_is_not_dialed() {
    let mut world = World::with_slots(10);
    world.input(Input::PendingInbound { id: id(1) });
    assert_eq!(world.offer_node(node(1)), Err(Refusal::PendingInbound));
    world.input(Input::PendingInboundDone { id: id(1) });
    assert_eq!(world.offer([1]), [1]);
    world.dials("its set-up came to nothing", [1]);

    world.input(Input::PendingInbound { id: id(2) });
    world.wait(secs(31));
    assert_eq!(world.offer([2]), [2], "an end that is never told does not block it for ever");
}

#[test]
fn the_first_check_that_fails_is_told() {
    let mut world = World::new(|config| {
        config.max_dialed = 2;
        config.net_restrict = Some("10.0.0.0/8".parse().unwrap());
        config.static_nodes = nodes([1]);
    });
    let until = world.now + secs(35);
    let outside = |number| node_at(number, "192.0.2.1:30303");
    let without_port = |number| node_at(number, "192.0.2.1:0");

    assert_eq!(world.offer_node(node(1)), Err(Refusal::IsStatic));
    assert_eq!(world.offer_node(without_port(0)), Err(Refusal::SelfDial));
    assert_eq!(world.offer_node(without_port(2)), Err(Refusal::NoPort));
    assert_eq!(world.offer_node(node_without_address(2)), Err(Refusal::NoAddress));
    assert_eq!(world.offer_node(node_at(2, "0.0.0.0:30303")), Err(Refusal::NoAddress));

    assert_eq!(world.offer([2]), [2]);
    assert_eq!(world.offer_node(outside(2)), Err(Refusal::AlreadyDialing));
    world.input(Input::PendingInbound { id: id(2) });
    world.input(Input::PeerAdded { id: id(2), dialed: true, kind: None, remote_addr: None });
    world.end(2, Outcome::Added);
    assert_eq!(world.offer_node(outside(2)), Err(Refusal::AlreadyConnected));
    world.drop_peer(2);
    assert_eq!(world.offer_node(outside(2)), Err(Refusal::PendingInbound));
    world.input(Input::PendingInboundDone { id: id(2) });
    assert_eq!(world.offer_node(outside(2)), Err(Refusal::NetRestrict));
    assert_eq!(world.offer_node(node(2)), Err(Refusal::RecentlyDialed { until }));

    world.offer([3]);
    world.end(3, Outcome::Refused);
    world.offer([4]);
    world.wait(secs(35));
    assert!(world.why_not(3).is_none_or(|why| matches!(why, Refusal::BackingOff { .. })));
    assert_eq!(world.offer_node(node(5)), Err(Refusal::NoSlot));

    world.input(Input::Stop);
    assert_eq!(world.offer_node(node(0)), Err(Refusal::Stopped));
}

#[test]
fn when_too_many_dials_are_remembered_candidates_wait() {
    let mut world = World::with_slots(5);
    world.inbound_peer(20_000);
    for number in 1..=16_384 {
        assert_eq!(world.scheduler.wanted_candidates(), 5);
        assert_eq!(world.offer([number]), [number]);
        world.fail(number);
    }
    world.take_dialed();
    assert_eq!(world.scheduler.wanted_candidates(), 0);
    assert_eq!(world.why_not(20_001), Some(Refusal::NoSlot));
    world.add_static(20_002);
    world.dials("static nodes do not wait", [20_002]);
    assert_eq!(world.scheduler.poll_timeout(), Some(world.now + secs(10)), "for the log");
    world.wait(secs(35));
    assert_eq!(world.scheduler.wanted_candidates(), 4);
}

#[test]
fn a_candidate_with_a_name_is_looked_up_first() {
    let mut world = World::with_slots(1);
    let named = node_named(1, "node.example.org");
    assert_eq!(world.offer_node(named.clone()), Ok(()));
    world.searches("its name is looked up", [named.clone()]);
    assert_eq!(world.scheduler.wanted_candidates(), 0, "the search takes the slot");
    world.resolved(1, Some(named.with_ip("10.0.0.1".parse().unwrap())));
    world.dials_at("what was found is dialed", [named.with_ip("10.0.0.1".parse().unwrap())]);

    world.fail(1);
    world.wait(secs(61));
    assert_eq!(world.offer_node(named.clone()), Ok(()));
    world.searches("the name is looked up again", [named.clone()]);
    world.resolved(1, None);
    world.no_dials("nothing was found");
    assert_eq!(world.take_refused(), [(id(1), Refusal::NoAddress)]);
    assert_eq!(world.scheduler.wanted_candidates(), 1, "the slot is free again");
    assert!(matches!(world.offer_node(named), Err(Refusal::BackingOff { .. })));
}

#[test]
fn while_there_are_few_peers_the_log_is_told() {
    let mut world = World::with_slots(10);
    world.offer([1, 2, 3]);
    world.fail(1);
    world.fail(2);
    world.wait(secs(9));
    assert_eq!(world.take_stats(), []);
    world.wait(secs(21));
    let stats = world.take_stats();
    assert_eq!(stats.iter().map(|stats| stats.tried).collect::<Vec<_>>(), [2, 0, 0]);
    assert_eq!((stats[0].peers, stats[0].dialing, stats[0].statics), (0, 1, 0));

    world.connect(3);
    world.dialed_peer(4);
    world.dialed_peer(5);
    world.inbound_peer(6);
    world.wait(secs(100));
    assert_eq!(world.take_stats(), [], "three dialed peers are enough to be silent");
    assert_eq!(world.scheduler.stats().peers, 4);
    assert_eq!(world.scheduler.stats().dialed, 3);
    assert_eq!(world.scheduler.poll_timeout(), None, "and there is nothing to wait for");
}
