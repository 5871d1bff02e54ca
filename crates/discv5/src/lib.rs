//! Node Discovery v5.1: what its packets are, and how two nodes come to share keys.
//!
//! There is no node in here yet: no table, no lookups, no socket. There is what one is made of, for
//! tools and tests as well, and nothing of it opens a socket, reads a clock or draws entropy.
//!
//! ```text
//!   message     PING, PONG, FINDNODE, NODES, TALKREQ, TALKRESP in RLP
//!   session     seals and opens them with keys that are scheduled once
//!   handshake   how a WHOAREYOU becomes a session, on either side
//!   crypto      key agreement, key derivation, id signature, AES-GCM
//!   wire        packets: ordinary, WHOAREYOU, handshake; header masking
//! ```
//!
//! It follows the [wire protocol] and its test vectors, and where that leaves a choice,
//! go-ethereum. Topics have no messages here: their specification is a draft.
//!
//! [wire protocol]: https://github.com/ethereum/devp2p/blob/master/discv5/discv5-wire.md
//!
//! # Example
//!
//! Alice asks Bob, who has no session with her. Each datagram goes from left to right.
//!
//! ```
//! use devp2p_core::{NodeKey, Record, Rng};
//! use devp2p_discv5::{
//!     handshake::{Challenge, Initiator},
//!     message::{Body, Message, Ping, RequestId},
//!     wire::{Masking, Packet, ProtocolId},
//! };
//!
//! let (alice, bob, mut rng) = (NodeKey::generate()?, NodeKey::generate()?, Rng::from_os()?);
//! let record = Record::builder().seq(1).sign(&alice)?;
//! let discv5 = ProtocolId::default();
//! let (to_alice, to_bob) = (Masking::new(alice.id(), discv5), Masking::new(bob.id(), discv5));
//! let ping = Message { request_id: RequestId::from(7), body: Body::Ping(Ping { enr_seq: 1 }) };
//!
//! // Alice has no keys either, so she sends something that nobody can open.
//! let datagram = to_bob.random_packet(alice.id(), &mut rng);
//! let Packet::Ordinary(packet) = to_bob.decode(&datagram)? else { unreachable!() };
//!
//! // Bob wants to know who she is. It is all that he keeps of her.
//! let challenge = Challenge::new(discv5, packet.src_id(), packet.nonce(), None, &mut rng);
//! let datagram = challenge.encode(&to_alice);
//!
//! // Alice tells him, and asks what she wanted to ask.
//! let Packet::WhoAreYou(whoareyou) = to_alice.decode(&datagram)? else { unreachable!() };
//! let initiator = Initiator::new(&alice, &record, bob.public_key(), &whoareyou, &mut rng);
//! let (datagram, unconfirmed) = initiator.seal(&to_bob, &ping.to_bytes()?, &mut rng)?;
//!
//! // Bob knows that it is her, and can answer.
//! let Packet::Handshake(packet) = to_bob.decode(&datagram)? else { unreachable!() };
//! let mut accepted = challenge.accept(&bob, &packet)?;
//! assert_eq!(accepted.record, record);
//! assert_eq!(Message::decode(&accepted.message)?, ping);
//! let datagram = accepted.session.seal(&to_alice, bob.id(), b"an answer", &mut rng)?;
//!
//! // Alice trusts the keys once an answer proves that Bob has them.
//! let Packet::Ordinary(packet) = to_alice.decode(&datagram)? else { unreachable!() };
//! let (_session, answer) = unconfirmed.confirm(&packet).map_err(|_| "not for these keys")?;
//! assert_eq!(answer, "an answer");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod config;
pub mod crypto;
mod event;
pub mod handshake;
mod machine;
pub mod message;
pub mod session;
mod statistics;
pub mod wire;

#[cfg(feature = "tokio")]
mod command;
#[cfg(feature = "tokio")]
mod driver;
#[cfg(feature = "tokio")]
mod events;
#[cfg(feature = "tokio")]
mod handle;
#[cfg(feature = "tokio")]
mod service;
#[cfg(feature = "tokio")]
mod table_info;
#[cfg(feature = "tokio")]
mod talk_requests;

pub use config::Config;
pub use devp2p_core::Transmit;
pub use event::{Event, Output, QueryId, RequestError, RespondError, Source, TalkId};
pub use machine::{Contact, Discv5, Peer, Predicate, Usage};
pub use statistics::{Count, DropCause, Statistics};

#[cfg(feature = "tokio")]
pub use command::QueryError;
#[cfg(feature = "tokio")]
pub use devp2p_udp::{
    BucketInfo, DatagramService, EntryInfo, Lookup, Missed, Nodes, Row, Rows, Socket, TableInfo,
};
#[cfg(feature = "tokio")]
pub use driver::Driver;
#[cfg(feature = "tokio")]
pub use events::Events;
#[cfg(feature = "tokio")]
pub use handle::Handle;
#[cfg(feature = "tokio")]
pub use service::{Service, ServiceStatistics};
#[cfg(feature = "tokio")]
pub use talk_requests::{TalkError, TalkRequest, TalkRequests};
