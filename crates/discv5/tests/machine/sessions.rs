//! What becomes of sessions: lost, doubled, moved, forgotten.

use devp2p_core::Node;
use devp2p_discv5::{DropCause, Event, wire::PacketKind};

use crate::world::*;

#[test]
fn one_undecryptable_packet_never_ends_a_session() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    for _ in 0..3 {
        // Anybody can send this in her name.
        alice.knock(&mut world, 0);
        assert!(alice.is_answered(&mut world, 0));
    }
    // A handshake that fails does not end it either.
    let whoareyou = {
        world.run(secs(2));
        alice.receive(&mut world);
        alice.knock(&mut world, 0);
        alice.whoareyou(&mut world)
    };
    let session = alice.session.take();
    let to = world.peers[0].machine.record().clone();
    let mut packet = alice.handshake_packet(&to, &whoareyou, b"nonsense").to_vec();
    *packet.last_mut().unwrap() ^= 1;
    world.deliver(alice.endpoint, 0, &packet);
    assert_eq!(world.peers[0].dropped(DropCause::Handshake), 1);
    alice.session = session;
    assert!(alice.is_answered(&mut world, 0));
}

#[test]
fn the_old_session_stays_until_the_new_one_has_proved_itself() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    let query = world.ping(0, &bob.node());
    let ping = bob.accept(&mut world, 0);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].is_ponged(query));
    let old = bob.session.take().unwrap();

    // Somebody who reads along says that Bob has lost it, and gets a handshake, but no answer.
    world.ping(0, &bob.node());
    bob.accept(&mut world, 0);
    bob.session = Some(old);
    assert!(bob.is_answered(&mut world, 0), "the keys are there");
    let waiting = world.ping(0, &bob.node());
    assert!(bob.messages(&mut world).is_empty());
    world.run(ms(500));
    // It goes out with the old keys.
    let messages = bob.messages(&mut world);
    assert_eq!(messages.len(), 1);
    bob.pong(&mut world, 0, &messages[0]);
    assert!(world.peers[0].is_ponged(waiting));
}

#[test]
fn what_was_sealed_before_a_new_handshake_is_opened_after_it() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    let mut old = alice.session.take();
    alice.connect(&mut world, 0);
    std::mem::swap(&mut alice.session, &mut old);
    assert!(alice.is_answered(&mut world, 0), "with the keys that it was asked with");
    std::mem::swap(&mut alice.session, &mut old);
    assert!(alice.is_answered(&mut world, 0));
}

#[test]
fn either_side_may_restart_in_the_middle_of_a_session() {
    for restarted in [0, 1] {
        let mut world = World::of(2);
        let nodes: Vec<Node> = world.peers.iter().map(Peer::node).collect();
        for round in 0..3 {
            let queries = [world.ping(0, &nodes[1]), world.ping(1, &nodes[0])];
            world.run(ms(200));
            assert!(world.peers[0].is_ponged(queries[0]), "{restarted} {round}");
            assert!(world.peers[1].is_ponged(queries[1]), "{restarted} {round}");
            world.restart(restarted);
            world.peers[restarted].events.clear();
        }
        // The one that stayed asks first.
        let stayed = 1 - restarted;
        let query = world.ping(stayed, &nodes[restarted]);
        world.run(ms(200));
        assert!(world.peers[stayed].is_ponged(query), "{restarted}");
    }
}

