use std::collections::VecDeque;

use crate::{Contact, Distance, Id};

/// The limits of a [`Lookup`]. The defaults are those of the specifications of both discovery
/// protocols, where they have them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LookupConfig {
    /// The nodes that are asked at the same time: Kademlia's alpha. 3.
    pub parallelism: usize,
    /// The nodes that are looked for: Kademlia's k. 16.
    pub results: usize,
    /// The nodes that are taken from one answer. 16: more is never asked for.
    pub answer_limit: usize,
    /// The endpoints at which one node is asked, where others name different ones and it does not
    /// answer. 3: two liars do not hide a node, and an invention costs no more than three requests.
    pub max_endpoints: usize,
    /// The requests in all. 128: several times what a lookup takes where a third of the nodes is
    /// dead, so that only one that is led on by inventions runs into it.
    pub max_requests: usize,
    /// The nodes that are kept, asked or not. 256: all that are asked, and as many to choose from.
    pub max_nodes: usize,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            parallelism: 3,
            results: 16,
            answer_limit: 16,
            max_endpoints: 3,
            max_requests: 128,
            max_nodes: 256,
        }
    }
}

/// A search for the nodes nearest to a target.
///
/// It never sends anything, and knows no time: it says through
/// [`poll_request`](Self::poll_request) whom to ask, and is told the answers and the timeouts of
/// requests. A node that does not answer takes one of the slots until its request times out, and
/// then counts for nothing; the search goes on beside it.
///
/// Anybody can name a node where it is not. So where others name other endpoints, each of them one,
/// a node that did not answer is asked there, too, after those that were not asked at all. A liar
/// delays a node, and does not hide it.
///
/// It is over when the nearest [`results`](LookupConfig::results) nodes that are not known to be
/// dead have all answered, however few they are.
///
/// After any call, drain [`poll_request`](Self::poll_request) and
/// [`poll_result`](Self::poll_result) to `None`; then see whether it
/// [is finished](Self::is_finished).
#[derive(Clone, Debug)]
pub struct Lookup<V> {
    config: LookupConfig,
    own: Id,
    target: Id,
    /// Nearest first.
    nodes: Vec<Node<V>>,
    /// The requests that are under way.
    waiting: usize,
    /// The requests that were made.
    requests: usize,
    results: VecDeque<Id>,
}

#[derive(Clone, Debug)]
struct Node<V> {
    id: Id,
    distance: Distance,
    /// Where it is said to be, in the order in which it is asked there.
    places: Vec<Named<V>>,
    /// At how many of those it was asked until now. The last of these is in use.
    asked: usize,
    state: State,
}

/// What one node said of another.
#[derive(Clone, Debug)]
struct Named<V> {
    value: V,
    /// Who said so; nobody did of those that the search began with.
    by: Option<Id>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is to be asked at the next of its places.
    Waiting,
    /// It has been asked, and named so many nodes until now.
    Asked(usize),
    Answered,
    /// At none of its places. It is kept so that it is not asked there again.
    Failed,
}

impl<V> Node<V> {
    fn is_new(&self) -> bool {
        self.state == State::Waiting && self.asked == 0
    }

    /// What was said of it where it was asked last.
    fn value(&self) -> Option<&V> {
        self.places.get(self.asked.checked_sub(1)?).map(|named| &named.value)
    }
}

impl<V: Contact> Lookup<V> {
    /// A search by the node `own` for the nodes nearest to `target`. It begins with the nodes in
    /// `start`, of which the nearest are best, and never asks or finds `own`.
    pub fn new(
        config: LookupConfig,
        own: Id,
        target: Id,
        start: impl IntoIterator<Item = (Id, V)>,
    ) -> Self {
        let mut lookup = Self {
            config,
            own,
            target,
            nodes: Vec::new(),
            waiting: 0,
            requests: 0,
            results: VecDeque::new(),
        };
        for (id, value) in start {
            lookup.insert(id, value, None);
        }
        lookup
    }

    /// What is searched for.
    pub const fn target(&self) -> Id {
        self.target
    }

    /// The next node to ask for the nodes nearest to the target, if one is to be asked now. It must
    /// then be reported as [answered](Self::handle_answered) or [failed](Self::handle_failed). One
    /// that failed may be returned again, with another endpoint.
    pub fn poll_request(&mut self) -> Option<(Id, &V)> {
        if self.waiting >= self.config.parallelism.max(1) {
            return None;
        }
        let next = self.next_request()?;
        self.waiting = self.waiting.saturating_add(1);
        self.requests = self.requests.saturating_add(1);
        let node = self.nodes.get_mut(next)?;
        node.state = State::Asked(0);
        node.asked = node.asked.saturating_add(1);
        Some((node.id, node.value()?))
    }

