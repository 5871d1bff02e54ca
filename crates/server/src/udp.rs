//! UDP sockets, and the discoveries that share them: usable without a [`Server`](crate::Server).
//!
//! [`Udp`] owns one socket and the services on it, and offers each datagram to one after the other.
//! It is the loop of every discovery there is; this is how the server runs its own.
//!
#![cfg_attr(feature = "discv4", doc = "```")]
#![cfg_attr(not(feature = "discv4"), doc = "```ignore")]
//! use std::sync::{Arc, Mutex};
//!
//! use devp2p_core::{LocalRecord, NodeKey, Rng};
//! use devp2p_discv4::{Config, Service};
//! use devp2p_server::udp::{Socket, Udp};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = NodeKey::generate()?;
//! let record = Arc::new(Mutex::new(LocalRecord::new(key.clone(), None, 0)?));
//! let seed = Rng::from_os()?.seed();
//! let (service, handle) = Service::new(Config::default(), key, record, Vec::new(), seed);
//! let socket = Socket::bind("127.0.0.1:0".parse()?)?;
//! let running = tokio::spawn(Udp::new(socket).serve(service));
//! assert!(handle.table().await?.buckets.iter().all(|bucket| bucket.entries.is_empty()));
//! handle.close().await;
//! running.await??;
//! # Ok(())
//! # }
//! ```

pub use devp2p_udp::{DatagramService, Socket, Transmit, Udp};
