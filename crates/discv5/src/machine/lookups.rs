//! Searches: for the nodes near to a target, and for one node.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use devp2p_core::{Node, NodeId, Record};
use devp2p_kad::{Lookup, LookupConfig};

use super::{
    Discv5, Peer, after,
    contact::{Contact, gives_endpoint, kad_id, node_id},
    purpose::Purpose,
    requests::{Answer, Ask},
};
use crate::{Event, QueryId, RequestError, crypto::Identity};

/// Chooses nodes by their records.
pub type Predicate = Box<dyn Fn(&Record) -> bool + Send>;

/// The distances that a node is asked for in a lookup: the target's own, at which all are that are
/// nearer to it than the node itself, and then those around it, as far as there is room in the
/// answer. go-ethereum asks for 3; where nodes have died, lookups of so few miss some. 6: others
/// refuse more than 10.
const DISTANCES: usize = 6;
/// The largest logarithmic distance.
const MAX_DISTANCE: u16 = 256;

#[derive(Default)]
pub(super) struct Lookups {
    running: BTreeMap<QueryId, Running>,
    waiting: VecDeque<(QueryId, NodeId, Goal)>,
    /// Lookups for random targets, which are drawn when they start.
    random: VecDeque<QueryId>,
    next_random_at: Option<Instant>,
    /// Those of `running` for which there may be something to do.
    changed: BTreeSet<QueryId>,
}

struct Running {
    lookup: Lookup<Contact>,
    goal: Goal,
}

/// What a lookup is for.
enum Goal {
    /// The nodes nearest to the target.
    Nodes,
    /// The node with this id.
    Node(NodeId),
    /// A fuller table.
    Refresh,
    /// The same, but it begins with the bootnodes. Where the network was in two parts, the tables
    /// of both are full of their own, and lookups that begin with those stay among them.
    Rejoin,
    /// So many nodes that are chosen, of all that answer.
    Where { limit: usize, found: usize, predicate: Predicate },
}

impl Goal {
    const fn is_refresh(&self) -> bool {
        matches!(self, Self::Refresh | Self::Rejoin)
    }

    /// Whether no more nodes are wanted.
    const fn is_reached(&self) -> bool {
        matches!(self, Self::Where { limit, found, .. } if *found >= *limit)
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

    fn remove(&mut self, query: QueryId) {
        self.running.remove(&query);
        self.changed.remove(&query);
        self.waiting.retain(|(waiting, ..)| *waiting != query);
        self.random.retain(|waiting| *waiting != query);
    }
}

impl<I: Identity> Discv5<I> {
    /// Lets a lookup of the user begin as soon as there is room.
    pub(super) fn queue_lookup(
        &mut self,
        query: QueryId,
        target: NodeId,
        predicate: Option<(usize, Predicate)>,
    ) {
        let goal = match predicate {
            Some((limit, predicate)) => Goal::Where { limit, found: 0, predicate },
            None => Goal::Nodes,
        };
        self.queue(query, target, goal);
    }

    pub(super) fn queue_random_lookup(&mut self, query: QueryId) {
        if self.lookups.has_room(self.config.max_waiting_lookups) {
            self.lookups.random.push_back(query);
        } else {
            self.tell(Event::Failed { query, error: RequestError::Busy });
        }
    }

    /// A lookup of which nobody is told, that makes the table fuller.
    pub(super) fn queue_refresh(&mut self, target: NodeId) {
        let query = self.query();
        self.queue(query, target, Goal::Refresh);
    }

    /// The same for our own id, beginning with the bootnodes.
    pub(super) fn queue_rejoin(&mut self) {
        let query = self.query();
        self.queue(query, self.own, Goal::Rejoin);
    }

    fn queue(&mut self, query: QueryId, target: NodeId, goal: Goal) {
        if goal.is_refresh() || self.lookups.has_room(self.config.max_waiting_lookups) {
            self.lookups.waiting.push_back((query, target, goal));
        } else {
            self.tell(Event::Failed { query, error: RequestError::Busy });
        }
    }

    pub(super) fn cancel_lookup(&mut self, query: QueryId) {
        self.lookups.remove(query);
    }

    /// Begins those lookups that wait and can begin.
    pub(super) fn start_lookups(&mut self, now: Instant) {
        while self.lookups.running.len() < self.config.max_lookups.max(1) {
            let Some((query, target, goal)) = self.next_lookup(now) else { return };
            let (own, target) = (self.table.own_id(), kad_id(target));
            let start = match goal {
                Goal::Rejoin => self.table.pinned().collect(),
                _ => self.table.closest_known(&target, self.config.lookup.results),
            };
            let start = start.into_iter().map(|(id, contact)| (id, contact.clone()));
            let lookup = Lookup::new(self.lookup_config(&goal), own, target, start);
            self.table.refreshed(now, &target);
            self.lookups.running.insert(query, Running { lookup, goal });
            self.lookups.changed.insert(query);
        }
    }

