//! What is answered to whom.

use devp2p_core::{Node, Record};
use devp2p_discv5::{
    DropCause,
    message::{Body, Message, Ping, RequestId},
};
use rlp::RlpStream;

use crate::world::*;

#[test]
fn any_request_id_of_up_to_eight_bytes_is_answered_with_the_same() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    for size in 0..=8 {
        let request_id = RequestId::new(&[0, 1, 2, 3, 4, 5, 6, 7][..size]).unwrap();
        let message = Message { request_id, body: Body::Ping(Ping { enr_seq: 1 }) };
        alice.send(&mut world, 0, &message);
        let answers = alice.answers(&mut world);
        assert_eq!(answers.len(), 1, "{size}");
        assert_eq!(answers[0].request_id, request_id);
    }
}

/// PING in RLP, with what follows.
fn raw_ping(id: &[u8], extra: &[&str], after: &[u8]) -> Vec<u8> {
    let mut rlp = RlpStream::new_list(2 + extra.len());
    rlp.append(&id).append(&1_u64);
    for element in extra {
        rlp.append(element);
    }
    [&[0x01], &*rlp.out(), after].concat()
}

#[test]
fn nine_bytes_of_request_id_are_too_many() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    alice.send_bytes(&mut world, 0, &raw_ping(&[7; 9], &[], &[]));
    assert!(alice.answers(&mut world).is_empty());
    assert_eq!(world.peers[0].dropped(DropCause::RequestId), 1);
    assert!(alice.is_answered(&mut world, 0));
}

#[test]
fn more_list_elements_than_are_known_are_tolerated() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    alice.send_bytes(&mut world, 0, &raw_ping(&[7], &["more", "and more"], &[]));
    assert_eq!(alice.answers(&mut world).len(), 1);
}

#[test]
fn distance_zero_is_our_own_record() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    let parts = alice.find_node(&mut world, 0, &[0, 0, 0]);
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].total, 1);
    assert_eq!(parts[0].records, [world.peers[0].machine.record().to_bytes()]);
    let newer = record(&world.peers[0].key, 2, world.peers[0].endpoint);
    world.call(0, |machine, _| machine.set_record(newer.clone()));
    assert_eq!(alice.find_node(&mut world, 0, &[0])[0].records, [newer.to_bytes()]);
}

#[test]
fn an_empty_answer_is_one_message() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    for distances in [&[][..], &[17], &[1, 2, 3, 17], &[257, 60_000]] {
        let parts = alice.find_node(&mut world, 0, distances);
        assert_eq!(parts.len(), 1, "{distances:?}");
        assert_eq!((parts[0].total, parts[0].records.len()), (1, 0), "{distances:?}");
    }
}

#[test]
fn nodes_that_only_came_to_us_or_were_named_are_not_handed_out() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    // She has not answered us.
    let mut bob = Stranger::new(2);
    bob.connect(&mut world, 0);
    let named = Stranger::new(3).node();
    world.call(0, |machine, now| machine.add_node(now, named));
    let all: Vec<u16> = (1..=256).collect();
    let parts = bob.find_node(&mut world, 0, &all);
    assert!(parts.iter().all(|part| part.records.is_empty()));
}

#[test]
fn a_record_that_is_ours_verifies() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    let parts = alice.find_node(&mut world, 0, &[0]);
    let record = Record::decode(&parts[0].records[0]).unwrap();
    assert_eq!(record.id(), world.peers[0].id());
}

#[test]
fn nodes_of_a_local_network_are_told_in_it_alone() {
    let mut world = World::one();
    let local = world.add_at(1, addr("192.168.1.1:30303"), limited());
    let node = world.peers[local].node();
    world.call(0, |machine, now| machine.add_node(now, node.clone()));
    world.run(secs(5));
    assert_eq!(world.peers[0].machine.nodes().map(Node::id).collect::<Vec<_>>(), [node.id()]);
    let distance = world.peers[0].id().log_distance(&node.id());
    for (number, asker, is_told) in
        [(7, "192.168.1.7:30303", true), (8, "30.1.1.1:30303", false), (9, "127.0.0.1:7777", true)]
    {
        let mut asker = Stranger::at(number, addr(asker));
        asker.connect(&mut world, 0);
        let told = &asker.find_node(&mut world, 0, &[distance])[0].records;
        assert_eq!(!told.is_empty(), is_told, "{}", asker.endpoint);
    }
}
