use std::fmt;

use bytes::BufMut as _;
use devp2p_core::Rng;

use super::{
    MIN_PACKET_SIZE, Masking, Nonce, PacketKind, ProtocolId,
    header::{HEADER_START, IV_SIZE, StaticHeader, WHOAREYOU_AUTHDATA_SIZE},
};

/// WHOAREYOU: the challenge of a node that could not open a packet.
///
/// It is kept as its unmasked bytes, the *challenge data*: both sides of the handshake sign and
/// derive keys over them, and who sent it can send it again unchanged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WhoAreYou([u8; MIN_PACKET_SIZE]);

impl WhoAreYou {
    /// The challenge with these fields. The IV has to be as random as the nonce of the identity:
    /// that is what makes every challenge another.
    pub fn new(
        protocol: ProtocolId,
        masking_iv: [u8; 16],
        request_nonce: Nonce,
        id_nonce: [u8; 16],
        enr_seq: u64,
    ) -> Self {
        let header = StaticHeader {
            kind: PacketKind::WhoAreYou,
            nonce: request_nonce,
            authdata_size: WHOAREYOU_AUTHDATA_SIZE as u16,
        };
        let mut data = [0; MIN_PACKET_SIZE];
        let mut out = data.as_mut_slice();
        out.put_slice(&masking_iv);
        header.write(protocol, &mut out);
        out.put_slice(&id_nonce);
        out.put_u64(enr_seq);
        Self(data)
    }

    /// A fresh challenge to whoever sent the packet with this nonce.
    pub fn random(protocol: ProtocolId, request_nonce: Nonce, enr_seq: u64, rng: &mut Rng) -> Self {
        let (mut masking_iv, mut id_nonce) = ([0; 16], [0; 16]);
        rng.fill(&mut masking_iv);
        rng.fill(&mut id_nonce);
        Self::new(protocol, masking_iv, request_nonce, id_nonce, enr_seq)
    }

    /// What was read and checked.
    pub(super) const fn from_unmasked(data: [u8; MIN_PACKET_SIZE]) -> Self {
        Self(data)
    }

    /// The nonce of the packet that it answers.
    pub fn request_nonce(&self) -> Nonce {
        Nonce::new(self.field::<{ IV_SIZE + 9 }, 12>())
    }

    /// What makes this challenge another than all others.
    pub fn id_nonce(&self) -> [u8; 16] {
        self.field::<HEADER_START, 16>()
    }

    /// The sequence number of the record that its sender has of the receiver, 0 for none.
    pub fn enr_seq(&self) -> u64 {
        u64::from_be_bytes(self.field::<{ HEADER_START + 16 }, 8>())
    }

    /// The masking IV and the header, unmasked.
    pub const fn challenge_data(&self) -> &[u8; MIN_PACKET_SIZE] {
        &self.0
    }

    /// The datagram, the same every time.
    pub fn encode(&self, masking: &Masking) -> [u8; MIN_PACKET_SIZE] {
        let mut datagram = self.0;
        masking.apply(&mut datagram);
        datagram
    }

    fn field<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= MIN_PACKET_SIZE) };
        self.0.split_at(AT).1.first_chunk().copied().unwrap_or([0; N])
    }
}

impl fmt::Debug for WhoAreYou {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhoAreYou")
            .field("request_nonce", &self.request_nonce())
            .field("enr_seq", &self.enr_seq())
            .finish_non_exhaustive()
    }
}
