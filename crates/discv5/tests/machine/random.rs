//! Whatever happens, in whatever order: no panic, everything stays within its bounds, and time goes
//! on.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use bytes::Bytes;
use devp2p_core::Record;
use devp2p_discv5::{
    Config, Event, QueryId, TalkId,
    message::{Body, FindNode, Message, MessageKind, Nodes, TalkRequest, TalkResponse},
    wire::{Nonce, WhoAreYou},
};
use proptest::prelude::*;

use crate::world::*;

/// Something that happens to a machine.
#[derive(Clone, Debug)]
enum Op {
    /// A stranger sends what nobody can open.
    Knock { stranger: usize },
    /// It answers the last WHOAREYOU, well or badly.
    Handshake { stranger: usize, flip: Option<u8> },
    /// It sends a message within its session.
    Send { stranger: usize, kind: u8 },
    /// It asks the sender of the last packet that it could not open who that is.
    Challenge { stranger: usize },
    /// It answers the oldest request that it has not answered.
    Answer { stranger: usize, kind: u8 },
    /// It forgets its keys, or is somewhere else from now on.
    Forget { stranger: usize, moves: bool },
    /// The last datagram of anybody comes again, damaged or not.
    Replay { flip: Option<u8> },
    /// A command.
    Command { kind: u8, stranger: usize },
    /// The command of so many commands ago is cancelled.
    Cancel { ago: usize },
    /// The user answers the oldest TALKREQ.
    Respond { size: usize },
    /// Time passes.
    Wait { millis: u32 },
    /// It passes until the machine has something to do.
    WaitForTimeout,
}

const STRANGERS: usize = 9;

fn op() -> impl Strategy<Value = Op> {
    let stranger = || 0..STRANGERS;
    let flip = || prop::option::weighted(0.2, any::<u8>());
    prop_oneof![
        4 => stranger().prop_map(|stranger| Op::Knock { stranger }),
        4 => (stranger(), flip()).prop_map(|(stranger, flip)| Op::Handshake { stranger, flip }),
        4 => (stranger(), 0..7_u8).prop_map(|(stranger, kind)| Op::Send { stranger, kind }),
        6 => stranger().prop_map(|stranger| Op::Challenge { stranger }),
        6 => (stranger(), 0..5_u8).prop_map(|(stranger, kind)| Op::Answer { stranger, kind }),
        1 => (stranger(), any::<bool>())
            .prop_map(|(stranger, moves)| Op::Forget { stranger, moves }),
        1 => flip().prop_map(|flip| Op::Replay { flip }),
        4 => (0..10_u8, stranger()).prop_map(|(kind, stranger)| Op::Command { kind, stranger }),
        1 => (0..5_usize).prop_map(|ago| Op::Cancel { ago }),
        1 => (0..1_300_usize).prop_map(|size| Op::Respond { size }),
        2 => (0..700_u32).prop_map(|millis| Op::Wait { millis }),
        1 => (0..4_000_000_u32).prop_map(|millis| Op::Wait { millis }),
        3 => Just(Op::WaitForTimeout),
    ]
}

/// Few of everything, so that the bounds are met.
fn config() -> Config {
    let mut config = limited();
    config.max_sessions = 5;
    config.max_challenges = 4;
    config.max_requests = 8;
    config.max_requests_per_peer = 4;
    config.max_talks = 3;
    config.max_records = 4;
    config.max_lookups = 2;
    config.max_waiting_lookups = 3;
    config.max_events = 500;
    config.rate_keys = 8;
    config.stranger_prefixes = 8;
    config
}

/// Three to a prefix.
fn endpoint(stranger: usize, moves: u16) -> SocketAddr {
    let [prefix, host] = [stranger / 3, stranger % 3].map(|part| u8::try_from(part).unwrap());
    SocketAddr::from(([66, 6, prefix, host], 30_303 + moves))
}

struct Known {
    stranger: Stranger,
    whoareyou: Option<WhoAreYou>,
    unopened: Option<Nonce>,
    requests: Vec<Message>,
    moves: u16,
}

struct Fixture {
    world: World,
    strangers: Vec<Known>,
    last: Option<(SocketAddr, Bytes)>,
    queries: Vec<QueryId>,
    cancelled: BTreeSet<QueryId>,
    ends: Vec<QueryId>,
    talks: Vec<TalkId>,
}

