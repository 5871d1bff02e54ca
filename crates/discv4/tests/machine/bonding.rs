//! How two nodes prove their endpoints to each other, and what goes to those who did not.

use std::net::SocketAddr;

use devp2p_core::WallClock;
use devp2p_discv4::{
    Discv4, DropCause,
    wire::{Endpoint, Packet, PacketKind, Ping, Pong, Target},
};

use super::world::{START, Stranger, World, addr, addr_of, hours, limited, ms, secs};

const TARGET: Target = Target::new([9; 64]);

/// One machine, which has sent all that it sends at its start, and a stranger.
fn world() -> (World, Stranger) {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    world.run(secs(1));
    (world, Stranger::new(100, "66.6.6.6:30303"))
}

#[test]
fn a_ping_gets_a_pong_and_one_ping() {
    let (mut world, stranger) = world();
    let ping = stranger.ping(&mut world, 0);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Pong, PacketKind::Ping]);
    let Packet::Pong(pong) = &world.sent[0].packet else { panic!() };
    let expected = Pong {
        to: Endpoint::new(stranger.endpoint, 30303),
        ping_hash: ping.hash,
        expiration: START + 1 + 20,
        enr_seq: Some(1),
    };
    assert_eq!(*pong, expected);
    let Packet::Ping(ping) = &world.sent[1].packet else { panic!() };
    let expected = Ping {
        version: 4,
        from: Endpoint::new(addr_of(0), 30303),
        to: Endpoint::new(stranger.endpoint, 30303),
        expiration: START + 1 + 20,
        enr_seq: Some(1),
    };
    assert_eq!(*ping, expected);

    stranger.pong(&mut world, 0);
    assert!(world.peers[0].knows(stranger.id()), "it is in the table");
    stranger.ping(&mut world, 0);
    let kinds = world.kinds_to(stranger.endpoint);
    assert_eq!(kinds[2..], [PacketKind::Pong], "with the proof, a PONG is enough");
}

#[test]
fn questions_from_an_unproven_endpoint_get_nothing() {
    let (mut world, stranger) = world();
    stranger.find_node(&mut world, 0, TARGET);
    stranger.enr_request(&mut world, 0);
    assert_eq!(world.sent.len(), 0);
    stranger.ping(&mut world, 0);
    stranger.find_node(&mut world, 0, TARGET);
    stranger.enr_request(&mut world, 0);
    assert_eq!(world.sent.len(), 2, "nor does a PING prove anything");
    assert_eq!(world.peers[0].dropped(DropCause::Unproven), 4);

    stranger.pong(&mut world, 0);
    stranger.find_node(&mut world, 0, TARGET);
    stranger.enr_request(&mut world, 0);
    let kinds = world.kinds_to(stranger.endpoint);
    assert_eq!(kinds[2..], [PacketKind::Neighbors, PacketKind::EnrResponse]);
}

#[test]
fn a_pong_for_another_hash_proves_nothing() {
    let (mut world, stranger) = world();
    stranger.ping(&mut world, 0);
    let packet = stranger.pong_packet(&world, [7; 32], addr_of(0));
    stranger.send(&mut world, 0, &packet);
    stranger.find_node(&mut world, 0, TARGET);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    assert_eq!(world.peers[0].dropped(DropCause::Unproven), 1);
}

#[test]
fn a_pong_for_an_older_ping_proves_nothing() {
    let (mut world, stranger) = world();
    stranger.ping(&mut world, 0);
    let older = world.last(stranger.endpoint, PacketKind::Ping).hash;
    world.run(secs(1));
    stranger.ping(&mut world, 0);
    let newest = world.last(stranger.endpoint, PacketKind::Ping).hash;
    assert_ne!(older, newest);

    let packet = stranger.pong_packet(&world, older, addr_of(0));
    stranger.send(&mut world, 0, &packet);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    assert!(!world.peers[0].machine.is_bonded(world.now, stranger.id(), stranger.endpoint));
    stranger.pong(&mut world, 0);
    assert!(world.peers[0].machine.is_bonded(world.now, stranger.id(), stranger.endpoint));
}

