use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use devp2p_core::{LocalRecord, Record};

/// The record of this node, which others may change at any time. A clone is of the same record.
#[derive(Clone, Debug)]
pub struct SharedRecord {
    local: Arc<Mutex<LocalRecord>>,
    /// The number of the record that was last given out as new.
    seq: Option<u64>,
}

impl SharedRecord {
    /// None of it was given out yet.
    pub const fn new(local: Arc<Mutex<LocalRecord>>) -> Self {
        Self { local, seq: None }
    }

    /// The record as it is now.
    pub fn record(&self) -> Record {
        self.lock().record().clone()
    }

    /// The record, if it changed since the last call.
    pub fn changed(&mut self) -> Option<Record> {
        let local = self.lock();
        let seq = local.seq();
        let record = (self.seq != Some(seq)).then(|| local.record().clone());
        drop(local);
        self.seq = Some(seq);
        record
    }

    /// A node sees us at an endpoint.
    pub fn vote(&self, now: Instant, voter: IpAddr, endpoint: SocketAddr) {
        self.lock().vote(now, voter, endpoint);
    }

    /// Nothing that is done under this lock leaves the record half changed.
    fn lock(&self) -> MutexGuard<'_, LocalRecord> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
