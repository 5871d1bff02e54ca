//! Searches: for the nodes near to a target, and for one node.

use std::time::Instant;

use devp2p_core::{NodeId, Record};

use super::Discv5;
use crate::{QueryId, crypto::Identity};

/// Chooses nodes by their records.
pub type Predicate = Box<dyn Fn(&Record) -> bool + Send>;

#[derive(Debug, Default)]
pub(super) struct Lookups {}

impl Lookups {
    pub(super) const fn len(&self) -> usize {
        0
    }

    pub(super) const fn next_start(&self) -> Option<Instant> {
        None
    }
}

impl<I: Identity> Discv5<I> {
    pub(super) fn queue_lookup(
        &mut self,
        _query: QueryId,
        _target: NodeId,
        _predicate: Option<(usize, Predicate)>,
    ) {
    }

    pub(super) fn queue_random_lookup(&mut self, _query: QueryId) {}

    pub(super) fn start_resolve(&mut self, _now: Instant, _query: QueryId, _id: NodeId) {}

    pub(super) fn cancel_lookup(&mut self, _query: QueryId) {}
}
