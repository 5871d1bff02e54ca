//! The client, without the network.

mod cache;
mod check;
mod config;
mod event;
mod followed;
mod walk;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use devp2p_core::Rng;

use self::{
    cache::Cache,
    followed::{Followed, Task},
    walk::{Place, Subtree},
};
pub use self::{
    config::Config,
    event::{Event, LookupId, Output},
};
use crate::{Entry, Link, LookupError, SyncError, Txt, tree::below};

/// How deep an entry may be below the root. Trees of 13 children a branch have 30,000 records in
/// depth 5; this leaves room for narrower ones.
pub const MAX_DEPTH: usize = 16;

/// How many links a tree may have; the trees of Ethereum's networks have none or two.
pub(crate) const MAX_LINKS: usize = 64;

/// How many entries the subtree of links may have: as many links, each with a branch of its own.
/// It is small because it is read before the records.
const MAX_LINK_ENTRIES: usize = 2 * MAX_LINKS;

/// How many trees away from a configured one a tree may be.
const MAX_LINK_DISTANCE: usize = 4;

/// How many lookups wait for an answer at once: with answers after less than a second the rate
/// is what limits, and name servers that do not answer keep few.
const MAX_WAITING: usize = 4;

/// How often an entry is looked up in a round while there is no answer.
const MAX_ATTEMPTS: u8 = 3;

/// How many TXT records of one name are looked at. A name of a tree has one; a domain may have some
/// of its own.
const MAX_TXT_RECORDS: usize = 16;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A client of trees in DNS: it follows some trees, and finds the nodes in them.
///
/// Nothing here asks DNS, reads a clock or draws randomness: it says which name to look up, takes
/// the answer, and never looks anything up that nobody [wants](Client::want) records of.
///
/// After any call that takes the time drain [`poll_output`](Self::poll_output) to `None`, then wait
/// for an answer or for [`poll_timeout`](Self::poll_timeout).
///
/// Of each tree it keeps the root, which names have been seen in the present round, and those that
/// are still to be read. Entries are read in random order, a round after another, and a record is
/// told once a round; a round takes a second at least. All trees that have something to read have
/// the same chance to be next, however large they are.
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: Rng,
    /// The trees to start from.
    configured: Vec<Link>,
    trees: Vec<Followed>,
    cache: Cache,
    waiting: BTreeMap<LookupId, Waiting>,
    outputs: VecDeque<Output>,
    wanted: usize,
    /// The rate allows no lookup before.
    next_lookup: Option<Instant>,
    /// Numbers of lookups and trees.
    next_id: u64,
}

/// A lookup that has no answer yet.
#[derive(Debug)]
struct Waiting {
    tree: u64,
    deadline: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Root,
    Entry { subtree: Subtree, walk: u64, place: Place },
}

impl Client {
    /// A client of these trees. It does nothing until records are [wanted](Self::want).
    pub fn new(
        config: Config,
        trees: impl IntoIterator<Item = Link>,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut configured = Vec::new();
        for link in trees {
            if !configured.contains(&link) {
                configured.push(link);
            }
        }
        let mut client = Self {
            cache: Cache::new(config.cache_entries),
            config,
            rng: Rng::from_seed(seed),
            configured,
            trees: Vec::new(),
            waiting: BTreeMap::new(),
            outputs: VecDeque::new(),
            wanted: 0,
            next_lookup: None,
            next_id: 0,
        };
        client.follow_links(now);
        client
    }

    /// Has it look for so many records from now on, whatever was wanted before.
    ///
    /// It may tell of a few more, whose lookups were under way.
    pub fn want(&mut self, now: Instant, records: usize) {
        self.wanted = records;
        self.advance(now);
    }

