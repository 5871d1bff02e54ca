use std::fmt;

use devp2p_core::{Fault, NodeId, RecordError};

/// Why a handshake packet makes no session.
///
/// The sender is not told: to it, all of these look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The ephemeral key is not a point on the curve.
    EphemeralKey,
    /// The id signature is not the sender's, or over another challenge.
    IdSignature,
    /// The message is not sealed with the keys of this handshake.
    Message,
    /// We have no record of the sender, and it sent none.
    NoRecord,
    /// The record is older than the one that we have.
    OldRecord {
        /// The sequence number that we have.
        known: u64,
        /// The sequence number that was sent.
        sent: u64,
    },
    /// The record is bad.
    Record(RecordError),
    /// The record is that of this node, which is not the sender.
    RecordId(NodeId),
    /// The challenge went to another node.
    SrcId(NodeId),
}

impl HandshakeError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EphemeralKey => f.write_str("the ephemeral key is not on the curve"),
            Self::IdSignature => f.write_str("bad id signature"),
            Self::Message => f.write_str("the message cannot be opened"),
            Self::NoRecord => f.write_str("the record is missing"),
            Self::OldRecord { known, sent } => {
                write!(f, "record number {sent} was sent, and {known} is known")
            }
            Self::Record(error) => write!(f, "bad record: {error}"),
            Self::RecordId(id) => write!(f, "the record is that of {id:#}"),
            Self::SrcId(id) => write!(f, "{id:#} was not challenged"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Record(error) => Some(error),
            _ => None,
        }
    }
}
