//! What strangers may try.

use std::{net::SocketAddr, time::Duration};

use devp2p_core::{Rate, WallClock};
use devp2p_discv4::{
    Config, DropCause,
    wire::{
        Endpoint, EnrRequest, EnrResponse, FindNode, Neighbors, Packet, PacketKind, Ping, Pong,
        Target,
    },
};

use super::world::{START, Stranger, World, addr, addr_of, limited, ms, secs};

const TARGET: Target = Target::new([9; 64]);

fn world() -> (World, Stranger) {
    world_with(limited())
}

fn world_with(config: Config) -> (World, Stranger) {
    let mut world = World::new();
    world.add(0, addr_of(0), config);
    world.run(secs(1));
    (world, Stranger::new(100, "66.6.6.6:30303"))
}

/// So that a flood is a tenth, too.
fn with_a_tenth_of_the_rates() -> Config {
    let mut config = limited();
    for rate in [&mut config.stranger_rate_total, &mut config.returning_rate_total] {
        *rate = Rate { interval: rate.interval * 10, burst: rate.burst / 10 };
    }
    config
}

#[test]
fn every_cause_to_drop_a_datagram_is_counted() {
    let mut config = limited();
    config.net_restrict = Some("66.0.0.0/8".parse().unwrap());
    let (mut world, stranger) = world_with(config);
    let good = stranger.seal(&stranger.ping_packet(&world, None)).bytes;
    let mut bad_hash = good.to_vec();
    bad_hash[40] ^= 1;
    // Nobody can have made a signature of zeros. The hash is right.
    let resealed = |change: fn(&mut Vec<u8>)| {
        use sha3::{Digest as _, Keccak256};
        let mut bytes = good.to_vec();
        change(&mut bytes);
        let hash: [u8; 32] = Keccak256::digest(&bytes[32..]).into();
        bytes[..32].copy_from_slice(&hash);
        bytes
    };
    let outside = addr("67.6.6.6:30303");
    let low_port = addr("66.6.6.6:53");
    for (cause, from, bytes) in [
        (DropCause::Size, stranger.endpoint, vec![]),
        (DropCause::Size, stranger.endpoint, good[..97].to_vec()),
        (DropCause::Size, stranger.endpoint, vec![1; 1_281]),
        (DropCause::UnknownKind, stranger.endpoint, resealed(|bytes| bytes[97] = 7)),
        (DropCause::Hash, stranger.endpoint, bad_hash),
        (DropCause::Source, outside, good.to_vec()),
        (DropCause::Source, low_port, good.to_vec()),
        (DropCause::Data, stranger.endpoint, resealed(|bytes| bytes[98] = 0x80)),
        (DropCause::Signature, stranger.endpoint, resealed(|bytes| bytes[32..97].fill(0))),
        (DropCause::Signature, stranger.endpoint, resealed(|bytes| bytes[96] = 0xff)),
    ] {
        let before = world.peers[0].dropped(cause);
        world.deliver(from, 0, &bytes);
        assert_eq!(world.peers[0].dropped(cause), before + 1, "{cause}");
    }
    let own = Stranger { key: world.peers[0].key.clone(), ..stranger };
    own.ping(&mut world, 0);
    assert_eq!(world.peers[0].dropped(DropCause::OwnId), 1);
    let statistics = world.peers[0].machine.statistics();
    assert_eq!(statistics.dropped_total(), 11);
    assert_eq!(statistics.received(PacketKind::Ping).packets, 0);
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn packets_whose_time_is_over_are_dropped() {
    let (mut world, stranger) = world();
    stranger.settle(&mut world, 0);
    let node = stranger.node();
    world.call(0, |machine, now| machine.ping(now, &node));
    world.call(0, |machine, now| machine.find_node(now, &node, TARGET));
    let hash = world.last(stranger.endpoint, PacketKind::Ping).hash;
    world.take_sent();
    let (from, to) = (Endpoint::new(stranger.endpoint, 0), Endpoint::default());
    for expiration in [0, 1, START - 1_000, world.unix() - 1, world.unix()] {
        for packet in [
            Packet::Ping(Ping { version: 4, from, to, expiration, enr_seq: None }),
            Packet::Pong(Pong { to, ping_hash: hash, expiration, enr_seq: None }),
            Packet::FindNode(FindNode { target: TARGET, expiration }),
            Packet::Neighbors(Neighbors { nodes: vec![], expiration }),
            Packet::EnrRequest(EnrRequest { expiration }),
        ] {
            stranger.send(&mut world, 0, &packet);
        }
    }
    assert_eq!(world.peers[0].dropped(DropCause::Expired), 25);
    assert_eq!(world.sent.len(), 0);
    for expiration in [world.unix() + 1, world.unix() + 10_000, u64::MAX] {
        stranger.send(&mut world, 0, &Packet::EnrRequest(EnrRequest { expiration }));
    }
    assert_eq!(world.sent.len(), 3, "any time to come will do");
}

#[test]
fn a_replayed_question_is_answered_until_its_time_is_over() {
    let (mut world, stranger) = world();
    stranger.settle(&mut world, 0);
    let question = stranger.find_node(&mut world, 0, TARGET);
    world.run(secs(19));
    world.take_sent();
    world.deliver(stranger.endpoint, 0, &question.bytes);
    assert_eq!(world.kinds_to(stranger.endpoint), [PacketKind::Neighbors]);
    world.run(secs(1));
    world.deliver(stranger.endpoint, 0, &question.bytes);
    assert_eq!(world.peers[0].dropped(DropCause::Expired), 1);
    let elsewhere = addr("88.8.8.8:30303");
    world.deliver(elsewhere, 0, &question.bytes);
    assert_eq!(world.kinds_to(elsewhere), [], "a victim elsewhere gets nothing");
}

#[test]
fn a_clock_that_is_wrong_by_a_minute_shows_in_the_statistics() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    let right = world.clock();
    let wrong = WallClock::new(world.now, right.unix(world.now) + secs(60));
    let mut config = Config::default();
    config.bootstrap_nodes = vec![world.peers[0].node()];
    let ahead = world.add_with_clock(1, addr_of(1), config, wrong);
    world.run(secs(60));
    let bonded = |world: &World, a: usize, b: usize| {
        let (id, endpoint) = (world.peers[b].id(), world.peers[b].endpoint);
        world.peers[a].machine.is_bonded(world.now, id, endpoint)
    };
    // What the one ahead sends is good for longer; to it, all the others' packets are old.
    assert!(world.peers[0].dropped(DropCause::Expired) == 0 && !bonded(&world, ahead, 0));
    assert!(world.peers[ahead].dropped(DropCause::Expired) > 5);
    let right = world.clock();
    world.call(ahead, |machine, _| machine.handle_wall_clock(right));
    world.run(secs(60));
    assert!(bonded(&world, ahead, 0) && bonded(&world, 0, ahead));
}

