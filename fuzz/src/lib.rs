//! What the fuzz targets share: how they read their input, measure memory, and make bytes that
//! get past a MAC.

#![forbid(unsafe_code)]

pub mod forge;
pub mod keys;
pub mod memory;
pub mod script;

use std::time::Instant;

/// The moment at which virtual time starts. Nothing depends on which one it is.
pub fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock")]
    Instant::now()
}
