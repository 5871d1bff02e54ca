/// What became of all that was sent in a world.
///
/// `sent + duplicated == delivered + lost.total() + in_flight`, where what is in flight is
/// [`World::in_flight`](crate::World::in_flight).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// What hosts sent.
    pub sent: u64,
    /// The copies that links made.
    pub duplicated: u64,
    /// What came.
    pub delivered: u64,
    /// What did not.
    pub lost: Lost,
    /// The payload that hosts sent, in bytes.
    pub bytes_sent: u64,
    /// The payload that came, in bytes.
    pub bytes_delivered: u64,
}

/// Why messages did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// [`Link::loss`](crate::Link::loss).
    pub link: u64,
    /// [`Link::mtu`](crate::Link::mtu).
    pub mtu: u64,
    /// There was no mapping, or it is not for this sender, or no port was free.
    pub nat: u64,
    /// The hosts are in different parts of a partition.
    pub partition: u64,
    /// The host crashed and was not back when the message was sent.
    pub down: u64,
    /// No host has the address, or the sender has none of its family.
    pub nobody: u64,
    /// There was [too much](crate::MAX_IN_FLIGHT) in flight.
    pub overflow: u64,
    /// Segments of a [broken stream](crate::Class::Segment).
    pub broken: u64,
    /// Segments from an address that is not the sender's.
    pub spoofed: u64,
}

impl Lost {
    /// All together.
    pub const fn total(&self) -> u64 {
        let Self { link, mtu, nat, partition, down, nobody, overflow, broken, spoofed } = *self;
        link + mtu + nat + partition + down + nobody + overflow + broken + spoofed
    }

    pub(crate) const fn count(&mut self, cause: Cause) {
        let counter = match cause {
            Cause::Link => &mut self.link,
            Cause::Mtu => &mut self.mtu,
            Cause::Nat => &mut self.nat,
            Cause::Partition => &mut self.partition,
            Cause::Down => &mut self.down,
            Cause::Nobody => &mut self.nobody,
            Cause::Overflow => &mut self.overflow,
            Cause::Broken => &mut self.broken,
            Cause::Spoofed => &mut self.spoofed,
        };
        *counter += 1;
    }
}

/// The fields of [`Lost`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    Link,
    Mtu,
    Nat,
    Partition,
    Down,
    Nobody,
    Overflow,
    Broken,
    Spoofed,
}

/// What one host sent, delivered or not, and what it received. Bytes are those of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages that it sent.
    pub sent: u64,
    /// Messages that came to it.
    pub received: u64,
    /// Bytes that it sent.
    pub bytes_sent: u64,
    /// Bytes that came to it.
    pub bytes_received: u64,
}
