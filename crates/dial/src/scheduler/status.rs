//! What a scheduler tells of itself.

use std::time::Instant;

use devp2p_core::NodeId;

use super::Scheduler;
use crate::{Dialing, Outlook, Stats, Status};

impl Scheduler {
    /// Numbers for the log.
    pub fn stats(&self) -> Stats {
        Stats {
            peers: self.peers.len(),
            dialed: self.peers.dialed(),
            dialing: self.attempts.len(),
            tried: self.tried,
            statics: self.statics,
        }
    }

    /// How it stands with the dials.
    pub fn status(&self, now: Instant) -> Status {
        let dialing = self.attempts.iter().map(|attempt| {
            let since = now.saturating_duration_since(attempt.started);
            Dialing::new(attempt.node.clone(), attempt.kind, since)
        });
        Status {
            max_dialed: self.config.max_dialed,
            dialed: self.peers.dialed(),
            wanted: self.wanted_candidates(),
            dialing: dialing.collect(),
        }
    }

    /// What earlier dials of a node mean for the next one. Nothing is to come for a node that is a
    /// peer or is dialed now, or after the stop.
    pub fn outlook(&self, now: Instant, id: NodeId) -> Outlook {
        let target = self.targets.get(&id);
        let is_static = target.is_some_and(|target| target.is_static);
        let mut failures = target.map_or(0, |target| target.failures());
        let mut until = self.history.pending(id, now);
        until = until.max(target.and_then(|target| target.backing_off(now)));
        if !is_static {
            for past in [&self.failing, &self.useless] {
                failures = failures.max(past.failures(id));
                until = until.max(past.pending(id, now));
            }
        }
        let is_over = self.stopped || self.attempts.contains(id) || self.peers.contains(id);
        let until = until.filter(|_| !is_over);
        Outlook { failures, retry_in: until.map(|until| until.saturating_duration_since(now)) }
    }
}
