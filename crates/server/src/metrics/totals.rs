use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use devp2p_core::{NodeId, Traffic};
use devp2p_peer::{
    Capability, CapabilityMeters, Direction, DisconnectReason, MessageCount, Meter, Protocol, Side,
};

use crate::{Counters, DirectionCounters, PeerControl, PeerDrop, runtime::State};

/// What the peers moved since the start, those that are gone included.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// By the capabilities that we offer.
    gone: BTreeMap<Capability, Moved>,
    /// What was seen last of the peers that there are.
    seen: BTreeMap<NodeId, Seen>,
    traffic: BTreeMap<Set, Traffic>,
    drops: BTreeMap<Drop, u64>,
}

/// What moved in one capability.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    /// By message id, from 0 on.
    pub(super) by_id: Vec<Meter>,
    pub(super) beyond: Meter,
}

impl Moved {
    fn add(&mut self, meters: &CapabilityMeters) {
        if self.by_id.len() < meters.by_id.len() {
            self.by_id.resize(meters.by_id.len().min(CapabilityMeters::MAX_IDS), Meter::default());
        }
        for (total, meter) in self.by_id.iter_mut().zip(&meters.by_id) {
            *total = total.plus(*meter);
        }
        self.beyond = self.beyond.plus(meters.beyond);
    }
}

/// How peers are told apart: the first of these that one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    Trusted,
    Static,
    Dialed,
    Inbound,
}

impl Set {
    pub(super) const ALL: [Self; 4] = [Self::Trusted, Self::Static, Self::Dialed, Self::Inbound];

    fn of(state: &State, id: NodeId, direction: Direction) -> Self {
        if state.core.is_trusted(id) {
            Self::Trusted
        } else if state.core.is_static(id) {
            Self::Static
        } else if direction == Direction::Outbound {
            Self::Dialed
        } else {
            Self::Inbound
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Static => "static",
            Self::Dialed => "dialed",
            Self::Inbound => "inbound",
        }
    }
}

/// Peers that are gone in the same way. There are few: every reason that has no name is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Drop {
    pub(super) direction: Direction,
    pub(super) side: Side,
    /// `None` for what has no name.
    pub(super) reason: Option<DisconnectReason>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    traffic: Traffic,
    rtt: Option<Duration>,
}

/// What there is to publish.
pub(super) struct Sample {
    pub(super) counters: Counters,
    pub(super) pending: usize,
    pub(super) wanted: usize,
    /// Peers by set, and those that dialed us among all of them.
    pub(super) peers: BTreeMap<Set, u64>,
    pub(super) inbound: u64,
    /// Of the peers that there are, those that stayed for a minute: that dialed us, and that we
    /// dialed.
    pub(super) lasting: (u64, u64),
    pub(super) traffic: BTreeMap<Set, Traffic>,
    pub(super) drops: BTreeMap<Drop, u64>,
    pub(super) moved: BTreeMap<Capability, Moved>,
    /// What waits for subprotocols and for connections.
    pub(super) waiting: (MessageCount, MessageCount),
    /// The round trips since the last sample. One that took exactly as long as the one before, to
    /// the nanosecond, is not told from it.
    pub(super) rtts: Vec<Duration>,
}

impl Totals {
    /// What there will be for a node that offers these subprotocols.
    pub(super) fn new(protocols: &[Protocol]) -> Self {
        let offered = protocols.iter().map(|protocol| (protocol.capability(), Moved::default()));
        Self { gone: offered.collect(), ..Self::default() }
    }

    /// A peer is gone. Called under the lock of the state, so that no sample comes between.
    pub(super) fn handle_gone(
        &mut self,
        state: &State,
        drop: &PeerDrop,
        control: Option<&dyn PeerControl>,
    ) {
        let named = !matches!(drop.reason, DisconnectReason::Other(_));
        let reason = named.then_some(drop.reason);
        let gone = Drop { direction: drop.direction, side: drop.side, reason };
        let count = self.drops.entry(gone).or_default();
        *count = count.saturating_add(1);
        if let Some(control) = control {
            let set = Set::of(state, drop.id, drop.direction);
            self.move_traffic(set, drop.id, control.traffic());
            for meters in control.meters() {
                if let Some(moved) = self.gone.get_mut(&meters.capability) {
                    moved.add(&meters);
                }
            }
        }
        self.seen.remove(&drop.id);
    }

    /// What there is to publish now. Called under the lock of the state.
    pub(super) fn sample(&mut self, state: &State, now: Instant) -> Sample {
        let core = &state.core;
        let mut moved = self.gone.clone();
        let (mut peers, mut rtts) = (BTreeMap::<Set, u64>::new(), Vec::new());
        let (mut inbound, mut lasting) = (0_u64, (0_u64, 0_u64));
        let mut waiting = (MessageCount::default(), MessageCount::default());
        for (&id, entry) in core.peers() {
            let set = Set::of(state, id, entry.direction);
            let count = peers.entry(set).or_default();
            *count = count.saturating_add(1);
            let lasts = now.saturating_duration_since(entry.added_at) >= DirectionCounters::LASTING;
            let lasted = match entry.direction {
                Direction::Inbound => {
                    inbound = inbound.saturating_add(1);
                    &mut lasting.0
                }
                Direction::Outbound => &mut lasting.1,
            };
            *lasted = lasted.saturating_add(u64::from(lasts));
            // A peer that was just added has its control in the same call.
            let Some(control) = state.controls.get(&id) else { continue };
            self.move_traffic(set, id, control.traffic());
            for meters in control.meters() {
                waiting.0 = waiting.0.plus(meters.waiting_inbound);
                waiting.1 = waiting.1.plus(meters.waiting_outbound);
                if let Some(moved) = moved.get_mut(&meters.capability) {
                    moved.add(&meters);
                }
            }
            let seen = self.seen.entry(id).or_default();
            let rtt = control.rtt();
            if seen.rtt != rtt {
                rtts.extend(rtt);
                seen.rtt = rtt;
            }
        }
        Sample {
            counters: core.counters().clone(),
            pending: core.pending(),
            wanted: core.wanted_candidates(),
            peers,
            inbound,
            lasting,
            traffic: self.traffic.clone(),
            drops: self.drops.clone(),
            moved,
            waiting,
            rtts,
        }
    }

    /// Counts what a peer has moved since it was seen last for the set that it is in now.
    fn move_traffic(&mut self, set: Set, id: NodeId, now: Traffic) {
        let seen = self.seen.entry(id).or_default();
        let before = std::mem::replace(&mut seen.traffic, now);
        let total = self.traffic.entry(set).or_default();
        let more =
            |total: u64, now: u64, before: u64| total.saturating_add(now.saturating_sub(before));
        total.ingress = more(total.ingress, now.ingress, before.ingress);
        total.egress = more(total.egress, now.egress, before.egress);
    }
}
