//! Which peers are remembered for the time after a restart.

use std::{net::SocketAddr, time::Duration};

use devp2p_core::{Host, Node};
use devp2p_dial::DialKind;
use devp2p_peer::{Capability, Direction, Hello};
use devp2p_server::{Admission, SetupFailure};

use super::world::{World, key, node};

fn world() -> World {
    World::new(|_| {})
}

/// The node with this number, in the network 100.`network`.0.0/24.
fn at(n: u8, network: u8) -> Node {
    Node::new(key(n), Some(Host::Ip([100, network, 0, n].into())), 30303, 30303)
}

/// We dial the node, and it becomes a peer; a second passes.
fn connect(world: &mut World, node: &Node, kind: DialKind) {
    let setup = world.dial_as(node.clone(), kind);
    let public_key = node.public_key();
    world.core.handle_secured(world.now, setup, public_key).unwrap();
    let hello = Hello::new("node", vec![Capability::new("test", 1)], public_key);
    let shared = [Capability::new("test", 1)];
    let remote = node.tcp_addr();
    let admission = world.core.handle_hello(world.now, setup, &hello, &shared, (None, remote));
    assert_eq!(admission, Ok(Admission::Added(node.id())));
    world.outputs();
    world.wait(Duration::from_secs(1));
}

#[test]
fn the_peers_that_we_chose_are_anchors_after_a_minute() {
    let mut world = world();
    connect(&mut world, &at(1, 1), DialKind::Dynamic);
    connect(&mut world, &at(2, 2), DialKind::Anchor);
    world.wait(Duration::from_secs(57));
    assert_eq!(world.core.anchors(world.now), []);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.core.anchors(world.now), [at(1, 1)]);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.core.anchors(world.now), [at(1, 1), at(2, 2)]);
    world.drop_peer(1);
    assert_eq!(world.core.anchors(world.now), [at(2, 2), at(1, 1)], "who left comes after");
    world.drop_peer(2);
    assert_eq!(world.core.anchors(world.now), [], "nothing new");
}

#[test]
fn peers_that_others_chose_are_none() {
    let mut world = world();
    connect(&mut world, &at(1, 1), DialKind::Static);
    connect(&mut world, &at(2, 2), DialKind::Bootstrap);
    world.admit(3, Direction::Inbound);
    world.wait(Duration::from_hours(1));
    assert_eq!(world.core.peers().len(), 3);
    assert_eq!(world.core.anchors(world.now), []);
}

#[test]
fn the_four_that_were_connected_for_longest_are_chosen() {
    let mut world = world();
    for n in [5, 3, 6, 4, 1, 2] {
        connect(&mut world, &at(n, n), DialKind::Dynamic);
    }
    world.wait(Duration::from_hours(1));
    assert_eq!(world.core.anchors(world.now), [at(5, 5), at(3, 3), at(6, 6), at(4, 4)]);
}

#[test]
fn different_networks_go_before_age() {
    let mut world = world();
    for (n, network) in [(1, 1), (2, 1), (3, 2), (4, 1), (5, 3)] {
        connect(&mut world, &at(n, network), DialKind::Dynamic);
    }
    world.wait(Duration::from_hours(1));
    assert_eq!(world.core.anchors(world.now), [at(1, 1), at(3, 2), at(5, 3), at(2, 1)]);
}

#[test]
fn what_was_dialed_is_remembered_and_not_where_it_answered() {
    let mut world = world();
    let setup = world.dial_as(node(1), DialKind::Dynamic);
    world.secure(setup, 1).unwrap();
    let hello = Hello::new("node", vec![Capability::new("test", 1)], key(1));
    let proxy: SocketAddr = "192.0.2.1:1080".parse().unwrap();
    let shared = [Capability::new("test", 1)];
    let addresses = (None, Some(proxy));
    world.core.handle_hello(world.now, setup, &hello, &shared, addresses).unwrap();
    world.wait(Duration::from_mins(1));
    assert_eq!(world.core.anchors(world.now), [node(1)]);
}

/// A machine that remembers 1 to 4, each in a network of its own.
fn remembering() -> World {
    World::new(|config| config.anchors = (1..=4).map(|n| at(n, n)).collect())
}

#[test]
fn one_new_peer_leaves_three_of_the_former_anchors() {
    let mut world = remembering();
    connect(&mut world, &at(9, 9), DialKind::Dynamic);
    assert_eq!(world.core.anchors(world.now), [], "too young");
    world.wait(Duration::from_mins(1));
    let kept = [at(9, 9), at(1, 1), at(2, 2), at(3, 3)];
    assert_eq!(world.core.anchors(world.now), kept);
    // However many come and go after it.
    world.drop_peer(9);
    connect(&mut world, &at(8, 8), DialKind::Dynamic);
    world.wait(Duration::from_mins(1));
    assert_eq!(world.core.anchors(world.now), [at(8, 8), at(1, 1), at(2, 2), at(3, 3)]);
}

#[test]
fn former_anchors_that_are_away_come_last_and_useless_ones_are_forgotten() {
    let mut world = remembering();
    let setup = world.dial_as(at(1, 1), DialKind::Anchor);
    world.fail(setup, SetupFailure::Connect);
    let setup = world.dial_as(at(2, 2), DialKind::Anchor);
    world.secure(setup, 2).unwrap();
    world.greet_sharing(setup, 2, &[]).unwrap_err();
    connect(&mut world, &at(3, 3), DialKind::Anchor);
    connect(&mut world, &at(9, 9), DialKind::Dynamic);
    world.wait(Duration::from_mins(1));
    assert_eq!(world.core.anchors(world.now), [at(3, 3), at(9, 9), at(4, 4), at(1, 1)]);
}
