//! The machine of the server, without IO: who is admitted, who is not and why, what holds a slot
//! and for how long, and what the dial scheduler is told in which order.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

#[path = "machine/admission.rs"]
mod admission;
#[path = "machine/anchors.rs"]
mod anchors;
#[path = "machine/bans.rs"]
mod bans;
#[path = "machine/inbound.rs"]
mod inbound;
#[path = "machine/mix.rs"]
mod mix;
#[path = "machine/prefixes.rs"]
mod prefixes;
#[path = "machine/properties.rs"]
mod properties;
#[path = "machine/scheduling.rs"]
mod scheduling;
#[path = "machine/world.rs"]
mod world;
