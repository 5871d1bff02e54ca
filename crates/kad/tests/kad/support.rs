//! Nodes to test with.

use std::time::{Duration, Instant};

use devp2p_kad::{Change, Check, Config, Contact, Distance, Group, Id, Place, Table};

pub(crate) const OWN: Id = Id::new([0x5a; 32]);

/// A node's value: where it is reached, and in which group it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) endpoint: u32,
    pub(crate) group: Option<u8>,
}

impl Contact for Peer {
    fn group(&self) -> Option<Group> {
        self.group.map(|group| Group::new(group.into()))
    }

    fn same_endpoint(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint
    }
}

/// A node in a group.
pub(crate) fn peer(endpoint: u32, group: u8) -> Peer {
    Peer { endpoint, group: Some(group) }
}

/// A node without a group, which no limit applies to.
pub(crate) fn free(endpoint: u32) -> Peer {
    Peer { endpoint, group: None }
}

/// The `number`th id at a logarithmic distance of more than 32 from ours.
pub(crate) fn id(distance: u16, number: u32) -> Id {
    let bit = 256 - usize::from(distance);
    let mut bytes = [0; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    bytes[bit / 8] |= 0x80 >> (bit % 8);
    OWN.at(&Distance::new(bytes))
}

/// A simple generator (splitmix64), as good a source as any for tests.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn id(&mut self) -> Id {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes());
        }
        Id::new(bytes)
    }
}

/// A table with its clock and randomness.
pub(crate) struct World {
    pub(crate) table: Table<Peer>,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) random: Random,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let now = Instant::now();
        Self { table: Table::new(config, OWN), start: now, now, random: Random(1) }
    }

    pub(crate) fn add(&mut self, id: Id, peer: Peer) -> Place {
        self.table.add(self.now, id, peer).unwrap()
    }

    pub(crate) fn verified(&mut self, id: Id, peer: Peer) -> Place {
        self.table.verified(self.now, id, peer).unwrap()
    }

    /// The checks that are due now.
    pub(crate) fn due(&mut self) -> Vec<Check<Peer>> {
        let (table, random, now) = (&mut self.table, &mut self.random, self.now);
        std::iter::from_fn(|| table.poll_check(now, random.next())).collect()
    }

    /// Goes on to the next check, which there must be.
    pub(crate) fn next_check(&mut self) -> Check<Peer> {
        loop {
            self.now = self.now.max(self.table.poll_timeout().expect("something to check"));
            if let Some(check) = self.table.poll_check(self.now, self.random.next()) {
                return check;
            }
        }
    }

    /// Goes on for a while, in which the nodes answer their checks or not. Returns who was checked,
    /// and when.
    pub(crate) fn run(
        &mut self,
        time: Duration,
        mut alive: impl FnMut(Id, &Peer) -> bool,
    ) -> Vec<(Duration, Id)> {
        let end = self.now + time;
        let mut checked = Vec::new();
        while let Some(at) = self.table.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for check in self.due() {
                checked.push((self.now - self.start, check.id()));
                if alive(check.id(), check.value()) {
                    self.table.check_passed(self.now, check);
                } else {
                    self.table.check_failed(self.now, check);
                }
            }
        }
        self.now = end;
        checked
    }

    pub(crate) fn changes(&mut self) -> Vec<Change<Peer>> {
        std::iter::from_fn(|| self.table.poll_change()).collect()
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
