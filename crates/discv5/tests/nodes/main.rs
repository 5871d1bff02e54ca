//! What a machine knows of other nodes, and how it finds them, in virtual time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod lookups;
mod newcomers;
mod refresh;
mod seeds;
mod support;
mod table;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../machine/world.rs"]
mod world;
