use std::time::{Duration, Instant};

/// When a list of checks is due next. It rests while there is nothing to check.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    due: Option<Instant>,
    /// The pause before the next turn. It is drawn at the last one, so that only turns need
    /// randomness.
    pause: Duration,
    longest: Duration,
}

impl Schedule {
    pub(super) const fn new(longest: Duration) -> Self {
        Self { due: None, pause: longest, longest }
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// There is something to check.
    pub(super) fn arm(&mut self, now: Instant) {
        self.due.get_or_insert(now + self.pause);
    }

    /// A turn is over. `more` says whether anything is left to check.
    pub(super) fn turn(&mut self, now: Instant, random: u64, more: bool) {
        self.pause = pause(random, self.longest);
        self.due = more.then(|| now + self.pause);
    }
}

/// One of `choices` by the upper half of a random number. The bias is below `choices / 2^32`.
pub(super) fn choose(random: u64, choices: usize) -> usize {
    let choices = u64::try_from(choices).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
    usize::try_from(((random >> 32) * choices) >> 32).unwrap_or(0)
}

/// A pause of up to `longest` by the lower half, which is independent of the upper.
fn pause(random: u64, longest: Duration) -> Duration {
    let lower = u128::from(random & u64::from(u32::MAX));
    let nanos = longest.as_nanos().saturating_mul(lower) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_and_pauses_stay_in_their_range() {
        let longest = Duration::from_secs(3);
        assert_eq!((choose(0, 5), choose(u64::MAX, 5), choose(u64::MAX, 0)), (0, 4, 0));
        assert_eq!(choose(1 << 63, 10), 5);
        assert_eq!(pause(0, longest), Duration::ZERO);
        assert_eq!(pause(1 << 31, longest), longest / 2);
        let most = pause(u64::MAX, longest);
        assert!(most < longest && most > longest - Duration::from_micros(1));
    }
}
