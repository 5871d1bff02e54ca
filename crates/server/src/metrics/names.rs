//! Every metric that there is.

use metrics::Unit;

/// A metric of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name: go-ethereum's where it has the metric, with `_` for `/`.
    pub name: &'static str,
    /// What can be done with it.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// The labels of each of its series.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

const fn metric(
    kind: Kind,
    unit: Unit,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    metric(Kind::Counter, Unit::Count, name, labels, help)
}

const fn bytes(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    metric(Kind::Counter, Unit::Bytes, name, labels, help)
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    metric(Kind::Gauge, Unit::Count, name, labels, help)
}

const fn seconds(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    metric(Kind::Histogram, Unit::Seconds, name, labels, help)
}

/// All metrics of a server. Those of a discovery, and of the port mapper, have series only where it
/// runs.
///
/// The values of labels: `version` is a version of discovery, `v4` or `v5`, or with `protocol` that
/// of a capability that this node offers; `code` is a message id within it, as `0x00`, or `other`
/// for those from 64 on; `direction` is `inbound` or `outbound`; `side` is `local` or `remote`;
/// `set` is the first of `trusted`, `static`, `dialed` and `inbound` that a peer is; `stage` is
/// `secure` or `hello`; `socket` is `listener`, `discovery` or `discovery_v5`; `bucket` counts from
/// the nearest, 0; `reason`, `cause` and `kind` are the texts of the enums that count them, with `_`
/// between words. None of them is chosen by a remote.
pub const NAMES: &[Metric] = &[
    // Peers.
    gauge("p2p_peers", &[], "Connected peers"),
    gauge("p2p_peers_inbound", &[], "Connected peers that dialed us"),
    gauge("p2p_peers_outbound", &[], "Connected peers that we dialed"),
    gauge("p2p_set_peers", &["set"], "Connected peers by set"),
    gauge("p2p_pending", &[], "Connections in set-up, and the slot held for the next one"),
    gauge("p2p_candidates_wanted", &[], "Candidates that the dial scheduler has room for"),
    counter("p2p_drops", &["direction", "side", "reason"], "Peers that are gone, and why"),
    // Traffic.
    bytes("p2p_ingress", &[], "Bytes received from peers on the wire, their handshakes included"),
    bytes("p2p_egress", &[], "Bytes sent to peers on the wire, their handshakes included"),
    bytes("p2p_set_ingress", &["set"], "Bytes received from peers on the wire by set"),
    bytes("p2p_set_egress", &["set"], "Bytes sent to peers on the wire by set"),
    counter(
        "p2p_ingress_messages",
        &["protocol", "version", "code"],
        "Messages of subprotocols received",
    ),
    bytes(
        "p2p_ingress_message_bytes",
        &["protocol", "version", "code"],
        "Bytes of messages of subprotocols received, uncompressed",
    ),
    counter(
        "p2p_egress_messages",
        &["protocol", "version", "code"],
        "Messages of subprotocols sent",
    ),
    bytes(
        "p2p_egress_message_bytes",
        &["protocol", "version", "code"],
        "Bytes of messages of subprotocols sent, uncompressed",
    ),
    gauge(
        "p2p_queue_messages",
        &["direction"],
        "Messages that wait for subprotocols (inbound) or connections (outbound)",
    ),
    metric(
        Kind::Gauge,
        Unit::Bytes,
        "p2p_queue_bytes",
        &["direction"],
        "Bytes that wait for subprotocols (inbound) or connections (outbound)",
    ),
    seconds("p2p_rtt_seconds", &[], "Round trips of pings"),
    // Set-ups.
    counter("p2p_dials", &[], "Dials that were begun"),
    counter("p2p_dials_success", &[], "Connections that we opened and that became peers"),
    counter("p2p_dials_success_1min", &[], "Peers that we dialed and that stayed for a minute"),
    counter("p2p_dials_filtered", &[], "Candidates that the dial filter did not let through"),
    counter("p2p_candidates_refused", &["cause"], "Candidates that the dial scheduler refused"),
    counter("p2p_dials_error_connection", &[], "Dials without a connection"),
    counter("p2p_dials_error_saturated", &[], "Dials that ended with too many peers"),
    counter("p2p_dials_error_known", &[], "Dials to nodes that were connected already"),
    counter("p2p_dials_error_self", &[], "Dials that ended at this node"),
    counter("p2p_dials_error_useless", &[], "Dials to nodes without a shared subprotocol"),
    counter("p2p_dials_error_id_unexpected", &[], "Dials that were answered by another node"),
    counter("p2p_dials_error_rlpx_enc", &[], "Dials whose secure handshake failed"),
    counter("p2p_dials_error_rlpx_proto", &[], "Dials whose exchange of Hellos failed"),
    counter("p2p_dials_error_other", &[], "Dials that failed otherwise"),
    counter("p2p_serves", &[], "Connections that were accepted and passed the checks by address"),
    counter("p2p_serves_success", &[], "Connections that remotes opened and that became peers"),
    counter("p2p_serves_success_1min", &[], "Peers that dialed us and that stayed for a minute"),
    counter("p2p_serves_throttled", &["cause"], "Connections closed before a byte was read"),
    counter("p2p_serves_accept_errors", &[], "Failed calls of accept"),
    counter("p2p_serves_prefix_full", &[], "Refusals because a network had its inbound peers"),
    counter("p2p_serves_error_saturated", &[], "Inbound set-ups that ended with too many peers"),
    counter("p2p_serves_error_known", &[], "Inbound set-ups of nodes that were connected already"),
    counter("p2p_serves_error_self", &[], "Inbound set-ups by this node itself"),
    counter("p2p_serves_error_useless", &[], "Inbound set-ups without a shared subprotocol"),
    counter("p2p_serves_error_id_unexpected", &[], "Inbound set-ups that looked for another node"),
    counter("p2p_serves_error_rlpx_enc", &[], "Inbound set-ups whose secure handshake failed"),
    counter("p2p_serves_error_rlpx_proto", &[], "Inbound set-ups whose exchange of Hellos failed"),
    counter("p2p_serves_error_other", &[], "Inbound set-ups that failed otherwise"),
    seconds(
        "p2p_handshake_seconds",
        &["direction", "stage"],
        "How long the secure handshake and the exchange of Hellos took where they succeeded",
    ),
    // Port mapping.
    gauge("nat_address_known", &[], "Whether the port mapper knows the external address: 1 or 0"),
    gauge("nat_mapped", &["socket"], "Whether the socket is mapped: 1 or 0"),
    // Discovery.
    bytes("discover_ingress", &["version"], "Bytes of packets that came in and were not dropped"),
    bytes("discover_egress", &["version"], "Bytes of packets that were sent"),
    counter(
        "discover_packets_received",
        &["version", "kind"],
        "Packets that came in and were not dropped",
    ),
    counter("discover_packets_sent", &["version", "kind"], "Packets that were sent"),
    counter(
        "discover_messages_received",
        &["version", "kind"],
        "Messages in the packets of v5 that came in and were not dropped",
    ),
    counter(
        "discover_messages_sent",
        &["version", "kind"],
        "Messages in the packets of v5 that were sent",
    ),
    counter("discover_drops", &["version", "cause"], "Datagrams that were dropped, and why"),
    counter("discover_answers", &["version"], "Answers to our requests that came in time"),
    counter("discover_timeouts", &["version"], "Requests of ours that nobody answered"),
    bytes(
        "discover_unproven_ingress",
        &["version"],
        "Bytes from senders that had not proved who or where they are",
    ),
    bytes("discover_unproven_egress", &["version"], "Bytes sent in answer to those"),
    counter(
        "discover_hearsay_held",
        &["version"],
        "Requests not sent, as another went a moment before to an address known from others only",
    ),
    counter("discover_nodes_refused", &["version"], "Nodes in answers that were not taken"),
    counter("discover_receive_errors", &["version"], "Errors that the socket gave for datagrams"),
    counter("discover_send_errors", &["version"], "Datagrams that the socket did not send"),
    counter("discover_transmits_lost", &["version"], "Datagrams that were not polled in time"),
    counter("discover_events_lost", &["version"], "Events that were not polled in time"),
    gauge("discover_table_nodes", &["version"], "Nodes in the table"),
    gauge("discover_table_live", &["version"], "Nodes in the table whose last checks went well"),
    gauge("discover_table_replacements", &["version"], "Nodes that wait for a place in the table"),
    gauge("discover_bucket_count", &["version", "bucket"], "Nodes in a bucket of the table"),
    gauge("discover_requests", &["version"], "Requests of ours that wait for an answer"),
    gauge("discover_lookups", &["version"], "Lookups that run or wait"),
    gauge("discover_bonds", &[], "Endpoints that are proved, in v4"),
    counter("discover_contacts", &[], "Nodes without a proof that we spoke to first, in v4"),
    counter("discover_ping_backs_held", &[], "PINGs in answer to PINGs that were too many, in v4"),
    gauge("discover_sessions", &[], "Sessions, in v5"),
    counter("discover_sessions_initiated", &[], "Sessions that we began, in v5"),
    counter("discover_sessions_accepted", &[], "Sessions that others began, in v5"),
    counter("discover_sessions_evicted", &[], "Sessions that had to make room, in v5"),
    counter("discover_challenges_resent", &[], "WHOAREYOUs that were sent again, in v5"),
    counter("discover_talks_unanswered", &[], "TALKREQs that were answered with nothing, in v5"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_as_prometheus_wants_them() {
        let names: BTreeSet<_> = NAMES.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), NAMES.len());
        let plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_lowercase())
        };
        for metric in NAMES {
            assert!(plain(metric.name) && metric.labels.iter().all(|it| plain(it)), "{metric:?}");
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{metric:?}");
            let is_histogram = metric.kind == Kind::Histogram;
            assert_eq!(is_histogram, metric.name.ends_with("_seconds"), "{metric:?}");
        }
    }
}
