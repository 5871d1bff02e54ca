use std::fmt;

use crate::wire::PacketKind;

/// What a [`Discv4`](crate::Discv4) has counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    received: [Count; PacketKind::ALL.len()],
    sent: [Count; PacketKind::ALL.len()],
    dropped: [u64; DropCause::ALL.len()],
    /// The bytes of PINGs whose senders had not proved their endpoint.
    pub bytes_from_unproven: u64,
    /// The bytes that we sent in answer to those.
    pub bytes_to_unproven: u64,
    /// The nodes that had not proved their endpoint and that we spoke to of our own accord.
    pub contacts: u64,
    /// The PINGs to nodes known only from others that were not sent, because one had gone to that
    /// address a moment before.
    pub hearsay_held: u64,
    /// The PINGs in answer to PINGs that were not sent, because there were too many.
    pub ping_backs_held: u64,
    /// The nodes in NEIGHBORS that were not taken: too many, or with addresses that their senders
    /// cannot know, or outside of our networks, or our own.
    pub neighbors_refused: u64,
    /// The answers to requests of ours that came in time.
    pub answers: u64,
    /// The requests of ours that nobody answered.
    pub timeouts: u64,
    /// The events that nobody polled in time, and are lost.
    pub events_lost: u64,
    /// The datagrams that nobody polled in time, and were not sent.
    pub transmits_lost: u64,
}

/// Packets of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub packets: u64,
    /// Their size, without the headers of UDP and IP.
    pub bytes: u64,
}

impl Statistics {
    /// The packets of a type that came in and were not [dropped](Self::dropped).
    pub fn received(&self, kind: PacketKind) -> Count {
        self.received.get(index(kind)).copied().unwrap_or_default()
    }

    /// The packets of a type that were sent.
    pub fn sent(&self, kind: PacketKind) -> Count {
        self.sent.get(index(kind)).copied().unwrap_or_default()
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
        if let Some(count) = self.received.get_mut(index(kind)) {
            count.add(bytes);
        }
    }

    pub(crate) fn count_sent(&mut self, kind: PacketKind, bytes: usize) {
        if let Some(count) = self.sent.get_mut(index(kind)) {
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
        self.packets = self.packets.saturating_add(1);
        count_bytes(&mut self.bytes, bytes);
    }
}

pub(crate) const fn count_one(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

pub(crate) fn count_bytes(counter: &mut u64, bytes: usize) {
    *counter = counter.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
}

fn index(kind: PacketKind) -> usize {
    usize::from(kind.code()).saturating_sub(1)
}

/// Why a datagram was dropped. In the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// Too small or too large.
    Size,
    /// A type that no packet has.
    UnknownKind,
    /// The hash is not that of the rest.
    Hash,
    /// From outside of the networks that we are restricted to, or from where no node can be.
    Source,
    /// An answer without a question, or to another one.
    Unsolicited,
    /// The data is not what its type demands.
    Data,
    /// Its time is over: it is old, or one of the two clocks is wrong.
    Expired,
    /// Too many answers to one question.
    Surplus,
    /// Too many packets from an endpoint that is proved, or from those in its prefix, or from all.
    BondedRate,
    /// Too many packets from those in its prefix who have not proved their endpoint, or from all of
    /// them.
    StrangerRate,
    /// Nobody can have made the signature.
    Signature,
    /// An answer to a question that another node was asked.
    WrongSigner,
    /// Our own key made the signature.
    OwnId,
    /// FINDNODE or ENRREQUEST from an endpoint that is not proved.
    Unproven,
    /// ENRRESPONSE without a valid record of the node, or with an older one than is known.
    BadRecord,
}

impl DropCause {
    /// All causes, in the order of the checks.
    pub const ALL: &'static [Self] = &[
        Self::Size,
        Self::UnknownKind,
        Self::Hash,
        Self::Source,
        Self::Unsolicited,
        Self::Data,
        Self::Expired,
        Self::Surplus,
        Self::BondedRate,
        Self::StrangerRate,
        Self::Signature,
        Self::WrongSigner,
        Self::OwnId,
        Self::Unproven,
        Self::BadRecord,
    ];

    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::UnknownKind => "unknown type",
            Self::Hash => "hash",
            Self::Source => "source",
            Self::Unsolicited => "unsolicited",
            Self::Data => "data",
            Self::Expired => "expired",
            Self::Surplus => "surplus",
            Self::BondedRate => "rate of a proven endpoint",
            Self::StrangerRate => "rate of strangers",
            Self::Signature => "signature",
            Self::WrongSigner => "wrong signer",
            Self::OwnId => "own id",
            Self::Unproven => "unproven endpoint",
            Self::BadRecord => "bad record",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_and_every_type_is_counted_apart() {
        let mut statistics = Statistics::default();
        // Whoever uses these does not depend on their number.
        let (causes, kinds): (&[DropCause], &[PacketKind]) = (DropCause::ALL, PacketKind::ALL);
        for (at, cause) in causes.iter().copied().enumerate() {
            assert_eq!(cause.index(), at);
            statistics.count_dropped(cause);
            assert_eq!(statistics.dropped(cause), 1, "{cause}");
        }
        assert_eq!(statistics.dropped_total(), 15);
        for &kind in kinds {
            statistics.count_sent(kind, 100);
            statistics.count_received(kind, 7);
            assert_eq!(statistics.sent(kind), Count { packets: 1, bytes: 100 }, "{kind}");
            assert_eq!(statistics.received(kind), Count { packets: 1, bytes: 7 }, "{kind}");
        }
    }
}
