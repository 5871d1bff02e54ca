//! What is remembered across restarts.

use std::collections::BTreeSet;

use devp2p_core::{DiscoveryVersion, NodeId, Seed};
use devp2p_discv5::Event;

use crate::{
    support::{network, node, told, verified_at},
    world::{World, addr_of, secs},
};

fn remembered(world: &World, peer: usize) -> Vec<Seed> {
    told(world, peer, |event| match event {
        Event::Remember(seed) => Some(seed.clone()),
        _ => None,
    })
}

fn forgotten(world: &World, peer: usize) -> Vec<NodeId> {
    told(world, peer, |event| match event {
        Event::Forget(id) => Some(*id),
        _ => None,
    })
}

#[test]
fn a_node_is_remembered_after_more_than_five_checks_and_forgotten_when_it_is_gone() {
    let mut world = network(4, |_| {});
    let gone = world.peers[1].id();
    let of_gone = |world: &World| {
        remembered(world, 0).into_iter().filter(|seed| seed.node.id() == gone).collect::<Vec<_>>()
    };
    assert_eq!(remembered(&world, 0), []);
    world.run(secs(780));
    let seeds = of_gone(&world);
    assert_eq!(seeds.len(), 1, "not at every check");
    assert_eq!((seeds[0].endpoint, seeds[0].protocol), (addr_of(1), DiscoveryVersion::V5));
    assert!(seeds[0].node.record().is_some());
    assert!((1_700_000_010..1_700_000_800).contains(&seeds[0].last_pong));
    world.run(secs(1_800));
    assert_eq!(of_gone(&world).len(), 2, "again after half an hour");

    world.peers[1].is_up = false;
    world.run(secs(600));
    assert_eq!(forgotten(&world, 0), [gone]);
}

#[test]
fn nobody_is_forgotten_because_our_own_network_is_down() {
    let mut world = network(8, |_| {});
    world.run(secs(2_400));
    let known: BTreeSet<_> = remembered(&world, 0).iter().map(|seed| seed.node.id()).collect();
    assert_eq!(known.len(), 7);
    for peer in 1..8 {
        world.peers[peer].is_up = false;
    }
    world.run(secs(600));
    assert!(world.peers[0].machine.table().len() < 4, "there is an outage");
    assert_eq!(forgotten(&world, 0), []);
}

#[test]
fn seeds_are_asked_at_once_and_have_the_first_places() {
    let mut world = World::of(3);
    let seed = |number, version| Seed::new(node(number), addr_of(number), version, 1_699_000_000);
    let seeds = vec![
        seed(1, DiscoveryVersion::V5),
        seed(2, DiscoveryVersion::V4),
        seed(9, DiscoveryVersion::V5),
    ];
    world.call(0, |machine, now| machine.add_seeds(now, seeds));
    assert!(!world.sent_to(addr_of(1)).is_empty() && !world.sent_to(addr_of(9)).is_empty());
    assert!(world.sent_to(addr_of(2)).is_empty(), "of another protocol");
    world.run(secs(1));
    assert_eq!(verified_at(&world, 0, world.peers[1].id()), Some(addr_of(1)));
    world.run(secs(60));
    assert_eq!(forgotten(&world, 0), [], "the network may be down");
}

#[test]
fn a_node_that_restarts_with_its_seeds_needs_no_bootnode() {
    let mut world = network(6, |_| {});
    world.run(secs(1_200));
    let seeds = remembered(&world, 5);
    assert!(seeds.len() >= 3, "{seeds:?}");
    // The first one is the bootnode.
    world.peers[0].is_up = false;
    world.peers[5].events.clear();
    world.restart(5);
    world.call(5, |machine, now| machine.add_seeds(now, seeds));
    world.run(secs(5));
    // It has no other way to know them: a restart forgets the bootnode.
    assert_eq!(world.peers[5].machine.table().len(), 4);
}
