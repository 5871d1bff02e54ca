use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use devp2p_core::{DiscoveryVersion, NodeId, Seed};
use devp2p_server::{MemoryNodeDb, NodeDb, NodeDbError, Remembered, Row, contract::node_db};
use futures::future::{BoxFuture, pending};

#[tokio::test(start_paused = true)]
async fn memory() {
    let report = node_db::check(|| {
        let content = MemoryNodeDb::new();
        move || Arc::new(content.clone()) as Arc<dyn NodeDb>
    });
    report.await.assert_kept();
}

/// Once on paused time, as the servers of tests run, and once as they run in earnest.
#[cfg(feature = "nodedb")]
mod file {
    use std::{fs, path::Path};

    use devp2p_server::FileNodeDb;

    use super::*;

    async fn check(test: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract-node_db").join(test);
        let _ = fs::remove_dir_all(&folder);
        let files = AtomicUsize::new(0);
        let report = node_db::check(|| {
            let path = folder.join(files.fetch_add(1, Ordering::Relaxed).to_string());
            move || Arc::new(FileNodeDb::new(&path)) as Arc<dyn NodeDb>
        });
        report.await.assert_kept();
    }

    #[tokio::test(start_paused = true)]
    async fn on_paused_time() {
        check("paused").await;
    }

    #[tokio::test]
    async fn on_a_running_clock() {
        check("running").await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Remembers something from the start.
    Prejudiced,
    /// Forgets everything.
    Forgetful,
    /// Stays with what it heard first of a node.
    Stubborn,
    /// Never forgets a node.
    Faithful,
    /// Lets a number go down.
    Wavering,
    /// Waits for room after so many rows.
    Blocking,
    /// Drops whatever comes after so many seeds.
    Indifferent,
    /// Has one number, whoever asks.
    Common,
    /// Keeps when nodes were answered under another key.
    Confusing,
    /// Keeps who never answered.
    Credulous,
    /// Keeps seeds for ever.
    Eternal,
    /// Does not end.
    Endless,
    /// Closes only where somebody waits for that.
    Lazy,
    /// Writes after it is closed.
    Late,
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (
            Flaw::Prejudiced,
            &["starts empty", "one number per key", "open can be dropped", "late rows"][..],
        ),
        (
            Flaw::Forgetful,
            &[
                "remembers",
                "the newest counts",
                "keeps number, anchors and bans",
                "one number per key",
                "answers only",
                "bans end",
                "close can be dropped",
                "late rows",
            ],
        ),
        (Flaw::Stubborn, &["the newest counts"]),
        (Flaw::Faithful, &["the newest counts"]),
        (Flaw::Wavering, &["the newest counts"]),
        (Flaw::Blocking, &["never waits", "keeps number, anchors and bans", "close ends"]),
        (Flaw::Indifferent, &["keeps number, anchors and bans"]),
        (Flaw::Common, &["one number per key"]),
        (Flaw::Confusing, &["one number per key"]),
        (Flaw::Credulous, &["answers only"]),
        (Flaw::Eternal, &["answers only", "bans end"]),
        (
            Flaw::Endless,
            &[
                "remembers",
                "the newest counts",
                "keeps number, anchors and bans",
                "one number per key",
                "answers only",
                "bans end",
                "close ends",
                "close can be dropped",
                "late rows",
            ],
        ),
        (Flaw::Lazy, &["close can be dropped", "open can be dropped"]),
        (Flaw::Late, &["late rows"]),
    ] {
        let report = node_db::check(|| {
            let storage = Arc::new(Storage::default());
            move || Arc::new(Broken::new(&storage, flaw)) as Arc<dyn NodeDb>
        });
        let report = report.await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
}

/// So many seeds one of the flawed takes at a time.
const ROOM: usize = 4_096;

#[derive(Default)]
struct Storage {
    content: MemoryNodeDb,
    /// Numbers that are kept in another way.
    seqs: Mutex<BTreeMap<NodeId, u64>>,
    known: Mutex<BTreeSet<(DiscoveryVersion, NodeId)>>,
    answered: Mutex<Vec<Seed>>,
    is_open: Mutex<bool>,
}

struct Broken {
    storage: Arc<Storage>,
    inner: Arc<MemoryNodeDb>,
    /// Whose number it keeps.
    local: Mutex<Option<NodeId>>,
    seeds: AtomicUsize,
    flaw: Flaw,
}

impl Broken {
    fn new(storage: &Arc<Storage>, flaw: Flaw) -> Self {
        let content =
            if flaw == Flaw::Forgetful { MemoryNodeDb::new() } else { storage.content.clone() };
        Self {
            storage: Arc::clone(storage),
            inner: Arc::new(content),
            local: Mutex::default(),
            seeds: AtomicUsize::new(0),
            flaw,
        }
    }
}

impl NodeDb for Broken {
    fn open(
        &self,
        local: NodeId,
        now_unix: u64,
    ) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
        let flaw = self.flaw;
        let mut is_open = self.storage.is_open.lock().unwrap();
        if flaw == Flaw::Lazy && *is_open {
            return Box::pin(async { Err(NodeDbError::InUse) });
        }
        *is_open = true;
        drop(is_open);
        let now_unix = if flaw == Flaw::Eternal { 1_700_000_000 } else { now_unix };
        let opening = self.inner.open(local, now_unix);
        let whose = if flaw == Flaw::Common { NodeId::new([0; 32]) } else { local };
        *self.local.lock().unwrap() = Some(whose);
        let storage = Arc::clone(&self.storage);
        Box::pin(async move {
            let mut found = opening.await?;
            match flaw {
                Flaw::Prejudiced => found.seq = found.seq.or(Some(1)),
                Flaw::Common | Flaw::Wavering => {
                    found.seq = storage.seqs.lock().unwrap().get(&whose).copied();
                }
                Flaw::Confusing => {
                    for seed in &mut found.seeds {
                        let answered = storage.answered.lock().unwrap();
                        let same = answered.iter().find(|other| other.node == seed.node);
                        seed.last_ping = same.map_or(0, |same| same.last_ping);
                    }
                }
                _ => {}
            }
            Ok(found)
        })
    }

