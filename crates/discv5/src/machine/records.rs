//! Records that were verified, so that none is verified twice.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    mem,
};

use devp2p_core::{NodeId, Record, RecordError};

use super::Discv5;
use crate::crypto::Identity;

/// The records that were verified lately, by their bytes, and the newest of each node.
///
/// They are kept in two halves. When the new one is full it becomes the old one, and what that had
/// is forgotten, but for what was used meanwhile.
#[derive(Debug)]
pub(super) struct Records {
    /// Of a half.
    max: usize,
    new: Half,
    old: Half,
}

#[derive(Debug, Default)]
struct Half {
    by_bytes: BTreeSet<ByBytes>,
    /// Those of `by_bytes` that no other one is newer than.
    newest: BTreeMap<NodeId, Record>,
}

/// A record in the order of its bytes. They begin with the signature, so that two of them differ
/// early.
#[derive(Debug)]
struct ByBytes(Record);

impl Records {
    /// Keeps up to `max` records.
    pub(super) fn new(max: usize) -> Self {
        Self { max: (max / 2).max(1), new: Half::default(), old: Half::default() }
    }

    /// The record with these bytes.
    pub(super) fn get(&self, bytes: &[u8]) -> Option<&Record> {
        self.new.get(bytes).or_else(|| self.old.get(bytes))
    }

    /// The newest record of a node.
    pub(super) fn newest(&self, id: NodeId) -> Option<&Record> {
        let halves = [&self.new, &self.old];
        halves.into_iter().filter_map(|half| half.newest.get(&id)).max_by_key(|r| r.seq())
    }

    /// The record was verified, or is used again.
    pub(super) fn insert(&mut self, record: Record) {
        if self.new.get(record.as_bytes()).is_some() {
            return;
        }
        if self.new.by_bytes.len() >= self.max {
            self.old = mem::take(&mut self.new);
        }
        let newest = self.new.newest.entry(record.id()).or_insert_with(|| record.clone());
        if newest.seq() < record.seq() {
            newest.clone_from(&record);
        }
        self.new.by_bytes.insert(ByBytes(record));
    }
}

impl Half {
    fn get(&self, bytes: &[u8]) -> Option<&Record> {
        self.by_bytes.get(bytes).map(|ByBytes(record)| record)
    }
}

impl Borrow<[u8]> for ByBytes {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for ByBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for ByBytes {}

impl PartialOrd for ByBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl<I: Identity> Discv5<I> {
    /// The record with these bytes, verified now or before.
    pub(super) fn verify_record(&mut self, bytes: &[u8]) -> Result<Record, RecordError> {
        let record = match self.records.get(bytes) {
            Some(record) => record.clone(),
            None => self.identity.decode_record(bytes)?,
        };
        self.records.insert(record.clone());
        Ok(record)
    }

    /// The record with these bytes, if it was verified before.
    pub(super) fn verified_record(&self, bytes: &[u8]) -> Option<Record> {
        self.records.get(bytes).cloned()
    }
}

#[cfg(test)]
mod tests {
    use devp2p_core::NodeKey;

    use super::*;

    fn record(key: u8, seq: u64) -> Record {
        Record::builder().seq(seq).sign(&NodeKey::from_bytes(&[key; 32]).unwrap()).unwrap()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_makes_room() {
        let mut records = Records::new(4);
        let used = record(1, 1);
        for seq in 0..20 {
            records.insert(used.clone());
            records.insert(record(2, seq));
            assert!(records.get(used.as_bytes()).is_some(), "{seq}");
            assert!(records.new.by_bytes.len() + records.old.by_bytes.len() <= 4);
        }
        assert!(records.get(record(2, 19).as_bytes()).is_some());
        assert!(records.get(record(2, 1).as_bytes()).is_none());
    }

    #[test]
    fn the_newest_of_a_node_is_that_with_the_highest_number() {
        let mut records = Records::new(4);
        for seq in [3, 7, 5] {
            records.insert(record(1, seq));
        }
        assert_eq!(records.newest(record(1, 1).id()).map(Record::seq), Some(7));
        assert_eq!(records.newest(record(2, 1).id()), None);
    }
}
