use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use devp2p_core::NodeId;

/// Nodes with a time each, found by node and in the order of time, in O(log n).
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Instant, u64, NodeId)>,
    by_id: BTreeMap<NodeId, (Instant, u64)>,
}

impl Deadlines {
    /// Sets the time of a node, in place of an earlier one. Of two nodes with one time, that with
    /// the smaller `tie` comes first.
    pub(crate) fn set(&mut self, id: NodeId, at: Instant, tie: u64) {
        self.remove(id);
        self.by_id.insert(id, (at, tie));
        self.by_time.insert((at, tie, id));
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        if let Some((at, tie)) = self.by_id.remove(&id) {
            self.by_time.remove(&(at, tie, id));
        }
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<Instant> {
        self.by_id.get(&id).map(|&(at, _)| at)
    }

    /// The time of a node where it has not come yet.
    pub(crate) fn pending(&self, id: NodeId, now: Instant) -> Option<Instant> {
        self.get(id).filter(|&at| at > now)
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, ..)| at)
    }

    /// Takes out the first node.
    pub(crate) fn pop(&mut self) -> Option<NodeId> {
        let (.., id) = self.by_time.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// Takes out the first node whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<NodeId> {
        self.first().filter(|&at| at <= now)?;
        self.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// What stands for "never" where a configured duration is too long for the clock.
const FAR: Duration = Duration::from_hours(24 * 365);

/// `duration` after `from`; never panics, however long the duration.
pub(crate) fn after(from: Instant, duration: Duration) -> Instant {
    from.checked_add(duration).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}
