//! Writing packets with a message.

use bytes::{Bytes, BytesMut};
use devp2p_core::{NodeId, Rng};

use super::{
    EncodeError, MAX_MESSAGE_SIZE, MAX_PACKET_SIZE, Masking, Nonce, PacketKind,
    header::{
        EPHEMERAL_KEY_SIZE, HEADER_START, ORDINARY_AUTHDATA_SIZE, SIGNATURE_SIZE, StaticHeader,
        TAG_SIZE,
    },
};
use crate::crypto::SessionKey;

/// How large the message of a random packet is. It is what a small request has, and the packet
/// larger than the WHOAREYOU that answers it.
const RANDOM_MESSAGE_SIZE: usize = 28;

/// What all packets with a message have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Random; masks the header.
    pub masking_iv: [u8; 16],
    /// Never used before with the key of the message.
    pub nonce: Nonce,
    /// Who sends it.
    pub src_id: NodeId,
}

impl Envelope {
    /// An envelope with a random IV.
    pub fn random(src_id: NodeId, nonce: Nonce, rng: &mut Rng) -> Self {
        let mut masking_iv = [0; 16];
        rng.fill(&mut masking_iv);
        Self { masking_iv, nonce, src_id }
    }
}

/// What a handshake packet has besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The signature over the challenge, r and s.
    pub id_signature: [u8; 64],
    /// The public key made for this handshake, compressed.
    pub ephemeral_key: [u8; 33],
    /// The sender's record, where the receiver does not have it.
    pub record: Option<&'a [u8]>,
}

impl Masking {
    /// An ordinary packet.
    ///
    /// # Errors
    /// [`EncodeError::Size`] for a message larger than [`MAX_MESSAGE_SIZE`].
    pub fn seal_ordinary(
        &self,
        envelope: &Envelope,
        key: &SessionKey,
        message: &[u8],
    ) -> Result<Bytes, EncodeError> {
        let message = Body::Sealed(key, message);
        self.encode(envelope, PacketKind::Ordinary, &[], message)
    }

    /// A handshake packet. Receivers refuse a record larger than
    /// [`Record::MAX_SIZE`](devp2p_core::Record::MAX_SIZE).
    ///
    /// # Errors
    /// [`EncodeError::Size`] where record and message are too large together.
    pub fn seal_handshake(
        &self,
        envelope: &Envelope,
        proof: &Proof<'_>,
        key: &SessionKey,
        message: &[u8],
    ) -> Result<Bytes, EncodeError> {
        let sizes = [SIGNATURE_SIZE as u8, EPHEMERAL_KEY_SIZE as u8];
        let record = proof.record.unwrap_or_default();
        let rest: [&[u8]; 4] = [&sizes, &proof.id_signature, &proof.ephemeral_key, record];
        self.encode(envelope, PacketKind::Handshake, &rest, Body::Sealed(key, message))
    }

    /// An ordinary packet whose message is sealed already, or is no message.
    ///
    /// # Errors
    /// [`EncodeError::Size`] for a message that is too large.
    pub fn encode_ordinary(
        &self,
        envelope: &Envelope,
        sealed: &[u8],
    ) -> Result<Bytes, EncodeError> {
        self.encode(envelope, PacketKind::Ordinary, &[], Body::Raw(sealed))
    }

    /// A packet that nobody can open, to be sent where there is no session: whoever gets it asks
    /// who we are, and that begins a handshake.
    pub fn random_packet(&self, src_id: NodeId, rng: &mut Rng) -> Bytes {
        self.random_packet_like(src_id, RANDOM_MESSAGE_SIZE - TAG_SIZE, rng).1
    }

    /// The same, as large as if it had a message of this size, and the packet's nonce, by which the
    /// WHOAREYOU will name it. Of a larger message than
    /// [`MAX_MESSAGE_SIZE`] it has the size of that.
    pub fn random_packet_like(
        &self,
        src_id: NodeId,
        message_size: usize,
        rng: &mut Rng,
    ) -> (Nonce, Bytes) {
        let nonce = Nonce::random(rng);
        let envelope = Envelope::random(src_id, nonce, rng);
        let mut message = [0; MAX_MESSAGE_SIZE + TAG_SIZE];
        let size = message_size.min(MAX_MESSAGE_SIZE).saturating_add(TAG_SIZE);
        let (message, _) = message.split_at_mut(size);
        rng.fill(message);
        // Its size is right; an empty datagram would be dropped by any receiver.
        (nonce, self.encode_ordinary(&envelope, message).unwrap_or_default())
    }

    /// `rest` is authdata after the sender's id.
    fn encode(
        &self,
        envelope: &Envelope,
        kind: PacketKind,
        rest: &[&[u8]],
        body: Body<'_>,
    ) -> Result<Bytes, EncodeError> {
        let authdata_size =
            rest.iter().fold(ORDINARY_AUTHDATA_SIZE, |sum, part| sum.saturating_add(part.len()));
        let header_size = HEADER_START.saturating_add(authdata_size);
        let size = header_size.saturating_add(body.size());
        if size > MAX_PACKET_SIZE {
            return Err(EncodeError::Size(size));
        }
        let authdata_size = u16::try_from(authdata_size).map_err(|_| EncodeError::Size(size))?;
        let header = StaticHeader { kind, nonce: envelope.nonce, authdata_size };

        let mut packet = BytesMut::with_capacity(size);
        packet.extend_from_slice(&envelope.masking_iv);
        header.write(self.protocol(), &mut packet);
        packet.extend_from_slice(envelope.src_id.as_bytes());
        for part in rest {
            packet.extend_from_slice(part);
        }
        match body {
            Body::Raw(sealed) => packet.extend_from_slice(sealed),
            Body::Sealed(key, message) => {
                packet.extend_from_slice(message);
                // The seal covers the header as it is before it is masked.
                let (message_ad, message) = packet.split_at_mut(header_size);
                let tag = key.seal(envelope.nonce, message_ad, message);
                let tag = tag.ok_or(EncodeError::Size(size))?;
                packet.extend_from_slice(&tag);
            }
        }
        self.apply(packet.split_at_mut(header_size).0);
        Ok(packet.freeze())
    }
}

/// What follows the header.
#[derive(Clone, Copy)]
enum Body<'a> {
    Raw(&'a [u8]),
    Sealed(&'a SessionKey, &'a [u8]),
}

impl Body<'_> {
    const fn size(&self) -> usize {
        match self {
            Self::Raw(sealed) => sealed.len(),
            Self::Sealed(_, message) => message.len().saturating_add(TAG_SIZE),
        }
    }
}
