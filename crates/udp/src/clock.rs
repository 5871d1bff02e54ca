//! The clocks that machines are told of: the one place where drivers read any.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use devp2p_core::WallClock;

/// tokio's clock, so that whole services and servers run on paused time.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time since 1970-01-01 00:00 UTC, by the system's clock; zero if that is set to before.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Which time of day it is at this instant, which is [`now`].
pub fn wall_clock(now: Instant) -> WallClock {
    WallClock::new(now, unix())
}
