//! What waits to be written, between the callers and the writer's thread.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devp2p_core::{Ban, DiscoveryVersion, Node, NodeId, Seed};

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
    pub(crate) bans: Option<Vec<Ban>>,
    /// A seed, or `None` to forget it.
    pub(crate) seeds: BTreeMap<(DiscoveryVersion, NodeId), Option<Seed>>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { local_seq, anchors, bans, seeds } = self;
        local_seq.is_none() && anchors.is_none() && bans.is_none() && seeds.is_empty()
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

    pub(crate) fn put_bans(&self, bans: Vec<Ban>) {
        let mut state = self.lock();
        if state.is_open() {
            state.batch.bans = Some(bans);
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
        self.wait_for(FLUSH_INTERVAL, RETRY_INTERVAL)
    }

    fn wait_for(&self, flush_interval: Duration, retry_interval: Duration) -> Work {
        let state = self
            .work
            .wait_while(self.lock(), |state| state.batch.is_empty() && !state.is_pressed())
            .unwrap_or_else(PoisonError::into_inner);
        let patience = if state.is_failing { retry_interval } else { flush_interval };
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
            state.batch.bans = state.batch.bans.take().or(left.bans);
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
        let Batch { local_seq, anchors, bans, seeds } = &self.batch;
        let is_full = seeds.len() >= MAX_QUEUED / 2;
        let must_not_be_lost = local_seq.is_some() || anchors.is_some() || bans.is_some();
        !self.is_failing && (must_not_be_lost || is_full)
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

#[cfg(test)]
mod tests {
    use std::thread;

    use devp2p_core::NodeKey;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::MAX;

    fn key(n: u8) -> (DiscoveryVersion, NodeId) {
        (DiscoveryVersion::V4, NodeId::new([n; 32]))
    }

    fn seed(last_pong: u64) -> Option<Seed> {
        let node = Node::from(NodeKey::from_bytes(&[1; 32]).unwrap().public_key());
        Some(Seed::new(node, "192.0.2.1:1".parse().unwrap(), DiscoveryVersion::V4, last_pong))
    }

    fn put(mailbox: &Mailbox, n: u8, last_pong: u64) {
        mailbox.put_seed(key(n).0, key(n).1, seed(last_pong));
    }

    #[test]
    fn seeds_wait_for_others_and_the_rest_does_not() {
        let mailbox = Mailbox::default();
        put(&mailbox, 1, 5);
        assert_eq!(mailbox.wait_for(SOON, NEVER).batch.seeds.len(), 1);
        put(&mailbox, 1, 5);
        mailbox.put_local_seq(3);
        let work = mailbox.wait_for(NEVER, NEVER);
        assert_eq!((work.batch.seeds.len(), work.batch.local_seq), (1, Some(3)));
        mailbox.put_anchors(Vec::new());
        assert_eq!(mailbox.wait_for(NEVER, NEVER).batch.anchors, Some(Vec::new()));
        mailbox.put_bans(Vec::new());
        assert_eq!(mailbox.wait_for(NEVER, NEVER).batch.bans, Some(Vec::new()));
        for n in 0..MAX_QUEUED / 2 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            mailbox.put_seed(DiscoveryVersion::V5, NodeId::new(id), None);
        }
        assert_eq!(mailbox.wait_for(NEVER, NEVER).batch.seeds.len(), MAX_QUEUED / 2);
        mailbox.close();
        mailbox.put_local_seq(9);
        let work = mailbox.wait_for(NEVER, NEVER);
        assert!(work.is_last && work.batch.is_empty());
    }

    #[test]
    fn what_could_not_be_written_gives_way_to_newer_rows_and_is_tried_again() {
        let mailbox = Mailbox::default();
        put(&mailbox, 1, 5);
        put(&mailbox, 2, 5);
        mailbox.put_local_seq(3);
        mailbox.put_anchors(Vec::new());
        mailbox.put_bans(Vec::new());
        let work = mailbox.wait_for(NEVER, NEVER);
        put(&mailbox, 1, 6);
        mailbox.put_local_seq(2);
        mailbox.written(work.asked, Some(work.batch));
        // Nothing is urgent that just failed.
        let work = mailbox.wait_for(NEVER, SOON);
        let seeds = BTreeMap::from([(key(1), seed(6)), (key(2), seed(5))]);
        assert_eq!(work.batch.seeds, seeds);
        assert_eq!((work.batch.local_seq, work.batch.anchors), (Some(3), Some(Vec::new())));
        assert_eq!(work.batch.bans, Some(Vec::new()));
        mailbox.written(work.asked, None);
        mailbox.put_local_seq(4);
        assert_eq!(mailbox.wait_for(NEVER, NEVER).batch.local_seq, Some(4));
    }

    #[test]
    fn a_full_mailbox_takes_what_it_has_already() {
        let mailbox = Mailbox::default();
        for n in 0..=MAX_QUEUED {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            mailbox.put_seed(DiscoveryVersion::V4, NodeId::new(id), None);
        }
        assert_eq!(mailbox.dropped(), 1);
        put(&mailbox, 0, 5);
        mailbox.put_local_seq(1);
        mailbox.put_anchors(Vec::new());
        assert_eq!(mailbox.dropped(), 1);
        let Batch { local_seq, anchors, seeds, .. } = mailbox.wait_for(NEVER, NEVER).batch;
        assert_eq!((seeds.len(), &seeds[&key(0)]), (MAX_QUEUED, &seed(5)));
        assert!(local_seq.is_some() && anchors.is_some());
    }

    #[test]
    fn a_flush_tells_whether_it_was_written() {
        let mailbox = Mailbox::default();
        for left in [None, Some(Batch::default())] {
            let succeeds = left.is_none();
            thread::scope(|scope| {
                let flush = scope.spawn(|| mailbox.flush());
                let work = mailbox.wait_for(NEVER, NEVER);
                mailbox.written(work.asked, left);
                assert_eq!(flush.join().unwrap(), succeeds);
            });
        }
        thread::scope(|scope| {
            let flush = scope.spawn(|| mailbox.flush());
            mailbox.end();
            assert!(!flush.join().unwrap(), "nobody is there to write");
        });
        mailbox.put_local_seq(1);
        assert!(mailbox.lock().batch.is_empty());
    }
}
