//! Packets on their way in: what is looked at, in which order, before anybody is believed.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{EndpointClass, Family, HIGHEST_REFUSED_UDP_PORT, NodeId, PublicKey, classify};

use super::{
    Discv4,
    contact::kad_id,
    requests::{Request, RequestId, Sent},
};
use crate::{
    DropCause,
    wire::{Datagram, DecodeError, Hash, Packet, PacketKind, Signer},
};

/// Who sent a packet, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) key: PublicKey,
    pub(super) id: NodeId,
    pub(super) endpoint: SocketAddr,
}

impl<S: Signer> Discv4<S> {
    /// The checks go from the cheap to the expensive: size, type and hash; where it comes from;
    /// for answers, whether anything was asked there; the data; its time; for answers the hash of
    /// the question; how many there were. What is left costs the recovery of a signature, and only
    /// that says who sent it.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<PacketKind, DropCause> {
        let datagram = Datagram::parse(bytes)?;
        if !self.is_allowed(from.ip()) {
            return Err(DropCause::Source);
        }
        let kind = datagram.kind();
        let question = match kind {
            PacketKind::Pong => PacketKind::Ping,
            PacketKind::Neighbors => PacketKind::FindNode,
            PacketKind::EnrResponse => PacketKind::EnrRequest,
            PacketKind::Ping | PacketKind::FindNode | PacketKind::EnrRequest => {
                let packet = self.read(now, &datagram)?;
                self.admit_question(now, from)?;
                let sender = self.sender(from, &datagram)?;
                self.handle_question(now, sender, packet, datagram.hash(), bytes.len())?;
                return Ok(kind);
            }
        };
        if self.requests.of_kind(from, question).next().is_none() {
            return Err(DropCause::Unsolicited);
        }
        let packet = self.read(now, &datagram)?;
        self.admit_answer(now, from, question, answered_hash(&packet))?;
        let sender = self.sender(from, &datagram)?;
        let number = self.asked(sender, question, answered_hash(&packet))?;
        self.handle_answer(now, sender, number, packet)?;
        Ok(kind)
    }

    /// The data, if it is good and its time is not over.
    fn read(&self, now: Instant, datagram: &Datagram<'_>) -> Result<Packet, DropCause> {
        let packet = datagram.packet()?;
        let is_over = |expiration| Duration::from_secs(expiration) <= self.clock.unix(now);
        if packet.expiration().is_some_and(is_over) {
            return Err(DropCause::Expired);
        }
        Ok(packet)
    }

    /// Whether anybody there may ask us something now.
    fn admit_question(&mut self, now: Instant, from: SocketAddr) -> Result<(), DropCause> {
        // What listens on a low port answers anything: no stranger shall aim us at it.
        if from.port() <= HIGHEST_REFUSED_UDP_PORT {
            return Err(DropCause::Source);
        }
        if self.bonds.is_any_proven(now, from) {
            let is_in_table = self.bonds.proven_at(now, from).any(|id| self.is_placed(id, from));
            let is_allowed = self.limits.bonded(now, from, is_in_table);
            is_allowed.then_some(()).ok_or(DropCause::BondedRate)
        } else {
            self.limits.stranger(now, from).then_some(()).ok_or(DropCause::StrangerRate)
        }
    }

    /// Whether a node has its place in the table by this endpoint.
    pub(super) fn is_placed(&self, id: NodeId, endpoint: SocketAddr) -> bool {
        let known = || self.table.get(&kad_id(id)).map(|known| known.value().endpoint());
        self.placed.contains(&id) && known() == Some(endpoint)
    }

    /// Whether an answer fits a question, as far as can be told without knowing whose it is. Such
    /// answers do not count against any rate, but every question has only so many. Those beyond
    /// have one together: anybody can forge them from where we asked, and the true one may be last.
    fn admit_answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        question: PacketKind,
        hash: Option<Hash>,
    ) -> Result<(), DropCause> {
        let fits = |request: &Request| hash.is_none_or(|hash| hash == request.hash);
        let there = self.requests.of_kind(from, question);
        let fitting: Vec<_> =
            there.filter(|(_, request)| fits(request)).map(|(number, _)| number).collect();
        if fitting.is_empty() {
            return Err(DropCause::Unsolicited);
        }
        let mut requests = fitting.into_iter();
        let allowed =
            requests.any(|n| self.requests.get_mut(n).is_some_and(Request::take_allowance));
        (allowed || self.limits.surplus(now)).then_some(()).ok_or(DropCause::Surplus)
    }

    fn sender(&self, endpoint: SocketAddr, datagram: &Datagram<'_>) -> Result<Sender, DropCause> {
        let key = datagram.signer(&self.signer)?;
        let id = NodeId::from(key);
        if id == self.own {
            return Err(DropCause::OwnId);
        }
        Ok(Sender { key, id, endpoint })
    }

    /// The question that the sender was asked.
    fn asked(
        &self,
        sender: Sender,
        question: PacketKind,
        hash: Option<Hash>,
    ) -> Result<RequestId, DropCause> {
        let mut there = self.requests.of_kind(sender.endpoint, question);
        let fits = |request: &Request| {
            request.id() == sender.id && hash.is_none_or(|hash| hash == request.hash)
        };
        let found = there.find(|(_, request)| fits(request));
        found.map(|(number, _)| number).ok_or(DropCause::WrongSigner)
    }

    fn handle_question(
        &mut self,
        now: Instant,
        sender: Sender,
        packet: Packet,
        hash: Hash,
        size: usize,
    ) -> Result<(), DropCause> {
        match packet {
            Packet::Ping(ping) => self.handle_ping(now, sender, &ping, hash, size),
            Packet::FindNode(find_node) => self.handle_find_node(now, sender, &find_node)?,
            Packet::EnrRequest(_) => self.handle_enr_request(now, sender, hash)?,
            Packet::Pong(_) | Packet::Neighbors(_) | Packet::EnrResponse(_) => {}
        }
        Ok(())
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        sender: Sender,
        number: RequestId,
        packet: Packet,
    ) -> Result<(), DropCause> {
        match packet {
            Packet::Pong(pong) => self.handle_pong(now, sender, number, &pong),
            Packet::Neighbors(neighbors) => self.handle_neighbors(now, sender, number, &neighbors),
            Packet::EnrResponse(response) => {
                self.handle_enr_response(now, sender, number, &response.record)?;
            }
            Packet::Ping(_) | Packet::FindNode(_) | Packet::EnrRequest(_) => {}
        }
        Ok(())
    }

    /// Whether we speak to this address at all.
    pub(super) fn is_allowed(&self, ip: IpAddr) -> bool {
        !matches!(classify(ip), EndpointClass::Unspecified | EndpointClass::Multicast)
            && self.config.family.is_none_or(|family| family == Family::of(ip))
            && self.config.net_restrict.as_ref().is_none_or(|list| list.contains(ip))
    }

    /// A request was not answered in time.
    pub(super) fn handle_request_timeout(&mut self, now: Instant, number: RequestId) {
        let Some(request) = self.requests.close(number) else { return };
        let (id, endpoint) = (request.id(), request.contact.endpoint());
        let kind = request.question.kind();
        match request.question {
            Sent::FindNode(ask) => self.handle_find_node_over(now, id, endpoint, ask),
            Sent::EnrRequest(ask) => self.handle_no_answer(now, id, endpoint, kind, ask),
            Sent::Ping(ping) => self.handle_no_pong(now, id, endpoint, ping),
        }
    }
}

/// The hash of the question, where an answer names it.
const fn answered_hash(packet: &Packet) -> Option<Hash> {
    match packet {
        Packet::Pong(pong) => Some(pong.ping_hash),
        Packet::EnrResponse(response) => Some(response.request_hash),
        _ => None,
    }
}

impl From<DecodeError> for DropCause {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Data(_) => Self::Data,
            DecodeError::Hash => Self::Hash,
            DecodeError::Signature => Self::Signature,
            DecodeError::Size(_) => Self::Size,
            DecodeError::UnknownKind(_) => Self::UnknownKind,
        }
    }
}
