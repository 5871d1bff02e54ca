//! How a devp2p node gets through a NAT: its listener and its discovery sockets are mapped at the
//! gateway, and the node learns where it can be reached.
//!
//! [`Nat`] is what a user says of it, in geth's strings; [`Driver`] does it: UPnP (Internet Gateway
//! Device 1 and 2), NAT-PMP (RFC 6886), PCP (RFC 6887) and STUN (RFC 8489). It is a stream of
//! [`Event`]s.
//!
#![cfg_attr(feature = "tokio", doc = "```")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use devp2p_nat::{Config, Driver, Event, Nat, Socket};
//! use futures::StreamExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // What this node listens on. Loopback and private addresses are left alone.
//! let sockets = [Socket::tcp("0.0.0.0:30303".parse()?), Socket::udp("0.0.0.0:30303".parse()?)];
//! let nat: Nat = "extip:192.0.2.1".parse()?;
//! let mut driver = Driver::new(&nat, &sockets, Config::default());
//! while let Some(event) = driver.next().await {
//!     match event {
//!         Event::Address(address) => println!("our address is {address:?}"),
//!         Event::Mapped { socket, external } => println!("{} is {external}", socket.address),
//!         Event::Lost { socket, .. } => println!("{} is no longer reachable", socket.address),
//!         event => println!("{event:?}"),
//!     }
//!     driver.stop();
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Inside, [`Mapper`] is one machine without IO that decides when to ask for what; the protocols are
//! [`Gateway`](gateway::Gateway)s, and what a gateway sends is limited in bytes, in the number of
//! answers that are looked at, and in time. Without the feature `tokio` the machine, the strings and
//! the one message of [`stun`] are all that is left.
//!
//! A gateway is not authenticated in any of these protocols: who is on the local network can say what
//! it likes. The worst of that is a node that tells a wrong address of itself. What is not an address
//! of the internet is never told.
#![forbid(unsafe_code)]

mod config;
#[cfg(feature = "tokio")]
mod driver;
mod event;
#[cfg(feature = "tokio")]
pub mod gateway;
mod mapper;
mod nat;
mod socket;
pub mod stun;

#[cfg(feature = "tokio")]
pub use driver::Driver;

pub use self::{
    config::Config,
    event::Event,
    mapper::{Mapper, Output, Reply, Request, RequestId},
    nat::{Nat, NatParseError, StunServer},
    socket::{Protocol, Socket},
};
