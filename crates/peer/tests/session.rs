//! The Session machine without IO: every bound, whatever the input.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{ConnectionError, Message};
use devp2p_peer::{
    Capability, Config, DisconnectReason, Event, SendError, Session, SharedCapability, Side, id,
    share_capabilities,
};
use proptest::prelude::*;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
    Instant::now()
}

fn shared(lengths: &[u64]) -> Vec<SharedCapability> {
    let own: Vec<_> = lengths
        .iter()
        .zip('a'..='z')
        .map(|(length, name)| (Capability::new(name, 1), *length))
        .collect();
    let remote: Vec<_> = own.iter().map(|(capability, _)| capability.clone()).collect();
    share_capabilities(&own, &remote)
}

fn session(config: &Config, lengths: &[u64], now: Instant) -> Session {
    Session::new(config, shared(lengths), [3; 32], now)
}

fn message(id: u64, size: usize) -> Message {
    Message { id, payload: Bytes::from(vec![0; size]) }
}

fn end(session: &mut Session) -> Option<(DisconnectReason, Side)> {
    while let Some(event) = session.poll_event() {
        if let Event::Ended(end) = event {
            return Some((end.reason, end.side));
        }
    }
    None
}

#[test]
fn ids_and_their_owners() {
    let now = start();
    let at = |id: u64| {
        let mut session = session(&Config::default(), &[2, 3], now);
        session.handle_message(now, message(id, 1));
        match session.poll_event() {
            Some(Event::Received(received)) => Ok((received.protocol, received.id)),
            Some(Event::Ended(end)) => Err(Some((end.reason, end.side))),
            _ => Err(None),
        }
    };
    assert_eq!(at(0x10), Ok((0, 0)));
    assert_eq!(at(0x11), Ok((0, 1)));
    assert_eq!(at(0x12), Ok((1, 0)));
    assert_eq!(at(0x14), Ok((1, 2)));
    for beyond in [0x15, 0x16, u64::MAX] {
        assert_eq!(at(beyond), Err(Some((DisconnectReason::ProtocolError, Side::Local))));
    }
    // What the base protocol has no message for yet is ignored, as is a second Hello.
    for ignored in (0x04..0x10).chain([id::HELLO, id::PONG]) {
        assert_eq!(at(ignored), Err(None));
    }
}

#[test]
fn the_first_end_counts() {
    let now = start();
    let mut session = session(&Config::default(), &[1], now);
    session.handle_message(now, DisconnectReason::TooManyPeers.message());
    session.disconnect(DisconnectReason::Quitting, None);
    session.handle_closed(None);
    assert_eq!(end(&mut session), Some((DisconnectReason::TooManyPeers, Side::Remote)));
    assert_eq!(session.poll_event(), None, "it is reported once");
    assert_eq!(session.poll_transmit(now), None, "a Disconnect is not answered");
    assert_eq!(session.poll_timeout(), None);
    assert!(!session.wants_message());
    assert_eq!(session.send(0, message(0, 1)), Err(SendError::Closed));
}

#[test]
fn our_disconnect_is_the_last_message() {
    let now = start();
    let mut session = session(&Config::default(), &[1], now);
    session.send(0, message(0, 1)).unwrap();
    session.handle_message(now, message(0x10, 7));
    session.disconnect(DisconnectReason::UselessPeer, None);
    let last = session.poll_transmit(now).unwrap();
    assert_eq!(last.message, DisconnectReason::UselessPeer.message());
    assert_eq!(session.poll_transmit(now), None);
    // What had arrived is still there.
    assert_eq!(session.receive(now, 0).unwrap().payload.len(), 7);
    assert_eq!(session.receive(now, 0), None);
}

#[test]
fn what_went_out_before_the_end_was_sent() {
    let now = start();
    for sent_in_time in [true, false] {
        let mut session = session(&Config::default(), &[1], now);
        session.send(0, message(0, 1)).unwrap();
        assert!(!session.is_sent(0));
        if sent_in_time {
            assert!(session.poll_transmit(now).is_some());
        }
        session.handle_message(now, Message { id: id::DISCONNECT, payload: Bytes::new() });
        assert_eq!(session.is_sent(0), sent_in_time);
    }
}

#[test]
fn a_broken_connection_is_told_nothing() {
    let now = start();
    let mut session = session(&Config::default(), &[1], now);
    session.disconnect(DisconnectReason::NetworkError, None);
    assert_eq!(session.poll_transmit(now), None);
}

