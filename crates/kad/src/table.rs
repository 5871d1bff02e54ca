mod bucket;
mod config;
mod entry;
mod groups;
mod queries;
mod revalidation;
mod schedule;

use std::{collections::VecDeque, error::Error, fmt, time::Instant};

pub use self::{
    bucket::{Bucket, Place},
    config::Config,
    entry::Entry,
    revalidation::Check,
};
use self::{entry::Pace, groups::Groups, revalidation::Pin, schedule::Schedule};
use crate::{Contact, Group, Id};

/// The buckets of a table. In a network of a million nodes those of distances below 240 are empty.
pub const BUCKETS: usize = 17;
/// The largest logarithmic distance of the first bucket, which takes all that are nearer, too.
pub const FIRST_BUCKET: u16 = 240;
/// The changes that wait for [`Table::poll_change`]: more than a full table of default size can
/// make at once, and small beside it.
const MAX_CHANGES: usize = 1024;

/// The nodes that we know, by distance from our own id.
///
/// It never sends anything: it says through [`poll_check`](Self::poll_check) whom to ask for a sign
/// of life, and is told the result.
///
/// After any call that may change it, drain [`poll_check`](Self::poll_check) and
/// [`poll_change`](Self::poll_change) to `None`, then wait for
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct Table<V> {
    config: Config,
    own: Id,
    /// Always [`BUCKETS`].
    buckets: Vec<Bucket<V>>,
    groups: Groups,
    pins: Vec<Pin<V>>,
    fast: Schedule,
    slow: Schedule,
    /// Since when there may be a place for someone who waits.
    vacant_since: Option<Instant>,
    next_check: u64,
    changes: VecDeque<Change<V>>,
    lost_changes: u64,
}

/// What happened to a node of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change<V> {
    /// The node lost its place and now waits for one: its endpoint changed.
    Demoted(Id),
    /// The node came into the table, and waits for a place.
    Inserted(Id),
    /// The node is no longer in the table.
    Removed {
        /// The node.
        id: Id,
        /// What was known of it.
        value: V,
    },
    /// The node, known before or not, got a place.
    Verified(Id),
}

/// Why a node is not taken into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No place, and nobody who waits gives way.
    Full,
    /// No place for the group, and another of the group waits already.
    GroupLimit,
    /// It is our own id.
    OwnId,
    /// There are [`Config::max_pins`] pinned nodes.
    TooManyPins,
}

impl<V: Contact> Table<V> {
    /// An empty table of the node `own`.
    pub fn new(config: Config, own: Id) -> Self {
        let bucket = |distances| Bucket {
            distances,
            entries: Vec::new(),
            replacements: Vec::new(),
            refreshed_at: None,
        };
        let first = std::iter::once(bucket(1..=FIRST_BUCKET));
        let others = (FIRST_BUCKET + 1..=256).map(|distance| bucket(distance..=distance));
        Self {
            own,
            buckets: first.chain(others).collect(),
            groups: Groups::default(),
            pins: Vec::new(),
            fast: Schedule::new(config.fast_interval),
            slow: Schedule::new(config.slow_interval),
            vacant_since: None,
            next_check: 0,
            changes: VecDeque::new(),
            lost_changes: 0,
            config,
        }
    }

    /// Somebody spoke of a node. It waits for a place until it is verified.
    ///
    /// A node that is known already stays as it is; who trusts the news calls
    /// [`update`](Self::update). Where too many wait, it takes the turn of the one that has waited
    /// longest without proof.
    ///
    /// # Errors
    /// When it cannot wait here.
    pub fn add(&mut self, now: Instant, id: Id, value: V) -> Result<Place, Refused> {
        if id == self.own {
            return Err(Refused::OwnId);
        }
        match self.place(&id) {
            Some(place) => Ok(place),
            None => self.settle(now, Entry::new(now, id, value), None),
        }
    }

    /// A node answered a request of ours, at the endpoint in `value`. It gets a place, where there
    /// is one for its group, and else waits for one, before all that are not verified.
    ///
    /// # Errors
    /// When it cannot even wait. If it was known, it is removed.
    pub fn verified(&mut self, now: Instant, id: Id, value: V) -> Result<Place, Refused> {
        if id == self.own {
            return Err(Refused::OwnId);
        }
        let Some((mut entry, place)) = self.bucket_mut(&id).take(&id) else {
            let mut entry = Entry::new(now, id, value);
            entry.answered(now);
            return self.settle(now, entry, None);
        };
        let group = entry.group();
        entry.update(value);
        entry.answered(now);
        self.put_back(now, entry, place, group)
    }

    /// Takes newer knowledge of a node that the table knows, and says where the node is then.
    ///
    /// A node whose endpoint changed is no longer verified, and loses its place. So whoever can ask
    /// at the new endpoint first does that, and calls [`verified`](Self::verified) when the answer
    /// is there.
    pub fn update(&mut self, now: Instant, id: &Id, value: V) -> Option<Place> {
        let place = self.place(id)?;
        let known = self.bucket_mut(id).iter_mut().find(|entry| entry.id() == *id)?;
        let group = known.group();
        if known.value().same_endpoint(&value) && group == value.group() {
            known.update(value);
            return Some(place);
        }
        let (mut entry, place) = self.bucket_mut(id).take(id)?;
        entry.update(value);
        self.put_back(now, entry, place, group).ok()
    }

