use std::time::Instant;

use devp2p_kad::{Entry, Table};
use devp2p_udp::{BucketInfo, EntryInfo, TableInfo};

use crate::Contact;

/// A picture of the table as it is now.
pub(crate) fn table_info(now: Instant, table: &Table<Contact>) -> TableInfo {
    let info = |entry: &Entry<Contact>| entry_info(now, entry);
    TableInfo::new(table.buckets().iter().map(|bucket| {
        let (entries, replacements) = (bucket.entries().iter(), bucket.replacements().iter());
        BucketInfo::new(bucket.distances(), entries.map(info), replacements.map(info))
    }))
}

fn entry_info(now: Instant, entry: &Entry<Contact>) -> EntryInfo {
    let ago = |at| now.saturating_duration_since(at);
    let contact = entry.value();
    EntryInfo::new(
        contact.node().clone(),
        contact.endpoint(),
        entry.checks(),
        ago(entry.added_at()),
        entry.verified_at().map(ago),
    )
}