/// Any message is a sign of life, and so are bytes that make none yet; for a while.
#[test]
fn signs_of_life() {
    let began = start();
    for (messages, bytes, lives) in [(false, false, 15), (true, false, 45), (false, true, 45)] {
        let mut session = session(&Config::default(), &[1], began);
        let pinged = session.poll_timeout().unwrap();
        session.handle_timeout(pinged);
        let mut now = pinged;
        while session.end().is_none() {
            now += Duration::from_secs(1);
            session.handle_timeout(now);
            if messages {
                session.handle_message(now, message(id::PING, 1));
            }
            if bytes {
                session.handle_progress(now);
            }
        }
        assert_eq!(now - pinged, Duration::from_secs(lives));
        assert_eq!(session.end().unwrap().reason, DisconnectReason::ReadTimeout);
    }
}

#[test]
fn what_ends_a_connection() {
    use DisconnectReason::*;
    let cases = [
        (None, NetworkError, Side::Remote),
        (Some(ConnectionError::Closed), NetworkError, Side::Remote),
        (Some(ConnectionError::Malformed("x")), ProtocolError, Side::Local),
        (Some(ConnectionError::ReadTimeout), ReadTimeout, Side::Local),
    ];
    for (error, reason, side) in cases {
        let mut session = session(&Config::default(), &[1], start());
        session.handle_closed(error.as_ref());
        assert_eq!(end(&mut session), Some((reason, side)), "{error:?}");
    }
}

/// A remote that says why and closes makes a write fail before its reason has been read.
#[test]
fn the_remotes_reason_after_a_failed_write() {
    let now = start();
    let mut told = session(&Config::default(), &[1], now);
    told.handle_write_failed(now, &ConnectionError::Closed);
    assert!(told.wants_message());
    assert_eq!(end(&mut told), None);
    told.handle_message(now, DisconnectReason::Quitting.message());
    assert_eq!(end(&mut told), Some((DisconnectReason::Quitting, Side::Remote)));

    let mut silent = session(&Config::default(), &[1], now);
    silent.handle_write_failed(now, &ConnectionError::WriteTimeout);
    let deadline = silent.poll_timeout().unwrap();
    assert!(deadline <= now + Duration::from_secs(1));
    silent.handle_timeout(deadline);
    assert_eq!(silent.end().unwrap().reason, DisconnectReason::NetworkError);
    let error = silent.end().unwrap().error.clone().unwrap();
    assert_eq!(error, ConnectionError::WriteTimeout.to_string(), "not that of the close");
}

/// A million pings: constant memory, a bounded number of pongs, and the remote is dropped.
#[test]
fn a_flood_of_pings() {
    let now = start();
    let mut patient = Config::default();
    patient.ping_excess = u32::MAX;
    let mut session = session(&patient, &[1], now);
    let mut pongs = 0;
    for _ in 0..1_000_000 {
        session.handle_message(now, message(id::PING, 1));
        // A sink that is ready now and then.
        if session.poll_transmit(now).is_some_and(|pong| pong.message.id == id::PONG) {
            pongs += 1;
        }
    }
    assert_eq!(pongs, patient.ping_burst);
    assert_eq!(session.held(), (0, 0));

    // Where the sink is not ready, one pong waits and no more.
    let mut blocked = self::session(&patient, &[1], now);
    for _ in 0..1_000 {
        blocked.handle_message(now, message(id::PING, 1));
    }
    assert_eq!(blocked.poll_transmit(now).unwrap().message.id, id::PONG);
    assert_eq!(blocked.poll_transmit(now), None);

    let config = Config::default();
    let mut strict = self::session(&config, &[1], now);
    let allowed = config.ping_burst + config.ping_excess;
    for _ in 0..allowed {
        strict.handle_message(now, message(id::PING, 1));
    }
    assert_eq!(end(&mut strict), None);
    strict.handle_message(now, message(id::PING, 1));
    assert_eq!(end(&mut strict), Some((DisconnectReason::ProtocolError, Side::Local)));
}

/// What is ignored is not free: Pongs that answer nothing, and ids that the base protocol leaves
/// unused.
#[test]
fn a_flood_of_what_is_ignored() {
    let now = start();
    let config = Config::default();
    let allowed = config.ping_burst + config.ping_excess;
    for id in [0x00, id::PONG].into_iter().chain(0x04..0x10) {
        let mut session = session(&config, &[1], now);
        for _ in 0..allowed {
            session.handle_message(now, message(id, 1));
            assert_eq!(session.poll_event(), None, "{id:#x}");
        }
        assert_eq!(session.poll_transmit(now), None, "nothing is answered");
        session.handle_message(now, message(id, 1));
        assert_eq!(end(&mut session), Some((DisconnectReason::ProtocolError, Side::Local)));
    }
    // All draw on one allowance.
    let mut mixed = session(&config, &[1], now);
    for index in 0..=allowed {
        assert_eq!(mixed.poll_event(), None);
        mixed.handle_message(now, message(2 + u64::from(index % 3), 1));
    }
    assert_eq!(end(&mut mixed), Some((DisconnectReason::ProtocolError, Side::Local)));
}

