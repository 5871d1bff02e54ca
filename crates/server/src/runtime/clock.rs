//! The one place of the server that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// tokio's clock, so that whole servers run on paused time.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock: the first number of our record comes from it, and the times that are remembered.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Both clocks together, for machines that need the time of day.
#[cfg(feature = "discv4")]
pub(crate) fn wall_clock(now: Instant) -> devp2p_core::WallClock {
    devp2p_core::WallClock::new(now, unix())
}
