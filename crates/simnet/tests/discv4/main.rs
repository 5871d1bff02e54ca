//! Networks of nodes with discovery v4: with true signatures, and against whoever means no good.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[expect(dead_code, reason = "the programs use the rest")]
#[path = "../../examples/discovery/mod.rs"]
mod discovery;
mod hostile;
mod network;
