//! How a machine asks others, and what it takes for an answer.

use std::time::Duration;

use devp2p_core::Node;
use devp2p_discv4::{
    Config, DropCause, Event, QueryId, RequestError, Source,
    wire::{Neighbor, PacketKind, Target},
};

use super::world::{Stranger, World, addr, addr_of, key, limited, ms, neighbor, record, secs};

const TARGET: Target = Target::new([9; 64]);

/// A machine, and a stranger whom it is about to ask.
fn world() -> (World, Stranger) {
    world_with(limited())
}

fn world_with(config: Config) -> (World, Stranger) {
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    world.run(secs(1));
    (world, Stranger::new(100, "66.6.6.6:30303"))
}

/// A machine that is asking a stranger, which answers everything up to the question.
fn asking() -> (World, Stranger, QueryId) {
    let (mut world, stranger) = world();
    stranger.settle(&mut world, 0);
    let query = find_node(&mut world, &stranger);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::FindNode]);
    (world, stranger, query)
}

fn find_node(world: &mut World, stranger: &Stranger) -> QueryId {
    let node = stranger.node();
    world.call(0, |machine, now| machine.find_node(now, &node, TARGET))
}

fn neighbors(numbers: std::ops::Range<u32>) -> Vec<Neighbor> {
    numbers.map(|number| neighbor(number, addr_of(number))).collect()
}

/// Runs until a command ends, and tells how long that took.
fn wait_for(world: &mut World, query: QueryId) -> (Duration, Event) {
    let start = world.now;
    loop {
        let event = world.peers[0].events.iter().find(|event| event.query() == Some(query));
        if let Some(event) = event {
            return (world.now - start, event.clone());
        }
        assert!(world.now - start < secs(10), "it does not end");
        world.run(ms(1));
    }
}

#[track_caller]
fn nodes_of(event: &Event) -> &[Node] {
    let Event::Neighbors { nodes, .. } = event else { panic!("{event:?}") };
    nodes
}

#[test]
fn a_node_that_wants_our_proof_gets_it_before_the_question() {
    let (mut world, stranger) = world();
    let query = find_node(&mut world, &stranger);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Ping]);
    world.run(ms(50));
    stranger.pong(&mut world, 0);
    world.run(ms(50));
    assert_eq!(world.kinds_to(stranger.endpoint).len(), 1, "it may want a proof");
    stranger.ping(&mut world, 0);
    world.run(ms(19));
    let kinds = world.kinds_to(stranger.endpoint);
    assert_eq!(kinds[1..], [PacketKind::Pong], "the PONG has a moment to arrive");
    world.run(ms(1));
    assert_eq!(world.kinds_to(stranger.endpoint)[2..], [PacketKind::FindNode]);
    stranger.neighbors(&mut world, 0, &neighbors(1..17));
    assert_eq!(nodes_of(world.peers[0].result(query)).len(), 16);
}

#[test]
fn a_node_that_pings_first_is_asked_as_soon() {
    let (mut world, stranger) = world();
    find_node(&mut world, &stranger);
    world.run(ms(50));
    // Its PING overtakes its PONG.
    stranger.ping(&mut world, 0);
    stranger.pong(&mut world, 0);
    world.run(ms(20));
    let expected = [PacketKind::Ping, PacketKind::Pong, PacketKind::FindNode];
    assert_eq!(world.kinds_to(stranger.endpoint), expected);
}

#[test]
fn a_node_that_holds_a_proof_we_do_not_know_of_is_asked_after_500_ms() {
    let (mut world, stranger) = world();
    find_node(&mut world, &stranger);
    stranger.pong(&mut world, 0);
    world.run(ms(499));
    assert_eq!(world.kinds_to(stranger.endpoint).len(), 1);
    world.run(ms(1));
    assert_eq!(world.kinds_to(stranger.endpoint)[1..], [PacketKind::FindNode]);
    stranger.neighbors(&mut world, 0, &[]);
    // The machine asks it for its own neighbours, too.
    stranger.neighbors(&mut world, 0, &[]);
    world.take_sent();

    // Its answer shows that it has the proof.
    find_node(&mut world, &stranger);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::FindNode]);
}

