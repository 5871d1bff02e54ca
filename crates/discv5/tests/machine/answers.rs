//! What of an answer is believed.

use std::{collections::BTreeSet, net::SocketAddr, sync::LazyLock};

use devp2p_core::{Node, NodeId, Record};
use devp2p_discv5::{
    Event, QueryId,
    message::{Body, Message, Nodes, Pong, RequestId},
};
use proptest::prelude::*;

use crate::world::*;

/// A machine that has asked somebody with whom it shares keys for nodes at these distances.
fn asked(distances: &[u16]) -> (World, Stranger, QueryId, RequestId) {
    asked_at(addr_of(1), distances)
}

fn asked_at(endpoint: SocketAddr, distances: &[u16]) -> (World, Stranger, QueryId, RequestId) {
    let mut world = World::one();
    let mut bob = Stranger::at(1, endpoint);
    let (node, distances) = (bob.node(), distances.to_vec());
    let query = world.call(0, |machine, now| machine.find_node(now, &node, distances));
    let message = bob.accept(&mut world, 0);
    (world, bob, query, message.request_id)
}

/// The record of a node at this distance from Bob, which is somewhere.
fn at_distance(distance: u16, nth: usize) -> Record {
    at_distance_with(distance, nth, addr_of)
}

fn at_distance_with(distance: u16, nth: usize, endpoint: impl Fn(u32) -> SocketAddr) -> Record {
    let bob = Stranger::new(1).id();
    let number = (1_000..).filter(|&n| key(n).id().log_distance(&bob) == distance).nth(nth);
    let number = number.unwrap();
    record(&key(number), 1, endpoint(number))
}

#[track_caller]
fn nodes(world: &World, query: QueryId) -> Vec<Record> {
    let Event::Nodes { nodes, .. } = world.peers[0].result(query) else { panic!("no nodes") };
    nodes.iter().map(|node| node.record().unwrap().clone()).collect()
}

fn refused(world: &World) -> u64 {
    world.peers[0].machine.statistics().nodes_refused
}

#[test]
fn an_answer_comes_in_parts() {
    let (mut world, mut bob, query, id) = asked(&[256, 255]);
    let records = [at_distance(256, 0), at_distance(255, 0), at_distance(256, 1)];
    bob.nodes(&mut world, 0, id, 2, &records[..2]);
    assert!(world.peers[0].of(query).is_empty());
    bob.nodes(&mut world, 0, id, 2, &records[2..]);
    assert_eq!(nodes(&world, query), records);
}

#[test]
fn a_total_of_none_is_one_message() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    bob.nodes(&mut world, 0, id, 0, &[at_distance(256, 0)]);
    assert_eq!(nodes(&world, query).len(), 1);
    bob.nodes(&mut world, 0, id, 0, &[at_distance(256, 1)]);
    assert_eq!(nodes(&world, query).len(), 1);
}

#[test]
fn of_a_huge_total_sixteen_messages_are_waited_for() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    for nth in 0..16 {
        assert!(world.peers[0].of(query).is_empty());
        bob.nodes(&mut world, 0, id, u64::MAX, &[at_distance(256, nth)]);
        world.run(ms(10));
    }
    assert_eq!(nodes(&world, query).len(), 16);
}

#[test]
fn parts_that_do_not_come_cost_half_a_second() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    world.run(ms(400));
    bob.nodes(&mut world, 0, id, 5, &[at_distance(256, 0)]);
    world.run(ms(499));
    assert!(world.peers[0].of(query).is_empty());
    world.run(ms(1));
    assert_eq!(nodes(&world, query).len(), 1);
}

#[test]
fn an_answer_that_trickles_in_is_over_after_two_seconds() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    for nth in 0..4 {
        bob.nodes(&mut world, 0, id, 16, &[at_distance(256, nth)]);
        assert!(world.peers[0].of(query).is_empty());
        world.run(ms(490));
    }
    bob.nodes(&mut world, 0, id, 16, &[]);
    world.run(ms(40));
    assert_eq!(nodes(&world, query).len(), 4);
}

