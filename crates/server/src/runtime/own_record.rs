use std::sync::{Arc, Mutex};

use devp2p_core::{LocalRecord, Record};

use super::shared::lock;
use crate::{NodeDb, Row};

/// The record of this node, whose number is given to the database before anybody sees the record.
///
/// A crash before the database has written the number loses it. The next start is at the clock
/// then, which is past it: a record changes far less often than once a millisecond.
pub(crate) struct OwnRecord {
    local: Arc<Mutex<LocalRecord>>,
    db: Arc<dyn NodeDb>,
    /// The number that the database has.
    written: Mutex<Option<u64>>,
}

impl OwnRecord {
    pub(crate) fn new(local: LocalRecord, db: Arc<dyn NodeDb>) -> Self {
        let record = Self { local: Arc::new(Mutex::new(local)), db, written: Mutex::new(None) };
        record.keep();
        record
    }

    /// The record, to be changed by whoever knows something of this node. What is shown of it comes
    /// from [`record`](Self::record), or after [`keep`](Self::keep).
    pub(crate) const fn local(&self) -> &Arc<Mutex<LocalRecord>> {
        &self.local
    }

    /// Gives a new number to the database.
    pub(crate) fn keep(&self) {
        let seq = lock(&self.local).seq();
        self.keep_seq(seq);
    }

    pub(crate) fn record(&self) -> Record {
        // The very record that is shown: it may change at any time.
        let record = lock(&self.local).record().clone();
        self.keep_seq(record.seq());
        record
    }

    fn keep_seq(&self, seq: u64) {
        let mut written = lock(&self.written);
        if written.is_none_or(|written| written < seq) {
            self.db.write(Row::LocalSeq(seq));
            *written = Some(seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
        thread,
    };

    use devp2p_core::{NodeId, NodeKey};
    use futures::future::{BoxFuture, ready};

    use super::*;
    use crate::{NodeDbError, Remembered};

    /// Keeps nothing but the number.
    #[derive(Default)]
    struct Number(AtomicU64);

    impl NodeDb for Number {
        fn open(&self, _: NodeId, _: u64) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
            Box::pin(ready(Ok(Remembered::default())))
        }

        fn write(&self, row: Row) {
            if let Row::LocalSeq(seq) = row {
                self.0.fetch_max(seq, Ordering::SeqCst);
            }
        }

        fn close(&self) -> BoxFuture<'static, ()> {
            Box::pin(ready(()))
        }
    }

    #[test]
    fn no_record_is_shown_before_its_number_is_written() {
        let key = NodeKey::from_bytes(&[1; 32]).unwrap();
        let db = Arc::new(Number::default());
        let local = LocalRecord::new(key, None, 1).unwrap();
        let record = OwnRecord::new(local, Arc::<Number>::clone(&db));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for port in 1..=2_000 {
                    lock(&record.local).set_udp_port(devp2p_core::Family::V4, Some(port));
                }
                done.store(true, Ordering::SeqCst);
            });
            while !done.load(Ordering::SeqCst) {
                let shown = record.record().seq();
                assert!(shown <= db.0.load(Ordering::SeqCst));
            }
        });
        assert_eq!(record.record().seq(), db.0.load(Ordering::SeqCst));
    }
}
