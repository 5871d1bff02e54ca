use std::time::Duration;

/// The options of a [`Client`](crate::Client).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How many entries are kept, for all trees together; of at most
    /// [`Entry::MAX_SIZE`](crate::Entry::MAX_SIZE) bytes each. Default 1,000.
    pub cache_entries: usize,
    /// Whether the trees that a tree links to are followed, too. Default true.
    pub follow_links: bool,
    /// How long a lookup may take. Default 5 s.
    pub lookup_timeout: Duration,
    /// How many entries each tree may have, branches included. Some 30 bytes are kept of each, and
    /// about 100 of those that are known of and not read yet. Default 32,768, several times what
    /// Ethereum's main network has.
    pub max_entries: usize,
    /// How many trees are followed because others link to them. Default 8.
    pub max_linked_trees: usize,
    /// How many lookups there are in a second, at most, for all trees together; 0 counts as 1.
    /// They are evenly spaced. Default 3.
    pub rate: u32,
    /// How often to look for a new root. Default 30 min.
    pub recheck_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_entries: 1_000,
            follow_links: true,
            lookup_timeout: Duration::from_secs(5),
            max_entries: 32_768,
            max_linked_trees: 8,
            rate: 3,
            recheck_interval: Duration::from_secs(30 * 60),
        }
    }
}