#[test]
fn a_prefix_has_thirty_packets_a_second_and_120_at_once() {
    let (mut world, stranger) = world();
    let answers =
        |world: &World| world.sent.iter().filter(|sent| sent.kind() == PacketKind::Pong).count();
    let packet = stranger.seal(&stranger.ping_packet(&world, None)).bytes;
    let flood = |world: &mut World| {
        for host in 0..200_u8 {
            world.deliver(SocketAddr::from(([66, 6, 6, host], 3_000)), 0, &packet);
        }
    };
    flood(&mut world);
    assert_eq!(answers(&world), 120);
    assert_eq!(world.peers[0].dropped(DropCause::StrangerRate), 80);
    world.run(secs(1));
    flood(&mut world);
    assert_eq!(answers(&world), 150);
    world.deliver(addr("66.6.7.1:3000"), 0, &packet);
    assert_eq!(answers(&world), 151, "another prefix has its own");
}

#[test]
fn all_strangers_together_have_a_rate_and_those_with_a_proof_another() {
    let mut config = limited();
    config.stranger_rate_total.burst = 500;
    let (mut world, stranger) = world_with(config);
    stranger.settle(&mut world, 0);
    let packet = stranger.seal(&stranger.ping_packet(&world, None)).bytes;
    for number in 0..1_000 {
        world.deliver(addr_of(number + 1), 0, &packet);
    }
    assert_eq!(world.peers[0].dropped(DropCause::StrangerRate), 500);
    world.take_sent();
    for _ in 0..200 {
        stranger.find_node(&mut world, 0, TARGET);
    }
    assert_eq!(world.sent_to(stranger.endpoint).len(), 120);
    assert_eq!(world.peers[0].dropped(DropCause::BondedRate), 80);
}

