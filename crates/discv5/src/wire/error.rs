use std::fmt;

use devp2p_core::Fault;

use super::{MAX_PACKET_SIZE, PacketKind};

/// Why a datagram is not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketError {
    /// Packets of this kind do not have authdata of so many bytes.
    AuthdataSize(PacketKind, usize),
    /// A signature of so many bytes and an ephemeral key of so many: not of identity scheme "v4".
    AuthdataSizes(u8, u8),
    /// No packet has this flag.
    Flag(u8),
    /// The packet ends within its header, or its message has a size that no message has.
    MessageSize(PacketKind),
    /// It is of another protocol, or to another node.
    ProtocolId,
    /// So many bytes are fewer than [`MIN_PACKET_SIZE`](super::MIN_PACKET_SIZE), or more than
    /// [`MAX_PACKET_SIZE`].
    Size(usize),
    /// It is of another version.
    Version(u16),
}

impl PacketError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthdataSize(kind, size) => {
                write!(f, "authdata of {size} bytes in a packet of kind {kind}")
            }
            Self::AuthdataSizes(signature, key) => {
                write!(f, "a signature of {signature} bytes and an ephemeral key of {key}")
            }
            Self::Flag(flag) => write!(f, "unknown flag {flag}"),
            Self::MessageSize(kind) => write!(f, "bad message size in a packet of kind {kind}"),
            Self::ProtocolId => f.write_str("of another protocol or to another node"),
            Self::Size(size) => write!(f, "a packet of {size} bytes"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

impl std::error::Error for PacketError {}

/// Why a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The key has sealed as many packets as it may; a handshake makes a new one.
    KeyUsedUp,
    /// The packet would have so many bytes, more than [`MAX_PACKET_SIZE`].
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
            Self::KeyUsedUp => f.write_str("the session's key is used up"),
            Self::Size(size) => {
                write!(f, "a packet of {size} bytes, {MAX_PACKET_SIZE} are allowed")
            }
        }
    }
}

impl std::error::Error for EncodeError {}
