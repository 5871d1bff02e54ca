//! The vocabulary that all layers of the devp2p stack share: keys, ids, and the seam between a
//! secure transport and the multiplexer.
#![forbid(unsafe_code)]

mod connection;
mod fault;
mod id;
mod key;
mod rng;

pub use connection::{BoxConnection, Connection, ConnectionError, Message, Traffic};
pub use fault::Fault;
pub use id::{NodeId, ParseNodeIdError};
pub use key::{KeyError, NodeKey, PublicKey};
pub use rng::Rng;
