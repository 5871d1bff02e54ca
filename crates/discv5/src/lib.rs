//! Node Discovery v5.1: how a node of the Ethereum network finds others, over UDP.
//!
//! ```text
//!   Handle, Lookup, Nodes, Events, Rows, TalkRequests     in any task; each may be dropped
//!        |  ^
//!   +----v--|--------------------------+
//!   | Service                          |    commands, queries, what happened; tokio's timer
//!   |   +--------------------------+   |
//!   |   | Discv5                   |   |    the rules: no IO, no clock, no entropy
//!   |   |   kad: table, lookups    |   |
//!   |   |   sessions, challenges   |   |    who has proved what, and where
//!   |   |   handshake, wire, ...   |   |    what packets are made of
//!   |   +--------------------------+   |
//!   +----|--^--------------------------+
//!        v  |
//!   Driver: a Socket                        or whatever else owns one
//! ```
//!
//! - [`Discv5`] is the machine. Whoever brings datagrams and the time can run it: a simulation
//!   runs thousands in one thread.
//! - `Service` is the machine with commands and events, for tokio. It has no socket, so that one
//!   socket can serve more than this protocol; `Driver` is for whoever has nothing else on it.
//! - `Handle` asks: `lookup`, `lookup_where`, `resolve`, `ping`, `find_node`, `talk`,
//!   `request_enr`; `register_talk` serves a protocol of one's own, and `nodes` meets verified nodes
//!   without end.
//! - What packets are made of is public, for tools that want bad ones too: [`wire`], [`crypto`],
//!   [`handshake`], [`session`], [`message`].
//!
//! It follows the [wire protocol], the [theory] and the test vectors, and where those leave a
//! choice, go-ethereum. Topics have no messages here: their specification is a draft.
//!
//! [wire protocol]: https://github.com/ethereum/devp2p/blob/master/discv5/discv5-wire.md
//! [theory]: https://github.com/ethereum/devp2p/blob/master/discv5/discv5-theory.md
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
//! use devp2p_discv5::{Config, Driver, Handle, Service, Socket};
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
//! let found = bob.lookup(node.id()).await?;
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
//! - `tokio` (default): `Service` and all around it. Without it there are the machine and what
//!   packets are made of, and no tokio in the tree.
#![forbid(unsafe_code)]

mod config;
pub mod crypto;
mod event;
pub mod handshake;
mod machine;
pub mod message;
pub mod session;
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
#[cfg(feature = "tokio")]
mod talk_requests;

pub use config::Config;
pub use devp2p_core::Transmit;
pub use event::{Event, Output, QueryId, RequestError, RespondError, Source, TalkId};
pub use machine::{Contact, Discv5, Peer, Predicate, Usage};
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
#[cfg(feature = "tokio")]
pub use talk_requests::{TalkError, TalkRequest, TalkRequests};
