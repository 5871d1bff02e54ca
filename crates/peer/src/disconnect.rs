use std::fmt;

use bytes::Bytes;
use devp2p_core::{Fault, Message};
use rlp::{Rlp, RlpStream};

use crate::id;

/// Why a connection ends, as the Disconnect message tells it (RLPx specification, "Disconnect").
///
/// Codes that the specification does not know are kept as they came, those of more than a byte as
/// 0xff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// 0x00: asked for, by the operator or by code.
    Requested,
    /// 0x01: the connection failed.
    NetworkError,
    /// 0x02: a message that the protocol does not allow.
    ProtocolError,
    /// 0x03: no capability is shared.
    UselessPeer,
    /// 0x04: no slot is free.
    TooManyPeers,
    /// 0x05: there is a connection between the two nodes already.
    AlreadyConnected,
    /// 0x06: the versions of the base protocol cannot work together.
    IncompatibleVersion,
    /// 0x07: the node id in the Hello is none.
    InvalidIdentity,
    /// 0x08: the client stops, or the subprotocol is done.
    Quitting,
    /// 0x09: the node id in the Hello is another one than the handshake proved.
    UnexpectedIdentity,
    /// 0x0a: a node has connected to itself.
    SelfConnect,
    /// 0x0b: the remote was silent for too long.
    ReadTimeout,
    /// 0x10: a reason of a subprotocol.
    Subprotocol,
    /// A code that the specification does not know, from [`DisconnectReason::from_code`].
    Other(UnknownReason),
}

/// A code that stands for no [`DisconnectReason`] that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownReason(u8);

impl UnknownReason {
    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl DisconnectReason {
    /// The code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Requested => 0x00,
            Self::NetworkError => 0x01,
            Self::ProtocolError => 0x02,
            Self::UselessPeer => 0x03,
            Self::TooManyPeers => 0x04,
            Self::AlreadyConnected => 0x05,
            Self::IncompatibleVersion => 0x06,
            Self::InvalidIdentity => 0x07,
            Self::Quitting => 0x08,
            Self::UnexpectedIdentity => 0x09,
            Self::SelfConnect => 0x0a,
            Self::ReadTimeout => 0x0b,
            Self::Subprotocol => 0x10,
            Self::Other(unknown) => unknown.code(),
        }
    }

    /// The reason with this code.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0x00 => Self::Requested,
            0x01 => Self::NetworkError,
            0x02 => Self::ProtocolError,
            0x03 => Self::UselessPeer,
            0x04 => Self::TooManyPeers,
            0x05 => Self::AlreadyConnected,
            0x06 => Self::IncompatibleVersion,
            0x07 => Self::InvalidIdentity,
            0x08 => Self::Quitting,
            0x09 => Self::UnexpectedIdentity,
            0x0a => Self::SelfConnect,
            0x0b => Self::ReadTimeout,
            0x10 => Self::Subprotocol,
            code => Self::Other(UnknownReason(code)),
        }
    }

    /// The payload of a Disconnect: the list `[code]`.
    pub fn encode(self) -> Bytes {
        let mut list = RlpStream::new_list(1);
        list.append(&self.code());
        list.out().freeze()
    }

    /// The Disconnect with this reason.
    pub fn message(self) -> Message {
        Message { id: id::DISCONNECT, payload: self.encode() }
    }

    /// Reads the payload of a Disconnect.
    ///
    /// All forms that are seen in the field are read: the list `[code]` with or without more
    /// elements, the bare code, an empty list or nothing at all ([`Requested`](Self::Requested),
    /// which is code 0), and each of them compressed with snappy, which some nodes do before the
    /// Hellos have agreed on it. What cannot be read at all is a
    /// [`ProtocolError`](Self::ProtocolError): the connection ends in any case.
    pub fn decode(payload: &[u8]) -> Self {
        Self::decode_plain(decompress_literal(payload).unwrap_or(payload))
            .unwrap_or(Self::ProtocolError)
    }

    fn decode_plain(payload: &[u8]) -> Option<Self> {
        if payload.is_empty() {
            return Some(Self::Requested);
        }
        let outer = Rlp::new(payload);
        let item = match outer.is_list() {
            // A list cannot end before its own length does: an empty one is one without bytes.
            true if outer.payload_info().is_ok_and(|info| info.value_len == 0) => {
                return Some(Self::Requested);
            }
            true => outer.at(0).ok()?,
            false => outer,
        };
        if item.is_list() {
            return None;
        }
        match item.data().ok()? {
            [] => Some(Self::Requested),
            [code] => Some(Self::from_code(*code)),
            // Other clients' own reasons may be larger numbers. They are no breach.
            code if code.len() <= size_of::<u64>() => Some(Self::from_code(LARGE_CODE)),
            _ => None,
        }
    }

    /// Whose fault this reason tells of, as the one who sends it sees it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::NetworkError | Self::ReadTimeout => Fault::Network,
            Self::ProtocolError
            | Self::UselessPeer
            | Self::IncompatibleVersion
            | Self::InvalidIdentity
            | Self::UnexpectedIdentity => Fault::Remote,
            _ => Fault::Local,
        }
    }
}

