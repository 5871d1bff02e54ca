//! What others ask of us.

use bytes::Bytes;
use devp2p_core::check_relay_addr;

use super::{Discv5, Peer, receive::Sender};
use crate::{
    crypto::Identity,
    message::{Body, MAX_DISTANCE, MAX_RECORDS, Nodes, Pong, RequestId},
    wire::MAX_MESSAGE_SIZE,
};

/// The nodes in an answer to FINDNODE: Kademlia's k.
const NODES: usize = 16;
/// What NODES has beside the records: its type, the headers of two lists, the longest request id,
/// and the number of messages.
const NODES_OVERHEAD: usize = 1 + 3 + (1 + RequestId::MAX_SIZE) + 1 + 3;

impl<I: Identity> Discv5<I> {
    pub(super) fn handle_ping(&mut self, sender: Sender, id: RequestId) {
        let (enr_seq, endpoint) = (self.record.seq(), sender.peer.endpoint);
        let pong = Pong { enr_seq, ip: endpoint.ip(), port: endpoint.port() };
        self.answer(sender, id, Body::Pong(pong));
    }

    pub(super) fn handle_find_node(&mut self, sender: Sender, id: RequestId, distances: &[u16]) {
        let parts = split(self.records_at(&sender.peer, distances));
        let total = u64::try_from(parts.len()).unwrap_or(u64::MAX);
        for records in parts {
            self.answer(sender, id, Body::Nodes(Nodes { total, records }));
        }
    }

    /// The records of nodes at these distances: only of verified nodes, and only of those that the
    /// one who asks can reach.
    fn records_at(&self, asker: &Peer, distances: &[u16]) -> Vec<Bytes> {
        let mut records = Vec::new();
        let mut seen = [false; MAX_DISTANCE as usize + 1];
        for &distance in distances {
            let Some(seen) = seen.get_mut(usize::from(distance)) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            if distance == 0 {
                records.push(self.record.to_bytes());
            }
            let there = self.table.at_distance(distance).map(|entry| entry.value());
            let told = there
                .filter(|contact| contact.id() != asker.id)
                .filter(|contact| check_relay_addr(asker.endpoint.ip(), contact.endpoint()).is_ok())
                .filter_map(|contact| contact.node().record());
            let room = NODES.saturating_sub(records.len());
            records.extend(told.take(room).map(|record| record.to_bytes()));
            if records.len() >= NODES {
                break;
            }
        }
        records
    }
}

/// As many records in each message as fit; one message where there are none.
fn split(records: Vec<Bytes>) -> Vec<Vec<Bytes>> {
    let mut parts = vec![Vec::new()];
    let mut room = MAX_MESSAGE_SIZE - NODES_OVERHEAD;
    for record in records {
        let is_full = |part: &Vec<_>| part.len() >= MAX_RECORDS || record.len() > room;
        if parts.last().is_none_or(is_full) {
            parts.push(Vec::new());
            room = MAX_MESSAGE_SIZE - NODES_OVERHEAD;
        }
        room = room.saturating_sub(record.len());
        if let Some(part) = parts.last_mut() {
            part.push(record);
        }
    }
    parts
}
