//! Rates and numbers: they drop, and do not ban.

use devp2p_discv5::{Config, DropCause, Event, RequestError, Statistics};

use crate::world::*;

#[test]
fn strangers_of_one_prefix_share_a_rate_and_are_not_banned() {
    let mut world = World::one();
    for number in 0..200 {
        let [_, _, a, b] = u32::to_be_bytes(number);
        Stranger::at(number + 100, addr(&format!("66.6.6.{a}:{}", 2_000 + u32::from(b))))
            .knock(&mut world, 0);
    }
    assert_eq!(world.sent.len(), 120);
    assert_eq!(world.peers[0].dropped(DropCause::StrangerRate), 80);
    // Others are not concerned.
    Stranger::new(1).connect(&mut world, 0);
    // And the prefix is back at once.
    world.run(ms(100));
    Stranger::at(99, addr("66.6.6.99:3000")).connect(&mut world, 0);
}

#[test]
fn who_sends_again_gets_the_same_only_at_that_rate() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    for _ in 0..200 {
        alice.knock(&mut world, 0);
    }
    assert_eq!(world.sent_to(alice.endpoint).len(), 120);
}

#[test]
fn neighbours_in_a_local_network_are_exempt_where_the_policy_says_so() {
    let mut world = World::new();
    let mut config = Config::default();
    config.refresh_lookups = 0;
    world.add(0, config);
    let mut alice = Stranger::at(1, addr("10.0.0.1:30303"));
    for _ in 0..200 {
        alice.knock(&mut world, 0);
    }
    assert_eq!(world.sent_to(alice.endpoint).len(), 200);
}

#[test]
fn a_session_has_a_rate_of_its_own() {
    let mut world = World::one();
    let (mut alice, mut bob) = (Stranger::new(1), Stranger::new(2));
    alice.connect(&mut world, 0);
    bob.connect(&mut world, 0);
    let answered = (0..200).filter(|_| alice.is_answered(&mut world, 0)).count();
    // The first was in the handshake.
    assert_eq!(answered, 119);
    assert_eq!(world.peers[0].dropped(DropCause::SessionRate), 81);
    assert!(bob.is_answered(&mut world, 0));
    // A flood of strangers in her prefix takes nothing from her.
    world.run(secs(1));
    for number in 100..400 {
        Stranger::at(number, addr("20.0.0.77:4000")).knock(&mut world, 0);
    }
    let answered = (0..60).filter(|_| alice.is_answered(&mut world, 0)).count();
    assert!(answered >= 58, "{answered}");
}

#[test]
fn answers_to_our_requests_count_against_no_rate() {
    let mut world = World::one();
    let mut bob = Stranger::new(1);
    bob.connect(&mut world, 0);
    while bob.is_answered(&mut world, 0) {}
    for _ in 0..200 {
        let query = world.ping(0, &bob.node());
        let ping = bob.messages(&mut world).pop().unwrap();
        bob.pong(&mut world, 0, &ping);
        assert!(world.peers[0].is_ponged(query));
    }
}

#[test]
fn only_so_many_handshakes_are_checked_in_all() {
    let mut world = World::new();
    let mut config = limited();
    config.handshake_rate_total.burst = 3;
    world.add(0, config);
    let mut strangers: Vec<_> = (1..=4).map(Stranger::new).collect();
    let challenges: Vec<_> = strangers
        .iter_mut()
        .map(|stranger| {
            stranger.knock(&mut world, 0);
            stranger.whoareyou(&mut world)
        })
        .collect();
    for (stranger, whoareyou) in strangers.iter_mut().zip(&challenges) {
        stranger.handshake(&mut world, 0, whoareyou);
    }
    assert_eq!(world.peers[0].dropped(DropCause::HandshakeRate), 1);
    assert_eq!(world.peers[0].machine.usage().sessions, 3);
    // It was not an attempt: the challenge is still open.
    world.run(ms(10));
    strangers[3].handshake(&mut world, 0, &challenges[3]);
    assert_eq!(world.peers[0].machine.usage().sessions, 4);
}

#[test]
fn our_own_requests_are_bounded_for_each_node_and_in_all() {
    let mut world = World::new();
    let mut config = limited();
    (config.max_requests, config.max_requests_per_peer) = (6, 4);
    world.add(0, config);
    let nodes = [1, 2].map(|number| Stranger::new(number).node());
    let busy = |world: &World, query| {
        world.peers[0].of(query) == [&Event::Failed { query, error: RequestError::Busy }]
    };
    let first: Vec<_> = (0..5).map(|_| world.ping(0, &nodes[0])).collect();
    let second: Vec<_> = (0..5).map(|_| world.ping(0, &nodes[1])).collect();
    let busy = |queries: &[_]| queries.iter().filter(|&&query| busy(&world, query)).count();
    assert_eq!((busy(&first), busy(&second)), (1, 3));
    assert_eq!(world.peers[0].machine.usage().requests, 6);
    world.run(secs(1));
    assert_eq!(world.peers[0].machine.usage().requests, 0);
}

#[test]
fn an_idle_machine_waits_for_nothing_of_the_packets() {
    let mut world = World::of(2);
    let bob = world.peers[1].node();
    let query = world.ping(0, &bob);
    world.run(secs(2));
    assert!(world.peers[0].is_ponged(query));
    let usage = world.peers[0].machine.usage();
    assert_eq!((usage.requests, usage.talks, usage.outputs), (0, 0, 0));
}

#[test]
fn what_one_machine_has_heard_of_a_prefix_does_not_concern_another() {
    let mut world = World::of(2);
    let mut eve = Stranger::at(9, addr("66.6.6.9:2000"));
    for _ in 0..200 {
        eve.knock(&mut world, 0);
    }
    assert_ne!(world.peers[0].dropped(DropCause::StrangerRate), 0);
    assert_eq!(world.peers[1].machine.statistics(), &Statistics::default());
    eve.receive(&mut world);
    Stranger::at(8, addr("66.6.6.8:2000")).connect(&mut world, 1);
}
