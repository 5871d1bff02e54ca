//! The table, its limits and checks, and lookups, from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test; its clock starts at any instant"
)]

mod checks;
mod lookup;
mod model;
mod network;
mod places;
mod queries;
mod support;
mod vectors;
