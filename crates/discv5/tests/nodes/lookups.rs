//! Searches.

use std::collections::BTreeSet;

use bytes::Bytes;
use devp2p_core::{Node, NodeId, Record};
use devp2p_discv5::{Event, QueryId, RequestError};

use crate::{
    support::{network, verified_at},
    world::{World, addr_of, key, limited, ms, record, secs},
};

fn ids(nodes: &[Node]) -> Vec<NodeId> {
    nodes.iter().map(Node::id).collect()
}

#[track_caller]
fn found(world: &World, peer: usize, query: QueryId) -> Vec<NodeId> {
    let Event::LookupDone { nodes, .. } = world.peers[peer].result(query) else { panic!() };
    ids(nodes)
}

/// The others, nearest to the target first.
fn nearest(world: &World, peer: usize, target: NodeId) -> Vec<NodeId> {
    let own = world.peers[peer].id();
    let mut all: Vec<_> = world.peers.iter().map(|it| it.id()).filter(|id| *id != own).collect();
    all.sort_by_key(|id| id.distance(&target));
    all.truncate(16);
    all
}

#[test]
fn a_lookup_finds_the_nearest_nodes() {
    let mut world = network(20, |_| {});
    let target = NodeId::new([0x77; 32]);
    let query = world.call(7, |machine, now| machine.lookup(now, target));
    world.run(secs(10));
    assert_eq!(found(&world, 7, query), nearest(&world, 7, target));
    let answered: BTreeSet<_> = world.peers[7]
        .of(query)
        .into_iter()
        .filter_map(|event| match event {
            Event::LookupNode { node, .. } => Some(node.id()),
            _ => None,
        })
        .collect();
    assert!(answered.is_superset(&found(&world, 7, query).into_iter().collect()));
}

#[test]
fn a_lookup_that_begins_with_nobody_is_over_at_once() {
    let mut world = World::of(1);
    let query = world.call(0, |machine, now| machine.lookup(now, NodeId::new([1; 32])));
    assert_eq!(found(&world, 0, query), []);
}

/// A network of 20 in which those with an even number say so in their records.
fn colourful() -> World {
    let mut world = network(20, |_| {});
    for peer in (0..20).step_by(2) {
        let number = u32::try_from(peer).unwrap();
        let at = addr_of(number);
        let record = Record::builder().seq(2).ip(at.ip()).udp(at.port());
        let record = record.entry("even", Bytes::from_static(&[0x01])).sign(&key(number)).unwrap();
        world.call(peer, |machine, _| machine.set_record(record));
    }
    world.run(secs(240));
    world
}

#[test]
fn a_lookup_with_a_predicate_finds_whom_that_chooses() {
    let mut world = colourful();
    let target = NodeId::new([0x33; 32]);
    let is_even = |record: &Record| record.get("even").is_some();
    let query =
        world.call(1, |machine, now| machine.lookup_where(now, target, 4, Box::new(is_even)));
    world.run(secs(10));
    let few = found(&world, 1, query);
    assert_eq!(few.len(), 4);
    let even: BTreeSet<_> = (0..20).step_by(2).map(|peer| world.peers[peer].id()).collect();
    assert!(few.iter().all(|id| even.contains(id)));
    assert!(few.is_sorted_by_key(|id| id.distance(&target)));
    let told = world.peers[1].of(query).len() - 1;
    assert_eq!(told, 4, "it ends with the last that is wanted");

    // Who wants more than there are gets all there are, not only those among the nearest 16.
    let query =
        world.call(1, |machine, now| machine.lookup_where(now, target, 50, Box::new(is_even)));
    world.run(secs(10));
    assert_eq!(found(&world, 1, query).into_iter().collect::<BTreeSet<_>>(), even);

    let nobody = |_: &Record| false;
    let query =
        world.call(1, |machine, now| machine.lookup_where(now, target, 1, Box::new(nobody)));
    world.run(secs(10));
    assert_eq!(found(&world, 1, query), []);
}

