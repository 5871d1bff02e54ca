//! Bootnodes as a last resort.

use devp2p_dial::{DialKind, Outcome, Refusal};

use super::world::{World, id, node_named, nodes, secs};

fn world() -> World {
    World::new(|config| {
        config.max_dialed = 5;
        config.bootnodes = nodes([1, 2, 3]);
    })
}

#[test]
fn without_any_peer_bootnodes_are_dialed_in_turn() {
    let mut world = world();
    assert_eq!(world.offer([4, 5]), [4, 5]);
    world.dials("candidates are dialed at once", [4, 5]);
    world.fail(4);
    world.fail(5);
    world.wait(secs(19));
    world.no_dials("the bootnodes are yet to be needed");

    world.wait(secs(1));
    world.dials("no dial succeeded for 20 s: the first bootnode", [1]);
    assert_eq!(world.running(1).1, DialKind::Bootstrap);
    world.wait(secs(15));
    world.no_dials("one at a time");
    world.fail(1);
    world.dials("the second", [2]);
    world.fail(2);
    world.dials("the third", [3]);
    world.fail(3);
    world.no_dials("all of them were dialed a moment ago");

    // The first dial was at 20 s, the others at 35 s.
    world.wait(secs(20));
    world.dials("the first one again", [1]);
    world.offer([6]);
    world.dials("a candidate beside it", [6]);
    world.connect(6);
    world.fail(1);
    world.wait(secs(300));
    world.no_dials("with a peer no bootnode is needed");

    world.drop_peer(6);
    world.wait(secs(19));
    world.no_dials("alone again, but not for long");
    world.wait(secs(1));
    world.dials("20 s later the turn is with the second", [2]);
}

#[test]
fn a_bootnode_gets_the_next_free_slot() {
    let mut world = World::new(|config| {
        config.max_dialed = 1;
        config.bootnodes = nodes([1]);
    });
    world.offer([4]);
    world.dials("the only slot", [4]);
    world.wait(secs(30));
    world.no_dials("it is taken");
    world.fail(4);
    world.dials("before any candidate", [1]);
    assert_eq!(world.scheduler.wanted_candidates(), 0);
}

#[test]
fn a_bootnode_waits_two_minutes_at_most() {
    let mut world = world();
    world.wait(secs(20));
    for _ in 0..10 {
        for number in [1, 2, 3] {
            world.dials("the next one", [number]);
            world.end(number, Outcome::Refused);
        }
        world.wait(secs(120));
    }
}

#[test]
fn no_bootnode_is_dialed_where_dynamic_dials_are_off() {
    let mut world = World::new(|config| {
        config.dynamic = false;
        config.bootnodes = nodes([1]);
    });
    world.wait(secs(100));
    world.no_dials("only static nodes are dialed");
    assert_eq!(world.scheduler.poll_timeout(), None);
}

#[test]
fn a_bootnode_that_is_static_is_dialed_as_a_static_node() {
    let mut world = World::new(|config| {
        config.bootnodes = nodes([1]);
        config.static_nodes = nodes([1]);
    });
    world.dials("at once", [1]);
    assert_eq!(world.running(1).1, DialKind::Static);
    world.remove_static(1);
    world.fail(1);
    world.wait(secs(60));
    world.dials("it is still a bootnode", [1]);
    assert_eq!(world.running(1).1, DialKind::Bootstrap);
}

#[test]
fn a_bootnode_can_have_a_name() {
    let named = node_named(1, "boot.example.org");
    let mut world = World::new(|config| {
        config.bootnodes = vec![named.clone()];
        config.bootnodes.extend(nodes([2]));
    });
    world.wait(secs(20));
    world.searches("its name is looked up", [named]);
    world.resolved(1, None);
    world.dials("it is not found: the next one", [2]);
    assert_eq!(world.take_refused(), [(id(1), Refusal::NoAddress)]);

    world.fail(2);
    world.wait(secs(60));
    world.dials("a name that was not found waits a minute, a failed dial 35 s", [2]);
}
