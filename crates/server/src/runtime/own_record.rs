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
    #[cfg(feature = "discv4")]
    pub(crate) const fn local(&self) -> &Arc<Mutex<LocalRecord>> {
        &self.local
    }

    /// Gives a new number to the database.
    pub(crate) fn keep(&self) {
        let seq = lock(&self.local).seq();
        let mut written = lock(&self.written);
        if written.is_none_or(|written| written < seq) {
            self.db.write(Row::LocalSeq(seq));
            *written = Some(seq);
        }
    }

    pub(crate) fn record(&self) -> Record {
        self.keep();
        lock(&self.local).record().clone()
    }
}
