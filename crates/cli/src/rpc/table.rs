//! Tables of discovery.

use devp2p_discv4::TableInfo;
use serde_json::{Value, json};

use super::{node::node_text, times::rfc3339};
use crate::clock;

/// The nodes of a table by buckets, nearest first, as geth writes them.
pub(super) fn table(table: &TableInfo) -> Value {
    let now = clock::unix();
    let buckets = table.buckets.iter().map(|bucket| {
        let nodes = bucket.entries.iter().map(|entry| {
            // The table does not tell when a node changed its bucket: it never does.
            let added = rfc3339(now.saturating_sub(entry.added));
            json!({
                "node": node_text(&entry.node),
                "addedToTable": added,
                "addedToBucket": added,
                "checks": entry.checks,
                "live": entry.is_verified(),
            })
        });
        nodes.collect::<Value>()
    });
    buckets.collect()
}
