//! The one place of the crate that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use devp2p_core::WallClock;

/// tokio's clock, so that whole services run on paused time.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn wall_clock(now: Instant) -> WallClock {
    WallClock::new(now, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