/// Pongs that answer a Ping cost nothing, also where several come at once after a pause of the
/// remote.
#[test]
fn answers_to_pings_are_free() {
    let mut now = start();
    let mut config = Config::default();
    (config.ping_burst, config.ping_refill) = (1, Duration::from_secs(1_000_000));
    config.ping_excess = 0;
    (config.pong_timeout, config.stall_timeout) = (Duration::from_secs(60), config.stall_timeout);
    let mut session = session(&config, &[1], now);
    for _ in 0..100 {
        for _ in 0..3 {
            now = session.poll_timeout().unwrap();
            session.handle_timeout(now);
            assert_eq!(session.poll_transmit(now).unwrap().message.id, id::PING);
        }
        for _ in 0..3 {
            session.handle_message(now, message(id::PONG, 1));
        }
        assert_eq!(end(&mut session), None);
    }
    session.handle_message(now, message(id::PONG, 1));
    assert_eq!(end(&mut session), None, "there is one token");
    session.handle_message(now, message(id::PONG, 1));
    assert_eq!(end(&mut session), Some((DisconnectReason::ProtocolError, Side::Local)));
}

/// One ping a second for an hour is a lot, and allowed.
#[test]
fn pings_at_the_refill_are_all_answered() {
    let mut now = start();
    let mut config = Config::default();
    config.ping_interval = Duration::from_secs(1_000_000);
    let mut session = session(&config, &[1], now);
    for _ in 0..3_600 {
        now += config.ping_refill;
        session.handle_message(now, message(id::PING, 1));
        assert_eq!(session.poll_transmit(now).unwrap().message.id, id::PONG);
    }
}

#[test]
fn a_message_beyond_the_budget_is_taken_whole() {
    let now = start();
    let mut config = Config::default();
    (config.inbound_bytes, config.outbound_bytes) = (10, 10);
    let mut session = session(&config, &[1], now);
    session.handle_message(now, message(0x10, 1 << 20));
    assert!(!session.wants_message());
    assert_eq!(session.receive(now, 0).unwrap().payload.len(), 1 << 20);
    assert!(session.wants_message());

    assert!(session.can_send(0));
    session.send(0, message(0, 1 << 20)).unwrap();
    assert!(!session.can_send(0));
    assert_eq!(session.send(0, message(0, 0)), Err(SendError::NotReady));
    assert_eq!(session.poll_transmit(now).unwrap().message.payload.len(), 1 << 20);
    assert!(session.can_send(0));
}

#[test]
fn what_cannot_be_sent() {
    let now = start();
    let config = Config::default();
    let mut session = session(&config, &[2], now);
    assert_eq!(session.send(0, message(2, 1)), Err(SendError::IdOutOfRange { id: 2, length: 2 }));
    let size = config.max_message + 1;
    assert_eq!(
        session.send(0, message(0, size)),
        Err(SendError::TooLarge { size, limit: config.max_message })
    );
    assert_eq!(session.send(1, message(0, 1)), Err(SendError::Closed));
    assert_eq!(end(&mut session), None, "the session goes on");
}

#[test]
fn reading_pauses_while_any_queue_is_full() {
    let mut now = start();
    let mut config = Config::default();
    config.inbound_messages = 2;
    let mut session = session(&config, &[1, 1], now);
    for id in [0x10, 0x11, 0x10] {
        assert!(session.wants_message());
        session.handle_message(now, message(id, 1));
    }
    assert!(!session.wants_message(), "the first is full");
    session.receive(now, 1).unwrap();
    assert!(!session.wants_message(), "the second does not matter");

    // A message that is taken starts the stall's time anew, and makes room.
    now += Duration::from_secs(29);
    session.receive(now, 0).unwrap();
    assert!(session.wants_message());
    session.handle_message(now, message(0x10, 1));
    now += Duration::from_secs(29);
    session.handle_timeout(now);
    assert_eq!(end(&mut session), None);
    now += Duration::from_secs(1);
    session.handle_timeout(now);
    assert_eq!(end(&mut session), Some((DisconnectReason::Subprotocol, Side::Local)));
}