#[test]
fn all_with_a_proof_in_one_prefix_have_a_rate() {
    let (mut world, _) = world();
    let nodes: Vec<_> =
        (0..10).map(|n| Stranger::new(200 + n, &format!("66.6.6.6:{}", 4_000 + n))).collect();
    for node in &nodes {
        node.bond(&mut world, 0);
    }
    world.run(secs(10));
    world.take_sent();
    for node in &nodes {
        for _ in 0..100 {
            node.find_node(&mut world, 0, TARGET);
        }
    }
    assert_eq!(world.peers[0].dropped(DropCause::BondedRate), 1_000 - 480);
    let other = Stranger::new(300, "66.6.7.6:30303");
    other.bond(&mut world, 0);
    other.find_node(&mut world, 0, TARGET);
    assert_eq!(world.last(other.endpoint, PacketKind::Neighbors).at, world.now);
}

/// Lets nodes answer the PINGs that came since the last time.
fn answer_pings(world: &mut World, nodes: &[Stranger]) {
    for sent in world.take_sent() {
        let asked = nodes.iter().find(|node| node.endpoint == sent.to);
        if let Some(node) = asked.filter(|_| sent.kind() == PacketKind::Ping) {
            let packet = node.pong_packet(world, sent.hash, sent.from);
            node.send(world, 0, &packet);
        }
    }
}

