//! Which peers to remember for the time after a restart.

use std::time::{Duration, Instant};

use devp2p_core::{Node, prefix_group};
use devp2p_dial::{DialKind, MAX_ANCHORS};

use super::PeerEntry;

/// How long a peer has been connected before it counts as good: longer than it takes to find out
/// that a node has no use for us.
const MIN_AGE: Duration = Duration::from_mins(1);

pub(super) fn choose<'a>(peers: impl Iterator<Item = &'a PeerEntry>, now: Instant) -> Vec<Node> {
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
