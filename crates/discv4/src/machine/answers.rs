//! What others answer to us, or do not.

use std::{net::SocketAddr, time::Instant};

use devp2p_core::{NodeId, Record, check_relay_addr};
use devp2p_kad::Place;

use super::{
    Discv4, after,
    asks::{Answer, AskId},
    contact::{Contact, Newcomer, kad_id},
    receive::Sender,
    requests::{Purpose, Request, RequestId, Sent, SentPing},
    serving::NEIGHBORS,
};
use crate::{
    DropCause, Event, RequestError, Source,
    statistics::count_one,
    wire::{Neighbor, Neighbors, PacketKind, Pong, Signer},
};

impl<S: Signer> Discv4<S> {
    /// The node is there: it has answered our newest PING.
    pub(super) fn handle_pong(
        &mut self,
        now: Instant,
        sender: Sender,
        number: RequestId,
        pong: &Pong,
    ) {
        let Some(request) = self.requests.close(number) else { return };
        let Request { contact, question: Sent::Ping(ping), sent_at, .. } = request else { return };
        let Sender { id, endpoint, .. } = sender;
        count_one(&mut self.statistics.answers);
        self.note_answer(now, id, endpoint);
        let table = &self.table;
        let in_table = |id: NodeId, endpoint| {
            let place = table.place(&kad_id(id)) == Some(Place::Bucket);
            place && table.get(&kad_id(id)).is_some_and(|e| e.value().endpoint() == endpoint)
        };
        self.bonds.proved(now, id, endpoint, in_table);
        if let Some(at) = ping.answered_at {
            self.bonds.proved_ours(at, id, endpoint);
        }
        if !ping.is_ping_back {
            // Whether it can be true, the record knows.
            if let Some(ours) = pong.to.udp_addr() {
                self.tell(Event::Vote { voter: endpoint.ip(), endpoint: ours });
            }
        }

        let is_own_word = |p: &Purpose| matches!(p, Purpose::Moved | Purpose::PingBack);
        let is_own_word = ping.answered_at.is_some() || ping.purposes.iter().any(is_own_word);
        // A check has its own way to say that a node is there.
        let is_check = matches!(*ping.purposes, [Purpose::Check(_)]);
        // Whoever only came to us waits until we have looked around ourselves.
        let is_invited =
            self.takes_newcomers || ping.purposes.iter().any(|p| !matches!(p, Purpose::PingBack));
        if !is_invited {
            let enr_seq = pong.enr_seq.max(ping.enr_seq);
            self.newcomers.push(kad_id(id), Newcomer { contact, enr_seq });
        } else if !is_check || self.table.get(&kad_id(id)).is_none() {
            self.take_verified(now, contact, is_own_word);
        }
        for purpose in ping.purposes {
            match purpose {
                Purpose::Check(check) => self.table.check_passed(now, *check),
                Purpose::Ask(ask) => self.handle_ask_proven(now, ask, ping.answered_at),
                Purpose::Query(query) => self.tell(Event::Pong {
                    query,
                    rtt: now.saturating_duration_since(sent_at),
                    endpoint: pong.to.udp_addr(),
                    enr_seq: pong.enr_seq,
                }),
                Purpose::Moved | Purpose::PingBack | Purpose::Seed => {}
            }
        }
        self.request_newer_record(now, id, endpoint, pong.enr_seq.max(ping.enr_seq));
        self.remember(now, id, endpoint);
    }

    /// Gives a node that has just answered its place in the table. `is_own_word` says whether the
    /// node itself has told us where it is, in its PING or its record, or somebody else.
    pub(super) fn take_verified(&mut self, now: Instant, contact: Contact, is_own_word: bool) {
        let id = kad_id(contact.id());
        let verified = self.table.get(&id).filter(|known| known.is_verified());
        let known = verified.map(|known| known.value());
        // Of a node that answers we believe nobody else where it is.
        if known.is_some_and(|known| known.endpoint() != contact.endpoint()) && !is_own_word {
            return;
        }
        let contact = if is_own_word { self.with_record(contact) } else { self.latest(contact) };
        // Where it finds no place it is one of the many that we do not keep.
        let _ = self.table.verified(now, id, contact);
    }

    /// What the table knows of a node, if it knows it there and verified.
    pub(super) fn latest(&self, contact: Contact) -> Contact {
        let known = self.table.get(&kad_id(contact.id())).filter(|known| known.is_verified());
        let known = known.map(|known| known.value());
        let known = known.filter(|known| known.endpoint() == contact.endpoint());
        known.cloned().unwrap_or(contact)
    }

    /// What a node says of itself, with the record that the table has of it there.
    fn with_record(&self, contact: Contact) -> Contact {
        let known = self.table.get(&kad_id(contact.id())).map(|known| known.value());
        match known.filter(|known| known.endpoint() == contact.endpoint()) {
            Some(known) if known.seen_seq() < contact.seen_seq() => contact,
            Some(known) if known.node().record().is_some() => known.clone(),
            Some(known) => contact.with_seen_seq(known.seen_seq()),
            None => contact,
        }
    }

