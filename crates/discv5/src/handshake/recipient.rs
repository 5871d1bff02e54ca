use bytes::Bytes;
use devp2p_core::{NodeId, Record, Rng};

use super::HandshakeError;
use crate::{
    crypto::{Identity, SessionSecrets, id_digest},
    session::Session,
    wire::{HandshakePacket, MIN_PACKET_SIZE, Masking, Nonce, ProtocolId, WhoAreYou},
};

/// A WHOAREYOU that we sent, and to whom. It cannot be cloned: one attempt is all it allows.
#[derive(Debug)]
pub struct Challenge {
    src_id: NodeId,
    known: Option<Record>,
    whoareyou: WhoAreYou,
}

impl Challenge {
    /// Challenges the sender of a packet that could not be opened: the node that says so, the
    /// packet's nonce, and the record that we have of the node.
    pub fn new(
        protocol: ProtocolId,
        src_id: NodeId,
        request_nonce: Nonce,
        known: Option<Record>,
        rng: &mut Rng,
    ) -> Self {
        let seq = known.as_ref().map_or(0, Record::seq);
        Self { src_id, known, whoareyou: WhoAreYou::random(protocol, request_nonce, seq, rng) }
    }

    /// A challenge that was made elsewhere.
    pub const fn from_whoareyou(
        src_id: NodeId,
        whoareyou: WhoAreYou,
        known: Option<Record>,
    ) -> Self {
        Self { src_id, known, whoareyou }
    }

    /// The node that is challenged.
    pub const fn src_id(&self) -> NodeId {
        self.src_id
    }

    /// The packet without its masking.
    pub const fn whoareyou(&self) -> &WhoAreYou {
        &self.whoareyou
    }

    /// The datagram, the same every time: whoever sends again before it has answered is told the
    /// same again.
    pub fn encode(&self, masking: &Masking) -> [u8; MIN_PACKET_SIZE] {
        self.whoareyou.encode(masking)
    }

    /// Checks the answer, and opens its message. The challenge is used up by this, so that a wrong
    /// answer costs its sender another one.
    ///
    /// The cheap checks come first. A record that we have already is not verified again; else its
    /// signature, the id signature and the multiplication on the curve each cost about the same.
    ///
    /// # Errors
    /// The first of [`HandshakeError`]'s that applies, in this order: the sender, the record, the
    /// id signature, the ephemeral key, the message.
    pub fn accept(
        self,
        identity: &impl Identity,
        packet: &HandshakePacket<'_>,
    ) -> Result<Accepted, HandshakeError> {
        let (src_id, local_id) = (packet.src_id(), NodeId::from(identity.public_key()));
        if src_id != self.src_id {
            return Err(HandshakeError::SrcId(src_id));
        }
        let record = senders_record(identity, self.known, self.whoareyou.enr_seq(), packet)?;
        let digest = id_digest(&self.whoareyou, packet.ephemeral_key(), &local_id);
        if !identity.verify(&record.public_key(), &digest, packet.id_signature()) {
            return Err(HandshakeError::IdSignature);
        }
        let shared = identity.agree(packet.ephemeral_key()).ok_or(HandshakeError::EphemeralKey)?;
        let secrets = SessionSecrets::derive(&shared, &self.whoareyou, &src_id, &local_id);
        let session = Session::of_recipient(&secrets);
        // Only who has the keys can have sealed it: the session is proved to us.
        let message = session.open_handshake(packet).ok_or(HandshakeError::Message)?;
        Ok(Accepted { record, session, message })
    }
}

/// A handshake that is complete for the recipient.
#[derive(Debug)]
pub struct Accepted {
    /// The sender, by its newest record; its key signed the challenge.
    pub record: Record,
    /// The keys.
    pub session: Session,
    /// The message that came with the handshake.
    pub message: Bytes,
}

/// The sender's own record: the one that was sent, or else the one that we have. It is the
/// sender's by its id, for a signature by any other key would prove nothing of the sender.
fn senders_record(
    identity: &impl Identity,
    known: Option<Record>,
    enr_seq: u64,
    packet: &HandshakePacket<'_>,
) -> Result<Record, HandshakeError> {
    let record = match (packet.record(), known) {
        (None, None) => return Err(HandshakeError::NoRecord),
        (None, Some(known)) => known,
        (Some(sent), Some(known)) if sent == known.as_bytes() => known,
        (Some(sent), known) => {
            let sent = identity.decode_record(sent).map_err(HandshakeError::Record)?;
            let known = known.map_or(enr_seq, |known| known.seq());
            if sent.seq() < known {
                return Err(HandshakeError::OldRecord { known, sent: sent.seq() });
            }
            sent
        }
    };
    if record.id() != packet.src_id() {
        return Err(HandshakeError::RecordId(record.id()));
    }
    Ok(record)
}