    /// How many records are wanted still.
    pub const fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes the answer to a lookup: what the name's TXT records say. One that comes too late is
    /// ignored.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        id: LookupId,
        answer: Result<Vec<Txt>, LookupError>,
    ) {
        if let Some(waiting) = self.waiting.remove(&id) {
            self.take_answer(now, waiting, answer);
        }
        self.advance(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now);
        for id in late.map(|(&id, _)| id).collect::<Vec<_>>() {
            if let Some(waiting) = self.waiting.remove(&id) {
                self.take_answer(now, waiting, Err(LookupError::Timeout));
            }
        }
        self.advance(now);
    }

    /// What is to be done or told next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.waiting.values().map(|waiting| waiting.deadline);
        let may_look = self.wanted > 0 && self.waiting.len() < MAX_WAITING;
        let tasks = self.trees.iter().filter(|_| may_look).filter_map(Followed::next_task);
        let tasks = tasks.map(|at| self.next_lookup.map_or(at, |next| next.max(at)));
        deadlines.chain(tasks).min()
    }

    /// Whether a lookup waits for its answer still.
    pub fn is_waiting(&self, id: LookupId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// The trees that are followed, the configured ones first.
    pub fn trees(&self) -> impl Iterator<Item = &Link> {
        self.trees.iter().map(|tree| &tree.link)
    }

    /// How many entries are kept.
    pub fn cached_entries(&self) -> usize {
        self.cache.len()
    }

    /// Does what can be done now. It ends: each step reads an entry that is in the cache, of which
    /// a round has each once, or begins a lookup, of which only so many wait.
    fn advance(&mut self, now: Instant) {
        let max_entries = self.config.max_entries;
        while self.wanted > 0 {
            let trees = self.trees.iter_mut().enumerate();
            let mut tasks: Vec<_> = trees
                .filter_map(|(index, tree)| Some((index, tree.task(now, max_entries)?)))
                .collect();
            let count = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
            let drawn = usize::try_from(self.rng.below(count)).unwrap_or(0);
            if tasks.is_empty() {
                break;
            }
            let (index, task) = tasks.swap_remove(drawn);
            if !self.begin(now, index, task) {
                break;
            }
        }
    }

    /// Begins one task; false says that it has to wait.
    fn begin(&mut self, now: Instant, index: usize, task: Task) -> bool {
        let may_look =
            self.waiting.len() < MAX_WAITING && self.next_lookup.is_none_or(|next| next <= now);
        let Some(tree) = self.trees.get_mut(index) else { return false };
        let (name, what) = match task {
            Task::Root if may_look => {
                tree.begin_check(now);
                (tree.link.domain().to_owned(), What::Root)
            }
            Task::Root => return false,
            Task::Entry(subtree) => {
                let Some(walk) = tree.walk(subtree) else { return false };
                let Some(place) = walk.draw(&mut self.rng) else { return false };
                if let Some(entry) = self.cache.get(&place.name) {
                    self.take_entry(now, index, subtree, place, Ok(entry));
                    return true;
                }
                if !may_look {
                    walk.put_back(place);
                    return false;
                }
                let walk = walk.id;
                let name = below(&place.name, tree.link.domain());
                (name, What::Entry { subtree, walk, place })
            }
        };
        let tree = tree.id;
        // Rounded up, so that no second has one more.
        let interval = NANOS_PER_SECOND.div_ceil(u64::from(self.config.rate.max(1)));
        self.next_lookup = now.checked_add(Duration::from_nanos(interval));
        let deadline = now.checked_add(self.config.lookup_timeout).unwrap_or(now);
        let id = LookupId(self.id());
        self.waiting.insert(id, Waiting { tree, deadline, what });
        self.outputs.push_back(Output::Lookup { id, name });
        true
    }

    fn take_answer(
        &mut self,
        now: Instant,
        waiting: Waiting,
        answer: Result<Vec<Txt>, LookupError>,
    ) {
        let answer = answer.map_err(SyncError::Lookup);
        // A tree may be gone that was linked to.
        let index = self.trees.iter().position(|tree| tree.id == waiting.tree);
        let Some((index, tree)) = index.and_then(|n| Some((n, self.trees.get_mut(n)?))) else {
            return;
        };
        match waiting.what {
            What::Root => {
                let link = tree.link.clone();
                let root = answer.and_then(|answer| check::root(&link.public_key(), &answer));
                let found = root.as_ref().ok().cloned();
                match (tree.end_check(now, root, self.config.recheck_interval), found) {
                    (Ok(true), Some(root)) => self.tell(Event::Root { tree: link, root }),
                    (Ok(_), _) => {}
                    (Err(error), _) => {
                        let name = link.domain().to_owned();
                        self.tell(Event::Failed { tree: link, name, error });
                    }
                }
            }
            What::Entry { subtree, walk, place } => {
                let entry = answer.and_then(|answer| check::entry(&place.name, &answer));
                if let Ok(entry) = &entry {
                    self.cache.insert(place.name.clone(), entry.clone());
                }
                // A walk may be over because there is a new root.
                if tree.walk(subtree).is_some_and(|present| present.id == walk) {
                    self.take_entry(now, index, subtree, place, entry);
                }
            }
        }
    }

    /// Takes an entry that was drawn from a walk that is not over.
    fn take_entry(
        &mut self,
        now: Instant,
        index: usize,
        subtree: Subtree,
        mut place: Place,
        entry: Result<Entry, SyncError>,
    ) {
        let Some(tree) = self.trees.get_mut(index) else { return };
        let link = tree.link.clone();
        let Some(walk) = tree.walk(subtree) else { return };
        let outcome = match (entry, subtree) {
            (Ok(Entry::Branch(children)), _) => walk.add(&place, &children).map(|()| None),
            (Ok(Entry::Link(other)), Subtree::Links) => {
                walk.found += 1;
                if tree.add_link(other.clone()) {
                    Ok(Some(Event::Link { tree: link.clone(), link: other }))
                } else {
                    Err(SyncError::TooManyLinks)
                }
            }
            (Ok(Entry::Record(record)), Subtree::Records) => {
                walk.found += 1;
                self.wanted = self.wanted.saturating_sub(1);
                Ok(Some(Event::Record { tree: link.clone(), record }))
            }
            (Ok(_), _) => Err(SyncError::Misplaced),
            (Err(error), _) => Err(error),
        };
        let event = match outcome {
            Ok(event) => event,
            Err(error) => {
                tree.count_failure();
                let Some(walk) = tree.walk(subtree) else { return };
                place.attempts = place.attempts.saturating_add(1);
                if error.is_passing() && place.attempts < MAX_ATTEMPTS {
                    walk.put_back(place);
                    return;
                }
                walk.failed += 1;
                let name = below(&place.name, link.domain());
                Some(Event::Failed { tree: link.clone(), name, error })
            }
        };
        if let Some(walk) = tree.walk(subtree) {
            walk.close();
        }
        let round = match subtree {
            Subtree::Links => {
                if tree.end_link_walk() {
                    self.follow_links(now);
                }
                None
            }
            Subtree::Records => tree.end_round(now),
        };
        let round = round.map(|(records, failed)| Event::Round { tree: link, records, failed });
        for event in event.into_iter().chain(round) {
            self.tell(event);
        }
    }

    /// Follows the trees that can be reached from the configured ones, the nearest first, and no
    /// others.
    fn follow_links(&mut self, now: Instant) {
        let mut reached: Vec<(usize, Link)> =
            self.configured.iter().map(|link| (0, link.clone())).collect();
        let limit = self.configured.len().saturating_add(self.config.max_linked_trees);
        let mut next = 0;
        while let Some((distance, link)) = reached.get(next).cloned() {
            next += 1;
            let tree = self.trees.iter().find(|tree| tree.link == link);
            let Some(tree) = tree.filter(|_| distance < MAX_LINK_DISTANCE) else { continue };
            for link in tree.links.iter().filter(|_| self.config.follow_links) {
                let is_new = reached.iter().all(|(_, other)| other != link);
                if is_new && reached.len() < limit {
                    reached.push((distance + 1, link.clone()));
                }
            }
        }
        let mut known = std::mem::take(&mut self.trees);
        for (_, link) in reached {
            let tree = match known.iter().position(|tree| tree.link == link) {
                Some(index) => known.swap_remove(index),
                None => Followed::new(link, self.id(), now),
            };
            self.trees.push(tree);
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn id(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }
}
