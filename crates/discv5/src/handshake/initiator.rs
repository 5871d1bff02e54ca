use bytes::Bytes;
use devp2p_core::{NodeId, PublicKey, Record, Rng};

use crate::{
    crypto::{Identity, SessionSecrets, id_digest},
    session::Session,
    wire::{EncodeError, Masking, OrdinaryPacket, Proof, WhoAreYou},
};

/// The answer to a WHOAREYOU, of a node that wants to send a message.
///
/// Whether the challenge answers a packet of ours is for the caller to know, by its
/// [`request_nonce`](WhoAreYou::request_nonce) and where it came from; others get no answer.
#[derive(Debug)]
pub struct Initiator {
    src_id: NodeId,
    id_signature: [u8; 64],
    ephemeral_key: [u8; 33],
    /// Where the recipient does not have it.
    record: Option<Record>,
    session: Session,
}

impl Initiator {
    /// Makes the keys and the proof; `record` is our own, and is sent where `remote` has none or
    /// an older one. Costs a signature and two multiplications on the curve.
    pub fn new(
        identity: &impl Identity,
        record: &Record,
        remote: PublicKey,
        challenge: &WhoAreYou,
        rng: &mut Rng,
    ) -> Self {
        let (src_id, recipient) = (NodeId::from(identity.public_key()), NodeId::from(remote));
        let (ephemeral_key, shared) = identity.ephemeral(&remote, rng);
        let id_signature = identity.sign(&id_digest(challenge, &ephemeral_key, &recipient));
        let secrets = SessionSecrets::derive(&shared, challenge, &src_id, &recipient);
        // One who says 0 has none, whatever number ours has.
        let is_known = challenge.enr_seq() != 0 && challenge.enr_seq() >= record.seq();
        Self {
            src_id,
            id_signature,
            ephemeral_key,
            record: (!is_known).then(|| record.clone()),
            session: Session::of_initiator(&secrets),
        }
    }

    /// The handshake packet with the message that was to be sent, and the session that it makes
    /// if the recipient accepts.
    ///
    /// # Errors
    /// [`EncodeError::Size`] for a message that has no room beside the proof and the record.
    pub fn seal(
        mut self,
        masking: &Masking,
        message: &[u8],
        rng: &mut Rng,
    ) -> Result<(Bytes, Unconfirmed), EncodeError> {
        let proof = Proof {
            id_signature: self.id_signature,
            ephemeral_key: self.ephemeral_key,
            record: self.record.as_ref().map(Record::as_bytes),
        };
        let packet = self.session.seal_handshake(masking, self.src_id, &proof, message, rng)?;
        Ok((packet, Unconfirmed(self.session)))
    }
}

/// A session of which only our side is known to exist.
#[derive(Debug)]
pub struct Unconfirmed(Session);

impl Unconfirmed {
    /// Opens a packet with the new keys: that proves that the recipient has them, and gives the
    /// session and the message.
    ///
    /// # Errors
    /// The same again where the packet is not sealed with these keys. It may be an older one, or
    /// anybody's.
    pub fn confirm(self, packet: &OrdinaryPacket<'_>) -> Result<(Session, Bytes), Self> {
        match self.0.open(packet) {
            Some(message) => Ok((self.0, message)),
            None => Err(self),
        }
    }
}
