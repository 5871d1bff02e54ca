//! What is known of a peer, and what is counted.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{Node, Prefix, PublicKey};
use devp2p_dial::{DialKind, RefusalCause};
use devp2p_peer::{Capability, Direction, DisconnectReason};

use super::{SetupFailure, Unwelcome};

/// A peer: what both handshakes told of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerEntry {
    /// Its key.
    pub public_key: PublicKey,
    /// Its client's name.
    pub name: String,
    /// All capabilities of its Hello.
    pub capabilities: Vec<Capability>,
    /// Those that run.
    pub shared: Vec<Capability>,
    /// Who dialed.
    pub direction: Direction,
    /// Why we dialed it, where the scheduler did.
    pub dialed_as: Option<DialKind>,
    /// The node as the scheduler had it dialed.
    pub node: Option<Node>,
    /// Whether no limit concerns it.
    pub trusted: bool,
    /// When it was added.
    pub added_at: Instant,
    /// Our end of the stream.
    pub local_addr: Option<SocketAddr>,
    /// Its end of the stream.
    pub remote_addr: Option<SocketAddr>,
    /// The network of which it takes an inbound place, where that is limited.
    pub(super) prefix: Option<Prefix>,
}

impl PeerEntry {
    /// Where it is, as far as that is known: the other end of the stream, which may be a proxy, and
    /// where it may have been dialed.
    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        let dialed = self.node.as_ref().map(Node::tcp_addrs).unwrap_or_default();
        self.remote_addr.into_iter().chain(dialed).map(|address| address.ip())
    }
}

/// What happened to connections since the start. The keys are few and ours, so the maps are small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Inbound connections that passed the checks by address.
    pub accepted: u64,
    /// Failed calls of accept.
    pub accept_errors: u64,
    /// Peers added.
    pub added: u64,
    /// Peers that are gone.
    pub dropped: u64,
    /// Inbound connections closed before a byte was read.
    pub unwelcome: BTreeMap<Unwelcome, u64>,
    /// Connections that a checkpoint refused.
    pub refused: BTreeMap<DisconnectReason, u64>,
    /// Those among them that came from a network with as many inbound peers as it may have.
    pub prefix_full: u64,
    /// Set-ups that did not end in a peer.
    pub failed: BTreeMap<SetupFailure, u64>,
    /// Dials that the scheduler wanted.
    pub dialed: u64,
    /// Candidates that the scheduler refused, each as often as it came up.
    pub candidates_refused: BTreeMap<RefusalCause, u64>,
    /// The same for connections that a remote opened.
    pub inbound: DirectionCounters,
    /// The same for connections that we opened.
    pub outbound: DirectionCounters,
}

/// What happened to connections of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectionCounters {
    /// Peers added.
    pub added: u64,
    /// Peers that are gone and had been there for a [minute](DirectionCounters::LASTING) or longer.
    pub lasted: u64,
    /// Connections that a checkpoint refused.
    pub refused: BTreeMap<DisconnectReason, u64>,
    /// Set-ups that did not end in a peer.
    pub failed: BTreeMap<SetupFailure, u64>,
}

impl DirectionCounters {
    /// How long a peer has been there that counts as a lasting one; go-ethereum's measure.
    pub const LASTING: Duration = Duration::from_mins(1);
}

impl Counters {
    /// Those of one direction.
    pub const fn of(&self, direction: Direction) -> &DirectionCounters {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }

    const fn of_mut(&mut self, direction: Direction) -> &mut DirectionCounters {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    pub(super) const fn count_dial(&mut self) {
        count(&mut self.dialed);
    }

    pub(super) fn count_candidate(&mut self, refused: RefusalCause) {
        increment(&mut self.candidates_refused, refused);
    }

    pub(super) const fn count_added(&mut self, direction: Direction) {
        count(&mut self.added);
        count(&mut self.of_mut(direction).added);
    }

    pub(super) fn count_dropped(&mut self, direction: Direction, duration: Duration) {
        count(&mut self.dropped);
        if duration >= DirectionCounters::LASTING {
            count(&mut self.of_mut(direction).lasted);
        }
    }

    pub(super) fn count_unwelcome(&mut self, why: Unwelcome) {
        increment(&mut self.unwelcome, why);
    }

    pub(super) const fn count_prefix_full(&mut self) {
        count(&mut self.prefix_full);
    }

    pub(super) fn count_refusal(&mut self, direction: Direction, reason: DisconnectReason) {
        increment(&mut self.refused, reason);
        increment(&mut self.of_mut(direction).refused, reason);
    }

    pub(super) fn count_failure(&mut self, direction: Direction, failure: SetupFailure) {
        increment(&mut self.failed, failure);
        increment(&mut self.of_mut(direction).failed, failure);
    }
}

fn increment<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    count(counts.entry(key).or_default());
}

const fn count(count: &mut u64) {
    *count = count.saturating_add(1);
}
