//! Machines, a clock, and the datagrams between them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{Host, LanPolicy, Node, NodeId, NodeKey, Record, WallClock};
use devp2p_discv4::{
    Config, Discv4, DropCause, Event, Output, QueryId, Transmit,
    wire::{
        Datagram, Endpoint, EnrRequest, EnrResponse, FindNode, Hash, Neighbor, Neighbors, Packet,
        PacketKind, Ping, Pong, Sealed, Target,
    },
};

/// When every test begins, in seconds since 1970.
pub(crate) const START: u64 = 1_700_000_000;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

/// Nodes go by numbers.
pub(crate) fn key(number: u32) -> NodeKey {
    let mut secret = [0xaa; 32];
    secret[..4].copy_from_slice(&number.to_be_bytes());
    NodeKey::from_bytes(&secret).unwrap()
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Each number has a public address of its own, no two of them in one /24.
pub(crate) fn addr_of(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([20 + a, b, c, 9], 30303))
}

pub(crate) fn node_at(key: &NodeKey, endpoint: SocketAddr) -> Node {
    let host = Some(Host::Ip(endpoint.ip()));
    Node::new(key.public_key(), host, endpoint.port(), endpoint.port())
}

pub(crate) fn record(key: &NodeKey, seq: u64, endpoint: SocketAddr) -> Record {
    let builder = Record::builder().seq(seq).ip(endpoint.ip());
    builder.tcp(endpoint.port()).udp(endpoint.port()).sign(key).unwrap()
}

/// Local networks are limited like others, and a refresh is one lookup.
pub(crate) fn limited() -> Config {
    let mut config = Config::default();
    config.lan_policy = LanPolicy::Limit;
    config.refresh_lookups = 0;
    config
}

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) packet: Packet,
    pub(crate) hash: Hash,
    pub(crate) bytes: Bytes,
}

impl Sent {
    pub(crate) fn kind(&self) -> PacketKind {
        self.packet.kind()
    }
}

pub(crate) struct Peer {
    pub(crate) machine: Discv4,
    pub(crate) key: NodeKey,
    pub(crate) endpoint: SocketAddr,
    pub(crate) events: Vec<Event>,
    /// Whether it is running.
    pub(crate) is_up: bool,
}

impl Peer {
    pub(crate) fn id(&self) -> NodeId {
        self.key.id()
    }

    pub(crate) fn node(&self) -> Node {
        node_at(&self.key, self.endpoint)
    }

    pub(crate) fn dropped(&self, cause: DropCause) -> u64 {
        self.machine.statistics().dropped(cause)
    }

    pub(crate) fn knows(&self, id: NodeId) -> bool {
        self.machine.nodes().any(|node| node.id() == id)
    }

    /// The last event of a command, which ends it.
    #[track_caller]
    pub(crate) fn result(&self, query: QueryId) -> &Event {
        let of_query: Vec<_> = self.events.iter().filter(|e| e.query() == Some(query)).collect();
        let ends = of_query.iter().filter(|e| !matches!(e, Event::LookupNode { .. })).count();
        assert_eq!(ends, 1, "{of_query:?}");
        of_query[of_query.len() - 1]
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    /// How long a datagram takes.
    pub(crate) latency: Duration,
    pub(crate) peers: Vec<Peer>,
    queue: BTreeMap<(Instant, u64), Transmit2>,
    next: u64,
    /// All that machines sent, in order.
    pub(crate) sent: Vec<Sent>,
}

struct Transmit2 {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Bytes,
}

impl World {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock")]
        let start = Instant::now();
        Self {
            now: start,
            start,
            latency: ms(10),
            peers: Vec::new(),
            queue: BTreeMap::new(),
            next: 0,
            sent: Vec::new(),
        }
    }

    /// Several peers of numbers from 0 on, at addresses of their own; 0 is the bootnode of the
    /// others.
    pub(crate) fn network(size: u32, configure: impl Fn(&mut Config)) -> Self {
        let mut world = Self::new();
        for number in 0..size {
            let mut config = Config::default();
            configure(&mut config);
            if number > 0 {
                config.bootstrap_nodes = vec![world.peers[0].node()];
            }
            world.add(number, addr_of(number), config);
        }
        world
    }

    pub(crate) fn clock(&self) -> WallClock {
        WallClock::new(self.start, Duration::from_secs(START))
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        self.clock().unix_secs(self.now)
    }

