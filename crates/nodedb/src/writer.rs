//! The thread that has the file.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc::SyncSender},
};

use devp2p_core::Rng;

use crate::{
    Notice, OpenError, Options, Remembered,
    aside::move_aside,
    mailbox::{Batch, Mailbox},
    store::{Store, Trouble},
};

/// Opens the file, tells what is remembered, and writes what comes in until it is closed.
pub(crate) struct Writer {
    path: PathBuf,
    options: Options,
    mailbox: Arc<Mailbox>,
    /// None after a failure, until the file is opened again.
    store: Option<Store>,
}

impl Writer {
    pub(crate) fn new(path: PathBuf, options: Options, mailbox: Arc<Mailbox>) -> Self {
        Self { path, options, mailbox, store: None }
    }

    pub(crate) fn run(mut self, opened: SyncSender<Result<Remembered, OpenError>>) {
        let remembered = self.load();
        let is_open = remembered.is_ok();
        // Who asked is still there: it waits for this.
        let _ = opened.send(remembered);
        drop(opened);
        if is_open {
            while !self.write_once() {}
        }
    }

    /// Waits for something to write and writes it; whether it was the last.
    fn write_once(&mut self) -> bool {
        let work = self.mailbox.wait();
        let left = self.write(work.batch);
        self.mailbox.written(work.asked, left);
        work.is_last
    }

    fn load(&mut self) -> Result<Remembered, OpenError> {
        let mut rng = Rng::from_seed(self.options.rng_seed);
        let limit = self.options.seeds_at_open;
        self.open(|store| store.remembered(limit, &mut rng).map_err(Trouble::from))
    }

    /// Gives back what could not be written.
    fn write(&mut self, batch: Batch) -> Option<Batch> {
        if batch.is_empty() {
            return None;
        }
        match self.try_write(&batch) {
            Ok(()) => None,
            Err(reason) => {
                // The library wants a database that failed to be opened anew.
                self.store = None;
                (self.options.on_notice)(Notice::WriteFailed { reason });
                Some(batch)
            }
        }
    }

    fn try_write(&mut self, batch: &Batch) -> Result<(), String> {
        if self.store.is_none() {
            self.open(|_| Ok(())).map_err(|error| error.to_string())?;
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        let applied = caught(|| store.apply(batch).map_err(Trouble::from));
        applied.map_err(|trouble| match trouble {
            Trouble::Damaged(reason) => reason,
            Trouble::InUse => OpenError::InUse.to_string(),
            Trouble::Io(error) => error.to_string(),
        })
    }

    /// Opens the file and reads from it. A file that is no use is moved aside, once.
    fn open<T>(
        &mut self,
        mut read: impl FnMut(&mut Store) -> Result<T, Trouble>,
    ) -> Result<T, OpenError> {
        let mut was_moved = false;
        loop {
            let Options { local, max_seeds, now_unix, .. } = self.options;
            let opened = caught(|| {
                let mut store = Store::open(&self.path, local, max_seeds, now_unix)?;
                let found = read(&mut store)?;
                Ok((store, found))
            });
            let reason = match opened {
                Ok((store, found)) => {
                    self.store = Some(store);
                    return Ok(found);
                }
                Err(Trouble::InUse) => return Err(OpenError::InUse),
                Err(Trouble::Io(error)) => return Err(OpenError::Io(error)),
                Err(Trouble::Damaged(reason)) if was_moved => {
                    return Err(OpenError::Unusable(reason));
                }
                Err(Trouble::Damaged(reason)) => reason,
            };
            let to = move_aside(&self.path, now_unix)?;
            (self.options.on_notice)(Notice::MovedAside { to, reason });
            was_moved = true;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The file is closed before anyone hears that the writer is gone.
        self.store = None;
        self.mailbox.end();
    }
}

/// A panic of the library is damage of the file.
fn caught<T>(operation: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    // What the operation may have left half done is dropped by all who call this.
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Trouble::Damaged(message.unwrap_or("reading it panicked").to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        env, fs, process,
        sync::{Arc, Mutex},
    };

    use devp2p_core::NodeId;
    use redb::Database;

    use super::*;

    #[test]
    fn a_write_that_failed_succeeds_when_it_can() {
        let folder = env::temp_dir().join(format!("devp2p-nodedb-writer-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("nodes");
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notices);
        let mut options = Options::new(NodeId::new([1; 32]), 5, [0; 32]);
        options.on_notice = Box::new(move |notice| told.lock().unwrap().push(notice));
        let mut writer = Writer::new(path.clone(), options, Arc::default());

        // It lost the file, and somebody else has it.
        let other = Database::create(&path).unwrap();
        let batch = Batch { local_seq: Some(7), ..Batch::default() };
        let left = writer.write(batch).unwrap();
        assert_eq!(left.local_seq, Some(7));
        assert!(matches!(notices.lock().unwrap()[..], [Notice::WriteFailed { .. }]));
        drop(other);
        assert!(writer.write(left).is_none());
        assert_eq!(writer.load().unwrap_err().to_string(), OpenError::InUse.to_string());
        writer.store = None;
        assert_eq!(writer.load().unwrap().local_seq, Some(7));
        assert_eq!(notices.lock().unwrap().len(), 1);
        drop(writer);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_panic_is_damage() {
        let reason = |operation: fn()| match caught(|| {
            operation();
            Ok(())
        }) {
            Err(Trouble::Damaged(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(|| panic!("bad page")), "bad page");
        assert_eq!(reason(|| panic!("page {}", 7)), "page 7");
        assert_eq!(reason(|| std::panic::panic_any(7)), "reading it panicked");
    }
}
