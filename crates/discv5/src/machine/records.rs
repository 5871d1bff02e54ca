//! Records that were verified, so that none is verified twice.

use devp2p_core::{Record, RecordError};

use super::Discv5;
use crate::crypto::Identity;

impl<I: Identity> Discv5<I> {
    /// The record with these bytes, verified now or before.
    pub(super) fn verify_record(&mut self, bytes: &[u8]) -> Result<Record, RecordError> {
        self.identity.decode_record(bytes)
    }

    /// The record with these bytes, if it was verified before.
    pub(super) fn verified_record(&self, _bytes: &[u8]) -> Option<Record> {
        None
    }
}