#[test]
fn after_an_unanswered_question_the_proof_is_given_again() {
    let (mut world, stranger, query) = asking();
    let (after, event) = wait_for(&mut world, query);
    assert_eq!(event, Event::Failed { query, error: RequestError::Timeout });
    assert_eq!(after, ms(500));
    let timeout = Event::RequestTimeout {
        id: stranger.id(),
        endpoint: stranger.endpoint,
        kind: PacketKind::FindNode,
    };
    assert!(world.peers[0].events.contains(&timeout));
    world.run(secs(1));
    world.take_sent();
    find_node(&mut world, &stranger);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Ping]);
}

#[test]
fn a_node_that_does_not_answer_costs_500_ms() {
    let (mut world, stranger) = world();
    let query = find_node(&mut world, &stranger);
    let (after, event) = wait_for(&mut world, query);
    assert_eq!((after, event), (ms(500), Event::Failed { query, error: RequestError::Timeout }));
    let node = stranger.node();
    let query = world.call(0, |machine, now| machine.ping(now, &node));
    let (after, event) = wait_for(&mut world, query);
    assert_eq!((after, event), (ms(500), Event::Failed { query, error: RequestError::Timeout }));
    assert_eq!(world.peers[0].machine.statistics().timeouts, 2);
    assert_eq!(world.peers[0].machine.statistics().contacts, 2);
}

#[test]
fn an_answer_is_complete_with_sixteen_nodes() {
    let (mut world, stranger, query) = asking();
    stranger.neighbors(&mut world, 0, &neighbors(1..13));
    world.run(ms(50));
    stranger.neighbors(&mut world, 0, &neighbors(13..17));
    assert_eq!(nodes_of(world.peers[0].result(query)).len(), 16);
    assert!(world.peers[0].events.contains(&Event::Sighting {
        node: Stranger::new(13, &addr_of(13).to_string()).node(),
        source: Source::Neighbors(stranger.id()),
    }));
}

#[test]
fn a_short_answer_is_complete_100_ms_later() {
    let (mut world, stranger, query) = asking();
    world.run(ms(50));
    stranger.neighbors(&mut world, 0, &neighbors(1..3));
    world.run(ms(50));
    stranger.neighbors(&mut world, 0, &neighbors(3..5));
    let (after, event) = wait_for(&mut world, query);
    assert_eq!((after, nodes_of(&event).len()), (ms(50), 4));
    assert_eq!(world.peers[0].machine.statistics().timeouts, 0, "it is an answer");
}

#[test]
fn an_empty_answer_is_complete_at_once() {
    let (mut world, stranger, query) = asking();
    stranger.neighbors(&mut world, 0, &[]);
    assert_eq!(nodes_of(world.peers[0].result(query)).len(), 0);
}

#[test]
fn of_one_answer_sixteen_nodes_are_taken() {
    let (mut world, stranger, query) = asking();
    stranger.neighbors(&mut world, 0, &neighbors(1..12));
    stranger.neighbors(&mut world, 0, &neighbors(12..24));
    assert_eq!(nodes_of(world.peers[0].result(query)).len(), 16);
    stranger.neighbors(&mut world, 0, &neighbors(24..36));
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    assert_eq!(world.peers[0].machine.statistics().neighbors_refused, 7);
}

#[test]
fn neighbors_that_nobody_asked_for_are_dropped() {
    let (mut world, stranger) = world();
    stranger.settle(&mut world, 0);
    stranger.neighbors(&mut world, 0, &neighbors(1..13));
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);

    find_node(&mut world, &stranger);
    let elsewhere = Stranger { endpoint: addr("66.6.6.6:30304"), ..stranger.clone() };
    elsewhere.neighbors(&mut world, 0, &neighbors(1..13));
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 2);
    let other = Stranger { endpoint: stranger.endpoint, ..Stranger::new(101, "1.1.1.1:1") };
    other.neighbors(&mut world, 0, &neighbors(1..13));
    assert_eq!(world.peers[0].dropped(DropCause::WrongSigner), 1);
    let sighted =
        |event: &Event| matches!(event, Event::Sighting { source: Source::Neighbors(_), .. });
    assert!(!world.peers[0].events.iter().any(sighted));
}

#[test]
fn forged_answers_do_not_buy_recoveries_for_ever() {
    let (mut world, stranger, _) = asking();
    let forger = Stranger { endpoint: stranger.endpoint, ..Stranger::new(666, "1.1.1.1:1") };
    for _ in 0..1_100 {
        forger.neighbors(&mut world, 0, &[]);
    }
    assert_eq!(world.peers[0].dropped(DropCause::WrongSigner), 16 + 1_000);
    assert_eq!(world.peers[0].dropped(DropCause::Surplus), 84);
}