#[test]
fn packets_forged_from_proved_endpoints_have_a_rate_beside_which_their_owners_are_served() {
    let mut config = limited();
    config.bonded_rate_total = Rate::per_second(100);
    config.quiet_rate_total = Rate { burst: 200, ..Rate::per_second(100) };
    // So that some find no place.
    config.table.bucket_size = 6;
    let (mut world, _) = world_with(config);
    let nodes: Vec<_> =
        (0..50).map(|n| Stranger::new(200 + n, &format!("88.8.{n}.8:30303"))).collect();
    for node in &nodes {
        node.bond(&mut world, 0);
        world.run(ms(20));
        answer_pings(&mut world, &nodes);
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        nodes.iter().cloned().partition(|node| world.peers[0].knows(node.id()));
    assert!(known.len() > 15 && unknown.len() > 15, "{} {}", known.len(), unknown.len());

    let forger = Stranger::new(900, "66.6.6.6:30303");
    let expiration = world.unix() + 60;
    let packet = Packet::FindNode(FindNode { target: TARGET, expiration });
    let forged = forger.seal(&packet).bytes;
    for (case, victims) in [("known", &known), ("unknown", &unknown)] {
        let (honest, victims) = ([&known[0], &unknown[0]], &victims[1..]);
        let recovered = |world: &World| world.peers[0].dropped(DropCause::Unproven);
        let (mut before, mut answered) = (0, 0);
        // 800 a second, for a second more than counts.
        for millis in 0..6_000_usize {
            world.run(ms(1));
            if millis % 5 < 4 {
                world.deliver(victims[millis % victims.len()].endpoint, 0, &forged);
            }
            if millis % 20 == 0 {
                answer_pings(&mut world, &nodes);
            }
            if millis == 1_000 {
                before = recovered(&world);
            }
            // Each at a time of its own.
            let asks = honest.iter().enumerate().filter(|(n, _)| millis % 1_000 == 37 + 100 * n);
            for (_, node) in asks {
                node.find_node(&mut world, 0, TARGET);
                answered +=
                    usize::from(world.kinds_to(node.endpoint).contains(&PacketKind::Neighbors));
            }
        }
        assert_eq!(answered, 12, "{case}");
        // Those of all, and those of each that sends little.
        let rate = usize::try_from(recovered(&world) - before).unwrap() / 5;
        assert!((100..100 + 2 * victims.len() + 10).contains(&rate), "{case}: {rate}");
    }
    assert!(world.peers[0].dropped(DropCause::BondedRate) > 6_000);
}

#[test]
fn whoever_asks_again_is_heard_through_a_flood_from_ever_new_prefixes() {
    let (mut world, _) = world_with(with_a_tenth_of_the_rates());
    let forged = Stranger::new(100, "66.6.6.6:30303");
    let forged = forged.seal(&forged.ping_packet(&world, None)).bytes;
    let mut number = 0;
    // 2,000 a second.
    let mut flood = |world: &mut World, millis: u64| {
        for _ in 0..millis {
            world.run(ms(1));
            for _ in 0..2 {
                number += 1;
                world.deliver(addr_of(number), 0, &forged);
            }
        }
        world.take_sent();
    };
    flood(&mut world, 1_500);
    let mut tries = Vec::new();
    for number in 0..10 {
        let honest = Stranger::new(200 + number, &format!("88.8.{number}.8:30303"));
        let tried = (1..=10).find(|_| {
            honest.ping(&mut world, 0);
            let is_heard = !world.sent_to(honest.endpoint).is_empty();
            if is_heard {
                honest.pong(&mut world, 0);
            }
            flood(&mut world, 500);
            is_heard
        });
        tries.push(tried);
        assert!(world.peers[0].machine.is_bonded(world.now, honest.id(), honest.endpoint));
    }
    assert!(tries.iter().all(|&tries| tries <= Some(2)), "{tries:?}");
    assert!(tries.contains(&Some(2)), "there was a flood: {tries:?}");
    let dropped = world.peers[0].dropped(DropCause::StrangerRate);
    let answered = world.peers[0].machine.statistics().sent(PacketKind::Pong).packets;
    assert!(dropped > 4 * answered, "{dropped} {answered}");
}

#[test]
fn few_prefixes_that_come_again_leave_room_for_others_that_do() {
    let (mut world, _) = world_with(with_a_tenth_of_the_rates());
    let forged = Stranger::new(100, "66.6.6.6:30303");
    let forged = forged.seal(&forged.ping_packet(&world, None)).bytes;
    let honest = Stranger::new(200, "88.8.8.8:30303");
    let mut number = 0;
    let mut flood = |world: &mut World, millis: u64| {
        for _ in 0..millis {
            world.run(ms(1));
            for _ in 0..2 {
                number += 1;
                world.deliver(addr_of(1 + number % 100), 0, &forged);
            }
        }
        world.take_sent();
    };
    flood(&mut world, 2_000);
    honest.ping(&mut world, 0);
    assert_eq!(world.kinds_to(honest.endpoint), [], "the first is one of many");
    flood(&mut world, 500);
    honest.bond(&mut world, 0);
}

#[test]
fn strangers_in_a_local_network_share_the_rate_of_all() {
    let (mut world, stranger) = world_with(Config::default());
    let packet = stranger.seal(&stranger.ping_packet(&world, None)).bytes;
    for port in 2_000..12_000 {
        world.deliver(SocketAddr::from(([127, 0, 0, 1], port)), 0, &packet);
    }
    assert_eq!(world.peers[0].dropped(DropCause::StrangerRate), 10_000 - 500);
}

#[test]
fn a_local_network_is_exempt_unless_configured_otherwise() {
    for (config, answered) in [(Config::default(), 500), (limited(), 120)] {
        let (mut world, stranger) = world_with(config);
        let packet = stranger.seal(&stranger.ping_packet(&world, None)).bytes;
        for port in 2_000..2_500 {
            world.deliver(SocketAddr::from(([127, 0, 0, 1], port)), 0, &packet);
        }
        let pongs = world.sent.iter().filter(|sent| sent.kind() == PacketKind::Pong).count();
        assert_eq!(pongs, answered);
    }
}

#[test]
fn twenty_honest_nodes_behind_one_address_stay_bonded_beside_a_flooder() {
    // On their address with one port, or on another one of the prefix with all ports.
    for flooder in [addr("66.6.6.6:6666"), addr("66.6.6.7:0")] {
        for flooder_is_first in [false, true] {
            honest_nodes_beside_a_flooder(flooder, flooder_is_first);
        }
    }
}

#[track_caller]
fn honest_nodes_beside_a_flooder(flooder: SocketAddr, flooder_is_first: bool) {
    let case = format!("{flooder} {flooder_is_first}");
    let (mut world, _) = world();
    let honest: Vec<_> =
        (0..20).map(|n| Stranger::new(200 + n, &format!("66.6.6.6:{}", 4_000 + n))).collect();
    let mut seen = 0;
    // Every new id bonds if it can.
    let mut flood = |world: &mut World, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let port = u16::try_from(2_000 + number).unwrap();
            let port = if flooder.port() == 0 { port } else { flooder.port() };
            let endpoint = SocketAddr::new(flooder.ip(), port);
            let flooder = Stranger { endpoint, ..Stranger::new(number, "1.1.1.1:1") };
            flooder.ping(world, 0);
            world.run(ms(300));
            flooder.serve(world, 0, &mut seen.clone(), Vec::new);
            for node in &honest {
                node.serve(world, 0, &mut seen.clone(), Vec::new);
            }
            seen = world.sent.len();
        }
    };
    if flooder_is_first {
        flood(&mut world, 1_000..1_100);
    }
    for node in &honest {
        node.bond(&mut world, 0);
        world.run(ms(200));
    }
    for minute in 2..4 {
        flood(&mut world, 1_000 * minute..1_000 * minute + 200);
        for (at, node) in honest.iter().enumerate() {
            let bonded = world.peers[0].machine.is_bonded(world.now, node.id(), node.endpoint);
            assert!(bonded, "{case}: {at} in minute {minute}");
            node.find_node(&mut world, 0, TARGET);
            let answer = world.last(node.endpoint, PacketKind::Neighbors);
            assert_eq!(answer.at, world.now, "{case}: it is served beside the flood");
        }
    }
    assert!(world.peers[0].machine.usage().bonds <= 64);
}

