use std::{collections::BTreeSet, time::Instant};

use devp2p_core::Rng;

use super::MAX_DEPTH;
use crate::{EntryName, SyncError};

/// One of the two parts of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subtree {
    Links,
    Records,
}

/// A way through a subtree, every entry once: in random order, or in the tree's with one entry at a
/// time.
#[derive(Debug)]
pub(super) struct Walk {
    is_random: bool,
    /// Which walk of its tree this is.
    pub(super) id: u64,
    pub(super) started: Instant,
    /// Entries that are known of and not read yet, the next one last.
    frontier: Vec<Place>,
    /// What every entry's name begins with that was ever in the frontier.
    seen: BTreeSet<[u8; 12]>,
    max_entries: usize,
    /// How many entries were drawn and neither read, given up nor put back.
    open: usize,
    /// How many records or links were found.
    pub(super) found: usize,
    /// How many entries were given up.
    pub(super) failed: usize,
}

/// An entry to be read.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: EntryName,
    depth: usize,
    /// How often it was looked up in vain.
    pub(super) attempts: u8,
}

impl Walk {
    pub(super) fn new(
        subtree: Subtree,
        id: u64,
        root: EntryName,
        max_entries: usize,
        started: Instant,
    ) -> Self {
        Self {
            // Which links come first is for the tree to say.
            is_random: subtree == Subtree::Records,
            id,
            started,
            seen: BTreeSet::from([root.prefix()]),
            frontier: vec![Place { name: root, depth: 0, attempts: 0 }],
            max_entries,
            open: 0,
            found: 0,
            failed: 0,
        }
    }

    /// The next of the entries to be read.
    pub(super) fn draw(&mut self, rng: &mut Rng) -> Option<Place> {
        if self.is_random {
            let count = u64::try_from(self.frontier.len()).unwrap_or(u64::MAX);
            let drawn = usize::try_from(rng.below(count)).unwrap_or(0);
            let last = self.frontier.len().checked_sub(1)?;
            self.frontier.swap(drawn, last);
        }
        let place = self.frontier.pop()?;
        self.open += 1;
        Some(place)
    }

    /// An entry that was drawn is to be read after all.
    pub(super) fn put_back(&mut self, place: Place) {
        self.open = self.open.saturating_sub(1);
        self.frontier.push(place);
    }

    /// An entry that was drawn needs nothing more.
    pub(super) const fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Adds the children of a branch. Those that were seen before are not looked at again, so a
    /// tree that leads back to itself has an end.
    pub(super) fn add(&mut self, parent: &Place, children: &[EntryName]) -> Result<(), SyncError> {
        let before = self.frontier.len();
        let outcome = self.push(parent, children);
        if let Some(new) = self.frontier.get_mut(before..) {
            new.reverse();
        }
        outcome
    }

    fn push(&mut self, parent: &Place, children: &[EntryName]) -> Result<(), SyncError> {
        let depth = parent.depth.saturating_add(1);
        if depth > MAX_DEPTH && !children.is_empty() {
            return Err(SyncError::TooDeep);
        }
        for name in children {
            let prefix = name.prefix();
            if self.seen.contains(&prefix) {
                continue;
            }
            if self.seen.len() >= self.max_entries {
                return Err(SyncError::TooManyEntries);
            }
            self.seen.insert(prefix);
            self.frontier.push(Place { name: name.clone(), depth, attempts: 0 });
        }
        Ok(())
    }

    /// Whether an entry may be read now.
    pub(super) fn has_next(&self) -> bool {
        !self.frontier.is_empty() && (self.is_random || self.open == 0)
    }

    pub(super) fn is_done(&self) -> bool {
        self.frontier.is_empty() && self.open == 0
    }
}
