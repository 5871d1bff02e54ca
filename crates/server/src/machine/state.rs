//! What can be asked of the machine.

use std::time::Instant;

use devp2p_core::{Ban, Node, NodeId};

use super::{Core, Counters, PeerEntry};
use crate::{DialStatus, Disconnect};

impl Core {
    /// How many candidates the dial scheduler has room for now.
    pub fn wanted_candidates(&self) -> usize {
        if self.stopped { 0 } else { self.scheduler.wanted_candidates() }
    }

    /// The peers, in the order of their ids.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = (&NodeId, &PeerEntry)> {
        self.peers.iter()
    }

    /// One peer.
    pub fn peer(&self, id: NodeId) -> Option<&PeerEntry> {
        self.peers.get(&id)
    }

    /// The peers to dial first after a restart, the best first: of those that we chose and dialed
    /// ourselves the ones that have been connected for the longest time, a minute at least, four
    /// at most, and of different networks as far as there are any.
    ///
    /// Peers that dialed us are none: anybody can do that as often as he likes.
    ///
    /// Where these are less than four, [those of an earlier run](crate::CoreConfig::anchors) come after
    /// them, and those that were told before, unless they turned out to be of no use. Without any
    /// new one there is nothing to tell: those of earlier are still the best that is known.
    pub fn anchors(&mut self, now: Instant) -> Vec<Node> {
        self.anchors.tell(self.peers.values(), now)
    }

    /// Whether no limit concerns the node.
    pub fn is_trusted(&self, id: NodeId) -> bool {
        self.config.trusted.contains(&id)
    }

    /// Whether the node is in the static list.
    pub fn is_static(&self, id: NodeId) -> bool {
        self.scheduler.is_static(id)
    }

    /// Connections that are being set up, in both directions, and slots taken for the next ones.
    pub fn pending(&self) -> usize {
        self.setups.len()
    }

    /// The bans in force, in the order of their targets: ids first.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        self.bans.tell(now).collect()
    }

    /// How it stands with the dials, as far as the scheduler tells; but for what the dial filter
    /// refused.
    pub fn dial_status(&self, now: Instant) -> DialStatus {
        let status = self.scheduler.status(now);
        DialStatus {
            max_dialed: status.max_dialed,
            dialed: status.dialed,
            wanted: status.wanted,
            dialing: status.dialing,
            recent: self.dials.records(now, |id| self.scheduler.outlook(now, id)),
            refusals: self.counters.candidates_refused.clone(),
            filtered: 0,
        }
    }

    /// The last 1,000 ends of peers, the newest first. It is `unix` seconds since 1970 now.
    pub fn disconnects(&self, now: Instant, unix: u64) -> Vec<Disconnect> {
        self.ends.tell(now, unix)
    }

    /// What happened so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("peers", &self.peers.len())
            .field("setups", &self.setups.len())
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}
