use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use devp2p_core::Rng;

use super::Peer;
use crate::{Config, wire::WhoAreYou};

/// The places that one peer can have. Of a full set the oldest gives way.
const WAYS: usize = 4;

/// The WHOAREYOUs that may still be answered, at most one for each peer.
///
/// Anybody can have us send them, to senders that they forge: so there are only so many places,
/// which are found by a hash under a secret, and no record is kept with them.
#[derive(Debug)]
pub(super) struct Challenges {
    max: usize,
    timeout: Duration,
    secret: [u8; 16],
    /// Empty before the first.
    sets: Vec<[Option<Open>; WAYS]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    peer: Peer,
    pub(super) whoareyou: WhoAreYou,
    pub(super) sent_at: Instant,
}

impl Challenges {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        let mut secret = [0; 16];
        rng.fill(&mut secret);
        let (max, timeout) = (config.max_challenges, config.challenge_timeout);
        Self { max, timeout, secret, sets: Vec::new() }
    }

    /// What was sent to a peer and may still be answered.
    pub(super) fn get(&mut self, now: Instant, peer: &Peer) -> Option<&Open> {
        self.place(now, peer)?.as_ref()
    }

    /// The same, and it cannot be answered any more.
    pub(super) fn take(&mut self, now: Instant, peer: &Peer) -> Option<Open> {
        self.place(now, peer)?.take()
    }

    /// One was sent to a peer that has none.
    pub(super) fn insert(&mut self, now: Instant, peer: Peer, whoareyou: WhoAreYou) {
        if self.sets.is_empty() {
            self.sets = vec![[None; WAYS]; self.max.div_ceil(WAYS).max(1)];
        }
        // An empty place is older than all others.
        let oldest = |place: &&mut Option<Open>| place.as_ref().map(|open| open.sent_at);
        let place = self.set(&peer).and_then(|set| set.iter_mut().min_by_key(oldest));
        if let Some(place) = place {
            *place = Some(Open { peer, whoareyou, sent_at: now });
        }
    }

    fn place(&mut self, now: Instant, peer: &Peer) -> Option<&mut Option<Open>> {
        let timeout = self.timeout;
        let is_open = |open: &Open| {
            open.peer == *peer && now.saturating_duration_since(open.sent_at) < timeout
        };
        self.set(peer)?.iter_mut().find(|place| place.as_ref().is_some_and(is_open))
    }

    fn set(&mut self, peer: &Peer) -> Option<&mut [Option<Open>; WAYS]> {
        // SipHash with the secret as its first block: nobody without it can aim at a set.
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.secret);
        peer.hash(&mut hasher);
        let sets = u64::try_from(self.sets.len()).ok()?;
        let index = usize::try_from(hasher.finish().checked_rem(sets)?).ok()?;
        self.sets.get_mut(index)
    }
}
