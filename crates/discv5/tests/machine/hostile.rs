//! Forgers, floods and garbage.

use devp2p_core::{NodeId, Record, Rng};
use devp2p_discv5::{
    DropCause, Event,
    crypto::{Identity, SessionKey, SessionSecrets, id_digest},
    wire::{Envelope, MIN_PACKET_SIZE, Nonce, Packet, PacketKind, Proof, WhoAreYou},
};
use serde_json::Value;

use crate::world::*;

/// A handshake packet of the owner of `key`, in the name of `src_id`.
fn forged(
    stranger: &mut Stranger,
    to: &Record,
    src_id: NodeId,
    whoareyou: &WhoAreYou,
    record: Option<&[u8]>,
    message: &[u8],
) -> Vec<u8> {
    let rng = &mut stranger.rng;
    let (ephemeral_key, shared) = Identity::ephemeral(&stranger.key, &to.public_key(), rng);
    let id_signature = stranger.key.sign(&id_digest(whoareyou, &ephemeral_key, &to.id()));
    let secrets = SessionSecrets::derive(&shared, whoareyou, &src_id, &to.id());
    let envelope = Envelope::random(src_id, Nonce::random(rng), rng);
    let proof = Proof { id_signature, ephemeral_key, record };
    let key = SessionKey::new(secrets.initiator_key());
    masking(to.id()).seal_handshake(&envelope, &proof, &key, message).unwrap().to_vec()
}

#[test]
fn nobody_gets_a_session_in_the_name_of_another() {
    let mut world = World::one();
    let (mut eve, victim) = (Stranger::new(1), Stranger::new(2));
    let to = world.peers[0].machine.record().clone();
    let ping = eve.ping_message().to_bytes().unwrap();
    let own = eve.record();
    let others = victim.record();
    for record in [Some(own.as_bytes()), Some(others.as_bytes()), None] {
        world.run(secs(1));
        // The challenge goes to the victim's id, at Eve's endpoint.
        let (_, knock) = masking(to.id()).random_packet_like(victim.id(), 20, &mut eve.rng);
        world.forget();
        world.deliver(eve.endpoint, 0, &knock);
        let challenge = world.sent_to(eve.endpoint)[0].bytes.clone();
        let Ok(Packet::WhoAreYou(whoareyou)) = masking(victim.id()).decode(&challenge) else {
            panic!("no challenge")
        };
        let packet = forged(&mut eve, &to, victim.id(), &whoareyou, record, &ping);
        world.forget();
        world.deliver(eve.endpoint, 0, &packet);
        assert!(world.sent.is_empty());
        assert_eq!(world.peers[0].machine.usage().sessions, 0);
    }
    // Her own record and none; the victim's, with a signature that is not the victim's.
    assert_eq!(world.peers[0].dropped(DropCause::BadRecord), 2);
    assert_eq!(world.peers[0].dropped(DropCause::Handshake), 1);
    let is_told = |e: &Event| matches!(e, Event::SessionEstablished { .. });
    assert!(!world.peers[0].events.iter().any(is_told));
}

#[test]
fn a_forged_handshake_by_hand_is_like_a_good_one_but_for_the_forgery() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    let to = world.peers[0].machine.record().clone();
    alice.knock(&mut world, 0);
    let whoareyou = alice.whoareyou(&mut world);
    let (id, own, ping) = (alice.id(), alice.record(), alice.ping_message().to_bytes().unwrap());
    let packet = forged(&mut alice, &to, id, &whoareyou, Some(own.as_bytes()), &ping);
    world.deliver(alice.endpoint, 0, &packet);
    assert_eq!(world.peers[0].machine.usage().sessions, 1);
}

