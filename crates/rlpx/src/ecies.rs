//! ECIES on secp256k1, as RLPx's handshake packets are encrypted.
//!
//! `0x04 ‖ R (64) ‖ iv (16) ‖ ciphertext ‖ tag (32)`: R is an ephemeral public key; the keys come
//! from SHA-256 in NIST SP 800-56's concatenation KDF over the x coordinate of the product; the
//! ciphertext is AES-128-CTR; the tag is HMAC-SHA256 over iv, ciphertext and the authenticated
//! data, which is never sent inside.
//!
//! Source: [RLPx, ECIES encryption](https://github.com/ethereum/devp2p/blob/master/rlpx.md#ecies-encryption).

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use devp2p_core::{NodeKey, PublicKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

const POINT: usize = 65;
const IV: usize = 16;
const TAG: usize = 32;

/// How much longer a ciphertext is than its plaintext.
pub const OVERHEAD: usize = POINT + IV + TAG;

/// Encrypts `plaintext` to `remote`.
///
/// `ephemeral` and `iv` have to be fresh; they are arguments so that a packet can be made again
/// byte for byte.
pub fn seal(
    remote: &PublicKey,
    ephemeral: &NodeKey,
    iv: &[u8; IV],
    auth_data: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let keys = Keys::derive(ephemeral, remote);
    let mut packet = Vec::with_capacity(plaintext.len().saturating_add(OVERHEAD));
    packet.extend_from_slice(&ephemeral.public_key().to_uncompressed());
    packet.extend_from_slice(iv);
    packet.extend_from_slice(plaintext);
    let (_, ciphertext) = packet.split_at_mut(POINT + IV);
    keys.apply_cipher(iv, ciphertext);
    let tag = keys.tag(iv, ciphertext, auth_data);
    packet.extend_from_slice(&tag);
    packet
}

/// Decrypts a packet to `key` in place and gives the plaintext, or `None` for a packet that is
/// not valid for whatever reason.
///
/// Length, then the point, then the tag in constant time; nothing is decrypted before.
pub fn open<'a>(key: &NodeKey, auth_data: &[u8], packet: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let (point, rest) = packet.split_at_mut_checked(POINT)?;
    let (iv, rest) = rest.split_first_chunk_mut::<IV>()?;
    let (ciphertext, tag) = rest.split_last_chunk_mut::<TAG>()?;
    let remote = PublicKey::from_uncompressed(point).ok()?;
    let keys = Keys::derive(key, &remote);
    if !bool::from(keys.tag(iv, ciphertext, auth_data).ct_eq(tag)) {
        return None;
    }
    keys.apply_cipher(iv, ciphertext);
    Some(ciphertext)
}

/// What one product gives: a key for the cipher and one for the tag.
struct Keys {
    cipher: Zeroizing<[u8; 16]>,
    tag: Zeroizing<[u8; 32]>,
}

impl Keys {
    fn derive(ours: &NodeKey, theirs: &PublicKey) -> Self {
        let mut okm: [u8; 32] = Sha256::new()
            .chain_update(1_u32.to_be_bytes())
            .chain_update(ours.ecdh(theirs).as_ref())
            .finalize()
            .into();
        let (cipher_half, tag_half) = okm.split_at(16);
        let mut keys = Self { cipher: Zeroizing::default(), tag: Zeroizing::default() };
        keys.cipher.copy_from_slice(cipher_half);
        keys.tag.copy_from_slice(&Sha256::digest(tag_half));
        okm.zeroize();
        keys
    }

    fn apply_cipher(&self, iv: &[u8; IV], data: &mut [u8]) {
        Ctr128BE::<Aes128>::new((&*self.cipher).into(), iv.into()).apply_keystream(data);
    }

    fn tag(&self, iv: &[u8; IV], ciphertext: &[u8], auth_data: &[u8]) -> [u8; TAG] {
        // HMAC fills a key up to its block size with zeros; done here, it cannot fail.
        let mut key = Zeroizing::new([0; 64]);
        key.split_at_mut(TAG).0.copy_from_slice(&*self.tag);
        Hmac::<Sha256>::new((&*key).into())
            .chain_update(iv)
            .chain_update(ciphertext)
            .chain_update(auth_data)
            .finalize()
            .into_bytes()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> NodeKey {
        NodeKey::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_for_the_right_key_and_data_only() {
        let (ours, other) = (key(1), key(2));
        let mut packet = seal(&ours.public_key(), &key(3), &[4; 16], b"size", b"plaintext");
        assert_eq!(packet.len(), 9 + OVERHEAD);
        assert_eq!(open(&ours, b"size", &mut packet.clone()).unwrap(), b"plaintext");
        assert!(open(&other, b"size", &mut packet.clone()).is_none());
        assert!(open(&ours, b"Size", &mut packet).is_none());
    }

    /// CVE-2026-22862: a length check that is too generous by a few bytes.
    #[test]
    fn every_length_of_garbage_is_refused() {
        for length in 0..400 {
            for prefix in [0, 2, 3, 4, 5, 6, 7, 0xff] {
                let mut packet = vec![prefix; length];
                assert!(open(&key(1), b"", &mut packet).is_none());
                // with a valid point
                let valid = seal(&key(1).public_key(), &key(3), &[4; 16], b"", &[prefix; 400]);
                let mut cut = valid[..length].to_vec();
                assert!(open(&key(1), b"", &mut cut).is_none());
            }
        }
    }

    #[test]
    fn an_empty_plaintext_is_a_packet() {
        let mut packet = seal(&key(1).public_key(), &key(3), &[4; 16], b"", b"");
        assert_eq!(open(&key(1), b"", &mut packet).unwrap(), b"");
    }
}
