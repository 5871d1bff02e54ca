use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use devp2p_core::{NodeId, Rng};

use crate::deadlines::{Deadlines, after};

/// How many failing dynamic nodes are remembered: a day's worth for a full node at the default
/// limits, in about a megabyte. Beyond it the one that may be dialed soonest is forgotten.
pub(crate) const MAX_FAILING: usize = 8_192;

/// How many useless nodes are remembered: most of the nodes of other chains that one finds in the
/// discovery that all share, in about three megabytes. Beyond it the one that may be dialed soonest
/// is forgotten: whoever makes ids without end gets the first delay for each, and cannot push out
/// those that wait longer.
pub(crate) const MAX_USELESS: usize = 16_384;

/// The delay after that many failures in a row: the first, doubled each time, up to the last.
pub(crate) fn delay(range: &RangeInclusive<Duration>, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    range.start().saturating_mul(factor).min(*range.end())
}

/// A uniform duration within `range`, in steps of a microsecond.
pub(crate) fn random(range: &RangeInclusive<Duration>, rng: &mut Rng) -> Duration {
    let span = range.end().saturating_sub(*range.start()).as_micros();
    let steps = u64::try_from(span).unwrap_or(u64::MAX).saturating_add(1);
    range.start().saturating_add(Duration::from_micros(rng.below(steps)))
}

/// How often an action failed in a row, and until when it is not tried again.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    pub(crate) fn fail(&mut self, from: Instant, range: &RangeInclusive<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(after(from, delay(range, self.failures)));
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The end of the delay where it has not come yet.
    pub(crate) fn pending(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| until > now)
    }
}

/// The dynamic nodes whose dials led to nothing, and until when they are left alone.
#[derive(Debug)]
pub(crate) struct Failing {
    failures: BTreeMap<NodeId, u32>,
    until: Deadlines,
    /// How many are remembered.
    most: usize,
}

impl Failing {
    pub(crate) fn new(most: usize) -> Self {
        Self { failures: BTreeMap::new(), until: Deadlines::default(), most }
    }

    /// A dial failed. Unless `grow`, it counts as the first failure. With `rng`, a random part of
    /// the delay, up to a half, is taken off.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        id: NodeId,
        grow: bool,
        range: &RangeInclusive<Duration>,
        rng: Option<&mut Rng>,
    ) {
        self.forget_stale(now, *range.end());
        let before = self.failures(id);
        let failures = if grow { before.saturating_add(1) } else { before.max(1) };
        if before == 0 && self.failures.len() >= self.most {
            self.forget_first();
        }
        let longest = delay(range, failures);
        let shortest = longest.checked_div(2).unwrap_or_default();
        let wait = rng.map_or(longest, |rng| random(&(shortest..=longest), rng));
        self.failures.insert(id, failures);
        self.until.set(id, after(now, wait), 0);
    }

    pub(crate) fn forget(&mut self, id: NodeId) {
        self.failures.remove(&id);
        self.until.remove(id);
    }

    /// The end of the delay where it has not come yet.
    pub(crate) fn pending(&self, id: NodeId, now: Instant) -> Option<Instant> {
        self.until.pending(id, now)
    }

    /// How often in a row its dials failed, as far as is remembered.
    pub(crate) fn failures(&self, id: NodeId) -> u32 {
        self.failures.get(&id).copied().unwrap_or_default()
    }

    /// Forgets nodes that could have been dialed again for as long as the longest delay.
    fn forget_stale(&mut self, now: Instant, longest: Duration) {
        while self.until.first().is_some_and(|until| after(until, longest) <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(id) = self.until.pop() {
            self.failures.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_hours(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock")]
        Instant::now()
    }

    fn id(number: usize) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        NodeId::new(bytes)
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let seconds = |failures| delay(&RANGE, failures).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 8].map(seconds), [60, 120, 240, 1920, 3600, 3600]);
        assert_eq!([33, 64, 1000, u32::MAX].map(seconds), [3600; 4]);
        let reversed = Duration::from_secs(9)..=Duration::from_secs(5);
        assert_eq!(delay(&reversed, 1), Duration::from_secs(5));
    }

    #[test]
    fn random_durations_stay_in_range() {
        let mut rng = Rng::from_seed([3; 32]);
        let range = Duration::from_secs(1)..=Duration::from_secs(3);
        assert!((0..1000).all(|_| range.contains(&random(&range, &mut rng))));
        let never = Duration::MAX..=Duration::MAX;
        assert_eq!(random(&never, &mut rng), Duration::MAX);
    }

    #[test]
    fn the_failing_nodes_remembered_are_bounded() {
        let (now, mut rng) = (start(), Rng::from_seed([3; 32]));
        let mut failing = Failing::new(MAX_FAILING);
        for _ in 0..8 {
            failing.record(now, id(0), true, &RANGE, Some(&mut rng));
        }
        for number in 1..=2 * MAX_FAILING {
            failing.record(now, id(number), true, &RANGE, Some(&mut rng));
            assert!(failing.failures.len() <= MAX_FAILING);
        }
        assert_eq!(failing.failures.len(), failing.until.len());
        assert!(failing.pending(id(0), now).is_some(), "the worst are remembered longest");

        failing.record(now + Duration::from_hours(3), id(1), true, &RANGE, Some(&mut rng));
        assert_eq!(failing.failures.len(), 1, "what is long past is forgotten");
    }

    #[test]
    fn useless_nodes_that_wait_long_are_not_pushed_out() {
        let now = start();
        let range = Duration::from_mins(10)..=Duration::from_hours(24);
        let mut useless = Failing::new(MAX_USELESS);
        useless.record(now, id(0), true, &range, None);
        useless.record(now, id(0), true, &range, None);
        for number in 1..=2 * MAX_USELESS {
            useless.record(now, id(number), true, &range, None);
        }
        assert_eq!((useless.failures.len(), useless.until.len()), (MAX_USELESS, MAX_USELESS));
        assert_eq!(useless.pending(id(0), now), Some(now + Duration::from_mins(20)));
        assert_eq!(useless.pending(id(1), now), None, "it would have been dialed soonest");
        assert_eq!((useless.failures(id(0)), useless.failures(id(1))), (2, 0));
    }

    #[test]
    fn a_backoff_for_ever_does_not_overflow() {
        let now = start();
        let mut backoff = Backoff::default();
        backoff.fail(now, &(Duration::MAX..=Duration::MAX));
        assert!(backoff.pending(now + Duration::from_hours(24)).is_some());
    }
}
