use std::fmt;

use crate::{
    handshake::HandshakeError,
    message::{MessageError, MessageKind},
    wire::{PacketError, PacketKind},
};

/// What a [`Discv5`](crate::Discv5) has counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    received: [Count; MessageKind::ALL.len()],
    sent: [Count; MessageKind::ALL.len()],
    received_packets: [Count; PacketKind::ALL.len()],
    sent_packets: [Count; PacketKind::ALL.len()],
    dropped: [u64; DropCause::ALL.len()],
    /// The bytes of packets whose senders had not proved who they are, or where.
    pub bytes_from_unproven: u64,
    /// The bytes that we sent in answer to those.
    pub bytes_to_unproven: u64,
    /// The handshakes that were completed: sessions that we began.
    pub sessions_initiated: u64,
    /// The same: sessions that others began.
    pub sessions_accepted: u64,
    /// The sessions that had to make room for others.
    pub sessions_evicted: u64,
    /// The WHOAREYOUs that were sent again, the same as before.
    pub challenges_resent: u64,
    /// The nodes in NODES that were not taken: too many, the same twice, not at a distance that was
    /// asked for, with bad records, or where the sender cannot know them or we may not speak to.
    pub nodes_refused: u64,
    /// The TALKREQs that were answered with nothing: too many, of no known protocol, or too late.
    pub talks_unanswered: u64,
    /// The requests that were not sent, as their nodes are known only from others, and another was
    /// sent to the address a moment before.
    pub hearsay_held: u64,
    /// The answers to requests of ours that came in time.
    pub answers: u64,
    /// The requests of ours that nobody answered.
    pub timeouts: u64,
    /// The events that nobody polled in time, and are lost.
    pub events_lost: u64,
    /// The datagrams that nobody polled in time, and were not sent.
    pub transmits_lost: u64,
}

/// Messages or packets of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub packets: u64,
    /// Their size, without the headers of UDP and IP.
    pub bytes: u64,
}

impl Statistics {
    /// The messages of a type that came in and were not [dropped](Self::dropped), with the size of
    /// their packets.
    pub fn received(&self, kind: MessageKind) -> Count {
        self.received.get(message_index(kind)).copied().unwrap_or_default()
    }

    /// The messages of a type that were sent, with the size of their packets.
    pub fn sent(&self, kind: MessageKind) -> Count {
        self.sent.get(message_index(kind)).copied().unwrap_or_default()
    }

    /// The packets of a kind that came in and were not [dropped](Self::dropped).
    pub fn received_packets(&self, kind: PacketKind) -> Count {
        self.received_packets.get(packet_index(kind)).copied().unwrap_or_default()
    }

    /// The packets of a kind that were sent.
    pub fn sent_packets(&self, kind: PacketKind) -> Count {
        self.sent_packets.get(packet_index(kind)).copied().unwrap_or_default()
    }

    /// The datagrams that were dropped for this cause.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        self.dropped.get(cause.index()).copied().unwrap_or_default()
    }

    /// The datagrams that were dropped.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(crate) fn count_received(&mut self, kind: PacketKind, bytes: usize) {
        if let Some(count) = self.received_packets.get_mut(packet_index(kind)) {
            count.add(bytes);
        }
    }

    pub(crate) fn count_received_message(&mut self, kind: MessageKind, bytes: usize) {
        if let Some(count) = self.received.get_mut(message_index(kind)) {
            count.add(bytes);
        }
    }

    pub(crate) fn count_sent(&mut self, kind: PacketKind, bytes: usize) {
        if let Some(count) = self.sent_packets.get_mut(packet_index(kind)) {
            count.add(bytes);
        }
    }

    pub(crate) fn count_sent_message(&mut self, kind: MessageKind, bytes: usize) {
        if let Some(count) = self.sent.get_mut(message_index(kind)) {
            count.add(bytes);
        }
    }

    pub(crate) fn count_dropped(&mut self, cause: DropCause) {
        if let Some(count) = self.dropped.get_mut(cause.index()) {
            count_one(count);
        }
    }
}

impl Count {
    fn add(&mut self, bytes: usize) {
        count_one(&mut self.packets);
        count_bytes(&mut self.bytes, bytes);
    }
}