#[test]
fn a_hundred_thousand_forged_packets_take_no_memory_and_stop_nobody() {
    let (mut world, _) = world();
    let honest: Vec<_> =
        (1..5).map(|number| world.add(number, addr_of(number), limited())).collect();
    let node = world.peers[0].node();
    let forger = Stranger::new(100, "66.6.6.6:30303");
    let packets = [
        forger.ping_packet(&world, Some(7)),
        forger.pong_packet(&world, [7; 32], addr_of(0)),
        Packet::FindNode(FindNode { target: TARGET, expiration: START + 100 }),
        Packet::Neighbors(Neighbors { nodes: vec![], expiration: START + 100 }),
        Packet::EnrRequest(EnrRequest { expiration: START + 100 }),
        Packet::EnrResponse(EnrResponse { request_hash: [7; 32], record: vec![0xc0].into() }),
    ];
    let packets = packets.map(|packet| forger.seal(&packet).bytes);
    for round in 0..1_000_u32 {
        for number in 0..100 {
            let number = round * 100 + number;
            let [_, a, b, c] = number.to_be_bytes();
            let from = SocketAddr::from(([60 + a % 8, b, c, 1], 30_303));
            // A quarter are questions.
            let at = [0, 1, 3, 5, 2, 1, 3, 5, 4, 1, 3, 5][usize::try_from(number).unwrap() % 12];
            world.deliver(from, 0, &packets[at]);
        }
        let usage = world.peers[0].machine.usage();
        assert!(usage.requests <= 8 && usage.asks <= 8 && usage.bonds <= 4, "{usage:?}");
        assert!(usage.ping_backs <= 4_096, "{usage:?}");
        assert_eq!(usage.outputs, 0, "the driver drains them");
        world.run(ms(5));
        if round == 500 {
            for &peer in &honest {
                let node = node.clone();
                world.call(peer, |machine, now| machine.ping(now, &node));
            }
        }
        if round == 700 {
            for &peer in &honest {
                let (id, endpoint) = (world.peers[peer].id(), world.peers[peer].endpoint);
                let bonded = world.peers[0].machine.is_bonded(world.now, id, endpoint);
                assert!(bonded, "within a second of the flood");
            }
        }
        if round % 100 == 0 {
            world.take_sent();
        }
    }
    assert!(world.peers[0].machine.table().len() <= 4);
    world.run(secs(1));
    let usage = world.peers[0].machine.usage();
    assert!(usage.requests + usage.ping_backs <= 4 && usage.lookups == 0, "{usage:?}");
    let dropped = world.peers[0].machine.statistics();
    assert!(dropped.dropped(DropCause::Unsolicited) >= 74_000, "{dropped:?}");
}

