use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::NodeId;
use devp2p_kad::Check;

use super::{asks::AskId, contact::Contact};
use crate::{
    Config, QueryId,
    wire::{Hash, PacketKind},
};

/// The answers to one request whose signature is looked at, whoever they are from. An answer to
/// FINDNODE has up to 16 parts where each names one node; of the others one is enough, and whoever
/// makes up more has read the request.
const NEIGHBORS_ALLOWANCE: u8 = 16;
const OTHER_ALLOWANCE: u8 = 4;
/// The purposes of one PING. Beyond a check, a PING back and the lookups that run there are only
/// commands.
const MAX_PURPOSES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestId(u64);

/// The requests that wait for an answer.
///
/// There is at most one PING under way to a node at an endpoint, so the one that is open is always
/// our newest, which a PONG must match; and at most one FINDNODE, as NEIGHBORS does not say what
/// it answers.
#[derive(Debug)]
pub(super) struct Requests {
    max: usize,
    max_ping_backs: usize,
    open: BTreeMap<RequestId, Request>,
    by_endpoint: BTreeSet<(SocketAddr, RequestId)>,
    by_deadline: BTreeSet<(Instant, RequestId)>,
    ping_backs: usize,
    next: u64,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) contact: Contact,
    pub(super) question: Sent,
    pub(super) hash: Hash,
    pub(super) sent_at: Instant,
    deadline: Instant,
    allowance: u8,
}

/// What was sent.
#[derive(Debug)]
pub(super) enum Sent {
    EnrRequest(AskId),
    FindNode(AskId),
    Ping(SentPing),
}

#[derive(Debug)]
pub(super) struct SentPing {
    /// Whether it only answers a PING.
    pub(super) is_ping_back: bool,
    pub(super) purposes: Vec<Purpose>,
    /// When we last answered a PING from there, if we did since this was sent or for its cause.
    pub(super) answered_at: Option<Instant>,
    /// The number of the node's record, if its PING told it.
    pub(super) enr_seq: Option<u64>,
}

/// What a PING is sent for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Somebody is to be asked something.
    Ask(AskId),
    /// The table wants to know.
    Check(Box<Check<Contact>>),
    /// The node's record gives this endpoint.
    Moved,
    /// The node sent a PING.
    PingBack,
    /// A command.
    Query(QueryId),
    /// An earlier run remembered the node.
    Seed,
}

impl Sent {
    const fn is_ping_back(&self) -> bool {
        matches!(self, Self::Ping(SentPing { is_ping_back: true, .. }))
    }

    pub(super) const fn kind(&self) -> PacketKind {
        match self {
            Self::EnrRequest(_) => PacketKind::EnrRequest,
            Self::FindNode(_) => PacketKind::FindNode,
            Self::Ping(_) => PacketKind::Ping,
        }
    }
}

impl Request {
    pub(super) fn new(
        contact: Contact,
        question: Sent,
        hash: Hash,
        sent_at: Instant,
        deadline: Instant,
    ) -> Self {
        let allowance = match question {
            Sent::FindNode(_) => NEIGHBORS_ALLOWANCE,
            Sent::EnrRequest(_) | Sent::Ping(_) => OTHER_ALLOWANCE,
        };
        Self { contact, question, hash, sent_at, deadline, allowance }
    }

    pub(super) fn id(&self) -> NodeId {
        self.contact.id()
    }

    /// Whether one more answer to it may cost the recovery of a signature.
    pub(super) const fn take_allowance(&mut self) -> bool {
        let allowed = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        allowed
    }
}

impl SentPing {
    /// Adds a purpose, if there is room.
    pub(super) fn add(&mut self, purpose: Purpose) -> bool {
        let room = self.purposes.len() < MAX_PURPOSES;
        if room {
            self.purposes.push(purpose);
        }
        room
    }
}

