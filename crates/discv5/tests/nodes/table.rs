//! What a machine does of its own accord for its table.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use devp2p_core::{Family, Node, Record};
use devp2p_discv5::{Config, Event, message::MessageKind};

use crate::{
    support::{entry, network, node, seq, told, verified_at},
    world::{World, addr, addr_of, key, limited, ms, record, secs},
};

#[test]
fn a_network_forms_from_one_bootnode() {
    let world = network(12, |_| {});
    for peer in &world.peers {
        assert_eq!(peer.machine.table().len(), 11, "{:?}", peer.machine);
        assert!(peer.machine.nodes().all(|node| node.record().is_some()));
    }
}

#[test]
fn a_bootnode_that_is_down_is_tried_within_a_minute_for_ever() {
    let mut config = limited();
    // Lookups begin with it, too.
    config.empty_refresh_interval = secs(3_600);
    config.bootstrap_nodes = vec![node(9)];
    let mut world = World::new();
    world.add(0, config);
    world.run(secs(12 * 3_600));
    let tries: Vec<_> = world.sent_to(addr_of(9)).iter().map(|sent| sent.at).collect();
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= secs(60)));
    assert!(world.now - tries[tries.len() - 1] <= secs(60));
    let boot = world.add(9, limited());
    world.run(secs(60));
    assert_eq!(verified_at(&world, 0, world.peers[boot].id()), Some(addr_of(9)));
}

#[test]
fn a_bootnode_of_which_only_the_key_is_known_tells_its_record() {
    let mut config = limited();
    let url = format!("enode://{}@{}", key(1).public_key(), addr_of(1));
    config.bootstrap_nodes = vec![url.parse().unwrap()];
    let mut world = World::new();
    world.add(0, config);
    world.add(1, limited());
    world.run(secs(5));
    let id = world.peers[1].id();
    assert_eq!(verified_at(&world, 0, id), Some(addr_of(1)));
    assert_eq!(seq(&world, 0, id), Some(1));
}

#[test]
fn a_bootnode_that_is_named_later_is_one_and_may_move() {
    let mut world = World::of(1);
    world.run(secs(100));
    let tries = |world: &World, number| world.sent_to(addr_of(number)).len();
    let moved = Node::from_record(record(&key(8), 2, addr_of(9)));
    world.call(0, |machine, now| machine.add_bootstrap_node(now, node(8)));
    assert_eq!(tries(&world, 8), 1, "at once");
    world.call(0, |machine, now| machine.add_bootstrap_node(now, node(8)));
    assert_eq!(tries(&world, 8), 1, "and not for being named again");
    world.run(secs(600));
    let before = tries(&world, 8);
    assert!(before >= 10);
    world.call(0, |machine, now| machine.add_bootstrap_node(now, moved));
    world.run(secs(600));
    assert_eq!(tries(&world, 8), before, "it is not there any more");
    assert!(tries(&world, 9) >= 10);
}

#[test]
fn a_record_is_fetched_when_its_number_rises() {
    let mut world = network(2, |_| {});
    let id = world.peers[1].id();
    assert_eq!(seq(&world, 0, id), Some(1));
    let newer = record(&key(1), 2, addr_of(1));
    world.call(1, |machine, _| machine.set_record(newer));
    world.run(secs(30));
    assert_eq!(seq(&world, 0, id), Some(2));
    assert!(entry(&world, 0, id).unwrap().is_verified());
}

/// Two nodes that know each other, until the second one has this record.
fn renewed(record: Record) -> World {
    let mut world = network(2, |_| {});
    assert!(verified_at(&world, 0, world.peers[1].id()).is_some());
    world.call(1, |machine, _| machine.set_record(record));
    world.run(secs(60));
    world
}

#[test]
fn a_node_whose_record_says_that_it_is_elsewhere_has_no_place_until_it_answers_there() {
    let elsewhere = addr("77.7.7.7:30303");
    let world = renewed(record(&key(1), 2, elsewhere));
    let id = world.peers[1].id();
    assert_eq!(verified_at(&world, 0, id), None);
    assert!(!world.sent_to(elsewhere).is_empty(), "it is asked there");
    let removed = told(&world, 0, |event| match event {
        Event::NodeRemoved(node) => Some(node.id()),
        _ => None,
    });
    assert_eq!(removed, [id]);
}

#[test]
fn a_node_whose_record_says_nothing_of_where_it_is_has_no_place() {
    let world = renewed(Record::builder().seq(2).sign(&key(1)).unwrap());
    assert!(entry(&world, 0, world.peers[1].id()).is_none());
    // A public node is in no local network.
    let local = addr("192.168.1.2:30303");
    let world = renewed(record(&key(1), 2, local));
    assert!(entry(&world, 0, world.peers[1].id()).is_none());
    assert!(world.sent_to(local).is_empty());
}

#[test]
fn a_bootnode_is_where_the_user_says() {
    let mut world = network(2, |_| {});
    let id = world.peers[0].id();
    let elsewhere = addr("77.7.7.7:30303");
    world.call(0, |machine, _| machine.set_record(record(&key(0), 2, elsewhere)));
    world.run(secs(120));
    assert_eq!(verified_at(&world, 1, id), Some(addr_of(0)));
}

