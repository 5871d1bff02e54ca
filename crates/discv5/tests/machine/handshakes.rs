//! How two nodes come to share keys, and keep them.

use devp2p_core::{Node, Record};
use devp2p_discv5::{
    Config, DropCause, Event, RequestError,
    message::{Body, Message, MessageKind},
    wire::{Masking, PacketKind::*, ProtocolId},
};

use crate::world::*;

#[test]
fn a_handshake_takes_two_round_trips() {
    let mut world = World::of(2);
    let bob = world.peers[1].node();
    let begin = world.now;
    let query = world.ping(0, &bob);
    world.run(ms(39));
    assert!(world.peers[0].of(query).is_empty());
    world.run(ms(1));
    let Event::Pong { rtt, endpoint, enr_seq, .. } = world.peers[0].result(query) else {
        panic!("no PONG")
    };
    // The round trip of the message, not that of the handshake.
    assert_eq!((*rtt, *endpoint, *enr_seq), (ms(20), world.peers[0].endpoint, 1));
    world.sent.retain(|sent| sent.at <= begin + ms(30));
    assert_eq!(world.kinds(0, 1)[..2], [Ordinary, Handshake]);
    assert_eq!(world.kinds(1, 0)[..2], [WhoAreYou, Ordinary]);
    let (alice, bob) = (&world.peers[0], &world.peers[1]);
    assert!(alice.machine.has_session(bob.id(), bob.endpoint));
    assert!(bob.machine.has_session(alice.id(), alice.endpoint));
    assert_eq!(alice.machine.statistics().sessions_initiated, 1);
    assert_eq!(bob.machine.statistics().sessions_accepted, 1);
    let is_told = |peer: &Peer, other: &Peer| {
        let told =
            |e: &Event| matches!(e, Event::SessionEstablished { id, .. } if *id == other.id());
        peer.events.iter().filter(|event| told(event)).count() == 1
    };
    assert!(is_told(alice, bob) && is_told(bob, alice));
}

#[test]
fn within_a_session_an_answer_takes_one() {
    let mut world = World::of(2);
    let bob = world.peers[1].node();
    world.ping(0, &bob);
    world.run(ms(50));
    let query = world.ping(0, &bob);
    world.run(ms(20));
    assert!(world.peers[0].is_ponged(query));
}

#[test]
fn a_node_is_asked_by_its_key_alone() {
    let mut world = World::of(2);
    let bob = &world.peers[1];
    let host = Some(devp2p_core::Host::Ip(bob.endpoint.ip()));
    let bob = Node::new(bob.key.public_key(), host, 0, bob.endpoint.port());
    let query = world.ping(0, &bob);
    world.run(ms(40));
    assert!(world.peers[0].is_ponged(query));
}

#[test]
fn the_first_packet_has_the_size_of_the_message() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    for size in [0, 100, 700] {
        world.talk(0, &bob.node(), &vec![7; size]);
        let knock = world.sent_to(bob.endpoint)[0].bytes.len();
        assert!((size + 104..size + 110).contains(&knock), "{size}: {knock}");
        let message = bob.accept(&mut world, 0);
        assert_eq!(message.kind(), MessageKind::TalkRequest);
        bob.session = None;
        world.restart(0);
    }
}

#[test]
fn others_wait_for_the_first_handshake_and_follow_it() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    let queries: Vec<_> = (0..5).map(|_| world.ping(0, &bob.node())).collect();
    let ping = bob.accept(&mut world, 0);
    world.run(ms(100));
    assert!(bob.messages(&mut world).is_empty(), "the keys have proved nothing yet");
    bob.pong(&mut world, 0, &ping);
    let rest = bob.messages(&mut world);
    assert_eq!(rest.len(), 4);
    for ping in rest {
        bob.pong(&mut world, 0, &ping);
    }
    assert!(queries.iter().all(|&query| world.peers[0].is_ponged(query)));
}

