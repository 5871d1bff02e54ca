//! What discoveries over UDP have in common around their machines, for tokio.
//!
//! A discovery is a machine without IO in a crate of its own, and around that a service: a
//! [`DatagramService`] that takes commands, tells what happened and has no socket. Here is what such
//! services are made of, and what runs them:
//!
//! - [`Udp`] owns one [`Socket`] and the services on it. Every datagram goes straight from the
//!   socket's buffer into the service that claims it, and what a service sends straight from it to
//!   the socket: there is no channel between, and nothing is copied.
//! - [`commands()`] is the way from handles to a service: a bounded queue, [`Answer`]s, and a
//!   [`Query`] whose drop cancels what was asked.
//! - A [`Ring`] tells any number of readers what happens, and counts what the slow ones lose;
//!   [`Rows`] are what a discovery wants remembered.
//! - [`Nodes`] meets verified nodes without end; a [`Lookup`] tells them as they answer; [`TableInfo`]
//!   is a picture of a table.
//! - [`SharedRecord`] is this node's record, which a service shows as it is at the time.
//! - [`Timer`] and [`clock`] are tokio's time, so that all of this runs on paused time.
//!
//! # Example
//!
//! A service that sends every datagram back.
//!
//! ```
//! use std::{net::SocketAddr, task::{Context, Poll}, time::Instant};
//! use devp2p_core::{Transmit, WallClock};
//! use devp2p_udp::{DatagramService, Socket, Udp};
//!
//! struct Echo(Option<Transmit>);
//!
//! impl DatagramService for Echo {
//!     fn claims(&self, _: &[u8]) -> bool {
//!         true
//!     }
//!     fn handle_datagram(&mut self, _: Instant, from: SocketAddr, datagram: &[u8]) {
//!         self.0 = Some(Transmit { to: from, bytes: datagram.to_vec().into() });
//!     }
//!     fn handle_wall_clock(&mut self, _: WallClock) {}
//!     fn handle_receive_error(&mut self) {}
//!     fn handle_send_error(&mut self) {}
//!     fn poll_transmit(&mut self, _: &mut Context<'_>) -> Poll<Option<Transmit>> {
//!         self.0.take().map_or(Poll::Pending, |transmit| Poll::Ready(Some(transmit)))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let udp = Udp::new(Socket::bind("127.0.0.1:0".parse()?)?).serve(Echo(None));
//! let addr = udp.local_addr()?;
//! tokio::spawn(udp);
//!
//! let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
//! socket.send_to(b"hello", addr).await?;
//! let mut buffer = [0; 5];
//! socket.recv_from(&mut buffer).await?;
//! assert_eq!(&buffer, b"hello");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod clock;
mod commands;
mod lookup;
mod nodes;
mod ring;
mod rows;
mod service;
mod shared_record;
mod socket;
mod table_info;
mod timer;
mod udp;

pub use commands::{Answer, Closed, Commands, Inbox, Query, commands};
pub use devp2p_core::Transmit;
pub use lookup::{Lookup, LookupAnswer};
pub use nodes::{Nodes, Search};
pub use ring::{Missed, Reader, Ring};
pub use rows::{Rings, Row, Rows};
pub use service::DatagramService;
pub use shared_record::SharedRecord;
pub use socket::Socket;
pub use table_info::{BucketInfo, EntryInfo, TableInfo};
pub use timer::Timer;
pub use udp::Udp;
