//! Both sides dialed at the same time, and one of the two connections gave way.

use std::time::Duration;

use devp2p_dial::{DialKind, Input, Outcome, Refusal};

use super::world::{World, id, node, secs};

/// Lets time pass until the node is dialed again.
fn wait_for_dial(world: &mut World, number: u32) -> Duration {
    let from = world.at();
    while world.why_not(number) != Some(Refusal::AlreadyDialing) {
        world.wait(Duration::from_millis(10));
        assert!(world.at() - from < secs(200), "it is not dialed again");
    }
    world.at() - from
}

#[test]
fn a_static_node_is_dialed_again_after_1_to_3_s() {
    let mut delays = Vec::new();
    for seed in 0..20 {
        let mut world = World::seeded(seed, |config| config.static_nodes = vec![node(1)]);
        world.dials("both sides dial", [1]);
        world.end(1, Outcome::Collided);
        let delay = wait_for_dial(&mut world, 1);
        assert!((secs(1)..=secs(3) + Duration::from_millis(10)).contains(&delay), "{delay:?}");
        delays.push(delay);
    }
    delays.sort();
    assert!(delays[19] - delays[0] > secs(1), "the delays differ: {delays:?}");
}

#[test]
fn a_collision_that_was_told_as_refused_first_is_a_collision() {
    let mut world = World::with_statics([1]);
    world.dials("both sides dial", [1]);
    world.input(Input::Refused { id: id(1) });
    world.end(1, Outcome::Collided);
    assert!(wait_for_dial(&mut world, 1) < secs(4));
}

#[test]
fn a_node_that_became_a_peer_meanwhile_is_not_dialed_again() {
    let mut world = World::with_statics([1]);
    world.dials("both sides dial", [1]);
    world.end(1, Outcome::Collided);
    world.inbound_peer(1);
    world.wait(secs(100));
    world.no_dials("the other connection stayed");
    world.drop_peer(1);
    world.dials("it left", [1]);
}

#[test]
fn a_candidate_keeps_its_slot_for_the_second_dial() {
    let mut world = World::with_slots(1);
    world.offer([1]);
    world.dials("both sides dial", [1]);
    world.end(1, Outcome::Collided);
    assert_eq!(world.scheduler.wanted_candidates(), 0);
    assert!(matches!(world.offer_node(node(1)), Err(Refusal::BackingOff { .. })));
    wait_for_dial(&mut world, 1);
    world.dials("again", [1]);
    assert_eq!(world.running(1).1, DialKind::Dynamic);

    world.end(1, Outcome::Collided);
    world.inbound_peer(1);
    assert_eq!(world.scheduler.wanted_candidates(), 1, "it came to us, and its slot is free");
    world.wait(secs(100));
    world.no_dials("it is a peer");
}

#[test]
fn a_candidate_that_is_dialing_us_by_then_is_waited_for() {
    let mut world = World::with_slots(1);
    world.offer([1]);
    world.dials("both sides dial", [1]);
    world.end(1, Outcome::Collided);
    world.input(Input::PendingInbound { id: id(1) });
    world.wait(secs(4));
    world.no_dials("it may become a peer");
    world.input(Input::PendingInboundDone { id: id(1) });
    world.dials("it did not", [1]);
}

#[test]
fn the_third_collision_in_a_row_is_a_failure() {
    let mut world = World::with_statics([1]);
    for _ in 0..2 {
        world.dials("dialed", [1]);
        world.end(1, Outcome::Collided);
        assert!(wait_for_dial(&mut world, 1) < secs(4));
    }
    world.dials("dialed", [1]);
    world.end(1, Outcome::Collided);
    assert_eq!(wait_for_dial(&mut world, 1), secs(35), "it takes us for connected");

    let mut world = World::with_slots(1);
    world.inbound_peer(99);
    world.offer([1]);
    for _ in 0..2 {
        world.dials("dialed", [1]);
        world.end(1, Outcome::Collided);
        wait_for_dial(&mut world, 1);
    }
    world.dials("dialed", [1]);
    world.end(1, Outcome::Collided);
    assert_eq!(world.scheduler.wanted_candidates(), 1, "the slot goes to others");
    world.wait(secs(200));
    world.no_dials("it is a candidate like others");
    assert_eq!(world.offer([1]), [1]);
}

#[test]
fn a_peer_that_takes_our_connection_for_a_second_one_is_dialed_again_after_1_to_3_s() {
    let mut world = World::with_statics([1]);
    for _ in 0..2 {
        world.dials("dialed", [1]);
        world.connect(1);
        world.input(Input::PeerCollided { id: id(1) });
        let delay = wait_for_dial(&mut world, 1);
        assert!((secs(1)..=secs(3) + Duration::from_millis(10)).contains(&delay), "{delay:?}");
    }
    world.dials("dialed", [1]);
    world.connect(1);
    world.input(Input::PeerCollided { id: id(1) });
    assert!(wait_for_dial(&mut world, 1) > secs(30), "the third time in a row it waits");
    world.dials("dialed", [1]);
    world.connect(1);
    world.drop_peer(1);
    wait_for_dial(&mut world, 1);
    world.dials("it ended otherwise", [1]);
    world.connect(1);
    world.input(Input::PeerCollided { id: id(1) });
    assert!(wait_for_dial(&mut world, 1) < secs(4), "and counts from the start");
}
