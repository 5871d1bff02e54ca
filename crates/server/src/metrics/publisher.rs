use std::collections::BTreeMap;

use devp2p_dial::RefusalCause;
use devp2p_peer::{
    Capability, CapabilityMeters, Direction, DisconnectReason, Meter, Protocol, Side,
};
use metrics::{Counter, Gauge, Histogram};

use super::{
    registry::{Registry, word},
    totals::{Drop, Moved, Sample, Set},
};
use crate::{DirectionCounters, MappedSocket, PortStatus, SetupFailure, SocketRole, Unwelcome};

/// The handles of all that is told of connections and peers.
pub(super) struct Publisher {
    peers: Gauge,
    inbound: Gauge,
    outbound: Gauge,
    pending: Gauge,
    wanted: Gauge,
    filtered: Counter,
    refusals: Vec<(RefusalCause, Counter)>,
    accept_errors: Counter,
    prefix_full: Counter,
    ingress: Counter,
    egress: Counter,
    sets: Vec<SetHandles>,
    drops: BTreeMap<Drop, Counter>,
    messages: BTreeMap<Capability, ProtocolHandles>,
    /// What waits for subprotocols, and for connections.
    queues: [QueueHandles; 2],
    rtt: Histogram,
    dials: DirectionHandles,
    serves: DirectionHandles,
    throttled: BTreeMap<Unwelcome, Counter>,
    nat: Option<NatHandles>,
}

struct SetHandles {
    set: Set,
    peers: Gauge,
    ingress: Counter,
    egress: Counter,
}

struct ProtocolHandles {
    by_id: Vec<MessageHandles>,
    /// Where there are ids without a meter of their own.
    beyond: Option<MessageHandles>,
}

struct MessageHandles {
    received: Counter,
    received_bytes: Counter,
    sent: Counter,
    sent_bytes: Counter,
}

struct QueueHandles {
    messages: Gauge,
    bytes: Gauge,
}

/// The set-ups of one direction.
struct DirectionHandles {
    begun: Counter,
    success: Counter,
    lasting: Counter,
    /// Dials alone.
    connection: Option<Counter>,
    saturated: Counter,
    known: Counter,
    itself: Counter,
    useless: Counter,
    unexpected: Counter,
    secure: Counter,
    hello: Counter,
    other: Counter,
}

struct NatHandles {
    address: Gauge,
    sockets: Vec<(MappedSocket, Gauge)>,
}

/// The reasons that have a name.
const REASONS: [DisconnectReason; 13] = [
    DisconnectReason::Requested,
    DisconnectReason::NetworkError,
    DisconnectReason::ProtocolError,
    DisconnectReason::UselessPeer,
    DisconnectReason::TooManyPeers,
    DisconnectReason::AlreadyConnected,
    DisconnectReason::IncompatibleVersion,
    DisconnectReason::InvalidIdentity,
    DisconnectReason::Quitting,
    DisconnectReason::UnexpectedIdentity,
    DisconnectReason::SelfConnect,
    DisconnectReason::ReadTimeout,
    DisconnectReason::Subprotocol,
];

impl Publisher {
    pub(super) fn new(registry: &Registry, protocols: &[Protocol]) -> Self {
        let counter = |name| registry.counter(name, &[]);
        let gauge = |name| registry.gauge(name, &[]);
        let messages = protocols.iter().map(|protocol| {
            let capability = protocol.capability();
            let handles = ProtocolHandles::new(registry, &capability, protocol.length());
            (capability, handles)
        });
        let queue = |direction: Direction| {
            let labels = [("direction", &*word(direction))];
            QueueHandles {
                messages: registry.gauge("p2p_queue_messages", &labels),
                bytes: registry.gauge("p2p_queue_bytes", &labels),
            }
        };
        let known = [
            Unwelcome::Banned,
            Unwelcome::NetRestrict,
            Unwelcome::TooManyAttempts,
            Unwelcome::TooManyFromPrefix,
        ];
        Self {
            peers: gauge("p2p_peers"),
            inbound: gauge("p2p_peers_inbound"),
            outbound: gauge("p2p_peers_outbound"),
            pending: gauge("p2p_pending"),
            wanted: gauge("p2p_candidates_wanted"),
            filtered: counter("p2p_dials_filtered"),
            refusals: refusals(registry),
            accept_errors: counter("p2p_serves_accept_errors"),
            prefix_full: counter("p2p_serves_prefix_full"),
            ingress: counter("p2p_ingress"),
            egress: counter("p2p_egress"),
            sets: Set::ALL.iter().map(|&set| SetHandles::new(registry, set)).collect(),
            drops: drops(registry),
            messages: messages.collect(),
            queues: [queue(Direction::Inbound), queue(Direction::Outbound)],
            rtt: registry.histogram("p2p_rtt_seconds", &[]),
            dials: DirectionHandles::dials(counter),
            serves: DirectionHandles::serves(counter),
            throttled: known.into_iter().map(|why| (why, throttled(registry, why))).collect(),
            nat: None,
        }
    }

