//! Whatever happens, in whatever order: no panic, everything stays within its bounds, and time goes
//! on.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{DiscoveryVersion, LanPolicy, NodeKey, Seed, WallClock};
use devp2p_discv4::{
    Config, Discv4, Event, Output, QueryId, Transmit,
    wire::{Datagram, Packet, PacketKind, Target},
};
use proptest::prelude::*;

use super::world::{START, Stranger, World, addr, key, neighbor, record, secs};

/// Something that happens to a machine.
#[derive(Clone, Debug)]
enum Op {
    /// A stranger sends a packet of its own.
    Send { stranger: u32, kind: u8 },
    /// A stranger answers the oldest datagram to it that it has not answered.
    Answer { stranger: u32, as_another: bool },
    /// The last datagram comes again, damaged or not.
    Replay { flip: Option<u8> },
    /// A command.
    Command { kind: u8, stranger: u32 },
    /// The command of so many commands ago is cancelled.
    Cancel { ago: usize },
    /// Time passes.
    Wait { millis: u32 },
    /// It passes until the machine has something to do.
    WaitForTimeout,
}

fn op() -> impl Strategy<Value = Op> {
    let stranger = || 100..112_u32;
    prop_oneof![
        4 => (stranger(), 0..6_u8).prop_map(|(stranger, kind)| Op::Send { stranger, kind }),
        6 => (stranger(), prop::bool::weighted(0.1))
            .prop_map(|(stranger, as_another)| Op::Answer { stranger, as_another }),
        1 => prop::option::of(any::<u8>()).prop_map(|flip| Op::Replay { flip }),
        2 => (0..9_u8, stranger()).prop_map(|(kind, stranger)| Op::Command { kind, stranger }),
        1 => (0..5_usize).prop_map(|ago| Op::Cancel { ago }),
        2 => (0..700_u32).prop_map(|millis| Op::Wait { millis }),
        1 => (0..40_000_000_u32).prop_map(|millis| Op::Wait { millis }),
        3 => Just(Op::WaitForTimeout),
    ]
}

/// Few of everything, so that the bounds are met.
fn config() -> Config {
    let mut config = Config::default();
    config.lan_policy = LanPolicy::Limit;
    config.max_bonds = 6;
    config.max_bonds_per_prefix = 3;
    config.max_requests = 8;
    config.max_ping_backs = 3;
    config.max_lookups = 2;
    config.max_waiting_lookups = 3;
    config.max_events = 500;
    config.rate_keys = 8;
    config
}

/// Three to a prefix, and of each three two at one address.
fn endpoint(stranger: u32) -> SocketAddr {
    let (prefix, host) = ((stranger / 3 % 256) as u8, (stranger % 3 / 2) as u8);
    SocketAddr::from(([66, 6, prefix, host], 30_303 + (stranger % 2) as u16))
}

struct Fixture {
    machine: Discv4,
    now: Instant,
    start: Instant,
    /// What was sent to each stranger, and not answered.
    inbox: VecDeque<Transmit>,
    last: Option<(SocketAddr, Bytes)>,
    queries: Vec<QueryId>,
    cancelled: Vec<QueryId>,
    /// The commands that ended.
    ends: Vec<QueryId>,
}

impl Fixture {
    fn new() -> Self {
        let world = World::new();
        let (now, own) = (world.now, key(0));
        let mut config = config();
        let boot = stranger(100);
        config.bootstrap_nodes = vec![boot.node()];
        let record = record(&own, 1, addr("20.0.0.9:30303"));
        let clock = WallClock::new(now, Duration::from_secs(START));
        let machine = Discv4::new(config, own, record, [3; 32], now, clock);
        Self {
            machine,
            now,
            start: now,
            inbox: VecDeque::new(),
            last: None,
            queries: Vec::new(),
            cancelled: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Send { stranger: number, kind } => {
                let packet = self.packet(number, kind);
                self.receive(number, &stranger(number).key, &packet);
            }
            Op::Answer { stranger: number, as_another } => {
                let Some(at) = self.inbox.iter().position(|t| t.to == endpoint(number)) else {
                    return;
                };
                let Some(sent) = self.inbox.remove(at) else { return };
                let datagram = Datagram::parse(&sent.bytes).unwrap();
                let signer = if as_another { key(999) } else { stranger(number).key };
                if let Some(packet) = self.answer(number, &datagram) {
                    self.receive(number, &signer, &packet);
                }
            }
            Op::Replay { flip } => {
                let Some((from, bytes)) = self.last.clone() else { return };
                let mut bytes = bytes.to_vec();
                if let Some(flip) = flip {
                    let at = usize::from(flip) % bytes.len();
                    bytes[at] ^= 1;
                }
                self.machine.handle_datagram(self.now, from, &bytes);
            }
            Op::Command { kind, stranger: number } => self.command(kind, number),
            Op::Cancel { ago } => {
                if let Some(&query) = self.queries.iter().rev().nth(ago) {
                    self.machine.cancel(self.now, query);
                    self.cancelled.push(query);
                }
            }
            Op::Wait { millis } => {
                self.now += Duration::from_millis(millis.into());
                self.machine.handle_timeout(self.now);
            }
            Op::WaitForTimeout => {
                self.now = self.now.max(self.machine.poll_timeout().unwrap());
                self.machine.handle_timeout(self.now);
            }
        }
    }