#[test]
fn a_replayed_pong_proves_nothing() {
    let (mut world, stranger) = world();
    stranger.ping(&mut world, 0);
    let pong = stranger.pong(&mut world, 0);
    world.deliver(stranger.endpoint, 0, &pong.bytes);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1, "nothing is open");
    let elsewhere = Stranger { endpoint: addr("66.6.7.7:30303"), ..stranger.clone() };
    elsewhere.ping(&mut world, 0);
    world.deliver(elsewhere.endpoint, 0, &pong.bytes);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 2, "it answers another PING");
    assert!(!world.peers[0].machine.is_bonded(world.now, stranger.id(), elsewhere.endpoint));
}

#[test]
fn a_pong_from_elsewhere_or_by_another_proves_nothing() {
    let (mut world, stranger) = world();
    stranger.ping(&mut world, 0);
    let hash = world.last(stranger.endpoint, PacketKind::Ping).hash;
    let packet = stranger.pong_packet(&world, hash, addr_of(0));
    let other_port = SocketAddr::new(stranger.endpoint.ip(), 30304);
    for endpoint in [addr("66.6.6.7:30303"), other_port] {
        Stranger { endpoint, ..stranger.clone() }.send(&mut world, 0, &packet);
    }
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 2);
    let other = Stranger { endpoint: stranger.endpoint, ..Stranger::new(101, "1.1.1.1:1") };
    other.send(&mut world, 0, &packet);
    assert_eq!(world.peers[0].dropped(DropCause::WrongSigner), 1);
    for stranger in [stranger, other] {
        assert!(!world.peers[0].machine.is_bonded(world.now, stranger.id(), stranger.endpoint));
    }
}

#[test]
fn a_proof_is_of_one_id_at_one_address_and_port() {
    let (mut world, stranger) = world();
    stranger.bond(&mut world, 0);
    let before = world.sent.len();
    let elsewhere = [
        Stranger { endpoint: addr("66.6.6.7:30303"), ..stranger.clone() },
        Stranger { endpoint: addr("66.6.6.6:30304"), ..stranger.clone() },
        Stranger { endpoint: stranger.endpoint, ..Stranger::new(101, "1.1.1.1:1") },
    ];
    for other in &elsewhere {
        other.find_node(&mut world, 0, TARGET);
        other.enr_request(&mut world, 0);
    }
    assert_eq!(world.sent.len(), before);
    assert_eq!(world.peers[0].dropped(DropCause::Unproven), 6);
}

#[test]
fn a_proof_is_renewed_in_the_second_half_of_its_twelve_hours() {
    let mut config = limited();
    // So that the table does not renew it.
    config.table.bucket_size = 0;
    config.table.replacements = 0;
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    stranger.bond(&mut world, 0);
    let bonded = |world: &World| {
        world.peers[0].machine.is_bonded(world.now, stranger.id(), stranger.endpoint)
    };
    world.run(hours(5));
    world.take_sent();
    stranger.ping(&mut world, 0);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Pong], "it is young");
    world.run(hours(2));
    stranger.ping(&mut world, 0);
    assert_eq!(world.kinds_to(stranger.endpoint)[1..], [PacketKind::Pong, PacketKind::Ping]);
    stranger.pong(&mut world, 0);
    world.run(hours(11));
    assert!(bonded(&world));
    world.run(hours(2));
    assert!(!bonded(&world), "it ran out");
    stranger.find_node(&mut world, 0, TARGET);
    assert_eq!(world.peers[0].dropped(DropCause::Unproven), 1);
}

