//! Searches: for the nodes near to a target, and for one node.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use devp2p_core::{Node, NodeId, PublicKey};
use devp2p_kad::Lookup;

use super::{
    Discv4, after,
    asks::{Answer, Client, Question},
    contact::{Contact, gives_endpoint, kad_id},
};
use crate::{
    Event, QueryId, RequestError,
    wire::{Signer, Target},
};

#[derive(Debug, Default)]
pub(super) struct Lookups {
    running: BTreeMap<QueryId, Running>,
    waiting: VecDeque<(QueryId, Target, Goal)>,
    /// Lookups for random targets, which are drawn when they start.
    random: VecDeque<QueryId>,
    next_random_at: Option<Instant>,
    /// Those of `running` for which there may be something to do.
    changed: BTreeSet<QueryId>,
}

#[derive(Debug)]
struct Running {
    lookup: Lookup<Contact>,
    target: Target,
    goal: Goal,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The nodes nearest to the target.
    Nodes,
    /// The node with this id.
    Node(NodeId),
    /// A fuller table.
    Refresh,
    /// The same, but it begins with the bootnodes. Where the network was in two parts, the tables
    /// of both are full of their own, and lookups that begin with those stay among them.
    Rejoin,
}

impl Goal {
    const fn is_refresh(self) -> bool {
        matches!(self, Self::Refresh | Self::Rejoin)
    }
}

impl Lookups {
    pub(super) fn len(&self) -> usize {
        self.running.len().saturating_add(self.waiting.len()).saturating_add(self.random.len())
    }

    fn has_room(&self, max: usize) -> bool {
        self.waiting.len().saturating_add(self.random.len()) < max
    }

    pub(super) fn is_refreshing(&self) -> bool {
        self.running.values().any(|running| running.goal.is_refresh())
            || self.waiting.iter().any(|(.., goal)| goal.is_refresh())
    }

    /// When a random lookup may start that waits only for its time.
    pub(super) fn next_start(&self, max: usize) -> Option<Instant> {
        let waits = !self.random.is_empty() && self.running.len() < max;
        self.next_random_at.filter(|_| waits)
    }

    pub(super) fn remove(&mut self, query: QueryId) {
        self.running.remove(&query);
        self.changed.remove(&query);
        self.waiting.retain(|(waiting, ..)| *waiting != query);
        self.random.retain(|waiting| *waiting != query);
    }
}

impl<S: Signer> Discv4<S> {
    /// Lets a lookup begin as soon as there is room.
    pub(super) fn queue_lookup(&mut self, query: QueryId, target: Target, goal: Goal) {
        if !goal.is_refresh() && !self.lookups.has_room(self.config.max_waiting_lookups) {
            self.tell(Event::Failed { query, error: RequestError::Busy });
            return;
        }
        self.lookups.waiting.push_back((query, target, goal));
    }

    pub(super) fn queue_random_lookup(&mut self, query: QueryId) {
        if !self.lookups.has_room(self.config.max_waiting_lookups) {
            self.tell(Event::Failed { query, error: RequestError::Busy });
            return;
        }
        self.lookups.random.push_back(query);
    }

    /// Begins those lookups that wait and can begin.
    pub(super) fn start_lookups(&mut self, now: Instant) {
        while self.lookups.running.len() < self.config.max_lookups.max(1) {
            let Some((query, target, goal)) = self.next_lookup(now) else { return };
            let id = kad_id(target.id());
            let start = match goal {
                Goal::Rejoin => self.table.pinned().collect(),
                _ => self.table.closest_known(&id, self.config.lookup.results),
            };
            let start = start.into_iter().map(|(id, contact)| (id, contact.clone()));
            let own = self.table.own_id();
            let lookup = Lookup::new(self.config.lookup.clone(), own, id, start);
            self.table.refreshed(now, &id);
            self.lookups.running.insert(query, Running { lookup, target, goal });
            self.lookups.changed.insert(query);
        }
    }

    fn next_lookup(&mut self, now: Instant) -> Option<(QueryId, Target, Goal)> {
        if let Some(waiting) = self.lookups.waiting.pop_front() {
            return Some(waiting);
        }
        if self.lookups.next_random_at.is_some_and(|at| now < at) {
            return None;
        }
        let query = self.lookups.random.pop_front()?;
        self.lookups.next_random_at = Some(after(now, self.config.random_lookup_interval));
        Some((query, self.random_target(), Goal::Nodes))
    }

    /// A target of which nobody can know beforehand.
    pub(super) fn random_target(&mut self) -> Target {
        let mut target = [0; 64];
        self.rng.fill(&mut target);
        Target::new(target)
    }

    /// The next lookup for which there may be something to do.
    pub(super) fn next_changed_lookup(&mut self) -> Option<QueryId> {
        self.lookups.changed.pop_first()
    }

