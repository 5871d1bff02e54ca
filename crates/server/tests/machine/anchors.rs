//! Which peers are remembered for the time after a restart.

use std::{net::SocketAddr, time::Duration};

use devp2p_core::{Host, Node};
use devp2p_dial::DialKind;
use devp2p_peer::{Capability, Direction, Hello};
use devp2p_server::Admission;

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
    assert_eq!(world.core.anchors(world.now), [at(2, 2)]);
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
