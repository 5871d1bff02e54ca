use std::fmt;

use bytes::Bytes;
use devp2p_core::{Fault, Message, PublicKey};
use rlp::{Rlp, RlpStream};

use crate::{Capability, DisconnectReason, id};

/// The first message of both sides: who they are and what they speak (RLPx specification,
/// "Hello").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the base protocol: [`Hello::VERSION`] for our own.
    pub version: u64,
    /// What the client calls itself, such as `Geth/v1.13.15-stable/linux-amd64/go1.21.6`.
    ///
    /// As read from a remote it has no characters that control a terminal, cannot be seen or
    /// change the direction of text, and at most [`Hello::MAX_NAME`] bytes.
    pub name: String,
    /// What the node speaks.
    pub capabilities: Vec<Capability>,
    /// The port that the node listens on; 0, as most send, where it does not say.
    pub listen_port: u16,
    /// The node's public key.
    pub public_key: PublicKey,
}

impl Hello {
    /// The version of the base protocol that is spoken here; from this one on messages are
    /// compressed (EIP-706).
    pub const VERSION: u64 = 5;
    /// The largest Hello, in bytes, that is sent or read.
    pub const MAX_SIZE: usize = 2 * 1024;
    /// Where a remote's name is cut, in bytes: logs and lists of peers show it.
    pub const MAX_NAME: usize = 256;

    /// Our own Hello, with the current version and no port.
    pub fn new(
        name: impl Into<String>,
        capabilities: Vec<Capability>,
        public_key: PublicKey,
    ) -> Self {
        Self { version: Self::VERSION, name: name.into(), capabilities, listen_port: 0, public_key }
    }

    /// Whether messages between this node and one of our version are compressed.
    pub const fn snappy(&self) -> bool {
        self.version >= Self::VERSION
    }

    /// The payload of the Hello. The capabilities are sorted, as the specification wants it.
    pub fn encode(&self) -> Bytes {
        let mut capabilities: Vec<_> = self.capabilities.iter().collect();
        capabilities.sort();
        let mut out = RlpStream::new_list(5);
        out.append(&self.version).append(&self.name).begin_list(capabilities.len());
        for capability in capabilities {
            out.begin_list(2).append(&capability.name).append(&capability.version);
        }
        out.append(&self.listen_port).append(&self.public_key.as_bytes().as_slice());
        out.out().freeze()
    }

    /// The message that carries this Hello.
    pub fn message(&self) -> Message {
        Message { id: id::HELLO, payload: self.encode() }
    }

    /// Reads the payload of a Hello.
    ///
    /// More elements and other versions are accepted (EIP-8); numbers too large for their fields
    /// are cut to the largest (the version) or to 0 (the port), and capabilities that could
    /// match none of ours (no text, a version of more than 64 bits) are left out.
    ///
    /// # Errors
    /// What makes it useless; [`DecodeHelloError::reason`] is what to tell the remote.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeHelloError> {
        if payload.len() > Self::MAX_SIZE {
            return Err(DecodeHelloError::TooLarge);
        }
        let list = Rlp::new(payload);
        let bytes = |index: usize, what: &'static str| -> Result<&[u8], DecodeHelloError> {
            let malformed = DecodeHelloError::Malformed(what);
            let item = list.at(index).map_err(|_| malformed)?;
            if item.is_data() { item.data().map_err(|_| malformed) } else { Err(malformed) }
        };
        let version = unsigned(bytes(0, "version")?).unwrap_or(u64::MAX);
        let name = presentable(&String::from_utf8_lossy(bytes(1, "name")?));
        let capabilities = list.at(2).map_err(|_| DecodeHelloError::Malformed("capabilities"))?;
        if !capabilities.is_list() {
            return Err(DecodeHelloError::Malformed("capabilities"));
        }
        let capabilities = capabilities.iter().filter_map(|item| capability(&item)).collect();
        let port = unsigned(bytes(3, "listen port")?);
        let listen_port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let key = <&[u8; 64]>::try_from(bytes(4, "node id")?)
            .map_err(|_| DecodeHelloError::IdentityLength)?;
        if key.iter().all(|&byte| byte == 0) {
            return Err(DecodeHelloError::ZeroIdentity);
        }
        let public_key =
            PublicKey::from_bytes(key).map_err(|_| DecodeHelloError::IdentityNotOnCurve)?;
        Ok(Self { version, name, capabilities, listen_port, public_key })
    }
}

/// A number in big-endian, with or without leading zeros; `None` where 64 bits do not hold it.
fn unsigned(bytes: &[u8]) -> Option<u64> {
    bytes
        .iter()
        .try_fold(0_u64, |value, &byte| value.checked_mul(0x100)?.checked_add(u64::from(byte)))
}

/// A capability, where it is one that could match one of ours.
fn capability(item: &Rlp<'_>) -> Option<Capability> {
    let field = |index| item.at(index).ok().filter(Rlp::is_data)?.data().ok();
    let name = std::str::from_utf8(field(0)?).ok()?;
    let printable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let version = unsigned(field(1)?)?;
    printable.then(|| Capability::new(name, version))
}

/// A name as it can be shown: control characters, which could steer a terminal or forge a line of
/// a log, are dropped, and so is what cannot be seen or reorders the text around it; and it is cut
/// at a character's boundary.
fn presentable(name: &str) -> String {
    let is_shown = |c: char| !c.is_control() && !is_format(c);
    let mut shown: String = name.chars().filter(|&c| is_shown(c)).collect();
    shown.truncate(shown.floor_char_boundary(Hello::MAX_NAME));
    shown
}

/// Characters of zero width, line separators, and those that set the direction of text
/// (Unicode Standard Annex 9).
const fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Why a Hello cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeHelloError {
    /// The node id is not 64 bytes.
    IdentityLength,
    /// The node id is not a point of the curve, and so not the one that the handshake proved.
    IdentityNotOnCurve,
    /// An element is missing or of the wrong kind; the text says which.
    Malformed(&'static str),
    /// It is larger than [`Hello::MAX_SIZE`].
    TooLarge,
    /// The node id is all zeros.
    ZeroIdentity,
}

impl DecodeHelloError {
    /// What to tell the remote.
    pub const fn reason(self) -> DisconnectReason {
        match self {
            Self::IdentityLength | Self::ZeroIdentity => DisconnectReason::InvalidIdentity,
            Self::IdentityNotOnCurve => DisconnectReason::UnexpectedIdentity,
            Self::Malformed(_) | Self::TooLarge => DisconnectReason::ProtocolError,
        }
    }

    /// Whose fault it is: the remote's.
    pub const fn fault(self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for DecodeHelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdentityLength => f.write_str("the node id in the hello is not 64 bytes"),
            Self::IdentityNotOnCurve => f.write_str("the node id in the hello is not on the curve"),
            Self::Malformed(what) => write!(f, "the {what} of the hello is malformed"),
            Self::TooLarge => write!(f, "the hello is larger than {} bytes", Hello::MAX_SIZE),
            Self::ZeroIdentity => f.write_str("the node id in the hello is all zeros"),
        }
    }
}

impl std::error::Error for DecodeHelloError {}