    /// A node did not answer a request, or not usefully. So it is checked soon; and after
    /// [`max_failed_requests`](Config::max_failed_requests) in a row it is dropped, even if it
    /// passes its checks, unless its bucket is nearly empty.
    pub fn request_failed(&mut self, now: Instant, id: &Id) {
        let (limit, few) = (self.config.max_failed_requests, self.config.min_bucket);
        let bucket = self.bucket_mut(id);
        let enough = bucket.entries.len() >= few;
        let Some(entry) = bucket.iter_mut().find(|entry| entry.id() == *id) else { return };
        entry.failed_requests = entry.failed_requests.saturating_add(1);
        entry.pace = Pace::Fast;
        if entry.failed_requests >= limit && enough {
            self.remove(now, id);
        } else {
            self.fast.arm(now);
        }
    }

    /// A node answered a request usefully: its failed ones are forgotten.
    pub fn request_answered(&mut self, id: &Id) {
        if let Some(entry) = self.bucket_mut(id).iter_mut().find(|entry| entry.id() == *id) {
            entry.failed_requests = 0;
        }
    }

    /// Removes a node, if it is there, and returns what was known of it. A pinned one comes back
    /// when it answers its next check.
    pub fn remove(&mut self, now: Instant, id: &Id) -> Option<V> {
        let (entry, place) = self.bucket_mut(id).take(id)?;
        let value = entry.value().clone();
        self.drop_entry(now, &entry, place);
        Some(value)
    }

    /// The next change. Where 1,024 wait to be polled, the oldest is [lost](Self::lost_changes).
    pub fn poll_change(&mut self) -> Option<Change<V>> {
        self.changes.pop_front()
    }

    /// The changes that were lost, because too many waited for [`poll_change`](Self::poll_change).
    pub const fn lost_changes(&self) -> u64 {
        self.lost_changes
    }

    /// Gives a node, who is in no list now, a place, or lets it wait for one.
    fn settle(
        &mut self,
        now: Instant,
        entry: Entry<V>,
        was: Option<Place>,
    ) -> Result<Place, Refused> {
        let id = entry.id();
        let limit = self.config.replacements;
        if entry.is_verified() && self.has_room(&id, entry.group()) {
            self.groups.add(entry.group());
            self.list_of(entry.pace).arm(now);
            self.bucket_mut(&id).entries.push(entry);
            if was != Some(Place::Bucket) {
                self.note(Change::Verified(id));
            }
            return Ok(Place::Bucket);
        }
        let bucket = self.bucket_mut(&id);
        match bucket.make_room(&entry, was == Some(Place::Bucket), limit) {
            Ok(gone) => {
                bucket.replacements.push(entry);
                if let Some(gone) = gone {
                    self.note(Change::Removed { id: gone.id(), value: gone.value().clone() });
                }
                match was {
                    Some(Place::Bucket) => self.note(Change::Demoted(id)),
                    Some(Place::Replacement) => {}
                    None => self.note(Change::Inserted(id)),
                }
                self.fast.arm(now);
                Ok(Place::Replacement)
            }
            Err(refused) => {
                if was.is_some() {
                    self.note(Change::Removed { id, value: entry.value().clone() });
                }
                Err(refused)
            }
        }
    }

    /// Settles a node that was taken out to be changed; `group` is the one it counted in.
    fn put_back(
        &mut self,
        now: Instant,
        entry: Entry<V>,
        was: Place,
        group: Option<Group>,
    ) -> Result<Place, Refused> {
        let same_group = entry.group() == group;
        if was == Place::Bucket {
            self.groups.remove(group);
        }
        let result = self.settle(now, entry, Some(was));
        if was == Place::Bucket && !(same_group && result == Ok(Place::Bucket)) {
            self.vacated(now);
        }
        result
    }

    /// Forgets a node that was taken out.
    fn drop_entry(&mut self, now: Instant, entry: &Entry<V>, was: Place) {
        self.note(Change::Removed { id: entry.id(), value: entry.value().clone() });
        if was == Place::Bucket {
            self.groups.remove(entry.group());
            self.vacated(now);
        }
    }

    /// There may be a place for those who wait, here or, by the limits of groups, elsewhere.
    fn vacated(&mut self, now: Instant) {
        self.vacant_since.get_or_insert(now);
        self.fast.arm(now);
    }

    /// Whether a verified node with this id and group would get a place.
    fn has_room(&self, id: &Id, group: Option<Group>) -> bool {
        let bucket = self.bucket(id);
        bucket.entries.len() < self.config.bucket_size
            && group.is_none_or(|group| {
                bucket.of_group(group) < self.config.bucket_group_limit
                    && self.groups.count(group) < self.config.table_group_limit
            })
    }

    fn note(&mut self, change: Change<V>) {
        if self.changes.len() >= MAX_CHANGES {
            self.changes.pop_front();
            self.lost_changes = self.lost_changes.saturating_add(1);
        }
        self.changes.push_back(change);
    }

    fn index(&self, id: &Id) -> usize {
        usize::from(self.own.log_distance(id).saturating_sub(FIRST_BUCKET))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a distance of at most 256 gives an index below 17"
    )]
    fn bucket(&self, id: &Id) -> &Bucket<V> {
        &self.buckets[self.index(id)]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a distance of at most 256 gives an index below 17"
    )]
    fn bucket_mut(&mut self, id: &Id) -> &mut Bucket<V> {
        let index = self.index(id);
        &mut self.buckets[index]
    }
}

impl Refused {
    const fn text(self) -> &'static str {
        match self {
            Self::Full => "no place, and too many wait for one",
            Self::GroupLimit => "no place for its group, and another of it waits already",
            Self::OwnId => "our own id",
            Self::TooManyPins => "too many pinned nodes",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for Refused {}
