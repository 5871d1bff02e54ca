use aes::{
    Aes256Enc,
    cipher::{BlockCipherEncrypt as _, KeyInit as _},
};

use crate::{
    keccak::{Backend, Keccak256},
    secrets::xor,
};

/// One direction's tags.
///
/// Three digests a frame: the header's tag, the body's seed and the body's tag. The header's seed
/// is the tag of the frame before it, so it is kept instead of computed again.
pub(super) struct FrameMac {
    hash: Keccak256,
    cipher: Aes256Enc,
    /// The first half of `hash`'s digest.
    current: [u8; 16],
}

impl FrameMac {
    pub(super) fn new(key: &[u8; 32], hash: Keccak256) -> Self {
        let current = half_digest(&hash);
        Self { hash, cipher: Aes256Enc::new(key.into()), current }
    }

    pub(super) const fn backend(&self) -> Backend {
        self.hash.backend()
    }

    /// The tag of a header, which is given encrypted.
    pub(super) fn header_tag(&mut self, header: &[u8; 16]) -> [u8; 16] {
        self.mix(header)
    }

    /// Takes the body, encrypted and padded; in pieces if that is handy.
    pub(super) fn update_body(&mut self, body: &[u8]) {
        self.hash.update(body);
    }

    /// The tag of the body that was taken.
    pub(super) fn body_tag(&mut self) -> [u8; 16] {
        self.current = half_digest(&self.hash);
        let seed = self.current;
        self.mix(&seed)
    }

    /// Encrypts the current half digest, xors `with` into it, and hashes the result.
    fn mix(&mut self, with: &[u8; 16]) -> [u8; 16] {
        let mut block = self.current.into();
        self.cipher.encrypt_block(&mut block);
        self.hash.update(&xor(&block.into(), with));
        self.current = half_digest(&self.hash);
        self.current
    }
}

fn half_digest(hash: &Keccak256) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(hash.digest().split_at(16).0);
    half
}
