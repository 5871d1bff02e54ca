use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use devp2p_core::Node;
use devp2p_kad::{Bucket, Entry, Table};

use crate::Contact;

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
    /// The nodes that have a place.
    pub fn entries(&self) -> impl Iterator<Item = &EntryInfo> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }
}

impl EntryInfo {
    /// Whether it answered at its endpoint.
    pub const fn is_verified(&self) -> bool {
        self.verified.is_some()
    }
}

pub(crate) fn table_info(now: Instant, table: &Table<Contact>) -> TableInfo {
    TableInfo { buckets: table.buckets().iter().map(|bucket| bucket_info(now, bucket)).collect() }
}

fn bucket_info(now: Instant, bucket: &Bucket<Contact>) -> BucketInfo {
    let info =
        |entries: &[Entry<Contact>]| entries.iter().map(|entry| entry_info(now, entry)).collect();
    BucketInfo {
        distances: bucket.distances(),
        entries: info(bucket.entries()),
        replacements: info(bucket.replacements()),
    }
}

fn entry_info(now: Instant, entry: &Entry<Contact>) -> EntryInfo {
    let ago = |at| now.saturating_duration_since(at);
    EntryInfo {
        node: entry.value().node().clone(),
        endpoint: entry.value().endpoint(),
        checks: entry.checks(),
        added: ago(entry.added_at()),
        verified: entry.verified_at().map(ago),
    }
}
