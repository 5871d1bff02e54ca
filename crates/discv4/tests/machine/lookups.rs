//! Searches.

use std::collections::BTreeSet;

use devp2p_core::{Node, NodeId};
use devp2p_discv4::{
    Config, Event, Output, QueryId, RequestError,
    wire::{PacketKind, Target},
};

use super::world::{Stranger, World, addr, addr_of, key, limited, ms, neighbor, node_at, secs};

const TARGET: Target = Target::new([9; 64]);

fn lookup(world: &mut World, peer: usize) -> QueryId {
    world.call(peer, |machine, now| machine.lookup(now, TARGET))
}

#[track_caller]
fn found(world: &World, peer: usize, query: QueryId) -> Vec<NodeId> {
    let Event::LookupDone { nodes, .. } = world.peers[peer].result(query) else { panic!() };
    nodes.iter().map(Node::id).collect()
}

#[test]
fn a_lookup_in_a_network_smaller_than_k_finds_all_of_it() {
    let mut world = World::network(5, |_| {});
    world.run(secs(5));
    let query = lookup(&mut world, 2);
    world.run(secs(2));
    let mut expected: Vec<_> = [0, 1, 3, 4].map(|peer| world.peers[peer].id()).into();
    expected.sort_by_key(|id| id.distance(&TARGET.id()));
    assert_eq!(found(&world, 2, query), expected, "nearest first");
    let told = |event: &&Event| matches!(event, Event::LookupNode { query: q, .. } if *q == query);
    assert_eq!(world.peers[2].events.iter().filter(told).count(), 4, "each as it answers");
}

#[test]
fn a_lookup_finds_the_nearest_nodes_of_the_network() {
    let mut world = World::network(40, |_| {});
    world.run(secs(30));
    for peer in [1, 20, 39] {
        let query = lookup(&mut world, peer);
        world.run(secs(5));
        let own = world.peers[peer].id();
        let mut expected: Vec<_> =
            world.peers.iter().map(|peer| peer.id()).filter(|id| *id != own).collect();
        expected.sort_by_key(|id| id.distance(&TARGET.id()));
        assert_eq!(found(&world, peer, query), expected[..16]);
    }
}

#[test]
fn a_dead_node_costs_a_request_timeout_and_not_the_lookup() {
    let mut world = World::network(8, |_| {});
    world.run(secs(5));
    for peer in 1..4 {
        world.peers[peer].is_up = false;
    }
    let query = lookup(&mut world, 7);
    world.run(ms(1_500));
    assert_eq!(found(&world, 7, query).len(), 4);
}

#[test]
fn a_lookup_without_anybody_to_ask_ends_at_once() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let query = lookup(&mut world, 0);
    assert_eq!(found(&world, 0, query), []);
}

#[test]
fn random_lookups_start_once_a_second() {
    let mut world = World::network(3, |_| {});
    world.run(secs(5));
    let queries: Vec<_> =
        (0..5).map(|_| world.call(1, |machine, now| machine.lookup_random(now))).collect();
    world.take_sent();
    world.run(ms(10_500));
    for query in queries {
        assert_eq!(found(&world, 1, query).len(), 2);
    }
    let from = world.peers[1].endpoint;
    let targets = |second: u64| {
        let since = world.sent.iter().map(|sent| sent.at).min().unwrap() + secs(second);
        let in_second = world.sent.iter().filter(|sent| {
            sent.from == from
                && sent.kind() == PacketKind::FindNode
                && (since..since + secs(1)).contains(&sent.at)
        });
        in_second.map(|sent| sent.hash).collect::<BTreeSet<_>>().len()
    };
    // The first started before the count.
    assert!((0..4).map(targets).all(|count| count <= 2), "{:?}", (0..4).map(targets));
}

#[test]
fn more_lookups_than_can_wait_are_refused() {
    let mut config = limited();
    config.max_lookups = 2;
    config.max_waiting_lookups = 3;
    // It never answers.
    config.bootstrap_nodes = vec![Stranger::new(100, "66.6.6.6:30303").node()];
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    // Without the refresh.
    world.run(secs(2));
    let queries: Vec<_> = (0..8).map(|_| lookup(&mut world, 0)).collect();
    let refused = |query: &&QueryId| {
        let failed = Event::Failed { query: **query, error: RequestError::Busy };
        world.peers[0].events.contains(&failed)
    };
    assert_eq!(queries.iter().filter(refused).count(), 3);
    assert_eq!(world.peers[0].machine.usage().lookups, 5);
    world.run(secs(5));
    assert_eq!(found(&world, 0, queries[4]), []);
    assert_eq!(world.peers[0].machine.usage().lookups, 0);
}

#[test]
fn a_cancelled_lookup_makes_room() {
    let mut config = limited();
    config.max_lookups = 1;
    config.bootstrap_nodes = vec![Stranger::new(100, "66.6.6.6:30303").node()];
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    world.run(secs(2));
    let [first, second, third] = [(); 3].map(|()| lookup(&mut world, 0));
    world.call(0, |machine, now| machine.cancel(now, first));
    world.call(0, |machine, now| machine.cancel(now, third));
    assert_eq!(world.peers[0].machine.usage().lookups, 1);
    world.run(secs(2));
    assert_eq!(found(&world, 0, second), []);
    let of = |query| world.peers[0].events.iter().filter(|e| e.query() == Some(query)).count();
    assert_eq!((of(first), of(third)), (0, 0));
}

