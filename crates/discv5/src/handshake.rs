//! How a WHOAREYOU becomes a session.
//!
//! ```text
//!   initiator                                recipient
//!       | -- a packet that cannot be opened --> |
//!       |                                       | Challenge::new
//!       | <------------ WHOAREYOU ------------- |
//!   Initiator::new                              |
//!       | --- handshake packet and message ---> |
//!   Unconfirmed                                 | Challenge::accept
//!       | <-------------- answer -------------- |
//!   Unconfirmed::confirm
//! ```
//!
//! Every step takes the one before, so that none is taken twice: a [`Challenge`] allows one
//! attempt, and the keys of an [`Unconfirmed`] handshake seal nothing before an answer has proved
//! that the remote node has them too. Who is asked again sends the same challenge again; when a
//! challenge is forgotten is up to who keeps it.

mod error;
mod initiator;
mod recipient;

pub use self::{
    error::HandshakeError,
    initiator::{Initiator, Unconfirmed},
    recipient::{Accepted, Challenge},
};
