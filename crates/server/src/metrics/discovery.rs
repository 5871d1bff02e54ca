//! What the discoveries counted.

use std::fmt::Display;

use devp2p_udp::TableInfo;
use metrics::{Counter, Gauge};

use super::{
    publisher::{set, wide},
    registry::{Registry, word},
};

/// The handles of what both versions tell.
struct Common {
    version: &'static str,
    ingress: Counter,
    egress: Counter,
    answers: Counter,
    timeouts: Counter,
    unproven_ingress: Counter,
    unproven_egress: Counter,
    hearsay_held: Counter,
    nodes_refused: Counter,
    receive_errors: Counter,
    send_errors: Counter,
    transmits_lost: Counter,
    events_lost: Counter,
    requests: Gauge,
    lookups: Gauge,
    nodes: Gauge,
    live: Gauge,
    replacements: Gauge,
    /// Nearest first; as many as the table has.
    buckets: Vec<Gauge>,
}

impl Common {
    fn new(registry: &Registry, version: &'static str) -> Self {
        let labels = [("version", version)];
        let counter = |name| registry.counter(name, &labels);
        let gauge = |name| registry.gauge(name, &labels);
        Self {
            version,
            ingress: counter("discover_ingress"),
            egress: counter("discover_egress"),
            answers: counter("discover_answers"),
            timeouts: counter("discover_timeouts"),
            unproven_ingress: counter("discover_unproven_ingress"),
            unproven_egress: counter("discover_unproven_egress"),
            hearsay_held: counter("discover_hearsay_held"),
            nodes_refused: counter("discover_nodes_refused"),
            receive_errors: counter("discover_receive_errors"),
            send_errors: counter("discover_send_errors"),
            transmits_lost: counter("discover_transmits_lost"),
            events_lost: counter("discover_events_lost"),
            requests: gauge("discover_requests"),
            lookups: gauge("discover_lookups"),
            nodes: gauge("discover_table_nodes"),
            live: gauge("discover_table_live"),
            replacements: gauge("discover_table_replacements"),
            buckets: Vec::new(),
        }
    }

    fn publish_table(&mut self, registry: &Registry, table: &TableInfo) {
        let (mut nodes, mut live, mut replacements) = (0_usize, 0_usize, 0_usize);
        for (index, bucket) in table.buckets.iter().enumerate() {
            if self.buckets.len() <= index {
                let labels = [("version", self.version), ("bucket", &*index.to_string())];
                self.buckets.push(registry.gauge("discover_bucket_count", &labels));
            }
            if let Some(handle) = self.buckets.get(index) {
                set(handle, wide(bucket.entries.len()));
            }
            let alive = bucket.entries.iter().filter(|entry| entry.checks > 0).count();
            nodes = nodes.saturating_add(bucket.entries.len());
            live = live.saturating_add(alive);
            replacements = replacements.saturating_add(bucket.replacements.len());
        }
        set(&self.nodes, wide(nodes));
        set(&self.live, wide(live));
        set(&self.replacements, wide(replacements));
    }
}

/// Publishes what both versions count alike, in types of their own.
macro_rules! publish_common {
    ($common:expr, $statistics:expr, $nodes_refused:expr) => {{
        let (common, statistics) = ($common, $statistics);
        let (machine, usage) = (&statistics.machine, &statistics.usage);
        common.answers.absolute(machine.answers);
        common.timeouts.absolute(machine.timeouts);
        common.unproven_ingress.absolute(machine.bytes_from_unproven);
        common.unproven_egress.absolute(machine.bytes_to_unproven);
        common.hearsay_held.absolute(machine.hearsay_held);
        common.nodes_refused.absolute($nodes_refused);
        common.transmits_lost.absolute(machine.transmits_lost);
        common.events_lost.absolute(machine.events_lost);
        common.receive_errors.absolute(statistics.receive_errors);
        common.send_errors.absolute(statistics.send_errors);
        set(&common.requests, wide(usage.requests));
        set(&common.lookups, wide(usage.lookups));
    }};
}

/// A counter for each of these kinds or causes.
fn each<K: Copy + Display>(
    registry: &Registry,
    name: &'static str,
    version: &'static str,
    label: &'static str,
    all: &[K],
) -> Vec<(K, Counter)> {
    let handle = |&kind: &K| {
        let labels = [("version", version), (label, &*word(kind))];
        (kind, registry.counter(name, &labels))
    };
    all.iter().map(handle).collect()
}

#[cfg(feature = "discv4")]
pub(super) use self::v4::V4;
#[cfg(feature = "discv5")]
pub(super) use self::v5::V5;

#[cfg(feature = "discv4")]
mod v4 {
    use devp2p_discv4::{DropCause, ServiceStatistics, TableInfo, wire::PacketKind};
    use metrics::{Counter, Gauge};

    use super::{Common, Registry, each, set, wide};

    /// The handles of discovery v4.
    pub(in super::super) struct V4 {
        common: Common,
        received: Vec<(PacketKind, Counter)>,
        sent: Vec<(PacketKind, Counter)>,
        drops: Vec<(DropCause, Counter)>,
        bonds: Gauge,
        contacts: Counter,
        ping_backs_held: Counter,
    }

