//! What a machine does of its own accord.

use std::{collections::BTreeSet, net::SocketAddrV6};

use devp2p_core::{DiscoveryVersion, Family, Node, NodeId, Record, Seed};
use devp2p_discv4::{
    Config, Event,
    wire::{Endpoint, Packet, PacketKind, Ping, Pong, Target},
};

use super::world::{
    START, Stranger, World, addr, addr_of, hours, key, limited, ms, neighbor, record, secs,
};

#[test]
fn a_bootnode_that_is_down_is_tried_within_a_minute_for_ever() {
    let boot = Stranger::new(100, "66.6.6.6:30303");
    let mut config = limited();
    config.bootstrap_nodes = vec![boot.node()];
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    world.run(hours(24));
    let pings: Vec<_> = world.sent_to(boot.endpoint).iter().map(|sent| sent.at).collect();
    assert!(pings.windows(2).all(|pair| pair[1] - pair[0] <= secs(60)));
    assert!(world.now - pings[pings.len() - 1] <= secs(60));
    boot.bond(&mut world, 0);
    assert!(world.peers[0].knows(boot.id()));
}

#[test]
fn a_bootnode_that_is_named_later_is_one_and_may_move() {
    let (old, new) = (Stranger::new(100, "66.6.6.6:30303"), Stranger::new(100, "67.6.6.6:30303"));
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    world.run(secs(100));
    world.call(0, |machine, now| machine.add_bootstrap_node(now, old.node()));
    assert_eq!(world.kinds_to(old.endpoint), [PacketKind::Ping], "at once");
    world.call(0, |machine, now| machine.add_bootstrap_node(now, old.node()));
    assert_eq!(world.kinds_to(old.endpoint).len(), 1, "and not for being named again");
    world.run(hours(1));
    let tries = world.kinds_to(old.endpoint).len();
    assert!(tries >= 60, "{tries}");

    world.call(0, |machine, now| machine.add_bootstrap_node(now, new.node()));
    assert_eq!(world.kinds_to(new.endpoint), [PacketKind::Ping]);
    world.run(hours(1));
    assert_eq!(world.kinds_to(old.endpoint).len(), tries, "it is not there any more");
    assert!(world.kinds_to(new.endpoint).len() >= 60);
    new.bond(&mut world, 0);
    assert!(world.peers[0].knows(new.id()));
}

#[test]
fn a_network_forms_again_after_an_outage_of_its_bootnode() {
    let mut world = World::network(4, |_| {});
    world.peers[0].is_up = false;
    world.run(secs(600));
    assert!(world.peers.iter().all(|peer| peer.machine.table().is_empty()));
    world.peers[0].is_up = true;
    world.run(secs(90));
    for peer in &world.peers {
        assert_eq!(peer.machine.table().len(), 3, "{:?}", peer.machine);
    }
}

#[test]
fn whatever_is_said_of_an_address_it_gets_a_ping_a_second() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let liar = Stranger::new(100, "66.6.6.6:30303");
    liar.settle(&mut world, 0);
    // Ten thousand ids and ports at one address, in answers to lookups.
    let mut numbers = 1_000_u32..11_000;
    let (start, mut seen) = (world.now, 0);
    while !numbers.is_empty() {
        world.call(0, |machine, now| machine.lookup_random(now));
        world.run(ms(100));
        liar.serve(&mut world, 0, &mut seen, || {
            let at = |number: u32| ([77, 7, 7, 7], 2_000 + u16::try_from(number).unwrap()).into();
            numbers.by_ref().take(16).map(|number| neighbor(number, at(number))).collect()
        });
    }
    let victim = addr("77.7.7.7:1");
    let pings: Vec<_> =
        world.sent.iter().filter(|sent| sent.to.ip() == victim.ip()).map(|sent| sent.at).collect();
    assert!(pings.len() > 10, "{}", pings.len());
    assert!(pings.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)), "once a second at most");
    assert!(pings.len() >= usize::try_from((world.now - start).as_secs()).unwrap() / 2);
    assert!(world.peers[0].machine.statistics().hearsay_held > 100);
}

