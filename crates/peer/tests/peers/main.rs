//! Whole peers over the in-memory pipe, on tokio's paused clock.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod ends;
mod flow;
mod hello;
mod life;
mod log;
mod meters;
mod pipe;
