//! What others ask of us.

use std::{net::SocketAddr, time::Instant};

use devp2p_core::check_relay_addr;

use super::{
    Discv4, after,
    contact::{Contact, Newcomer, kad_id},
    receive::Sender,
    requests::Purpose,
};
use crate::{
    DropCause, Event, Source,
    statistics::{count_bytes, count_one},
    wire::{
        EnrResponse, FindNode, Hash, MAX_NEIGHBORS, Neighbor, Neighbors, Packet, PacketKind, Ping,
        Signer,
    },
};

/// The nodes in an answer to FINDNODE: Kademlia's k.
pub(super) const NEIGHBORS: usize = 16;

impl<S: Signer> Discv4<S> {
    /// Everybody gets a PONG. Who has not proved its endpoint gets our own PING beside it, and no
    /// byte more until it answers that.
    pub(super) fn handle_ping(
        &mut self,
        now: Instant,
        sender: Sender,
        ping: &Ping,
        hash: Hash,
        size: usize,
    ) {
        let Sender { key, id, endpoint } = sender;
        let is_proven = self.bonds.is_proven(now, id, endpoint);
        let answer_size = self.send_pong(now, endpoint, ping, hash);
        self.bonds.proved_ours(now, id, endpoint);
        let contact = Contact::heard(key, endpoint, ping.from.tcp, self.config.lan_policy);

        if !is_proven {
            count_bytes(&mut self.statistics.bytes_from_unproven, size);
            count_bytes(&mut self.statistics.bytes_to_unproven, answer_size);
            self.tell(Event::Sighting { node: contact.node().clone(), source: Source::Ping });
        }
        if self.requests.find(id, endpoint, PacketKind::Ping).is_none()
            && self.bonds.is_ageing(now, id, endpoint)
        {
            self.ping_back(now, contact.clone());
        }
        if let Some((known, open)) = self.requests.ping_mut(id, endpoint) {
            open.answered_at = Some(now);
            open.enr_seq = ping.enr_seq;
            // What the node says of itself is better than what others said.
            if known.node().record().is_none() {
                *known = contact.clone();
            }
        }
        self.asks.hurry(id, endpoint, after(now, self.config.proof_delay));
        if is_proven {
            self.handle_proven_ping(now, contact, ping.enr_seq);
        }
    }

    /// Asks the sender of a PING to prove that it is there, whoever else is asked there: else whoever
    /// forges PINGs from that endpoint keeps its owner out.
    fn ping_back(&mut self, now: Instant, contact: Contact) {
        let sent = self.limits.ping_back(now, contact.endpoint().ip())
            && self.send_ping(now, contact, Purpose::PingBack).is_ok();
        if !sent {
            count_one(&mut self.statistics.ping_backs_held);
        }
    }

    /// A node that has proved its endpoint may have changed, or been forgotten meanwhile.
    fn handle_proven_ping(&mut self, now: Instant, contact: Contact, enr_seq: Option<u64>) {
        let (id, endpoint) = (contact.id(), contact.endpoint());
        match self.table.get(&kad_id(id)).map(|entry| entry.value().clone()) {
            None if !self.takes_newcomers => {
                self.newcomers.push(kad_id(id), Newcomer { contact, enr_seq });
            }
            // It waits for a place like any that is not verified.
            None => {
                let _ = self.table.add(now, kad_id(id), contact);
            }
            Some(known) if known.endpoint() == endpoint && known.node().record().is_none() => {
                let changed = contact.with_seen_seq(known.seen_seq());
                if changed != known {
                    self.table.update(now, &kad_id(id), changed);
                }
            }
            Some(_) => {}
        }
        self.request_newer_record(now, id, endpoint, enr_seq);
    }

    /// Only verified nodes are named, and only those that the one who asks can reach.
    pub(super) fn handle_find_node(
        &mut self,
        now: Instant,
        sender: Sender,
        find_node: &FindNode,
    ) -> Result<(), DropCause> {
        self.demand_proof(now, sender)?;
        // Twice as many, to choose from.
        let closest = self.table.closest(&kad_id(find_node.target.id()), 2 * NEIGHBORS);
        let nodes: Vec<_> = closest
            .into_iter()
            .map(|entry| entry.value())
            .filter(|contact| contact.id() != sender.id)
            .filter(|contact| check_relay_addr(sender.endpoint.ip(), contact.endpoint()).is_ok())
            .take(NEIGHBORS)
            .map(neighbor)
            .collect();
        let expiration = self.expiration(now);
        if nodes.is_empty() {
            self.send(sender.endpoint, &Packet::Neighbors(Neighbors { nodes, expiration }));
            return Ok(());
        }
        for part in nodes.chunks(MAX_NEIGHBORS) {
            let neighbors = Neighbors { nodes: part.to_vec(), expiration };
            self.send(sender.endpoint, &Packet::Neighbors(neighbors));
        }
        Ok(())
    }

    pub(super) fn handle_enr_request(
        &mut self,
        now: Instant,
        sender: Sender,
        request_hash: Hash,
    ) -> Result<(), DropCause> {
        self.demand_proof(now, sender)?;
        let record = self.record.to_bytes();
        self.send(sender.endpoint, &Packet::EnrResponse(EnrResponse { request_hash, record }));
        Ok(())
    }

    fn demand_proof(
        &self,
        now: Instant,
        Sender { id, endpoint, .. }: Sender,
    ) -> Result<(), DropCause> {
        self.bonds.is_proven(now, id, endpoint).then_some(()).ok_or(DropCause::Unproven)
    }
}

fn neighbor(contact: &Contact) -> Neighbor {
    let (node, endpoint): (_, SocketAddr) = (contact.node(), contact.endpoint());
    Neighbor {
        ip: endpoint.ip(),
        udp: endpoint.port(),
        tcp: node.tcp_port().unwrap_or(0),
        public_key: node.public_key(),
    }
}
