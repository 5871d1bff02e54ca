//! The devp2p base protocol.
#![forbid(unsafe_code)]

mod capability;
mod config;
mod disconnect;
mod hello;
pub mod id;
mod session;

#[cfg(feature = "tokio")]
mod driver;
#[cfg(feature = "tokio")]
mod farewell;
#[cfg(feature = "tokio")]
mod handshake;
#[cfg(feature = "tokio")]
mod link;
#[cfg(feature = "tokio")]
mod observer;
#[cfg(feature = "tokio")]
mod peer;
#[cfg(feature = "test-util")]
mod pipe;
#[cfg(feature = "tokio")]
mod protocol;
#[cfg(feature = "tokio")]
mod stream;

pub use capability::{
    Capability, CapabilityError, CapabilityProblem, MAX_NAME, SharedCapability, check_capabilities,
    share_capabilities,
};
pub use config::Config;
pub use disconnect::DisconnectReason;
pub use hello::{DecodeHelloError, Hello};
pub use session::{End, Event, Received, SendError, Session, Side, Transmit};

#[cfg(feature = "tokio")]
pub use handshake::{Established, HelloError, hello, refuse};
#[cfg(feature = "tokio")]
pub use observer::{MessageDirection, MessageEvent, Observer};
#[cfg(feature = "tokio")]
pub use peer::{Direction, Peer};
#[cfg(feature = "test-util")]
pub use pipe::{PipeConfig, pipe, pipe_with};
#[cfg(feature = "tokio")]
pub use protocol::{Protocol, ProtocolError, Subprotocol, check_protocols};
#[cfg(feature = "tokio")]
pub use stream::ProtocolStream;
