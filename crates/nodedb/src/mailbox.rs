//! What waits to be written, between the callers and the writer's thread.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devp2p_core::{DiscoveryVersion, Node, NodeId, Seed};

/// How many seeds may wait to be written; changes of one seed count once. More than discovery
/// verifies within [`FLUSH_INTERVAL`] at its fastest.
pub const MAX_QUEUED: usize = 4_096;

/// How long seeds wait for others, so that the disk is woken once for all of them.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// How long after a failed write the next one is tried.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// What one transaction writes. Newer rows replace older ones of the same key here already.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) local_seq: Option<u64>,
    pub(crate) anchors: Option<Vec<Node>>,
    /// A seed, or `None` to forget it.
    pub(crate) seeds: BTreeMap<(DiscoveryVersion, NodeId), Option<Seed>>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.local_seq.is_none() && self.anchors.is_none() && self.seeds.is_empty()
    }
}

/// The callers fill it, the writer empties it; nobody holds the lock while the disk is busy.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// There is something for the writer.
    work: Condvar,
    /// The writer has written, or has ended.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// How often somebody asked for all to be written, and how often that was done.
    asked: u64,
    done: u64,
    /// The last write failed.
    is_failing: bool,
    closing: bool,
    /// There is no writer any more.
    ended: bool,
    dropped: u64,
}

/// What the writer has to do.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) batch: Batch,
    /// To be given back to [`Mailbox::written`].
    pub(crate) asked: u64,
    /// Nothing comes after this.
    pub(crate) is_last: bool,
}

impl Mailbox {
    pub(crate) fn put_local_seq(&self, seq: u64) {
        let mut state = self.lock();
        if state.is_open() {
            state.batch.local_seq = state.batch.local_seq.max(Some(seq));
            self.work.notify_one();
        }
    }

    pub(crate) fn put_anchors(&self, anchors: Vec<Node>) {
        let mut state = self.lock();
        if state.is_open() {
            state.batch.anchors = Some(anchors);
            self.work.notify_one();
        }
    }

    /// A seed, or `None` to forget it. Dropped and counted where there is no room.
    pub(crate) fn put_seed(&self, protocol: DiscoveryVersion, id: NodeId, seed: Option<Seed>) {
        let mut state = self.lock();
        if state.is_open() {
            state.put_seed((protocol, id), seed);
            self.work.notify_one();
        }
    }

    /// Waits until all that was put in before is written; whether it was.
    pub(crate) fn flush(&self) -> bool {
        let mut state = self.lock();
        state.asked = state.asked.saturating_add(1);
        let ticket = state.asked;
        self.work.notify_one();
        let state = self
            .written
            .wait_while(state, |state| state.done < ticket && !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.done >= ticket && !state.is_failing
    }

    /// Has the writer write what is left and end.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// How many seeds found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until there is something that should be written now.
    pub(crate) fn wait(&self) -> Work {
        let state = self
            .work
            .wait_while(self.lock(), |state| state.batch.is_empty() && !state.is_pressed())
            .unwrap_or_else(PoisonError::into_inner);
        let patience = if state.is_failing { RETRY_INTERVAL } else { FLUSH_INTERVAL };
        let (mut state, _) = self
            .work
            .wait_timeout_while(state, patience, |state| !state.is_pressed() && !state.is_urgent())
            .unwrap_or_else(PoisonError::into_inner);
        Work { batch: std::mem::take(&mut state.batch), asked: state.asked, is_last: state.closing }
    }

    /// The writer did as [`wait`](Mailbox::wait) told it; `left` is what it could not write.
    pub(crate) fn written(&self, asked: u64, left: Option<Batch>) {
        let mut state = self.lock();
        state.is_failing = left.is_some();
        if let Some(left) = left {
            // What came in meanwhile is newer.
            state.batch.local_seq = state.batch.local_seq.max(left.local_seq);
            state.batch.anchors = state.batch.anchors.take().or(left.anchors);
            for (key, seed) in left.seeds {
                if !state.batch.seeds.contains_key(&key) {
                    state.put_seed(key, seed);
                }
            }
        }
        state.done = asked;
        self.written.notify_all();
    }

    /// The writer is gone, in whatever way.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.batch = Batch::default();
        self.written.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_open(&self) -> bool {
        !self.closing && !self.ended
    }

    /// Somebody waits for the writer.
    const fn is_pressed(&self) -> bool {
        self.closing || self.asked > self.done
    }

    /// There is something that should not wait for more, unless it was just tried.
    fn is_urgent(&self) -> bool {
        let Batch { local_seq, anchors, seeds } = &self.batch;
        let is_full = seeds.len() >= MAX_QUEUED / 2;
        !self.is_failing && (local_seq.is_some() || anchors.is_some() || is_full)
    }

    fn put_seed(&mut self, key: (DiscoveryVersion, NodeId), seed: Option<Seed>) {
        let seeds = &mut self.batch.seeds;
        if seeds.len() < MAX_QUEUED || seeds.contains_key(&key) {
            seeds.insert(key, seed);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