#[test]
fn a_node_that_is_gone_loses_its_place() {
    let mut world = network(4, |_| {});
    world.run(secs(60));
    let gone = world.peers[3].id();
    world.peers[3].is_up = false;
    world.run(secs(600));
    for peer in 0..3 {
        assert!(entry(&world, peer, gone).is_none());
        assert_eq!(world.peers[peer].machine.table().len(), 2);
    }
}

#[test]
fn whatever_is_said_of_an_address_it_gets_a_packet_a_second() {
    let mut world = World::of(1);
    for number in 1_000_u32..1_400 {
        let port = 2_000 + u16::try_from(number).unwrap();
        let at = ([77, 7, 7, 7], port).into();
        let node = Node::from_record(record(&key(number), 1, at));
        world.call(0, |machine, now| {
            machine.add_node(now, node);
            machine.lookup_random(now);
        });
        world.run(ms(100));
    }
    let victim = addr("77.7.7.7:1").ip();
    let times: Vec<_> =
        world.sent.iter().filter(|sent| sent.to.ip() == victim).map(|sent| sent.at).collect();
    assert!(times.len() > 10, "{}", times.len());
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)), "once a second at most");
    assert!(world.peers[0].machine.statistics().hearsay_held > 100);
}

#[test]
fn nodes_of_a_family_that_our_socket_does_not_reach_cost_nothing() {
    let mut config = limited();
    config.family = Some(Family::V4);
    let mut world = World::new();
    world.add(0, config);
    let v6 = addr("[2a00::1]:30303");
    let other = Node::from_record(record(&key(1), 1, v6));
    world.call(0, |machine, now| machine.add_node(now, other));
    world.run(secs(30));
    assert!(world.sent.is_empty());

    // Of a node with both, the endpoint that we reach is taken.
    let both = Record::builder().seq(1).ip(addr_of(1).ip()).udp(30303).ip(v6.ip()).udp6(30303);
    let both = Node::from_record(both.sign(&key(1)).unwrap());
    world.add(1, limited());
    world.call(0, |machine, now| machine.add_node(now, both));
    world.run(secs(10));
    assert_eq!(verified_at(&world, 0, world.peers[1].id()), Some(addr_of(1)));
}

#[test]
fn a_refresh_goes_where_no_lookup_went_for_longest() {
    let mut config = limited();
    (config.refresh_lookups, config.refresh_interval) =
        (Config::default().refresh_lookups, secs(600));
    let mut world = World::new();
    world.add(0, config);
    world.add(1, limited());
    let boot = world.peers[1].node();
    world.call(0, |machine, now| machine.add_bootstrap_node(now, boot));
    world.run(secs(2 * 3_600));
    let oldest = world.peers[0].machine.table().buckets().iter().map(|it| it.refreshed_at()).min();
    // 16 buckets beside our own, three in a refresh.
    let age = world.now - oldest.unwrap().unwrap();
    assert!(age <= secs(7 * 600), "{age:?}");
}

#[test]
fn a_number_that_rises_all_the_time_costs_a_request_a_minute() {
    let mut world = network(2, |_| {});
    let node = world.peers[1].node();
    let asked = |world: &World| world.peers[0].machine.statistics().sent(MessageKind::FindNode);
    let before = asked(&world).packets;
    for second in 0..300 {
        let newer = record(&key(1), 1_000 + second, addr_of(1));
        world.call(1, |machine, _| machine.set_record(newer));
        world.ping(0, &node);
        world.run(secs(1));
    }
    let asked = asked(&world).packets - before;
    assert!((2..=2 + 5).contains(&asked), "{asked}");
}

/// How many of 40 nodes at these addresses get places, in the table and at most in one bucket.
fn placed(address: impl Fn(u32) -> IpAddr) -> (usize, usize) {
    let mut world = World::of(1);
    for number in 1..=40 {
        let at = SocketAddr::new(address(number), 30303);
        let peer = world.add_at(number, at, limited());
        let node = world.peers[peer].node();
        world.call(0, |machine, now| machine.add_node(now, node));
    }
    world.run(secs(300));
    let table = world.peers[0].machine.table();
    (table.len(), table.buckets().iter().map(|bucket| bucket.entries().len()).max().unwrap())
}

#[test]
fn nodes_of_one_network_get_few_places_in_both_families() {
    let v4 = |number: u32| IpAddr::from(u32::to_be_bytes(0x4206_0600 | number));
    let (in_table, in_bucket) = placed(v4);
    assert!((2..=10).contains(&in_table) && in_bucket <= 2, "{in_table}, {in_bucket}");

    // Each has a /64 of its own, in one /48.
    let v6 =
        |number: u32| IpAddr::from(Ipv6Addr::from(0x2a00_u128 << 112 | u128::from(number) << 64));
    let (in_table, in_bucket) = placed(v6);
    assert!((2..=10).contains(&in_table) && in_bucket <= 2, "{in_table}, {in_bucket}");

    let apart =
        |number: u32| IpAddr::from(Ipv6Addr::from(0x2a00_u128 << 112 | u128::from(number) << 80));
    let (in_table, in_bucket) = placed(apart);
    assert!(in_table > 20 && in_bucket > 2, "{in_table}, {in_bucket}");
}