#[test]
fn a_proof_ages_while_the_system_sleeps() {
    let (mut world, stranger) = world();
    stranger.bond(&mut world, 0);
    let bonded = |world: &World| {
        world.peers[0].machine.is_bonded(world.now, stranger.id(), stranger.endpoint)
    };
    let slept = |hours: u64| {
        move |machine: &mut Discv4, now| {
            machine.handle_wall_clock(WallClock::new(now, secs(START + hours * 3_600)));
        }
    };
    world.call(0, slept(11));
    assert!(bonded(&world));
    world.call(0, slept(10));
    assert!(bonded(&world), "a clock that is set back changes nothing");
    world.call(0, slept(13));
    assert!(!bonded(&world), "14 hours by its own count");
}

#[test]
fn nodes_of_the_table_keep_each_others_proof_for_days() {
    // Rarely, so that the test is fast.
    let mut world = World::network(3, |config| config.table.slow_interval = hours(1) / 4);
    for _ in 0..60 {
        world.run(hours(1));
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            let (id, endpoint) = (world.peers[b].id(), world.peers[b].endpoint);
            assert!(world.peers[a].machine.is_bonded(world.now, id, endpoint), "{a} {b}");
        }
    }
    world.run(secs(1));
    world.take_sent();
    let query = world.call(1, |machine, now| machine.lookup(now, TARGET));
    assert!(world.sent.iter().all(|sent| sent.kind() == PacketKind::FindNode), "at once");
    world.run(secs(1));
    world.peers[1].result(query);
}

#[test]
fn only_one_ping_at_a_time_goes_back_to_an_id_at_an_endpoint() {
    let (mut world, stranger) = world();
    for number in 100..110 {
        let other = Stranger { endpoint: stranger.endpoint, ..Stranger::new(number, "1.1.1.1:1") };
        other.ping(&mut world, 0);
        other.ping(&mut world, 0);
    }
    let kinds = world.kinds_to(stranger.endpoint);
    assert_eq!(kinds.iter().filter(|kind| **kind == PacketKind::Ping).count(), 10);
    assert_eq!(kinds.iter().filter(|kind| **kind == PacketKind::Pong).count(), 20);
}

#[test]
fn forged_pings_from_a_nodes_endpoint_do_not_keep_it_out() {
    // Two a second keep a PING back to another id open there all the time.
    let forge = |world: &mut World, number: u32, endpoint| {
        let forger = Stranger { endpoint, ..Stranger::new(number, "1.1.1.1:1") };
        forger.ping(world, 0);
    };
    let (mut world, node) = world();
    for number in 1_000..1_020 {
        forge(&mut world, number, node.endpoint);
        world.run(ms(480));
    }
    forge(&mut world, 1_020, node.endpoint);
    node.bond(&mut world, 0);

    // Likewise where we begin.
    let other = Stranger::new(200, "77.7.7.7:30303");
    forge(&mut world, 1_021, other.endpoint);
    world.take_sent();
    let named = other.node();
    world.call(0, |machine, now| machine.add_node(now, named));
    let mut seen = 0;
    for number in 2_000..2_060 {
        world.run(ms(480));
        forge(&mut world, number, other.endpoint);
        other.serve(&mut world, 0, &mut seen, Vec::new);
    }
    assert!(world.peers[0].machine.is_bonded(world.now, other.id(), other.endpoint));
}

#[test]
fn a_victim_of_forged_pings_gets_less_than_three_times_their_bytes_and_of_a_stream_less_than_two() {
    // As small as a PING can be, and each from a new id at a port of its own.
    let forge = |world: &mut World, victim: &str, number: u32| {
        let port = u16::try_from(2_000 + number).unwrap();
        let victim = SocketAddr::new(victim.parse().unwrap(), port);
        let stranger = Stranger { endpoint: victim, ..Stranger::new(1_000 + number, "1.1.1.1:1") };
        let (from, to) = (Endpoint::default(), Endpoint::default());
        let expiration = world.unix() + 20;
        let ping = Ping { version: 4, from, to, expiration, enr_seq: None };
        stranger.send(world, 0, &Packet::Ping(ping));
    };
    let factor = |world: &World| {
        let statistics = world.peers[0].machine.statistics();
        let sent: usize = world.sent.iter().map(|sent| sent.bytes.len()).sum();
        assert_eq!(statistics.bytes_to_unproven, u64::try_from(sent).unwrap());
        let questions = [PacketKind::Ping, PacketKind::Pong];
        assert!(world.sent.iter().all(|sent| questions.contains(&sent.kind())));
        assert_eq!(statistics.contacts, 0, "nothing of our own accord");
        // Against those that were listened to, the worse for us.
        statistics.bytes_to_unproven as f64 / statistics.bytes_from_unproven as f64
    };
    for victim in ["66.6.6.6", "2a00::6"] {
        let (mut world, _) = world();
        for number in 0..100 {
            forge(&mut world, victim, number);
            world.run(ms(250));
        }
        assert!(factor(&world) < 2.8, "{}", factor(&world));
        for number in 1_000..4_000 {
            forge(&mut world, victim, number);
            world.run(ms(10));
        }
        assert!(factor(&world) < 2.0, "{}", factor(&world));
    }
}

