//! RLPx: the encrypted, authenticated transport of devp2p.
//!
//! ```
//! use devp2p_core::{Connection as _, Message, NodeKey};
//! use devp2p_rlpx::{Config, accept, connect};
//! use futures::{SinkExt as _, StreamExt as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (alice, bob) = (NodeKey::generate()?, NodeKey::generate()?);
//! let config = Config::default();
//! let (near, far) = tokio::io::duplex(64 * 1024);
//!
//! // Alice dials Bob, whose key she knows; Bob learns hers.
//! let bobs_key = bob.public_key();
//! let (dialed, accepted) = tokio::join!(
//!     connect(near, &alice, &bobs_key, &config),
//!     accept(far, &bob, &config),
//! );
//! let (mut dialed, mut accepted) = (dialed?, accepted?);
//! assert_eq!(dialed.remote(), bobs_key);
//! assert_eq!(accepted.remote(), alice.public_key());
//!
//! // A connection is a sink and a stream of messages.
//! dialed.send(Message { id: 0x02, payload: "ping".into() }).await?;
//! assert_eq!(accepted.next().await.unwrap()?.payload, "ping");
//! accepted.send(Message { id: 0x03, payload: "pong".into() }).await?;
//! assert_eq!(dialed.next().await.unwrap()?.payload, "pong");
//!
//! // A clean close is the end of the stream.
//! dialed.close().await?;
//! assert!(accepted.next().await.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//! - [`connect()`] and [`accept`] secure a byte stream and give a [`Connection`].
//! - [`Handshake`] and [`FrameCodec`] are what these are made of, without IO: bytes in, bytes and
//!   messages out. They are all there is without the feature `tokio`.
//! - [`packet`], [`ecies`], [`Secrets`], [`frame`] and [`keccak`] are the pieces on the wire, for
//!   tools that make packets no honest node would send.
//!
//! # What it protects
//! Both sides prove their static keys, each with its first frame, and session keys come from ephemeral ones, so a key that
//! is stolen later does not open old frames. Frames cannot be forged, changed, left out or
//! repeated. **Confidentiality is weak**: the protocol enciphers both directions with the same key
//! stream, so who knows what one side said can read the other. Send nothing secret over it.
//!
//! Nothing that a remote sends makes this crate panic, and memory grows with the bytes that were
//! received, never with a length that was declared: a handshake packet of at most 2 KiB, messages
//! of at most 2 KiB until Hello was exchanged, and then of a configured size.
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod buffer;
mod config;
#[cfg(feature = "tokio")]
mod connect;
#[cfg(feature = "tokio")]
mod connection;
#[cfg(feature = "tokio")]
mod deadline;
pub mod ecies;
mod error;
pub mod frame;
mod handshake;
pub mod keccak;
pub mod packet;
mod secrets;
pub mod snappy;

pub use config::{Config, MAX_EARLY_MESSAGE_SIZE, MAX_FRAME_SIZE};
#[cfg(feature = "tokio")]
pub use connect::{accept, accept_tcp, connect, connect_tcp, secure};
#[cfg(feature = "tokio")]
pub use connection::{Connection, Parts};
pub use error::HandshakeError;
pub use frame::{Egress, FrameCodec, Ingress, OpenError, SealError};
pub use handshake::{Handshake, Session};
pub use secrets::{Role, Secrets, Transcript};