#[test]
fn crossing_handshakes_settle_on_one_session() {
    // Which of them has the smaller id, and which packet is first, must not matter.
    for (number, head_start) in
        (0..6).flat_map(|n| [0, 3, 9, 10, 11, 19, 20, 21, 29].map(|ms| (n, ms)))
    {
        let mut world = World::new();
        world.add(2 * number, limited());
        world.add(2 * number + 1, limited());
        let nodes: Vec<Node> = world.peers.iter().map(Peer::node).collect();
        let first = world.ping(0, &nodes[1]);
        world.run(ms(head_start));
        let second = world.ping(1, &nodes[0]);
        world.run(ms(300));
        assert!(world.peers[0].is_ponged(first), "{number} {head_start}");
        assert!(world.peers[1].is_ponged(second), "{number} {head_start}");
        // From now on everything is one packet there and one back.
        world.forget();
        for round in 0..3 {
            let queries = [world.ping(0, &nodes[1]), world.ping(1, &nodes[0])];
            world.run(ms(20));
            assert!(world.peers[0].is_ponged(queries[0]), "{number} {head_start} {round}");
            assert!(world.peers[1].is_ponged(queries[1]), "{number} {head_start} {round}");
        }
        let kinds = [world.kinds(0, 1), world.kinds(1, 0)].concat();
        assert!(kinds.iter().all(|&kind| kind == PacketKind::Ordinary), "{number} {head_start}");
    }
}

#[test]
fn of_two_handshakes_that_crossed_that_of_the_smaller_id_is_used() {
    for (number, is_ours_proved_first) in (1..7).flat_map(|n| [(n, true), (n, false)]) {
        let mut world = World::one();
        let mut bob = Stranger::new(number);
        // Both knock, and both are asked who they are.
        world.ping(0, &bob.node());
        let nonce = bob.unopened(&mut world);
        bob.knock(&mut world, 0);
        let whoareyou = bob.whoareyou(&mut world);
        bob.challenge(&mut world, 0, nonce);
        let ping = bob.messages(&mut world).remove(0);
        let ours = bob.session.take();
        let both = if is_ours_proved_first {
            bob.session = ours;
            bob.pong(&mut world, 0, &ping);
            let ours = bob.session.take();
            bob.handshake(&mut world, 0, &whoareyou);
            assert_eq!(bob.answers(&mut world).len(), 1);
            (ours, bob.session.take())
        } else {
            bob.handshake(&mut world, 0, &whoareyou);
            assert_eq!(bob.answers(&mut world).len(), 1);
            let theirs = std::mem::replace(&mut bob.session, ours);
            bob.pong(&mut world, 0, &ping);
            (bob.session.take(), theirs)
        };
        let is_ours_smaller = world.peers[0].id() < bob.id();
        bob.session = if is_ours_smaller { both.0 } else { both.1 };
        world.ping(0, &bob.node());
        let used = bob.messages(&mut world);
        assert_eq!(used.len(), 1, "{number} {is_ours_proved_first} {is_ours_smaller}");
    }
}

#[test]
fn what_waits_for_a_whoareyou_is_sent_when_the_other_side_comes_by_itself() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    let query = world.ping(0, &bob.node());
    bob.unopened(&mut world);
    bob.knock(&mut world, 0);
    let whoareyou = bob.whoareyou(&mut world);
    let to = world.peers[0].machine.record().clone();
    let ping = bob.ping_message().to_bytes().unwrap();
    let packet = bob.handshake_packet(&to, &whoareyou, &ping);
    world.deliver(bob.endpoint, 0, &packet);
    let messages = bob.messages(&mut world);
    let [ping, ..] = &messages[..] else { panic!("{messages:?}") };
    bob.pong(&mut world, 0, ping);
    assert!(world.peers[0].is_ponged(query));
}

#[test]
fn a_changed_address_means_a_new_handshake() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    alice.endpoint = addr("20.0.1.9:30304");
    assert!(!alice.is_answered(&mut world, 0));
    alice.ping_message();
    alice.connect(&mut world, 0);
    assert!(alice.is_answered(&mut world, 0));
    // At the old one she is still who she was.
    assert_eq!(world.peers[0].machine.usage().sessions, 2);
}