#[test]
fn random_lookups_start_once_a_second() {
    let mut world = network(4, |_| {});
    let queries: Vec<_> = (0..5).map(|_| world.call(0, |m, now| m.lookup_random(now))).collect();
    let over = |world: &World| {
        let ends = |query: &&QueryId| {
            let of = world.peers[0].of(**query);
            of.iter().any(|event| matches!(event, Event::LookupDone { .. }))
        };
        queries.iter().filter(ends).count()
    };
    world.run(ms(900));
    assert_eq!(over(&world), 1);
    world.run(secs(2));
    assert_eq!(over(&world), 3);
    world.run(secs(2));
    assert_eq!(over(&world), 5);
}

#[test]
fn too_many_lookups_are_refused() {
    let mut world = network(2, |_| {});
    let (running, waiting) = (8, 64);
    let lookup =
        |world: &mut World| world.call(0, |machine, now| machine.lookup(now, NodeId::new([3; 32])));
    let queries: Vec<_> = (0..running + waiting).map(|_| lookup(&mut world)).collect();
    let refused = lookup(&mut world);
    let error = RequestError::Busy;
    assert_eq!(world.peers[0].result(refused), &Event::Failed { query: refused, error });
    world.run(secs(10));
    assert!(queries.iter().all(|query| found(&world, 0, *query).len() == 1));
}

#[test]
fn nothing_is_told_of_a_lookup_that_is_cancelled() {
    let mut world = network(4, |_| {});
    let query = world.call(0, |machine, now| machine.lookup(now, NodeId::new([3; 32])));
    world.call(0, |machine, now| machine.cancel(now, query));
    world.run(secs(10));
    assert!(world.peers[0].of(query).is_empty());
    assert_eq!(world.peers[0].machine.usage().lookups, 0);
}

#[track_caller]
fn resolved(world: &World, peer: usize, query: QueryId) -> Option<Node> {
    let Event::Resolved { node, .. } = world.peers[peer].result(query) else { panic!() };
    node.clone()
}

fn resolve(world: &mut World, peer: usize, id: NodeId) -> Option<Node> {
    let query = world.call(peer, |machine, now| machine.resolve(now, id));
    world.run(secs(10));
    resolved(world, peer, query)
}

#[test]
fn a_known_node_is_asked_itself_for_its_newest_record() {
    let mut world = network(2, |_| {});
    let newer = record(&key(1), 5, addr_of(1));
    world.call(1, |machine, _| machine.set_record(newer.clone()));
    world.forget();
    let id = world.peers[1].id();
    let query = world.call(0, |machine, now| machine.resolve(now, id));
    world.run(ms(20));
    assert_eq!(resolved(&world, 0, query).unwrap().record(), Some(&newer));
    assert!(world.sent.len() <= 3, "one question, one answer");
}

#[test]
fn a_node_that_nobody_told_us_of_is_found() {
    let mut world = network(12, |_| {});
    let late = world.add(30, limited());
    world.run(secs(1));
    let id = world.peers[late].id();
    assert_eq!(resolve(&mut world, 0, id), None, "nobody knows it yet");
    let friend = world.peers[3].node();
    world.ping(late, &friend);
    world.run(secs(5));
    assert!(verified_at(&world, 3, id).is_some());
    assert_eq!(resolve(&mut world, 7, id).map(|node| node.id()), Some(id));
}

#[test]
fn of_a_node_that_does_not_answer_the_newest_record_is_told() {
    let mut world = network(6, |_| {});
    let gone = world.peers[5].id();
    world.peers[5].is_up = false;
    assert_eq!(resolve(&mut world, 1, gone).map(|node| node.id()), Some(gone));
}

#[test]
fn our_own_id_is_not_looked_for() {
    let mut world = World::of(1);
    let id = world.peers[0].id();
    let query = world.call(0, |machine, now| machine.resolve(now, id));
    let error = RequestError::OwnId;
    assert_eq!(world.peers[0].result(query), &Event::Failed { query, error });
}

#[test]
fn a_record_that_is_asked_for_is_the_newest_and_the_nodes_own() {
    let mut world = network(2, |_| {});
    let newer = record(&key(1), 5, addr_of(1));
    world.call(1, |machine, _| machine.set_record(newer.clone()));
    let node = world.peers[1].node();
    let query = world.call(0, |machine, now| machine.request_enr(now, &node));
    world.run(secs(1));
    let Event::Enr { record, .. } = world.peers[0].result(query) else { panic!() };
    assert_eq!(*record, newer);
}