/// While we do not read, the remote's answers wait where we cannot see them: no deadline runs, and
/// what comes afterwards tells nothing of the way.
#[test]
fn pings_during_a_pause_of_ours() {
    let began = start();
    let mut now = began;
    let mut config = Config::default();
    (config.inbound_messages, config.stall_timeout) = (1, Duration::from_secs(100));
    let mut session = session(&config, &[1], now);
    session.handle_message(now, message(0x10, 1));
    let mut pings = 0;
    while let Some(deadline) =
        session.poll_timeout().filter(|&at| at < began + config.stall_timeout)
    {
        now = deadline;
        session.handle_timeout(now);
        pings += session.poll_transmit(now).map_or(0, |_| 1);
    }
    assert!(pings >= 6, "they go on, for the remote to see that we live");
    assert_eq!(end(&mut session), None);

    session.receive(now, 0).unwrap();
    session.handle_message(now + Duration::from_secs(14), message(id::PONG, 1));
    assert_eq!(session.rtt(), None);

    // From here on, all is as before the pause.
    now = session.poll_timeout().unwrap();
    session.handle_timeout(now);
    assert_eq!(session.poll_transmit(now).unwrap().message.id, id::PING);
    session.handle_message(now + Duration::from_millis(80), message(id::PONG, 1));
    assert_eq!(session.rtt(), Some(Duration::from_millis(80)));
}

/// A deadline that was running when the pause began starts anew after it.
#[test]
fn a_ping_from_before_the_pause() {
    let mut now = start();
    let mut config = Config::default();
    config.inbound_messages = 1;
    let mut session = session(&config, &[1], now);
    now = session.poll_timeout().unwrap();
    session.handle_timeout(now);
    session.poll_transmit(now).unwrap();
    let pinged = now;
    session.handle_message(now, message(0x10, 1));
    now += Duration::from_secs(29);
    session.handle_timeout(now);
    session.receive(now, 0).unwrap();
    session.handle_timeout(now + Duration::from_secs(14));
    assert_eq!(end(&mut session), None);
    session.handle_timeout(now + Duration::from_secs(15));
    assert_eq!(end(&mut session), Some((DisconnectReason::ReadTimeout, Side::Local)));
    assert!(now - pinged > config.pong_timeout);
}

#[test]
fn round_robin_goes_on_where_it_stopped() {
    let now = start();
    let mut session = session(&Config::default(), &[1, 1, 1], now);
    for number in 0..4 {
        session.send(0, message(0, number)).unwrap();
    }
    let mut next = || session.poll_transmit(now).map(|sent| sent.protocol.unwrap());
    assert_eq!((next(), next()), (Some(0), Some(0)), "alone, nobody waits");
    session.send(2, message(0, 0)).unwrap();
    session.send(1, message(0, 0)).unwrap();
    session.send(1, message(0, 1)).unwrap();
    let order: Vec<_> =
        std::iter::from_fn(|| session.poll_transmit(now).map(|sent| sent.protocol.unwrap()))
            .collect();
    assert_eq!(order, [1, 2, 0, 1, 0]);
}

/// What a remote and the subprotocols may do.
#[derive(Clone, Debug)]
enum Step {
    Message(u64, usize),
    Take(usize),
    Send(usize, u64, usize),
    Transmit,
    Wait(u64),
    Sleep,
    Progress,
    WriteFailed,
    Discard(usize),
    Disconnect(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..0x20, 0_usize..3_000).prop_map(|(id, size)| Step::Message(id, size)),
        6 => (0x10_u64..0x17, 0_usize..3_000).prop_map(|(id, size)| Step::Message(id, size)),
        6 => (0_usize..4).prop_map(Step::Take),
        6 => (0_usize..4, 0_u64..5, 0_usize..3_000).prop_map(|(p, id, size)| Step::Send(p, id, size)),
        6 => Just(Step::Transmit),
        3 => (0_u64..20_000).prop_map(Step::Wait),
        1 => Just(Step::Sleep),
        1 => Just(Step::Progress),
        1 => Just(Step::WriteFailed),
        1 => (0_usize..4).prop_map(Step::Discard),
        1 => any::<u8>().prop_map(Step::Disconnect),
    ]
}