    /// Adds a machine, and returns its index.
    pub(crate) fn add(&mut self, number: u32, endpoint: SocketAddr, config: Config) -> usize {
        self.add_with_clock(number, endpoint, config, self.clock())
    }

    pub(crate) fn add_with_clock(
        &mut self,
        number: u32,
        endpoint: SocketAddr,
        config: Config,
        clock: WallClock,
    ) -> usize {
        let key = key(number);
        let seed = [u8::try_from(number % 251).unwrap(); 32];
        let record = record(&key, 1, endpoint);
        let machine = Discv4::new(config, key.clone(), record, seed, self.now, clock);
        self.peers.push(Peer { machine, key, endpoint, events: Vec::new(), is_up: true });
        self.peers.len() - 1
    }

    /// A command to a peer.
    pub(crate) fn call<T>(
        &mut self,
        peer: usize,
        command: impl FnOnce(&mut Discv4, Instant) -> T,
    ) -> T {
        let result = command(&mut self.peers[peer].machine, self.now);
        self.drain(peer);
        result
    }

    /// A datagram reaches a peer at this moment, whoever sent it, from wherever they say.
    pub(crate) fn deliver(&mut self, from: SocketAddr, peer: usize, bytes: &[u8]) {
        self.peers[peer].machine.handle_datagram(self.now, from, bytes);
        self.drain(peer);
    }

    fn drain(&mut self, peer: usize) {
        let from = self.peers[peer].endpoint;
        while let Some(output) = self.peers[peer].machine.poll_output() {
            match output {
                Output::Event(event) => self.peers[peer].events.push(event),
                Output::Transmit(Transmit { to, bytes }) => {
                    let datagram = Datagram::parse(&bytes).unwrap();
                    let (packet, hash) = (datagram.packet().unwrap(), datagram.hash());
                    let sent = Sent { at: self.now, from, to, packet, hash, bytes: bytes.clone() };
                    self.sent.push(sent);
                    self.next += 1;
                    let due = (self.now + self.latency, self.next);
                    self.queue.insert(due, Transmit2 { from, to, bytes });
                }
                other => panic!("{other:?}"),
            }
        }
        let timeout = self.peers[peer].machine.poll_timeout();
        assert!(timeout.is_some(), "a machine always has something to do later");
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let timeouts = self.peers.iter().enumerate().filter(|(_, peer)| peer.is_up);
            let timeout = timeouts
                .filter_map(|(at, peer)| Some((peer.machine.poll_timeout()?, at)))
                .min_by_key(|(at, _)| *at);
            match (arrival, timeout) {
                (Some(at), due) if at <= end && due.is_none_or(|(due, _)| at <= due) => {
                    self.now = self.now.max(at);
                    let (_, Transmit2 { from, to, bytes }) = self.queue.pop_first().unwrap();
                    let receiver = |peer: &Peer| peer.endpoint == to && peer.is_up;
                    if let Some(peer) = self.peers.iter().position(receiver) {
                        self.deliver(from, peer, &bytes);
                    }
                }
                (_, Some((due, peer))) if due <= end => {
                    self.now = self.now.max(due);
                    self.peers[peer].machine.handle_timeout(self.now);
                    self.drain(peer);
                    let next = self.peers[peer].machine.poll_timeout();
                    assert!(next.is_some_and(|next| next >= self.now), "no progress");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// What was sent since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// What a peer sent to an endpoint, in order.
    pub(crate) fn sent_to(&self, to: SocketAddr) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.to == to).collect()
    }

    /// The types of what was sent to an endpoint, in order.
    pub(crate) fn kinds_to(&self, to: SocketAddr) -> Vec<PacketKind> {
        self.sent_to(to).iter().map(|sent| sent.kind()).collect()
    }

    /// The last packet of this type to an endpoint.
    #[track_caller]
    pub(crate) fn last(&self, to: SocketAddr, kind: PacketKind) -> Sent {
        let mut sent = self.sent.iter().rev();
        sent.find(|sent| sent.to == to && sent.kind() == kind).unwrap().clone()
    }
}

/// Somebody who is no machine, and makes packets by hand.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    pub(crate) key: NodeKey,
    pub(crate) endpoint: SocketAddr,
}

impl Stranger {
    pub(crate) fn new(number: u32, endpoint: &str) -> Self {
        Self { key: key(number), endpoint: addr(endpoint) }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.key.id()
    }

    pub(crate) fn node(&self) -> Node {
        node_at(&self.key, self.endpoint)
    }

    pub(crate) fn seal(&self, packet: &Packet) -> Sealed {
        packet.seal(&self.key).unwrap()
    }

