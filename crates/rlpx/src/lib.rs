//! RLPx: the encrypted, authenticated transport of devp2p.
#![forbid(unsafe_code)]

mod config;
#[cfg(feature = "tokio")]
mod connect;
#[cfg(feature = "tokio")]
mod connection;
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
pub use connect::{accept, accept_tcp, connect, connect_tcp};
#[cfg(feature = "tokio")]
pub use connection::Connection;
pub use error::HandshakeError;
pub use frame::{Egress, FrameCodec, Ingress, OpenError, SealError};
pub use handshake::{Handshake, Session};
pub use secrets::{Role, Secrets, Transcript};