    impl V4 {
        pub(in super::super) fn new(registry: &Registry) -> Self {
            let kinds = |name| each(registry, name, "v4", "kind", PacketKind::ALL);
            Self {
                common: Common::new(registry, "v4"),
                received: kinds("discover_packets_received"),
                sent: kinds("discover_packets_sent"),
                drops: each(registry, "discover_drops", "v4", "cause", DropCause::ALL),
                bonds: registry.gauge("discover_bonds", &[]),
                contacts: registry.counter("discover_contacts", &[]),
                ping_backs_held: registry.counter("discover_ping_backs_held", &[]),
            }
        }

        pub(in super::super) fn publish(&self, statistics: &ServiceStatistics) {
            let (common, machine) = (&self.common, &statistics.machine);
            let (mut ingress, mut egress) = (0_u64, 0_u64);
            for (kind, handle) in &self.received {
                let count = machine.received(*kind);
                handle.absolute(count.packets);
                ingress = ingress.saturating_add(count.bytes);
            }
            for (kind, handle) in &self.sent {
                let count = machine.sent(*kind);
                handle.absolute(count.packets);
                egress = egress.saturating_add(count.bytes);
            }
            common.ingress.absolute(ingress);
            common.egress.absolute(egress);
            for (cause, handle) in &self.drops {
                handle.absolute(machine.dropped(*cause));
            }
            publish_common!(common, statistics, machine.neighbors_refused);
            set(&self.bonds, wide(statistics.usage.bonds));
            self.contacts.absolute(machine.contacts);
            self.ping_backs_held.absolute(machine.ping_backs_held);
        }

        pub(in super::super) fn publish_table(&mut self, registry: &Registry, table: &TableInfo) {
            self.common.publish_table(registry, table);
        }
    }
}

#[cfg(feature = "discv5")]
mod v5 {
    use devp2p_discv5::{
        DropCause, ServiceStatistics, TableInfo, message::MessageKind, wire::PacketKind,
    };
    use metrics::{Counter, Gauge};

    use super::{Common, Registry, each, set, wide};

    /// The handles of discovery v5.
    pub(in super::super) struct V5 {
        common: Common,
        received: Vec<(PacketKind, Counter)>,
        sent: Vec<(PacketKind, Counter)>,
        messages_received: Vec<(MessageKind, Counter)>,
        messages_sent: Vec<(MessageKind, Counter)>,
        drops: Vec<(DropCause, Counter)>,
        sessions: Gauge,
        initiated: Counter,
        accepted: Counter,
        evicted: Counter,
        challenges_resent: Counter,
        talks_unanswered: Counter,
    }

    impl V5 {
        pub(in super::super) fn new(registry: &Registry) -> Self {
            let packets = |name| each(registry, name, "v5", "kind", PacketKind::ALL);
            let messages = |name| each(registry, name, "v5", "kind", MessageKind::ALL);
            let counter = |name| registry.counter(name, &[]);
            Self {
                common: Common::new(registry, "v5"),
                received: packets("discover_packets_received"),
                sent: packets("discover_packets_sent"),
                messages_received: messages("discover_messages_received"),
                messages_sent: messages("discover_messages_sent"),
                drops: each(registry, "discover_drops", "v5", "cause", DropCause::ALL),
                sessions: registry.gauge("discover_sessions", &[]),
                initiated: counter("discover_sessions_initiated"),
                accepted: counter("discover_sessions_accepted"),
                evicted: counter("discover_sessions_evicted"),
                challenges_resent: counter("discover_challenges_resent"),
                talks_unanswered: counter("discover_talks_unanswered"),
            }
        }

        pub(in super::super) fn publish(&self, statistics: &ServiceStatistics) {
            let (common, machine) = (&self.common, &statistics.machine);
            let (mut ingress, mut egress) = (0_u64, 0_u64);
            for (kind, handle) in &self.received {
                let count = machine.received_packets(*kind);
                handle.absolute(count.packets);
                ingress = ingress.saturating_add(count.bytes);
            }
            for (kind, handle) in &self.sent {
                let count = machine.sent_packets(*kind);
                handle.absolute(count.packets);
                egress = egress.saturating_add(count.bytes);
            }
            common.ingress.absolute(ingress);
            common.egress.absolute(egress);
            for (kind, handle) in &self.messages_received {
                handle.absolute(machine.received(*kind).packets);
            }
            for (kind, handle) in &self.messages_sent {
                handle.absolute(machine.sent(*kind).packets);
            }
            for (cause, handle) in &self.drops {
                handle.absolute(machine.dropped(*cause));
            }
            publish_common!(common, statistics, machine.nodes_refused);
            set(&self.sessions, wide(statistics.usage.sessions));
            self.initiated.absolute(machine.sessions_initiated);
            self.accepted.absolute(machine.sessions_accepted);
            self.evicted.absolute(machine.sessions_evicted);
            self.challenges_resent.absolute(machine.challenges_resent);
            self.talks_unanswered.absolute(machine.talks_unanswered);
        }

        pub(in super::super) fn publish_table(&mut self, registry: &Registry, table: &TableInfo) {
            self.common.publish_table(registry, table);
        }
    }
}
