//! What a node remembers across restarts.

use std::{
    cell::RefCell,
    fs,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use devp2p_core::NodeId;
use devp2p_nodedb::{NodeDb, Options, Remembered};
use devp2p_server::Row;

/// The rows that the lives of a node write. They go into a database only for the next life, so that
/// nothing waits for a disk meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Rc<RefCell<Vec<Row>>>);

impl Memory {
    pub(crate) fn write(&self, row: Row) {
        self.0.borrow_mut().push(row);
    }

    /// What the database tells at a start.
    pub(crate) fn remembered(&self, local: NodeId, now_unix: u64, seed: [u8; 32]) -> Remembered {
        static FILES: AtomicU64 = AtomicU64::new(0);
        let rows = self.0.borrow();
        if rows.is_empty() {
            return Remembered::default();
        }
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = format!("simnet-{}-{number}.nodes", std::process::id());
        let file = std::env::temp_dir().join(file);
        let (db, _) = NodeDb::open(&file, Options::new(local, now_unix, seed)).unwrap();
        for row in rows.iter().cloned() {
            match row {
                Row::Anchors(anchors) => db.write_anchors(anchors),
                Row::Forget { protocol, id } => db.forget(protocol, id),
                Row::LocalSeq(seq) => db.write_local_seq(seq),
                Row::Seed(seed) => db.write_seed(seed),
                other => panic!("{other:?}"),
            }
        }
        db.close();
        let (db, remembered) = NodeDb::open(&file, Options::new(local, now_unix, seed)).unwrap();
        db.close();
        fs::remove_file(file).unwrap();
        remembered
    }
}