#[test]
fn forged_answers_do_not_suppress_the_true_one() {
    let (mut world, stranger, query) = asking();
    let forger = Stranger { endpoint: stranger.endpoint, ..Stranger::new(666, "1.1.1.1:1") };
    for _ in 0..500 {
        forger.neighbors(&mut world, 0, &[]);
    }
    stranger.neighbors(&mut world, 0, &neighbors(200..216));
    assert_eq!(nodes_of(world.peers[0].result(query)).len(), 16);

    let node = stranger.node();
    let query = world.call(0, |machine, now| machine.ping(now, &node));
    let hash = world.last(stranger.endpoint, PacketKind::Ping).hash;
    for _ in 0..10 {
        let packet = forger.pong_packet(&world, hash, addr_of(0));
        forger.send(&mut world, 0, &packet);
    }
    stranger.pong(&mut world, 0);
    assert!(matches!(world.peers[0].result(query), Event::Pong { .. }));
}

#[test]
fn nodes_with_addresses_that_the_sender_cannot_know_are_not_taken() {
    let mut config = limited();
    config.net_restrict = Some("66.0.0.0/8,77.0.0.0/8,10.0.0.0/8".parse().unwrap());
    let (mut world, stranger) = world_with(config);
    stranger.settle(&mut world, 0);
    let query = find_node(&mut world, &stranger);
    let refused = [
        "77.0.0.1:1024",   // a low port
        "77.0.0.1:0",      // none
        "10.0.0.1:30303",  // a local network
        "127.0.0.1:30303", // ourselves
        "0.0.0.0:30303",   // nobody
        "224.0.0.1:30303", // everybody
        "88.0.0.1:30303",  // outside of where we may go
        "[2a00::1]:30303", // likewise
    ];
    let mut nodes: Vec<_> = (1..).zip(refused).map(|(n, at)| neighbor(n, addr(at))).collect();
    // Our own id.
    nodes.push(neighbor(0, addr("77.0.0.2:30303")));
    nodes.push(neighbor(20, addr("77.0.0.3:1025")));
    stranger.neighbors(&mut world, 0, &nodes);
    let (_, event) = wait_for(&mut world, query);
    let taken: Vec<_> = nodes_of(&event).iter().map(Node::id).collect();
    assert_eq!(taken, [key(20).id()]);
    assert_eq!(world.peers[0].machine.statistics().neighbors_refused, 9);
}

#[test]
fn two_questions_to_one_node_take_turns() {
    let (mut world, stranger, first) = asking();
    let second = find_node(&mut world, &stranger);
    world.run(ms(10));
    assert_eq!(world.kinds_to(stranger.endpoint).len(), 1);
    stranger.neighbors(&mut world, 0, &neighbors(1..17));
    assert_eq!(nodes_of(world.peers[0].result(first)).len(), 16);
    assert_eq!(world.kinds_to(stranger.endpoint).len(), 2);
    stranger.neighbors(&mut world, 0, &[]);
    assert_eq!(nodes_of(world.peers[0].result(second)).len(), 0);
}

#[test]
fn the_same_packet_asks_everybody_within_a_second() {
    let (mut world, first) = world();
    let others: Vec<_> =
        (0..3).map(|n| Stranger::new(200 + n, &format!("70.{n}.1.1:3333"))).collect();
    first.settle(&mut world, 0);
    for other in &others {
        other.settle(&mut world, 0);
    }
    for stranger in others.iter().chain([&first]) {
        find_node(&mut world, stranger);
    }
    let asked: Vec<_> =
        world.sent.iter().filter(|sent| sent.kind() == PacketKind::FindNode).collect();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|sent| sent.bytes == asked[0].bytes));
    let before = asked[0].bytes.clone();
    first.neighbors(&mut world, 0, &[]);
    world.run(ms(1_000));
    find_node(&mut world, &first);
    assert_ne!(world.last(first.endpoint, PacketKind::FindNode).bytes, before, "a second later");
}

