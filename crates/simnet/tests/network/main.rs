//! What the network does, one behaviour in each module.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod addresses;
mod bounds;
mod churn;
mod crashes;
mod links;
mod nats;
mod partitions;
mod seeds;
mod segments;
mod support;
mod timers;
mod trace;
