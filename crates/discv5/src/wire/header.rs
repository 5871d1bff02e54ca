use std::fmt;

use bytes::BufMut;
use devp2p_core::{Record, Rng};

use super::{PacketError, VERSION};

/// The size of the masking IV, which goes before the header.
pub(super) const IV_SIZE: usize = 16;
/// The header without authdata.
pub(super) const STATIC_HEADER_SIZE: usize = 23;
/// Where authdata begins.
pub(super) const HEADER_START: usize = IV_SIZE + STATIC_HEADER_SIZE;
/// src-id.
pub(super) const ORDINARY_AUTHDATA_SIZE: usize = 32;
/// id-nonce and enr-seq.
pub(super) const WHOAREYOU_AUTHDATA_SIZE: usize = 24;
/// src-id, two sizes, the signature and the ephemeral key of scheme "v4"; a record may follow.
pub(super) const HANDSHAKE_AUTHDATA_SIZE: usize = 32 + 2 + SIGNATURE_SIZE + EPHEMERAL_KEY_SIZE;
/// The id signature of identity scheme "v4".
pub(super) const SIGNATURE_SIZE: usize = 64;
/// The ephemeral key of identity scheme "v4", compressed.
pub(super) const EPHEMERAL_KEY_SIZE: usize = 33;
/// The tag of AES-GCM, without which no message can be opened.
pub(super) const TAG_SIZE: usize = 16;

/// Which protocol a packet is of. Networks of their own choose their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolId([u8; 6]);

impl ProtocolId {
    /// The protocol with these bytes.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl Default for ProtocolId {
    /// "discv5", that of the public networks.
    fn default() -> Self {
        Self(*b"discv5")
    }
}

impl fmt::Debug for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolId({})", self.0.escape_ascii())
    }
}

/// The number that a packet is used once with. WHOAREYOU repeats that of the packet it answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; 12]);

impl Nonce {
    /// The nonce with these bytes.
    pub const fn new(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// A random one, for a packet that no key seals.
    pub fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 12];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// The nonce of a sealed packet: how many its key has sealed before, and 64 random bits, which
    /// keep nonces apart even where a counter should start again.
    pub fn counted(counter: u32, rng: &mut Rng) -> Self {
        let mut bytes = [0; 12];
        let (count, random) = bytes.split_at_mut(4);
        count.copy_from_slice(&counter.to_be_bytes());
        rng.fill(random);
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The kind of a packet, its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    /// A message, sealed with the keys of a session: flag 0.
    Ordinary,
    /// "I cannot open this, who are you?": flag 1.
    WhoAreYou,
    /// The answer to WHOAREYOU, and a message with it: flag 2.
    Handshake,
}

impl PacketKind {
    /// All kinds, in the order of their flags.
    pub const ALL: &'static [Self] = &[Self::Ordinary, Self::WhoAreYou, Self::Handshake];

    /// The byte that stands for the kind.
    pub const fn flag(self) -> u8 {
        match self {
            Self::Ordinary => 0,
            Self::WhoAreYou => 1,
            Self::Handshake => 2,
        }
    }

    /// The kind that a byte stands for.
    pub fn from_flag(flag: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.flag() == flag)
    }

    /// Whether authdata of this kind can have so many bytes.
    const fn allows_authdata(self, size: usize) -> bool {
        match self {
            Self::Ordinary => size == ORDINARY_AUTHDATA_SIZE,
            Self::WhoAreYou => size == WHOAREYOU_AUTHDATA_SIZE,
            Self::Handshake => {
                size >= HANDSHAKE_AUTHDATA_SIZE
                    && size <= HANDSHAKE_AUTHDATA_SIZE + Record::MAX_SIZE
            }
        }
    }

    /// Whether so many bytes can be the message: WHOAREYOU has none, others at least a tag.
    const fn allows_message(self, size: usize) -> bool {
        match self {
            Self::Ordinary | Self::Handshake => size >= TAG_SIZE,
            Self::WhoAreYou => size == 0,
        }
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordinary => "ordinary",
            Self::WhoAreYou => "WHOAREYOU",
            Self::Handshake => "handshake",
        })
    }
}

/// The header before authdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StaticHeader {
    pub(super) kind: PacketKind,
    pub(super) nonce: Nonce,
    pub(super) authdata_size: u16,
}

impl StaticHeader {
    /// Reads what was unmasked; `size` is that of the whole packet.
    pub(super) fn read(
        protocol: ProtocolId,
        header: &[u8; STATIC_HEADER_SIZE],
        size: usize,
    ) -> Result<Self, PacketError> {
        let cut = PacketError::Size(size);
        // In the order of the fields: most of what is not for us ends at the first.
        let (id, rest) = header.split_first_chunk().ok_or(cut)?;
        if *id != protocol.0 {
            return Err(PacketError::ProtocolId);
        }
        let (version, rest) = rest.split_first_chunk().ok_or(cut)?;
        let version = u16::from_be_bytes(*version);
        if version != VERSION {
            return Err(PacketError::Version(version));
        }
        let (&flag, rest) = rest.split_first().ok_or(cut)?;
        let kind = PacketKind::from_flag(flag).ok_or(PacketError::Flag(flag))?;
        let (&nonce, rest) = rest.split_first_chunk().ok_or(cut)?;
        let authdata_size = u16::from_be_bytes(*rest.first_chunk().ok_or(cut)?);
        let authdata = usize::from(authdata_size);
        if !kind.allows_authdata(authdata) {
            return Err(PacketError::AuthdataSize(kind, authdata));
        }
        // As much as is declared has to be there.
        let message = size.checked_sub(HEADER_START.saturating_add(authdata));
        if !message.is_some_and(|message| kind.allows_message(message)) {
            return Err(PacketError::MessageSize(kind));
        }
        Ok(Self { kind, nonce: Nonce(nonce), authdata_size })
    }

    /// Appends the header as it is before it is masked.
    pub(super) fn write(&self, protocol: ProtocolId, out: &mut impl BufMut) {
        out.put_slice(&protocol.0);
        out.put_u16(VERSION);
        out.put_u8(self.kind.flag());
        out.put_slice(&self.nonce.0);
        out.put_u16(self.authdata_size);
    }
}
