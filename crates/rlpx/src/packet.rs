//! The two packets of the handshake: their RLP bodies, and their encrypted form on the wire.
//!
//! Everything is public, raw bytes included, so that tools can make packets that no honest node
//! would send. A node uses [`Handshake`](crate::Handshake).
//!
//! Source: [RLPx, initial handshake](https://github.com/ethereum/devp2p/blob/master/rlpx.md#initial-handshake),
//! [EIP-8](https://eips.ethereum.org/EIPS/eip-8).

use devp2p_core::{NodeKey, PublicKey, Rng};
use rlp::{Rlp, RlpStream};

use crate::ecies;

/// The handshake's version in the packets we write. Any version is read.
pub const VERSION: u64 = 4;

/// The largest packet, without its size prefix. The real ones are below 600 bytes; go-ethereum
/// has the same limit.
pub const MAX_PACKET_SIZE: usize = 2048;

/// The bytes of the size prefix, which is the authenticated data of the rest.
pub const PREFIX: usize = 2;

/// The smallest sizes that the bodies can have, without their size prefix: what is shorter is
/// refused before it is read.
pub(crate) const MIN_AUTH_SIZE: usize = ecies::OVERHEAD + 169;
pub(crate) const MIN_ACK_SIZE: usize = ecies::OVERHEAD + 102;

/// EIP-8 asks for at least 100 bytes of random padding, so that sizes tell the packets of
/// different versions from nothing; go-ethereum writes 100 to 199.
const MIN_PADDING: usize = 100;
const PADDING_SPREAD: u64 = 100;

/// The first packet, from the side that dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// r, s and the recovery id: the ephemeral key signs the static secret xor the nonce.
    pub signature: [u8; 65],
    /// The sender's static public key, x and y, not validated.
    pub public_key: [u8; 64],
    /// The sender's nonce.
    pub nonce: [u8; 32],
    /// The sender's version.
    pub version: u64,
}

impl Auth {
    /// The RLP list, without padding.
    pub fn encode(&self) -> Vec<u8> {
        let mut stream = RlpStream::new_list(4);
        stream.append(&self.signature.as_slice());
        stream.append(&self.public_key.as_slice());
        stream.append(&self.nonce.as_slice());
        stream.append(&self.version);
        stream.out().into()
    }

    /// Reads the RLP list; further elements and bytes after it are ignored (EIP-8).
    pub fn decode(body: &[u8]) -> Option<Self> {
        let list = Rlp::new(body);
        Some(Self {
            signature: fixed(&list, 0)?,
            public_key: fixed(&list, 1)?,
            nonce: fixed(&list, 2)?,
            version: list.val_at(3).ok()?,
        })
    }
}

/// The second packet, from the side that was dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The sender's ephemeral public key, x and y, not validated.
    pub ephemeral_key: [u8; 64],
    /// The sender's nonce.
    pub nonce: [u8; 32],
    /// The sender's version.
    pub version: u64,
}

impl Ack {
    /// The RLP list, without padding.
    pub fn encode(&self) -> Vec<u8> {
        let mut stream = RlpStream::new_list(3);
        stream.append(&self.ephemeral_key.as_slice());
        stream.append(&self.nonce.as_slice());
        stream.append(&self.version);
        stream.out().into()
    }

    /// Reads the RLP list; further elements and bytes after it are ignored (EIP-8).
    pub fn decode(body: &[u8]) -> Option<Self> {
        let list = Rlp::new(body);
        Some(Self {
            ephemeral_key: fixed(&list, 0)?,
            nonce: fixed(&list, 1)?,
            version: list.val_at(2).ok()?,
        })
    }
}

/// Pads `body` with 100 to 199 random bytes and encrypts it to `remote`, with the size prefix.
///
/// `key` lends its signing context to the ephemeral key of the encryption.
pub fn seal(remote: &PublicKey, key: &NodeKey, mut body: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let spread = usize::try_from(rng.below(PADDING_SPREAD)).unwrap_or(0);
    let padded = body.len().saturating_add(MIN_PADDING).saturating_add(spread);
    let unpadded = body.len();
    body.resize(padded, 0);
    rng.fill(body.split_at_mut(unpadded).1);
    let mut iv = [0; 16];
    rng.fill(&mut iv);
    let ephemeral = key.ephemeral(rng);
    seal_with(remote, &ephemeral, &iv, &body)
}

/// Encrypts `body` as it is, with the size prefix.
pub fn seal_with(remote: &PublicKey, ephemeral: &NodeKey, iv: &[u8; 16], body: &[u8]) -> Vec<u8> {
    let size = body.len().saturating_add(ecies::OVERHEAD);
    let prefix = u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = Vec::with_capacity(size.saturating_add(PREFIX));
    packet.extend_from_slice(&prefix);
    packet.extend_from_slice(&ecies::seal(remote, ephemeral, iv, &prefix, body));
    packet
}

/// Decrypts a packet with its size prefix in place, and gives the body with its padding.
pub fn open<'a>(key: &NodeKey, packet: &'a mut [u8]) -> Option<&'a [u8]> {
    let (prefix, rest) = packet.split_first_chunk_mut::<PREFIX>()?;
    if usize::from(u16::from_be_bytes(*prefix)) != rest.len() {
        return None;
    }
    ecies::open(key, prefix, rest).map(|body| &*body)
}

/// The element at `index`, which has to be a string of exactly `N` bytes.
fn fixed<const N: usize>(list: &Rlp<'_>, index: usize) -> Option<[u8; N]> {
    list.at(index).ok()?.data().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bodies_have_the_smallest_sizes() {
        let auth = Auth { signature: [1; 65], public_key: [2; 64], nonce: [3; 32], version: 4 };
        assert_eq!(auth.encode().len() + ecies::OVERHEAD, MIN_AUTH_SIZE);
        assert_eq!(Auth::decode(&auth.encode()), Some(auth));
        let ack = Ack { ephemeral_key: [2; 64], nonce: [3; 32], version: 4 };
        assert_eq!(ack.encode().len() + ecies::OVERHEAD, MIN_ACK_SIZE);
        assert_eq!(Ack::decode(&ack.encode()), Some(ack));
    }

    #[test]
    fn padding_is_100_to_199_random_bytes() {
        let key = NodeKey::from_bytes(&[1; 32]).unwrap();
        let mut rng = Rng::from_seed([2; 32]);
        let mut sizes = [0; 200];
        for _ in 0..2_000 {
            let mut packet = seal(&key.public_key(), &key, vec![0xc0], &mut rng);
            let body = open(&key, &mut packet).unwrap();
            assert_eq!(body[0], 0xc0);
            assert_ne!(body[1..33], body[33..65], "random, not constant");
            sizes[body.len() - 1] += 1;
        }
        assert!(sizes[..100].iter().all(|&count| count == 0));
        assert!(sizes[100..].iter().all(|&count| count > 0));
    }

    #[test]
    fn lists_that_are_too_short_or_hold_other_sizes_are_refused() {
        let auth = Auth { signature: [1; 65], public_key: [2; 64], nonce: [3; 32], version: 4 };
        let body = auth.encode();
        for length in 0..body.len() {
            assert_eq!(Auth::decode(&body[..length]), None, "cut to {length}");
        }
        assert_eq!(Ack::decode(&body), None);
        assert_eq!(Auth::decode(&[0xf8]), None);
        assert_eq!(Auth::decode(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
