//! Which peers to remember for the time after a restart.

use std::time::{Duration, Instant};

use devp2p_core::{Node, NodeId, prefix_group};
use devp2p_dial::{DialKind, MAX_ANCHORS};

use super::PeerEntry;

/// How long a peer has been connected before it counts as good: longer than it takes to find out
/// that a node has no use for us.
const MIN_AGE: Duration = Duration::from_mins(1);

/// The anchors of earlier, which fill up the list while there are few new ones: whoever becomes our
/// only peer must not be all that we remember.
#[derive(Debug)]
pub(super) struct Anchors {
    /// Those of the run before.
    former: Vec<Former>,
    /// Those that were told last.
    told: Vec<Node>,
}

#[derive(Debug)]
struct Former {
    node: Node,
    /// Its last dial failed.
    in_vain: bool,
}

impl Anchors {
    pub(super) fn new(former: Vec<Node>) -> Self {
        let former = former.into_iter().take(MAX_ANCHORS);
        let former = former.map(|node| Former { node, in_vain: false }).collect();
        Self { former, told: Vec::new() }
    }

    /// The new ones; then those of the run before, unless they were dialed in vain; then those that
    /// were told last; then the rest. None at all while there is no new one.
    pub(super) fn tell<'a>(
        &mut self,
        peers: impl Iterator<Item = &'a PeerEntry>,
        now: Instant,
    ) -> Vec<Node> {
        let mut anchors = choose(peers, now);
        if anchors.is_empty() {
            return anchors;
        }
        let former = |in_vain| self.former.iter().filter(move |former| former.in_vain == in_vain);
        let earlier = former(false).map(|former| &former.node).chain(&self.told);
        for node in earlier.chain(former(true).map(|former| &former.node)) {
            if anchors.len() < MAX_ANCHORS && anchors.iter().all(|known| known.id() != node.id()) {
                anchors.push(node.clone());
            }
        }
        self.told.clone_from(&anchors);
        anchors
    }

    /// The dial of an anchor has ended.
    pub(super) fn dialed(&mut self, id: NodeId, in_vain: bool) {
        let former = self.former.iter_mut().filter(|former| former.node.id() == id);
        former.for_each(|former| former.in_vain = in_vain);
    }

    /// The node is of no use to us, or not the one that it was.
    pub(super) fn disprove(&mut self, id: NodeId) {
        self.former.retain(|former| former.node.id() != id);
        self.told.retain(|node| node.id() != id);
    }
}

fn choose<'a>(peers: impl Iterator<Item = &'a PeerEntry>, now: Instant) -> Vec<Node> {
    let is_good = |peer: &&PeerEntry| {
        let chosen = matches!(peer.dialed_as, Some(DialKind::Anchor | DialKind::Dynamic));
        chosen && now.saturating_duration_since(peer.added_at) >= MIN_AGE
    };
    let mut good: Vec<_> = peers.filter(is_good).collect();
    good.sort_by_key(|peer| peer.added_at);
    let mut prefixes = Vec::new();
    let (mut anchors, others): (Vec<_>, Vec<_>) = good.into_iter().partition(|peer| {
        let ip = peer.remote_addr.map(|addr| addr.ip()).or_else(|| peer.node.as_ref()?.ip());
        let prefix = ip.map(prefix_group);
        let is_new = prefix.is_none_or(|prefix| !prefixes.contains(&prefix));
        prefixes.extend(prefix);
        is_new
    });
    anchors.extend(others);
    anchors.into_iter().filter_map(|peer| peer.node.clone()).take(MAX_ANCHORS).collect()
}
