//! The crate from outside: vectors, handshakes, frames and connections, honest and forged.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "tests measure tokio's paused time")]

mod connection;
mod deadlines;
mod frames;
mod handshake;
mod properties;
mod support;
mod vectors;