#[test]
fn who_has_proved_nothing_never_gets_more_bytes_than_it_sent() {
    let mut world = World::one();
    let mut rng = Rng::from_seed([9; 32]);
    let to = masking(world.peers[0].id());
    let mut answered = 0_u32;
    for number in 0..2_000_u32 {
        let mut stranger = Stranger::new(1_000 + number % 500);
        world.forget();
        // The smallest packets that have a sender, and larger ones.
        let size = usize::try_from(rng.below(60)).unwrap();
        let nonce = Nonce::random(&mut rng);
        let envelope = Envelope::random(stranger.id(), nonce, &mut rng);
        let packet = to.encode_ordinary(&envelope, &vec![7; 16 + size]).unwrap();
        world.deliver(stranger.endpoint, 0, &packet);
        let first: usize = world.sent_to(stranger.endpoint).iter().map(|s| s.bytes.len()).sum();
        assert!(first <= packet.len());
        answered += u32::from(first > 0);
        let Some(sent) = world.sent_to(stranger.endpoint).pop() else { continue };
        // A handshake that fails is answered with nothing.
        let Ok(Packet::WhoAreYou(whoareyou)) = masking(stranger.id()).decode(&sent.bytes) else {
            panic!("no challenge")
        };
        let record = world.peers[0].machine.record().clone();
        let mut handshake = stranger.handshake_packet(&record, &whoareyou, b"\x01\xc0").to_vec();
        let at = handshake.len() - 1 - usize::try_from(rng.below(100)).unwrap();
        handshake[at] ^= 1;
        world.forget();
        world.deliver(stranger.endpoint, 0, &handshake);
        assert!(world.sent.is_empty());
    }
    assert!(answered > 1_500, "{answered}");
    let statistics = world.peers[0].machine.statistics();
    assert!(statistics.bytes_to_unproven <= statistics.bytes_from_unproven);
    assert_eq!(
        statistics.bytes_to_unproven,
        u64::from(answered) * u64::try_from(MIN_PACKET_SIZE).unwrap()
    );
}

#[test]
fn runts_and_giants_are_never_answered() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    let to = masking(world.peers[0].id());
    let packet = to.random_packet_like(alice.id(), 1_193, &mut alice.rng).1;
    assert_eq!(packet.len(), 1_280);
    let knock = to.random_packet(alice.id(), &mut alice.rng);
    // A session changes nothing about that.
    for is_known in [false, true] {
        if is_known {
            alice.connect(&mut world, 0);
        }
        world.forget();
        for size in 0..87 {
            world.deliver(alice.endpoint, 0, &knock[..size]);
        }
        for more in 1..200 {
            world.deliver(alice.endpoint, 0, &[&packet[..], &vec![0; more]].concat());
        }
        assert!(world.sent.is_empty());
    }
    assert_eq!(world.peers[0].dropped(DropCause::Size), 2 * (63 + 199));
    assert_eq!(world.peers[0].dropped(DropCause::Header), 2 * 24);
    assert!(alice.is_answered(&mut world, 0));
}

#[test]
fn what_cannot_be_from_a_node_is_not_answered() {
    let mut world = World::one();
    for endpoint in ["20.0.1.9:1024", "20.0.1.9:53", "0.0.0.0:30303", "224.0.0.1:30303"] {
        Stranger::at(1, addr(endpoint)).knock(&mut world, 0);
    }
    assert_eq!(world.peers[0].dropped(DropCause::Source), 4);
    // In our own name.
    Stranger::at(0, addr_of(1)).knock(&mut world, 0);
    assert_eq!(world.peers[0].dropped(DropCause::OwnId), 1);
    assert!(world.sent.is_empty());
}

#[test]
fn garbage_of_any_size_is_dropped_and_harms_nobody() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    world.forget();
    let mut rng = Rng::from_seed([5; 32]);
    for size in 0..1_400 {
        let mut garbage = vec![0; size];
        rng.fill(&mut garbage);
        world.deliver(alice.endpoint, 0, &garbage);
    }
    assert!(world.sent.is_empty());
    assert_eq!(world.peers[0].machine.statistics().dropped_total(), 1_400);
    assert!(alice.is_answered(&mut world, 0));
}

