//! A test network for machines without IO: virtual time, seeded links, NAT, partitions, crashes.
//!
//! Whatever is told the time and its datagrams, and says what to send and when to wake it, is a
//! [`Host`]; a [`World`] carries what hosts send over [`Link`]s that delay, lose, reorder, double
//! and cut. There are no threads, no sockets and no waiting: hours pass as fast as the hosts
//! compute, and all that happens by chance comes from one seed, so that a run can be repeated.
//!
//! ```
//! use std::{net::SocketAddr, time::{Duration, Instant}};
//! use devp2p_simnet::{Host, Link, Transmit, World, assert_repeats, for_seeds};
//!
//! /// Pings a friend each second, and answers pings.
//! struct Pinger { friend: SocketAddr, next: Instant, out: Option<Transmit>, pongs: u32 }
//!
//! impl Host for Pinger {
//!     fn handle_datagram(&mut self, _now: Instant, from: SocketAddr, bytes: &[u8]) {
//!         match bytes {
//!             b"ping" => self.out = Some(Transmit::datagram(from, "pong".into())),
//!             _ => self.pongs += 1,
//!         }
//!     }
//!     fn handle_timeout(&mut self, now: Instant) {
//!         self.out = Some(Transmit::datagram(self.friend, "ping".into()));
//!         self.next = now + Duration::from_secs(1);
//!     }
//!     fn poll_transmit(&mut self) -> Option<Transmit> { self.out.take() }
//!     fn poll_timeout(&self) -> Option<Instant> { Some(self.next) }
//! }
//!
//! let run = |seed| {
//!     let mut world = World::new(seed, Link { loss: 0.1, ..Link::default() });
//!     let [a, b] = [1, 2].map(|n| SocketAddr::from(([192, 0, 2, n], 30303)));
//!     let pinger = |friend, now| Pinger { friend, next: now, out: None, pongs: 0 };
//!     let id = world.spawn(a, pinger(b, world.now()));
//!     world.spawn(b, pinger(a, world.now()));
//!     world.run_for(Duration::from_mins(10));
//!     assert!((430..540).contains(&world.host(id).pongs)); // 81 % of 600, more or less
//!     world.trace()
//! };
//! for_seeds(10, |seed| _ = assert_repeats(seed, run));
//! ```
//!
//! # The model
//!
//! - **Time** passes only between events. A host computes in no time, so what is measured here is
//!   messages and waiting, never speed.
//! - **Addresses.** A host has one or more, of either family, and may send datagrams from any: so an
//!   adversary is a host like any other, that lies about its address or answers for many.
//! - **Datagrams** suffer what their [`Link`] does. There is no bandwidth: a flood costs what its
//!   receiver does about it.
//! - **[Segments](Class::Segment)** stand for TCP: reliable and in order until the stream breaks. A
//!   stream needs no setting up and has no end.
//! - **[`Nat`]s** hide hosts. A **crash** loses the host and what is on its way to it. A
//!   **partition** cuts hosts off from others. [`Churn`] lets hosts come and go.
//! - **The trace** is a hash of all deliveries. Hosts that draw no entropy and read no clock leave
//!   the same one whenever the seed is the same.
//!
//! The network itself delivers 2 to 3 million datagrams a second on one core, between 5,000 hosts
//! (`cargo bench -p devp2p-simnet`). Nothing grows without bound: see [`MAX_IN_FLIGHT`] and [`MAX_WORK_PER_INSTANT`].
#![forbid(unsafe_code)]

mod addresses;
mod churn;
mod host;
mod link;
mod nat;
mod queue;
mod rng;
mod seeds;
mod statistics;
mod timers;
mod trace;
mod world;

pub use churn::Churn;
pub use host::{Class, Delivery, Host, Transmit};
pub use link::Link;
pub use nat::{Nat, NatId, NatKind};
pub use rng::Rng;
pub use seeds::{assert_repeats, for_seeds};
pub use statistics::{Lost, Statistics, Traffic};
pub use world::{HostId, MAX_IN_FLIGHT, MAX_WORK_PER_INSTANT, World};
