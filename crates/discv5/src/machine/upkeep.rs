//! What the machine does of its own accord.

use std::time::Instant;

use devp2p_core::{Node, NodeId, Record, Seed};

use super::{Discv5, Peer, purpose::Purpose, requests::Answer};
use crate::{RequestError, crypto::Identity};

impl<I: Identity> Discv5<I> {
    /// Does all that there is to do now; to be called at the end of every call.
    pub(super) fn advance(&mut self, _now: Instant) {}

    /// Keys are shared with a node: it has proved who it is, and that it is there. `record` is the
    /// newest that is known of it; there is none where it was asked by its key alone.
    pub(super) fn session_established(
        &mut self,
        _now: Instant,
        _peer: Peer,
        _record: Option<Record>,
        _initiated_by_us: bool,
    ) {
    }

    /// A request of ours was answered.
    pub(super) fn request_answered(
        &mut self,
        _now: Instant,
        _purpose: Purpose,
        _peer: Peer,
        _answer: Answer,
    ) {
    }

    /// A request of ours was not answered, or could not be.
    pub(super) fn request_failed(
        &mut self,
        _now: Instant,
        _purpose: Purpose,
        _peer: Peer,
        _error: RequestError,
    ) {
    }

    /// The newest verified record of a node.
    pub(super) fn known_record(&self, _id: NodeId) -> Option<Record> {
        None
    }

    /// Whether the table has the node verified at this endpoint.
    pub(super) fn is_table_node(&self, _peer: &Peer) -> bool {
        false
    }

    /// Nodes that another one named; their records are verified, and all may be spoken to.
    pub(super) fn sightings(&mut self, _now: Instant, _from: NodeId, _nodes: &[Node]) {}

    /// A bootnode.
    pub(super) fn pin(&mut self, _now: Instant, _node: Node) {}

    /// A node that may be there.
    pub(super) fn take_hearsay(&mut self, _now: Instant, _node: Node) {}

    /// A node of an earlier run.
    pub(super) fn take_seed(&mut self, _now: Instant, _seed: Seed) {}

    /// When there is something to do for the table.
    pub(super) fn next_upkeep(&self) -> Option<Instant> {
        self.table.poll_timeout()
    }
}
