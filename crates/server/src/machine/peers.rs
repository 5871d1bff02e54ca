//! What is known of a peer, and what is counted.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use devp2p_core::{Node, PublicKey};
use devp2p_dial::DialKind;
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
    /// Set-ups that did not end in a peer.
    pub failed: BTreeMap<SetupFailure, u64>,
}

impl Counters {
    pub(super) fn count_unwelcome(&mut self, why: Unwelcome) {
        increment(&mut self.unwelcome, why);
    }

    pub(super) fn count_refusal(&mut self, reason: DisconnectReason) {
        increment(&mut self.refused, reason);
    }

    pub(super) fn count_failure(&mut self, failure: SetupFailure) {
        increment(&mut self.failed, failure);
    }
}

fn increment<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}
