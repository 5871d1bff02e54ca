//! Asking a node something: first it must hold our proof, and then it gets the question.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::{NodeId, Record};

use super::{
    Discv4, after,
    contact::Contact,
    requests::{Purpose, Request, RequestId, Sent},
};
use crate::{
    Event, QueryId, RequestError,
    wire::{PacketKind, Signer, Target},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AskId(u64);

/// What is being asked of others, from the PING that may have to come first to the answer.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: BTreeMap<AskId, Ask>,
    by_contact: BTreeSet<(SocketAddr, NodeId, AskId)>,
    by_query: BTreeSet<(QueryId, AskId)>,
    /// The nodes whose records the table is asking for.
    updating: BTreeSet<NodeId>,
    timers: BTreeSet<(Instant, AskId)>,
    next: u64,
}

#[derive(Debug)]
pub(super) struct Ask {
    pub(super) contact: Contact,
    pub(super) question: Question,
    pub(super) client: Client,
    stage: Stage,
    /// What came of the answer until now, for FINDNODE.
    pub(super) answer: Neighborhood,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Enr,
    FindNode(Target),
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// A search for this one node, which a lookup found.
    Found(QueryId),
    /// A lookup.
    Lookup(QueryId),
    /// A command.
    Query(QueryId),
    /// A search for this one node, which was in the table.
    Resolve(QueryId),
    /// The table: the node has a newer record.
    Table,
}

impl Client {
    const fn query(self) -> Option<QueryId> {
        match self {
            Self::Found(query)
            | Self::Lookup(query)
            | Self::Query(query)
            | Self::Resolve(query) => Some(query),
            Self::Table => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Our PING is under way.
    Proving,
    /// It was answered. The node has time for its own PING, or our answer to that has a moment to
    /// arrive.
    Settling(Instant),
    /// Another FINDNODE is under way to the node.
    Queued,
    /// The question is under way.
    Sent(RequestId),
}

/// The answer to FINDNODE, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Neighborhood {
    /// Whether any part of it came.
    pub(super) is_answered: bool,
    /// The nodes that were named.
    pub(super) named: usize,
    /// Those of them that were taken.
    pub(super) nodes: Vec<Contact>,
}

#[derive(Debug)]
pub(super) enum Answer {
    Nodes(Vec<Contact>),
    Record(Record),
}

impl Asks {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn add(&mut self, contact: Contact, question: Question, client: Client) -> AskId {
        self.next = self.next.wrapping_add(1);
        let number = AskId(self.next);
        self.by_contact.insert((contact.endpoint(), contact.id(), number));
        match client.query() {
            Some(query) => _ = self.by_query.insert((query, number)),
            None => _ = self.updating.insert(contact.id()),
        }
        let answer = Neighborhood::default();
        let ask = Ask { contact, question, client, stage: Stage::Proving, answer };
        self.open.insert(number, ask);
        number
    }

    fn remove(&mut self, number: AskId) -> Option<Ask> {
        let ask = self.open.remove(&number)?;
        self.by_contact.remove(&(ask.contact.endpoint(), ask.contact.id(), number));
        match ask.client.query() {
            Some(query) => _ = self.by_query.remove(&(query, number)),
            None => _ = self.updating.remove(&ask.contact.id()),
        }
        if let Stage::Settling(until) = ask.stage {
            self.timers.remove(&(until, number));
        }
        Some(ask)
    }

    pub(super) fn get_mut(&mut self, number: AskId) -> Option<&mut Ask> {
        self.open.get_mut(&number)
    }

    fn set_stage(&mut self, number: AskId, stage: Stage) {
        let Some(ask) = self.open.get_mut(&number) else { return };
        if let Stage::Settling(until) = ask.stage {
            self.timers.remove(&(until, number));
        }
        ask.stage = stage;
        if let Stage::Settling(until) = stage {
            self.timers.insert((until, number));
        }
    }

    /// The node sent a PING, and was answered: who waits for that waits no longer than `until`.
    pub(super) fn hurry(&mut self, id: NodeId, endpoint: SocketAddr, until: Instant) {
        let waiting: Vec<_> = self
            .to(id, endpoint)
            .filter(|(_, ask)| matches!(ask.stage, Stage::Settling(at) if at > until))
            .map(|(number, _)| number)
            .collect();
        for number in waiting {
            self.set_stage(number, Stage::Settling(until));
        }
    }

    /// Whether the table is asking for the node's record; it then does not ask again.
    pub(super) fn is_updating(&self, id: NodeId) -> bool {
        self.updating.contains(&id)
    }

