use std::{collections::BTreeMap, time::Instant};

use devp2p_core::NodeId;

use crate::DialKind;

/// How many peers are kept track of: more connections than a process has descriptors for.
pub(crate) const MAX_PEERS: usize = 65_536;

/// The peers, as far as the scheduler was told.
#[derive(Debug)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
    dialed: usize,
    alone_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) dialed: bool,
    pub(crate) kind: Option<DialKind>,
    pub(crate) since: Instant,
}

impl Peers {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { peers: BTreeMap::new(), dialed: 0, alone_since: Some(now) }
    }

    pub(crate) fn add(&mut self, id: NodeId, peer: Peer) {
        if self.peers.len() >= MAX_PEERS && !self.contains(id) {
            return;
        }
        self.alone_since = None;
        self.dialed = self.dialed.saturating_add(usize::from(peer.dialed));
        if let Some(old) = self.peers.insert(id, peer) {
            self.dialed = self.dialed.saturating_sub(usize::from(old.dialed));
        }
    }

    pub(crate) fn remove(&mut self, now: Instant, id: NodeId) -> Option<Peer> {
        let peer = self.peers.remove(&id)?;
        self.dialed = self.dialed.saturating_sub(usize::from(peer.dialed));
        if self.peers.is_empty() {
            self.alone_since = Some(now);
        }
        Some(peer)
    }

    pub(crate) fn contains(&self, id: NodeId) -> bool {
        self.peers.contains_key(&id)
    }

    pub(crate) fn is_dialed(&self, id: NodeId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.dialed)
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many of them we dialed.
    pub(crate) const fn dialed(&self) -> usize {
        self.dialed
    }

    /// Since when there has been no peer.
    pub(crate) const fn alone_since(&self) -> Option<Instant> {
        self.alone_since
    }
}
