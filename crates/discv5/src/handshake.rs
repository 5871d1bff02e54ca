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

mod error;
mod initiator;
mod recipient;

pub use self::{
    error::HandshakeError,
    initiator::{Initiator, Unconfirmed},
    recipient::{Accepted, Challenge},
};