#[test]
fn the_same_node_counts_once() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    let twice = at_distance(256, 0);
    bob.nodes(&mut world, 0, id, 2, &[twice.clone(), twice.clone()]);
    bob.nodes(&mut world, 0, id, 2, std::slice::from_ref(&twice));
    assert_eq!(nodes(&world, query), [twice]);
    assert_eq!(refused(&world), 2);
}

#[test]
fn only_nodes_at_the_distances_asked_for_are_taken() {
    let (mut world, mut bob, query, id) = asked(&[256, 254]);
    let records = [256, 255, 254, 253].map(|distance| at_distance(distance, 0));
    bob.nodes(&mut world, 0, id, 1, &records);
    assert_eq!(nodes(&world, query), [records[0].clone(), records[2].clone()]);
    assert_eq!(refused(&world), 2);
}

#[test]
fn at_distance_zero_there_is_only_the_node_itself() {
    let (mut world, mut bob, query, id) = asked(&[0]);
    let own = record(&bob.key, 9, addr("127.0.0.1:7"));
    bob.nodes(&mut world, 0, id, 1, &[at_distance(256, 0), own.clone()]);
    // Wherever it says that it is.
    assert_eq!(nodes(&world, query), [own]);
}

#[test]
fn nobody_names_us_to_ourselves() {
    let own = key(0);
    let distance = own.id().log_distance(&key(1).id());
    let (mut world, mut bob, query, id) = asked(&[distance]);
    let own = world.peers[0].machine.record().clone();
    bob.nodes(&mut world, 0, id, 1, &[own]);
    assert!(nodes(&world, query).is_empty());
    assert_eq!(refused(&world), 1);
}

#[test]
fn records_with_bad_signatures_are_refused_and_the_others_are_not() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    let good = at_distance(256, 0);
    let mut bad = at_distance(256, 1).as_bytes().to_vec();
    *bad.last_mut().unwrap() ^= 1;
    let records = vec![bad.into(), good.to_bytes(), b"\xc0".as_slice().into()];
    let message = Message { request_id: id, body: Body::Nodes(Nodes { total: 1, records }) };
    bob.send(&mut world, 0, &message);
    assert_eq!(nodes(&world, query), [good]);
    assert_eq!(refused(&world), 2);
}

#[test]
fn addresses_are_believed_only_of_who_can_know_them() {
    let told = |n: u32, text: &'static str| at_distance_with(256, n as usize, move |_| addr(text));
    let records = [
        told(0, "8.8.8.8:30303"),
        told(1, "10.0.0.1:30303"),
        told(2, "127.0.0.1:30303"),
        told(3, "8.8.8.8:53"),
        told(4, "0.0.0.0:30303"),
        told(5, "[2a00::1]:30303"),
        told(6, "224.0.0.1:30303"),
    ];
    for (teller, believed) in [
        ("20.0.1.9:30303", vec![0, 5]),
        ("10.1.1.1:30303", vec![0, 1, 5]),
        ("127.0.0.1:30303", vec![0, 1, 2, 5]),
    ] {
        let (mut world, mut bob, query, id) = asked_at(addr(teller), &[256]);
        for record in &records {
            bob.nodes(&mut world, 0, id, 7, std::slice::from_ref(record));
        }
        let expected: Vec<_> = believed.iter().map(|&at| records[at].clone()).collect();
        assert_eq!(nodes(&world, query), expected, "{teller}");
    }
}

#[test]
fn a_node_without_an_address_is_of_no_use() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    let key = (1_000..).map(key).find(|key| key.id().log_distance(&bob.id()) == 256).unwrap();
    let nowhere = Record::builder().seq(1).sign(&key).unwrap();
    bob.nodes(&mut world, 0, id, 1, &[nowhere]);
    assert!(nodes(&world, query).is_empty());
}

