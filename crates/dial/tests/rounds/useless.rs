//! Nodes that are of no use to us, or we to them.

use std::time::Duration;

use devp2p_dial::{DialKind, Input, Outcome, Refusal};

use super::world::{World, id, node, nodes, secs};

const MIN: u64 = 60;

/// Offers the node again and again for as long, as a discovery does that has it all the time. Every
/// dial of it is `answered`. Returns when it was dialed, in minutes.
fn dialed_within(world: &mut World, hours: u64, mut answer: impl FnMut(&mut World)) -> Vec<u64> {
    let end = world.at() + Duration::from_hours(hours);
    let mut dialed = Vec::new();
    while world.at() < end {
        if world.offer_node(node(1)).is_ok() {
            dialed.push(world.at().as_secs() / MIN);
            answer(world);
        }
        world.wait(secs(MIN));
    }
    dialed
}

/// It becomes a peer, and one side finds the other useless.
fn useless_session(world: &mut World) {
    world.connect(1);
    world.wait(secs(1));
    world.input(Input::PeerUseless { id: id(1) });
}

#[test]
fn a_node_without_a_shared_capability_is_left_alone_for_10_min_to_24_h() {
    let mut world = World::with_slots(4);
    let refuse = |world: &mut World| {
        world.input(Input::Refused { id: id(1) });
        world.end(1, Outcome::Useless);
    };
    let day = 24 * MIN;
    let last = 1270 + 1280;
    let doubling =
        [0, 10, 30, 70, 150, 310, 630, 1270, last, last + day, last + 2 * day, last + 3 * day];
    assert_eq!(dialed_within(&mut world, 5 * 24, refuse), doubling, "eight of them the first day");
    assert!(matches!(world.why_not(1), Some(Refusal::Useless { .. })));
    assert_eq!(world.offer([2]), [2], "others are dialed");
}

#[test]
fn so_is_one_that_turned_out_to_be_useless_as_a_peer() {
    // Whoever is of another network says so in its subprotocol, after the Hello.
    let mut world = World::with_slots(4);
    assert_eq!(dialed_within(&mut world, 3, useless_session), [0, 10, 30, 70, 150]);
}

#[test]
fn a_session_that_lasts_is_the_end_of_it() {
    let mut world = World::with_slots(4);
    dialed_within(&mut world, 3, useless_session);
    world.wait(Duration::from_hours(3));
    world.offer([1]);
    world.connect(1);
    world.wait(secs(36));
    world.drop_peer(1);
    world.offer([1]);
    assert!(world.why_not(1).is_some_and(|it| it == Refusal::AlreadyDialing), "it may come back");
    useless_session(&mut world);
    let Some(Refusal::Useless { until }) = world.why_not(1) else { panic!("it is useless again") };
    assert_eq!(until - world.now, secs(10 * MIN), "as if for the first time");

    world.inbound_peer(1);
    world.wait(secs(36));
    world.drop_peer(1);
    assert_eq!(world.offer([1]), [1], "whoever had dialed");
}

#[test]
fn a_short_session_changes_nothing() {
    let mut world = World::with_slots(4);
    world.offer([1]);
    useless_session(&mut world);
    world.wait(secs(10 * MIN));
    world.offer([1]);
    world.connect(1);
    // It has no room for us, which says nothing of its use.
    world.wait(secs(1));
    world.drop_peer(1);
    world.wait(secs(2 * MIN));
    world.offer([1]);
    useless_session(&mut world);
    let Some(Refusal::Useless { until }) = world.why_not(1) else { panic!("it is useless again") };
    assert_eq!(until - world.now, secs(20 * MIN), "for the second time");
}

#[test]
fn static_nodes_are_dialed_as_after_any_failure() {
    let mut world = World::with_statics([1]);
    for wait in [35, 70, 120, 120] {
        world.dials("the operator wants it", [1]);
        world.end(1, Outcome::Useless);
        assert_eq!(world.backing_off(1), secs(wait));
        world.wait(secs(wait));
    }
    world.dials("again", [1]);
    useless_session(&mut world);
    world.wait(secs(35));
    world.dials("the end of a session is no failure", [1]);
}

#[test]
fn the_operator_s_word_makes_a_useless_node_one_to_dial() {
    let mut world = World::with_slots(4);
    world.offer([1]);
    useless_session(&mut world);
    world.take_dialed();
    world.wait(secs(MIN));
    world.add_static(1);
    world.dials("it is wanted now", [1]);
    world.end(1, Outcome::Useless);
    world.remove_static(1);
    assert_eq!(world.offer([1]), [1], "its past is forgotten");
}

#[test]
fn a_bootnode_has_its_turns_and_is_no_candidate() {
    let mut world = World::new(|config| config.bootnodes = nodes([1]));
    world.wait(secs(20));
    world.dials("there is nobody else", [1]);
    assert_eq!(world.running(1).1, DialKind::Bootstrap);
    world.end(1, Outcome::Useless);
    world.wait(secs(35));
    world.dials("there is still nobody else", [1]);
    world.end(1, Outcome::Useless);
    assert!(matches!(world.offer_node(node(1)), Err(Refusal::Useless { .. })));
}

#[test]
fn an_anchor_is_not_dialed_once_more() {
    let mut world = World::new(|config| config.anchors = nodes([1, 2]));
    world.dials("at the start", [1, 2]);
    world.end(1, Outcome::Useless);
    world.end(2, Outcome::Refused);
    world.wait(secs(5 * MIN));
    world.dials("only the one that may have room by now", [2]);
}

#[test]
fn nobody_is_useless_for_having_dialed_us() {
    let mut world = World::with_slots(4);
    world.inbound_peer(1);
    world.input(Input::PeerUseless { id: id(1) });
    world.input(Input::PeerUseless { id: id(2) });
    assert_eq!(world.offer([1, 2]), [1, 2]);
}
