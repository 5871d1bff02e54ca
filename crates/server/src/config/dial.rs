//! The limits and waits of the dial scheduler.

use std::{ops::RangeInclusive, time::Duration};

use devp2p_core::NodeId;

/// The limits and waits of the dial scheduler; whom it dials is in [`Config`](super::Config) itself.
/// The fields are those of [`devp2p_dial::Config`], and so are the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialOptions {
    /// How many dials, of any kind, are in flight at once. Default 16.
    pub max_active_dials: usize,
    /// How many peers that were dialed and dials in flight one network may have, a /24 or a /48,
    /// static nodes and bootnodes not counted. Default 2.
    pub max_dialed_per_prefix: usize,
    /// For how long after the start of a dial the node is not dialed again. Default 35 s.
    pub history: Duration,
    /// The first and the longest wait after a failed dial of a static node or a bootnode. Default
    /// 35 s to 2 min.
    pub static_backoff: RangeInclusive<Duration>,
    /// The first and the longest wait after a failed dial of any other node. Default 1 min to 1 h.
    pub dynamic_backoff: RangeInclusive<Duration>,
    /// How long a node that was of no use when it was dialed is no candidate: the first and the
    /// longest time. Default 10 min to 24 h.
    pub useless_backoff: RangeInclusive<Duration>,
    /// The first and the longest wait after a search for an address that failed. Default 1 min to
    /// 1 h.
    pub resolve_backoff: RangeInclusive<Duration>,
    /// How long a search for an address may take. Default 30 s.
    pub resolve_timeout: Duration,
    /// The wait after two dials collided, drawn at random. Default 1 s to 3 s.
    pub collision_backoff: RangeInclusive<Duration>,
    /// How long there must have been no peer before a bootnode is dialed. Default 20 s.
    pub bootstrap_after: Duration,
    /// How often the search for peers may be logged; 0 for never. Default 10 s.
    pub stats_interval: Duration,
}

impl DialOptions {
    /// These options for the node `local_id`, which dials nobody yet.
    pub(super) fn config(&self, local_id: NodeId) -> devp2p_dial::Config {
        let mut config = devp2p_dial::Config::new(local_id);
        config.max_active_dials = self.max_active_dials;
        config.max_dialed_per_prefix = self.max_dialed_per_prefix;
        config.history = self.history;
        config.static_backoff = self.static_backoff.clone();
        config.dynamic_backoff = self.dynamic_backoff.clone();
        config.useless_backoff = self.useless_backoff.clone();
        config.resolve_backoff = self.resolve_backoff.clone();
        config.resolve_timeout = self.resolve_timeout;
        config.collision_backoff = self.collision_backoff.clone();
        config.bootstrap_after = self.bootstrap_after;
        config.stats_interval = self.stats_interval;
        config
    }

    fn ranges(&self) -> [(&'static str, &RangeInclusive<Duration>); 5] {
        [
            ("dial.static_backoff", &self.static_backoff),
            ("dial.dynamic_backoff", &self.dynamic_backoff),
            ("dial.useless_backoff", &self.useless_backoff),
            ("dial.resolve_backoff", &self.resolve_backoff),
            ("dial.collision_backoff", &self.collision_backoff),
        ]
    }

    /// The options that are 0 and must not be, by name: without a wait, a node that fails would be
    /// dialed without end.
    pub(super) fn zeros(&self) -> Vec<&'static str> {
        let others = [
            ("dial.max_active_dials", self.max_active_dials == 0),
            ("dial.max_dialed_per_prefix", self.max_dialed_per_prefix == 0),
            ("dial.resolve_timeout", self.resolve_timeout.is_zero()),
        ];
        let ranges = self.ranges().map(|(name, range)| (name, range.start().is_zero()));
        let zeros = others.into_iter().chain(ranges).filter(|&(_, is_zero)| is_zero);
        zeros.map(|(name, _)| name).collect()
    }

    /// The ranges that end before they begin, by name.
    pub(super) fn empty_ranges(&self) -> Vec<&'static str> {
        let empty = self.ranges().into_iter().filter(|(_, range)| range.is_empty());
        empty.map(|(name, _)| name).collect()
    }
}

impl Default for DialOptions {
    fn default() -> Self {
        // The id is in no option.
        let default = devp2p_dial::Config::new(NodeId::new([0; 32]));
        Self {
            max_active_dials: default.max_active_dials,
            max_dialed_per_prefix: default.max_dialed_per_prefix,
            history: default.history,
            static_backoff: default.static_backoff,
            dynamic_backoff: default.dynamic_backoff,
            useless_backoff: default.useless_backoff,
            resolve_backoff: default.resolve_backoff,
            resolve_timeout: default.resolve_timeout,
            collision_backoff: default.collision_backoff,
            bootstrap_after: default.bootstrap_after,
            stats_interval: default.stats_interval,
        }
    }
}
