//! Machines, a clock, and the datagrams between them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{LanPolicy, Node, NodeId, NodeKey, Record, Rng, Transmit, WallClock};
use devp2p_discv5::{
    Config, Discv5, DropCause, Event, Output, QueryId,
    handshake::{Challenge, Initiator, Unconfirmed},
    message::{Body, FindNode, Message, MessageKind, Nodes, Ping, Pong, RequestId, TalkRequest},
    session::Session,
    wire::{Masking, Nonce, Packet, PacketKind, ProtocolId, WhoAreYou},
};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
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

pub(crate) fn record(key: &NodeKey, seq: u64, endpoint: SocketAddr) -> Record {
    let builder = Record::builder().seq(seq).ip(endpoint.ip());
    builder.tcp(endpoint.port()).udp(endpoint.port()).sign(key).unwrap()
}

pub(crate) fn masking(id: NodeId) -> Masking {
    Masking::new(id, ProtocolId::default())
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
    pub(crate) bytes: Bytes,
}

impl Sent {
    /// The kind of the packet, to who knows for whom it is.
    pub(crate) fn kind(&self, receiver: NodeId) -> PacketKind {
        masking(receiver).peek(&self.bytes).unwrap().kind()
    }
}

pub(crate) struct Peer {
    pub(crate) machine: Discv5,
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
        Node::from_record(record(&self.key, 1, self.endpoint))
    }

    pub(crate) fn dropped(&self, cause: DropCause) -> u64 {
        self.machine.statistics().dropped(cause)
    }

    /// The events of a command.
    pub(crate) fn of(&self, query: QueryId) -> Vec<&Event> {
        self.events.iter().filter(|event| event.query() == Some(query)).collect()
    }

    /// The last event of a command, which ends it.
    #[track_caller]
    pub(crate) fn result(&self, query: QueryId) -> &Event {
        let of_query = self.of(query);
        let ends = of_query.iter().filter(|e| !matches!(e, Event::LookupNode { .. })).count();
        assert_eq!(ends, 1, "{of_query:?}");
        of_query[of_query.len() - 1]
    }

    #[track_caller]
    pub(crate) fn is_ponged(&self, query: QueryId) -> bool {
        matches!(self.result(query), Event::Pong { .. })
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    /// How long a datagram takes.
    pub(crate) latency: Duration,
    pub(crate) peers: Vec<Peer>,
    queue: BTreeMap<(Instant, u64), Sent>,
    next: u64,
    /// All that machines sent, in order.
    pub(crate) sent: Vec<Sent>,
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

    /// One peer, number 0.
    pub(crate) fn one() -> Self {
        Self::of(1)
    }

    /// So many peers of numbers from 0 on, at addresses of their own, who do not know each other.
    pub(crate) fn of(size: u32) -> Self {
        let mut world = Self::new();
        for number in 0..size {
            world.add(number, limited());
        }
        world
    }

    fn machine(&mut self, number: u32, endpoint: SocketAddr, config: Config) -> Discv5 {
        let key = key(number);
        self.next += 1;
        let mut seed = [u8::try_from(number % 251).unwrap(); 32];
        seed[..8].copy_from_slice(&self.next.to_be_bytes());
        let clock = WallClock::new(self.start, Duration::from_secs(1_700_000_000));
        let record = record(&key, 1, endpoint);
        Discv5::new(config, key, record, seed, self.now, clock)
    }

    /// Adds a machine, and returns its index.
    pub(crate) fn add(&mut self, number: u32, config: Config) -> usize {
        self.add_at(number, addr_of(number), config)
    }

    pub(crate) fn add_at(&mut self, number: u32, endpoint: SocketAddr, config: Config) -> usize {
        let machine = self.machine(number, endpoint, config);
        let key = key(number);
        self.peers.push(Peer { machine, key, endpoint, events: Vec::new(), is_up: true });
        self.peers.len() - 1
    }

    /// A peer begins anew, and has forgotten all but its key.
    pub(crate) fn restart(&mut self, peer: usize) {
        let (endpoint, config) = (self.peers[peer].endpoint, limited());
        self.peers[peer].machine = self.machine(u32::try_from(peer).unwrap(), endpoint, config);
    }

    /// A command to a peer.
    pub(crate) fn call<T>(
        &mut self,
        peer: usize,
        command: impl FnOnce(&mut Discv5, Instant) -> T,
    ) -> T {
        let result = command(&mut self.peers[peer].machine, self.now);
        self.drain(peer);
        result
    }

    pub(crate) fn ping(&mut self, from: usize, to: &Node) -> QueryId {
        self.call(from, |machine, now| machine.ping(now, to))
    }

    pub(crate) fn talk(&mut self, from: usize, to: &Node, request: &[u8]) -> QueryId {
        let (protocol, request) = (Bytes::from_static(b"test"), Bytes::copy_from_slice(request));
        self.call(from, |machine, now| machine.talk(now, to, protocol, request))
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
                    let sent = Sent { at: self.now, from, to, bytes };
                    self.sent.push(sent.clone());
                    self.next += 1;
                    self.queue.insert((self.now + self.latency, self.next), sent);
                }
            }
        }
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
                    let (_, sent) = self.queue.pop_first().unwrap();
                    let receiver = |peer: &Peer| peer.endpoint == sent.to && peer.is_up;
                    if let Some(peer) = self.peers.iter().position(receiver) {
                        self.deliver(sent.from, peer, &sent.bytes);
                    }
                }
                (_, Some((due, peer))) if due <= end => {
                    self.now = self.now.max(due);
                    self.peers[peer].machine.handle_timeout(self.now);
                    self.drain(peer);
                    let next = self.peers[peer].machine.poll_timeout();
                    assert!(next.is_none_or(|next| next >= self.now), "no progress");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Forgets what was sent until now.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
    }

    /// What was sent to an endpoint, in order.
    pub(crate) fn sent_to(&self, to: SocketAddr) -> Vec<Sent> {
        self.sent.iter().filter(|sent| sent.to == to).cloned().collect()
    }

    /// The kinds of the packets from one peer to another, in order.
    pub(crate) fn kinds(&self, from: usize, to: usize) -> Vec<PacketKind> {
        let (from, to) = (&self.peers[from], &self.peers[to]);
        let between = |sent: &&Sent| sent.from == from.endpoint && sent.to == to.endpoint;
        self.sent.iter().filter(between).map(|sent| sent.kind(to.id())).collect()
    }
}

