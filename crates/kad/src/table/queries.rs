//! What a table answers.

use std::time::Instant;

use super::{Bucket, Config, Contact, Entry, FIRST_BUCKET, Id, Place, Table, schedule::choose};
use crate::Distance;

impl<V: Contact> Table<V> {
    /// Our own id.
    pub const fn own_id(&self) -> Id {
        self.own
    }

    /// The limits and intervals in force.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The nodes that have a place, all of them verified.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.entries.len()).sum()
    }

    /// Whether no node has a place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of a node.
    pub fn get(&self, id: &Id) -> Option<&Entry<V>> {
        self.bucket(id).iter().find(|entry| entry.id() == *id)
    }

    /// Where a node is kept, if it is known.
    pub fn place(&self, id: &Id) -> Option<Place> {
        let bucket = self.bucket(id);
        if bucket.entries.iter().any(|entry| entry.id() == *id) {
            Some(Place::Bucket)
        } else {
            bucket.replacements.iter().any(|entry| entry.id() == *id).then_some(Place::Replacement)
        }
    }

    /// The nodes that have a place, all of them verified, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<V>> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    /// The buckets, nearest first, with all that is in them: a picture of the table.
    pub fn buckets(&self) -> &[Bucket<V>] {
        &self.buckets
    }

    /// The pinned nodes as they were pinned, whether or not they have a place.
    pub fn pinned(&self) -> impl Iterator<Item = (Id, &V)> {
        self.pins.iter().map(|pin| (pin.id, &pin.value))
    }

    /// The `limit` verified nodes nearest to `target`, nearest first; to hand out.
    pub fn closest(&self, target: &Id, limit: usize) -> Vec<&Entry<V>> {
        let entries = self.around(target, limit).flat_map(|bucket| &bucket.entries);
        nearest(target, limit, entries.map(|entry| (entry.id(), entry)))
    }

    /// The `limit` nodes nearest to `target` of all that are known, nearest first, verified or not,
    /// pinned ones included; to begin a lookup with, not to hand out.
    pub fn closest_known(&self, target: &Id, limit: usize) -> Vec<(Id, &V)> {
        let known = self.around(target, limit).flat_map(Bucket::iter);
        let known = known.map(|entry| (entry.id(), (entry.id(), entry.value())));
        let pinned = self.pins.iter().filter(|pin| self.place(&pin.id).is_none());
        let pinned = pinned.map(|pin| (pin.id, (pin.id, &pin.value)));
        nearest(target, limit, known.chain(pinned))
    }

    /// The buckets that have the `limit` verified nodes nearest to `target`, and those before them.
    ///
    /// The nodes in the target's own bucket are nearer to it than any other. Then come those nearer
    /// to us, who all differ from the target in the same bit; then the farther buckets in turn.
    fn around(&self, target: &Id, limit: usize) -> impl Iterator<Item = &Bucket<V>> {
        let (nearer, rest) = self.buckets.split_at(self.index(target));
        let (own, farther) = rest.split_at(rest.len().min(1));
        let mut found = 0_usize;
        let mut count = move |buckets: &[Bucket<V>]| {
            let enough = found >= limit;
            found = buckets.iter().fold(found, |sum, b| sum.saturating_add(b.entries.len()));
            !enough
        };
        [own, nearer]
            .into_iter()
            .chain(farther.chunks(1))
            .take_while(move |buckets| count(buckets))
            .flatten()
    }

    /// The verified nodes at exactly this logarithmic distance from our own id.
    pub fn at_distance(&self, distance: u16) -> impl Iterator<Item = &Entry<V>> {
        self.buckets
            .iter()
            .find(|bucket| bucket.distances.contains(&distance))
            .into_iter()
            .flat_map(|bucket| &bucket.entries)
            .filter(move |entry| self.own.log_distance(&entry.id()) == distance)
    }

    /// Up to `limit` different verified nodes, each set of them as likely as any other of its size.
    /// `random` gives uniformly random numbers.
    pub fn random_entries(&self, limit: usize, mut random: impl FnMut() -> u64) -> Vec<&Entry<V>> {
        let mut left: Vec<_> = self.entries().collect();
        let mut chosen = Vec::with_capacity(limit.min(left.len()));
        while chosen.len() < limit && !left.is_empty() {
            chosen.push(left.swap_remove(choose(random(), left.len())));
        }
        chosen
    }

    /// The bucket into which no lookup went for the longest time: which to look into next. Among
    /// those with none at all, the farthest.
    pub fn stalest_bucket(&self) -> &Bucket<V> {
        let stalest = self.buckets.iter().rev().min_by_key(|bucket| bucket.refreshed_at);
        stalest.unwrap_or_else(|| self.bucket(&self.own))
    }

    /// An id in the [stalest bucket](Self::stalest_bucket), uniformly random if `random` is: a
    /// target for a lookup that refreshes it.
    pub fn refresh_target(&self, random: [u8; 32]) -> Id {
        let farthest = *self.stalest_bucket().distances.end();
        let mut distance = random;
        // The bits above the one that makes the distance are cleared, and that one set; but nothing
        // is set in the first bucket, whose distances are many.
        let bits = usize::from(256_u16.saturating_sub(farthest));
        for (at, byte) in distance.iter_mut().enumerate().take(2) {
            let above = bits.saturating_sub(at * 8).min(8);
            *byte &= u8::try_from(0xff_u16 >> above).unwrap_or(0);
            if farthest > FIRST_BUCKET && bits / 8 == at {
                *byte |= 0x80 >> (bits % 8);
            }
        }
        self.own.at(&Distance::new(distance))
    }

    /// A lookup for `target` was made: its bucket is refreshed.
    pub fn refreshed(&mut self, now: Instant, target: &Id) {
        self.bucket_mut(target).refreshed_at = Some(now);
    }
}

/// The `limit` items with the ids nearest to `target`, nearest first.
fn nearest<T>(target: &Id, limit: usize, items: impl Iterator<Item = (Id, T)>) -> Vec<T> {
    let mut items: Vec<_> = items.map(|(id, item)| (id.distance(target), item)).collect();
    items.sort_unstable_by_key(|(distance, _)| *distance);
    items.into_iter().take(limit).map(|(_, item)| item).collect()
}
