//! The database, as its users hold it.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, mpsc::sync_channel},
    thread::{self, JoinHandle},
};

use devp2p_core::{Ban, DiscoveryVersion, Node, NodeId, Seed};

use crate::{
    MAX_SEEDS, Notice, OpenError, mailbox::Mailbox, row::outlasts_run, store::is_fresh,
    writer::Writer,
};

/// How to open a database.
#[non_exhaustive]
pub struct Options {
    /// The id of this node.
    pub local: NodeId,
    /// The time, in seconds since 1970.
    pub now_unix: u64,
    /// What the choice of seeds is drawn from.
    pub rng_seed: [u8; 32],
    /// How many seeds of each protocol are told at the start; 30, as in geth.
    pub seeds_at_open: usize,
    /// How many seeds of each protocol are kept; [`MAX_SEEDS`], and not more.
    pub max_seeds: usize,
    /// Called with what goes wrong, in the thread that has the file. It must not wait for the
    /// database.
    pub on_notice: Box<dyn Fn(Notice) + Send>,
}

impl Options {
    /// The defaults, for the node `local`, now. `rng_seed` is random and never used twice.
    pub fn new(local: NodeId, now_unix: u64, rng_seed: [u8; 32]) -> Self {
        Self {
            local,
            now_unix,
            rng_seed,
            seeds_at_open: 30,
            max_seeds: MAX_SEEDS,
            on_notice: Box::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("local", &self.local).finish_non_exhaustive()
    }
}

/// What an earlier run left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remembered {
    /// The highest number that a record of this node had, under this key.
    pub local_seq: Option<u64>,
    /// Seeds of all protocols.
    pub seeds: Vec<Seed>,
    /// The peers to dial first.
    pub anchors: Vec<Node>,
    /// The bans that are not over, by the clock of this opening.
    pub bans: Vec<Ban>,
}

/// An open database. Writing to it never waits for the disk.
///
/// Dropping it has the rest written too, without waiting for that.
#[derive(Debug)]
pub struct NodeDb {
    mailbox: Arc<Mailbox>,
    writer: Option<JoinHandle<()>>,
}

impl NodeDb {
    /// Opens the file, or makes it and the folders above it, and tells what it remembers. Blocks
    /// for as long as it takes to read the whole file.
    ///
    /// A file that is damaged, of a newer version or not ours is moved aside to
    /// `FILE.damaged-<unix time>`, of which the newest two are kept, and a new one is made.
    ///
    /// # Errors
    /// [`OpenError`]: not where the file is damaged, but where there can be none.
    pub fn open(
        path: impl Into<PathBuf>,
        options: Options,
    ) -> Result<(Self, Remembered), OpenError> {
        let options = Options { max_seeds: options.max_seeds.min(MAX_SEEDS), ..options };
        let mailbox = Arc::new(Mailbox::default());
        let writer = Writer::new(path.into(), options, Arc::clone(&mailbox));
        let (opened, remembered) = sync_channel(1);
        let thread =
            thread::Builder::new().name("nodedb".into()).spawn(move || writer.run(opened))?;
        let db = Self { mailbox, writer: Some(thread) };
        match remembered.recv() {
            Ok(Ok(remembered)) => Ok((db, remembered)),
            Ok(Err(error)) => {
                // So that the file is free when the caller hears of it.
                db.close();
                Err(error)
            }
            // A panic within `on_notice`.
            Err(_) => Err(OpenError::Unusable("the thread that opened it panicked".into())),
        }
    }

    /// Keeps a seed, in place of what was known of the node under this protocol. One that did not
    /// answer within [`SEED_LIFETIME`](crate::SEED_LIFETIME) is forgotten at the next start at the
    /// latest; one that never answered is not kept at all, nor one of a protocol unknown here,
    /// nor one at a link-local address, whose scope ends with the run.
    ///
    /// Where [`MAX_QUEUED`](crate::MAX_QUEUED) seeds wait to be written, it is dropped and counted.
    pub fn write_seed(&self, seed: Seed) {
        if is_fresh(seed.last_pong, seed.last_pong) && outlasts_run(seed.endpoint.ip()) {
            self.mailbox.put_seed(seed.protocol, seed.node.id(), Some(seed));
        }
    }

    /// Forgets a seed. Dropped and counted where a seed would be.
    pub fn forget(&self, protocol: DiscoveryVersion, id: NodeId) {
        self.mailbox.put_seed(protocol, id, None);
    }

    /// Keeps the number of this node's own record. Never dropped; a number that is lower than the
    /// stored one changes nothing.
    pub fn write_local_seq(&self, seq: u64) {
        self.mailbox.put_local_seq(seq);
    }

    /// Keeps these anchors in place of those before, the first [`MAX_ANCHORS`](crate::MAX_ANCHORS)
    /// of them. Never dropped, but for those at link-local addresses.
    pub fn write_anchors(&self, mut anchors: Vec<Node>) {
        anchors.retain(|node| node.ip().is_none_or(outlasts_run));
        self.mailbox.put_anchors(anchors);
    }

    /// Keeps these bans in place of those before, the first [`MAX_BANS`](devp2p_core::MAX_BANS) of
    /// them. Never dropped.
    pub fn write_bans(&self, bans: Vec<Ban>) {
        self.mailbox.put_bans(bans);
    }

    /// Waits until all that was written before is on the disk, or could not be put there; whether
    /// it is.
    pub fn flush(&self) -> bool {
        self.mailbox.flush()
    }

    /// How many seeds were dropped since the start because too many waited to be written.
    pub fn dropped(&self) -> u64 {
        self.mailbox.dropped()
    }

    /// Writes what waits to be written and closes the file; when this returns, another can open
    /// it. What cannot be written now is lost.
    pub fn close(mut self) {
        self.mailbox.close();
        if let Some(writer) = self.writer.take() {
            // It ended, by itself or by a panic within `on_notice`; there is nothing left to do.
            let _ = writer.join();
        }
    }
}

impl Drop for NodeDb {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}
