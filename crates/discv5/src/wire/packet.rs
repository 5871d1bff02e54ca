use std::fmt;

use bytes::{Bytes, BytesMut};
use devp2p_core::NodeId;

use super::{
    MIN_PACKET_SIZE, Masking, Nonce, PacketError, PacketKind, Peek, ProtocolId, WhoAreYou,
    header::{
        EPHEMERAL_KEY_SIZE, HANDSHAKE_AUTHDATA_SIZE, HEADER_START, ORDINARY_AUTHDATA_SIZE,
        SIGNATURE_SIZE,
    },
};

/// The header of an ordinary packet, with its IV.
const ORDINARY_HEADER_SIZE: usize = HEADER_START + ORDINARY_AUTHDATA_SIZE;

/// A packet, with its header unmasked and its message sealed.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// A message within a session.
    Ordinary(OrdinaryPacket<'a>),
    /// A challenge.
    WhoAreYou(WhoAreYou),
    /// The answer to a challenge, and a message.
    Handshake(HandshakePacket<'a>),
}

impl<'a> Packet<'a> {
    /// As [`Masking::peek`], for the protocol of the public networks: for one look.
    ///
    /// # Errors
    /// Those of [`Masking::peek`].
    pub fn peek(local_id: NodeId, bytes: &'a [u8]) -> Result<Peek<'a>, PacketError> {
        Masking::new(local_id, ProtocolId::default()).peek(bytes)
    }

    /// As [`Masking::decode`], for the protocol of the public networks: for one packet.
    ///
    /// # Errors
    /// All of [`PacketError`].
    pub fn decode(local_id: NodeId, bytes: &'a [u8]) -> Result<Self, PacketError> {
        Masking::new(local_id, ProtocolId::default()).decode(bytes)
    }

    /// The kind.
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::Ordinary(_) => PacketKind::Ordinary,
            Self::WhoAreYou(_) => PacketKind::WhoAreYou,
            Self::Handshake(_) => PacketKind::Handshake,
        }
    }

    pub(super) fn read(masking: &Masking, peek: &Peek<'a>) -> Result<Self, PacketError> {
        let size = PacketError::Size(peek.bytes().len());
        let header_size = HEADER_START.saturating_add(usize::from(peek.authdata_size()));
        let (masked, message) = peek.bytes().split_at_checked(header_size).ok_or(size)?;
        Ok(match peek.kind() {
            PacketKind::Ordinary => Self::Ordinary(OrdinaryPacket {
                nonce: peek.nonce(),
                header: peek.head().ok_or(size)?,
                message,
            }),
            PacketKind::WhoAreYou => {
                let data: [u8; MIN_PACKET_SIZE] = peek.head().ok_or(size)?;
                Self::WhoAreYou(WhoAreYou::from_unmasked(data))
            }
            PacketKind::Handshake => {
                let mut header = BytesMut::from(masked);
                masking.apply(&mut header);
                Self::Handshake(HandshakePacket::read(peek.nonce(), header.freeze(), message)?)
            }
        })
    }
}

/// An ordinary packet: a message within a session, or something random that asks for one.
#[derive(Clone, Copy)]
pub struct OrdinaryPacket<'a> {
    nonce: Nonce,
    header: [u8; ORDINARY_HEADER_SIZE],
    message: &'a [u8],
}

impl<'a> OrdinaryPacket<'a> {
    /// Who says that it sent the packet.
    pub fn src_id(&self) -> NodeId {
        NodeId::new(self.header.last_chunk().copied().unwrap_or([0; 32]))
    }

    /// The nonce.
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// What the message's seal covers besides: the masking IV and the header, unmasked.
    pub const fn message_ad(&self) -> &[u8] {
        &self.header
    }

    /// The sealed message.
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }
}

impl fmt::Debug for OrdinaryPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrdinaryPacket")
            .field("src_id", &self.src_id())
            .field("nonce", &self.nonce)
            .field("message_size", &self.message.len())
            .finish()
    }
}

/// A handshake packet: who the sender is, with a proof, and a message sealed with new keys.
#[derive(Clone)]
pub struct HandshakePacket<'a> {
    src_id: NodeId,
    nonce: Nonce,
    id_signature: [u8; SIGNATURE_SIZE],
    ephemeral_key: [u8; EPHEMERAL_KEY_SIZE],
    header: Bytes,
    message: &'a [u8],
}

impl<'a> HandshakePacket<'a> {
    /// Who says that it sent the packet.
    pub const fn src_id(&self) -> NodeId {
        self.src_id
    }

    /// The nonce.
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The signature that proves the sender's identity, r and s.
    pub const fn id_signature(&self) -> &[u8; 64] {
        &self.id_signature
    }

    /// The public key that the sender made for this handshake, compressed; any 33 bytes.
    pub const fn ephemeral_key(&self) -> &[u8; 33] {
        &self.ephemeral_key
    }

    /// The sender's record as it came, not verified.
    pub fn record(&self) -> Option<&[u8]> {
        self.header
            .get(HEADER_START + HANDSHAKE_AUTHDATA_SIZE..)
            .filter(|record| !record.is_empty())
    }

    /// What the message's seal covers besides: the masking IV and the header, unmasked.
    pub fn message_ad(&self) -> &[u8] {
        &self.header
    }

    /// The sealed message.
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    fn read(nonce: Nonce, header: Bytes, message: &'a [u8]) -> Result<Self, PacketError> {
        let size = PacketError::Size(header.len());
        let (_, authdata) = header.split_at_checked(HEADER_START).ok_or(size)?;
        let (src_id, rest) = authdata.split_first_chunk().ok_or(size)?;
        let (sizes, rest) = rest.split_first_chunk::<2>().ok_or(size)?;
        if sizes.map(usize::from) != [SIGNATURE_SIZE, EPHEMERAL_KEY_SIZE] {
            let [signature, key] = *sizes;
            return Err(PacketError::AuthdataSizes(signature, key));
        }
        let (&id_signature, rest) = rest.split_first_chunk().ok_or(size)?;
        let &ephemeral_key = rest.first_chunk().ok_or(size)?;
        let src_id = NodeId::new(*src_id);
        Ok(Self { src_id, nonce, id_signature, ephemeral_key, header, message })
    }
}

impl fmt::Debug for HandshakePacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakePacket")
            .field("src_id", &self.src_id)
            .field("nonce", &self.nonce)
            .field("record_size", &self.record().map_or(0, <[u8]>::len))
            .field("message_size", &self.message.len())
            .finish_non_exhaustive()
    }
}
