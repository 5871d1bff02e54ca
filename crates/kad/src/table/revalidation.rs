//! Who is asked for a sign of life, and when; what becomes of those who give none.

use std::time::Instant;

use super::{
    Contact, Entry, Id, Place, Refused, Table,
    entry::{Checking, Pace},
    schedule::{Schedule, choose},
};

/// A node to ask for a sign of life. Give it back to [`Table::check_passed`] or
/// [`Table::check_failed`].
///
/// The result is ignored where the table has meanwhile learned that the node moved, or dropped it.
#[derive(Debug)]
#[must_use = "the table waits for the result"]
pub struct Check<V> {
    id: Id,
    value: V,
    number: u64,
}

/// A node that is never forgotten.
#[derive(Clone, Debug)]
pub(super) struct Pin<V> {
    pub(super) id: Id,
    pub(super) value: V,
    due: Instant,
    checking: Option<u64>,
}

impl<V> Check<V> {
    /// Whom to ask.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// What is known of the node, and so where to ask.
    pub const fn value(&self) -> &V {
        &self.value
    }
}

impl<V: Contact> Table<V> {
    /// Never forgets this node: while it has no place it is checked, at once and from then on every
    /// [`pin_interval`](super::Config::pin_interval), at the endpoint in `value`. For bootnodes.
    ///
    /// It takes no place while it is not verified, and gets none beyond the limits of groups.
    /// Pinning a node again replaces its value.
    ///
    /// # Errors
    /// When it is our own id, or there are too many.
    pub fn pin(&mut self, now: Instant, id: Id, value: V) -> Result<(), Refused> {
        if id == self.own {
            return Err(Refused::OwnId);
        }
        let pin = Pin { id, value, due: now, checking: None };
        if let Some(known) = self.pins.iter_mut().find(|pin| pin.id == id) {
            *known = pin;
            return Ok(());
        }
        if self.pins.len() >= self.config.max_pins {
            return Err(Refused::TooManyPins);
        }
        self.pins.push(pin);
        Ok(())
    }

    /// From now on the node is one like any other. Whether it was pinned.
    pub fn unpin(&mut self, id: &Id) -> bool {
        let before = self.pins.len();
        self.pins.retain(|pin| pin.id != *id);
        self.pins.len() < before
    }