impl Requests {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            max: config.max_requests,
            max_ping_backs: config.max_ping_backs,
            open: BTreeMap::new(),
            by_endpoint: BTreeSet::new(),
            by_deadline: BTreeSet::new(),
            ping_backs: 0,
            next: 0,
        }
    }

    /// Those that were begun here.
    pub(super) fn len(&self) -> usize {
        self.open.len().saturating_sub(self.ping_backs)
    }

    /// The PINGs that answer a PING. They are counted apart: strangers must not take the room of
    /// what we need ourselves.
    pub(super) const fn ping_backs(&self) -> usize {
        self.ping_backs
    }

    pub(super) fn has_room(&self) -> bool {
        self.len() < self.max
    }

    pub(super) const fn has_room_for_ping_back(&self) -> bool {
        self.ping_backs < self.max_ping_backs
    }

    pub(super) fn open(&mut self, request: Request) -> RequestId {
        self.next = self.next.wrapping_add(1);
        let number = RequestId(self.next);
        if request.question.is_ping_back() {
            self.ping_backs = self.ping_backs.saturating_add(1);
        }
        self.by_endpoint.insert((request.contact.endpoint(), number));
        self.by_deadline.insert((request.deadline, number));
        self.open.insert(number, request);
        number
    }

    pub(super) fn close(&mut self, number: RequestId) -> Option<Request> {
        let request = self.open.remove(&number)?;
        if request.question.is_ping_back() {
            self.ping_backs = self.ping_backs.saturating_sub(1);
        }
        self.by_endpoint.remove(&(request.contact.endpoint(), number));
        self.by_deadline.remove(&(request.deadline, number));
        Some(request)
    }

    pub(super) fn get_mut(&mut self, number: RequestId) -> Option<&mut Request> {
        self.open.get_mut(&number)
    }

    /// Waits no longer than until `deadline`.
    pub(super) fn hurry(&mut self, number: RequestId, deadline: Instant) {
        if let Some(request) = self.open.get_mut(&number).filter(|r| r.deadline > deadline) {
            self.by_deadline.remove(&(request.deadline, number));
            request.deadline = deadline;
            self.by_deadline.insert((deadline, number));
        }
    }

    /// The requests to an endpoint.
    pub(super) fn at(&self, endpoint: SocketAddr) -> impl Iterator<Item = (RequestId, &Request)> {
        let there = (endpoint, RequestId(0))..=(endpoint, RequestId(u64::MAX));
        let numbers = self.by_endpoint.range(there).map(|&(_, number)| number);
        numbers.filter_map(|number| Some((number, self.open.get(&number)?)))
    }

    pub(super) fn of_kind(
        &self,
        endpoint: SocketAddr,
        kind: PacketKind,
    ) -> impl Iterator<Item = (RequestId, &Request)> {
        self.at(endpoint).filter(move |(_, request)| request.question.kind() == kind)
    }

    /// The request of this kind to a node at an endpoint.
    pub(super) fn find(
        &self,
        id: NodeId,
        endpoint: SocketAddr,
        kind: PacketKind,
    ) -> Option<RequestId> {
        let mut there = self.of_kind(endpoint, kind);
        there.find(|(_, request)| request.id() == id).map(|(number, _)| number)
    }

    /// The PING that is under way to a node at an endpoint.
    pub(super) fn ping_mut(
        &mut self,
        id: NodeId,
        endpoint: SocketAddr,
    ) -> Option<(&mut Contact, &mut SentPing)> {
        let number = self.find(id, endpoint, PacketKind::Ping)?;
        match self.open.get_mut(&number)? {
            Request { contact, question: Sent::Ping(ping), .. } => Some((contact, ping)),
            _ => None,
        }
    }

    /// All PINGs that are under way.
    pub(super) fn pings_mut(&mut self) -> impl Iterator<Item = &mut SentPing> {
        self.open.values_mut().filter_map(|request| match &mut request.question {
            Sent::Ping(ping) => Some(ping),
            Sent::EnrRequest(_) | Sent::FindNode(_) => None,
        })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|&(deadline, _)| deadline)
    }

    /// The next request whose time is over; close it.
    pub(super) fn due(&self, now: Instant) -> Option<RequestId> {
        self.by_deadline.first().filter(|(at, _)| *at <= now).map(|&(_, number)| number)
    }
}
