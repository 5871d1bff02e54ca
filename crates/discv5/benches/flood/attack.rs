//! What is sent, and from where they say it is.

use std::net::{Ipv4Addr, SocketAddr};

use devp2p_core::{NodeId, NodeKey, Record, Rng};
use devp2p_discv5::{
    crypto::SessionKey,
    wire::{
        Envelope, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Masking, Nonce, Proof, ProtocolId, WhoAreYou,
    },
};

/// The largest datagram here: what a link takes.
const LARGEST: usize = 1_500;
/// What of a random packet is its message, in the packet that nodes send.
const MESSAGE: usize = 12;
/// The identities whose handshakes are checked, as they have records.
const IDENTITIES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A random packet, to be answered with WHOAREYOU, from any address.
    Knock,
    /// The same, of random size.
    LargeKnock,
    /// From the addresses of one /24.
    KnockFromOnePrefix,
    /// In the name and from the address of a node that has a session.
    KnockOfFriend,
    /// For a WHOAREYOU that was never sent.
    Handshake,
    /// For one that was sent, by somebody who did not see it: with a record, and all else made up.
    BlindHandshake,
    /// For a packet that was never sent.
    WhoAreYou,
    /// Smaller and larger than packets are.
    Size,
    /// Random bytes.
    Junk,
}

/// A datagram, in memory that is taken once.
pub(crate) struct Forged {
    pub(crate) kind: Kind,
    pub(crate) from: SocketAddr,
    size: usize,
    bytes: [u8; LARGEST],
}

impl Forged {
    pub(crate) fn empty() -> Self {
        let from = (Ipv4Addr::UNSPECIFIED, 0).into();
        Self { kind: Kind::Junk, from, size: 0, bytes: [0; LARGEST] }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    fn set(&mut self, kind: Kind, from: SocketAddr, bytes: &[u8]) {
        (self.kind, self.from, self.size) = (kind, from, bytes.len());
        self.bytes[..bytes.len()].copy_from_slice(bytes);
    }

    fn set_random(&mut self, kind: Kind, from: SocketAddr, size: usize, rng: &mut Rng) {
        (self.kind, self.from, self.size) = (kind, from, size);
        rng.fill(&mut self.bytes[..size]);
    }
}

/// Who makes them.
pub(crate) struct Attacker {
    rng: Rng,
    to_victim: Masking,
    friend: (NodeId, SocketAddr),
    identities: Vec<(NodeId, Record)>,
    number: u64,
    blind_every: u64,
    /// Where the last knock came from that a blind handshake follows.
    knocked: SocketAddr,
}

impl Attacker {
    pub(crate) fn new(victim: NodeId, friend: (NodeId, SocketAddr), blind_every: u64) -> Self {
        let mut rng = Rng::from_seed([9; 32]);
        let identities = (0..IDENTITIES)
            .map(|_| {
                let key = NodeKey::from_bytes(&rng.seed()).unwrap();
                let record = Record::builder().seq(1).ip([45, 1, 1, 1].into()).udp(30_303);
                (key.id(), record.sign(&key).unwrap())
            })
            .collect();
        let to_victim = Masking::new(victim, ProtocolId::default());
        Self { rng, to_victim, friend, identities, number: 0, blind_every, knocked: friend.1 }
    }

    /// Makes the next one.
    pub(crate) fn next(&mut self, forged: &mut Forged) {
        let number = self.number;
        self.number += 1;
        let kind = match (number % self.blind_every, number % 10) {
            (0, _) => Kind::Knock,
            (1, _) => Kind::BlindHandshake,
            (_, 4) => Kind::LargeKnock,
            (_, 5) => Kind::KnockFromOnePrefix,
            (_, 6) => Kind::KnockOfFriend,
            (_, 7) => Kind::Handshake,
            (_, 8) => Kind::WhoAreYou,
            (_, 9) if (number / 10).is_multiple_of(2) => Kind::Size,
            (_, 9) => Kind::Junk,
            _ => Kind::Knock,
        };
        let (from, rng) = (self.anywhere(), &mut self.rng);
        let from = match kind {
            Kind::KnockOfFriend => self.friend.1,
            Kind::BlindHandshake => self.knocked,
            Kind::KnockFromOnePrefix => (Ipv4Addr::new(66, 6, 6, from.port() as u8), 30_303).into(),
            _ => from,
        };
        let at = (number / self.blind_every) as usize % self.identities.len();
        let identity = &self.identities[at];
        let id = match kind {
            _ if number.is_multiple_of(self.blind_every) => {
                self.knocked = from;
                identity.0
            }
            Kind::BlindHandshake => identity.0,
            Kind::KnockOfFriend => self.friend.0,
            _ => NodeId::new(rng.seed()),
        };
        match kind {
            Kind::Knock | Kind::KnockFromOnePrefix | Kind::KnockOfFriend => {
                let (_, packet) = self.to_victim.random_packet_like(id, MESSAGE, rng);
                forged.set(kind, from, &packet);
            }
            Kind::LargeKnock => {
                let size = rng.below(1_193) as usize;
                let (_, packet) = self.to_victim.random_packet_like(id, size, rng);
                forged.set(kind, from, &packet);
            }
            Kind::Handshake | Kind::BlindHandshake => {
                let record = (kind == Kind::BlindHandshake).then(|| identity.1.as_bytes());
                let packet = handshake(&self.to_victim, id, record, rng);
                forged.set(kind, from, &packet);
            }
            Kind::WhoAreYou => {
                let nonce = Nonce::random(rng);
                let whoareyou = WhoAreYou::random(self.to_victim.protocol(), nonce, 0, rng);
                forged.set(kind, from, &whoareyou.encode(&self.to_victim));
            }
            Kind::Size => {
                let is_runt = rng.below(2) == 0;
                let above = MAX_PACKET_SIZE + 1 + rng.below(200) as usize;
                let below = rng.below(MIN_PACKET_SIZE as u64) as usize;
                forged.set_random(kind, from, if is_runt { below } else { above }, rng);
            }
            Kind::Junk => {
                let sizes = (MAX_PACKET_SIZE - MIN_PACKET_SIZE) as u64;
                let size = MIN_PACKET_SIZE + rng.below(sizes) as usize;
                forged.set_random(kind, from, size, rng);
            }
        }
    }

    /// Any address that there is, and any port.
    fn anywhere(&mut self) -> SocketAddr {
        let number = self.rng.next_u64();
        (Ipv4Addr::from_bits((number >> 32) as u32), number as u16).into()
    }
}

/// A handshake packet of somebody who saw no WHOAREYOU. The key is one, so that it costs all that
/// one can cost.
fn handshake(to_victim: &Masking, id: NodeId, record: Option<&[u8]>, rng: &mut Rng) -> Vec<u8> {
    let envelope = Envelope::random(id, Nonce::random(rng), rng);
    let (mut id_signature, key) = ([7; 64], SessionKey::new(&[1; 16]));
    rng.fill(&mut id_signature);
    // The generator of the curve.
    let ephemeral_key = GENERATOR;
    let proof = Proof { id_signature, ephemeral_key, record };
    to_victim.seal_handshake(&envelope, &proof, &key, &[1; 14]).unwrap().to_vec()
}

const GENERATOR: [u8; 33] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b,
    0x07, 0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17,
    0x98,
];
