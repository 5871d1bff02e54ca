//! Node Discovery v4.
#![forbid(unsafe_code)]

mod config;
mod event;
mod machine;
mod statistics;
pub mod wire;

#[cfg(feature = "tokio")]
mod clock;
#[cfg(feature = "tokio")]
mod ring;
#[cfg(feature = "tokio")]
mod socket;

pub use config::Config;
pub use event::{Event, Output, QueryId, RequestError, Source, Transmit};
pub use machine::{Contact, Discv4};
pub use statistics::{Count, DropCause, Statistics};

#[cfg(feature = "tokio")]
pub use socket::Socket;