    pub(super) fn publish(&mut self, registry: &Registry, sample: &Sample, filtered: u64) {
        let peers = sample.peers.values().sum::<u64>();
        set(&self.peers, peers);
        set(&self.inbound, sample.inbound);
        set(&self.outbound, peers.saturating_sub(sample.inbound));
        set(&self.pending, wide(sample.pending));
        set(&self.wanted, wide(sample.wanted));
        self.filtered.absolute(filtered);

        let (mut ingress, mut egress) = (0_u64, 0_u64);
        for handles in &self.sets {
            let traffic = sample.traffic.get(&handles.set).copied().unwrap_or_default();
            set(&handles.peers, sample.peers.get(&handles.set).copied().unwrap_or_default());
            handles.ingress.absolute(traffic.ingress);
            handles.egress.absolute(traffic.egress);
            ingress = ingress.saturating_add(traffic.ingress);
            egress = egress.saturating_add(traffic.egress);
        }
        self.ingress.absolute(ingress);
        self.egress.absolute(egress);
        for (drop, &count) in &sample.drops {
            if let Some(handle) = self.drops.get(drop) {
                handle.absolute(count);
            }
        }
        for (capability, moved) in &sample.moved {
            if let Some(handles) = self.messages.get(capability) {
                handles.publish(moved);
            }
        }
        for (handles, waiting) in self.queues.iter().zip([sample.waiting.0, sample.waiting.1]) {
            set(&handles.messages, waiting.messages);
            set(&handles.bytes, waiting.bytes);
        }
        sample.rtts.iter().for_each(|rtt| self.rtt.record(*rtt));

        let counters = &sample.counters;
        self.dials.publish(counters.dialed, &counters.outbound, sample.lasting.1);
        self.serves.publish(counters.accepted, &counters.inbound, sample.lasting.0);
        for (cause, handle) in &self.refusals {
            handle.absolute(counters.candidates_refused.get(cause).copied().unwrap_or_default());
        }
        self.accept_errors.absolute(counters.accept_errors);
        self.prefix_full.absolute(counters.prefix_full);
        for (&why, &count) in &counters.unwelcome {
            let handle = self.throttled.entry(why).or_insert_with(|| throttled(registry, why));
            handle.absolute(count);
        }
    }

    /// How it stands with the way through a NAT.
    pub(super) fn publish_ports(&mut self, registry: &Registry, ports: &PortStatus) {
        let nat = self.nat.get_or_insert_with(|| NatHandles::new(registry, ports));
        set(&nat.address, u64::from(ports.address.is_some()));
        for (socket, handle) in &nat.sockets {
            let mut mapped = ports.sockets.iter().filter(|(known, _)| known == socket);
            set(handle, u64::from(mapped.any(|(_, external)| external.is_some())));
        }
    }
}

impl SetHandles {
    fn new(registry: &Registry, set: Set) -> Self {
        let labels = [("set", set.as_str())];
        Self {
            set,
            peers: registry.gauge("p2p_set_peers", &labels),
            ingress: registry.counter("p2p_set_ingress", &labels),
            egress: registry.counter("p2p_set_egress", &labels),
        }
    }
}

impl ProtocolHandles {
    fn new(registry: &Registry, capability: &Capability, length: u64) -> Self {
        let version = capability.version.to_string();
        let handles = |code: &str| {
            let protocol = ("protocol", capability.name.as_str());
            let labels = [protocol, ("version", version.as_str()), ("code", code)];
            MessageHandles {
                received: registry.counter("p2p_ingress_messages", &labels),
                received_bytes: registry.counter("p2p_ingress_message_bytes", &labels),
                sent: registry.counter("p2p_egress_messages", &labels),
                sent_bytes: registry.counter("p2p_egress_message_bytes", &labels),
            }
        };
        let metered = length.min(wide(CapabilityMeters::MAX_IDS));
        Self {
            by_id: (0..metered).map(|id| handles(&format!("{id:#04x}"))).collect(),
            beyond: (metered < length).then(|| handles("other")),
        }
    }

    fn publish(&self, moved: &Moved) {
        for (handles, meter) in self.by_id.iter().zip(&moved.by_id) {
            handles.publish(*meter);
        }
        if let Some(handles) = &self.beyond {
            handles.publish(moved.beyond);
        }
    }
}

impl MessageHandles {
    fn publish(&self, meter: Meter) {
        self.received.absolute(meter.received.messages);
        self.received_bytes.absolute(meter.received.bytes);
        self.sent.absolute(meter.sent.messages);
        self.sent_bytes.absolute(meter.sent.bytes);
    }
}