    /// When [`poll_check`](Self::poll_check) has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.fast.due(), self.slow.due(), self.vacant_since]
            .into_iter()
            .flatten()
            .chain(self.pins.iter().map(|pin| pin.due))
            .min()
    }

    /// The next node to ask for a sign of life, if one is due. `random` is a uniformly random
    /// number, a new one at each call.
    ///
    /// There are two lists, each with a node at a time at random, and a random pause of up to
    /// [`fast_interval`](super::Config::fast_interval) or
    /// [`slow_interval`](super::Config::slow_interval) in between. The slow one has the nodes that
    /// passed their last check; the fast one those that failed it, or a request since, and then the
    /// unverified ones for whom there would be a place. Nodes come to fail at the slow pace only, so these get their
    /// turn, while no amount of them keeps a failing node in its place.
    ///
    /// This also gives free places to random verified nodes of those who wait.
    pub fn poll_check(&mut self, now: Instant, random: u64) -> Option<Check<V>> {
        if self.vacant_since.take().is_some() {
            self.promote(now, random);
        }
        self.check_pin(now)
            .or_else(|| self.check_listed(now, Pace::Fast, random))
            .or_else(|| self.check_listed(now, Pace::Slow, random))
    }

    /// The node answered: it is verified.
    pub fn check_passed(&mut self, now: Instant, check: Check<V>) {
        if let Some(pin) = self.pin_of(&check) {
            pin.checking = None;
            let value = pin.value.clone();
            // Where it finds no place, it is tried again like one that failed.
            let _ = self.verified(now, check.id, value);
        } else if let Some((mut entry, place)) = self.take_checked(&check) {
            let group = entry.group();
            entry.passed(now);
            let _ = self.put_back(now, entry, place, group);
        }
    }

    /// The node did not answer in time. It is dropped unless it passed three checks or more before.
    pub fn check_failed(&mut self, now: Instant, check: Check<V>) {
        if let Some(pin) = self.pin_of(&check) {
            pin.checking = None;
        } else if let Some((mut entry, place)) = self.take_checked(&check) {
            if entry.failed() {
                let group = entry.group();
                let _ = self.put_back(now, entry, place, group);
            } else {
                self.drop_entry(now, &entry, place);
            }
        }
    }

    /// Gives free places to verified nodes that wait, at random.
    fn promote(&mut self, now: Instant, random: u64) {
        for index in 0..self.buckets.len() {
            while let Some((mut entry, place)) = self.take_promoted(index, random) {
                // It may have waited long.
                entry.pace = Pace::Fast;
                let group = entry.group();
                let _ = self.put_back(now, entry, place, group);
            }
        }
    }

    fn take_promoted(&mut self, index: usize, random: u64) -> Option<(Entry<V>, Place)> {
        let bucket = self.buckets.get(index)?;
        let fitting = || {
            bucket
                .replacements
                .iter()
                .filter(|entry| entry.is_verified() && self.has_room(&entry.id(), entry.group()))
        };
        let id = fitting().nth(choose(random, fitting().count()))?.id();
        self.buckets.get_mut(index)?.take(&id)
    }

    fn check_pin(&mut self, now: Instant) -> Option<Check<V>> {
        let number = self.check_number();
        for at in 0..self.pins.len() {
            let id = self.pins.get(at)?.id;
            let has_place = self.place(&id) == Some(Place::Bucket);
            let pin = self.pins.get_mut(at)?;
            if pin.due > now {
                continue;
            }
            pin.due = now + self.config.pin_interval;
            if !has_place {
                pin.checking = Some(number);
                return Some(Check { id, value: pin.value.clone(), number });
            }
        }
        None
    }

    fn check_listed(&mut self, now: Instant, pace: Pace, random: u64) -> Option<Check<V>> {
        if !self.list_of(pace).is_due(now) {
            return None;
        }
        let timeout = self.config.check_timeout;
        let placed = || self.placed(pace).filter(|entry| entry.is_free(now, timeout));
        let hopeful = || self.hopeful(pace).filter(|entry| entry.is_free(now, timeout));
        let id = match placed().count() {
            0 => hopeful().nth(choose(random, hopeful().count())),
            count => placed().nth(choose(random, count)),
        }
        .map(Entry::id);
        // While checks are under way the list stays alive, in case one of them is lost.
        let more = self.placed(pace).chain(self.hopeful(pace)).next().is_some();
        self.list_of(pace).turn(now, random, more);

        let (id, number) = (id?, self.check_number());
        let entry = self.bucket_mut(&id).iter_mut().find(|entry| entry.id() == id)?;
        entry.checking = Some(Checking { number, since: now });
        Some(Check { id, value: entry.value().clone(), number })
    }

    /// The nodes on a list that have a place, those being checked included.
    fn placed(&self, pace: Pace) -> impl Iterator<Item = &Entry<V>> {
        self.entries().filter(move |entry| entry.pace == pace)
    }

    /// The unverified nodes for whom there would be a place, likewise. They are all on the fast
    /// list.
    fn hopeful(&self, pace: Pace) -> impl Iterator<Item = &Entry<V>> {
        let waiting = self.buckets.iter().flat_map(|bucket| &bucket.replacements);
        waiting.filter(move |entry| {
            pace == Pace::Fast && !entry.is_verified() && self.has_room(&entry.id(), entry.group())
        })
    }

    pub(super) fn list_of(&mut self, pace: Pace) -> &mut Schedule {
        match pace {
            Pace::Fast => &mut self.fast,
            Pace::Slow => &mut self.slow,
        }
    }

    fn pin_of(&mut self, check: &Check<V>) -> Option<&mut Pin<V>> {
        self.pins.iter_mut().find(|pin| pin.checking == Some(check.number))
    }

    /// Takes out the node of a check, if the check still says something of it.
    fn take_checked(&mut self, check: &Check<V>) -> Option<(Entry<V>, Place)> {
        let bucket = self.bucket_mut(&check.id);
        let entry = bucket.iter().find(|entry| entry.id() == check.id)?;
        if entry.checking.is_none_or(|checking| checking.number != check.number) {
            return None;
        }
        bucket.take(&check.id)
    }

    fn check_number(&mut self) -> u64 {
        self.next_check = self.next_check.wrapping_add(1);
        self.next_check
    }
}
