//! Packets on their way out.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use bytes::Bytes;
use devp2p_core::Family;

use super::{
    Discv4, after,
    asks::Question,
    contact::Contact,
    requests::{Purpose, Request, Sent, SentPing},
};
use crate::{
    Event, RequestError, Transmit,
    statistics::{count_bytes, count_one},
    wire::{
        Endpoint, EnrRequest, FindNode, Hash, Packet, PacketKind, Ping, Pong, Sealed, Signer,
        Target, VERSION,
    },
};

/// The datagrams that wait to be polled; the oldest are lost beyond it. More than one call makes.
const MAX_TRANSMITS: usize = 4_096;
/// The questions that are kept sealed. One for each lookup that runs, and as many again.
const MAX_SEALED: usize = 16;

/// The questions of the last second, sealed: they name no recipient, so that the same packet goes
/// to all who are asked the same, and only the first costs a signature.
#[derive(Debug, Default)]
pub(super) struct SealedQuestions(VecDeque<(Option<Target>, u64, Sealed)>);

impl SealedQuestions {
    fn find(&self, target: Option<Target>, expiration: u64) -> Option<Sealed> {
        let same = |known: &&(_, _, _)| (known.0, known.1) == (target, expiration);
        self.0.iter().find(same).map(|(.., sealed)| sealed.clone())
    }

    fn insert(&mut self, target: Option<Target>, expiration: u64, sealed: Sealed) {
        if self.0.len() >= MAX_SEALED {
            self.0.pop_front();
        }
        self.0.push_back((target, expiration, sealed));
    }
}

impl<S: Signer> Discv4<S> {
    /// Sends PING to a node, or lets one that is under way serve this purpose, too.
    pub(super) fn send_ping(
        &mut self,
        now: Instant,
        contact: Contact,
        purpose: Purpose,
    ) -> Result<(), RequestError> {
        let (id, endpoint) = (contact.id(), contact.endpoint());
        if let Some((_, ping)) = self.requests.ping_mut(id, endpoint) {
            return if ping.add(purpose) { Ok(()) } else { Err(RequestError::Busy) };
        }
        let is_ping_back = matches!(purpose, Purpose::PingBack);
        let has_room = if is_ping_back {
            self.requests.has_room_for_ping_back()
        } else {
            self.requests.has_room()
        };
        if !has_room {
            return Err(RequestError::Busy);
        }
        let packet = Packet::Ping(Ping {
            version: VERSION,
            from: self.own_endpoint(endpoint),
            to: Endpoint::new(endpoint, contact.node().tcp_port().unwrap_or(0)),
            expiration: self.expiration(now),
            enr_seq: Some(self.record.seq()),
        });
        let sealed = packet.seal(&self.signer).map_err(|_| RequestError::Busy)?;
        if is_ping_back {
            if !self.bonds.is_proven(now, id, endpoint) {
                count_bytes(&mut self.statistics.bytes_to_unproven, sealed.bytes.len());
            }
        } else if !self.bonds.is_proven(now, id, endpoint) {
            count_one(&mut self.statistics.contacts);
        }
        self.transmit(endpoint, PacketKind::Ping, sealed.bytes);
        let ping =
            SentPing { is_ping_back, purposes: vec![purpose], answered_at: None, enr_seq: None };
        let deadline = after(now, self.config.request_timeout);
        let request = Request::new(contact, Sent::Ping(ping), sealed.hash, now, deadline);
        self.requests.open(request);
        Ok(())
    }

    /// Answers a PING, and returns the bytes that it took.
    pub(super) fn send_pong(
        &mut self,
        now: Instant,
        to: SocketAddr,
        ping: &Ping,
        ping_hash: Hash,
    ) -> usize {
        let packet = Packet::Pong(Pong {
            to: Endpoint::new(to, ping.from.tcp),
            ping_hash,
            expiration: self.expiration(now),
            enr_seq: Some(self.record.seq()),
        });
        self.send(to, &packet)
    }

    /// Seals and sends a packet, and returns its size.
    pub(super) fn send(&mut self, to: SocketAddr, packet: &Packet) -> usize {
        // All that is sent here is of a size that fits.
        let Ok(sealed) = packet.seal(&self.signer) else { return 0 };
        let size = sealed.bytes.len();
        self.transmit(to, packet.kind(), sealed.bytes);
        size
    }

    /// The packet of a question.
    pub(super) fn seal_question(&mut self, now: Instant, question: Question) -> Option<Sealed> {
        let expiration = self.expiration(now);
        let (target, packet) = match question {
            Question::Enr => (None, Packet::EnrRequest(EnrRequest { expiration })),
            Question::FindNode(target) => {
                (Some(target), Packet::FindNode(FindNode { target, expiration }))
            }
        };
        if let Some(sealed) = self.sealed.find(target, expiration) {
            return Some(sealed);
        }
        let sealed = packet.seal(&self.signer).ok()?;
        self.sealed.insert(target, expiration, sealed.clone());
        Some(sealed)
    }

    pub(super) fn transmit(&mut self, to: SocketAddr, kind: PacketKind, bytes: Bytes) {
        self.statistics.count_sent(kind, bytes.len());
        if self.transmits.len() >= MAX_TRANSMITS {
            self.transmits.pop_front();
            count_one(&mut self.statistics.transmits_lost);
        }
        self.transmits.push_back(Transmit { to, bytes });
    }

    /// Tells an event. Where too many wait, the oldest is lost of those that end no command; the
    /// others are no more than there are open commands.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > self.config.max_events
            && let Some(oldest) = self.events.iter().position(|event| !event.ends_command())
        {
            self.events.remove(oldest);
            count_one(&mut self.statistics.events_lost);
        }
    }

    /// The Unix time in seconds until which a packet of now is valid.
    pub(super) fn expiration(&self, now: Instant) -> u64 {
        self.clock.unix_secs(now).saturating_add(self.config.packet_lifetime.as_secs())
    }

    /// Our endpoint as we tell it to a node there. Only the TCP port is of use to it; where we know
    /// no address it is the unspecified one, which every reader knows.
    fn own_endpoint(&self, to: SocketAddr) -> Endpoint {
        let (record, family) = (&self.record, Family::of(to.ip()));
        let (ip, udp, tcp) = match family {
            Family::V4 => {
                (record.ip().unwrap_or(Ipv4Addr::UNSPECIFIED).into(), record.udp(), record.tcp())
            }
            Family::V6 => {
                (record.ip6().unwrap_or(Ipv6Addr::UNSPECIFIED).into(), record.udp6(), record.tcp6())
            }
        };
        Endpoint { ip: Some(ip), udp: udp.unwrap_or(0), tcp: tcp.unwrap_or(0) }
    }
}
