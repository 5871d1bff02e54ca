use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{Node, NodeId, PublicKey, Record, Rng};

use super::{Peer, purpose::Purpose};
use crate::{
    Config, QueryId,
    handshake::Unconfirmed,
    message::{Body, FindNode, Message, MessageKind, Ping, RequestId, TalkRequest},
    wire::Nonce,
};

/// What a node is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Whom it knows at these distances from itself.
    FindNode(Vec<u16>),
    /// Whether it is there.
    Ping,
    /// Something of another protocol.
    Talk {
        /// The name of the protocol.
        protocol: Bytes,
        /// What.
        request: Bytes,
    },
}

impl Ask {
    /// The message; `enr_seq` is the number of our record.
    pub(super) fn into_body(self, enr_seq: u64) -> Body {
        match self {
            Self::FindNode(distances) => Body::FindNode(FindNode { distances }),
            Self::Ping => Body::Ping(Ping { enr_seq }),
            Self::Talk { protocol, request } => {
                Body::TalkRequest(TalkRequest { protocol, request })
            }
        }
    }
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To FINDNODE: nodes by verified records, all of which may be spoken to.
    Nodes(Vec<Node>),
    /// To PING.
    Pong {
        /// The sequence number of its record.
        enr_seq: u64,
        /// Where it sees us.
        endpoint: SocketAddr,
        /// How long it took.
        rtt: Duration,
    },
    /// To TALKREQ.
    Talk(Bytes),
}

/// Names a request of ours, here and in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestNumber(u64);

impl RequestNumber {
    pub(super) fn id(self) -> RequestId {
        self.0.into()
    }

    /// What the id in an answer names.
    pub(super) fn from_id(id: &RequestId) -> Option<Self> {
        id.as_bytes().try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// The requests that wait for an answer, and what is under way to each peer.
#[derive(Debug)]
pub(super) struct Requests {
    max: usize,
    max_per_peer: usize,
    open: BTreeMap<RequestNumber, Request>,
    /// The packets that a WHOAREYOU may name.
    by_nonce: BTreeMap<Nonce, RequestNumber>,
    by_deadline: BTreeSet<(Instant, RequestNumber)>,
    lines: BTreeMap<Peer, Line>,
    lost: Lost,
    next: u64,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) peer: Peer,
    pub(super) key: PublicKey,
    /// What was known of the node by the one who asks.
    pub(super) record: Option<Record>,
    pub(super) message: Message,
    /// Nothing where nobody wants to know any more, or ever did.
    pub(super) purpose: Option<Purpose>,
    pub(super) stage: Stage,
    /// When the message was sent, whatever came before.
    pub(super) sent_at: Instant,
    /// None while it waits for another one's handshake.
    deadline: Option<Instant>,
    pub(super) parts: Parts,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Stage {
    /// It waits for the handshake of another request to the same peer.
    Queued,
    /// A packet that nobody can open was sent, so that a WHOAREYOU comes.
    Knocked(Nonce),
    /// The message was sent within a session. If the other side does not have that any more, a
    /// WHOAREYOU comes.
    Sealed(Nonce),
    /// The message was sent with a handshake, at this time. The keys are there until they have
    /// proved themselves.
    Handshake(Option<Unconfirmed>, Instant),
}

/// The answer to FINDNODE, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) came: u64,
    pub(super) total: u64,
    /// The records that were looked at.
    pub(super) records: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) ids: BTreeSet<NodeId>,
}

/// What is under way to one peer.
#[derive(Debug, Default)]
struct Line {
    /// How many requests are open.
    open: usize,
    /// The request with which there will be a session, or a new one. There is one at a time.
    handshake: Option<RequestNumber>,
    /// Whether others wait for it: not where another session has come up meanwhile.
    is_waiting: bool,
    queue: VecDeque<RequestNumber>,
    last_sealed: Option<RequestNumber>,
}

/// The packets of requests that are over, without an answer. While the other side has its WHOAREYOU
/// open, which was lost on the way to us, it sends the same to whatever comes next.
#[derive(Debug)]
struct Lost {
    max: usize,
    timeout: Duration,
    by_nonce: BTreeMap<Nonce, Peer>,
    by_time: VecDeque<(Instant, Nonce)>,
}

impl Request {
    pub(super) fn new(peer: Peer, node: &Node, message: Message, now: Instant) -> Self {
        Self {
            peer,
            key: node.public_key(),
            record: node.record().cloned(),
            message,
            purpose: None,
            stage: Stage::Queued,
            sent_at: now,
            deadline: None,
            parts: Parts::default(),
        }
    }

