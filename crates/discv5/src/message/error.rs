use std::fmt;

use devp2p_core::Fault;

use super::MessageKind;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// The data is not what its type demands.
    Data(MessageKind),
    /// There is nothing.
    Empty,
    /// The request id has more than 8 bytes. A request with such an id gets no answer.
    RequestId(MessageKind),
    /// No message has this type here.
    UnknownKind(u8),
}

impl MessageError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(kind) => write!(f, "bad data in a {kind} message"),
            Self::Empty => f.write_str("an empty message"),
            Self::RequestId(kind) => write!(f, "too long a request id in a {kind} message"),
            Self::UnknownKind(kind) => write!(f, "unknown message type {kind}"),
        }
    }
}

impl std::error::Error for MessageError {}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageEncodeError {
    /// A record of NODES is not one RLP list.
    Record,
}

impl MessageEncodeError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for MessageEncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("the record is not an rlp list"),
        }
    }
}

impl std::error::Error for MessageEncodeError {}
