//! The one place of the server that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// tokio's clock, so that whole servers run on paused time.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock, in milliseconds: only the first number of our record comes from it.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn unix_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(0)
}