    fn next_lookup(&mut self, now: Instant) -> Option<(QueryId, NodeId, Goal)> {
        if let Some(waiting) = self.lookups.waiting.pop_front() {
            return Some(waiting);
        }
        if self.lookups.next_random_at.is_some_and(|at| now < at) {
            return None;
        }
        let query = self.lookups.random.pop_front()?;
        self.lookups.next_random_at = Some(after(now, self.config.random_lookup_interval));
        // Of which nobody can know beforehand.
        let mut target = [0; 32];
        self.rng.fill(&mut target);
        Some((query, NodeId::new(target), Goal::Nodes))
    }

    /// Who looks for some nodes of many goes on after the nearest have answered.
    fn lookup_config(&self, goal: &Goal) -> LookupConfig {
        let mut config = self.config.lookup.clone();
        if matches!(goal, Goal::Where { .. }) {
            config.results = config.max_nodes;
        }
        config
    }

    /// The next lookup for which there may be something to do.
    pub(super) fn next_changed_lookup(&mut self) -> Option<QueryId> {
        self.lookups.changed.pop_first()
    }

    /// Tells what a lookup found, asks whom it wants to ask, and ends it when it is over.
    pub(super) fn drive_lookup(&mut self, now: Instant, query: QueryId) {
        while let Some(contact) = self.next_result(query) {
            if self.handle_result(query, &contact) {
                return;
            }
        }
        while let Some((contact, distances)) = self.next_request(query) {
            let (node, endpoint) = (contact.node(), contact.endpoint());
            let asked = self.may_contact(now, &contact)
                && self
                    .request(now, node, endpoint, Ask::FindNode(distances), Purpose::Lookup(query))
                    .is_ok();
            if !asked && let Some(running) = self.lookups.running.get_mut(&query) {
                running.lookup.handle_failed(&kad_id(contact.id()));
            }
        }
        let is_over = |running: &Running| running.goal.is_reached() || running.lookup.is_finished();
        if self.lookups.running.get(&query).is_some_and(is_over) {
            self.conclude_lookup(now, query);
        }
    }

    fn next_request(&mut self, query: QueryId) -> Option<(Contact, Vec<u16>)> {
        let running = self.lookups.running.get_mut(&query)?;
        if running.goal.is_reached() {
            return None;
        }
        let target = running.lookup.target();
        let (id, contact) = running.lookup.poll_request()?;
        Some((contact.clone(), distances(id.log_distance(&target))))
    }

    fn next_result(&mut self, query: QueryId) -> Option<Contact> {
        let (_, contact) = self.lookups.running.get_mut(&query)?.lookup.poll_result()?;
        Some(contact.clone())
    }

    /// A node answered. Whether the lookup is over with that.
    fn handle_result(&mut self, query: QueryId, contact: &Contact) -> bool {
        let node = self.newest(contact);
        let Some(running) = self.lookups.running.get_mut(&query) else { return true };
        match &mut running.goal {
            Goal::Nodes => self.tell(Event::LookupNode { query, node }),
            Goal::Where { found, predicate, .. } => {
                if node.record().is_some_and(predicate) {
                    *found = found.saturating_add(1);
                    let is_over = running.goal.is_reached();
                    self.tell(Event::LookupNode { query, node });
                    if is_over {
                        self.conclude_chosen(query);
                    }
                    return is_over;
                }
            }
            Goal::Node(id) if *id == node.id() => {
                self.end_lookup(query);
                self.tell(Event::Resolved { query, node: Some(node) });
                return true;
            }
            Goal::Node(_) | Goal::Refresh | Goal::Rejoin => {}
        }
        false
    }

    fn conclude_lookup(&mut self, now: Instant, query: QueryId) {
        let Some(running) = self.lookups.running.get(&query) else { return };
        match &running.goal {
            Goal::Nodes | Goal::Where { .. } => self.conclude_chosen(query),
            Goal::Node(id) => {
                // Others may have told its record, though it does not answer us.
                let node = self.known_record(*id).map(Node::from_record);
                self.end_lookup(query);
                self.tell(Event::Resolved { query, node });
            }
            Goal::Refresh => {
                let is_vain = running.lookup.closest().next().is_none();
                self.end_lookup(query);
                self.handle_refreshed(now, is_vain);
            }
            // The bootnodes may well be gone.
            Goal::Rejoin => {
                self.end_lookup(query);
                self.handle_refreshed(now, false);
            }
        }
    }

