use std::collections::BTreeMap;

use crate::{Entry, EntryName};

/// Entries that were read, the least recently used of which go first.
#[derive(Debug)]
pub(super) struct Cache {
    capacity: usize,
    entries: BTreeMap<EntryName, (u64, Entry)>,
    /// The names by when they were used last.
    by_use: BTreeMap<u64, EntryName>,
    uses: u64,
}

impl Cache {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }

    /// An entry, which is used by that.
    pub(super) fn get(&mut self, name: &EntryName) -> Option<Entry> {
        let (used, entry) = self.entries.get_mut(name)?;
        self.uses = self.uses.wrapping_add(1);
        if let Some(name) = self.by_use.remove(used) {
            self.by_use.insert(self.uses, name);
        }
        *used = self.uses;
        Some(entry.clone())
    }

    pub(super) fn insert(&mut self, name: EntryName, entry: Entry) {
        if self.capacity == 0 || self.get(&name).is_some() {
            // What has the same name is the same entry.
            return;
        }
        if self.entries.len() >= self.capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses = self.uses.wrapping_add(1);
        self.by_use.insert(self.uses, name.clone());
        self.entries.insert(name, (self.uses, entry));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_longest_goes() {
        let branch = |n: usize| Entry::Branch(vec![EntryName::of(&n.to_string())]);
        let name = |n: usize| EntryName::of(&branch(n).to_string());
        let mut cache = Cache::new(3);
        for n in 0..3 {
            cache.insert(name(n), branch(n));
        }
        assert_eq!(cache.get(&name(0)), Some(branch(0)));
        cache.insert(name(1), branch(1));
        cache.insert(name(3), branch(3));
        let kept: Vec<_> = (0..4).filter(|&n| cache.get(&name(n)).is_some()).collect();
        assert_eq!(kept, [0, 1, 3]);
        assert_eq!((cache.len(), cache.by_use.len()), (3, 3));

        let mut none = Cache::new(0);
        none.insert(name(0), branch(0));
        assert_eq!((none.get(&name(0)), none.len()), (None, 0));
    }
}
