//! Node Discovery v4: how a node of the Ethereum network finds others, over UDP.
//!
//! ```text
//!   Handle, Lookup, Nodes, Events, Rows     in any task; each may be dropped at any time
//!        |  ^
//!   +----v--|--------------------------+
//!   | Service                          |    commands, queries, what happened; tokio's timer
//!   |   +--------------------------+   |
//!   |   | Discv4                   |   |    the rules: no IO, no clock, no entropy
//!   |   |   kad: table, lookups    |   |
//!   |   |   wire: the packets      |   |
//!   |   +--------------------------+   |
//!   +----|--^--------------------------+
//!        v  |
//!   Driver: a Socket                        or whatever else owns one
//! ```
//!
//! - [`Discv4`] is the machine. Whoever brings datagrams and the time can run it: a simulation
//!   runs thousands in one thread.
//! - `Service` is the machine with commands and events, for tokio. It has no socket, so that one
//!   socket can serve more than this protocol; `Driver` is for whoever has nothing else on it.
//! - `Handle` asks: `lookup`, `lookup_random`, `resolve`, `ping`, `find_node`, `request_enr`; and
//!   `nodes` meets verified nodes without end.
//! - [`wire`] has the packets, for tools that want bad ones too.
//!
//! It follows the [specification], EIP-8 and EIP-868, and where those leave a choice, go-ethereum.
//!
//! [specification]: https://github.com/ethereum/devp2p/blob/master/discv4.md
//!
//! # Example
//!
//! Two nodes on loopback; the second finds the first.
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # mod example {
//! use std::{error::Error, sync::{Arc, Mutex}};
//! use devp2p_core::{Family, LocalRecord, Node, NodeKey, Rng};
//! use devp2p_discv4::{Config, Driver, Handle, Service, Socket};
//!
//! fn start(bootstrap_nodes: Vec<Node>) -> Result<Handle, Box<dyn Error>> {
//!     let (key, socket) = (NodeKey::generate()?, Socket::bind("127.0.0.1:0".parse()?)?);
//!     // What it tells of itself; a real one begins with the time, in milliseconds.
//!     let (mut local, addr) = (LocalRecord::new(key.clone(), None, 1)?, socket.local_addr()?);
//!     local.set_fallback_ip(addr.ip());
//!     local.set_udp_port(Family::V4, Some(addr.port()));
//!
//!     let mut config = Config::default();
//!     config.bootstrap_nodes = bootstrap_nodes;
//!     let (local, seed) = (Arc::new(Mutex::new(local)), Rng::from_os()?.seed());
//!     let (service, handle) = Service::new(config, key, local, vec![], seed);
//!     tokio::spawn(Driver::new(service, socket));
//!     Ok(handle)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() -> Result<(), Box<dyn Error>> {
//! let alice = start(vec![])?;
//! let node = Node::from_record(alice.local_record());
//! let bob = start(vec![node.clone()])?;
//!
//! println!("the way to Alice and back takes {:?}", bob.ping(&node).await?);
//! let found = bob.lookup(node.public_key()).await?;
//! assert_eq!(found.first().map(Node::id), Some(node.id()));
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "tokio")]
//! # example::main().unwrap();
//! ```
//!
//! # Cancel safety
//!
//! Every future and every stream may be dropped at any time. A query that is dropped is cancelled:
//! nothing more is sent for it. A stream that is dropped takes nothing from another, and one that
//! is not read holds nobody up; it loses the oldest and is told how many.
//!
//! # Features
//!
//! - `tokio` (default): `Service` and all around it. Without it there are the machine and the wire,
//!   and no tokio in the tree.
#![forbid(unsafe_code)]

mod config;
mod event;
mod machine;
mod statistics;
pub mod wire;

#[cfg(feature = "tokio")]
mod command;
#[cfg(feature = "tokio")]
mod driver;
#[cfg(feature = "tokio")]
mod events;
#[cfg(feature = "tokio")]
mod handle;
#[cfg(feature = "tokio")]
mod service;
#[cfg(feature = "tokio")]
mod table_info;

pub use config::Config;
pub use devp2p_core::Transmit;
pub use event::{Event, Output, QueryId, RequestError, Source};
pub use machine::{Contact, Discv4, Usage};
pub use statistics::{Count, DropCause, Statistics};

#[cfg(feature = "tokio")]
pub use command::QueryError;
#[cfg(feature = "tokio")]
pub use devp2p_udp::{
    BucketInfo, DatagramService, EntryInfo, Lookup, Missed, Nodes, Row, Rows, Socket, TableInfo,
};
#[cfg(feature = "tokio")]
pub use driver::Driver;
#[cfg(feature = "tokio")]
pub use events::Events;
#[cfg(feature = "tokio")]
pub use handle::Handle;
#[cfg(feature = "tokio")]
pub use service::{Service, ServiceStatistics};