#[test]
fn our_keys_are_used_only_after_a_response_decrypts() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    world.ping(0, &bob.node());
    let ping = bob.accept(&mut world, 0);
    assert!(!world.peers[0].machine.has_session(bob.id(), bob.endpoint));
    assert_eq!(world.peers[0].machine.statistics().sessions_initiated, 0);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].machine.has_session(bob.id(), bob.endpoint));
}

#[test]
fn a_handshake_that_is_not_answered_leaves_nothing() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    let queries = [world.ping(0, &bob.node()), world.ping(0, &bob.node())];
    world.run(ms(400));
    let ping = bob.accept(&mut world, 0);
    world.run(ms(499));
    assert!(world.peers[0].of(queries[0]).is_empty(), "the time begins anew");
    world.run(ms(1));
    for query in queries {
        let failed = Event::Failed { query, error: RequestError::Timeout };
        assert_eq!(world.peers[0].result(query), &failed);
    }
    assert_eq!(world.peers[0].machine.usage().requests, 0);
    // Its answer is late.
    bob.pong(&mut world, 0, &ping);
    assert!(!world.peers[0].machine.has_session(bob.id(), bob.endpoint));
}

#[test]
fn a_request_that_has_no_room_beside_a_handshake_follows_it() {
    let mut world = World::of(2);
    world.call(1, |machine, _| machine.register_talk("test".into()));
    let bob = world.peers[1].node();
    let query = world.talk(0, &bob, &[7; 1_150]);
    world.run(ms(50));
    let is_asked =
        |e: &Event| matches!(e, Event::TalkRequest { request, .. } if request.len() == 1_150);
    assert!(world.peers[1].events.iter().any(is_asked));
    world.run(secs(1));
    assert!(matches!(world.peers[0].result(query), Event::TalkResponse { .. }));

    // The same where the session is lost.
    world.restart(1);
    world.call(1, |machine, _| machine.register_talk("test".into()));
    let query = world.talk(0, &bob, &[7; 1_150]);
    world.run(secs(1));
    assert!(matches!(world.peers[0].result(query), Event::TalkResponse { .. }));
    let query = world.talk(0, &bob, &[7; 1_200]);
    let failed = Event::Failed { query, error: RequestError::TooLarge };
    assert_eq!(world.peers[0].result(query), &failed);
}

#[test]
fn a_challenge_is_sent_again_with_the_same_bytes() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    let nonce = alice.knock(&mut world, 0);
    let first = world.sent_to(alice.endpoint)[0].bytes.clone();
    assert_eq!(alice.whoareyou(&mut world).request_nonce(), nonce);
    world.run(ms(999));
    alice.knock(&mut world, 0);
    assert_eq!(world.sent_to(alice.endpoint)[0].bytes, first);
    assert_eq!(world.peers[0].machine.statistics().challenges_resent, 1);
    // It is good for one handshake.
    let whoareyou = alice.whoareyou(&mut world);
    alice.handshake(&mut world, 0, &whoareyou);
    assert_eq!(alice.answers(&mut world).len(), 1);
    // After a second it is another.
    let mut bob = Stranger::new(2);
    bob.knock(&mut world, 0);
    let first = bob.whoareyou(&mut world);
    world.run(ms(1_000));
    let nonce = bob.knock(&mut world, 0);
    let second = bob.whoareyou(&mut world);
    assert!(second != first && second.request_nonce() == nonce);
    bob.handshake(&mut world, 0, &first);
    assert!(bob.answers(&mut world).is_empty(), "the first is over");
}

#[test]
fn a_challenge_is_of_one_node_at_one_endpoint() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.knock(&mut world, 0);
    let whoareyou = alice.whoareyou(&mut world);
    let home = std::mem::replace(&mut alice.endpoint, addr("20.0.1.9:30304"));
    alice.handshake(&mut world, 0, &whoareyou);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    // Nor does anybody else use it up.
    let mut eve = Stranger::at(2, home);
    eve.handshake(&mut world, 0, &whoareyou);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 2);
    alice.endpoint = home;
    alice.handshake(&mut world, 0, &whoareyou);
    assert_eq!(alice.answers(&mut world).len(), 1);
}

