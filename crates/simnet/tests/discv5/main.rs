//! Networks of nodes with discovery v5: with true signatures, over bad links, and in parts.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[expect(dead_code, reason = "the programs use the rest")]
#[path = "../../examples/discovery/mod.rs"]
mod discovery;
mod faults;
mod network;