#[test]
fn there_is_room_for_so_many_sessions_and_those_in_use_stay() {
    let mut world = World::new();
    let mut config = limited();
    config.max_sessions = 8;
    world.add(0, config);
    let mut first = Stranger::new(1);
    first.connect(&mut world, 0);
    for number in 2..50 {
        Stranger::new(number).connect(&mut world, 0);
        assert!(first.is_answered(&mut world, 0));
        assert!(world.peers[0].machine.usage().sessions <= 8);
    }
    assert_eq!(world.peers[0].machine.statistics().sessions_evicted, 49 - 8);
}

#[test]
fn strangers_do_not_evict_those_whom_we_went_to_nor_these_all_strangers() {
    let mut world = World::new();
    let mut config = limited();
    config.max_sessions = 8;
    world.add(0, config);
    let mut visited: Vec<_> = (1..5).map(Stranger::new).collect();
    for bob in &mut visited {
        world.ping(0, &bob.node());
        let ping = bob.accept(&mut world, 0);
        bob.pong(&mut world, 0, &ping);
    }
    for number in 10..40 {
        Stranger::new(number).connect(&mut world, 0);
    }
    for bob in &mut visited {
        assert!(bob.is_answered(&mut world, 0));
    }
    for number in 50..80 {
        let mut bob = Stranger::new(number);
        world.ping(0, &bob.node());
        let ping = bob.accept(&mut world, 0);
        bob.pong(&mut world, 0, &ping);
    }
    let machine = &world.peers[0].machine;
    let strangers = (10..40).map(Stranger::new);
    assert_eq!(strangers.filter(|s| machine.has_session(s.id(), s.endpoint)).count(), 2);
    let mut late = Stranger::new(100);
    late.connect(&mut world, 0);
    assert!(late.is_answered(&mut world, 0));
}

#[test]
fn nobody_evicts_the_session_of_a_verified_node_of_the_table() {
    let mut world = World::new();
    let mut config = limited();
    config.max_sessions = 8;
    world.add(0, config);
    let mut bob = Stranger::new(1);
    let node = bob.node();
    world.call(0, |machine, now| machine.add_node(now, node));
    for _ in 0..100 {
        world.run(ms(100));
        bob.serve(&mut world, 0);
    }
    assert!(world.peers[0].machine.nodes().any(|node| node.id() == bob.id()));
    for number in 10..60 {
        let mut alice = Stranger::new(number);
        alice.connect(&mut world, 0);
        let mut carol = Stranger::new(number + 100);
        world.ping(0, &carol.node());
        let ping = carol.accept(&mut world, 0);
        carol.pong(&mut world, 0, &ping);
        assert!(world.peers[0].machine.has_session(bob.id(), bob.endpoint), "{number}");
    }
    assert!(bob.is_answered(&mut world, 0));
}

#[test]
fn no_answer_comes_from_who_was_not_asked() {
    let mut world = World::one();
    let (mut bob, mut eve) = (Stranger::new(1), Stranger::new(2));
    eve.connect(&mut world, 0);
    let query = world.ping(0, &bob.node());
    let ping = bob.accept(&mut world, 0);
    eve.pong(&mut world, 0, &ping);
    assert!(world.peers[0].of(query).is_empty());
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 1);
    bob.pong(&mut world, 0, &ping);
    assert!(world.peers[0].is_ponged(query));
    bob.pong(&mut world, 0, &ping);
    assert_eq!(world.peers[0].dropped(DropCause::Unsolicited), 2, "it is answered");
}

#[test]
fn a_cancelled_command_is_silent_and_its_handshake_serves_others() {
    let mut world = World::of(2);
    let bob = world.peers[1].node();
    let queries = [world.ping(0, &bob), world.ping(0, &bob), world.ping(0, &bob)];
    world.call(0, |machine, now| machine.cancel(now, queries[0]));
    world.call(0, |machine, now| machine.cancel(now, queries[1]));
    world.run(secs(1));
    assert!(world.peers[0].of(queries[0]).is_empty() && world.peers[0].of(queries[1]).is_empty());
    assert!(matches!(world.peers[0].result(queries[2]), Event::Pong { .. }));
    assert_eq!(world.peers[0].machine.usage().requests, 0);
}
