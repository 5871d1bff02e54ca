//! Nodes that come to us.

use devp2p_core::{Node, Record};
use devp2p_discv5::{Event, Source};

use crate::{
    support::{entry, network, node, told, verified_at},
    world::{Stranger, World, addr, addr_of, key, limited, ms, record, secs},
};

#[test]
fn whoever_comes_is_asked_and_has_a_place_within_ten_seconds() {
    let mut world = World::of(21);
    let target = world.peers[0].node();
    world.run(secs(1));
    for peer in 1..21 {
        world.ping(peer, &target);
    }
    world.run(ms(1));
    assert!(world.peers[0].machine.table().is_empty(), "a packet proves nothing");
    world.run(secs(10));
    let missing: Vec<_> =
        (1..21).filter(|&peer| entry(&world, 0, world.peers[peer].id()).is_none()).collect();
    assert_eq!(missing, []);
    let unverified =
        (1..21).filter(|&peer| !entry(&world, 0, world.peers[peer].id()).unwrap().is_verified());
    assert_eq!(unverified.count(), 0);
    let sighted = told(&world, 0, |event| match event {
        Event::Sighting { node, source: Source::Handshake } => Some(node.id()),
        _ => None,
    });
    assert_eq!(sighted.len(), 20);
}

#[test]
fn who_comes_before_we_have_looked_around_has_its_place_after_that() {
    let mut config = limited();
    config.bootstrap_nodes = vec![node(9)];
    let mut world = World::new();
    world.add(0, config);
    world.add(1, limited());
    let target = world.peers[0].node();
    let id = world.peers[1].id();
    world.ping(1, &target);
    world.run(ms(400));
    assert!(world.peers[0].machine.has_session(id, addr_of(1)));
    assert!(entry(&world, 0, id).is_none(), "the bootnode may still answer");
    world.run(secs(5));
    assert_eq!(verified_at(&world, 0, id), Some(addr_of(1)));
}

#[test]
fn who_does_not_answer_has_no_place_and_is_named_to_nobody() {
    let mut world = World::of(1);
    world.run(secs(1));
    let (mut silent, mut asker) = (Stranger::new(100), Stranger::new(101));
    silent.connect(&mut world, 0);
    world.run(secs(5));
    assert!(world.peers[0].machine.table().is_empty());
    asker.connect(&mut world, 0);
    let distances: Vec<_> = (1..=256).collect();
    let answers = asker.find_node(&mut world, 0, &distances);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].records.is_empty(), "{answers:?}");
}

/// A machine to which another one has come, that says of itself what is in this record.
fn visited_by(record: Record) -> World {
    let mut world = World::of(2);
    world.run(secs(1));
    world.call(1, |machine, _| machine.set_record(record));
    let target = world.peers[0].node();
    let query = world.ping(1, &target);
    world.run(secs(30));
    assert!(world.peers[1].is_ponged(query), "it is served");
    world
}

#[test]
fn a_node_behind_a_nat_is_served_and_has_no_place() {
    let hidden = Record::builder().seq(2).sign(&key(1)).unwrap();
    let local = record(&key(1), 2, addr("192.168.1.2:30303"));
    let other = record(&key(1), 2, addr("77.7.7.7:30303"));
    for record in [hidden, local, other] {
        let elsewhere = Node::from_record(record.clone()).udp_addr();
        let mut world = visited_by(record);
        let id = world.peers[1].id();
        assert!(entry(&world, 0, id).is_none());
        assert!(elsewhere.is_none_or(|at| world.sent_to(at).is_empty()), "nobody says it is there");
        // It is served for as long as it likes, and its record is found by who asks it.
        let target = world.peers[0].node();
        let query = world.call(1, |machine, now| machine.find_node(now, &target, vec![0]));
        world.run(secs(1));
        let Event::Nodes { nodes, .. } = world.peers[1].result(query) else { panic!() };
        assert_eq!(nodes.len(), 1);
    }
}

#[test]
fn a_node_that_comes_from_elsewhere_with_a_newer_record_has_moved() {
    let mut world = World::of(2);
    world.run(secs(1));
    let (target, id) = (world.peers[0].node(), world.peers[1].id());
    world.ping(1, &target);
    world.run(secs(1));
    assert_eq!(verified_at(&world, 0, id), Some(addr_of(1)));

    let moved = addr("77.7.7.7:40404");
    world.peers[1].endpoint = moved;
    world.call(1, |machine, _| machine.set_record(record(&key(1), 2, moved)));
    // It has keys for us, and we have none for that endpoint.
    world.ping(1, &target);
    world.run(secs(1));
    assert_eq!(verified_at(&world, 0, id), Some(moved));
}

#[test]
fn only_who_was_asked_without_having_come_has_a_vote() {
    let mut world = World::of(2);
    world.run(secs(1));
    let (target, visitor) = (world.peers[0].node(), world.peers[1].node());
    let votes = |world: &World| {
        told(world, 0, |event| match event {
            Event::Vote { voter, endpoint } => Some((*voter, *endpoint)),
            _ => None,
        })
    };
    world.ping(1, &target);
    world.run(ms(100));
    assert!(verified_at(&world, 0, visitor.id()).is_some());
    assert_eq!(votes(&world), [], "that was its idea");
    world.ping(0, &visitor);
    world.run(ms(100));
    assert_eq!(votes(&world), [(addr_of(1).ip(), addr_of(0))]);
}

#[test]
fn who_lost_its_place_has_it_again_when_it_pings() {
    let mut world = network(2, |_| {});
    let id = world.peers[1].id();
    assert_eq!(verified_at(&world, 0, id), Some(addr_of(1)));
    // All that we send to it is lost for a while.
    world.peers[1].is_up = false;
    world.run(secs(300));
    assert!(entry(&world, 0, id).is_none());
    world.peers[1].is_up = true;
    assert!(world.peers[0].machine.has_session(id, addr_of(1)), "nobody shakes hands again");
    let target = world.peers[0].node();
    world.ping(1, &target);
    world.run(secs(1));
    assert_eq!(verified_at(&world, 0, id), Some(addr_of(1)));
}
