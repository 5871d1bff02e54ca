//! The packets of the Node Discovery Protocol v4, with EIP-8 and EIP-868.
//!
//! A datagram is a hash, a signature, a type and RLP: `keccak256(rest) ‖ signature ‖ type ‖ data`.
//! Reading goes from the cheap to the expensive, and each step is the caller's to take:
//! [`Datagram::parse`] checks size, type and hash, [`Datagram::packet`] reads the data, and
//! [`Datagram::signer`] recovers who signed it. Nothing is authentic before the last.
//!
//! What is read may be newer than this: additional list elements, data after the list and other
//! versions are no errors (EIP-8). What is written is exact.
//!
//! ```
//! use devp2p_core::NodeKey;
//! use devp2p_discv4::wire::{Datagram, FindNode, Packet, Target};
//!
//! let key = NodeKey::generate()?;
//! let packet = Packet::FindNode(FindNode { target: Target::new([7; 64]), expiration: 1_800_000_000 });
//! let sealed = packet.seal(&key)?;
//!
//! let datagram = Datagram::parse(&sealed.bytes)?;
//! assert_eq!(datagram.hash(), sealed.hash);
//! assert_eq!(datagram.packet()?, packet);
//! assert_eq!(datagram.signer(&key)?, key.public_key());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod datagram;
mod error;
mod packet;
mod signer;

pub use self::{
    datagram::{Datagram, Sealed},
    error::{DecodeError, EncodeError},
    packet::{
        Endpoint, EnrRequest, EnrResponse, FindNode, Hash, Neighbor, Neighbors, Packet, PacketKind,
        Ping, Pong, Target,
    },
    signer::Signer,
};

/// The largest datagram, in bytes.
pub const MAX_PACKET_SIZE: usize = 1280;
/// The most nodes in one NEIGHBORS packet: with 13 of IPv6 it would be larger than
/// [`MAX_PACKET_SIZE`].
pub const MAX_NEIGHBORS: usize = 12;
/// The version of the protocol in PING.
pub const VERSION: u64 = 4;
