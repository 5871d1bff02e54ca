//! Runs the program as a user does: arguments in, lines and exit codes out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod arguments;
#[cfg(unix)]
mod config;
mod devnet;
#[cfg(unix)]
mod discovery;
mod dns;
#[cfg(unix)]
mod filter;
#[cfg(unix)]
mod find_peers;
mod key;
mod memory;
mod metrics;
#[cfg(unix)]
mod rpc;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod talk;
mod tool;