#[test]
fn a_node_is_resolved_with_its_record() {
    let mut world = World::network(6, |_| {});
    world.run(secs(10));
    // Who came last asks for one that it may or may not have in its table.
    let wanted = world.peers[3].key.clone();
    let query = world.call(5, |machine, now| machine.resolve(now, wanted.public_key()));
    world.run(secs(3));
    let Event::Resolved { node: Some(node), .. } = world.peers[5].result(query) else { panic!() };
    assert_eq!(node.record(), Some(world.peers[3].machine.record()));
}

#[test]
fn a_node_that_nobody_knows_is_not_resolved() {
    let mut world = World::network(6, |_| {});
    world.run(secs(10));
    let query = world.call(5, |machine, now| machine.resolve(now, key(999).public_key()));
    let own = world.peers[5].key.public_key();
    let own = world.call(5, |machine, now| machine.resolve(now, own));
    world.run(secs(3));
    assert_eq!(*world.peers[5].result(query), Event::Resolved { query, node: None });
    let failed = Event::Failed { query: own, error: RequestError::OwnId };
    assert_eq!(*world.peers[5].result(own), failed);
}

#[test]
fn a_node_that_moved_is_resolved_where_it_is_now() {
    // So that the table does not find out first.
    let mut world = World::network(6, |config| config.table.slow_interval = secs(3_600));
    world.run(secs(10));
    world.peers[3].is_up = false;
    let mut config = Config::default();
    config.bootstrap_nodes = vec![world.peers[0].node()];
    let moved = world.add(3, addr("99.9.9.9:9999"), config);
    world.run(secs(5));
    let wanted = world.peers[moved].key.public_key();
    let query = world.call(5, |machine, now| machine.resolve(now, wanted));
    world.run(secs(5));
    let Event::Resolved { node: Some(node), .. } = world.peers[5].result(query) else { panic!() };
    assert_eq!(node.udp_addr(), Some(addr("99.9.9.9:9999")));
}

#[test]
fn a_lookup_asks_a_verified_node_where_it_is_whatever_others_say() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let liar = Stranger::new(100, "66.6.6.6:30303");
    liar.settle(&mut world, 0);
    let honest = Stranger::new(101, "77.7.7.7:30303");
    honest.settle(&mut world, 0);
    let query = lookup(&mut world, 0);
    let elsewhere = addr("88.8.8.8:30303");
    liar.neighbors(&mut world, 0, &[neighbor(101, elsewhere)]);
    world.run(secs(3));
    assert_eq!(world.kinds_to(elsewhere), []);
    world.peers[0].result(query);
}

#[test]
fn a_liar_who_names_a_node_elsewhere_first_does_not_hide_it() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let victim = world.add(5, addr_of(5), limited());
    let liar = Stranger::new(100, "66.6.6.6:30303");
    let honest = Stranger::new(101, "55.5.5.5:30303");
    liar.settle(&mut world, 0);
    honest.settle(&mut world, 0);
    let query = lookup(&mut world, 0);
    let (mut liar_saw, mut honest_saw) = (0, 0);
    for step in 0..300 {
        liar.serve(&mut world, 0, &mut liar_saw, || vec![neighbor(5, addr("77.7.7.7:30303"))]);
        // A moment later.
        if step % 2 == 1 {
            honest.serve(&mut world, 0, &mut honest_saw, || vec![neighbor(5, addr_of(5))]);
        }
        world.run(ms(10));
    }
    assert!(!world.sent_to(addr("77.7.7.7:30303")).is_empty(), "the lie came first");
    let Event::LookupDone { nodes, .. } = world.peers[0].result(query) else { panic!() };
    assert_eq!(nodes.len(), 3);
    let node = nodes.iter().find(|node| node.id() == world.peers[victim].id()).unwrap();
    assert_eq!(node.udp_addr(), Some(addr_of(5)));
}

#[test]
fn no_end_of_a_command_is_lost_however_late_somebody_asks() {
    let mut world = World::new();
    let mut config = Config::default();
    config.max_events = 100;
    let peer = world.add(1, addr_of(1), config);
    let now = world.now;
    let machine = &mut world.peers[peer].machine;
    let nodes = (10..310).map(|number| node_at(&key(number), addr_of(number)));
    let mut open: BTreeSet<_> = nodes.map(|node| machine.ping(now, &node)).collect();
    // Nobody answers, and nobody polls.
    machine.handle_timeout(now + secs(1));
    while let Some(output) = machine.poll_output() {
        let Output::Event(event) = output else { continue };
        if let Event::Failed { query, .. } = event {
            assert!(open.remove(&query), "it ended before");
        }
    }
    assert!(open.is_empty(), "{} never ended", open.len());
    assert!(machine.statistics().events_lost > 0, "timeouts are told, too");
}
