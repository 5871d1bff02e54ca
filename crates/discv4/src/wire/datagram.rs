use bytes::{Bytes, BytesMut};
use devp2p_core::PublicKey;
use sha3::{Digest as _, Keccak256};

use super::{
    DecodeError, EncodeError, Hash, MAX_PACKET_SIZE, Packet, PacketKind, Signer, packet::encode,
};

const HASH_SIZE: usize = 32;
const SIGNATURE_SIZE: usize = 65;
/// What PING, PONG, FINDNODE and ENRREQUEST fit in.
const SMALL_PACKET_SIZE: usize = 256;
const SIGNED_AT: usize = HASH_SIZE + SIGNATURE_SIZE;

/// A datagram of the right size and a known type, with the right hash.
///
/// The hash is no protection: anybody can make it. It tells damage and other protocols apart.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    kind: PacketKind,
    hash: Hash,
    signature: &'a [u8; SIGNATURE_SIZE],
    /// Type and data.
    signed: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Checks size, type and hash, in this order.
    ///
    /// # Errors
    /// [`DecodeError::Size`], [`DecodeError::UnknownKind`] and [`DecodeError::Hash`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let size = DecodeError::Size(bytes.len());
        if bytes.len() > MAX_PACKET_SIZE {
            return Err(size);
        }
        let (hash, rest) = bytes.split_first_chunk::<HASH_SIZE>().ok_or(size)?;
        let (signature, signed) = rest.split_first_chunk::<SIGNATURE_SIZE>().ok_or(size)?;
        let &kind = signed.first().ok_or(size)?;
        let kind = PacketKind::from_code(kind).ok_or(DecodeError::UnknownKind(kind))?;
        if keccak(rest) != *hash {
            return Err(DecodeError::Hash);
        }
        Ok(Self { kind, hash: *hash, signature, signed })
    }

    /// The type of the packet.
    pub const fn kind(&self) -> PacketKind {
        self.kind
    }

    /// The hash, by which answers name what they answer.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// Reads the packet.
    ///
    /// # Errors
    /// [`DecodeError::Data`].
    pub fn packet(&self) -> Result<Packet, DecodeError> {
        let data = self.signed.split_first().map_or(&[][..], |(_, data)| data);
        Packet::decode(self.kind, data).ok_or(DecodeError::Data(self.kind))
    }

    /// Recovers who signed it: by far the most expensive step.
    ///
    /// # Errors
    /// [`DecodeError::Signature`].
    pub fn signer(&self, signer: &impl Signer) -> Result<PublicKey, DecodeError> {
        signer.recover(&keccak(self.signed), self.signature).ok_or(DecodeError::Signature)
    }
}

/// A packet as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The datagram.
    pub bytes: Bytes,
    /// Its hash, by which the answer names it.
    pub hash: Hash,
}

impl Packet {
    /// Encodes and signs the packet.
    ///
    /// # Errors
    /// [`EncodeError::Record`], and [`EncodeError::Size`] for neighbors or a record that are too
    /// many or too large for [`MAX_PACKET_SIZE`].
    pub fn seal(&self, signer: &impl Signer) -> Result<Sealed, EncodeError> {
        if !self.is_encodable() {
            return Err(EncodeError::Record);
        }
        // Most packets are a fraction of the largest, and allocators are quicker with those. The
        // type goes in front of the data.
        let capacity = match self {
            Self::Neighbors(_) | Self::EnrResponse(_) => MAX_PACKET_SIZE,
            _ => SMALL_PACKET_SIZE,
        };
        let mut buffer = BytesMut::with_capacity(capacity);
        buffer.resize(SIGNED_AT, 0);
        buffer.extend_from_slice(&[self.kind().code()]);
        encode(self, &mut buffer);
        if buffer.len() > MAX_PACKET_SIZE {
            return Err(EncodeError::Size(buffer.len()));
        }
        let (head, signed) = buffer.split_at_mut(SIGNED_AT);
        let signature = signer.sign(&keccak(signed));
        head.split_at_mut(HASH_SIZE).1.copy_from_slice(&signature);
        let (hash_field, rest) = buffer.split_at_mut(HASH_SIZE);
        let hash = keccak(rest);
        hash_field.copy_from_slice(&hash);
        Ok(Sealed { bytes: buffer.freeze(), hash })
    }
}

fn keccak(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}