    fn command(&mut self, kind: u8, number: u32) {
        let (now, node) = (self.now, stranger(number).node());
        let target = Target::from(node.public_key());
        let machine = &mut self.machine;
        let query = match kind {
            0 => machine.lookup(now, target),
            1 => machine.lookup_random(now),
            2 => machine.resolve(now, node.public_key()),
            3 => machine.ping(now, &node),
            4 => machine.find_node(now, &node, target),
            5 => machine.request_enr(now, &node),
            6 => return machine.add_node(now, node),
            7 => {
                let own = key(0);
                let seq = 2 + u64::from(number);
                return machine.set_record(record(&own, seq, endpoint(number)));
            }
            _ => {
                let version = DiscoveryVersion::V4;
                let seed = Seed::new(node, endpoint(number), version, START - 100);
                return machine.add_seeds(now, vec![seed]);
            }
        };
        self.queries.push(query);
    }

    fn unix(&self) -> u64 {
        START + (self.now - self.start).as_secs()
    }

    fn packet(&self, number: u32, kind: u8) -> Packet {
        use devp2p_discv4::wire::{EnrRequest, EnrResponse, FindNode, Neighbors, Ping, Pong};
        let expiration = self.unix() + 20;
        let endpoint = devp2p_discv4::wire::Endpoint::new(endpoint(number), 30_303);
        match kind {
            0 => Packet::Ping(Ping {
                version: 4,
                from: endpoint,
                to: endpoint,
                expiration,
                enr_seq: Some(u64::from(number)),
            }),
            1 => Packet::FindNode(FindNode { target: Target::new([7; 64]), expiration }),
            2 => Packet::EnrRequest(EnrRequest { expiration }),
            3 => Packet::Pong(Pong { to: endpoint, ping_hash: [7; 32], expiration, enr_seq: None }),
            4 => Packet::Neighbors(Neighbors { nodes: named(number), expiration }),
            _ => Packet::EnrResponse(EnrResponse {
                request_hash: [7; 32],
                record: vec![0xc0].into(),
            }),
        }
    }

    fn answer(&self, number: u32, datagram: &Datagram<'_>) -> Option<Packet> {
        let hash = datagram.hash();
        let mut packet = match datagram.kind() {
            PacketKind::Ping => self.packet(number, 3),
            PacketKind::FindNode => self.packet(number, 4),
            PacketKind::EnrRequest => self.packet(number, 5),
            _ => return None,
        };
        match &mut packet {
            Packet::Pong(pong) => {
                pong.ping_hash = hash;
                pong.enr_seq = Some(u64::from(number % 4));
            }
            Packet::EnrResponse(response) => {
                response.request_hash = hash;
                let elsewhere = endpoint(number + number % 3);
                let record = record(&stranger(number).key, u64::from(number % 5), elsewhere);
                response.record = record.to_bytes();
            }
            _ => {}
        }
        Some(packet)
    }

    fn receive(&mut self, from: u32, signer: &NodeKey, packet: &Packet) {
        let bytes = packet.seal(signer).unwrap().bytes;
        self.machine.handle_datagram(self.now, endpoint(from), &bytes);
        self.last = Some((endpoint(from), bytes));
    }

    /// What must be so after everything that happens.
    fn check(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    assert!(transmit.bytes.len() <= 1_280);
                    self.inbox.push_back(transmit);
                }
                Output::Event(Event::LookupNode { query, .. }) => {
                    assert!(!self.ends.contains(&query), "{query} has ended");
                }
                Output::Event(event) => {
                    let ended = event.query();
                    let is_over = ended.is_some_and(|query| self.cancelled.contains(&query));
                    assert!(!is_over, "cancelled: {event:?}");
                    self.ends.extend(ended);
                }
                other => panic!("{other:?}"),
            }
        }
        self.inbox.drain(..self.inbox.len().saturating_sub(50));
        let usage = self.machine.usage();
        assert!(
            usage.bonds <= 6 && usage.requests <= 8 && usage.asks <= 8 && usage.ping_backs <= 3,
            "{usage:?}"
        );
        // Refreshes wait beside the others.
        assert!(usage.lookups <= 2 + 3 + 4 && usage.outputs == 0, "{usage:?}");
        let timeout = self.machine.poll_timeout().unwrap();
        assert!(timeout >= self.now, "something was due");
        assert_eq!(self.machine.nodes().count(), self.machine.table().len());
        for entry in self.machine.table().entries() {
            let (id, endpoint) = (entry.value().node().id(), entry.value().endpoint());
            assert_eq!(id.as_bytes(), entry.id().as_bytes());
            assert!(endpoint.port() > 1_024);
        }
    }
}

fn stranger(number: u32) -> Stranger {
    Stranger { key: key(number), endpoint: endpoint(number) }
}

/// Whom a stranger names: others, and some who do not exist.
fn named(number: u32) -> Vec<devp2p_discv4::wire::Neighbor> {
    (number..number + 12).map(|n| neighbor(n, endpoint(n % 3 + number))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_is_a_danger(ops in prop::collection::vec(op(), 1..200)) {
        let mut fixture = Fixture::new();
        fixture.check_at_start();
        for op in &ops {
            fixture.apply(op);
            fixture.check();
        }
        // Nobody answers any more, and so all that is under way ends.
        let end = fixture.now + secs(120);
        while fixture.now < end {
            fixture.apply(&Op::WaitForTimeout);
            fixture.check();
        }
        assert_eq!(fixture.machine.statistics().events_lost, 0);
        for query in &fixture.queries {
            let ends = fixture.ends.iter().filter(|ended| *ended == query).count();
            let is_cancelled = fixture.cancelled.contains(query);
            assert!(ends == 1 || ends == 0 && is_cancelled, "{query} ended {ends} times");
        }
    }
}

impl Fixture {
    fn check_at_start(&mut self) {
        assert_eq!(self.machine.poll_timeout(), Some(self.now), "it begins at once");
        self.machine.handle_timeout(self.now);
        self.check();
    }
}