    pub(crate) fn send(&self, world: &mut World, peer: usize, packet: &Packet) -> Sealed {
        let sealed = self.seal(packet);
        world.deliver(self.endpoint, peer, &sealed.bytes);
        sealed
    }

    pub(crate) fn ping_packet(&self, world: &World, enr_seq: Option<u64>) -> Packet {
        Packet::Ping(Ping {
            version: 4,
            from: Endpoint::new(self.endpoint, self.endpoint.port()),
            to: Endpoint::default(),
            expiration: world.unix() + 20,
            enr_seq,
        })
    }

    pub(crate) fn ping(&self, world: &mut World, peer: usize) -> Sealed {
        let packet = self.ping_packet(world, None);
        self.send(world, peer, &packet)
    }

    pub(crate) fn pong_packet(&self, world: &World, ping_hash: Hash, to: SocketAddr) -> Packet {
        Packet::Pong(Pong {
            to: Endpoint::new(to, 0),
            ping_hash,
            expiration: world.unix() + 20,
            enr_seq: None,
        })
    }

    /// Answers the last PING that came here.
    #[track_caller]
    pub(crate) fn pong(&self, world: &mut World, peer: usize) -> Sealed {
        let hash = world.last(self.endpoint, PacketKind::Ping).hash;
        let packet = self.pong_packet(world, hash, world.peers[peer].endpoint);
        self.send(world, peer, &packet)
    }

    /// Proves its endpoint.
    #[track_caller]
    pub(crate) fn bond(&self, world: &mut World, peer: usize) {
        self.ping(world, peer);
        self.pong(world, peer);
        let now = world.now;
        assert!(world.peers[peer].machine.is_bonded(now, self.id(), self.endpoint));
    }

    pub(crate) fn find_node(&self, world: &mut World, peer: usize, target: Target) -> Sealed {
        let expiration = world.unix() + 20;
        self.send(world, peer, &Packet::FindNode(FindNode { target, expiration }))
    }

    pub(crate) fn enr_request(&self, world: &mut World, peer: usize) -> Sealed {
        let expiration = world.unix() + 20;
        self.send(world, peer, &Packet::EnrRequest(EnrRequest { expiration }))
    }

    pub(crate) fn enr_response(&self, world: &mut World, peer: usize, record: &[u8]) -> Sealed {
        let request_hash = world.last(self.endpoint, PacketKind::EnrRequest).hash;
        let record = Bytes::copy_from_slice(record);
        self.send(world, peer, &Packet::EnrResponse(EnrResponse { request_hash, record }))
    }

    /// Names these nodes, in as many parts as it takes.
    pub(crate) fn neighbors(&self, world: &mut World, peer: usize, nodes: &[Neighbor]) {
        let expiration = world.unix() + 20;
        let mut parts: Vec<_> = nodes.chunks(12).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(vec![]);
        }
        for nodes in parts {
            self.send(world, peer, &Packet::Neighbors(Neighbors { nodes, expiration }));
        }
    }

    /// Answers every PING and FINDNODE that came here after the first `seen` datagrams that the
    /// world has seen, and counts those in.
    pub(crate) fn serve(
        &self,
        world: &mut World,
        peer: usize,
        seen: &mut usize,
        mut nodes: impl FnMut() -> Vec<Neighbor>,
    ) {
        while let Some(sent) = world.sent.get(*seen).cloned() {
            *seen += 1;
            match sent.kind() {
                _ if sent.to != self.endpoint => {}
                PacketKind::Ping => {
                    let packet = self.pong_packet(world, sent.hash, sent.from);
                    self.send(world, peer, &packet);
                }
                PacketKind::FindNode => self.neighbors(world, peer, &nodes()),
                _ => {}
            }
        }
    }

    /// Proves its endpoint, and answers the lookup for itself that the machine makes when that is
    /// the first node in its table.
    #[track_caller]
    pub(crate) fn settle(&self, world: &mut World, peer: usize) {
        self.bond(world, peer);
        world.run(ms(20));
        while world.sent.iter().any(|s| s.to == self.endpoint && s.kind() == PacketKind::FindNode) {
            world.take_sent();
            self.neighbors(world, peer, &[]);
        }
        world.take_sent();
    }
}

pub(crate) fn neighbor(number: u32, endpoint: SocketAddr) -> Neighbor {
    Neighbor {
        ip: endpoint.ip(),
        udp: endpoint.port(),
        tcp: endpoint.port(),
        public_key: key(number).public_key(),
    }
}