#[test]
fn all_addresses_of_a_host_get_a_ping_a_second() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    for number in 1_000_u32..1_400 {
        let endpoint = addr(&format!("[2a00:1:2:3::{number}]:30303"));
        let node = Stranger { endpoint, ..Stranger::new(number, "1.1.1.1:1") }.node();
        world.call(0, |machine, now| machine.add_node(now, node));
        world.run(ms(100));
    }
    let pings: Vec<_> =
        world.sent.iter().filter(|sent| sent.to.is_ipv6()).map(|sent| sent.at).collect();
    assert!(pings.len() >= 5, "{}", pings.len());
    assert!(pings.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)), "once a second at most");
}

#[test]
fn nodes_of_a_family_that_our_socket_does_not_reach_cost_nothing() {
    let mut config = limited();
    config.family = Some(Family::V4);
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    let friend = Stranger::new(100, "66.6.6.6:30303");
    friend.settle(&mut world, 0);
    let v6 = Stranger::new(101, "[2a00::1]:30303");
    let (node, mut seen) = (v6.node(), 0);
    world.call(0, |machine, now| machine.add_node(now, node));
    world.call(0, |machine, now| machine.lookup(now, Target::new([9; 64])));
    let named = neighbor(101, v6.endpoint);
    friend.serve(&mut world, 0, &mut seen, || vec![named]);
    world.run(secs(30));
    assert!(world.sent.iter().all(|sent| sent.to.is_ipv4()));
    assert_eq!(world.peers[0].machine.statistics().neighbors_refused, 1);

    // Of a node with both, the endpoint that we reach is taken.
    let both = Record::builder().ip(addr("77.7.7.7:1").ip()).ip(v6.endpoint.ip()).udp(30303);
    let both = Node::from_record(both.udp6(30303).sign(&key(102)).unwrap());
    let query = world.call(0, |machine, now| machine.ping(now, &both));
    assert_eq!(world.kinds_to(addr("77.7.7.7:30303")), [PacketKind::Ping]);
    world.run(secs(1));
    world.peers[0].result(query);
}

#[test]
fn a_record_is_fetched_when_its_number_rises() {
    let mut world = World::network(2, |_| {});
    world.run(secs(5));
    let id = world.peers[1].id();
    let known = |world: &World| {
        world.peers[0].machine.nodes().find(|n| n.id() == id).and_then(|n| n.record().cloned())
    };
    assert_eq!(known(&world).as_ref(), Some(world.peers[1].machine.record()));
    world.take_sent();
    world.run(secs(120));
    let requests = |world: &World| {
        world.sent.iter().filter(|sent| sent.kind() == PacketKind::EnrRequest).count()
    };
    assert_eq!(requests(&world), 0, "it has not changed");
    let newer = record(&key(1), 2, addr_of(1));
    world.call(1, |machine, _| machine.set_record(newer.clone()));
    world.run(secs(30));
    assert_eq!(known(&world), Some(newer));
    assert_eq!(requests(&world), 1);
}

#[test]
fn no_record_is_fetched_where_that_is_off() {
    let mut world = World::network(3, |config| config.request_records = false);
    world.run(secs(60));
    assert!(world.sent.iter().all(|sent| sent.kind() != PacketKind::EnrRequest));
}

/// A stranger in the table that says it has a record of this number, up to the request for it.
fn with_record(seq: u64) -> (World, Stranger) {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    stranger.settle(&mut world, 0);
    let ping = stranger.ping_packet(&world, Some(seq));
    stranger.send(&mut world, 0, &ping);
    world.run(ms(20));
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Pong, PacketKind::EnrRequest]);
    (world, stranger)
}

#[test]
fn another_endpoint_in_a_record_is_believed_when_the_node_answers_there() {
    let (mut world, stranger) = with_record(5);
    let moved = Stranger { endpoint: addr("67.6.6.6:30304"), ..stranger.clone() };
    let record = record(&stranger.key, 5, moved.endpoint);
    stranger.enr_response(&mut world, 0, record.as_bytes());
    assert_eq!(world.kinds_to(moved.endpoint), [PacketKind::Ping]);
    let endpoint = |world: &World| {
        let id = devp2p_kad_id(&stranger);
        let entry = world.peers[0].machine.table().get(&id).unwrap();
        (entry.value().endpoint(), entry.value().node().record().is_some(), entry.is_verified())
    };
    assert_eq!(endpoint(&world), (stranger.endpoint, false, true));
    moved.pong(&mut world, 0);
    assert_eq!(endpoint(&world), (moved.endpoint, true, true));
}

