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
mod command;
#[cfg(feature = "tokio")]
mod driver;
#[cfg(feature = "tokio")]
mod events;
#[cfg(feature = "tokio")]
mod handle;
#[cfg(feature = "tokio")]
mod nodes;
#[cfg(feature = "tokio")]
mod ring;
#[cfg(feature = "tokio")]
mod service;
#[cfg(feature = "tokio")]
mod socket;
#[cfg(feature = "tokio")]
mod table_info;

pub use config::Config;
pub use event::{Event, Output, QueryId, RequestError, Source, Transmit};
pub use machine::{Contact, Discv4};
pub use statistics::{Count, DropCause, Statistics};

#[cfg(feature = "tokio")]
pub use command::QueryError;
#[cfg(feature = "tokio")]
pub use driver::Driver;
#[cfg(feature = "tokio")]
pub use events::{Events, Missed, Row, Rows};
#[cfg(feature = "tokio")]
pub use handle::{Handle, Lookup};
#[cfg(feature = "tokio")]
pub use nodes::Nodes;
#[cfg(feature = "tokio")]
pub use service::{Service, ServiceStatistics};
#[cfg(feature = "tokio")]
pub use socket::Socket;
#[cfg(feature = "tokio")]
pub use table_info::{BucketInfo, EntryInfo, TableInfo};
