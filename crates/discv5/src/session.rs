//! The keys that two nodes share after a handshake.

use std::fmt;

use bytes::Bytes;
use devp2p_core::{NodeId, Rng};

use crate::{
    crypto::{SessionKey, SessionSecrets},
    wire::{EncodeError, Envelope, HandshakePacket, Masking, Nonce, OrdinaryPacket, Proof},
};

/// A key for each direction, both scheduled, and how many messages ours has sealed.
///
/// It belongs to one remote node at one address: whoever keeps sessions keeps them by both.
pub struct Session {
    keys: Box<Keys>,
    /// The counter of the next nonce; `None` after the last.
    counter: Option<u32>,
}

/// Large, because of what is scheduled: sessions move.
struct Keys {
    sealing: SessionKey,
    opening: SessionKey,
}

impl Session {
    /// The session of who sent the handshake packet.
    pub fn of_initiator(secrets: &SessionSecrets) -> Self {
        Self::new(secrets.initiator_key(), secrets.recipient_key())
    }

    /// The session of who sent WHOAREYOU.
    pub fn of_recipient(secrets: &SessionSecrets) -> Self {
        Self::new(secrets.recipient_key(), secrets.initiator_key())
    }

    fn new(sealing: &[u8; 16], opening: &[u8; 16]) -> Self {
        let keys = Keys { sealing: SessionKey::new(sealing), opening: SessionKey::new(opening) };
        Self { keys: Box::new(keys), counter: Some(0) }
    }

    /// Seals a message into an ordinary packet.
    ///
    /// # Errors
    /// [`EncodeError::Size`] for a message larger than
    /// [`MAX_MESSAGE_SIZE`](crate::wire::MAX_MESSAGE_SIZE), and [`EncodeError::KeyUsedUp`] after
    /// 2^32 messages.
    pub fn seal(
        &mut self,
        masking: &Masking,
        src_id: NodeId,
        message: &[u8],
        rng: &mut Rng,
    ) -> Result<Bytes, EncodeError> {
        self.seal_numbered(masking, src_id, message, rng).map(|(_, packet)| packet)
    }

    /// As [`Session::seal`], and tells the packet's nonce, by which a WHOAREYOU would name it.
    ///
    /// # Errors
    /// As [`Session::seal`].
    pub fn seal_numbered(
        &mut self,
        masking: &Masking,
        src_id: NodeId,
        message: &[u8],
        rng: &mut Rng,
    ) -> Result<(Nonce, Bytes), EncodeError> {
        let envelope = self.envelope(src_id, rng)?;
        let packet = masking.seal_ordinary(&envelope, &self.keys.sealing, message)?;
        Ok((envelope.nonce, packet))
    }

    /// Seals a message into the handshake packet that makes the session.
    pub(crate) fn seal_handshake(
        &mut self,
        masking: &Masking,
        src_id: NodeId,
        proof: &Proof<'_>,
        message: &[u8],
        rng: &mut Rng,
    ) -> Result<Bytes, EncodeError> {
        let envelope = self.envelope(src_id, rng)?;
        masking.seal_handshake(&envelope, proof, &self.keys.sealing, message)
    }

    /// Opens the message of a packet; `None` where it is not sealed with this session's key.
    pub fn open(&self, packet: &OrdinaryPacket<'_>) -> Option<Bytes> {
        self.keys.opening.open(packet.nonce(), packet.message_ad(), packet.message())
    }

    pub(crate) fn open_handshake(&self, packet: &HandshakePacket<'_>) -> Option<Bytes> {
        self.keys.opening.open(packet.nonce(), packet.message_ad(), packet.message())
    }

    /// How many messages it has sealed.
    pub fn sealed(&self) -> u64 {
        self.counter.map_or(1 << 32, u64::from)
    }