/// Somebody who is no machine, and makes packets by hand.
#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) key: NodeKey,
    pub(crate) endpoint: SocketAddr,
    pub(crate) rng: Rng,
    pub(crate) session: Option<Session>,
    unconfirmed: Option<Unconfirmed>,
    challenge: Option<Challenge>,
    next_id: u64,
}

/// What came to a stranger.
#[derive(Debug)]
pub(crate) enum Got {
    /// A message that it could open, in a handshake or not.
    Message(Message),
    /// A packet that it could not open.
    Unopened(Nonce),
    WhoAreYou(WhoAreYou),
}

impl Stranger {
    pub(crate) fn new(number: u32) -> Self {
        Self::at(number, addr_of(number))
    }

    pub(crate) fn at(number: u32, endpoint: SocketAddr) -> Self {
        let mut seed = [0x55; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        Self {
            key: key(number),
            endpoint,
            rng: Rng::from_seed(seed),
            session: None,
            unconfirmed: None,
            challenge: None,
            next_id: 0,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.key.id()
    }

    pub(crate) fn record(&self) -> Record {
        record(&self.key, 1, self.endpoint)
    }

    pub(crate) fn node(&self) -> Node {
        Node::from_record(self.record())
    }

    /// Sends what nobody can open.
    pub(crate) fn knock(&mut self, world: &mut World, peer: usize) -> Nonce {
        let to = masking(world.peers[peer].id());
        let (nonce, packet) = to.random_packet_like(self.id(), 20, &mut self.rng);
        world.deliver(self.endpoint, peer, &packet);
        nonce
    }

    /// What came since the last call, as the owner of the key reads it. Handshakes that it asked
    /// for are accepted.
    pub(crate) fn receive(&mut self, world: &mut World) -> Vec<Got> {
        let mine: Vec<_> = world.sent_to(self.endpoint);
        world.sent.retain(|sent| sent.to != self.endpoint);
        mine.iter().map(|sent| self.read(&sent.bytes)).collect()
    }

    /// As [`receive`](Self::receive), where it may not know what to make of a handshake.
    pub(crate) fn receive_any(&mut self, world: &mut World) -> Vec<Got> {
        let (id, expected) = (self.id(), self.challenge.is_some());
        let is_readable = |sent: &Sent| {
            let kind = masking(id).peek(&sent.bytes).map(|peek| peek.kind());
            kind.is_ok_and(|kind| kind != PacketKind::Handshake || expected)
        };
        world.sent.retain(|sent| sent.to != self.endpoint || is_readable(sent));
        self.receive(world)
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) -> Got {
        match masking(self.id()).decode(bytes).unwrap() {
            Packet::WhoAreYou(whoareyou) => Got::WhoAreYou(whoareyou),
            Packet::Handshake(packet) => {
                let challenge = self.challenge.take().unwrap();
                let accepted = challenge.accept(&self.key, &packet).unwrap();
                self.session = Some(accepted.session);
                Got::Message(Message::decode(&accepted.message).unwrap())
            }
            Packet::Ordinary(packet) => {
                if let Some(message) = self.session.as_ref().and_then(|s| s.open(&packet)) {
                    return Got::Message(Message::decode(&message).unwrap());
                }
                match self.unconfirmed.take().map(|unconfirmed| unconfirmed.confirm(&packet)) {
                    Some(Ok((session, message))) => {
                        self.session = Some(session);
                        Got::Message(Message::decode(&message).unwrap())
                    }
                    Some(Err(still)) => {
                        self.unconfirmed = Some(still);
                        Got::Unopened(packet.nonce())
                    }
                    None => Got::Unopened(packet.nonce()),
                }
            }
        }
    }

    /// The messages that came since the last call.
    pub(crate) fn messages(&mut self, world: &mut World) -> Vec<Message> {
        let message = |got| match got {
            Got::Message(message) => Some(message),
            _ => None,
        };
        self.receive(world).into_iter().filter_map(message).collect()
    }

    /// The answers among them.
    pub(crate) fn answers(&mut self, world: &mut World) -> Vec<Message> {
        let mut messages = self.messages(world);
        messages.retain(|message| !message.kind().is_request());
        messages
    }

    /// The one WHOAREYOU that came since the last call.
    #[track_caller]
    pub(crate) fn whoareyou(&mut self, world: &mut World) -> WhoAreYou {
        let all: Vec<_> = self.receive(world).into_iter().collect();
        let mut challenges = all.iter().filter_map(|got| match got {
            Got::WhoAreYou(whoareyou) => Some(*whoareyou),
            _ => None,
        });
        let whoareyou = challenges.next();
        assert!(whoareyou.is_some() && challenges.next().is_none(), "{all:?}");
        whoareyou.unwrap()
    }

    pub(crate) fn request(&mut self, body: Body) -> Message {
        self.next_id += 1;
        Message { request_id: RequestId::from(self.next_id), body }
    }

    pub(crate) fn ping_message(&mut self) -> Message {
        self.request(Body::Ping(Ping { enr_seq: 1 }))
    }

    /// Answers a WHOAREYOU with a PING.
    pub(crate) fn handshake(&mut self, world: &mut World, peer: usize, whoareyou: &WhoAreYou) {
        let message = self.ping_message().to_bytes().unwrap();
        let packet = self.handshake_packet(world.peers[peer].machine.record(), whoareyou, &message);
        world.deliver(self.endpoint, peer, &packet);
    }

    pub(crate) fn handshake_packet(
        &mut self,
        to: &Record,
        whoareyou: &WhoAreYou,
        message: &[u8],
    ) -> Bytes {
        let own = self.record();
        let key = to.public_key();
        let initiator = Initiator::new(&self.key, &own, key, whoareyou, &mut self.rng);
        let sealed = initiator.seal(&masking(to.id()), message, &mut self.rng);
        let (packet, unconfirmed) = sealed.unwrap();
        self.unconfirmed = Some(unconfirmed);
        packet
    }

    /// Has a session, which it began.
    #[track_caller]
    pub(crate) fn connect(&mut self, world: &mut World, peer: usize) {
        self.receive(world);
        self.knock(world, peer);
        let whoareyou = self.whoareyou(world);
        self.handshake(world, peer, &whoareyou);
        let answers = self.answers(world);
        assert!(matches!(answers[..], [Message { body: Body::Pong(_), .. }]), "{answers:?}");
        assert!(world.peers[peer].machine.has_session(self.id(), self.endpoint));
    }

    /// Sends a message within the session.
    pub(crate) fn send(&mut self, world: &mut World, peer: usize, message: &Message) {
        self.send_bytes(world, peer, &message.to_bytes().unwrap());
    }

    pub(crate) fn send_bytes(&mut self, world: &mut World, peer: usize, message: &[u8]) {
        let (id, to) = (self.id(), masking(world.peers[peer].id()));
        let session = self.session.as_mut().unwrap();
        let packet = session.seal(&to, id, message, &mut self.rng).unwrap();
        world.deliver(self.endpoint, peer, &packet);
    }

    /// Sends PING within the session, and says whether it is answered.
    pub(crate) fn is_answered(&mut self, world: &mut World, peer: usize) -> bool {
        let ping = self.ping_message();
        self.receive(world);
        self.send(world, peer, &ping);
        self.answers(world).iter().any(|answer| answer.request_id == ping.request_id)
    }

    pub(crate) fn find_node(
        &mut self,
        world: &mut World,
        peer: usize,
        distances: &[u16],
    ) -> Vec<Nodes> {
        let distances = distances.to_vec();
        let message = self.request(Body::FindNode(FindNode { distances }));
        self.receive(world);
        self.send(world, peer, &message);
        let nodes = |answer: Message| match answer.body {
            Body::Nodes(nodes) if answer.request_id == message.request_id => Some(nodes),
            _ => None,
        };
        self.answers(world).into_iter().filter_map(nodes).collect()
    }

    pub(crate) fn talk(&mut self, world: &mut World, peer: usize, protocol: &[u8]) -> RequestId {
        let protocol = Bytes::copy_from_slice(protocol);
        let request = Bytes::from_static(b"question");
        let message = self.request(Body::TalkRequest(TalkRequest { protocol, request }));
        self.send(world, peer, &message);
        message.request_id
    }

    /// Challenges the sender of a packet that it cannot open.
    pub(crate) fn challenge(&mut self, world: &mut World, peer: usize, nonce: Nonce) {
        let id = world.peers[peer].id();
        let challenge = Challenge::new(ProtocolId::default(), id, nonce, None, &mut self.rng);
        let packet = challenge.encode(&masking(id));
        self.challenge = Some(challenge);
        world.deliver(self.endpoint, peer, &packet);
    }

    /// The nonce of the one packet that came and cannot be opened.
    #[track_caller]
    pub(crate) fn unopened(&mut self, world: &mut World) -> Nonce {
        let got = self.receive(world);
        match got[..] {
            [Got::Unopened(nonce)] => nonce,
            _ => panic!("{got:?}"),
        }
    }

    /// Asks who it is that wants something, and returns the message that comes with the handshake.
    #[track_caller]
    pub(crate) fn accept(&mut self, world: &mut World, peer: usize) -> Message {
        let nonce = self.unopened(world);
        self.challenge(world, peer, nonce);
        let mut messages = self.messages(world);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.pop().unwrap()
    }

    /// Answers a PING.
    pub(crate) fn pong(&mut self, world: &mut World, peer: usize, ping: &Message) {
        let endpoint = world.peers[peer].endpoint;
        let pong = Pong { enr_seq: 1, ip: endpoint.ip(), port: endpoint.port() };
        let message = Message { request_id: ping.request_id, body: Body::Pong(pong) };
        self.send(world, peer, &message);
    }

    /// Answers all that came since the last call, and knows nobody.
    pub(crate) fn serve(&mut self, world: &mut World, peer: usize) {
        loop {
            let got = self.receive(world);
            if got.is_empty() {
                return;
            }
            for got in got {
                match got {
                    Got::Message(message) if message.kind() == MessageKind::FindNode => {
                        self.nodes(world, peer, message.request_id, 1, &[]);
                    }
                    Got::Message(message) => self.pong(world, peer, &message),
                    Got::Unopened(nonce) => self.challenge(world, peer, nonce),
                    Got::WhoAreYou(_) => {}
                }
            }
        }
    }

    /// Tells of these records.
    pub(crate) fn nodes(
        &mut self,
        world: &mut World,
        peer: usize,
        request_id: RequestId,
        total: u64,
        records: &[Record],
    ) {
        let records = records.iter().map(Record::to_bytes).collect();
        let message = Message { request_id, body: Body::Nodes(Nodes { total, records }) };
        self.send(world, peer, &message);
    }
}