    /// The node `from` named these nodes; more may follow, until its answer is complete. They are
    /// ignored where it is not being asked, or named enough.
    pub fn handle_nodes(&mut self, from: &Id, nodes: impl IntoIterator<Item = (Id, V)>) {
        let limit = self.config.answer_limit;
        let Some(State::Asked(named)) = self.state_mut(from) else { return };
        let room = limit.saturating_sub(*named);
        let nodes: Vec<_> = nodes.into_iter().take(room).collect();
        *named = named.saturating_add(nodes.len());
        for (id, value) in nodes {
            self.insert(id, value, Some(*from));
        }
    }

    /// The answer of `from` is complete, even if it named nobody.
    pub fn handle_answered(&mut self, from: &Id) {
        if self.finish_request(from, State::Answered) {
            self.results.push_back(*from);
        }
    }

    /// The request to `from` timed out or failed otherwise. It may not be there: if somebody names
    /// it elsewhere, it is asked there.
    pub fn handle_failed(&mut self, from: &Id) {
        if self.finish_request(from, State::Failed)
            && let Some(node) = self.node_mut(from)
            && node.asked < node.places.len()
        {
            node.state = State::Waiting;
        }
    }

    /// The next node that answered, in the order of the answers, near to the target or not.
    pub fn poll_result(&mut self) -> Option<(Id, &V)> {
        let id = self.results.pop_front()?;
        let at = self.position(&id).ok()?;
        self.nodes.get(at).and_then(|node| Some((node.id, node.value()?)))
    }

    /// Whether nobody is being asked, and nobody is left to ask.
    pub fn is_finished(&self) -> bool {
        self.waiting == 0 && self.next_request().is_none()
    }

    /// The nearest nodes that answered until now, nearest first, at most
    /// [`results`](LookupConfig::results): of a finished search, what it found.
    pub fn closest(&self) -> impl Iterator<Item = (Id, &V)> {
        self.nodes
            .iter()
            .filter(|node| node.state == State::Answered)
            .take(self.config.results)
            .filter_map(|node| Some((node.id, node.value()?)))
    }

    /// The requests that were made until now.
    pub const fn requests(&self) -> usize {
        self.requests
    }

    /// The nearest of the nodes not asked yet, or else of those to ask again, if it may be among the
    /// results.
    fn next_request(&self) -> Option<usize> {
        if self.requests >= self.config.max_requests {
            return None;
        }
        let alive = self.nodes.iter().enumerate().filter(|(_, node)| node.state != State::Failed);
        let nearest = || alive.clone().take(self.config.results);
        let new = nearest().find(|(_, node)| node.is_new());
        let next = new.or_else(|| nearest().find(|(_, node)| node.state == State::Waiting));
        next.map(|(at, _)| at)
    }

    fn insert(&mut self, id: Id, value: V, by: Option<Id>) {
        if id == self.own {
            return;
        }
        let named = Named { value, by };
        match self.position(&id) {
            Ok(at) => self.add_place(at, named),
            Err(at) => self.insert_node(at, id, named),
        }
    }

    /// A node that is known was named again, perhaps elsewhere.
    fn add_place(&mut self, at: usize, named: Named<V>) {
        let max = self.config.max_endpoints;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let adds_nothing = |known: &Named<V>| {
            let spoke = known.by.is_some() && known.by == named.by;
            spoke || known.value.same_endpoint(&named.value)
        };
        if node.state == State::Answered
            || node.places.len() >= max
            || node.places.iter().any(adds_nothing)
        {
            return;
        }
        node.places.push(named);
        if node.state == State::Failed {
            node.state = State::Waiting;
        }
    }

    fn insert_node(&mut self, at: usize, id: Id, named: Named<V>) {
        let distance = id.distance(&self.target);
        let node = Node { id, distance, places: vec![named], asked: 0, state: State::Waiting };
        self.nodes.insert(at, node);
        if self.nodes.len() > self.config.max_nodes
            && let Some(farthest) = self.nodes.iter().rposition(Node::is_new)
        {
            self.nodes.remove(farthest);
        }
    }

    fn finish_request(&mut self, from: &Id, outcome: State) -> bool {
        let Some(state @ State::Asked(_)) = self.state_mut(from) else { return false };
        *state = outcome;
        self.waiting = self.waiting.saturating_sub(1);
        true
    }

    fn state_mut(&mut self, id: &Id) -> Option<&mut State> {
        self.node_mut(id).map(|node| &mut node.state)
    }

    fn node_mut(&mut self, id: &Id) -> Option<&mut Node<V>> {
        let at = self.position(id).ok()?;
        self.nodes.get_mut(at)
    }

    /// Where the node is, or where it would be.
    fn position(&self, id: &Id) -> Result<usize, usize> {
        let distance = id.distance(&self.target);
        self.nodes.binary_search_by_key(&distance, |node| node.distance)
    }
}
