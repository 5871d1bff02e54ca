//! The default database: a file.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use devp2p_core::{NodeId, Rng};
use devp2p_nodedb::{OpenError, Options};
use futures::future::BoxFuture;
use tokio::task::spawn_blocking;

use crate::{NodeDb, NodeDbError, Remembered, Row};

/// A [`NodeDb`] in a file.
///
/// A file that is damaged is moved aside with a warning, and a new one is made.
pub struct FileNodeDb {
    path: PathBuf,
    open: Arc<Mutex<Option<devp2p_nodedb::NodeDb>>>,
}

impl FileNodeDb {
    /// Remembers in the file at `path`, which is made when it is opened first.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: Arc::default() }
    }
}

impl NodeDb for FileNodeDb {
    fn open(
        &self,
        local: NodeId,
        now_unix: u64,
    ) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
        let (path, open) = (self.path.clone(), Arc::clone(&self.open));
        Box::pin(async move {
            let opening = spawn_blocking(move || -> Result<_, NodeDbError> {
                let seed = Rng::from_os().map_err(|error| NodeDbError::Other(error.into()))?.seed();
                let mut options = Options::new(local, now_unix, seed);
                options.on_notice = Box::new(|notice| tracing::warn!("{notice}"));
                Ok(devp2p_nodedb::NodeDb::open(path, options)?)
            });
            // It fails where the runtime is going.
            let opened = opening.await.map_err(|error| NodeDbError::Other(error.into()))?;
            let (db, found) = opened?;
            *lock(&open) = Some(db);
            Ok(Remembered {
                seq: found.local_seq,
                seeds: found.seeds,
                anchors: found.anchors,
                bans: found.bans,
            })
        })
    }

    fn write(&self, row: Row) {
        let open = lock(&self.open);
        let Some(db) = &*open else { return };
        match row {
            Row::Anchors(anchors) => db.write_anchors(anchors),
            Row::Bans(bans) => db.write_bans(bans),
            Row::Forget { protocol, id } => db.forget(protocol, id),
            Row::LocalSeq(seq) => db.write_local_seq(seq),
            Row::Seed(seed) => db.write_seed(seed),
        }
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let db = lock(&self.open).take();
        Box::pin(async move {
            if let Some(db) = db {
                let dropped = db.dropped();
                if dropped > 0 {
                    tracing::debug!(dropped, "too many seeds for the node database");
                }
                // Dropped instead, where the runtime is going, it writes the rest by itself.
                let _ = spawn_blocking(move || db.close()).await;
            }
        })
    }
}

impl fmt::Debug for FileNodeDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileNodeDb").field("path", &self.path).finish_non_exhaustive()
    }
}

impl From<OpenError> for NodeDbError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InUse => Self::InUse,
            OpenError::Io(error) => Self::Io(error),
            error => Self::Other(error.into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;

    #[tokio::test]
    async fn a_damaged_file_is_replaced_and_what_cannot_be_opened_is_an_error() {
        let folder = env::temp_dir().join(format!("devp2p-server-nodedb-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("nodes");
        fs::write(&path, "no database").unwrap();
        let (db, local) = (FileNodeDb::new(&path), NodeId::new([1; 32]));
        assert_eq!(db.open(local, 77).await.unwrap(), Remembered::default());
        assert_eq!(fs::read(folder.join("nodes.damaged-77")).unwrap(), b"no database");

        let other = FileNodeDb::new(&path).open(local, 77).await.unwrap_err();
        assert!(matches!(other, NodeDbError::InUse));
        let no_file = FileNodeDb::new(&folder).open(local, 77).await.unwrap_err();
        assert!(matches!(no_file, NodeDbError::Io(_)));
        db.close().await;
        fs::remove_dir_all(&folder).unwrap();
    }
}