proptest! {
    /// No sequence of inputs goes beyond the bounds or panics, whether or not the caller asks
    /// `wants_message` first.
    #[test]
    fn bounds_hold(
        steps in proptest::collection::vec(step(), 0..400),
        polite: bool,
        ending in 0_usize..400,
    ) {
        let mut now = start();
        let mut config = Config::default();
        (config.inbound_messages, config.inbound_bytes) = (4, 5_000);
        (config.outbound_messages, config.outbound_bytes) = (3, 4_000);
        let mut session = session(&config, &[3, 2, 2], now);
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Message(id, size) => {
                    // Ends are rare, so that most runs are long.
                    let fatal = id == id::DISCONNECT || id >= 0x17;
                    if (!polite || session.wants_message()) && (!fatal || index >= ending) {
                        session.handle_message(now, message(id, size));
                    }
                }
                Step::Take(protocol) => { session.receive(now, protocol); }
                Step::Send(protocol, id, size) => { let _ = session.send(protocol, message(id, size)); }
                Step::Transmit => { session.poll_transmit(now); }
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    session.handle_timeout(now);
                }
                // To the next deadline; a caller that sleeps so must make progress.
                Step::Sleep => if let Some(deadline) = session.poll_timeout() {
                    now = now.max(deadline);
                    session.handle_timeout(now);
                    prop_assert!(session.poll_timeout().is_none_or(|next| next > now));
                },
                Step::Progress => session.handle_progress(now),
                Step::WriteFailed if index >= ending => {
                    session.handle_write_failed(now, &ConnectionError::Closed);
                }
                Step::Discard(protocol) if index >= ending => session.discard(now, protocol),
                Step::Disconnect(code) if index >= ending => {
                    session.disconnect(DisconnectReason::from_code(code), None);
                }
                _ => {}
            }
            while session.poll_event().is_some() {}
            let (messages, bytes) = session.held();
            prop_assert!(messages <= 3 * (4 + 3));
            prop_assert!(bytes <= 3 * (5_000 + 4_000 + 2 * 3_000));
        }
    }

    /// Whatever the interleaving, sizes and pauses, each subprotocol gets all of its messages, in
    /// their order, and so does the other side.
    #[test]
    fn messages_arrive_in_order_and_whole(
        plan in proptest::collection::vec((0_usize..3, 0_usize..2_000), 1..200),
        schedule in proptest::collection::vec(0_u8..4, 1..60),
        wire in 1_usize..6,
    ) {
        let now = start();
        let mut config = Config::default();
        (config.inbound_messages, config.inbound_bytes) = (3, 4_000);
        (config.outbound_messages, config.outbound_bytes) = (2, 3_000);
        let (mut left, mut right) =
            (session(&config, &[2, 2, 2], now), session(&config, &[2, 2, 2], now));
        let mut to_send: Vec<VecDeque<(usize, usize)>> = vec![VecDeque::new(); 3];
        for (number, &(protocol, size)) in plan.iter().enumerate() {
            to_send[protocol].push_back((number, size));
        }
        let expected = to_send.clone();
        let mut received: Vec<VecDeque<(usize, usize)>> = vec![VecDeque::new(); 3];
        let mut line = VecDeque::new();
        let total = plan.len();
        let mut arrived = 0;
        for round in 0.. {
            prop_assert!(round < 100_000, "it does not come to an end");
            // Every action has its turn, and the schedule gives some of them more.
            let action = if round % 2 == 0 { (round / 2 % 4) as u8 } else { schedule[round % schedule.len()] };
            match action {
                0 => for (protocol, queue) in to_send.iter_mut().enumerate() {
                    if left.can_send(protocol) && let Some((number, size)) = queue.pop_front() {
                        let mut payload = vec![0; size + 8];
                        payload[..8].copy_from_slice(&number.to_be_bytes());
                        let id = (number % 2) as u64;
                        left.send(protocol, Message { id, payload: payload.into() }).unwrap();
                    }
                },
                1 => if line.len() < wire && let Some(sent) = left.poll_transmit(now) {
                    line.push_back(sent.message);
                },
                2 => if right.wants_message() && let Some(message) = line.pop_front() {
                    right.handle_message(now, message);
                },
                _ => for (protocol, got) in received.iter_mut().enumerate() {
                    if let Some(message) = right.receive(now, protocol) {
                        let number = usize::from_be_bytes(message.payload[..8].try_into().unwrap());
                        prop_assert_eq!(message.id, (number % 2) as u64);
                        got.push_back((number, message.payload.len() - 8));
                        arrived += 1;
                    }
                },
            }
            if arrived == total {
                break;
            }
        }
        prop_assert_eq!(received, expected);
        prop_assert_eq!((left.held(), right.held()), ((0, 0), (0, 0)));
    }
}