impl Fixture {
    fn new() -> Self {
        let strangers: Vec<_> = (0..STRANGERS)
            .map(|at| Known {
                stranger: Stranger::at(100 + u32::try_from(at).unwrap(), endpoint(at, 0)),
                whoareyou: None,
                unopened: None,
                requests: Vec::new(),
                moves: 0,
            })
            .collect();
        let mut config = config();
        config.bootstrap_nodes = vec![strangers[0].stranger.node()];
        let mut world = World::new();
        world.add(0, config);
        world.call(0, |machine, _| machine.register_talk("test".into()));
        let (queries, ends, talks) = (Vec::new(), Vec::new(), Vec::new());
        Self { world, strangers, last: None, queries, cancelled: BTreeSet::new(), ends, talks }
    }

    fn apply(&mut self, op: &Op) {
        let world = &mut self.world;
        match *op {
            Op::Knock { stranger } => {
                self.strangers[stranger].stranger.knock(world, 0);
            }
            Op::Handshake { stranger, flip } => {
                let known = &mut self.strangers[stranger];
                let Some(whoareyou) = known.whoareyou.take() else { return };
                let to = world.peers[0].machine.record().clone();
                let ping = known.stranger.ping_message().to_bytes().unwrap();
                let packet = known.stranger.handshake_packet(&to, &whoareyou, &ping);
                let packet = damaged(&packet, flip);
                self.last = Some((known.stranger.endpoint, packet.clone()));
                world.deliver(known.stranger.endpoint, 0, &packet);
            }
            Op::Send { stranger, kind } => {
                let stranger = &mut self.strangers[stranger].stranger;
                if stranger.session.is_none() {
                    return;
                }
                let body = body(stranger, kind);
                let message = stranger.request(body);
                stranger.send(world, 0, &message);
            }
            Op::Challenge { stranger } => {
                let known = &mut self.strangers[stranger];
                let Some(nonce) = known.unopened.take() else { return };
                known.stranger.challenge(world, 0, nonce);
            }
            Op::Answer { stranger, kind } => self.answer(stranger, kind),
            Op::Forget { stranger, moves } => {
                let known = &mut self.strangers[stranger];
                known.stranger.session = None;
                if moves {
                    known.moves = (known.moves + 1) % 3;
                    known.stranger.endpoint = endpoint(stranger, known.moves);
                }
            }
            Op::Replay { flip } => {
                let Some((from, bytes)) = self.last.clone() else { return };
                world.deliver(from, 0, &damaged(&bytes, flip));
            }
            Op::Command { kind, stranger } => self.command(kind, stranger),
            Op::Cancel { ago } => {
                if let Some(&query) = self.queries.iter().rev().nth(ago) {
                    world.call(0, |machine, now| machine.cancel(now, query));
                    self.cancelled.insert(query);
                }
            }
            Op::Respond { size } => {
                if self.talks.is_empty() {
                    return;
                }
                let talk = self.talks.remove(0);
                // It may be late, or too large.
                let _ = world
                    .call(0, |machine, now| machine.respond(now, talk, Bytes::from(vec![7; size])));
            }
            Op::Wait { millis } => world.run(Duration::from_millis(millis.into())),
            Op::WaitForTimeout => {
                let due = world.peers[0].machine.poll_timeout().unwrap();
                world.run(due.saturating_duration_since(world.now));
            }
        }
    }

    fn answer(&mut self, stranger: usize, kind: u8) {
        let known = &mut self.strangers[stranger];
        if known.requests.is_empty() || known.stranger.session.is_none() {
            return;
        }
        let request = known.requests.remove(0);
        let records: Vec<_> = (0..3).map(|n| named(n).to_bytes()).collect();
        let response = Bytes::from_static(b"answer");
        let body = match (kind, request.kind()) {
            (0, _) => Body::Nodes(Nodes { total: 3, records }),
            (1, MessageKind::FindNode) => {
                let records = vec![known.stranger.record().to_bytes()];
                Body::Nodes(Nodes { total: 1, records })
            }
            (_, MessageKind::FindNode) => Body::Nodes(Nodes { total: 1, records }),
            (_, MessageKind::Ping) => {
                return known.stranger.pong(&mut self.world, 0, &request);
            }
            _ => Body::TalkResponse(TalkResponse { response }),
        };
        let message = Message { request_id: request.request_id, body };
        known.stranger.send(&mut self.world, 0, &message);
    }

