use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{Node, Rng};

use super::{Discv5, purpose::Purpose};
use crate::{Config, QueryId, RequestError, crypto::Identity};

/// What a node is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Whether it is there.
    Ping,
    /// Whom it knows at these distances from itself.
    FindNode(Vec<u16>),
    /// Something of another protocol.
    Talk {
        /// The name of the protocol.
        protocol: Bytes,
        /// What.
        request: Bytes,
    },
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To PING.
    Pong {
        /// The sequence number of its record.
        enr_seq: u64,
        /// Where it sees us.
        endpoint: SocketAddr,
        /// How long it took.
        rtt: Duration,
    },
    /// To FINDNODE: nodes by verified records, all of which may be spoken to.
    Nodes(Vec<Node>),
    /// To TALKREQ.
    Talk(Bytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestNumber(u64);

#[derive(Debug)]
pub(super) struct Requests {}

impl Requests {
    pub(super) fn new(_config: &Config, _rng: &mut Rng) -> Self {
        Self {}
    }

    pub(super) fn len(&self) -> usize {
        0
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        None
    }

    pub(super) fn due(&self, _now: Instant) -> Option<RequestNumber> {
        None
    }
}

impl<I: Identity> Discv5<I> {
    /// Asks a node something, after a handshake where one is needed. The answer, or its absence,
    /// comes to [`request_answered`](Self::request_answered) or
    /// [`request_failed`](Self::request_failed), but not before this returns.
    ///
    /// The key is what is needed of the node; its record, too, if it is known.
    pub(super) fn request(
        &mut self,
        _now: Instant,
        _node: &Node,
        _endpoint: SocketAddr,
        _ask: Ask,
        _purpose: Purpose,
    ) -> Result<(), RequestError> {
        Err(RequestError::Busy)
    }

    pub(super) fn cancel_requests(&mut self, _now: Instant, _query: QueryId) {}

    pub(super) fn handle_request_timeout(&mut self, _now: Instant, _number: RequestNumber) {}
}
