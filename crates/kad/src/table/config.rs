use std::time::Duration;

/// The limits and intervals of a [`Table`](crate::Table). The defaults are go-ethereum's, where it
/// has them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The places for verified nodes in a bucket: Kademlia's k. 16.
    pub bucket_size: usize,
    /// The nodes that wait for a place, in a bucket. 10: enough to fill a bucket again after an
    /// outage, and small beside it.
    pub replacements: usize,
    /// The places of a bucket that one group may hold. 2: so a bucket of 16 takes 8 groups to fill.
    pub bucket_group_limit: usize,
    /// The places of the table that one group may hold. 10: so whoever is in few groups stays a
    /// small part of the table, whatever its ids.
    pub table_group_limit: usize,
    /// The longest pause between checks of nodes that are unverified or failed one. 3 s.
    pub fast_interval: Duration,
    /// The longest pause between checks of nodes that passed their last one. 9 s.
    pub slow_interval: Duration,
    /// After this long a check that has no result is given up, and the node is checked again. 30 s:
    /// far above the timeout of a request, so that only a lost check runs into it.
    pub check_timeout: Duration,
    /// The pause between checks of a pinned node that has no place. 30 s: with the check itself
    /// well within a minute.
    pub pin_interval: Duration,
    /// The pinned nodes. 128: far more than any list of bootnodes.
    pub max_pins: usize,
    /// The failed requests in a row after which a node is dropped. 5.
    pub max_failed_requests: u32,
    /// A bucket with fewer verified nodes than this keeps those whose requests fail. 4: a poor node
    /// is better than none, and an outage of our own must not empty the table.
    pub min_bucket: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bucket_size: 16,
            replacements: 10,
            bucket_group_limit: 2,
            table_group_limit: 10,
            fast_interval: Duration::from_secs(3),
            slow_interval: Duration::from_secs(9),
            check_timeout: Duration::from_secs(30),
            pin_interval: Duration::from_secs(30),
            max_pins: 128,
            max_failed_requests: 5,
            min_bucket: 4,
        }
    }
}
