//! Nodes that mean well, while the flood goes on.

use std::{
    collections::VecDeque,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{Node, NodeId, NodeKey, Record, WallClock};
use devp2p_discv5::{Discv5, Event, Output, QueryId};

use crate::machine;

/// How long a packet takes one way.
pub(crate) const LATENCY: Duration = Duration::from_millis(25);
/// How often the node with a session asks.
const PACE: Duration = Duration::from_millis(100);
/// What comes is looked at so often, and after so many steps it has been answered.
const TICK: Duration = Duration::from_micros(100);
/// The first address of new nodes; each has a /24 of its own.
const FIRST: u32 = 0x5a00_0009;

/// One node that is there from the beginning, and new ones, one at a time.
pub(crate) struct Honest {
    victim: Node,
    clock: WallClock,
    friend: Peer,
    ask_at: Instant,
    newcomer: Option<Peer>,
    newcomers: u32,
    /// What is under way, when it comes and from where or to where: all of it takes as long, so
    /// what was sent first comes first.
    to_victim: VecDeque<(Instant, SocketAddr, Bytes)>,
    from_victim: VecDeque<(Instant, SocketAddr, Bytes)>,
    new: Answers,
    known: Answers,
}

/// How those were answered who asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    /// The round trips that it should take, and the packets of who asks.
    round_trips: u32,
    asked: u32,
    /// In so many round trips.
    in_time: u32,
    /// The most packets that one sent until it had its answer.
    pub(crate) packets: u32,
}

struct Peer {
    machine: Discv5,
    id: NodeId,
    address: SocketAddr,
    asked: Option<(QueryId, Instant)>,
    /// Since then.
    sent: u32,
}

impl Honest {
    pub(crate) fn new(victim: Record, now: Instant, clock: WallClock) -> Self {
        Self {
            victim: Node::from_record(victim),
            clock,
            friend: Peer::new(0, now, clock),
            ask_at: now,
            newcomer: None,
            newcomers: 0,
            to_victim: VecDeque::new(),
            from_victim: VecDeque::new(),
            new: Answers::new(2),
            known: Answers::new(1),
        }
    }

    /// The node that was there before.
    pub(crate) fn friend(&self) -> (NodeId, SocketAddr) {
        (self.friend.id, self.friend.address)
    }

    pub(crate) fn new_nodes(&self) -> Answers {
        self.new
    }

    pub(crate) fn known_node(&self) -> Answers {
        self.known
    }

    /// Counts from now on.
    pub(crate) fn reset(&mut self) {
        (self.new, self.known) = (Answers::new(2), Answers::new(1));
    }

    /// A new node comes, and wants an answer; the last one goes.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.newcomers += 1;
        let mut newcomer = Peer::new(self.newcomers, now, self.clock);
        newcomer.ask(now, &self.victim, &mut self.new);
        newcomer.drain(now, &mut self.to_victim, &mut self.new);
        self.newcomer = Some(newcomer);
    }

    /// The victim sent something: what is not to honest nodes is lost.
    pub(crate) fn send(&mut self, now: Instant, to: SocketAddr, bytes: Bytes) {
        let newcomer = self.newcomer.as_ref().map(|peer| peer.address);
        if to == self.friend.address || newcomer == Some(to) {
            self.from_victim.push_back((now + LATENCY, to, bytes));
        }
    }

    /// Time passed for all of them. Gives the next packet that reached the victim.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<(SocketAddr, Bytes)> {
        if self.ask_at <= now {
            self.ask_at += PACE;
            self.friend.ask(now, &self.victim, &mut self.known);
            self.friend.drain(now, &mut self.to_victim, &mut self.known);
        }
        while self.from_victim.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, to, bytes)) = self.from_victim.pop_front() else { break };
            let (peer, answers) = match &mut self.newcomer {
                Some(newcomer) if newcomer.address == to => (newcomer, &mut self.new),
                _ if self.friend.address == to => (&mut self.friend, &mut self.known),
                _ => continue,
            };
            let from = self.victim.udp_addr().unwrap();
            peer.machine.handle_datagram(now, from, &bytes);
            peer.drain(now, &mut self.to_victim, answers);
        }
        let is_there = self.to_victim.front().is_some_and(|(at, ..)| *at <= now);
        let (_, from, bytes) = is_there.then(|| self.to_victim.pop_front())??;
        Some((from, bytes))
    }
}

impl Peer {
    fn new(number: u32, now: Instant, clock: WallClock) -> Self {
        let mut secret = [3; 32];
        secret[..4].copy_from_slice(&number.to_be_bytes());
        let key = NodeKey::from_bytes(&secret).unwrap();
        let address = (Ipv4Addr::from_bits(FIRST + (number << 8)), 30_303).into();
        let machine = machine(&key, address, now, clock);
        Self { machine, id: key.id(), address, asked: None, sent: 0 }
    }

    fn ask(&mut self, now: Instant, victim: &Node, answers: &mut Answers) {
        (self.asked, self.sent) = (Some((self.machine.ping(now, victim), now)), 0);
        answers.asked += 1;
    }

    /// Sends what it has to send, and notes an answer.
    fn drain(
        &mut self,
        now: Instant,
        out: &mut VecDeque<(Instant, SocketAddr, Bytes)>,
        answers: &mut Answers,
    ) {
        let sent = self.sent;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.sent += 1;
                    out.push_back((now + LATENCY, self.address, transmit.bytes));
                }
                Output::Event(event @ Event::Pong { .. }) => {
                    let asked = self.asked.filter(|(query, _)| event.query() == Some(*query));
                    let Some((_, since)) = asked else { continue };
                    answers.packets = answers.packets.max(sent);
                    let most = 2 * LATENCY * answers.round_trips + TICK;
                    answers.in_time += u32::from(now - since <= most);
                }
                Output::Event(_) => {}
            }
        }
    }
}

impl Answers {
    fn new(round_trips: u32) -> Self {
        Self { round_trips, ..Self::default() }
    }

    pub(crate) fn share(&self) -> f64 {
        f64::from(self.in_time) / f64::from(self.asked.max(1))
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round_trips, asked, in_time, packets } = self;
        write!(
            f,
            "{in_time} of {asked} answered after {round_trips} round trips, with {packets} packets \
             of their own at most"
        )
    }
}