    pub(super) const fn kind(&self) -> MessageKind {
        self.message.kind()
    }

    /// Whether a message of this type answers it: it has to be sent first.
    pub(super) const fn awaits(&self, kind: MessageKind) -> bool {
        matches!(self.stage, Stage::Sealed(_) | Stage::Handshake(..))
            && matches!(
                (self.kind(), kind),
                (MessageKind::Ping, MessageKind::Pong)
                    | (MessageKind::FindNode, MessageKind::Nodes)
                    | (MessageKind::TalkRequest, MessageKind::TalkResponse)
            )
    }

    const fn nonce(&self) -> Option<Nonce> {
        match self.stage {
            Stage::Knocked(nonce) | Stage::Sealed(nonce) => Some(nonce),
            Stage::Queued | Stage::Handshake(..) => None,
        }
    }
}

impl Requests {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            max: config.max_requests,
            max_per_peer: config.max_requests_per_peer,
            open: BTreeMap::new(),
            by_nonce: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            lines: BTreeMap::new(),
            lost: Lost {
                max: config.max_requests,
                timeout: config.challenge_timeout,
                by_nonce: BTreeMap::new(),
                by_time: VecDeque::new(),
            },
            // An answer to an earlier run of ours answers nothing. The highest bit is always set: there
            // are nodes that take ids for numbers, and answer without their leading zeros.
            next: 1 << 63 | rng.next_u64() >> 2,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether one more may go to a peer.
    pub(super) fn has_room(&self, peer: &Peer) -> bool {
        let there = self.lines.get(peer).map_or(0, |line| line.open);
        self.open.len() < self.max && there < self.max_per_peer
    }

    pub(super) const fn next_number(&mut self) -> RequestNumber {
        self.next = self.next.wrapping_add(1);
        RequestNumber(self.next)
    }

    /// Opens a request, which waits until `deadline`, unless it is queued.
    pub(super) fn open(&mut self, number: RequestNumber, mut request: Request, deadline: Instant) {
        let is_queued = matches!(request.stage, Stage::Queued);
        request.deadline = (!is_queued).then_some(deadline);
        let line = self.lines.entry(request.peer).or_default();
        line.open = line.open.saturating_add(1);
        if let Some(nonce) = request.nonce() {
            self.by_nonce.insert(nonce, number);
        }
        if let Some(deadline) = request.deadline {
            self.by_deadline.insert((deadline, number));
        }
        match request.stage {
            Stage::Queued => line.queue.push_back(number),
            Stage::Knocked(_) | Stage::Handshake(..) => {
                (line.handshake, line.is_waiting) = (Some(number), true);
            }
            Stage::Sealed(_) => line.last_sealed = Some(number),
        }
        self.open.insert(number, request);
    }

    /// The request is over. If others waited for its handshake they still do.
    pub(super) fn close(&mut self, number: RequestNumber) -> Option<Request> {
        let request = self.open.remove(&number)?;
        if let Some(nonce) = request.nonce() {
            self.by_nonce.remove(&nonce);
        }
        if let Some(deadline) = request.deadline {
            self.by_deadline.remove(&(deadline, number));
        }
        if let Some(line) = self.lines.get_mut(&request.peer) {
            line.open = line.open.saturating_sub(1);
            if line.handshake == Some(number) {
                line.handshake = None;
            }
            if matches!(request.stage, Stage::Queued) {
                line.queue.retain(|queued| *queued != number);
            }
            if line.open == 0 {
                self.lines.remove(&request.peer);
            }
        }
        Some(request)
    }

    pub(super) fn get(&self, number: RequestNumber) -> Option<&Request> {
        self.open.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: RequestNumber) -> Option<&mut Request> {
        self.open.get_mut(&number)
    }

    /// The request goes on, and waits until `deadline` from now on.
    pub(super) fn advance(&mut self, number: RequestNumber, stage: Stage, deadline: Instant) {
        let Some(request) = self.open.get_mut(&number) else { return };
        if let Some(nonce) = request.nonce() {
            self.by_nonce.remove(&nonce);
        }
        request.stage = stage;
        if let Some(nonce) = request.nonce() {
            self.by_nonce.insert(nonce, number);
        }
        if let Some(line) = self.lines.get_mut(&request.peer) {
            match request.stage {
                Stage::Queued => line.queue.push_back(number),
                Stage::Knocked(_) | Stage::Handshake(..) => {
                    (line.handshake, line.is_waiting) = (Some(number), true);
                }
                Stage::Sealed(_) => {
                    line.last_sealed = Some(number);
                    if line.handshake == Some(number) {
                        line.handshake = None;
                    }
                }
            }
        }
        let is_queued = matches!(request.stage, Stage::Queued);
        self.set_deadline(number, (!is_queued).then_some(deadline));
    }

