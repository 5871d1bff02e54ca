use std::{collections::BTreeMap, net::IpAddr};

use devp2p_core::{LanPolicy, NodeId, prefix_group};

use crate::Config;

/// The networks that the nodes of our own choice are in: those that are dialed, and those that are
/// peers because of that. There are [`Config::max_dialed`] at most.
#[derive(Debug)]
pub(crate) struct Networks {
    per_prefix: usize,
    lan_policy: LanPolicy,
    /// While a node is dialed all its addresses count, since any may answer.
    by_node: BTreeMap<NodeId, Vec<IpAddr>>,
}

impl Networks {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            per_prefix: config.max_dialed_per_prefix,
            lan_policy: config.lan_policy,
            by_node: BTreeMap::new(),
        }
    }

    /// The node is dialed at these addresses.
    pub(crate) fn enter(&mut self, id: NodeId, ips: impl Iterator<Item = IpAddr>) {
        self.by_node.insert(id, ips.collect());
    }

    /// One of its addresses answered: the others count no longer. An address that was not dialed,
    /// for instance that of a proxy, tells nothing.
    pub(crate) fn settle(&mut self, id: NodeId, ip: IpAddr) {
        if let Some(ips) = self.by_node.get_mut(&id)
            && ips.iter().any(|dialed| dialed.to_canonical() == ip.to_canonical())
        {
            *ips = vec![ip];
        }
    }

    pub(crate) fn leave(&mut self, id: NodeId) {
        self.by_node.remove(&id);
    }

    /// Whether other nodes take all places of the network of `ip`.
    pub(crate) fn is_full(&self, id: NodeId, ip: IpAddr) -> bool {
        if self.lan_policy.exempts(ip) {
            return false;
        }
        let prefix = prefix_group(ip);
        let inside = |&ip: &IpAddr| prefix.contains(ip) && !self.lan_policy.exempts(ip);
        let others =
            self.by_node.iter().filter(|&(&other, ips)| other != id && ips.iter().any(inside));
        others.count() >= self.per_prefix
    }
}
