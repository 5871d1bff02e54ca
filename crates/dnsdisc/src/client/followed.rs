use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::walk::{Subtree, Walk};
use crate::{Link, Root, SyncError, client::MAX_LINK_ENTRIES};

/// How many entries may fail before it is time to see whether there is another root.
const FAILURES_BEFORE_CHECK: u32 = 5;

/// How soon after one look for a root there may be another for failed entries.
const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long to wait after something failed; doubled with each further failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// The longest such wait.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);

/// How long a round takes at least.
const MIN_ROUND: Duration = Duration::from_secs(1);

/// What a tree has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Root,
    Entry(Subtree),
}

/// A tree that is followed, and how far.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) link: Link,
    /// Tells it from a tree with the same link that was followed before.
    pub(super) id: u64,
    root: Option<Root>,
    is_checking: bool,
    last_check: Option<Instant>,
    next_check: Instant,
    failed_checks: u32,
    /// How many entries failed since the last check.
    failed_entries: u32,
    /// The links that were found by the last walk that is over.
    pub(super) links: BTreeSet<Link>,
    /// Those of the present one.
    found_links: BTreeSet<Link>,
    link_walk: Option<Walk>,
    /// The present round.
    record_walk: Option<Walk>,
    /// When the next round may begin.
    next_round: Instant,
    /// How many rounds in a row found nothing.
    empty_rounds: u32,
    walks: u64,
}

impl Followed {
    pub(super) fn new(link: Link, id: u64, now: Instant) -> Self {
        Self {
            link,
            id,
            root: None,
            is_checking: false,
            last_check: None,
            next_check: now,
            failed_checks: 0,
            failed_entries: 0,
            links: BTreeSet::new(),
            found_links: BTreeSet::new(),
            link_walk: None,
            record_walk: None,
            next_round: now,
            empty_rounds: 0,
            walks: 0,
        }
    }

    /// What is to be done now. Links come before records: who follows a tree wants to know soon
    /// which others belong to it, and they are few.
    pub(super) fn task(&mut self, now: Instant, max_entries: usize) -> Option<Task> {
        if !self.is_checking && self.next_check <= now {
            return Some(Task::Root);
        }
        let root = self.root.as_ref()?;
        if let Some(walk) = &self.link_walk {
            return walk.has_next().then_some(Task::Entry(Subtree::Links));
        }
        if self.record_walk.is_none() && self.next_round <= now {
            self.walks += 1;
            let begin = root.records().clone();
            self.record_walk =
                Some(Walk::new(Subtree::Records, self.walks, begin, max_entries, now));
        }
        let walk = self.record_walk.as_ref()?;
        walk.has_next().then_some(Task::Entry(Subtree::Records))
    }

    /// When there is something to do, unless an answer comes before.
    pub(super) fn next_task(&self) -> Option<Instant> {
        let check = (!self.is_checking).then_some(self.next_check);
        let entry = match (&self.root, &self.link_walk, &self.record_walk) {
            (None, ..) => None,
            (_, Some(walk), _) | (_, None, Some(walk)) => walk.has_next().then_some(walk.started),
            (_, None, None) => Some(self.next_round),
        };
        check.into_iter().chain(entry).min()
    }

    pub(super) const fn walk(&mut self, subtree: Subtree) -> Option<&mut Walk> {
        match subtree {
            Subtree::Links => self.link_walk.as_mut(),
            Subtree::Records => self.record_walk.as_mut(),
        }
    }

    /// The root is being looked for.
    pub(super) const fn begin_check(&mut self, now: Instant) {
        self.is_checking = true;
        self.last_check = Some(now);
        self.failed_entries = 0;
    }

    /// Takes the root that was found; true says that it is another than before.
    pub(super) fn end_check(
        &mut self,
        now: Instant,
        found: Result<Root, SyncError>,
        interval: Duration,
    ) -> Result<bool, SyncError> {
        self.is_checking = false;
        let outcome = found.and_then(|root| self.take_root(now, root));
        self.next_check = match &outcome {
            Ok(_) => {
                self.failed_checks = 0;
                later(now, interval)
            }
            Err(_) => {
                let wait = backoff(self.failed_checks);
                self.failed_checks = self.failed_checks.saturating_add(1);
                later(now, wait)
            }
        };
        outcome
    }

    fn take_root(&mut self, now: Instant, root: Root) -> Result<bool, SyncError> {
        let (mut new_links, mut new_records) = (true, true);
        if let Some(known) = &self.root {
            new_links = known.links() != root.links();
            new_records = known.records() != root.records();
            if root.seq() < known.seq() || root.seq() == known.seq() && (new_links || new_records) {
                return Err(SyncError::OldRoot { known: known.seq(), seq: root.seq() });
            }
            if root.seq() == known.seq() {
                return Ok(false);
            }
        }
        if new_links {
            self.walks += 1;
            let begin = root.links().clone();
            self.link_walk =
                Some(Walk::new(Subtree::Links, self.walks, begin, MAX_LINK_ENTRIES, now));
            self.found_links.clear();
        }
        if new_records {
            self.record_walk = None;
            self.next_round = now;
            self.empty_rounds = 0;
        }
        self.root = Some(root);
        Ok(true)
    }

    /// An entry failed. Where it is not the only one, the tree may have changed.
    pub(super) fn count_failure(&mut self) {
        self.failed_entries = self.failed_entries.saturating_add(1);
        if self.failed_entries > FAILURES_BEFORE_CHECK {
            self.failed_entries = 0;
            let soon = self.last_check.map(|last| later(last, MIN_CHECK_INTERVAL));
            self.next_check = soon.map_or(self.next_check, |soon| soon.min(self.next_check));
        }
    }

    /// Notes a link; false says that there are too many.
    pub(super) fn add_link(&mut self, link: Link) -> bool {
        if self.found_links.len() >= super::MAX_LINKS {
            return false;
        }
        self.found_links.insert(link);
        true
    }

    /// Ends the walk through the links where nothing of it is left; true says that it did.
    pub(super) fn end_link_walk(&mut self) -> bool {
        if !self.link_walk.as_ref().is_some_and(Walk::is_done) {
            return false;
        }
        let failed = self.link_walk.take().map_or(0, |walk| walk.failed);
        let mut found = std::mem::take(&mut self.found_links);
        if failed > 0 {
            // What was not found again may be where it failed.
            found.append(&mut self.links);
            while found.len() > super::MAX_LINKS {
                found.pop_last();
            }
        }
        self.links = found;
        true
    }

    /// Ends the round where nothing of it is left, and tells what it found.
    pub(super) fn end_round(&mut self, now: Instant) -> Option<(usize, usize)> {
        let walk = self.record_walk.take_if(|walk| walk.is_done())?;
        let wait = if walk.found > 0 {
            self.empty_rounds = 0;
            MIN_ROUND
        } else {
            self.empty_rounds = self.empty_rounds.saturating_add(1);
            backoff(self.empty_rounds.saturating_sub(1))
        };
        self.next_round = later(walk.started, wait).max(now);
        Some((walk.found, walk.failed))
    }
}

fn backoff(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF)
}

/// A moment too far away to be told is as good as the one a day from now.
fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait).or_else(|| from.checked_add(Duration::from_hours(24))).unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let secs: Vec<_> = (0..8).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(secs, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
    }
}
