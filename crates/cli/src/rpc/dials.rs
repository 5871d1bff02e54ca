//! What the methods tell of dials, and of peers that are gone.

use std::time::Duration;

use devp2p_peer::{Direction, Side};
use devp2p_server::{DialRecord, DialStatus, Disconnect};
use serde_json::{Value, json};

use super::{node::address, times::rfc3339};

/// `admin_dialStatus`. Times are whole seconds.
pub(super) fn dial_status(status: &DialStatus) -> Value {
    let dialing = status.dialing.iter().map(|dial| {
        json!({
            "id": dial.node.id().to_string(),
            "address": address(dial.node.tcp_addr()),
            "kind": dial.kind.to_string(),
            "ago": dial.since.as_secs(),
        })
    });
    let refusals = status.refusals.iter();
    let refusals =
        refusals.map(|(cause, count)| json!({ "cause": cause.to_string(), "count": count }));
    json!({
        "maxDialed": status.max_dialed,
        "dialed": status.dialed,
        "wanted": status.wanted,
        "dialing": dialing.collect::<Value>(),
        "recent": status.recent.iter().map(record).collect::<Value>(),
        "refusals": refusals.collect::<Value>(),
        "filtered": status.filtered,
    })
}

fn record(record: &DialRecord) -> Value {
    // Whoever waits so long will find that it may be dialed.
    let up = |wait: Duration| wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    json!({
        "id": record.id.to_string(),
        "address": address(record.addr),
        "kind": record.kind.to_string(),
        "outcome": record.outcome.to_string(),
        "failures": record.failures,
        "ago": record.ago.as_secs(),
        "retryIn": record.retry_in.map(up),
    })
}

/// `admin_disconnects`, an element.
pub(super) fn disconnect(end: &Disconnect) -> Value {
    json!({
        "id": end.id.to_string(),
        "name": end.name,
        "remoteAddress": address(end.remote_addr),
        "inbound": end.direction == Direction::Inbound,
        "trusted": end.is_trusted,
        "static": end.is_static,
        "age": end.age.as_secs(),
        "at": rfc3339(Duration::from_secs(end.at)),
        "reason": end.reason.to_string(),
        "side": match end.side {
            Side::Local => "local",
            Side::Remote => "remote",
        },
        "error": end.error,
    })
}