#[test]
fn an_endpoint_in_a_record_where_nobody_answers_changes_nothing() {
    let (mut world, stranger) = with_record(5);
    let record = record(&stranger.key, 5, addr("67.6.6.6:30304"));
    stranger.enr_response(&mut world, 0, record.as_bytes());
    world.run(secs(1));
    let entry = world.peers[0].machine.table().get(&devp2p_kad_id(&stranger)).unwrap();
    assert_eq!(entry.value().endpoint(), stranger.endpoint);
    assert!(entry.is_verified());
    world.take_sent();
    let ping = stranger.ping_packet(&world, Some(5));
    stranger.send(&mut world, 0, &ping);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Pong], "it has been seen");
}

#[test]
fn a_local_endpoint_in_the_record_of_a_public_node_is_not_looked_at() {
    let (mut world, stranger) = with_record(5);
    let local = addr("192.168.0.1:30303");
    let record = record(&stranger.key, 5, local);
    stranger.enr_response(&mut world, 0, record.as_bytes());
    world.run(secs(1));
    assert_eq!(world.kinds_to(local), []);
}

fn devp2p_kad_id(stranger: &Stranger) -> devp2p_kad::Id {
    devp2p_kad::Id::new(*stranger.id().as_bytes())
}

#[test]
fn only_answers_to_pings_of_our_own_are_votes() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    let votes = |world: &World| -> Vec<_> {
        let events = world.peers[0].events.iter();
        events
            .filter_map(|event| match event {
                Event::Vote { voter, endpoint } => Some((*voter, *endpoint)),
                _ => None,
            })
            .collect()
    };
    stranger.settle(&mut world, 0);
    assert_eq!(votes(&world), [], "that was its idea");

    let node = stranger.node();
    let said = ["20.0.0.9:30303", "10.0.0.9:30303"];
    for endpoint in said {
        world.call(0, |machine, now| machine.ping(now, &node));
        let hash = world.last(stranger.endpoint, PacketKind::Ping).hash;
        let (to, expiration) = (Endpoint::new(addr(endpoint), 0), world.unix() + 20);
        let pong = Pong { to, ping_hash: hash, expiration, enr_seq: None };
        stranger.send(&mut world, 0, &Packet::Pong(pong));
    }
    assert_eq!(votes(&world), said.map(|endpoint| (stranger.endpoint.ip(), addr(endpoint))));

    let forged = Ping {
        version: 4,
        from: Endpoint::new(stranger.endpoint, 0),
        to: Endpoint::new(addr("6.6.6.6:6666"), 0),
        expiration: world.unix() + 20,
        enr_seq: None,
    };
    stranger.send(&mut world, 0, &Packet::Ping(forged));
    assert_eq!(votes(&world).len(), 2, "nobody believes a PING");
}

#[test]
fn a_link_local_node_is_where_its_record_says_and_is_not_remembered() {
    let mut config = limited();
    (config.remember_checks, config.remember_interval) = (0, secs(1));
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    let scoped = |scope| SocketAddrV6::new("fe80::9".parse().unwrap(), 30303, 0, scope).into();
    let stranger = Stranger { endpoint: scoped(3), ..Stranger::new(100, "66.6.6.6:30303") };
    stranger.settle(&mut world, 0);
    // Its record is asked for, and then by a command.
    let ping = stranger.ping_packet(&world, Some(5));
    stranger.send(&mut world, 0, &ping);
    world.run(ms(20));
    let record = record(&stranger.key, 5, stranger.endpoint);
    stranger.enr_response(&mut world, 0, record.as_bytes());
    let key = stranger.key.public_key();
    let query = world.call(0, |machine, now| machine.resolve(now, key));
    world.run(ms(20));
    stranger.enr_response(&mut world, 0, record.as_bytes());
    let Event::Resolved { node, .. } = world.peers[0].result(query) else { panic!() };
    assert!(node.as_ref().is_some_and(|node| node.record().is_some()));
    let entry = world.peers[0].machine.table().get(&devp2p_kad_id(&stranger)).unwrap();
    assert_eq!(entry.value().endpoint(), stranger.endpoint);
    assert!(entry.is_verified() && entry.value().node().record().is_some());
    assert_eq!(world.kinds_to(scoped(0)), [], "nothing is there");

    let mut seen = 0;
    for _ in 0..100 {
        world.run(ms(500));
        stranger.serve(&mut world, 0, &mut seen, Vec::new);
    }
    let (now, pongs) = (world.unix(), world.kinds_to(stranger.endpoint));
    assert!(pongs.iter().filter(|kind| **kind == PacketKind::Ping).count() > 2);
    assert_eq!(remembered(&world, 0), []);
    let seed = Seed::new(stranger.node(), scoped(0), DiscoveryVersion::V4, now);
    let other = world.add(1, addr_of(1), limited());
    world.call(other, |machine, now| machine.add_seeds(now, vec![seed]));
    assert_eq!(world.kinds_to(scoped(0)), []);
}