pub(crate) const fn count_one(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

pub(crate) fn count_bytes(counter: &mut u64, bytes: usize) {
    *counter = counter.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
}

fn message_index(kind: MessageKind) -> usize {
    usize::from(kind.code()).saturating_sub(1)
}

fn packet_index(kind: PacketKind) -> usize {
    usize::from(kind.flag())
}

/// Why a datagram was dropped. In the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// Too small or too large.
    Size,
    /// Of another protocol, or to another node.
    ProtocolId,
    /// Of another version.
    Version,
    /// A flag, or sizes, that no packet has.
    Header,
    /// From outside of the networks that we are restricted to, or from where no node can be.
    Source,
    /// Our own id.
    OwnId,
    /// WHOAREYOU, a handshake or an answer that nothing was sent for, or not there.
    Unsolicited,
    /// Too many packets that cannot be opened, from those in its prefix.
    StrangerRate,
    /// Too many handshakes, of all.
    HandshakeRate,
    /// A handshake without the record that it needs, or with a bad, an old or another node's one.
    BadRecord,
    /// A handshake whose signature, key or message is bad.
    Handshake,
    /// The data of a message is not what its type demands, or no message has the type.
    Data,
    /// A request id of more than 8 bytes.
    RequestId,
    /// Too many requests in a session, or in the sessions of its prefix.
    SessionRate,
}

impl DropCause {
    /// All causes, in the order of the checks.
    pub const ALL: &'static [Self] = &[
        Self::Size,
        Self::ProtocolId,
        Self::Version,
        Self::Header,
        Self::Source,
        Self::OwnId,
        Self::Unsolicited,
        Self::StrangerRate,
        Self::HandshakeRate,
        Self::BadRecord,
        Self::Handshake,
        Self::Data,
        Self::RequestId,
        Self::SessionRate,
    ];

    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::ProtocolId => "protocol id",
            Self::Version => "version",
            Self::Header => "header",
            Self::Source => "source",
            Self::OwnId => "own id",
            Self::Unsolicited => "unsolicited",
            Self::StrangerRate => "rate of strangers",
            Self::HandshakeRate => "rate of handshakes",
            Self::BadRecord => "bad record",
            Self::Handshake => "handshake",
            Self::Data => "data",
            Self::RequestId => "request id",
            Self::SessionRate => "rate of a session",
        })
    }
}

impl From<PacketError> for DropCause {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::AuthdataSize(..)
            | PacketError::AuthdataSizes(..)
            | PacketError::Flag(_)
            | PacketError::MessageSize(_) => Self::Header,
            PacketError::ProtocolId => Self::ProtocolId,
            PacketError::Size(_) => Self::Size,
            PacketError::Version(_) => Self::Version,
        }
    }
}

impl From<HandshakeError> for DropCause {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::NoRecord
            | HandshakeError::OldRecord { .. }
            | HandshakeError::Record(_)
            | HandshakeError::RecordId(_) => Self::BadRecord,
            HandshakeError::EphemeralKey
            | HandshakeError::IdSignature
            | HandshakeError::Message
            | HandshakeError::SrcId(_) => Self::Handshake,
        }
    }
}

impl From<MessageError> for DropCause {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::RequestId(_) => Self::RequestId,
            MessageError::Data(_) | MessageError::Empty | MessageError::UnknownKind(_) => {
                Self::Data
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_and_every_type_is_counted_apart() {
        let mut statistics = Statistics::default();
        for (at, &cause) in DropCause::ALL.iter().enumerate() {
            assert_eq!(cause.index(), at);
            statistics.count_dropped(cause);
            assert_eq!(statistics.dropped(cause), 1, "{cause}");
        }
        assert_eq!(statistics.dropped_total(), 14);
        for &kind in MessageKind::ALL {
            statistics.count_sent_message(kind, 100);
            statistics.count_received_message(kind, 7);
            assert_eq!(statistics.sent(kind), Count { packets: 1, bytes: 100 }, "{kind}");
            assert_eq!(statistics.received(kind), Count { packets: 1, bytes: 7 }, "{kind}");
        }
        for &kind in PacketKind::ALL {
            statistics.count_sent(kind, 100);
            statistics.count_received(kind, 7);
            assert_eq!(statistics.sent_packets(kind), Count { packets: 1, bytes: 100 }, "{kind}");
            assert_eq!(statistics.received_packets(kind), Count { packets: 1, bytes: 7 }, "{kind}");
        }
    }
}
