//! The seam that remembers across restarts.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devp2p_core::{Ban, DiscoveryVersion, Fault, MAX_BANS, Node, NodeId, Seed};
use futures::future::{BoxFuture, ready};
use tokio::time::timeout;
use tracing::warn;

/// Remembers what this node knew before it stopped. The machines never call it: what it remembered
/// goes into them at the start, and rows come out.
///
/// # Contract
/// - [`open`](NodeDb::open) is called before anything else, and again only after
///   [`close`](NodeDb::close). It tells what was written before the last close: a few seeds of each
///   protocol where there are many, all anchors, all bans that are not over, and the number of the
///   own record under this key.
/// - [`write`](NodeDb::write) never waits. The newest row of a node counts, the newest anchors and
///   bans, and the highest number; a number never goes down.
/// - Too many seeds at once are dropped. The number, the anchors and the bans never are.
/// - The number belongs to one key. So do the times at which we answered a node
///   ([`last_ping`](Seed::last_ping)): under another key they are 0.
/// - A seed that never answered is not remembered, and neither is one that did not for 5 days.
/// - [`close`](NodeDb::close) ends by itself, whether it is open or not, and what was written is
///   remembered then. A server that stops waits 10 s for that. Dropping the future loses no row. A
///   row that comes later changes nothing.
/// - Dropping the future of [`open`](NodeDb::open), and the handle, leaves it closed.
///
/// The futures are polled within a tokio runtime. The suite `contract::node_db` (feature
/// `test-util`) checks this.
pub trait NodeDb: Send + Sync + 'static {
    /// What is remembered for the node `local`, `now_unix` seconds after 1970.
    fn open(
        &self,
        local: NodeId,
        now_unix: u64,
    ) -> BoxFuture<'static, Result<Remembered, NodeDbError>>;

    /// Takes a row to be written.
    fn write(&self, row: Row);

    /// Writes what there is and closes.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// How long a stop waits for the database to close. It takes milliseconds; a disk that does not
/// answer must not keep the server from stopping.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Closes the database, and does not wait for ever.
pub(crate) async fn close(db: &dyn NodeDb) {
    if timeout(CLOSE_LIMIT, db.close()).await.is_err() {
        warn!("the node database is not closed after {CLOSE_LIMIT:?}");
    }
}

/// What an earlier run left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remembered {
    /// The highest number that the record of this node had. A crash may have lost a higher one, so
    /// the next record starts no lower than at the clock.
    pub seq: Option<u64>,
    /// Nodes that discovery had verified.
    pub seeds: Vec<Seed>,
    /// Peers to dial first.
    pub anchors: Vec<Node>,
    /// Whom to have nothing to do with.
    pub bans: Vec<Ban>,
}

/// Something to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// These anchors, in place of those before; at most 4 are kept.
    Anchors(Vec<Node>),
    /// These bans, in place of those before; at most [`MAX_BANS`] are kept.
    Bans(Vec<Ban>),
    /// No longer this seed.
    Forget {
        /// The protocol that found it.
        protocol: DiscoveryVersion,
        /// The node.
        id: NodeId,
    },
    /// The number of this node's own record.
    LocalSeq(u64),
    /// This seed.
    Seed(Seed),
}

/// Why nothing can be remembered.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeDbError {
    /// It is open already, here or in another process.
    InUse,
    /// The file, or a folder above it, cannot be used.
    Io(io::Error),
    /// A failure of another kind of database.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl NodeDbError {
    /// Whose fault it is: ours, or of our machine.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for NodeDbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("the node database is in use"),
            Self::Io(error) => write!(f, "the node database cannot be opened: {error}"),
            Self::Other(error) => write!(f, "the node database failed: {error}"),
        }
    }
}

impl std::error::Error for NodeDbError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InUse => None,
            Self::Io(error) => Some(error),
            Self::Other(error) => Some(error.as_ref()),
        }
    }
}

/// How many seeds of each protocol are kept in memory.
const MAX_SEEDS: usize = 1_024;

/// How many seeds of each protocol are told at the start, as in geth.
const SEEDS_AT_OPEN: usize = 30;

/// How long after its last answer a seed is told, as in geth.
const SEED_LIFETIME: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// How many anchors are kept.
const MAX_ANCHORS: usize = 4;

/// How many keys have numbers. More servers do not share a database in memory.
const MAX_LOCAL_IDS: usize = 16;

/// A [`NodeDb`] in memory, which forgets all at the end of the process. It tells the freshest seeds.
///
/// A clone is another handle on the same content: a server started on a clone is the restart of the
/// one before.
#[derive(Default)]
pub struct MemoryNodeDb {
    content: Arc<Mutex<Content>>,
    /// For whom this handle is open.
    local: Mutex<Option<NodeId>>,
}

