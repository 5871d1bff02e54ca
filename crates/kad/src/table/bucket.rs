use std::{ops::RangeInclusive, time::Instant};

use super::{Entry, Refused};
use crate::{Contact, Group, Id};

/// The nodes of a range of distances.
#[derive(Clone, Debug)]
pub struct Bucket<V> {
    pub(super) distances: RangeInclusive<u16>,
    pub(super) entries: Vec<Entry<V>>,
    pub(super) replacements: Vec<Entry<V>>,
    pub(super) refreshed_at: Option<Instant>,
}

/// Where a node is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one of the places of its bucket.
    Bucket,
    /// Among those who wait for one.
    Replacement,
}

impl<V> Bucket<V> {
    /// The logarithmic distances from our own id that fall into this bucket.
    pub fn distances(&self) -> RangeInclusive<u16> {
        self.distances.clone()
    }

    /// The nodes that have a place, all of them verified, in no particular order.
    pub fn entries(&self) -> &[Entry<V>] {
        &self.entries
    }

    /// The nodes that wait for a place, verified or not. The newest is last.
    pub fn replacements(&self) -> &[Entry<V>] {
        &self.replacements
    }

    /// When a lookup last went into this bucket.
    pub const fn refreshed_at(&self) -> Option<Instant> {
        self.refreshed_at
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<V>> {
        self.entries.iter().chain(&self.replacements)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<V>> {
        self.entries.iter_mut().chain(&mut self.replacements)
    }

    pub(super) fn of_group(&self, group: Group) -> usize {
        self.entries.iter().filter(|entry| entry.group() == Some(group)).count()
    }

    /// Takes out the node with this id.
    pub(super) fn take(&mut self, id: &Id) -> Option<(Entry<V>, Place)> {
        if let Some(at) = self.entries.iter().position(|entry| entry.id() == *id) {
            return Some((self.entries.remove(at), Place::Bucket));
        }
        let at = self.replacements.iter().position(|entry| entry.id() == *id)?;
        Some((self.replacements.remove(at), Place::Replacement))
    }
}

impl<V: Contact> Bucket<V> {
    /// Makes room for a node to wait for a place, and gives back the one that had to go for it.
    ///
    /// A verified node, or one that had a place (`preferred`), never gives way to hearsay.
    pub(super) fn make_room(
        &mut self,
        entry: &Entry<V>,
        preferred: bool,
        limit: usize,
    ) -> Result<Option<Entry<V>>, Refused> {
        let rival = entry
            .group()
            .and_then(|group| self.replacements.iter().position(|e| e.group() == Some(group)));
        if let Some(at) = rival {
            let stays = self.replacements.get(at).is_some_and(Entry::is_verified);
            if stays || !(preferred || entry.is_verified()) {
                return Err(Refused::GroupLimit);
            }
            return Ok(Some(self.replacements.remove(at)));
        }
        if self.replacements.len() < limit {
            return Ok(None);
        }
        // The one known longest without proof; for a verified node, else, the oldest.
        let unproven = self.replacements.iter().position(|e| !e.is_verified());
        let oldest = (entry.is_verified() && !self.replacements.is_empty()).then_some(0);
        let goes = unproven.or(oldest).ok_or(Refused::Full)?;
        Ok(Some(self.replacements.remove(goes)))
    }
}