    fn write(&self, row: Row) {
        let seeds = self.seeds.load(Ordering::Relaxed);
        match (self.flaw, row) {
            (Flaw::Blocking, _) if seeds >= ROOM => loop {
                thread::park();
            },
            (Flaw::Indifferent, _) if seeds >= ROOM => {}
            (Flaw::Faithful, Row::Forget { .. }) => {}
            (Flaw::Stubborn, Row::Seed(seed))
                if !self.storage.known.lock().unwrap().insert((seed.protocol, seed.node.id())) => {}
            (flaw, Row::Seed(mut seed)) => {
                self.seeds.fetch_add(1, Ordering::Relaxed);
                if flaw == Flaw::Credulous {
                    seed.last_pong = seed.last_pong.max(seed.last_ping);
                }
                self.storage.answered.lock().unwrap().push(seed.clone());
                self.inner.write(Row::Seed(seed));
            }
            (flaw, Row::LocalSeq(seq)) => {
                if let Some(whose) = *self.local.lock().unwrap() {
                    let mut seqs = self.storage.seqs.lock().unwrap();
                    let known = seqs.entry(whose).or_default();
                    *known = if flaw == Flaw::Wavering { seq } else { seq.max(*known) };
                }
                self.inner.write(Row::LocalSeq(seq));
            }
            (_, row) => self.inner.write(row),
        }
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        *self.local.lock().unwrap() = None;
        match self.flaw {
            Flaw::Endless => Box::pin(pending()),
            Flaw::Late => Box::pin(async {}),
            Flaw::Lazy => {
                let (inner, storage) = (Arc::clone(&self.inner), Arc::clone(&self.storage));
                Box::pin(async move {
                    inner.close().await;
                    *storage.is_open.lock().unwrap() = false;
                })
            }
            _ => self.inner.close(),
        }
    }
}