    fn envelope(&mut self, src_id: NodeId, rng: &mut Rng) -> Result<Envelope, EncodeError> {
        let counter = self.counter.ok_or(EncodeError::KeyUsedUp)?;
        self.counter = counter.checked_add(1);
        let nonce = Nonce::counted(counter, rng);
        Ok(Envelope::random(src_id, nonce, rng))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("sealed", &self.sealed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use devp2p_core::NodeKey;

    use super::*;
    use crate::{
        crypto::SharedSecret,
        wire::{MAX_MESSAGE_SIZE, Packet, ProtocolId, WhoAreYou},
    };

    /// Both ends of a session, and the ids of who sent the handshake and who got it.
    fn pair() -> (Session, Session, NodeId, NodeId) {
        let [a, b] = [1, 2].map(|byte| NodeKey::from_bytes(&[byte; 32]).unwrap());
        let nonce = Nonce::new([0; 12]);
        let challenge = WhoAreYou::new(ProtocolId::default(), [1; 16], nonce, [2; 16], 0);
        let shared = SharedSecret::between(&a, &b.public_key());
        let secrets = SessionSecrets::derive(&shared, &challenge, &a.id(), &b.id());
        (Session::of_initiator(&secrets), Session::of_recipient(&secrets), a.id(), b.id())
    }

    fn ordinary<'a>(masking: &Masking, datagram: &'a [u8]) -> OrdinaryPacket<'a> {
        match masking.decode(datagram) {
            Ok(Packet::Ordinary(packet)) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_direction_has_its_key() {
        let (mut alice, mut bob, a, b) = pair();
        let mut rng = Rng::from_seed([7; 32]);
        let [to_a, to_b] = [a, b].map(|id| Masking::new(id, ProtocolId::default()));
        let datagram = alice.seal(&to_b, a, b"question", &mut rng).unwrap();
        let packet = ordinary(&to_b, &datagram);
        assert_eq!(packet.src_id(), a);
        assert_eq!(bob.open(&packet).unwrap(), "question");
        assert_eq!(alice.open(&packet), None);

        let datagram = bob.seal(&to_a, b, b"answer", &mut rng).unwrap();
        assert_eq!(alice.open(&ordinary(&to_a, &datagram)).unwrap(), "answer");
    }

    #[test]
    fn nonces_count_and_their_rest_is_random() {
        let (mut alice, _, a, b) = pair();
        let mut rng = Rng::from_seed([7; 32]);
        let to_b = Masking::new(b, ProtocolId::default());
        let mut rests = BTreeSet::new();
        for count in 0..100_u32 {
            assert_eq!(alice.sealed(), u64::from(count));
            let datagram = alice.seal(&to_b, a, &[], &mut rng).unwrap();
            let nonce = ordinary(&to_b, &datagram).nonce();
            let (counter, rest) = nonce.as_bytes().split_first_chunk().unwrap();
            assert_eq!(u32::from_be_bytes(*counter), count);
            assert!(rests.insert(rest.to_vec()));
        }
    }

    #[test]
    fn a_key_seals_two_to_the_32_messages_and_no_more() {
        let (mut alice, bob, a, b) = pair();
        let mut rng = Rng::from_seed([7; 32]);
        let to_b = Masking::new(b, ProtocolId::default());
        alice.counter = Some(u32::MAX);
        let datagram = alice.seal(&to_b, a, b"last", &mut rng).unwrap();
        let packet = ordinary(&to_b, &datagram);
        assert_eq!(packet.nonce().as_bytes()[..4], [0xff; 4]);
        assert_eq!(bob.open(&packet).unwrap(), "last");
        assert_eq!(alice.seal(&to_b, a, b"more", &mut rng), Err(EncodeError::KeyUsedUp));
        assert_eq!(alice.sealed(), 1 << 32);
    }

    #[test]
    fn the_largest_message_fits_and_no_larger_one() {
        let (mut alice, bob, a, b) = pair();
        let mut rng = Rng::from_seed([7; 32]);
        let to_b = Masking::new(b, ProtocolId::default());
        let datagram = alice.seal(&to_b, a, &[7; MAX_MESSAGE_SIZE], &mut rng).unwrap();
        assert_eq!(datagram.len(), 1280);
        assert_eq!(bob.open(&ordinary(&to_b, &datagram)).unwrap(), [7; MAX_MESSAGE_SIZE][..]);
        let too_large = alice.seal(&to_b, a, &[7; MAX_MESSAGE_SIZE + 1], &mut rng);
        assert_eq!(too_large, Err(EncodeError::Size(1281)));
    }

    #[test]
    fn debug_shows_no_secret_and_drop_erases() {
        const fn erases<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        let key = aes_gcm::AesGcm::<aes::Aes128Enc, aes::cipher::consts::U12>::from(
            <aes::Aes128Enc as aes::cipher::KeyInit>::new(&[1; 16].into()),
        );
        erases(&key);
        let (alice, ..) = pair();
        assert_eq!(format!("{alice:?}"), "Session { sealed: 0, .. }");
        assert_eq!(format!("{:?}", SessionKey::new(&[1; 16])), "SessionKey(redacted)");
        assert_eq!(format!("{:?}", SharedSecret::from_bytes(&[3; 33])), "SharedSecret(redacted)");
    }
}
