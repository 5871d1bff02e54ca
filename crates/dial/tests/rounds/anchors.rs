//! Good peers from before a restart.

use devp2p_dial::{Config, DialKind, Outcome, Refusal};

use super::world::{World, id, node, node_at, node_named, nodes, secs};

fn world(max_dialed: usize, anchors: impl IntoIterator<Item = u32>) -> World {
    World::new(|config| {
        config.max_dialed = max_dialed;
        config.anchors = nodes(anchors);
    })
}

#[test]
fn anchors_are_dialed_first_and_in_slots_of_candidates() {
    let mut world = world(6, [1, 2, 3]);
    world.dials("at once", [1, 2, 3]);
    assert_eq!(world.running(1).1, DialKind::Anchor);
    assert_eq!(world.scheduler.wanted_candidates(), 3);
    assert_eq!(world.offer_node(node(2)), Err(Refusal::AlreadyDialing));
    world.connect(1);
    assert_eq!(world.scheduler.wanted_candidates(), 3, "a peer keeps its slot");
    assert_eq!(world.offer([4, 5, 6, 7]), [4, 5, 6]);
}

#[test]
fn anchors_are_dialed_before_static_nodes_take_all_dials() {
    let mut world = World::new(|config| {
        config.max_dialed = 4;
        config.max_active_dials = 3;
        config.static_nodes = nodes(10..=20);
        config.anchors = nodes([1, 2]);
    });
    let dialed = world.take_dialed();
    assert_eq!(dialed.len(), 3);
    assert!(dialed.contains(&id(1)) && dialed.contains(&id(2)), "both anchors, and a static node");
}

#[test]
fn an_anchor_is_dialed_twice_and_then_forgotten() {
    let mut world = world(2, [1]);
    world.dials("the first time", [1]);
    world.fail(1);
    assert_eq!(world.scheduler.wanted_candidates(), 1, "it keeps its slot for the second dial");
    assert!(matches!(world.offer_node(node(1)), Err(Refusal::BackingOff { .. })));
    world.wait(secs(34));
    world.no_dials("it waits like a static node");
    world.wait(secs(1));
    world.dials("the second time", [1]);
    assert_eq!(world.running(1).1, DialKind::Anchor);
    world.end(1, Outcome::Refused);
    assert_eq!(world.scheduler.wanted_candidates(), 2, "its slot is free");
    world.wait(secs(3600));
    world.no_dials("it is a node like any other now");
    assert_eq!(world.offer([1]), [1]);
    assert_eq!(world.running(1).1, DialKind::Dynamic);
}

#[test]
fn an_anchor_that_was_connected_and_left_is_a_node_like_any_other() {
    let mut world = world(2, [1]);
    world.dials("at once", [1]);
    world.connect(1);
    world.wait(secs(60));
    world.drop_peer(1);
    world.wait(secs(3600));
    world.no_dials("nobody offers it");
    assert_eq!(world.scheduler.wanted_candidates(), 2);

    world.offer([1]);
    world.dials("offered again", [1]);
    world.fail(1);
    world.wait(secs(3600));
    world.no_dials("one dial for each offer");
}

#[test]
fn an_anchor_that_came_to_us_is_not_dialed_again() {
    let mut world = world(2, [1]);
    world.dials("at once", [1]);
    world.fail(1);
    world.inbound_peer(1);
    world.wait(secs(60));
    world.no_dials("it is a peer");
    assert_eq!(world.scheduler.wanted_candidates(), 2, "and in none of our slots");
}

#[test]
fn an_anchor_that_collided_is_dialed_again_soon() {
    let mut world = world(2, [1]);
    world.dials("at once", [1]);
    world.end(1, Outcome::Collided);
    world.wait(secs(4));
    world.dials("after 1 to 3 s", [1]);
}

#[test]
fn four_anchors_are_dialed_and_no_more_than_leave_half_of_the_slots() {
    for (slots, dialed) in [(10, 4), (8, 4), (7, 3), (4, 2), (3, 1), (2, 1), (1, 1), (0, 0)] {
        let mut world = world(slots, 1..=6);
        world.dials(&format!("{slots} slots"), 1..=dialed);
        assert_eq!(world.scheduler.wanted_candidates(), slots - dialed as usize);
    }
    let mut twice = world(10, [1, 1, 1, 2]);
    twice.dials("each once", [1, 2]);
    let mut off = World::new(|config| {
        config.dynamic = false;
        config.anchors = nodes([1]);
    });
    off.no_dials("only static nodes are dialed");
    assert_eq!(off.scheduler.poll_timeout(), None);
}

#[test]
fn an_anchor_that_is_static_is_dialed_as_a_static_node() {
    let mut world = World::new(|config| {
        config.static_nodes = nodes([1]);
        config.anchors = nodes([1]);
    });
    world.dials("once", [1]);
    assert_eq!(world.running(1).1, DialKind::Static);
}

#[test]
fn an_anchor_that_is_a_bootnode_is_still_one() {
    let mut world = World::new(|config| {
        config.bootnodes = nodes([1]);
        config.anchors = nodes([1]);
    });
    world.dials("at once", [1]);
    assert_eq!(world.running(1).1, DialKind::Anchor);
    world.fail(1);
    world.wait(secs(35));
    world.dials("as an anchor, and not as a bootnode too", [1]);
    assert_eq!(world.running(1).1, DialKind::Anchor);
    world.fail(1);
    world.wait(secs(120));
    world.dials("nobody else is there", [1]);
    assert_eq!(world.running(1).1, DialKind::Bootstrap);
}

#[test]
fn the_rules_for_candidates_hold_for_anchors() {
    let at = |number: u32| node_at(number, &format!("100.1.0.{number}:30303"));
    let configure = |config: &mut Config| {
        config.net_restrict = Some("100.1.0.0/16".parse().unwrap());
        config.anchors = vec![at(1), at(2), at(3), node(4)];
    };
    let mut world = World::new(configure);
    world.dials_at("two of one network", [at(1), at(2)]);
    let refused = [(id(3), Refusal::PrefixLimit), (id(4), Refusal::NetRestrict)];
    assert_eq!(world.take_refused(), refused);
    assert_eq!(world.offer_node(at(5)), Err(Refusal::PrefixLimit), "they take the places");

    let mut own = world_with(node(0));
    own.no_dials("ourselves");
    assert_eq!(own.take_refused(), [(id(0), Refusal::SelfDial)]);

    let named = node_named(1, "node.example.org");
    let mut world = world_with(named.clone());
    world.searches("its name is looked up", [named]);
    world.resolved(1, None);
    assert_eq!(world.scheduler.wanted_candidates(), 16, "not found, and forgotten");
}

fn world_with(anchor: devp2p_core::Node) -> World {
    World::new(|config| config.anchors = vec![anchor])
}

#[test]
fn a_long_history_holds_an_anchor_back_too() {
    let mut world = World::new(|config| {
        config.history = secs(100);
        config.anchors = nodes([1]);
    });
    world.dials("at once", [1]);
    world.fail(1);
    world.wait(secs(99));
    world.no_dials("it was dialed a moment ago");
    world.wait(secs(1));
    world.dials("the second time", [1]);
}
