//! Packets on their way in: what is looked at, in which order, before anybody is believed.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use bytes::Bytes;
use devp2p_core::{EndpointClass, Family, HIGHEST_REFUSED_UDP_PORT, Record, classify};

use super::{
    Discv5, Peer,
    sessions::{KeysId, Proved},
};
use crate::{
    DropCause,
    crypto::Identity,
    handshake::{Accepted, Challenge},
    message::{Body, Message},
    statistics::{count_bytes, count_one},
    wire::{HandshakePacket, Masking, OrdinaryPacket, Packet, PacketKind, Peek, WhoAreYou},
};

/// Who sent a message, from where, and with which keys: all of it proved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) peer: Peer,
    /// None where they could not be kept.
    pub(super) keys: Option<KeysId>,
}

impl<I: Identity> Discv5<I> {
    /// The checks go from the cheap to the expensive: the header; where it comes from; whether a
    /// WHOAREYOU, or the handshake after one, was asked for. What claims to be of a session is
    /// opened, which costs less than to look up a rate. What is left is answered with WHOAREYOU, at
    /// the rate of strangers.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<PacketKind, DropCause> {
        let peek = self.masking.peek(bytes)?;
        if !self.is_allowed(from.ip()) {
            return Err(DropCause::Source);
        }
        if let Some(id) = peek.src_id() {
            if id == self.own {
                return Err(DropCause::OwnId);
            }
            let peer = Peer { id, endpoint: from };
            if peek.kind() == PacketKind::Handshake {
                self.admit_handshake(now, &peer)?;
            }
            match self.masking.decode_peeked(&peek)? {
                Packet::Ordinary(packet) => self.handle_ordinary(now, peer, &packet, &peek)?,
                Packet::Handshake(packet) => self.handle_handshake(now, peer, &packet, &peek)?,
                Packet::WhoAreYou(_) => {}
            }
        } else if let Packet::WhoAreYou(whoareyou) = self.masking.decode_peeked(&peek)? {
            self.handle_whoareyou(now, from, &whoareyou)?;
        }
        Ok(peek.kind())
    }

    fn handle_ordinary(
        &mut self,
        now: Instant,
        peer: Peer,
        packet: &OrdinaryPacket<'_>,
        peek: &Peek<'_>,
    ) -> Result<(), DropCause> {
        let size = peek.bytes().len();
        if let Some((message, keys)) = self.sessions.open(&peer, packet) {
            let sender = Sender { peer, keys: Some(keys) };
            return self.handle_message(now, sender, &message, size);
        }
        if let Some((message, keys)) = self.confirm(now, peer, packet) {
            return self.handle_message(now, Sender { peer, keys }, &message, size);
        }
        self.challenge(now, peer, peek)
    }

    /// Nothing opens the packet. Its sender is asked who it is; if there is a session with it that
    /// stays, as anybody can forge the packet.
    fn challenge(&mut self, now: Instant, peer: Peer, peek: &Peek<'_>) -> Result<(), DropCause> {
        // What listens on a low port answers anything: no stranger shall aim us at it.
        if peer.endpoint.port() <= HIGHEST_REFUSED_UDP_PORT {
            return Err(DropCause::Source);
        }
        if !self.limits.stranger(now, peer.endpoint, &mut self.rng) {
            return Err(DropCause::StrangerRate);
        }
        let whoareyou = match self.challenges.get(now, &peer) {
            Some(open) => {
                count_one(&mut self.statistics.challenges_resent);
                open.whoareyou
            }
            None => {
                let enr_seq = self.known_record(peer.id).map_or(0, |record| record.seq());
                let (protocol, nonce) = (self.config.protocol, peek.nonce());
                let whoareyou = WhoAreYou::random(protocol, nonce, enr_seq, &mut self.rng);
                self.challenges.insert(now, peer, whoareyou);
                whoareyou
            }
        };
        let packet = whoareyou.encode(&Masking::new(peer.id, self.config.protocol));
        count_bytes(&mut self.statistics.bytes_from_unproven, peek.bytes().len());
        count_bytes(&mut self.statistics.bytes_to_unproven, packet.len());
        self.transmit(peer.endpoint, PacketKind::WhoAreYou, Bytes::copy_from_slice(&packet));
        Ok(())
    }

    /// Whether a handshake packet is looked at: only who was challenged may send one.
    fn admit_handshake(&mut self, now: Instant, peer: &Peer) -> Result<(), DropCause> {
        if self.challenges.get(now, peer).is_none() {
            return Err(DropCause::Unsolicited);
        }
        self.limits.handshake(now, peer.endpoint, &mut self.rng)
    }

    fn handle_handshake(
        &mut self,
        now: Instant,
        peer: Peer,
        packet: &HandshakePacket<'_>,
        peek: &Peek<'_>,
    ) -> Result<(), DropCause> {
        // Whatever comes of it, it was the only attempt.
        let open = self.challenges.take(now, &peer).ok_or(DropCause::Unsolicited)?;
        let known = self.senders_known_record(&peer, packet.record());
        let challenge = Challenge::from_whoareyou(peer.id, open.whoareyou, known);
        let Accepted { record, session, message } = challenge.accept(&self.identity, packet)?;
        count_one(&mut self.statistics.sessions_accepted);
        self.records.insert(record.clone());
        let proved = Proved { session, is_initiator: false, began: open.sent_at, proved: now };
        let keys = self.establish(now, peer, proved, Some(record));
        self.handle_message(now, Sender { peer, keys }, &message, peek.bytes().len())
    }

    /// The newest record that we have of the sender: the one that it sends, if that was verified
    /// before.
    fn senders_known_record(&self, peer: &Peer, sent: Option<&[u8]>) -> Option<Record> {
        let known = self.known_record(peer.id);
        let sent = sent.and_then(|bytes| self.verified_record(bytes));
        let sent = sent.filter(|sent| sent.id() == peer.id);
        match (sent, known) {
            (Some(sent), Some(known)) if sent.seq() < known.seq() => Some(known),
            (sent, known) => sent.or(known),
        }
    }

    /// A message came from who says so, in a packet of this size.
    fn handle_message(
        &mut self,
        now: Instant,
        sender: Sender,
        message: &Bytes,
        size: usize,
    ) -> Result<(), DropCause> {
        let message = Message::decode(message)?;
        let kind = message.kind();
        if kind.is_request() && !self.limits.session(now, &sender.peer) {
            return Err(DropCause::SessionRate);
        }
        self.statistics.count_received_message(kind, size);
        let id = message.request_id;
        match message.body {
            Body::Ping(ping) => {
                let peer = sender.peer;
                self.handle_ping(sender, id);
                self.note_ping(now, &peer, ping.enr_seq);
            }
            Body::FindNode(find_node) => self.handle_find_node(sender, id, &find_node.distances),
            Body::TalkRequest(talk) => self.handle_talk_request(now, sender, id, talk),
            Body::Pong(pong) => self.handle_pong(now, sender.peer, &id, &pong)?,
            Body::Nodes(nodes) => self.handle_nodes(now, sender.peer, &id, &nodes)?,
            Body::TalkResponse(talk) => {
                self.handle_talk_response(now, sender.peer, &id, talk.response)?;
            }
        }
        Ok(())
    }

    /// Whether we speak to this address at all.
    pub(super) fn is_allowed(&self, ip: IpAddr) -> bool {
        !matches!(classify(ip), EndpointClass::Unspecified | EndpointClass::Multicast)
            && self.config.family.is_none_or(|family| family == Family::of(ip))
            && self.config.net_restrict.as_ref().is_none_or(|list| list.contains(ip))
    }
}
