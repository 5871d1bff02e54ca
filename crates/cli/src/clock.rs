//! The one place of the program that reads clocks.
#![expect(clippy::disallowed_methods, reason = "the program is the driver of all that it runs")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time that passes.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time since 1970.
pub(crate) fn unix() -> Duration {
    // A clock before that is as wrong as one that stands there.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