#[test]
fn nodes_outside_of_our_networks_are_not_taken() {
    let mut world = World::new();
    let mut config = limited();
    config.net_restrict = Some("20.0.0.0/8".parse().unwrap());
    world.add(0, config);
    let mut bob = Stranger::new(1);
    let node = bob.node();
    let query = world.call(0, |machine, now| machine.find_node(now, &node, vec![256]));
    let id = bob.accept(&mut world, 0).request_id;
    let inside = at_distance(256, 0);
    let outside = at_distance_with(256, 1, |_| addr("21.0.0.1:30303"));
    bob.nodes(&mut world, 0, id, 1, &[inside.clone(), outside.clone()]);
    assert_eq!(nodes(&world, query), [inside]);
    // Nor are they spoken or listened to.
    let failed = world.ping(0, &Node::from_record(outside));
    assert!(matches!(world.peers[0].result(failed), Event::Failed { .. }));
    world.forget();
    Stranger::at(5, addr("21.0.0.1:30303")).knock(&mut world, 0);
    assert!(world.sent.is_empty());
}

#[test]
fn an_answer_of_another_type_is_none() {
    let (mut world, mut bob, query, id) = asked(&[256]);
    let ping = Message { request_id: id, body: bob.ping_message().body };
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].of(query).is_empty());
    bob.nodes(&mut world, 0, id, 1, &[]);
    assert!(nodes(&world, query).is_empty());
}

#[test]
fn a_pong_tells_where_its_sender_sees_us() {
    for (seen, endpoint) in [
        ("9.9.9.9:1234", "9.9.9.9:1234"),
        ("[2a00::1]:1234", "[2a00::1]:1234"),
        ("[::ffff:9.9.9.9]:1234", "9.9.9.9:1234"),
    ] {
        let mut world = World::one();
        let mut bob = Stranger::new(1);
        let query = world.ping(0, &bob.node());
        let ping = bob.accept(&mut world, 0);
        let (seen, endpoint) = (addr(seen), addr(endpoint));
        let body = Body::Pong(Pong { enr_seq: 1, ip: seen.ip(), port: seen.port() });
        bob.send(&mut world, 0, &Message { request_id: ping.request_id, body });
        assert!(world.peers[0].is_ponged(query));
        let vote = Event::Vote { voter: bob.endpoint.ip(), endpoint };
        assert!(world.peers[0].events.contains(&vote), "{seen}");
    }
}

#[test]
fn a_pong_without_a_ping_is_no_vote() {
    let mut world = World::one();
    let mut eve = Stranger::new(1);
    eve.connect(&mut world, 0);
    let ping = eve.ping_message();
    eve.pong(&mut world, 0, &ping);
    assert!(!world.peers[0].events.iter().any(|event| matches!(event, Event::Vote { .. })));
}

/// Records at the distances 256, 255 and 254 from Bob, as many of each.
static TOLD: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let distances = [256, 255, 254].into_iter();
    distances.flat_map(|distance| (0..16).map(move |nth| at_distance(distance, nth))).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the messages of an answer say of their number, whenever they come, and whatever is
    /// in them.
    #[test]
    fn an_answer_ends_in_time_with_nodes_that_were_asked_for(
        parts in prop::collection::vec(
            (
                prop_oneof![0..40_u64, any::<u64>()],
                prop::collection::vec(0..48_usize, 0..4),
                prop_oneof![4 => 0..100_u64, 1 => 0..700_u64],
            ),
            0..40,
        ),
    ) {
        let (mut world, mut bob, query, id) = asked(&[256, 254]);
        let end = world.now + ms(2_000);
        for (total, records, pause) in &parts {
            let records: Vec<_> = records.iter().map(|&at| TOLD[at].clone()).collect();
            bob.nodes(&mut world, 0, id, *total, &records);
            world.run(ms(*pause));
        }
        world.run(end.saturating_duration_since(world.now));
        let results = world.peers[0].of(query);
        prop_assert_eq!(results.len(), 1);
        // Where nothing came at all, it is not an answer.
        let Event::Nodes { nodes, .. } = results[0] else {
            prop_assert!(parts.is_empty());
            return Ok(());
        };
        let ids: BTreeSet<NodeId> = nodes.iter().map(Node::id).collect();
        prop_assert_eq!(ids.len(), nodes.len());
        prop_assert!(nodes.len() <= 32);
        let asked_for = |id: &NodeId| [256, 254].contains(&bob.id().log_distance(id));
        prop_assert!(ids.iter().all(asked_for));
    }
}
