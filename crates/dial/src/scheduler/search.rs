//! Searches for addresses, before a dial and after one that failed.

use std::time::Instant;

use devp2p_core::Node;

use super::Scheduler;
use crate::{
    DialKind, Outcome, Refusal,
    attempts::{Attempt, Stage},
};

impl Scheduler {
    /// A search ended. An answer that cannot be dialed is none.
    pub(super) fn search_answered(
        &mut self,
        now: Instant,
        attempt: &Attempt,
        result: Option<Node>,
    ) {
        let result = result.filter(|node| node.id() == attempt.node.id());
        let found = match result.filter(|node| !node.tcp_addrs().is_empty()) {
            // Whether its networks have a place is asked when it is dialed.
            Some(node) => self.allowed(&node, DialKind::Static),
            None => Err(Refusal::NoAddress),
        };
        match attempt.stage {
            Stage::Renewing => self.renewed(now, attempt, found.ok()),
            Stage::Searching | Stage::Dialing(_) => self.found(now, attempt, found),
        }
    }

    fn found(&mut self, now: Instant, attempt: &Attempt, found: Result<Node, Refusal>) {
        let Some(target) = self.targets.get_mut(&attempt.node.id()) else { return };
        match found {
            Ok(node) => {
                target.search_succeeded(node.clone());
                self.dial_found(now, attempt, &node);
            }
            Err(refusal) => match target.search_failed(now, &self.config) {
                Some(node) => self.dial_found(now, attempt, &node),
                None => self.give_up(now, attempt, refusal),
            },
        }
    }

    fn renewed(&mut self, now: Instant, attempt: &Attempt, found: Option<Node>) {
        let Some(target) = self.targets.get_mut(&attempt.node.id()) else { return };
        match found.filter(|node| node.tcp_addrs() != attempt.node.tcp_addrs()) {
            Some(node) => {
                target.renewal_succeeded(node.clone());
                self.dial_found(now, attempt, &node);
            }
            None => {
                target.renewal_failed(now, &self.config);
                self.attempt_ended(now, attempt, Outcome::ConnectFailed);
            }
        }
    }

    fn dial_found(&mut self, now: Instant, attempt: &Attempt, node: &Node) {
        let refusal = self.node_refusal(now, node, false);
        match refusal.or_else(|| self.network_refusal(node, attempt.kind)) {
            None => self.dial(now, attempt.kind, node, attempt.renewed),
            Some(refusal) => self.give_up(now, attempt, refusal),
        }
    }

    fn give_up(&mut self, now: Instant, attempt: &Attempt, refusal: Refusal) {
        let id = attempt.node.id();
        self.tell_refusal(id, refusal);
        if attempt.kind.is_our_choice() {
            self.record_failure(now, id);
        }
        self.requeue(now, id);
    }
}
