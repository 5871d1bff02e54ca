//! The protocols, with gateways and servers on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

// Only there is all of 127.0.0.0/8 loopback: the port of a gateway is fixed.
#[cfg(target_os = "linux")]
mod pmp;
mod stun;
mod upnp;