impl fmt::Display for DisconnectReason {
    /// Prints what go-ethereum prints, so that logs of both can be compared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "disconnect requested",
            Self::NetworkError => "network error",
            Self::ProtocolError => "breach of protocol",
            Self::UselessPeer => "useless peer",
            Self::TooManyPeers => "too many peers",
            Self::AlreadyConnected => "already connected",
            Self::IncompatibleVersion => "incompatible p2p protocol version",
            Self::InvalidIdentity => "invalid node identity",
            Self::Quitting => "client quitting",
            Self::UnexpectedIdentity => "unexpected identity",
            Self::SelfConnect => "connected to self",
            Self::ReadTimeout => "read timeout",
            Self::Subprotocol => "subprotocol error",
            Self::Other(unknown) => {
                return write!(f, "unknown disconnect reason {:#04x}", unknown.code());
            }
        })
    }
}

/// What a code of more than a byte is read as.
const LARGE_CODE: u8 = 0xff;

/// The longest Disconnect that is looked at as snappy: `[code]` takes three bytes, and one literal
/// of up to 60 bytes has a tag of one byte.
const MAX_LITERAL: usize = 60;

/// The content of a snappy block that is one short literal, as a compressed Disconnect always is:
/// its length, the tag of the literal, the bytes. `None` where `block` is something else.
///
/// A plain Disconnect cannot be taken for one: a first byte of 1 to 60 is a bare code, which is
/// one byte long, and a block has at least three.
fn decompress_literal(block: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = block.split_first()?;
    let (&tag, literal) = rest.split_first()?;
    let length = usize::from(length);
    let fits = (1..=MAX_LITERAL).contains(&length) && literal.len() == length;
    (fits && usize::from(tag) == length.saturating_sub(1) << 2).then_some(literal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_in_the_field_is_read() {
        let cases: [(&[u8], DisconnectReason); 18] = [
            (&[0xc1, 0x04], DisconnectReason::TooManyPeers),
            (&[0xc1, 0x80], DisconnectReason::Requested),
            (&[0xc1, 0x00], DisconnectReason::Requested),
            (&[0x04], DisconnectReason::TooManyPeers),
            (&[0x00], DisconnectReason::Requested),
            (&[0x80], DisconnectReason::Requested),
            (&[0xc0], DisconnectReason::Requested),
            (&[], DisconnectReason::Requested),
            (&[0xc3, 0x04, 0x05, 0x06], DisconnectReason::TooManyPeers),
            (&[0xc2, 0x81, 0xff], DisconnectReason::from_code(0xff)),
            (&[0xc1, 0x0c], DisconnectReason::from_code(0x0c)),
            (&[0x02, 0x04, 0xc1, 0x08], DisconnectReason::Quitting),
            (&[0x01, 0x00, 0x10], DisconnectReason::Subprotocol),
            (&[0x01, 0x00, 0xc0], DisconnectReason::Requested),
            (&[0xc3, 0x82, 0x01, 0x00], DisconnectReason::from_code(0xff)),
            (&[0xc3, 0x82, 0x01, 0x04], DisconnectReason::from_code(0xff)),
            (&[0xca, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9], DisconnectReason::ProtocolError),
            (&[0xf8], DisconnectReason::ProtocolError),
        ];
        for (payload, reason) in cases {
            assert_eq!(DisconnectReason::decode(payload), reason, "{payload:02x?}");
        }
    }

    #[test]
    fn unknown_codes_are_kept_and_accuse_nobody() {
        for code in [0x0c, 0x0f, 0x11, 0xff] {
            let reason = DisconnectReason::from_code(code);
            assert!(matches!(reason, DisconnectReason::Other(unknown) if unknown.code() == code));
            assert_eq!(reason.fault(), Fault::Local, "the sender's own matter");
            assert_eq!(reason.to_string(), format!("unknown disconnect reason {code:#04x}"));
        }
    }

    proptest! {
        #[test]
        fn codes_survive(code: u8) {
            let reason = DisconnectReason::from_code(code);
            prop_assert_eq!(reason.code(), code);
            prop_assert_eq!(DisconnectReason::decode(&reason.encode()), reason);
            prop_assert_eq!(DisconnectReason::decode(&[0xc2, 0x81, code]), reason);
        }

        #[test]
        fn nothing_panics(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let reason = DisconnectReason::decode(&payload);
            prop_assert!(!reason.to_string().is_empty());
        }
    }
}