#[test]
fn a_challenge_is_used_up_by_the_first_failed_attempt() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.knock(&mut world, 0);
    let whoareyou = alice.whoareyou(&mut world);
    let to = world.peers[0].machine.record().clone();
    let ping = alice.ping_message().to_bytes().unwrap();
    let good = alice.handshake_packet(&to, &whoareyou, &ping);
    let mut bad = good.to_vec();
    *bad.last_mut().unwrap() ^= 1;
    world.deliver(alice.endpoint, 0, &bad);
    assert_eq!(world.peers[0].dropped(DropCause::Handshake), 1);
    world.deliver(alice.endpoint, 0, &good);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    assert!(alice.receive(&mut world).is_empty());
    // Another one works.
    alice.connect(&mut world, 0);
}

#[test]
fn a_challenge_is_used_up_by_success_too() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.knock(&mut world, 0);
    let whoareyou = alice.whoareyou(&mut world);
    let to = world.peers[0].machine.record().clone();
    let ping = alice.ping_message().to_bytes().unwrap();
    let packet = alice.handshake_packet(&to, &whoareyou, &ping);
    world.deliver(alice.endpoint, 0, &packet);
    assert_eq!(alice.answers(&mut world).len(), 1);
    world.deliver(alice.endpoint, 0, &packet);
    assert!(alice.answers(&mut world).is_empty(), "a replay");
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
}

#[test]
fn whoareyou_without_a_request_or_from_elsewhere_is_ignored() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    let query = world.ping(0, &bob.node());
    let nonce = bob.unopened(&mut world);
    // Nobody asked anything with that.
    let other = devp2p_discv5::wire::Nonce::random(&mut bob.rng);
    bob.challenge(&mut world, 0, other);
    assert!(bob.receive(&mut world).is_empty());
    // The right one, from another port.
    let home = std::mem::replace(&mut bob.endpoint, addr("20.0.0.1:30304"));
    bob.challenge(&mut world, 0, nonce);
    bob.endpoint = home;
    assert!(world.sent.is_empty());
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 2);
    // From there.
    bob.challenge(&mut world, 0, nonce);
    let ping = bob.messages(&mut world).remove(0);
    // Once.
    bob.challenge(&mut world, 0, nonce);
    assert!(bob.receive(&mut world).is_empty());
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 3);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].is_ponged(query));
    // The request is over.
    bob.challenge(&mut world, 0, nonce);
    assert!(bob.receive(&mut world).is_empty());
}

#[test]
fn there_is_one_handshake_with_a_node_at_a_time() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    bob.connect(&mut world, 0);
    bob.session = None;
    let (first, second) = (world.ping(0, &bob.node()), world.ping(0, &bob.node()));
    let got = bob.receive(&mut world);
    let [Got::Unopened(one), Got::Unopened(two)] = got[..] else { panic!("{got:?}") };
    bob.challenge(&mut world, 0, one);
    let ping = bob.messages(&mut world).remove(0);
    bob.challenge(&mut world, 0, two);
    assert!(bob.receive(&mut world).is_empty());
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].is_ponged(first));
    // After that there may be another.
    bob.challenge(&mut world, 0, two);
    let ping = bob.messages(&mut world).remove(0);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].is_ponged(second));
}

#[test]
fn what_was_not_sent_yet_cannot_be_answered() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    bob.connect(&mut world, 0);
    let old = bob.session.take();
    world.ping(0, &bob.node());
    let mut ping = bob.accept(&mut world, 0);
    let waiting = world.ping(0, &bob.node());
    assert!(bob.receive(&mut world).is_empty());
    // He can guess which id it will have, and has the keys of before.
    bob.session = old;
    let id = u64::from_be_bytes(ping.request_id.as_bytes().try_into().unwrap());
    ping.request_id = (id + 1).into();
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].of(waiting).is_empty());
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
}

