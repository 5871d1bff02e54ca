use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use bytes::Bytes;
use devp2p_core::{NodeId, Rng};

use super::Peer;
use crate::{
    session::Session,
    statistics::count_one,
    wire::{EncodeError, Masking, Nonce, OrdinaryPacket},
};

/// The part of all sessions that is for strangers at least, one in so many: whoever asks us
/// something is to be answered, too, however many we ask ourselves.
const STRANGERS_PART: usize = 4;

/// How much it would be missed. What is of more use never gives way to what is of less, but for the
/// strangers' part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Of a node that came to us.
    Stranger,
    /// Of a node that we went to.
    Contacted,
    /// Of a verified node of the table.
    Table,
}

/// Names the keys of one handshake, so that an answer is sealed with those that opened the question:
/// whatever else the other side may have lost, it has these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeysId(u64);

/// Keys that both sides have, as far as we can tell.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) session: Session,
    /// Whether the handshake packet was ours.
    pub(super) is_initiator: bool,
    /// When that was sent, or the WHOAREYOU before it where the packet was theirs.
    pub(super) began: Instant,
    /// When we knew that the other side has them.
    pub(super) proved: Instant,
}

/// The sessions, by node and endpoint.
#[derive(Debug)]
pub(super) struct Sessions {
    own: NodeId,
    max: usize,
    entries: BTreeMap<Peer, Entry>,
    /// By the time of use, for each rank. Those times may be too early: they are put right when an
    /// entry comes to the front, so that a message does not move it.
    orders: [BTreeSet<(u64, Peer)>; 3],
    /// Counts uses.
    clock: u64,
    evicted: u64,
}

/// What is shared with one peer.
#[derive(Debug)]
struct Entry {
    current: Keys,
    /// Those before. What is on its way may be sealed with them, and of two handshakes that crossed
    /// the other side may use the other.
    previous: Option<Keys>,
    masking: Masking,
    rank: Rank,
    /// Where it is in the order of its rank.
    place: u64,
    used: u64,
}

#[derive(Debug)]
struct Keys {
    id: KeysId,
    proved: Proved,
}

