//! Whom to have nothing to do with, and until when.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration, time::Instant};

use devp2p_core::{Ban, BanNet, BanTarget, Fault, MAX_BANS, Node, NodeId};

/// Why nobody is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BanError {
    /// It is this node itself.
    OwnId,
    /// There are [as many bans](MAX_BANS) as there may be.
    TooMany,
}

impl BanError {
    /// Whose fault it is: ours, bans are the operator's.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for BanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnId => f.write_str("it is this node itself"),
            Self::TooMany => write!(f, "there are {MAX_BANS} bans already"),
        }
    }
}

impl std::error::Error for BanError {}

/// The bans in force. The time of a run decides when they end, the clock only what is told of it.
#[derive(Debug, Default)]
pub(super) struct Bans {
    /// Bounded by [`MAX_BANS`].
    bans: BTreeMap<BanTarget, Entry>,
    /// When the next one ends.
    next_end: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ban: Ban,
    ends_at: Option<Instant>,
}

impl Bans {
    /// Bans for so long, in place of what ban there was; `None` is for good.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        ban: Ban,
        duration: Option<Duration>,
    ) -> Result<(), BanError> {
        self.expire(now);
        if self.bans.len() >= MAX_BANS && !self.bans.contains_key(&ban.target) {
            return Err(BanError::TooMany);
        }
        // What is too far off for the clock is for good.
        let ends_at = duration.and_then(|duration| now.checked_add(duration));
        self.bans.insert(ban.target, Entry { ban, ends_at });
        self.find_next_end();
        Ok(())
    }

    pub(super) fn remove(&mut self, now: Instant, target: &BanTarget) -> bool {
        self.expire(now);
        self.bans.remove(target).is_some()
    }

    /// Forgets those that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_end.is_some_and(|end| end <= now) {
            self.bans.retain(|_, entry| entry.ends_at.is_none_or(|end| end > now));
            self.find_next_end();
        }
    }

    fn find_next_end(&mut self) {
        self.next_end = self.bans.values().filter_map(|entry| entry.ends_at).min();
    }

    /// Whether nothing is to be had to do with an address.
    pub(super) fn concern_ip(&self, ip: IpAddr) -> bool {
        let is_banned = |network| self.bans.contains_key(&BanTarget::Net(network));
        !self.bans.is_empty() && BanNet::around(ip).any(is_banned)
    }

    /// Whether nothing is to be had to do with a node, which is at this address.
    pub(super) fn concern(&self, id: NodeId, ip: Option<IpAddr>) -> bool {
        self.bans.contains_key(&BanTarget::Id(id)) || ip.is_some_and(|ip| self.concern_ip(ip))
    }

    /// Whether nothing is to be had to do with a node, at whichever of its addresses it is dialed.
    pub(super) fn concern_node(&self, node: &Node) -> bool {
        !self.bans.is_empty()
            && (self.concern(node.id(), node.ip())
                || node.tcp_addrs().iter().any(|address| self.concern_ip(address.ip())))
    }

    /// Those that are not over, in the order of their targets.
    pub(super) fn tell(&self, now: Instant) -> impl Iterator<Item = Ban> {
        let is_in_force = move |entry: &&Entry| entry.ends_at.is_none_or(|end| end > now);
        self.bans.values().filter(is_in_force).map(|entry| entry.ban)
    }
}

/// Whether a target concerns a node, which is at one of these addresses.
pub(super) fn concerns(
    target: &BanTarget,
    id: NodeId,
    ips: impl IntoIterator<Item = IpAddr>,
) -> bool {
    match target {
        BanTarget::Id(banned) => *banned == id,
        BanTarget::Net(network) => ips.into_iter().any(|ip| network.contains(ip)),
    }
}