#[test]
fn a_whoareyou_that_was_lost_is_answered_when_it_comes_again() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    let first = world.ping(0, &bob.node());
    let nonce = bob.unopened(&mut world);
    world.run(ms(500));
    assert!(matches!(world.peers[0].result(first), Event::Failed { .. }));
    let second = world.ping(0, &bob.node());
    bob.unopened(&mut world);
    // It has one open still, and sends it again.
    bob.challenge(&mut world, 0, nonce);
    let ping = bob.messages(&mut world).remove(0);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].is_ponged(second));
}

#[test]
fn networks_with_other_protocol_ids_do_not_meet() {
    let mut world = World::new();
    let mut config = Config::default();
    config.protocol = ProtocolId::new(*b"other!");
    world.add(0, limited());
    world.add(1, config.clone());
    world.add(2, config);
    let nodes = [world.peers[1].node(), world.peers[2].node()];
    let queries = [world.ping(0, &nodes[0]), world.ping(1, &nodes[1])];
    world.run(secs(1));
    assert!(matches!(world.peers[0].result(queries[0]), Event::Failed { .. }));
    assert!(world.peers[1].is_ponged(queries[1]));
    assert_eq!(world.peers[1].dropped(DropCause::ProtocolId), 1);
    let id = world.peers[1].id();
    let packet = Masking::new(id, ProtocolId::default())
        .random_packet(nodes[1].id(), &mut devp2p_core::Rng::from_seed([1; 32]));
    assert!(!world.peers[1].machine.claims(&packet));
    assert!(!world.peers[0].machine.claims(&packet), "not to it");
}

#[test]
fn our_own_record_is_sent_where_it_is_not_known() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    world.ping(0, &bob.node());
    let nonce = bob.unopened(&mut world);
    bob.challenge(&mut world, 0, nonce);
    let sent = world.sent_to(bob.endpoint)[0].clone();
    let masking = masking(bob.id());
    let Ok(devp2p_discv5::wire::Packet::Handshake(packet)) = masking.decode(&sent.bytes) else {
        panic!("no handshake")
    };
    let own = world.peers[0].machine.record().clone();
    assert_eq!(packet.record().map(Record::decode), Some(Ok(own)));
}

#[test]
fn whoever_asks_nothing_we_understand_still_has_a_session() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.knock(&mut world, 0);
    let whoareyou = alice.whoareyou(&mut world);
    let to = world.peers[0].machine.record().clone();
    let packet = alice.handshake_packet(&to, &whoareyou, b"\x99nothing");
    world.deliver(alice.endpoint, 0, &packet);
    assert_eq!(world.peers[0].dropped(DropCause::Data), 1);
    assert!(world.peers[0].machine.has_session(alice.id(), alice.endpoint));
}

#[test]
fn a_ping_in_the_handshake_is_answered_to_where_it_came_from() {
    let mut world = World::one();
    // Its record says that it is somewhere else.
    let mut alice = Stranger::new(1);
    let elsewhere = alice.record();
    alice.endpoint = addr("99.1.2.3:7777");
    alice.knock(&mut world, 0);
    let whoareyou = alice.whoareyou(&mut world);
    let to = world.peers[0].machine.record().clone();
    let ping = alice.ping_message().to_bytes().unwrap();
    let endpoint = std::mem::replace(&mut alice.endpoint, addr_of(1));
    let packet = alice.handshake_packet(&to, &whoareyou, &ping);
    alice.endpoint = endpoint;
    world.deliver(endpoint, 0, &packet);
    assert!(world.sent_to(elsewhere.ip().map(|ip| (ip, 30303).into()).unwrap()).is_empty());
    let answers = alice.answers(&mut world);
    let [Message { body: Body::Pong(pong), .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(pong.endpoint(), endpoint);
}

#[test]
fn each_round_trip_of_a_handshake_may_take_as_long_as_an_answer() {
    let mut world = World::of(2);
    world.latency = ms(240);
    let bob = world.peers[1].node();
    let query = world.ping(0, &bob);
    world.run(ms(2 * 480));
    assert!(world.peers[0].is_ponged(query), "though both take longer than one may");
}
