use std::fmt;

use devp2p_core::Fault;

use super::{MAX_PACKET_SIZE, PacketKind};

/// Why a datagram is not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The data is not what its type demands.
    Data(PacketKind),
    /// The hash is not that of the rest.
    Hash,
    /// Nobody can have made the signature.
    Signature,
    /// So many bytes are too few, or more than [`MAX_PACKET_SIZE`].
    Size(usize),
    /// No packet has this type; EIP-8 has it ignored.
    UnknownKind(u8),
}

impl DecodeError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(kind) => write!(f, "bad data in a {kind} packet"),
            Self::Hash => f.write_str("bad hash"),
            Self::Signature => f.write_str("bad signature"),
            Self::Size(size) => write!(f, "a packet of {size} bytes"),
            Self::UnknownKind(kind) => write!(f, "unknown packet type {kind}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a packet cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The record of an ENRRESPONSE is not one RLP list.
    Record,
    /// So many bytes are more than [`MAX_PACKET_SIZE`].
    Size(usize),
}

impl EncodeError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("the record is not an rlp list"),
            Self::Size(size) => {
                write!(f, "a packet of {size} bytes, {MAX_PACKET_SIZE} are allowed")
            }
        }
    }
}

impl std::error::Error for EncodeError {}
