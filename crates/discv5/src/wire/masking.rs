use std::fmt;

use aes::{
    Aes128Enc,
    cipher::{InnerIvInit as _, KeyInit as _, StreamCipher as _},
};
use ctr::{Ctr128BE, CtrCore, flavors};
use devp2p_core::NodeId;

use super::{
    MAX_PACKET_SIZE, MIN_PACKET_SIZE, Nonce, Packet, PacketError, PacketKind, ProtocolId,
    header::{HEADER_START, IV_SIZE, ORDINARY_AUTHDATA_SIZE, STATIC_HEADER_SIZE, StaticHeader},
};

/// How much [`Peek`] unmasks: four blocks of AES, which run side by side. It is all of the header
/// but for handshakes.
const PEEKED_SIZE: usize = 64;

/// The masking of headers on the way to one node, and the protocol that they are of.
///
/// Who receives keeps one for its own id; the key is scheduled once.
#[derive(Clone)]
pub struct Masking {
    cipher: Aes128Enc,
    protocol: ProtocolId,
}

impl Masking {
    /// The masking of packets to this node.
    pub fn new(destination: NodeId, protocol: ProtocolId) -> Self {
        let (key, _) = destination.as_bytes().split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self { cipher: Aes128Enc::new(key.into()), protocol }
    }

    /// The protocol.
    pub const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    /// Whether a datagram is a packet of this protocol to this node, of which kind, and whether
    /// its sizes are right. Costs four blocks of AES; whatever else arrives at a socket ends here.
    ///
    /// # Errors
    /// All of [`PacketError`] but [`PacketError::AuthdataSizes`].
    pub fn peek<'a>(&self, bytes: &'a [u8]) -> Result<Peek<'a>, PacketError> {
        if !(MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&bytes.len()) {
            return Err(PacketError::Size(bytes.len()));
        }
        let mut head = [0; IV_SIZE + PEEKED_SIZE];
        let known = bytes.len().min(head.len());
        head.split_at_mut(known).0.copy_from_slice(bytes.split_at(known).0);
        self.apply(&mut head);
        let (_, header) = head.split_at(IV_SIZE);
        let (header, _) = header
            .split_first_chunk::<STATIC_HEADER_SIZE>()
            .ok_or(PacketError::Size(bytes.len()))?;
        let header = StaticHeader::read(self.protocol, header, bytes.len())?;
        Ok(Peek { header, head, bytes })
    }

    /// Reads a packet. Nothing in it is authentic yet.
    ///
    /// # Errors
    /// All of [`PacketError`].
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        self.decode_peeked(&self.peek(bytes)?)
    }

    /// Reads the rest of a packet that this masking [peeked](Self::peek) at.
    ///
    /// # Errors
    /// [`PacketError::AuthdataSizes`].
    pub fn decode_peeked<'a>(&self, peek: &Peek<'a>) -> Result<Packet<'a>, PacketError> {
        Packet::read(self, peek)
    }

    /// Masks, or unmasks, everything that comes after the IV at the front.
    pub(super) fn apply(&self, iv_and_header: &mut [u8]) {
        let Some((iv, header)) = iv_and_header.split_first_chunk_mut::<IV_SIZE>() else { return };
        // The counter has all 128 bits, as in OpenSSL and Go.
        let core: CtrCore<_, flavors::Ctr128BE> =
            CtrCore::inner_iv_init(&self.cipher, (&*iv).into());
        Ctr128BE::from_core(core).apply_keystream(header);
    }
}

impl fmt::Debug for Masking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masking").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// A datagram that is a packet by its header.
#[derive(Clone, Copy)]
pub struct Peek<'a> {
    header: StaticHeader,
    /// The IV and the beginning of the header, unmasked; garbage after the packet's end.
    head: [u8; IV_SIZE + PEEKED_SIZE],
    bytes: &'a [u8],
}

impl<'a> Peek<'a> {
    /// The kind of the packet.
    pub const fn kind(&self) -> PacketKind {
        self.header.kind
    }

    /// The nonce; that of WHOAREYOU names the packet that it answers.
    pub const fn nonce(&self) -> Nonce {
        self.header.nonce
    }

    /// Who says that it sent the packet; WHOAREYOU does not say.
    pub fn src_id(&self) -> Option<NodeId> {
        let says_so = self.kind() != PacketKind::WhoAreYou;
        let head: [u8; HEADER_START + ORDINARY_AUTHDATA_SIZE] = self.head().filter(|_| says_so)?;
        head.last_chunk().copied().map(NodeId::new)
    }

    /// The size of authdata, which is right for the kind.
    pub const fn authdata_size(&self) -> u16 {
        self.header.authdata_size
    }

    /// The datagram.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first `N` bytes, unmasked.
    pub(super) fn head<const N: usize>(&self) -> Option<[u8; N]> {
        self.head.first_chunk().copied()
    }
}

impl fmt::Debug for Peek<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peek")
            .field("kind", &self.kind())
            .field("nonce", &self.nonce())
            .field("authdata_size", &self.authdata_size())
            .field("size", &self.bytes.len())
            .finish()
    }
}
