//! Requests of other protocols.

use bytes::Bytes;
use devp2p_core::Fault;
use devp2p_discv5::{
    Event, RespondError, TalkId,
    message::{Body, Message},
};

use crate::world::*;

fn asked(world: &World, peer: usize) -> Vec<TalkId> {
    let talk = |event: &Event| match event {
        Event::TalkRequest { talk, .. } => Some(*talk),
        _ => None,
    };
    world.peers[peer].events.iter().filter_map(talk).collect()
}

fn responses(messages: &[Message]) -> Vec<&[u8]> {
    let mut responses = Vec::new();
    for message in messages {
        if let Body::TalkResponse(talk) = &message.body {
            responses.push(&*talk.response);
        }
    }
    responses
}

#[test]
fn a_registered_protocol_answers() {
    let mut world = World::of(2);
    world.call(1, |machine, _| machine.register_talk("test".into()));
    let bob = world.peers[1].node();
    let query = world.talk(0, &bob, b"question");
    world.run(ms(35));
    let alice = (world.peers[0].id(), world.peers[0].endpoint);
    let talk = asked(&world, 1)[0];
    let told = Event::TalkRequest {
        talk,
        id: alice.0,
        endpoint: alice.1,
        protocol: "test".into(),
        request: "question".into(),
    };
    assert!(world.peers[1].events.contains(&told));
    world.call(1, |machine, now| machine.respond(now, talk, "answer".into())).unwrap();
    world.run(ms(10));
    let response = Bytes::from_static(b"answer");
    assert_eq!(world.peers[0].result(query), &Event::TalkResponse { query, response });
    assert_eq!(world.peers[1].machine.usage().talks, 0);
}

#[test]
fn an_unknown_protocol_gets_an_empty_answer_at_once() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    world.call(0, |machine, _| machine.register_talk("known".into()));
    let id = alice.talk(&mut world, 0, b"unknown");
    let answers = alice.answers(&mut world);
    assert_eq!((answers[0].request_id, responses(&answers)), (id, vec![&[][..]]));
    assert!(asked(&world, 0).is_empty());
    // So does one that is not served any more.
    assert!(world.call(0, |machine, _| machine.unregister_talk(b"known")));
    assert!(!world.call(0, |machine, _| machine.unregister_talk(b"known")));
    alice.talk(&mut world, 0, b"known");
    assert_eq!(responses(&alice.answers(&mut world)), [b""]);
    assert_eq!(world.peers[0].machine.statistics().talks_unanswered, 2);
}

#[test]
fn who_is_not_answered_within_400_ms_gets_an_empty_answer() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    world.call(0, |machine, _| machine.register_talk("test".into()));
    alice.talk(&mut world, 0, b"test");
    world.run(ms(399));
    assert!(alice.answers(&mut world).is_empty());
    world.run(ms(1));
    assert_eq!(responses(&alice.answers(&mut world)), [b""]);
    let talk = asked(&world, 0)[0];
    let late = world.call(0, |machine, now| machine.respond(now, talk, "late".into()));
    assert_eq!(late, Err(RespondError::Late));
    assert_eq!(RespondError::Late.fault(), Fault::Local);
    assert!(alice.answers(&mut world).is_empty());
}

#[test]
fn an_answer_is_given_once_and_has_to_fit() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    world.call(0, |machine, _| machine.register_talk("test".into()));
    alice.talk(&mut world, 0, b"test");
    let talk = asked(&world, 0)[0];
    let mut respond =
        |size| world.call(0, |machine, now| machine.respond(now, talk, vec![7; size].into()));
    assert_eq!(respond(1_190), Err(RespondError::TooLarge));
    assert_eq!(respond(1_170), Ok(()));
    assert_eq!(respond(1), Err(RespondError::Late));
    assert_eq!(responses(&alice.answers(&mut world)), [&[7; 1_170]]);
}

#[test]
fn only_1024_wait_and_a_ping_is_answered_all_the_same() {
    let mut world = World::new();
    let mut config = limited();
    // What a session may ask is another matter.
    config.session_rate.interval = ms(0);
    config.session_prefix_rate.interval = ms(0);
    world.add(0, config);
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    world.call(0, |machine, _| machine.register_talk("test".into()));
    for _ in 0..1_024 {
        alice.talk(&mut world, 0, b"test");
    }
    assert_eq!(world.peers[0].machine.usage().talks, 1_024);
    assert!(alice.answers(&mut world).is_empty());
    alice.talk(&mut world, 0, b"test");
    assert_eq!(responses(&alice.answers(&mut world)), [b""]);
    assert!(alice.is_answered(&mut world, 0));
    world.run(ms(400));
    assert_eq!(alice.answers(&mut world).len(), 1_024);
    assert_eq!(world.peers[0].machine.usage().talks, 0);
}

#[test]
fn an_answer_uses_the_keys_of_its_question() {
    let mut world = World::one();
    let mut alice = Stranger::new(1);
    alice.connect(&mut world, 0);
    world.call(0, |machine, _| machine.register_talk("test".into()));
    alice.talk(&mut world, 0, b"test");
    let old = alice.session.take();
    alice.connect(&mut world, 0);
    let talk = asked(&world, 0)[0];
    world.call(0, |machine, now| machine.respond(now, talk, "answer".into())).unwrap();
    alice.session = old;
    assert_eq!(responses(&alice.answers(&mut world)), [b"answer"]);
}