    /// A part of an answer to FINDNODE.
    pub(super) fn handle_neighbors(
        &mut self,
        now: Instant,
        sender: Sender,
        number: RequestId,
        neighbors: &Neighbors,
    ) {
        let Some(&mut Request { question: Sent::FindNode(ask), .. }) =
            self.requests.get_mut(number)
        else {
            return;
        };
        let named = self.asks.get_mut(ask).map_or(NEIGHBORS, |ask| ask.answer.named);
        let room = NEIGHBORS.saturating_sub(named);
        let taken: Vec<_> = neighbors
            .nodes
            .iter()
            .take(room)
            .filter_map(|neighbor| self.accept(sender, neighbor))
            .collect();
        for _ in taken.len()..neighbors.nodes.len() {
            count_one(&mut self.statistics.neighbors_refused);
        }
        for contact in &taken {
            let source = Source::Neighbors(sender.id);
            self.tell(Event::Sighting { node: contact.node().clone(), source });
            let _ = self.table.add(now, kad_id(contact.id()), contact.clone());
        }
        let named = named.saturating_add(neighbors.nodes.len());
        if let Some(ask) = self.asks.get_mut(ask) {
            ask.answer.is_answered = true;
            ask.answer.named = named;
            ask.answer.nodes.extend(taken);
        }
        // An empty answer has no second part.
        if named == 0 || named >= NEIGHBORS {
            self.requests.close(number);
            self.handle_find_node_over(now, sender.id, sender.endpoint, ask);
        } else {
            self.requests.hurry(number, after(now, self.config.neighbors_pause));
        }
    }

    /// A node that another one named, if that one can know it, and we may speak to it.
    fn accept(&self, sender: Sender, neighbor: &Neighbor) -> Option<Contact> {
        let endpoint = super::contact::canonical(neighbor.udp_addr());
        check_relay_addr(sender.endpoint.ip(), endpoint).ok()?;
        let policy = self.config.lan_policy;
        let heard = Contact::heard(neighbor.public_key, endpoint, neighbor.tcp, policy);
        self.check_contact(&heard).ok()?;
        // We know better where a node is that has told us so.
        let known = self.table.get(&kad_id(heard.id())).filter(|known| known.is_verified());
        Some(known.map_or(heard, |known| known.value().clone()))
    }

    /// No more parts of an answer to FINDNODE will come.
    pub(super) fn handle_find_node_over(
        &mut self,
        now: Instant,
        id: NodeId,
        endpoint: SocketAddr,
        number: AskId,
    ) {
        let answer = self.asks.get_mut(number).map(|ask| std::mem::take(&mut ask.answer));
        match answer.filter(|answer| answer.is_answered) {
            Some(answer) => {
                self.handle_useful_answer(now, id, endpoint);
                self.finish_ask(now, number, Ok(Answer::Nodes(answer.nodes)));
            }
            None => self.handle_no_answer(now, id, endpoint, PacketKind::FindNode, number),
        }
        self.send_queued(now, id, endpoint);
    }

    pub(super) fn handle_enr_response(
        &mut self,
        now: Instant,
        sender: Sender,
        number: RequestId,
        record: &[u8],
    ) -> Result<(), DropCause> {
        let Some(request) = self.requests.close(number) else { return Ok(()) };
        let Sent::EnrRequest(ask) = request.question else { return Ok(()) };
        let known_seq = self.table.get(&kad_id(sender.id)).map_or(0, |e| e.value().seen_seq());
        let record = Record::decode(record).ok();
        let record = record.filter(|r| r.id() == sender.id && r.seq() >= known_seq);
        self.handle_useful_answer(now, sender.id, sender.endpoint);
        let is_bad = record.is_none();
        self.finish_ask(now, ask, record.map(Answer::Record).ok_or(RequestError::BadRecord));
        if is_bad { Err(DropCause::BadRecord) } else { Ok(()) }
    }

    /// Only who holds our proof answers such questions.
    fn handle_useful_answer(&mut self, now: Instant, id: NodeId, endpoint: SocketAddr) {
        count_one(&mut self.statistics.answers);
        self.note_answer(now, id, endpoint);
        // It was there when we asked: the next question need not wait for it.
        let had_it = now.checked_sub(self.config.proof_delay).unwrap_or(now);
        self.bonds.proved_ours(had_it, id, endpoint);
        self.table.request_answered(&kad_id(id));
    }

    /// A node did not answer FINDNODE or ENRREQUEST. Perhaps it has lost our proof, in a restart
    /// say: the next question begins with it.
    pub(super) fn handle_no_answer(
        &mut self,
        now: Instant,
        id: NodeId,
        endpoint: SocketAddr,
        kind: PacketKind,
        number: AskId,
    ) {
        self.tell_timeout(id, endpoint, kind);
        self.bonds.forget_ours(id, endpoint);
        if kind == PacketKind::FindNode {
            self.note_failure(now, id, endpoint);
        }
        self.finish_ask(now, number, Err(RequestError::Timeout));
    }

    pub(super) fn handle_no_pong(
        &mut self,
        now: Instant,
        id: NodeId,
        endpoint: SocketAddr,
        ping: SentPing,
    ) {
        self.tell_timeout(id, endpoint, PacketKind::Ping);
        for purpose in ping.purposes {
            match purpose {
                Purpose::Ask(ask) => {
                    self.note_failure(now, id, endpoint);
                    self.finish_ask(now, ask, Err(RequestError::Timeout));
                }
                Purpose::Check(check) => {
                    self.note_silence(now, id);
                    self.table.check_failed(now, *check);
                }
                Purpose::Query(query) => {
                    self.tell(Event::Failed { query, error: RequestError::Timeout });
                }
                Purpose::Moved | Purpose::PingBack | Purpose::Seed => {}
            }
        }
    }

    fn tell_timeout(&mut self, id: NodeId, endpoint: SocketAddr, kind: PacketKind) {
        count_one(&mut self.statistics.timeouts);
        self.tell(Event::RequestTimeout { id, endpoint, kind });
    }

    /// A node did not answer a question; if the table knows it there, it counts.
    fn note_failure(&mut self, now: Instant, id: NodeId, endpoint: SocketAddr) {
        let known = self.table.get(&kad_id(id)).map(|known| known.value());
        if known.is_some_and(|known| known.endpoint() == endpoint) {
            self.note_silence(now, id);
            self.table.request_failed(now, &kad_id(id));
        }
    }
}