#[test]
fn any_bit_of_a_packet_that_is_turned_over_makes_it_void() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    let id = alice.id();
    let ping = alice.ping_message().to_bytes().unwrap();
    let to = masking(world.peers[0].id());
    let session = alice.session.as_mut().unwrap();
    let packet = session.seal(&to, id, &ping, &mut alice.rng).unwrap();
    for bit in 0..8 * packet.len() {
        let mut bad = packet.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        world.deliver(alice.endpoint, 0, &bad);
    }
    // A bit of the sender's id makes it another sender, who is asked who it is.
    world.sent.retain(|sent| masking(id).peek(&sent.bytes).is_ok());
    assert!(alice.answers(&mut world).is_empty());
    world.deliver(alice.endpoint, 0, &packet);
    assert_eq!(alice.answers(&mut world).len(), 1);
}

/// Packets of others: the published ones, and those that every implementation has to refuse.
#[test]
fn the_published_packets_and_rejects_get_nothing_but_a_challenge() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/discv5-wire.json")).unwrap();
    let mut packets = Vec::new();
    collect(&vectors, &mut packets);
    assert!(packets.len() > 20, "{}", packets.len());
    let bytes = |digits: &str| -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16);
        (0..digits.len() / 2 * 2).step_by(2).map_while(|at| byte(at).ok()).collect()
    };
    let key = bytes(vectors["node_b_key"].as_str().unwrap());
    let key = devp2p_core::NodeKey::from_bytes(&key.try_into().unwrap()).unwrap();
    let record = record(&key, 1, addr_of(0));
    let mut world = World::one();
    let clock = devp2p_core::WallClock::new(world.now, secs(1_700_000_000));
    let now = world.now;
    world.peers[0].machine =
        devp2p_discv5::Discv5::new(limited(), key, record, [7; 32], now, clock);
    for digits in packets {
        let packet = bytes(digits);
        world.forget();
        world.deliver(addr_of(1), 0, &packet);
        let sent = world.sent_to(addr_of(1));
        assert!(sent.len() <= 1);
        assert!(sent.iter().all(|s| s.bytes.len() == 63 && packet.len() > 63));
        assert_eq!(world.peers[0].machine.usage().sessions, 0);
    }
}

fn collect<'a>(value: &'a Value, packets: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name.contains("packet") => packets.push(text),
                    _ => collect(value, packets),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, packets)),
        _ => {}
    }
}

#[test]
fn a_flood_of_forged_senders_leaves_an_honest_handshake_its_two_round_trips() {
    let mut world = World::of(2);
    let bob = world.peers[1].node();
    let to = masking(bob.id());
    let mut rng = Rng::from_seed([3; 32]);
    let mut flood = |world: &mut World, packets: u32| {
        for _ in 0..packets {
            let [a, b, c, d] = u32::to_be_bytes(u32::try_from(rng.below(1 << 32)).unwrap());
            let from = format!("{}.{b}.{c}.{d}:30303", 1 + a % 9);
            let mut id = [0; 32];
            rng.fill(&mut id);
            let packet = to.random_packet(NodeId::new(id), &mut rng);
            world.deliver(addr(&from), 1, &packet);
        }
        world.forget();
    };
    flood(&mut world, 40_000);
    let query = world.ping(0, &bob);
    for _ in 0..4 {
        world.run(ms(10));
        flood(&mut world, 1_000);
    }
    assert!(world.peers[0].is_ponged(query));
    assert!(world.peers[1].machine.usage().outputs == 0);
}

#[test]
fn a_challenge_is_never_larger_than_what_provoked_it() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    let (_, smallest) =
        masking(world.peers[0].id()).random_packet_like(alice.id(), 0, &mut alice.rng);
    world.deliver(alice.endpoint, 0, &smallest);
    let sent = world.sent_to(alice.endpoint);
    assert_eq!(sent[0].kind(alice.id()), PacketKind::WhoAreYou);
    assert!(sent[0].bytes.len() < smallest.len());
}
