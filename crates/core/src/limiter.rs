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
        Self { interval: Duration::from_secs(1) / events.max(1), burst: events }
    }
}

/// Token buckets by key, on a table whose size never changes.
///
/// The keys are those of strangers, so the table must neither grow with them nor let them choose
/// whom they push out: places are found by a hash under a secret, and where a set is full the
/// bucket that lost least goes. Time is an argument.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    secret: [u8; 16],
    sets: Vec<[Bucket; WAYS]>,
}

/// How many keys share one set. With four, a flood of random keys drives out a drained bucket
/// only after it filled the set with buckets that are drained further.
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
        let Rate { interval, burst } = self.rate;
        let tag = self.tag(key);
        let Some(bucket) = self.bucket(now, tag) else { return true };
        let from = bucket.full_at.map_or(now, |full_at| full_at.max(now));
        let full_at = from.checked_add(interval).unwrap_or(from);
        if full_at.duration_since(now) > interval.saturating_mul(burst.max(1)) {
            return false;
        }
        *bucket = Bucket { tag, full_at: Some(full_at) };
        true
    }

    fn tag(&self, key: &impl Hash) -> u64 {
        // SipHash with the secret as its first block: nobody without it can aim at a set.
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.secret);
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// The bucket of `tag`, or the place that it may take.
    fn bucket(&mut self, now: Instant, tag: u64) -> Option<&mut Bucket> {
        let sets = u64::try_from(self.sets.len()).ok()?;
        let index = usize::try_from(tag.checked_rem(sets)?).ok()?;
        let set = self.sets.get_mut(index)?;
        if let Some(known) =
            set.iter().position(|bucket| bucket.tag == tag && bucket.full_at.is_some())
        {
            return set.get_mut(known);
        }
        let place = set.iter_mut().min_by_key(|bucket| bucket.full_at)?;
        if place.full_at.is_none_or(|full_at| full_at <= now) {
            *place = Bucket::default();
        }
        // A drained bucket that is pushed out leaves its debt to the one that comes in.
        Some(place)
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
    fn a_flood_of_keys_does_not_refill_a_drained_bucket() {
        let mut limiter = limiter(Duration::from_secs(1), 8, 64);
        let now = start();
        assert_eq!((0..100).filter(|_| limiter.allow(now, &"victim")).count(), 8);
        let passed = (0..100_000).filter(|key| limiter.allow(now, key)).count();
        assert!(passed <= 64 * 8, "the table bounds what a flood gets: {passed}");
        assert!(!limiter.allow(now, &"victim"));
    }
}
