use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::{Duration, Instant},
};

use crate::Rng;

/// How much a [`RateLimiter`] allows each key: one event an `interval` in the long run, and
/// `burst` of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The mean time between two events. Zero allows everything.
    pub interval: Duration,
    /// How many events a key that was quiet may have at once; 0 counts as 1.
    pub burst: u32,
}

impl Rate {
    /// So many events a second, and as many at once. 0 a second is read as one a second.
    pub fn per_second(events: u32) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        Self { interval: SECOND.checked_div(events).unwrap_or(SECOND), burst: events }
    }
}

/// Token buckets by key, on a table whose size never changes.
///
/// The keys are those of strangers, so the table must neither grow with them nor let them choose
/// whom they push out: places are found by a hash under a secret. Where a set is full, the bucket
/// that lost least makes room, which among equals is the one that was used longest ago, and the
/// newcomer starts with what that one had lost, except for one token:
///
/// - An unknown key has its first event, however full the table is. Strangers cannot lock out
///   each other, not even where the burst is 1.
/// - A flood of keys does not give a drained bucket its burst back. It has to push the bucket out
///   first, behind all others of its set, and that yields one token.
///
/// A place costs a flood one allowed event, and a refused event takes none. So a caller with
/// several limits asks them with [`would_allow`](Self::would_allow) first and takes from a finer
/// one only what a coarser one lets through: then one network fills the fine table no faster than
/// the coarse limit lets it. Time is an argument.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    secret: [u8; 16],
    sets: Vec<[Bucket; WAYS]>,
}

/// How many keys share one set. With four, a flood of random keys drives out a drained bucket
/// only after it filled the set with buckets that are drained as far.
const WAYS: usize = 4;

/// A bucket as the generic cell rate algorithm keeps it: when it will be full again.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tag: u64,
    full_at: Option<Instant>,
}

impl RateLimiter {
    /// Buckets of this rate for about `keys` keys, in 32 bytes each; `rng` gives the hash its
    /// secret.
    pub fn new(rate: Rate, keys: usize, rng: &mut Rng) -> Self {
        let mut secret = [0; 16];
        rng.fill(&mut secret);
        let sets = keys.div_ceil(WAYS).max(1);
        Self { rate, secret, sets: vec![[Bucket::default(); WAYS]; sets] }
    }

    /// Takes a token of `key`'s bucket; false where it is empty.
    pub fn allow(&mut self, now: Instant, key: &impl Hash) -> bool {
        let tag = self.tag(key);
        let Some((place, full_at)) = self.take(now, tag) else { return false };
        let bucket = self.set_index(tag).and_then(|index| self.sets.get_mut(index)?.get_mut(place));
        if let Some(bucket) = bucket {
            *bucket = Bucket { tag, full_at: Some(full_at) };
        }
        true
    }

    /// What [`allow`](Self::allow) would answer; takes nothing, neither a token nor a place.
    pub fn would_allow(&self, now: Instant, key: &impl Hash) -> bool {
        self.take(now, self.tag(key)).is_some()
    }

    /// The place in its set where `tag` has its bucket or may put it, and when that bucket is full
    /// again after one token was taken; nothing where it has none.
    fn take(&self, now: Instant, tag: u64) -> Option<(usize, Instant)> {
        let Rate { interval, burst } = self.rate;
        let set = self.sets.get(self.set_index(tag)?)?;
        let known = |bucket: &&Bucket| bucket.tag == tag && bucket.full_at.is_some();
        let (place, lost) = match set.iter().enumerate().find(|(_, bucket)| known(bucket)) {
            Some((place, bucket)) => (place, bucket.lost(now)),
            None => {
                let places = set.iter().enumerate();
                let (place, bucket) = places.min_by_key(|(_, bucket)| bucket.full_at)?;
                let all_but_one = interval.saturating_mul(burst.saturating_sub(1));
                (place, bucket.lost(now).min(all_but_one))
            }
        };
        let lost = lost.saturating_add(interval);
        let capacity = interval.saturating_mul(burst.max(1));
        // An interval beyond the clock's range cannot be kept, and limits nothing.
        (lost <= capacity).then(|| (place, now.checked_add(lost).unwrap_or(now)))
    }

    fn set_index(&self, tag: u64) -> Option<usize> {
        let sets = u64::try_from(self.sets.len()).ok()?;
        usize::try_from(tag.checked_rem(sets)?).ok()
    }