#[test]
fn ids_without_number_at_one_prefix_hold_few_places() {
    let (mut world, _) = world();
    for number in 0..2_000_u32 {
        let [.., a, b] = number.to_be_bytes();
        let endpoint = SocketAddr::from(([66, 6, 6, b], 10_000 + u16::from(a)));
        let sybil = Stranger { endpoint, ..Stranger::new(1_000 + number, "1.1.1.1:1") };
        sybil.ping(&mut world, 0);
        if world.sent.last().is_some_and(|s| s.to == endpoint && s.kind() == PacketKind::Ping) {
            sybil.pong(&mut world, 0);
        }
        world.run(ms(200));
    }
    let table = world.peers[0].machine.table();
    assert!((1..=10).contains(&table.len()), "{}", table.len());
    assert!(world.peers[0].machine.usage().bonds <= 64);
}

#[test]
fn events_and_datagrams_that_nobody_polls_are_lost_and_counted() {
    let mut config = Config::default();
    config.max_events = 100;
    config.stranger_rate_total = Rate::per_second(10_000);
    let (mut world, stranger) = world_with(config);
    let packet = stranger.seal(&stranger.ping_packet(&world, None)).bytes;
    let now = world.now;
    let machine = &mut world.peers[0].machine;
    for number in 0..5_000_u32 {
        let port = u16::try_from(2_000 + number).unwrap();
        machine.handle_datagram(now, SocketAddr::from(([127, 0, 0, 1], port)), &packet);
    }
    let waiting = machine.usage().outputs;
    let statistics = machine.statistics();
    assert!(waiting <= 100 + 4_096, "{waiting}");
    assert!(statistics.events_lost >= 4_900 && statistics.transmits_lost > 900, "{statistics:?}");
    let drained = std::iter::from_fn(|| machine.poll_output()).count();
    assert_eq!(drained, waiting);
}

#[test]
fn configured_times_of_any_length_are_no_danger() {
    for time in [Duration::ZERO, Duration::MAX] {
        let mut config = limited();
        config.request_timeout = time;
        config.proof_timeout = time;
        config.proof_delay = time;
        config.neighbors_pause = time;
        config.bond_expiry = time;
        config.refresh_interval = time;
        config.empty_refresh_interval = time;
        config.random_lookup_interval = time;
        config.remember_interval = time;
        let (mut world, stranger) = world_with(config);
        stranger.ping(&mut world, 0);
        let mut seen = 0;
        world.call(0, |machine, now| machine.lookup_random(now));
        stranger.serve(&mut world, 0, &mut seen, Vec::new);
        let node = stranger.node();
        world.call(0, |machine, now| machine.find_node(now, &node, TARGET));
        stranger.serve(&mut world, 0, &mut seen, Vec::new);
    }
}
