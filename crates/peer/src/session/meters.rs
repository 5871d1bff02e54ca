use crate::{Capability, SharedCapability};

/// Messages, and the bytes of their payloads, uncompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageCount {
    /// How many.
    pub messages: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

impl MessageCount {
    /// So many messages, with so many bytes together.
    pub const fn new(messages: u64, bytes: u64) -> Self {
        Self { messages, bytes }
    }

    fn add(&mut self, size: usize) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What moved, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meter {
    /// From the remote, whether or not the subprotocol has taken it.
    pub received: MessageCount,
    /// To the remote, once it was handed to the connection.
    pub sent: MessageCount,
}

impl Meter {
    /// A meter that stands at these counts.
    pub const fn new(received: MessageCount, sent: MessageCount) -> Self {
        Self { received, sent }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { received: self.received.plus(other.received), sent: self.sent.plus(other.sent) }
    }
}

/// What moved between a peer and us in one capability, and what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapabilityMeters {
    /// The capability.
    pub capability: Capability,
    /// What moved, by message id from 0 on, up to [`MAX_IDS`](CapabilityMeters::MAX_IDS).
    pub by_id: Vec<Meter>,
    /// What moved with higher ids.
    pub beyond: Meter,
    /// What arrived and waits for the subprotocol.
    pub waiting_inbound: MessageCount,
    /// What the subprotocol sent and waits for the connection.
    pub waiting_outbound: MessageCount,
}

impl CapabilityMeters {
    /// How many ids of a capability have a meter of their own. A capability may have as many ids as
    /// a number of 64 bits holds; those in use have less than 32 (eth has 18), and the meters of a
    /// capability take 2 KiB of each peer at most.
    pub const MAX_IDS: usize = 64;

    /// Meters that stand at zero.
    pub fn new(capability: Capability) -> Self {
        let (by_id, beyond, none) = (Vec::new(), Meter::default(), MessageCount::default());
        Self { capability, by_id, beyond, waiting_inbound: none, waiting_outbound: none }
    }

    /// What moved, all ids together.
    pub fn total(&self) -> Meter {
        self.by_id.iter().copied().fold(self.beyond, Meter::plus)
    }
}

/// The meters of one capability of a running session.
#[derive(Debug)]
pub(super) struct Meters {
    by_id: Vec<Meter>,
    beyond: Meter,
}

impl Meters {
    pub(super) fn new(shared: &SharedCapability) -> Self {
        let ids = usize::try_from(shared.length).unwrap_or(usize::MAX);
        let by_id = vec![Meter::default(); ids.min(CapabilityMeters::MAX_IDS)];
        Self { by_id, beyond: Meter::default() }
    }

    fn of(&mut self, id: u64) -> &mut Meter {
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        self.by_id.get_mut(index).unwrap_or(&mut self.beyond)
    }

    pub(super) fn count_received(&mut self, id: u64, size: usize) {
        self.of(id).received.add(size);
    }

    pub(super) fn count_sent(&mut self, id: u64, size: usize) {
        self.of(id).sent.add(size);
    }

    /// A picture of them.
    pub(super) fn read(
        &self,
        capability: Capability,
        waiting_inbound: (usize, usize),
        waiting_outbound: (usize, usize),
    ) -> CapabilityMeters {
        let count = |(messages, bytes): (usize, usize)| {
            let wide = |count| u64::try_from(count).unwrap_or(u64::MAX);
            MessageCount::new(wide(messages), wide(bytes))
        };
        CapabilityMeters {
            capability,
            by_id: self.by_id.clone(),
            beyond: self.beyond,
            waiting_inbound: count(waiting_inbound),
            waiting_outbound: count(waiting_outbound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share_capabilities;

    fn meters(length: u64) -> (Meters, Capability) {
        let capability = Capability::new("test", 1);
        let own = [(capability.clone(), length)];
        let shared = share_capabilities(&own, std::slice::from_ref(&capability));
        (Meters::new(&shared[0]), capability)
    }

    #[test]
    fn every_id_has_its_meter_and_those_beyond_share_one() {
        let (mut meters, capability) = meters(u64::MAX - 16);
        for id in [0, 63, 63, 64, u64::MAX] {
            meters.count_received(id, 10);
        }
        meters.count_sent(63, 1);
        let read = meters.read(capability, (1, 2), (3, 4));
        assert_eq!(read.by_id.len(), CapabilityMeters::MAX_IDS);
        assert_eq!(read.by_id[0].received, MessageCount::new(1, 10));
        assert_eq!(read.by_id[63], Meter::new(MessageCount::new(2, 20), MessageCount::new(1, 1)));
        assert_eq!(read.beyond.received, MessageCount::new(2, 20));
        assert_eq!(read.total(), Meter::new(MessageCount::new(5, 50), MessageCount::new(1, 1)));
        assert_eq!(read.waiting_inbound, MessageCount::new(1, 2));
        assert_eq!(read.waiting_outbound, MessageCount::new(3, 4));
    }

    #[test]
    fn a_small_capability_has_few() {
        let (meters, capability) = meters(3);
        assert_eq!(meters.read(capability, (0, 0), (0, 0)).by_id.len(), 3);
    }
}
