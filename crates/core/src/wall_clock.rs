use std::time::{Duration, Instant};

/// Which instant was which time of day: what a machine needs of the wall clock.
///
/// Packets and stored rows carry seconds since 1970, and machines are told instants. Whoever runs
/// one reads both clocks together at the start, and again when the wall clock may have been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    at: Instant,
    unix: Duration,
}

impl WallClock {
    /// At the instant `at` it was `unix` since 1970-01-01 00:00 UTC.
    pub const fn new(at: Instant, unix: Duration) -> Self {
        Self { at, unix }
    }

    /// How much later it is by this clock than by another one, at the same instant; zero where it is
    /// earlier. Between two readings of one clock that is how far it was set, or how long the
    /// system slept, as instants do not count sleep everywhere.
    pub fn ahead_of(&self, other: &Self) -> Duration {
        self.unix.saturating_sub(other.unix(self.at))
    }

    /// The time since 1970 at `now`, which may be before the anchor, too.
    pub fn unix(&self, now: Instant) -> Duration {
        let later = now.saturating_duration_since(self.at);
        let earlier = self.at.saturating_duration_since(now);
        self.unix.saturating_add(later).saturating_sub(earlier)
    }

    /// The whole seconds since 1970 at `now`.
    pub fn unix_secs(&self, now: Instant) -> u64 {
        self.unix(now).as_secs()
    }

    /// The instant at which it was, or will be, `unix` since 1970; `None` outside of the range of
    /// instants.
    pub fn instant(&self, unix: Duration) -> Option<Instant> {
        match unix.checked_sub(self.unix) {
            Some(later) => self.at.checked_add(later),
            None => self.at.checked_sub(self.unix.saturating_sub(unix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_by_what_the_instants_do_not_say() {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        let at = Instant::now();
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let before = WallClock::new(at, 10 * hour);
        let after = WallClock::new(at + second, 12 * hour + second);
        assert_eq!(after.ahead_of(&before), 2 * hour);
        assert_eq!(before.ahead_of(&after), Duration::ZERO);
    }

    #[test]
    fn times_and_instants_go_both_ways_around_the_anchor() {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        let at = Instant::now();
        let clock = WallClock::new(at, Duration::from_secs(1_700_000_000));
        let second = Duration::from_secs(1);
        assert_eq!(clock.unix_secs(at), 1_700_000_000);
        assert_eq!(clock.unix_secs(at + second), 1_700_000_001);
        assert_eq!(clock.unix_secs(at.checked_sub(second).unwrap()), 1_699_999_999);
        for unix in [1_699_999_999, 1_700_000_000, 1_700_000_600] {
            let unix = Duration::from_secs(unix);
            assert_eq!(clock.instant(unix).map(|instant| clock.unix(instant)), Some(unix));
        }
        assert_eq!(clock.instant(Duration::MAX), None);
    }
}
