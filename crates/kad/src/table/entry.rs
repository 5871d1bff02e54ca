use std::time::{Duration, Instant};

use crate::{Contact, Group, Id};

/// A node that a table knows.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    id: Id,
    value: V,
    group: Option<Group>,
    added_at: Instant,
    verified_at: Option<Instant>,
    checks: u32,
    pub(super) failed_requests: u32,
    pub(super) pace: Pace,
    pub(super) checking: Option<Checking>,
}

/// Which of the two lists of checks a verified node is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It failed its last check or request, or waited long for its place.
    Fast,
    /// It passed its last check.
    Slow,
}

/// A check that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checking {
    pub(super) number: u64,
    pub(super) since: Instant,
}

impl<V> Entry<V> {
    /// The node's id.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// What is known of the node.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// The group in which it counts.
    pub const fn group(&self) -> Option<Group> {
        self.group
    }

    /// When it came into the table.
    pub const fn added_at(&self) -> Instant {
        self.added_at
    }

    /// When it last answered at its present endpoint, if it ever did.
    pub const fn verified_at(&self) -> Option<Instant> {
        self.verified_at
    }

    /// Whether it answered at its present endpoint.
    pub const fn is_verified(&self) -> bool {
        self.verified_at.is_some()
    }

    /// The checks it passed; a third of them after each one it failed. From 1 for verified nodes.
    pub const fn checks(&self) -> u32 {
        self.checks
    }

    /// Whether no check is under way that may still have a result.
    pub(super) fn is_free(&self, now: Instant, timeout: Duration) -> bool {
        self.checking.is_none_or(|checking| now >= checking.since + timeout)
    }
}

impl<V: Contact> Entry<V> {
    pub(super) fn new(now: Instant, id: Id, value: V) -> Self {
        Self {
            id,
            group: value.group(),
            value,
            added_at: now,
            verified_at: None,
            checks: 0,
            failed_requests: 0,
            pace: Pace::Fast,
            checking: None,
        }
    }

    /// Takes newer knowledge of the node. Where that has another endpoint, nothing is proven of it.
    pub(super) fn update(&mut self, value: V) {
        if !self.value.same_endpoint(&value) {
            self.verified_at = None;
            self.checks = 0;
            self.failed_requests = 0;
            self.pace = Pace::Fast;
            // Its result would be the old endpoint's.
            self.checking = None;
        }
        self.group = value.group();
        self.value = value;
    }

    /// The node answered, though not to a check.
    pub(super) fn answered(&mut self, now: Instant) {
        self.verified_at = Some(now);
        self.checks = self.checks.max(1);
        self.pace = Pace::Slow;
    }

    pub(super) fn passed(&mut self, now: Instant) {
        self.verified_at = Some(now);
        self.checks = self.checks.saturating_add(1);
        self.pace = Pace::Slow;
        self.checking = None;
    }

    /// The node did not answer a check. Whether it may stay: one that passed many may miss a few.
    pub(super) fn failed(&mut self) -> bool {
        self.checks /= 3;
        self.pace = Pace::Fast;
        self.checking = None;
        self.checks > 0
    }
}