impl Sessions {
    pub(super) fn new(own: NodeId, max: usize) -> Self {
        Self {
            own,
            max: max.max(1),
            entries: BTreeMap::new(),
            orders: Default::default(),
            clock: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many had to make room for others.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn contains(&self, peer: &Peer) -> bool {
        self.entries.contains_key(peer)
    }

    /// The message of a packet, and the keys that opened it. If none do, that changes nothing.
    pub(super) fn open(
        &mut self,
        peer: &Peer,
        packet: &OrdinaryPacket<'_>,
    ) -> Option<(Bytes, KeysId)> {
        let entry = self.entries.get_mut(peer)?;
        let (current, previous) = (&entry.current, entry.previous.as_ref());
        let opened =
            current.open(packet).or_else(|| previous.and_then(|keys| keys.open(packet)))?;
        self.clock = self.clock.wrapping_add(1);
        entry.used = self.clock;
        Some(opened)
    }

    /// Seals a message to a peer, with these keys if they are named and still there; `None` where
    /// there is no session with it.
    pub(super) fn seal(
        &mut self,
        peer: &Peer,
        keys: Option<KeysId>,
        message: &[u8],
        rng: &mut Rng,
    ) -> Option<Result<(Nonce, Bytes), EncodeError>> {
        let entry = self.entries.get_mut(peer)?;
        self.clock = self.clock.wrapping_add(1);
        entry.used = self.clock;
        let previous = entry.previous.as_mut().filter(|previous| Some(previous.id) == keys);
        let session = &mut previous.unwrap_or(&mut entry.current).proved.session;
        let sealed = session.seal_numbered(&entry.masking, self.own, message, rng);
        if sealed == Err(EncodeError::KeyUsedUp) {
            self.remove(peer);
        }
        Some(sealed)
    }

    /// Takes up keys that have proved themselves, and names them. Nothing where there is no room
    /// for one of this rank.
    pub(super) fn insert(
        &mut self,
        peer: Peer,
        proved: Proved,
        rank: Rank,
        masking: impl FnOnce() -> Masking,
    ) -> Option<KeysId> {
        self.clock = self.clock.wrapping_add(1);
        let (clock, id) = (self.clock, KeysId(self.clock));
        let keys = Keys { id, proved };
        let is_smaller = self.own < peer.id;
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.take_up(keys, is_smaller);
            entry.used = clock;
            let rank = rank.max(entry.rank);
            self.set_rank(&peer, rank);
            return Some(id);
        }
        if !self.make_room(rank) {
            return None;
        }
        let (masking, place, used) = (masking(), clock, clock);
        let entry = Entry { current: keys, previous: None, masking, rank, place, used };
        self.entries.insert(peer, entry);
        self.order(rank).insert((place, peer));
        Some(id)
    }

    /// A session is of another use now.
    pub(super) fn set_rank(&mut self, peer: &Peer, rank: Rank) {
        let Some(entry) = self.entries.get_mut(peer).filter(|entry| entry.rank != rank) else {
            return;
        };
        let (old_rank, old_place) = (entry.rank, entry.place);
        (entry.rank, entry.place) = (rank, entry.used);
        let place = entry.place;
        self.order(old_rank).remove(&(old_place, *peer));
        self.order(rank).insert((place, *peer));
    }

    fn remove(&mut self, peer: &Peer) {
        if let Some(entry) = self.entries.remove(peer) {
            self.order(entry.rank).remove(&(entry.place, *peer));
        }
    }

    /// Removes what is missed least, if there is no room; false where nothing may give way.
    fn make_room(&mut self, newcomer: Rank) -> bool {
        if self.entries.len() < self.max {
            return true;
        }
        let is_stranger = newcomer == Rank::Stranger;
        let strangers = self.order(Rank::Stranger).len().saturating_add(usize::from(is_stranger));
        let part = self.max.checked_div(STRANGERS_PART).unwrap_or(0).max(1);
        let turn = if strangers > part {
            [Rank::Stranger, Rank::Contacted]
        } else {
            [Rank::Contacted, Rank::Stranger]
        };
        let last = (newcomer == Rank::Table).then_some(Rank::Table);
        let Some(oldest) = turn.into_iter().chain(last).find_map(|rank| self.oldest(rank)) else {
            return false;
        };
        self.remove(&oldest);
        count_one(&mut self.evicted);
        true
    }

    /// The one of a rank that was not used for the longest time.
    fn oldest(&mut self, rank: Rank) -> Option<Peer> {
        loop {
            let (place, peer) = self.order(rank).pop_first()?;
            let Some(entry) = self.entries.get_mut(&peer) else { continue };
            entry.place = entry.used;
            let used = entry.used;
            self.order(rank).insert((used, peer));
            if used == place {
                return Some(peer);
            }
        }
    }

    const fn order(&mut self, rank: Rank) -> &mut BTreeSet<(u64, Peer)> {
        let [strangers, contacted, table] = &mut self.orders;
        match rank {
            Rank::Stranger => strangers,
            Rank::Contacted => contacted,
            Rank::Table => table,
        }
    }
}

impl Entry {
    /// Seals with the new keys from now on, unless two handshakes crossed: each began before the
    /// other was complete. Then both sides see two, in any order, and settle on that of the node
    /// with the smaller id.
    fn take_up(&mut self, new: Keys, ours_wins: bool) {
        let (this, other) = (&new.proved, &self.current.proved);
        let have_crossed = this.is_initiator != other.is_initiator && this.began <= other.proved;
        let loses = have_crossed && this.is_initiator != ours_wins;
        let previous = if loses { new } else { std::mem::replace(&mut self.current, new) };
        self.previous = Some(previous);
    }
}

impl Keys {
    fn open(&self, packet: &OrdinaryPacket<'_>) -> Option<(Bytes, KeysId)> {
        self.proved.session.open(packet).map(|message| (message, self.id))
    }
}