fn remembered(world: &World, peer: usize) -> Vec<Seed> {
    let events = world.peers[peer].events.iter();
    events
        .filter_map(|event| match event {
            Event::Remember(seed) => Some(seed.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_node_is_remembered_after_more_than_five_checks_and_forgotten_when_it_is_gone() {
    let mut world = World::network(4, |_| {});
    let of = |world: &World, id| {
        let seeds = remembered(world, 0).into_iter();
        seeds.filter(|seed| seed.node.id() == id).collect::<Vec<_>>()
    };
    let gone = world.peers[1].id();
    world.run(secs(10));
    assert_eq!(remembered(&world, 0), []);
    world.run(secs(790));
    let seeds = of(&world, gone);
    assert_eq!(seeds.len(), 1, "not at every check");
    assert_eq!((seeds[0].endpoint, seeds[0].protocol), (addr_of(1), DiscoveryVersion::V4));
    assert!((START + 10..START + 800).contains(&seeds[0].last_pong));
    assert!((START..START + 800).contains(&seeds[0].last_ping));
    world.run(secs(1_800));
    assert_eq!(of(&world, gone).len(), 2, "again after half an hour");

    world.peers[1].is_up = false;
    world.run(secs(600));
    assert_eq!(forgotten(&world, 0), [gone]);
    assert_eq!(world.peers[0].machine.table().len(), 2);
}

fn forgotten(world: &World, peer: usize) -> Vec<NodeId> {
    let events = world.peers[peer].events.iter();
    events
        .filter_map(|event| match event {
            Event::Forget(id) => Some(*id),
            _ => None,
        })
        .collect()
}

#[test]
fn nobody_is_forgotten_because_our_own_network_is_down() {
    let mut world = World::network(12, |_| {});
    world.run(hours(1));
    let known = remembered(&world, 0).iter().map(|seed| seed.node.id()).collect::<BTreeSet<_>>();
    assert!(known.len() >= 8, "{}", known.len());
    for peer in 1..12 {
        world.peers[peer].is_up = false;
    }
    world.run(secs(600));
    assert!(world.peers[0].machine.table().len() < known.len() / 2, "there is an outage");
    assert_eq!(forgotten(&world, 0), []);
}

#[test]
fn a_number_that_is_not_that_of_a_record_costs_one_request_a_minute() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let liar = Stranger::new(100, "66.6.6.6:30303");
    liar.settle(&mut world, 0);
    let record = record(&liar.key, 1, liar.endpoint);
    let mut asked = 0;
    for second in 0..300 {
        let ping = liar.ping_packet(&world, Some(1_000 + second));
        liar.send(&mut world, 0, &ping);
        // What the table wants.
        if world.kinds_to(liar.endpoint).contains(&PacketKind::Ping) {
            liar.pong(&mut world, 0);
        }
        world.run(ms(100));
        let requests = world.kinds_to(liar.endpoint).into_iter();
        let requests = requests.filter(|kind| *kind == PacketKind::EnrRequest).count();
        if requests > 0 {
            liar.enr_response(&mut world, 0, record.as_bytes());
        }
        asked += requests;
        world.take_sent();
        world.run(ms(900));
        if world.kinds_to(liar.endpoint).contains(&PacketKind::Ping) {
            liar.pong(&mut world, 0);
        }
    }
    assert!((2..=2 + 5).contains(&asked), "{asked}");
}

#[test]
fn pings_from_fresh_keys_are_not_remembered() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    for number in 100..400 {
        Stranger::new(number, &addr_of(number).to_string()).bond(&mut world, 0);
        world.run(ms(500));
    }
    world.run(secs(1_200));
    assert_eq!(remembered(&world, 0), []);
    let forgotten = |event: &&Event| matches!(event, Event::Forget(_));
    assert_eq!(world.peers[0].events.iter().filter(forgotten).count(), 0);
}

#[test]
fn seeds_bring_the_proofs_of_an_earlier_run_back() {
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    let old = Stranger::new(101, "67.7.7.7:30303");
    let future = Stranger::new(102, "68.7.7.7:30303");
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let seed = |stranger: &Stranger, last_pong| {
        let version = DiscoveryVersion::V4;
        let mut seed = Seed::new(stranger.node(), stranger.endpoint, version, last_pong);
        seed.last_ping = last_pong;
        seed
    };
    let mut other_protocol = seed(&Stranger::new(103, "69.7.7.7:30303"), START - 60);
    other_protocol.protocol = DiscoveryVersion::V5;
    let seeds = vec![
        seed(&stranger, START - 3_600),
        seed(&old, START - 13 * 3_600),
        seed(&future, START + 3_600),
        other_protocol,
    ];
    world.call(0, |machine, now| machine.add_seeds(now, seeds));
    for (stranger, is_bonded) in [(&stranger, true), (&old, false), (&future, false)] {
        let bonded = world.peers[0].machine.is_bonded(world.now, stranger.id(), stranger.endpoint);
        assert_eq!(bonded, is_bonded, "{stranger:?}");
        assert!(!world.peers[0].knows(stranger.id()), "not verified in this run");
    }
    // They are checked, and the first refresh asks those who hold our proof, at once.
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Ping, PacketKind::FindNode]);
    assert_eq!(world.kinds_to(old.endpoint), [PacketKind::Ping]);
    stranger.find_node(&mut world, 0, Target::new([9; 64]));
    assert_eq!(world.last(stranger.endpoint, PacketKind::Neighbors).kind(), PacketKind::Neighbors);
    world.run(secs(30));
    assert_eq!(world.kinds_to(addr("69.7.7.7:30303")), []);
    let is_forget = |event: &Event| matches!(event, Event::Forget(_));
    assert!(!world.peers[0].events.iter().any(is_forget), "the network may be down");
}