    fn command(&mut self, kind: u8, stranger: usize) {
        let node = self.strangers[stranger].stranger.node();
        let query = self.world.call(0, |machine, now| {
            Some(match kind {
                0 => machine.lookup(now, node.id()),
                1 => machine.lookup_random(now),
                2 => machine.resolve(now, node.id()),
                3 => machine.ping(now, &node),
                4 => machine.find_node(now, &node, vec![256, 255, 0]),
                5 => machine.request_enr(now, &node),
                6 => machine.talk(now, &node, "test".into(), vec![7; 1_000].into()),
                7 => machine.lookup_where(now, node.id(), 2, Box::new(|r| r.seq() > 1)),
                8 => {
                    machine.add_node(now, node);
                    return None;
                }
                _ => {
                    let own = record(&key(0), 2 + machine.record().seq(), addr_of(0));
                    machine.set_record(own);
                    return None;
                }
            })
        });
        self.queries.extend(query);
    }

    /// Hands out what was sent, and looks at what is kept.
    fn check(&mut self) {
        for known in &mut self.strangers {
            if let Some(sent) = self.world.sent_to(known.stranger.endpoint).last() {
                self.last = Some((known.stranger.endpoint, sent.bytes.clone()));
            }
            for got in known.stranger.receive_any(&mut self.world) {
                match got {
                    Got::Message(message) if message.kind().is_request() => {
                        known.requests.push(message);
                    }
                    Got::Message(_) => {}
                    Got::Unopened(nonce) => known.unopened = Some(nonce),
                    Got::WhoAreYou(whoareyou) => known.whoareyou = Some(whoareyou),
                }
            }
        }
        self.world.forget();
        for event in std::mem::take(&mut self.world.peers[0].events) {
            if let Event::TalkRequest { talk, .. } = event {
                self.talks.push(talk);
            }
            let Some(query) = event.query() else { continue };
            assert!(!self.cancelled.contains(&query), "{event:?} of a cancelled command");
            if !matches!(event, Event::LookupNode { .. }) {
                assert!(!self.ends.contains(&query), "{event:?} ends a command twice");
                self.ends.push(query);
            }
        }
        let machine = &self.world.peers[0].machine;
        let (usage, config) = (machine.usage(), machine.config());
        assert!(usage.sessions <= config.max_sessions, "{usage:?}");
        // Some handshakes have a request of their own, one for each peer.
        assert!(usage.requests <= config.max_requests + STRANGERS * 3, "{usage:?}");
        assert!(usage.talks <= config.max_talks, "{usage:?}");
        assert_eq!(usage.outputs, 0);
        let statistics = machine.statistics();
        assert!(statistics.bytes_to_unproven <= statistics.bytes_from_unproven);
        assert!(machine.poll_timeout().is_some());
    }
}

fn damaged(bytes: &[u8], flip: Option<u8>) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(flip) = flip {
        let at = usize::from(flip) % bytes.len();
        bytes[at] ^= 1;
    }
    bytes.into()
}

fn named(number: u32) -> Record {
    record(&key(500 + number), 1, addr_of(500 + number))
}

fn body(stranger: &mut Stranger, kind: u8) -> Body {
    let protocol = Bytes::from_static(if kind == 3 { b"test" } else { b"other" });
    match kind {
        0 => stranger.ping_message().body,
        1 => Body::FindNode(FindNode { distances: (0..=256).collect() }),
        2 => Body::FindNode(FindNode { distances: vec![] }),
        3 | 4 => Body::TalkRequest(TalkRequest { protocol, request: Bytes::new() }),
        5 => Body::Nodes(Nodes { total: 1, records: vec![] }),
        _ => Body::TalkResponse(TalkResponse { response: Bytes::new() }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_all_stays_in_bounds_and_every_command_ends(
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut fixture = Fixture::new();
        for op in &ops {
            fixture.apply(op);
            fixture.check();
        }
        // Nobody answers any more.
        for _ in 0..120 {
            fixture.world.run(secs(1));
            fixture.check();
        }
        for query in &fixture.queries {
            let is_over = fixture.ends.contains(query) || fixture.cancelled.contains(query);
            prop_assert!(is_over, "{query} goes on for ever");
        }
    }
}
