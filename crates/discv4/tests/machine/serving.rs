//! What a machine answers to those who proved their endpoint.

use devp2p_core::Record;
use devp2p_discv4::{
    Config,
    wire::{Packet, PacketKind, Target},
};

use super::world::{Stranger, World, addr_of, key, record, secs};

const TARGET: Target = Target::new([9; 64]);

/// The nodes of each NEIGHBORS packet that a stranger got.
fn parts(world: &World, stranger: &Stranger) -> Vec<Vec<u32>> {
    let number = |key| (0..1_000).find(|&n| super::world::key(n).public_key() == key).unwrap();
    let sent = world.sent_to(stranger.endpoint).into_iter();
    sent.filter_map(|sent| match &sent.packet {
        Packet::Neighbors(part) => {
            Some(part.nodes.iter().map(|node| number(node.public_key)).collect())
        }
        _ => None,
    })
    .collect()
}

#[test]
fn an_empty_table_is_one_empty_answer() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    stranger.bond(&mut world, 0);
    stranger.find_node(&mut world, 0, TARGET);
    assert_eq!(parts(&world, &stranger), [vec![]], "it is not told of itself");
}

#[test]
fn the_sixteen_nearest_verified_nodes_come_in_two_parts() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    for number in 100..130 {
        Stranger::new(number, &addr_of(number).to_string()).bond(&mut world, 0);
    }
    // Only named, by the user here.
    for number in 200..230 {
        let node = Stranger::new(number, &addr_of(number).to_string()).node();
        world.call(0, |machine, now| machine.add_node(now, node));
    }
    let stranger = Stranger::new(500, "66.6.6.6:30303");
    stranger.bond(&mut world, 0);
    stranger.find_node(&mut world, 0, TARGET);

    let parts = parts(&world, &stranger);
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [12, 4]);
    let table = world.peers[0].machine.nodes();
    let mut verified: Vec<_> = table.filter(|node| node.id() != stranger.id()).collect();
    verified.sort_by_key(|node| node.id().distance(&TARGET.id()));
    let nearest: Vec<_> = verified.iter().take(16).map(|node| node.id()).collect();
    let told: Vec<_> = parts.concat().into_iter().map(|number| key(number).id()).collect();
    assert_eq!(told, nearest);
}

#[test]
fn local_nodes_are_named_to_local_nodes_only() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    for (number, endpoint) in [(1, "10.0.0.1:30303"), (2, "127.0.0.1:3333"), (3, "8.8.8.8:3333")] {
        Stranger::new(number, endpoint).bond(&mut world, 0);
    }
    for (number, endpoint, expected) in [
        (11, "66.6.6.6:30303", vec![3]),
        (12, "192.168.0.1:30303", vec![1, 3, 11]),
        (13, "127.0.0.1:4444", vec![1, 2, 3, 11, 12]),
        (14, "[2a00::1]:30303", vec![3, 11]),
    ] {
        let stranger = Stranger::new(number, endpoint);
        stranger.bond(&mut world, 0);
        stranger.find_node(&mut world, 0, TARGET);
        let mut told = parts(&world, &stranger).concat();
        told.sort_unstable();
        assert_eq!(told, expected, "to {endpoint}");
    }
}

#[test]
fn our_record_is_told_and_its_number_goes_with_every_ping_and_pong() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    stranger.bond(&mut world, 0);
    let newer = record(&key(0), 7, addr_of(0));
    world.call(0, |machine, _| machine.set_record(newer.clone()));

    let request = stranger.enr_request(&mut world, 0);
    let Packet::EnrResponse(response) =
        world.last(stranger.endpoint, PacketKind::EnrResponse).packet
    else {
        panic!()
    };
    assert_eq!(response.request_hash, request.hash);
    assert_eq!(Record::decode(&response.record).unwrap(), newer);

    let other = Stranger::new(101, "77.7.7.7:30303");
    other.ping(&mut world, 0);
    let seqs: Vec<_> = world
        .sent_to(other.endpoint)
        .iter()
        .map(|sent| match &sent.packet {
            Packet::Ping(ping) => ping.enr_seq,
            Packet::Pong(pong) => pong.enr_seq,
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [Some(7), Some(7)]);
}

#[test]
fn a_node_that_was_dropped_is_named_no_more() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    let gone = Stranger::new(1, "55.5.5.5:30303");
    gone.bond(&mut world, 0);
    let asker = Stranger::new(100, "66.6.6.6:30303");
    asker.bond(&mut world, 0);
    asker.find_node(&mut world, 0, TARGET);
    assert_eq!(parts(&world, &asker), [vec![1]]);
    world.run(secs(60));
    world.take_sent();
    asker.find_node(&mut world, 0, TARGET);
    assert_eq!(parts(&world, &asker), [vec![]]);
}