    /// Ends a lookup that tells the nodes it found.
    fn conclude_chosen(&mut self, query: QueryId) {
        let Some(Running { lookup, goal }) = self.lookups.running.remove(&query) else { return };
        let found: Vec<_> = lookup.closest().map(|(_, contact)| self.newest(contact)).collect();
        let nodes = match &goal {
            Goal::Where { limit, predicate, .. } => {
                let chosen = |node: &Node| node.record().is_some_and(predicate);
                found.into_iter().filter(chosen).take(*limit).collect()
            }
            Goal::Nodes | Goal::Node(_) | Goal::Refresh | Goal::Rejoin => found,
        };
        self.end_lookup(query);
        self.tell(Event::LookupDone { query, nodes });
    }

    fn end_lookup(&mut self, query: QueryId) {
        self.lookups.remove(query);
        self.cancel_requests(query);
    }

    /// A node that was found, with the newest record that tells that it is where it answered.
    fn newest(&self, contact: &Contact) -> Node {
        let is_there = |record: &Record| gives_endpoint(record, contact.endpoint());
        let newest = self.known_record(contact.id()).filter(is_there);
        newest.map_or_else(|| contact.node().clone(), Node::from_record)
    }

    /// A node that a lookup asked has named these nodes, or has not answered.
    pub(super) fn handle_lookup_answer(
        &mut self,
        query: QueryId,
        id: NodeId,
        named: Option<&[Node]>,
    ) {
        let contact = |node: &Node| Some((kad_id(node.id()), self.contact_of(node.clone())?));
        let named = named.map(|nodes| nodes.iter().filter_map(contact).collect::<Vec<_>>());
        let Some(running) = self.lookups.running.get_mut(&query) else { return };
        match named {
            Some(nodes) => {
                running.lookup.handle_nodes(&kad_id(id), nodes);
                running.lookup.handle_answered(&kad_id(id));
            }
            None => running.lookup.handle_failed(&kad_id(id)),
        }
        self.lookups.changed.insert(query);
    }

    /// Looks for one node: where it is known to be, and if it does not answer, or is unknown, in the
    /// network.
    pub(super) fn start_resolve(&mut self, now: Instant, query: QueryId, id: NodeId) {
        if id == self.own {
            self.tell(Event::Failed { query, error: RequestError::OwnId });
            return;
        }
        let asked = self.contact_with(id).is_some_and(|contact| {
            let (node, endpoint) = (contact.node(), contact.endpoint());
            let purpose = Purpose::Resolve(query);
            self.request(now, node, endpoint, Ask::FindNode(vec![0]), purpose).is_ok()
        });
        if !asked {
            self.queue(query, id, Goal::Node(id));
        }
    }

    /// What is known of a node: where it answered, or where it is said to be.
    fn contact_with(&self, id: NodeId) -> Option<Contact> {
        let id = kad_id(id);
        let known = self.table.get(&id).map(|known| known.value());
        let pinned = || self.table.pinned().find(|(pinned, _)| *pinned == id).map(|(_, c)| c);
        known.or_else(pinned).cloned().or_else(|| {
            let record = self.known_record(node_id(id))?;
            self.contact_of(Node::from_record(record))
        })
    }

    /// A node that is looked for was asked for its record itself.
    pub(super) fn handle_resolve_answer(
        &mut self,
        query: QueryId,
        peer: Peer,
        answer: Option<&Answer>,
    ) {
        let known = self.contact_with(peer.id).map(|contact| self.newest(&contact));
        match answer {
            Some(Answer::Nodes(nodes)) => {
                let own = nodes.iter().find(|node| node.id() == peer.id).cloned();
                self.tell(Event::Resolved { query, node: own.or(known) });
            }
            _ => self.queue(query, peer.id, Goal::Node(peer.id)),
        }
    }
}

/// The distance, and then those nearest to it.
fn distances(distance: u16) -> Vec<u16> {
    let farther = (1..).map(|by| distance.checked_add(by).filter(|at| *at <= MAX_DISTANCE));
    let nearer = (1..).map(|by: u16| distance.checked_sub(by).filter(|at| *at > 0));
    let around = farther.zip(nearer).flat_map(|(farther, nearer)| [farther, nearer]).flatten();
    std::iter::once(distance).chain(around).take(DISTANCES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distances_are_those_nearest_to_the_target() {
        assert_eq!(distances(200), [200, 201, 199, 202, 198, 203]);
        assert_eq!(distances(256), [256, 255, 254, 253, 252, 251]);
        assert_eq!(distances(2), [2, 3, 1, 4, 5, 6]);
        // The record of the node itself, and of its neighbours.
        assert_eq!(distances(0), [0, 1, 2, 3, 4, 5]);
    }
}
