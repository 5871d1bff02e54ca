//! What goes over a stream: connections to one address share it, so each message names its own.

use bytes::{BufMut as _, Bytes, BytesMut};
use devp2p_core::PublicKey;
use devp2p_peer::DisconnectReason;

/// One connection between two addresses, as one of them names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wire {
    /// Whether this side dialed.
    pub(crate) dialed: bool,
    /// Among those that this side, or the other, dialed.
    pub(crate) number: u64,
}

/// A piece of a connection: what takes a round trip does so here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The dialer's SYN.
    Open,
    /// The answer of the listener's system, whatever the listener does.
    Opened,
    /// The secure handshake of the dialer, to the key that it expects.
    Auth { from: PublicKey, to: PublicKey },
    /// The answer to it.
    Ack(PublicKey),
    /// The Hello of either side.
    Hello(PublicKey),
    /// "I am still here."
    Alive,
    /// An end, with a reason.
    Disconnect(DisconnectReason),
    /// An end, without.
    Reset,
}

impl Piece {
    pub(crate) fn encode(&self, wire: Wire) -> Bytes {
        let mut bytes = BytesMut::with_capacity(138);
        let kind = match self {
            Self::Open => 0,
            Self::Opened => 1,
            Self::Auth { .. } => 2,
            Self::Ack(_) => 3,
            Self::Hello(_) => 4,
            Self::Alive => 5,
            Self::Disconnect(_) => 6,
            Self::Reset => 7,
        };
        bytes.put_u8(kind);
        bytes.put_u8(wire.dialed.into());
        bytes.put_u64(wire.number);
        match self {
            Self::Auth { from, to } => {
                bytes.put_slice(from.as_bytes());
                bytes.put_slice(to.as_bytes());
            }
            Self::Ack(key) | Self::Hello(key) => bytes.put_slice(key.as_bytes()),
            Self::Disconnect(reason) => bytes.put_u8(reason.code()),
            Self::Open | Self::Opened | Self::Alive | Self::Reset => {}
        }
        bytes.freeze()
    }

    /// The piece, and its connection as the reader names it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Wire, Self)> {
        let (&[kind, dialed], rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let wire = Wire { dialed: dialed == 0, number: u64::from_be_bytes(*number) };
        let key = |rest: &[u8]| PublicKey::from_bytes(rest.first_chunk()?).ok();
        let piece = match kind {
            0 => Self::Open,
            1 => Self::Opened,
            2 => Self::Auth { from: key(rest)?, to: key(rest.get(64..)?)? },
            3 => Self::Ack(key(rest)?),
            4 => Self::Hello(key(rest)?),
            5 => Self::Alive,
            6 => Self::Disconnect(DisconnectReason::from_code(*rest.first()?)),
            7 => Self::Reset,
            _ => return None,
        };
        Some((wire, piece))
    }
}