    fn first_queued(&self, id: NodeId, endpoint: SocketAddr) -> Option<AskId> {
        let mut asks = self.to(id, endpoint);
        asks.find(|(_, ask)| matches!(ask.stage, Stage::Queued)).map(|(number, _)| number)
    }

    fn to(&self, id: NodeId, endpoint: SocketAddr) -> impl Iterator<Item = (AskId, &Ask)> {
        let there = (endpoint, id, AskId(0))..=(endpoint, id, AskId(u64::MAX));
        let numbers = self.by_contact.range(there).map(|&(.., number)| number);
        numbers.filter_map(|number| Some((number, self.open.get(&number)?)))
    }

    fn of_query(&self, query: QueryId) -> Vec<AskId> {
        let of_query = (query, AskId(0))..=(query, AskId(u64::MAX));
        self.by_query.range(of_query).map(|&(_, number)| number).collect()
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    pub(super) fn due(&self, now: Instant) -> Option<AskId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|&(_, number)| number)
    }
}

impl<S: Signer> Discv4<S> {
    /// Asks a node, if anything can be asked of it now. The answer, or its absence, then comes to
    /// the client.
    ///
    /// A node answers FINDNODE and ENRREQUEST only to those who answered a PING of its own. If we
    /// did, as far as we know, we ask at once. Otherwise our PING comes first, which makes it send
    /// one, unless it holds a proof of which we do not know: so we wait for that PING, but not long.
    ///
    /// `is_trusted` is of nodes that nobody but the user named.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        contact: Contact,
        question: Question,
        client: Client,
        is_trusted: bool,
    ) -> Result<(), RequestError> {
        self.check_contact(&contact)?;
        if self.asks.len() >= self.config.max_requests {
            return Err(RequestError::Busy);
        }
        let (id, endpoint) = (contact.id(), contact.endpoint());
        let last_ping = self.bonds.last_ping(id, endpoint);
        let last_pong = self.bonds.last_pong(id, endpoint);
        let number = self.asks.add(contact.clone(), question, client);
        let ready_at = if self.bonds.holds_ours(now, id, endpoint) {
            last_ping.map(|at| after(at, self.config.proof_delay))
        } else {
            // Our PING was answered a moment ago: its own is on its way, if it sends one.
            last_pong.map(|at| after(at, self.config.proof_timeout)).filter(|&at| at > now)
        };
        let result = match ready_at {
            Some(at) => self.settle(now, number, at),
            None => self.prove(now, contact, number, is_trusted),
        };
        if result.is_err() {
            self.asks.remove(number);
        }
        result
    }

    fn prove(
        &mut self,
        now: Instant,
        contact: Contact,
        number: AskId,
        is_trusted: bool,
    ) -> Result<(), RequestError> {
        if !is_trusted && !self.may_contact(now, &contact) {
            return Err(RequestError::Busy);
        }
        self.send_ping(now, contact, Purpose::Ask(number))
    }

    /// Waits before the question.
    fn settle(&mut self, now: Instant, number: AskId, until: Instant) -> Result<(), RequestError> {
        if until <= now {
            return self.send_question(now, number);
        }
        self.asks.set_stage(number, Stage::Settling(until));
        Ok(())
    }

    /// The node answered the PING that came first. `answered_at` is when we answered one of its
    /// own, if we did.
    pub(super) fn handle_ask_proven(
        &mut self,
        now: Instant,
        number: AskId,
        answered_at: Option<Instant>,
    ) {
        let until = match answered_at {
            Some(at) => after(at, self.config.proof_delay),
            None => after(now, self.config.proof_timeout),
        };
        if let Err(error) = self.settle(now, number, until) {
            self.finish_ask(now, number, Err(error));
        }
    }

    /// The wait before the question is over.
    pub(super) fn handle_ask_settled(&mut self, now: Instant, number: AskId) {
        if let Err(error) = self.send_question(now, number) {
            self.finish_ask(now, number, Err(error));
        }
    }

    fn send_question(&mut self, now: Instant, number: AskId) -> Result<(), RequestError> {
        let Some(ask) = self.asks.get_mut(number) else { return Ok(()) };
        let (contact, question) = (ask.contact.clone(), ask.question);
        let (id, endpoint) = (contact.id(), contact.endpoint());
        let sent = match question {
            Question::Enr => Sent::EnrRequest(number),
            Question::FindNode(_) => Sent::FindNode(number),
        };
        let kind = sent.kind();
        if kind == PacketKind::FindNode && self.requests.find(id, endpoint, kind).is_some() {
            self.asks.set_stage(number, Stage::Queued);
            return Ok(());
        }
        if !self.requests.has_room() {
            return Err(RequestError::Busy);
        }
        let sealed = self.seal_question(now, question).ok_or(RequestError::Busy)?;
        self.transmit(endpoint, kind, sealed.bytes);
        let deadline = after(now, self.config.request_timeout);
        let request = Request::new(contact, sent, sealed.hash, now, deadline);
        let request = self.requests.open(request);
        self.asks.set_stage(number, Stage::Sent(request));
        Ok(())
    }

    /// The question was answered, or will not be.
    pub(super) fn finish_ask(
        &mut self,
        now: Instant,
        number: AskId,
        result: Result<Answer, RequestError>,
    ) {
        let Some(ask) = self.asks.remove(number) else { return };
        match ask.client {
            Client::Lookup(query) => self.handle_lookup_answer(query, ask.contact.id(), result),
            Client::Query(query) => self.tell(match result {
                Ok(Answer::Nodes(nodes)) => {
                    let nodes = nodes.iter().map(|contact| contact.node().clone()).collect();
                    Event::Neighbors { query, nodes }
                }
                Ok(Answer::Record(record)) => Event::Enr { query, record },
                Err(error) => Event::Failed { query, error },
            }),
            Client::Found(query) => self.handle_resolve_answer(query, &ask.contact, true, result),
            Client::Resolve(query) => {
                self.handle_resolve_answer(query, &ask.contact, false, result);
            }
            Client::Table => {
                if let Ok(Answer::Record(record)) = result {
                    self.handle_newer_record(now, &ask.contact, record);
                }
            }
        }
    }

    /// No FINDNODE is under way to the node any more: the next may go.
    pub(super) fn send_queued(&mut self, now: Instant, id: NodeId, endpoint: SocketAddr) {
        let kind = PacketKind::FindNode;
        while self.requests.find(id, endpoint, kind).is_none()
            && let Some(number) = self.asks.first_queued(id, endpoint)
        {
            self.handle_ask_settled(now, number);
        }
    }

    /// Nobody waits for the answers to these any more.
    pub(super) fn cancel_asks(&mut self, now: Instant, query: QueryId) {
        for number in self.asks.of_query(query) {
            let Some(ask) = self.asks.remove(number) else { continue };
            if let Stage::Sent(request) = ask.stage {
                self.requests.close(request);
                self.send_queued(now, ask.contact.id(), ask.contact.endpoint());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use devp2p_core::{LanPolicy, NodeKey, Rng};

    use super::*;

    fn contact(node: u8, place: u8) -> Contact {
        let key = NodeKey::from_bytes(&[node + 1; 32]).unwrap().public_key();
        Contact::heard(key, ([9, 9, 9, place], 30303).into(), 30303, LanPolicy::Limit)
    }

    /// What is found by index is what a look through all finds, in the same order.
    #[test]
    fn an_index_finds_what_is_there() {
        let mut rng = Rng::from_seed([6; 32]);
        let mut draw = |below| u8::try_from(rng.below(below)).unwrap();
        let contacts: Vec<_> =
            (0..4).flat_map(|node| (0..3).map(move |place| contact(node, place))).collect();
        let mut asks = Asks::default();
        for step in 0..3_000 {
            let contact = contacts[usize::from(draw(12))].clone();
            let query = QueryId(draw(4).into());
            let client = match draw(6) {
                0 => Client::Found(query),
                1 => Client::Query(query),
                2 => Client::Resolve(query),
                3 if !asks.is_updating(contact.id()) => Client::Table,
                _ => Client::Lookup(query),
            };
            // More and more, and in the end nobody.
            if draw(5) < 3 && step < 2_000 {
                asks.add(contact.clone(), Question::Enr, client);
            } else if !asks.open.is_empty() {
                let at = usize::from(draw(200)) % asks.open.len();
                let number = *asks.open.keys().nth(at).unwrap();
                assert!(asks.remove(number).is_some() && asks.remove(number).is_none());
            }
            let (id, endpoint) = (contact.id(), contact.endpoint());
            let all = || asks.open.iter();
            let there = all()
                .filter(|(_, ask)| (ask.contact.id(), ask.contact.endpoint()) == (id, endpoint));
            assert!(asks.to(id, endpoint).map(|(number, _)| number).eq(there.map(|(n, _)| *n)));
            let of_query = all().filter(|(_, ask)| ask.client.query() == Some(query));
            assert!(asks.of_query(query).iter().eq(of_query.map(|(number, _)| number)));
            let mut updates = all().filter(|(_, ask)| ask.client == Client::Table);
            let is_updating = updates.any(|(_, ask)| ask.contact.id() == id);
            assert_eq!(asks.is_updating(id), is_updating);
        }
        assert_eq!(asks.len(), 0);
        assert!(asks.by_contact.is_empty() && asks.by_query.is_empty());
        assert!(asks.updating.is_empty());
    }
}