    pub(super) fn set_deadline(&mut self, number: RequestNumber, deadline: Option<Instant>) {
        let Some(request) = self.open.get_mut(&number) else { return };
        if let Some(old) = std::mem::replace(&mut request.deadline, deadline) {
            self.by_deadline.remove(&(old, number));
        }
        if let Some(deadline) = deadline {
            self.by_deadline.insert((deadline, number));
        }
    }

    /// Whether what is asked of a peer waits for a handshake that is under way.
    pub(super) fn must_wait(&self, peer: &Peer) -> bool {
        self.lines.get(peer).is_some_and(|line| line.is_waiting)
    }

    /// The handshake with a peer is complete.
    pub(super) fn end_handshake(&mut self, peer: &Peer) {
        if let Some(line) = self.lines.get_mut(peer) {
            line.handshake = None;
        }
    }

    /// The request that has a handshake with a peer under way.
    pub(super) fn handshake_with(&self, peer: &Peer) -> Option<RequestNumber> {
        self.lines.get(peer)?.handshake
    }

    /// There is a session now, or there will be none: who waited for it, in the order in which they
    /// came.
    pub(super) fn take_queue(&mut self, peer: &Peer) -> VecDeque<RequestNumber> {
        let Some(line) = self.lines.get_mut(peer) else { return VecDeque::new() };
        line.is_waiting = false;
        std::mem::take(&mut line.queue)
    }

    /// The request that a WHOAREYOU from there is about. It can be looked for with the nonce of a
    /// packet that was lost.
    pub(super) fn find_challenged(&self, nonce: &Nonce, from: SocketAddr) -> Option<RequestNumber> {
        let is_there = |number: &RequestNumber| {
            self.open.get(number).is_some_and(|request| request.peer.endpoint == from)
        };
        if let Some(number) = self.by_nonce.get(nonce) {
            return Some(*number).filter(is_there);
        }
        let peer = self.lost.by_nonce.get(nonce).filter(|peer| peer.endpoint == from)?;
        let line = self.lines.get(peer)?;
        let may_be_sealed = line.last_sealed.filter(|_| line.handshake.is_none());
        line.handshake
            .or(may_be_sealed)
            .filter(|number| self.open.get(number).is_some_and(|r| r.nonce().is_some()))
    }

    /// The request got no answer.
    pub(super) fn note_lost(&mut self, now: Instant, request: &Request) {
        if let Some(nonce) = request.nonce() {
            self.lost.insert(now, nonce, request.peer);
        }
    }

    /// All that serve a command.
    pub(super) fn of_query(&self, query: QueryId) -> Vec<RequestNumber> {
        let is_of = |r: &Request| r.purpose.as_ref().and_then(Purpose::query) == Some(query);
        self.open.iter().filter(|(_, request)| is_of(request)).map(|(&number, _)| number).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|&(deadline, _)| deadline)
    }

    /// The next request whose time is over; close it.
    pub(super) fn due(&self, now: Instant) -> Option<RequestNumber> {
        self.by_deadline.first().filter(|(at, _)| *at <= now).map(|&(_, number)| number)
    }
}

impl Lost {
    fn insert(&mut self, now: Instant, nonce: Nonce, peer: Peer) {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= self.timeout;
        while let Some(&(at, oldest)) = self.by_time.front()
            && (is_over(at) || self.by_time.len() >= self.max.max(1))
        {
            self.by_time.pop_front();
            self.by_nonce.remove(&oldest);
        }
        self.by_time.push_back((now, nonce));
        self.by_nonce.insert(nonce, peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_no_leading_zeros() {
        for seed in 0..=u8::MAX {
            let mut rng = Rng::from_seed([seed; 32]);
            let mut requests = Requests::new(&Config::default(), &mut rng);
            let id = requests.next_number().id();
            assert_eq!(id.as_bytes().len(), 8);
            assert_ne!(id.as_bytes()[0], 0);
        }
    }
}