#[test]
fn a_ping_tells_the_time_and_our_endpoint() {
    let (mut world, stranger) = world();
    let node = stranger.node();
    let query = world.call(0, |machine, now| machine.ping(now, &node));
    let again = world.call(0, |machine, now| machine.ping(now, &node));
    assert_eq!(world.sent.len(), 1, "one PING serves both");
    world.run(ms(33));
    stranger.pong(&mut world, 0);
    for query in [query, again] {
        let expected =
            Event::Pong { query, rtt: ms(33), endpoint: Some(addr_of(0)), enr_seq: None };
        assert_eq!(*world.peers[0].result(query), expected);
    }
}

#[test]
fn a_record_is_the_nodes_own_or_none() {
    let (mut world, stranger) = world();
    stranger.settle(&mut world, 0);
    let good = record(&stranger.key, 3, stranger.endpoint);
    let others = record(&key(101), 3, stranger.endpoint);
    let mut damaged = good.as_bytes().to_vec();
    damaged[50] ^= 1;
    let node = stranger.node();
    for bytes in [others.as_bytes(), &damaged, &[0xc0]] {
        let query = world.call(0, |machine, now| machine.request_enr(now, &node));
        world.run(ms(20));
        stranger.enr_response(&mut world, 0, bytes);
        let failed = Event::Failed { query, error: RequestError::BadRecord };
        assert_eq!(*world.peers[0].result(query), failed);
    }
    assert_eq!(world.peers[0].dropped(DropCause::BadRecord), 3);
    let query = world.call(0, |machine, now| machine.request_enr(now, &node));
    world.run(ms(20));
    stranger.enr_response(&mut world, 0, good.as_bytes());
    assert_eq!(*world.peers[0].result(query), Event::Enr { query, record: good });
    let unsolicited = world.peers[0].dropped(DropCause::Unsolicited);
    stranger.enr_response(&mut world, 0, others.as_bytes());
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), unsolicited + 1);
}

#[test]
fn commands_that_cannot_be_are_refused() {
    let mut config = limited();
    config.net_restrict = Some("66.0.0.0/8".parse().unwrap());
    let (mut world, _) = world_with(config);
    let own = world.peers[0].node();
    let own =
        Node::new(own.public_key(), Stranger::new(1, "66.0.0.1:1").node().host().cloned(), 1, 1);
    for (node, error) in [
        (Node::from(key(1).public_key()), RequestError::NoEndpoint),
        (own, RequestError::OwnId),
        (Stranger::new(1, "67.0.0.1:30303").node(), RequestError::Restricted),
    ] {
        let queries = [
            world.call(0, |machine, now| machine.ping(now, &node)),
            world.call(0, |machine, now| machine.find_node(now, &node, TARGET)),
            world.call(0, |machine, now| machine.request_enr(now, &node)),
        ];
        for query in queries {
            assert_eq!(*world.peers[0].result(query), Event::Failed { query, error });
        }
    }
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn a_cancelled_command_is_heard_of_no_more() {
    let (mut world, stranger, query) = asking();
    let second = find_node(&mut world, &stranger);
    world.call(0, |machine, now| machine.cancel(now, query));
    assert_eq!(world.kinds_to(stranger.endpoint).len(), 2, "the next one's turn");
    stranger.neighbors(&mut world, 0, &neighbors(1..17));
    world.peers[0].result(second);
    let node = Stranger::new(101, "77.7.7.7:7777").node();
    let ping = world.call(0, |machine, now| machine.ping(now, &node));
    world.call(0, |machine, now| machine.cancel(now, ping));
    world.run(secs(2));
    let of = |id| world.peers[0].events.iter().filter(|e| e.query() == Some(id)).count();
    assert_eq!((of(query), of(ping)), (0, 0));
    assert_eq!(world.peers[0].machine.usage().asks, 0);
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut config = limited();
    config.max_requests = 10;
    let (mut world, _) = world_with(config);
    let mut busy = 0;
    for number in 0..50 {
        let node = Stranger::new(number + 100, &addr_of(number + 100).to_string()).node();
        let query = world.call(0, |machine, now| machine.find_node(now, &node, TARGET));
        let failed = Event::Failed { query, error: RequestError::Busy };
        busy += usize::from(world.peers[0].events.contains(&failed));
    }
    assert_eq!((busy, world.sent.len()), (40, 10));
    assert_eq!(world.peers[0].machine.usage().requests, 10);
    world.run(ms(500));
    assert_eq!(world.peers[0].machine.usage().requests, 0);
}