    fn tag(&self, key: &impl Hash) -> u64 {
        // SipHash with the secret as its first block: nobody without it can aim at a set.
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.secret);
        key.hash(&mut hasher);
        hasher.finish()
    }
}

impl Bucket {
    /// How long it takes to be full again.
    fn lost(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(interval: Duration, burst: u32, keys: usize) -> RateLimiter {
        RateLimiter::new(Rate { interval, burst }, keys, &mut Rng::from_seed([3; 32]))
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        Instant::now()
    }

    #[test]
    fn a_burst_then_one_an_interval() {
        let mut limiter = limiter(Duration::from_millis(100), 3, 64);
        let mut now = start();
        assert_eq!((0..5).filter(|_| limiter.allow(now, &"a")).count(), 3);
        assert!(limiter.allow(now, &"b"), "another key has a bucket of its own");
        for _ in 0..10 {
            now += Duration::from_millis(100);
            assert!(limiter.allow(now, &"a"));
            assert!(!limiter.allow(now, &"a"));
        }
    }

    #[test]
    fn a_quiet_key_earns_no_more_than_its_burst() {
        let mut limiter = limiter(Duration::from_secs(30), 1, 64);
        let now = start();
        assert!(limiter.allow(now, &1));
        assert!(!limiter.allow(now + Duration::from_secs(29), &1));
        let later = now + Duration::from_secs(3_000);
        assert!(limiter.allow(later, &1));
        assert!(!limiter.allow(later, &1));
    }

    #[test]
    fn no_interval_allows_everything() {
        let mut limiter = limiter(Duration::ZERO, 1, 4);
        let now = start();
        assert!((0..1_000).all(|_| limiter.allow(now, &1)));
    }

    #[test]
    fn a_peek_takes_nothing_and_answers_as_the_event_would() {
        let mut limiter = limiter(Duration::from_secs(1), 3, 4);
        let mut now = start();
        for step in 0..1_000_u64 {
            let key = step * 7 % 13;
            let peeked = limiter.would_allow(now, &key);
            assert_eq!(limiter.would_allow(now, &key), peeked, "a peek changed the answer");
            assert_eq!(limiter.allow(now, &key), peeked, "step {step}");
            now += Duration::from_millis(step % 300);
        }
        assert!((0..1_000).all(|_| limiter.would_allow(now + Duration::from_secs(9), &"a")));
    }

    #[test]
    fn a_flood_of_keys_does_not_refill_a_drained_bucket() {
        let mut limiter = limiter(Duration::from_secs(1), 8, 64);
        let now = start();
        assert_eq!((0..100).filter(|_| limiter.allow(now, &"victim")).count(), 8);
        // As many events as the other places have tokens: 60 places, 8 each, less what the
        // uneven hash leaves. None of them reaches the drained one.
        for key in 0..100 {
            limiter.allow(now, &key);
        }
        assert!(!limiter.would_allow(now, &"victim"));
        // However many more: the bucket has one token of eight.
        for key in 0..100_000 {
            limiter.allow(now, &key);
        }
        assert!((0..100).filter(|_| limiter.allow(now, &"victim")).count() <= 1);
    }

    #[test]
    fn a_drained_bucket_of_burst_one_outlasts_three_newcomers_of_its_set() {
        let mut limiter = limiter(Duration::from_secs(30), 1, WAYS);
        let now = start();
        assert!(limiter.allow(now, &"victim"));
        let later = now + Duration::from_secs(1);
        assert!((0..3).all(|key| limiter.allow(later, &key)));
        assert!(!limiter.allow(later, &"victim"), "there was room for all");
        assert!(limiter.allow(later, &3));
        assert!(limiter.allow(later, &"victim"), "one set does not remember five");
    }

    #[test]
    fn a_full_table_admits_the_first_event_of_a_stranger() {
        for burst in [0, 1, 8] {
            let mut limiter = limiter(Duration::from_secs(30), burst, 64);
            let now = start();
            for key in 0..10_000 {
                limiter.allow(now, &key);
            }
            assert!((0..100).all(|key| limiter.allow(now, &("stranger", key))), "burst {burst}");
        }
    }

    #[test]
    fn a_refused_event_takes_no_place() {
        let mut limiter = limiter(Duration::from_secs(30), 1, WAYS);
        let now = start();
        assert!((0..4).all(|key| limiter.allow(now, &key)));
        for _ in 0..1_000 {
            assert!((0..4).all(|key| !limiter.allow(now, &key)));
        }
    }
}
