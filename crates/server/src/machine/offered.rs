//! Which of several discoveries offered a node.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use devp2p_core::NodeId;

/// The nodes that are remembered for this: several tables full of them.
const MAX_OFFERED: usize = 1_024;

/// Who offered what of late: a node that several discoveries know takes the turn of one of them
/// only, so that the shares of a [`Mix`](crate::Mix) are of different nodes.
#[derive(Debug, Default)]
pub struct Offered {
    by: BTreeMap<NodeId, (usize, Instant)>,
    /// The same nodes, the one that was offered longest ago first. One that was offered again is in
    /// here more than once, and only the last counts.
    order: VecDeque<(NodeId, Instant)>,
}

impl Offered {
    /// How long a node counts as one of the discovery that offered it: a little longer than whoever
    /// was dialed is not dialed again.
    pub const MEMORY: Duration = Duration::from_secs(40);

    /// The discovery with this number has this node. Whether no other one has offered it of late,
    /// so that this one may.
    pub fn offer(&mut self, now: Instant, number: usize, id: NodeId) -> bool {
        let is_late = |at| now.saturating_duration_since(at) >= Self::MEMORY;
        while let Some(&(id, at)) = self.order.front()
            && (is_late(at) || self.order.len() >= MAX_OFFERED)
        {
            self.order.pop_front();
            if self.by.get(&id).is_some_and(|&(_, last)| last == at) {
                self.by.remove(&id);
            }
        }
        if self.by.get(&id).is_some_and(|&(by, _)| by != number) {
            return false;
        }
        self.by.insert(id, (number, now));
        self.order.push_back((id, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut offered, now) = (Offered::default(), now_for_test());
        let id = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            NodeId::new(bytes)
        };
        for n in 0..10_000 {
            assert!(offered.offer(now, 0, id(n)));
            assert!(offered.offer(now, 0, id(7)), "again and again");
        }
        assert!(offered.order.len() <= MAX_OFFERED && offered.by.len() <= MAX_OFFERED);
        let kept: BTreeSet<_> = offered.by.keys().copied().collect();
        assert!(kept.contains(&id(9_999)) && kept.contains(&id(7)));
        assert!(!offered.offer(now, 1, id(9_999)));
        assert!(offered.offer(now, 1, id(0)), "it was too long ago");
    }

    fn now_for_test() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        Instant::now()
    }
}