    /// Asks whom the lookup wants to ask, tells what it found, and ends it when it is over.
    pub(super) fn drive_lookup(&mut self, now: Instant, query: QueryId) {
        while let Some((contact, target)) = self.next_request(query) {
            let id = kad_id(contact.id());
            let is_trusted = self.is_pinned(&contact);
            let client = Client::Lookup(query);
            let question = Question::FindNode(target);
            if self.ask(now, contact, question, client, is_trusted).is_err()
                && let Some(running) = self.lookups.running.get_mut(&query)
            {
                running.lookup.handle_failed(&id);
            }
        }
        while let Some((contact, goal)) = self.next_result(query) {
            match goal {
                Goal::Nodes => {
                    let node = self.latest(contact).node().clone();
                    self.tell(Event::LookupNode { query, node });
                }
                Goal::Node(id) if id == contact.id() => {
                    self.end_lookup(now, query);
                    self.fetch_record(now, query, contact);
                    return;
                }
                Goal::Node(_) | Goal::Refresh | Goal::Rejoin => {}
            }
        }
        let is_over = |running: &Running| running.lookup.is_finished();
        if self.lookups.running.get(&query).is_some_and(is_over) {
            self.conclude_lookup(now, query);
        }
    }

    fn next_request(&mut self, query: QueryId) -> Option<(Contact, Target)> {
        let running = self.lookups.running.get_mut(&query)?;
        let (_, contact) = running.lookup.poll_request()?;
        Some((contact.clone(), running.target))
    }

    fn next_result(&mut self, query: QueryId) -> Option<(Contact, Goal)> {
        let running = self.lookups.running.get_mut(&query)?;
        let (_, contact) = running.lookup.poll_result()?;
        Some((contact.clone(), running.goal))
    }

    fn conclude_lookup(&mut self, now: Instant, query: QueryId) {
        let Some(running) = self.lookups.running.remove(&query) else { return };
        match running.goal {
            Goal::Nodes => {
                let closest = running.lookup.closest().map(|(_, contact)| contact.clone());
                let nodes = closest.map(|contact| self.latest(contact).node().clone()).collect();
                self.tell(Event::LookupDone { query, nodes });
            }
            Goal::Node(_) => self.tell(Event::Resolved { query, node: None }),
            Goal::Refresh => {
                let is_vain = running.lookup.closest().next().is_none();
                self.handle_refreshed(now, is_vain);
            }
            // The bootnodes may well be gone.
            Goal::Rejoin => self.handle_refreshed(now, false),
        }
    }

    fn end_lookup(&mut self, now: Instant, query: QueryId) {
        self.lookups.remove(query);
        self.cancel_asks(now, query);
    }

    /// A node that a lookup asked has answered, or not.
    pub(super) fn handle_lookup_answer(
        &mut self,
        query: QueryId,
        id: NodeId,
        result: Result<Answer, RequestError>,
    ) {
        let Some(running) = self.lookups.running.get_mut(&query) else { return };
        let id = kad_id(id);
        if let Ok(Answer::Nodes(nodes)) = result {
            let nodes = nodes.into_iter().map(|contact| (kad_id(contact.id()), contact));
            running.lookup.handle_nodes(&id, nodes);
            running.lookup.handle_answered(&id);
        } else {
            running.lookup.handle_failed(&id);
        }
        self.lookups.changed.insert(query);
    }

    /// Looks for one node: if the table has it, there, and if it does not answer, or is unknown,
    /// in the network.
    pub(super) fn start_resolve(&mut self, now: Instant, query: QueryId, key: PublicKey) {
        let id = NodeId::from(key);
        if id == self.own {
            self.tell(Event::Failed { query, error: RequestError::OwnId });
            return;
        }
        let known = self.table.get(&kad_id(id)).filter(|known| known.is_verified());
        let known = known.map(|known| known.value().clone());
        let asked = known.is_some_and(|contact| {
            self.ask(now, contact, Question::Enr, Client::Resolve(query), true).is_ok()
        });
        if !asked {
            self.queue_lookup(query, Target::from(key), Goal::Node(id));
        }
    }

    /// The node was found; its record tells more.
    fn fetch_record(&mut self, now: Instant, query: QueryId, contact: Contact) {
        let contact = self.latest(contact);
        let node = contact.node().clone();
        let wanted = self.config.request_records && node.record().is_none();
        let client = Client::Found(query);
        if !wanted || self.ask(now, contact, Question::Enr, client, true).is_err() {
            self.tell(Event::Resolved { query, node: Some(node) });
        }
    }

    /// The node gave its record, or did not; `is_found` if it is known to be there all the same.
    pub(super) fn handle_resolve_answer(
        &mut self,
        query: QueryId,
        contact: &Contact,
        is_found: bool,
        result: Result<Answer, RequestError>,
    ) {
        let node = contact.node().clone();
        let node = match result {
            Ok(Answer::Record(record)) if gives_endpoint(&record, contact.endpoint()) => {
                Node::from_record(record)
            }
            Ok(_) => node,
            Err(_) if is_found => node,
            Err(_) => {
                let target = Target::from(node.public_key());
                self.queue_lookup(query, target, Goal::Node(contact.id()));
                return;
            }
        };
        self.tell(Event::Resolved { query, node: Some(node) });
    }
}
