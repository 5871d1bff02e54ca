use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use devp2p_core::Node;

/// A picture of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableInfo {
    /// The buckets, nearest first.
    pub buckets: Vec<BucketInfo>,
}

/// The nodes of a range of distances.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketInfo {
    /// The logarithmic distances from our own id.
    pub distances: RangeInclusive<u16>,
    /// The nodes that have a place, all of them verified.
    pub entries: Vec<EntryInfo>,
    /// The nodes that wait for one, the newest last.
    pub replacements: Vec<EntryInfo>,
}

/// A node in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The node.
    pub node: Node,
    /// The UDP endpoint at which we speak to it.
    pub endpoint: SocketAddr,
    /// The checks it passed; a third of them after each one it failed.
    pub checks: u32,
    /// How long ago it came into the table.
    pub added: Duration,
    /// How long ago it last answered at this endpoint; `None` if it never did, and is not verified.
    pub verified: Option<Duration>,
}

impl TableInfo {
    /// A table of these buckets, nearest first.
    pub fn new(buckets: impl IntoIterator<Item = BucketInfo>) -> Self {
        Self { buckets: buckets.into_iter().collect() }
    }

    /// The nodes that have a place.
    pub fn entries(&self) -> impl Iterator<Item = &EntryInfo> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }
}

impl BucketInfo {
    /// A bucket of these nodes, whose replacements come newest last.
    pub fn new(
        distances: RangeInclusive<u16>,
        entries: impl IntoIterator<Item = EntryInfo>,
        replacements: impl IntoIterator<Item = EntryInfo>,
    ) -> Self {
        let (entries, replacements) = (entries.into_iter(), replacements.into_iter());
        Self { distances, entries: entries.collect(), replacements: replacements.collect() }
    }
}

impl EntryInfo {
    /// A node with what its fields say.
    pub const fn new(
        node: Node,
        endpoint: SocketAddr,
        checks: u32,
        added: Duration,
        verified: Option<Duration>,
    ) -> Self {
        Self { node, endpoint, checks, added, verified }
    }

    /// Whether it answered at its endpoint.
    pub const fn is_verified(&self) -> bool {
        self.verified.is_some()
    }
}
