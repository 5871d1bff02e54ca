//! The devp2p base protocol: what two nodes say to each other between the secure handshake and
//! their subprotocols, and how the subprotocols share one connection.
//!
//! ```text
//!   Subprotocol "eth"   Subprotocol "snap"      one task each; a ProtocolStream is Stream + Sink
//!         |    ^               |    ^
//!   +-----v----|---------------v----|----+
//!   | Session: a bounded queue each way  |     no IO, no clock: ids, Ping, Pong, Disconnect
//!   +----------------|--------^----------+
//!                 devp2p_core::Connection      RLPx, or anything that keeps its contract
//! ```
//!
//! - `hello` exchanges [`Hello`]s on a connection, checks the remote's, and gives an
//!   `Established`; `refuse` turns a remote down before that.
//! - `Established::run` starts a `Subprotocol` for each capability that both sides have, and gives
//!   a handle, `Peer`, and the future that is the peer's life; it ends in an [`End`].
//! - [`Session`] is the machine inside, for those who drive it themselves; [`Hello`],
//!   [`DisconnectReason`] and [`share_capabilities`] are the wire, for tools.
//!
//! # What a remote can do, and what it cannot
//!
//! It chooses the names, versions, sizes and times. It cannot make this node hold more than its
//! queues' limits (in messages and in bytes, each with one whole message beyond), answer more
//! Pings than a bucket of tokens allows, or wait longer than the deadlines in [`Config`]. When a
//! subprotocol is slow, nothing more is read from its peer: the remote is held up, no message is
//! lost or overtaken, and after 30 s without progress this one peer is dropped. Reading never
//! waits for writing. A panic in a subprotocol ends its own peer and no other.
//!
//! # Example
//!
//! Two peers over an in-memory pipe; one echoes what the other says.
//!
//! ```
//! use devp2p_core::{Message, NodeKey};
//! use devp2p_peer::*;
//! use futures::{SinkExt as _, StreamExt as _};
//!
//! struct Echo;
//!
//! impl Subprotocol for Echo {
//!     fn capability(&self) -> Capability {
//!         Capability::new("echo", 1)
//!     }
//!
//!     fn length(&self) -> u64 {
//!         2 // 0 asks, 1 answers
//!     }
//!
//!     async fn run(&self, peer: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
//!         if peer.direction() == Direction::Outbound {
//!             stream.send(Message { id: 0, payload: "hello".into() }).await?;
//!         }
//!         while let Some(Message { id: 0, payload }) = stream.next().await {
//!             stream.send(Message { id: 1, payload }).await?;
//!         }
//!         Ok(()) // the answer has come
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (alice, bob) = (NodeKey::generate()?.public_key(), NodeKey::generate()?.public_key());
//! let (to_bob, to_alice) = pipe(alice, bob);
//! let (echo, config) = ([Protocol::new(Echo)], Config::default());
//! let ours = |key| Hello::new("example", vec![echo[0].capability()], key);
//! let (a, b) = (ours(alice), ours(bob));
//! let (left, right) = tokio::try_join!(hello(to_bob, &a, &config), hello(to_alice, &b, &config))?;
//! let (_, left) = left.run(&echo, Direction::Outbound, None);
//! let (_, right) = right.run(&echo, Direction::Inbound, None);
//! let (left, right) = tokio::join!(left, right);
//! assert_eq!((left.side, right.side), (Side::Local, Side::Remote));
//! assert_eq!(right.reason, DisconnectReason::Quitting);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `tokio` (default): the driver, and with it everything that runs. Without it there are the
//!   wire, [`Session`] and its [`Config`].
//! - `test-util`: `pipe`, two connections in memory.
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
mod send_disconnect;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(feature = "tokio")]
mod tasks;

pub use capability::{
    Capability, CapabilityError, CapabilityProblem, SharedCapability, check_capabilities,
    share_capabilities,
};
pub use config::Config;
pub use disconnect::{DisconnectReason, UnknownReason};
pub use hello::{DecodeHelloError, Hello};
pub use session::{
    CapabilityMeters, End, Event, MessageCount, Meter, Received, SendError, Session, Side, Transmit,
};

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
