//! The packets of the Node Discovery Protocol v5.1.
//!
//! ```text
//!   masking-iv | protocol-id version flag nonce authdata-size | authdata | message
//!       16            6         2     1    12         2
//!                masked with AES-128-CTR, key = receiver's id[..16]        AES-128-GCM
//! ```
//!
//! The masking is no secret: it only keeps middleboxes from knowing the packets by their first
//! bytes. [`Masking`] does and undoes it. [`Masking::peek`] is the cheapest look at a datagram: is
//! it one of this protocol, to us, with sizes that fit? [`Masking::decode`] reads the rest, and
//! nothing is authentic before a [`Session`](crate::session::Session) or a
//! [`Challenge`](crate::handshake::Challenge) has opened the message.
//!
//! Sizes are exact, as the specification has them. What is written is what is read, byte for byte.
//!
//! Source: [discv5-wire.md](https://github.com/ethereum/devp2p/blob/master/discv5/discv5-wire.md).

mod encode;
mod error;
mod header;
mod masking;
mod packet;
mod whoareyou;

pub use self::{
    encode::{Envelope, Proof},
    error::{EncodeError, PacketError},
    header::{Nonce, PacketKind, ProtocolId},
    masking::{Masking, Peek},
    packet::{HandshakePacket, OrdinaryPacket, Packet},
    whoareyou::WhoAreYou,
};

/// The smallest packet, in bytes: WHOAREYOU, which always has this size.
pub const MIN_PACKET_SIZE: usize = 63;
/// The largest packet, in bytes.
pub const MAX_PACKET_SIZE: usize = 1280;
/// The version of the protocol.
pub const VERSION: u16 = 0x0001;
/// The most bytes of a message, in RLP with its type, that an ordinary packet has room for.
pub const MAX_MESSAGE_SIZE: usize =
    MAX_PACKET_SIZE - header::HEADER_START - header::ORDINARY_AUTHDATA_SIZE - header::TAG_SIZE;
/// The most bytes of a message that a handshake packet has room for, whatever record is with it.
pub const MAX_HANDSHAKE_MESSAGE_SIZE: usize = MAX_PACKET_SIZE
    - header::HEADER_START
    - header::HANDSHAKE_AUTHDATA_SIZE
    - devp2p_core::Record::MAX_SIZE
    - header::TAG_SIZE;
