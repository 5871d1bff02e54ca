//! What became of the last dials, and which peers ended last.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::{Node, NodeId};
use devp2p_dial::{DialKind, Outlook};

use super::PeerEntry;
use crate::{DialOutcome, DialRecord, Disconnect, PeerDrop};

/// How many dials are remembered: what an operator can look through, and more than a node that is
/// in want of peers dials in some minutes. 200 KB.
const MAX_DIALS: usize = 1_000;

/// How many ends of peers are remembered. With the longest names and errors 0.8 MB.
const MAX_ENDS: usize = 1_000;

/// How much of an error is remembered.
const MAX_ERROR: usize = 256;

/// What became of the last dials, one of each node.
#[derive(Debug, Default)]
pub(super) struct Dials {
    by_node: BTreeMap<NodeId, Dial>,
    /// The nodes in the order of their last dials.
    order: BTreeMap<u64, NodeId>,
    next: u64,
}

#[derive(Debug)]
struct Dial {
    number: u64,
    addr: Option<SocketAddr>,
    kind: DialKind,
    outcome: DialOutcome,
    at: Instant,
}

impl Dials {
    /// This became of the dial of a node.
    pub(super) fn note(&mut self, now: Instant, node: &Node, kind: DialKind, outcome: DialOutcome) {
        let (id, number) = (node.id(), self.next);
        self.next = self.next.saturating_add(1);
        let dial = Dial { number, addr: node.tcp_addr(), kind, outcome, at: now };
        if let Some(before) = self.by_node.insert(id, dial) {
            self.order.remove(&before.number);
        }
        self.order.insert(number, id);
        if self.order.len() > MAX_DIALS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.by_node.remove(&oldest);
        }
    }

    /// The newest first; `outlook` tells what they mean for the next dial of a node.
    pub(super) fn records(
        &self,
        now: Instant,
        outlook: impl Fn(NodeId) -> Outlook,
    ) -> Vec<DialRecord> {
        let dials = self.order.values().rev().filter_map(|id| self.by_node.get_key_value(id));
        let record = |(&id, dial): (&NodeId, &Dial)| {
            let outlook = outlook(id);
            DialRecord {
                id,
                addr: dial.addr,
                kind: dial.kind,
                outcome: dial.outcome,
                failures: outlook.failures,
                ago: now.saturating_duration_since(dial.at),
                retry_in: outlook.retry_in,
            }
        };
        dials.map(record).collect()
    }
}

/// The last ends of peers, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ends(VecDeque<(Instant, Disconnect)>);

impl Ends {
    /// This peer is gone.
    pub(super) fn note(
        &mut self,
        now: Instant,
        entry: PeerEntry,
        drop: &PeerDrop,
        is_static: bool,
    ) {
        while self.0.len() >= MAX_ENDS {
            self.0.pop_front();
        }
        let mut error = drop.error.clone();
        if let Some(text) = &mut error {
            text.truncate(text.floor_char_boundary(MAX_ERROR));
            text.shrink_to_fit();
        }
        let end = Disconnect {
            id: drop.id,
            name: entry.name,
            remote_addr: entry.remote_addr,
            direction: drop.direction,
            age: drop.duration,
            reason: drop.reason,
            side: drop.side,
            error,
            // Told when it is asked for: the machine knows no wall clock.
            at: 0,
            is_static,
            is_trusted: entry.trusted,
        };
        self.0.push_back((now, end));
    }

    /// The newest first. It is `unix` seconds since 1970 now.
    pub(super) fn tell(&self, now: Instant, unix: u64) -> Vec<Disconnect> {
        let tell = |(at, end): &(Instant, Disconnect)| {
            let ago = now.saturating_duration_since(*at).as_secs();
            Disconnect { at: unix.saturating_sub(ago), ..end.clone() }
        };
        self.0.iter().rev().map(tell).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use devp2p_peer::{Capability, Direction, DisconnectReason, Side};

    use super::*;
    use crate::{SetupFailure, testing::node};

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        Instant::now()
    }

    #[test]
    fn the_last_dial_of_each_of_the_last_nodes_is_remembered() {
        let (mut dials, now) = (Dials::default(), start());
        let no_outlook = |_| Outlook::default();
        let failed = DialOutcome::Failed(SetupFailure::Connect);
        for n in 0..1_000 {
            dials.note(now, &node(n), DialKind::Dynamic, failed);
        }
        // It is dialed again, and is among the newest by that.
        dials.note(now, &node(0), DialKind::Static, DialOutcome::Added);
        let records = dials.records(now, no_outlook);
        assert_eq!(records.len(), 1_000);
        assert_eq!((records[0].id, records[0].outcome), (node(0).id(), DialOutcome::Added));
        assert_eq!(records[999].id, node(1).id());

        let later = now + Duration::from_secs(5);
        dials.note(later, &node(1_000), DialKind::Dynamic, failed);
        let records = dials.records(later, no_outlook);
        let ids: Vec<_> = records.iter().map(|record| record.id).collect();
        assert_eq!((records.len(), dials.by_node.len()), (1_000, 1_000));
        assert_eq!(ids[..2], [node(1_000).id(), node(0).id()]);
        assert!(!ids.contains(&node(1).id()), "it was dialed longest ago");
        assert_eq!([records[0].ago, records[1].ago], [Duration::ZERO, Duration::from_secs(5)]);
    }

    #[test]
    fn the_ends_remembered_are_bounded_in_number_and_bytes() {
        let (mut ends, now) = (Ends::default(), start());
        let public_key = node(1).public_key();
        let entry = PeerEntry {
            public_key,
            name: "client".into(),
            capabilities: vec![Capability::new("test", 1)],
            shared: Vec::new(),
            direction: Direction::Inbound,
            dialed_as: None,
            node: None,
            trusted: true,
            added_at: now,
            local_addr: None,
            remote_addr: None,
            prefix: None,
        };
        let drop = |seconds| PeerDrop {
            id: public_key.into(),
            direction: Direction::Inbound,
            duration: Duration::from_secs(seconds),
            reason: DisconnectReason::Subprotocol,
            side: Side::Remote,
            error: Some("\u{e9}".repeat(1_000)),
        };
        for seconds in 0..1_003 {
            let at = now + Duration::from_secs(seconds);
            ends.note(at, entry.clone(), &drop(seconds), seconds % 2 == 0);
        }
        let told = ends.tell(now + Duration::from_secs(2_000), 1_700_002_000);
        assert_eq!(told.len(), 1_000);
        let (newest, oldest) = (&told[0], &told[999]);
        assert_eq!((newest.at, oldest.at), (1_700_001_002, 1_700_000_003));
        assert_eq!((newest.age.as_secs(), newest.is_static), (1_002, true));
        assert_eq!((oldest.is_static, oldest.is_trusted), (false, true));
        assert_eq!(newest.error, Some("\u{e9}".repeat(128)));
    }
}