#[derive(Default)]
struct Content {
    /// Under whose key the seeds were written.
    local: Option<NodeId>,
    seqs: BTreeMap<NodeId, u64>,
    seeds: BTreeMap<DiscoveryVersion, BTreeMap<NodeId, Seed>>,
    anchors: Vec<Node>,
    bans: Vec<Ban>,
}

impl MemoryNodeDb {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

impl NodeDb for MemoryNodeDb {
    fn open(
        &self,
        local: NodeId,
        now_unix: u64,
    ) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
        *lock(&self.local) = Some(local);
        Box::pin(ready(Ok(lock(&self.content).open(local, now_unix))))
    }

    fn write(&self, row: Row) {
        if let Some(local) = *lock(&self.local) {
            lock(&self.content).write(local, row);
        }
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        *lock(&self.local) = None;
        Box::pin(ready(()))
    }
}

impl Content {
    fn open(&mut self, local: NodeId, now_unix: u64) -> Remembered {
        let is_another = self.local.replace(local) != Some(local);
        let mut seeds = Vec::new();
        for stored in self.seeds.values_mut() {
            stored.retain(|_, seed| {
                now_unix.saturating_sub(seed.last_pong) <= SEED_LIFETIME.as_secs()
            });
            if is_another {
                stored.values_mut().for_each(|seed| seed.last_ping = 0);
            }
            let mut found: Vec<_> = stored.values().cloned().collect();
            found.sort_by_key(|seed| Reverse(seed.last_pong));
            found.truncate(SEEDS_AT_OPEN);
            seeds.append(&mut found);
        }
        self.bans.retain(|ban| !ban.is_over(now_unix));
        Remembered {
            seq: self.seqs.get(&local).copied(),
            seeds,
            anchors: self.anchors.clone(),
            bans: self.bans.clone(),
        }
    }

    fn write(&mut self, local: NodeId, row: Row) {
        match row {
            Row::Anchors(mut anchors) => {
                anchors.truncate(MAX_ANCHORS);
                self.anchors = anchors;
            }
            Row::Bans(mut bans) => {
                bans.truncate(MAX_BANS);
                self.bans = bans;
            }
            Row::Forget { protocol, id } => {
                self.seeds.entry(protocol).or_default().remove(&id);
            }
            Row::LocalSeq(seq) => {
                if self.seqs.len() >= MAX_LOCAL_IDS && !self.seqs.contains_key(&local) {
                    self.seqs.pop_first();
                }
                let known = self.seqs.entry(local).or_default();
                *known = seq.max(*known);
            }
            Row::Seed(seed) if seed.last_pong != 0 => self.insert(seed),
            Row::Seed(_) => {}
        }
    }

    fn insert(&mut self, seed: Seed) {
        let stored = self.seeds.entry(seed.protocol).or_default();
        stored.insert(seed.node.id(), seed);
        if stored.len() > MAX_SEEDS {
            let stalest = stored.values().min_by_key(|seed| seed.last_pong);
            let stalest = stalest.map(|seed| seed.node.id());
            stalest.and_then(|id| stored.remove(&id));
        }
    }
}

impl Clone for MemoryNodeDb {
    fn clone(&self) -> Self {
        Self { content: Arc::clone(&self.content), local: Mutex::default() }
    }
}

impl fmt::Debug for MemoryNodeDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNodeDb").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use devp2p_core::NodeKey;

    use super::*;

    #[test]
    fn memory_is_bounded_and_tells_the_freshest() {
        let mut content = Content::default();
        let node = |n: u16| {
            let mut secret = [1; 32];
            secret[..2].copy_from_slice(&n.to_be_bytes());
            Node::from(NodeKey::from_bytes(&secret).unwrap().public_key())
        };
        let endpoint = "192.0.2.1:30303".parse().unwrap();
        for n in 0..1_100 {
            let seed = Seed::new(node(n), endpoint, DiscoveryVersion::V4, 1_000 + u64::from(n));
            content.write(NodeId::new([n as u8; 32]), Row::Seed(seed));
            content.write(NodeId::new([n as u8; 32]), Row::LocalSeq(9));
        }
        let stored = content.seeds.values().map(BTreeMap::len).sum::<usize>();
        assert_eq!((stored, content.seqs.len()), (MAX_SEEDS, MAX_LOCAL_IDS));
        let told = content.open(NodeId::new([0; 32]), 3_000).seeds;
        let times: Vec<_> = told.iter().map(|seed| seed.last_pong).collect();
        assert_eq!(times, (2_070..2_100).rev().collect::<Vec<_>>());
    }
}