#[test]
fn a_house_full_of_nodes_that_start_together_is_pinged_back() {
    let (mut world, _) = world();
    let house: Vec<_> =
        (0..20).map(|n| Stranger::new(200 + n, &format!("66.6.6.6:{}", 4_000 + n))).collect();
    for node in &house {
        node.bond(&mut world, 0);
    }
    let one_more = Stranger::new(300, "66.6.6.77:30303");
    one_more.ping(&mut world, 0);
    assert_eq!(world.kinds_to(one_more.endpoint), [PacketKind::Pong]);
    world.run(ms(200));
    one_more.bond(&mut world, 0);
}

#[test]
fn a_proven_ping_brings_a_forgotten_node_back() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let stranger = Stranger::new(100, "66.6.6.6:30303");
    stranger.bond(&mut world, 0);
    world.run(secs(60));
    assert!(!world.peers[0].knows(stranger.id()), "it answered nothing any more");
    world.take_sent();
    stranger.ping(&mut world, 0);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Pong]);
    while world.kinds_to(stranger.endpoint).len() < 2 {
        world.run(ms(10));
    }
    assert_eq!(world.kinds_to(stranger.endpoint)[1..], [PacketKind::Ping], "it is checked");
    stranger.pong(&mut world, 0);
    assert!(world.peers[0].knows(stranger.id()));
}

#[test]
fn nodes_speak_ipv6_as_well_and_a_mapped_address_is_ipv4() {
    let mut world = World::new();
    world.add(0, addr("[2a00:1::1]:30303"), limited());
    let mut config = limited();
    config.bootstrap_nodes = vec![world.peers[0].node()];
    world.add(1, addr("[2a00:2::1]:30303"), config);
    world.run(secs(5));
    assert!(world.peers[0].knows(world.peers[1].id()) && world.peers[1].knows(world.peers[0].id()));
    let ping = world.last(addr("[2a00:1::1]:30303"), PacketKind::Ping);
    let Packet::Ping(ping) = ping.packet else { panic!() };
    assert_eq!(ping.from, Endpoint::new(addr("[2a00:2::1]:30303"), 30303));

    let mapped = Stranger::new(100, "[::ffff:66.6.6.6]:30303");
    mapped.ping(&mut world, 0);
    assert_eq!(world.kinds_to(mapped.endpoint), []);
    let ping = world.last(addr("66.6.6.6:30303"), PacketKind::Ping);
    let Packet::Ping(sent) = ping.packet else { panic!() };
    let unknown = Endpoint { ip: Some([0, 0, 0, 0].into()), udp: 30303, tcp: 30303 };
    assert_eq!(sent.from, unknown, "its record has no IPv4 address");
    let pong = mapped.pong_packet(&world, ping.hash, addr("[2a00:1::1]:30303"));
    mapped.send(&mut world, 0, &pong);
    let at = addr("66.6.6.6:30303");
    assert!(world.peers[0].machine.is_bonded(world.now, mapped.id(), at));
    assert!(world.peers[0].machine.is_bonded(world.now, mapped.id(), mapped.endpoint));
}