#[test]
fn a_changed_port_is_believed_after_a_ping_from_there() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let before = Stranger::new(100, "66.6.6.6:30303");
    before.settle(&mut world, 0);
    let after = Stranger { endpoint: addr("66.6.6.6:40404"), ..before.clone() };
    after.bond(&mut world, 0);
    let entry = world.peers[0].machine.table().get(&devp2p_kad_id(&before)).unwrap();
    assert_eq!(entry.value().endpoint(), after.endpoint);
}

#[test]
fn random_nodes_are_uniform_over_the_table() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    for number in 100..130 {
        Stranger::new(number, &addr_of(number).to_string()).bond(&mut world, 0);
    }
    let live = world.peers[0].machine.table().len();
    assert!(live >= 16, "{live}");
    let mut counts = std::collections::BTreeMap::new();
    let draws = 100_000_usize;
    for _ in 0..draws / 4 {
        for node in world.peers[0].machine.random_nodes(4) {
            *counts.entry(node.id()).or_insert(0_usize) += 1;
        }
    }
    assert_eq!(counts.len(), live);
    let expected = draws as f64 / live as f64;
    let chi_square: f64 =
        counts.values().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    // The 99th percentile is below this for up to 30 nodes.
    assert!(chi_square < 49.6, "{chi_square}");
    assert_eq!(world.peers[0].machine.random_nodes(1_000).len(), live);
}

#[test]
fn the_events_of_the_table_come_in_pairs() {
    let mut world = World::network(4, |_| {});
    world.run(secs(10));
    world.peers[2].is_up = false;
    world.run(secs(600));
    let (mut here, gone) = (BTreeSet::new(), world.peers[2].id());
    for event in &world.peers[1].events {
        match event {
            Event::NodeVerified(node) => assert!(here.insert(node.id()), "{node:?} came twice"),
            Event::NodeRemoved(node) => assert!(here.remove(&node.id()), "{node:?} was not there"),
            _ => {}
        }
    }
    let table: BTreeSet<_> = world.peers[1].machine.nodes().map(|node| node.id()).collect();
    assert_eq!(here, table);
    assert!(!here.contains(&gone) && here.len() == 2);
}