impl DirectionHandles {
    fn dials(counter: impl Fn(&'static str) -> Counter) -> Self {
        Self {
            begun: counter("p2p_dials"),
            success: counter("p2p_dials_success"),
            lasting: counter("p2p_dials_success_1min"),
            connection: Some(counter("p2p_dials_error_connection")),
            saturated: counter("p2p_dials_error_saturated"),
            known: counter("p2p_dials_error_known"),
            itself: counter("p2p_dials_error_self"),
            useless: counter("p2p_dials_error_useless"),
            unexpected: counter("p2p_dials_error_id_unexpected"),
            secure: counter("p2p_dials_error_rlpx_enc"),
            hello: counter("p2p_dials_error_rlpx_proto"),
            other: counter("p2p_dials_error_other"),
        }
    }

    fn serves(counter: impl Fn(&'static str) -> Counter) -> Self {
        Self {
            begun: counter("p2p_serves"),
            success: counter("p2p_serves_success"),
            lasting: counter("p2p_serves_success_1min"),
            connection: None,
            saturated: counter("p2p_serves_error_saturated"),
            known: counter("p2p_serves_error_known"),
            itself: counter("p2p_serves_error_self"),
            useless: counter("p2p_serves_error_useless"),
            unexpected: counter("p2p_serves_error_id_unexpected"),
            secure: counter("p2p_serves_error_rlpx_enc"),
            hello: counter("p2p_serves_error_rlpx_proto"),
            other: counter("p2p_serves_error_other"),
        }
    }

    fn publish(&self, begun: u64, counters: &DirectionCounters, lasting: u64) {
        self.begun.absolute(begun);
        self.success.absolute(counters.added);
        self.lasting.absolute(counters.lasted.saturating_add(lasting));
        let failed = |failure| counters.failed.get(&failure).copied().unwrap_or_default();
        // Whoever of the two gave the reason.
        let either = |reason| {
            let ours = counters.refused.get(&reason).copied().unwrap_or_default();
            ours.saturating_add(failed(SetupFailure::RefusedByRemote(reason)))
        };
        let [connect, secure, hello] =
            [SetupFailure::Connect, SetupFailure::SecureHandshake, SetupFailure::Hello].map(failed);
        let named = [
            (&self.saturated, DisconnectReason::TooManyPeers),
            (&self.known, DisconnectReason::AlreadyConnected),
            (&self.itself, DisconnectReason::SelfConnect),
            (&self.useless, DisconnectReason::UselessPeer),
            (&self.unexpected, DisconnectReason::UnexpectedIdentity),
        ];
        if let Some(handle) = &self.connection {
            handle.absolute(connect);
        }
        self.secure.absolute(secure);
        self.hello.absolute(hello);
        let mut told = connect.saturating_add(secure).saturating_add(hello);
        for (handle, reason) in named {
            let count = either(reason);
            handle.absolute(count);
            told = told.saturating_add(count);
        }
        // What a checkpoint refused is counted by its reason, what was closed before a byte was read
        // as such; and a set-up that the stop of this node cut off says nothing of others.
        let is_counted = |failure: &&SetupFailure| {
            !matches!(failure, SetupFailure::Refused | SetupFailure::Stopped)
        };
        let all = counters.failed.iter().filter(|(failure, _)| is_counted(failure));
        let all = all.map(|(_, count)| count).chain(counters.refused.values()).sum::<u64>();
        self.other.absolute(all.saturating_sub(told));
    }
}

impl NatHandles {
    fn new(registry: &Registry, ports: &PortStatus) -> Self {
        let sockets = ports.sockets.iter().map(|(socket, _)| {
            let role = match socket.role {
                SocketRole::Listener => "listener",
                SocketRole::Discovery => "discovery",
                SocketRole::DiscoveryV5 => "discovery_v5",
            };
            (*socket, registry.gauge("nat_mapped", &[("socket", role)]))
        });
        let sockets = sockets.collect();
        Self { address: registry.gauge("nat_address_known", &[]), sockets }
    }
}

fn drops(registry: &Registry) -> BTreeMap<Drop, Counter> {
    let reasons = || REASONS.into_iter().map(Some).chain([None]);
    let mut drops = BTreeMap::new();
    for direction in [Direction::Inbound, Direction::Outbound] {
        for (side, side_name) in [(Side::Local, "local"), (Side::Remote, "remote")] {
            for reason in reasons() {
                let name = reason.map_or_else(|| "other".to_owned(), word);
                let labels =
                    [("direction", &*word(direction)), ("side", side_name), ("reason", &*name)];
                let handle = registry.counter("p2p_drops", &labels);
                drops.insert(Drop { direction, side, reason }, handle);
            }
        }
    }
    drops
}

/// Every cause has its series from the start.
fn refusals(registry: &Registry) -> Vec<(RefusalCause, Counter)> {
    let handle = |&cause: &RefusalCause| {
        let labels = [("cause", &*word(cause))];
        (cause, registry.counter("p2p_candidates_refused", &labels))
    };
    RefusalCause::ALL.iter().map(handle).collect()
}

fn throttled(registry: &Registry, why: Unwelcome) -> Counter {
    registry.counter("p2p_serves_throttled", &[("cause", &*word(why))])
}

/// A number as a recorder wants it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no gauge of ours comes near 2^53")]
pub(super) fn set(gauge: &Gauge, value: u64) {
    gauge.set(value as f64);
}

pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
