//! The floor under a frame: what the ciphers and the hash cost with nothing around them.
//!
//! A bare loop in the specification's order: the payload is copied behind a header, both are
//! encrypted with AES-256-CTR, the ciphertext is hashed, and two tags are made with one AES block
//! and one or two digests each, three in all. It checks nothing, keeps no limits and writes to
//! memory that is there already.

use aes::{
    Aes256Enc,
    cipher::{BlockCipherEncrypt as _, KeyInit as _},
};
use ctr::{
    Ctr64BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use devp2p_rlpx::keccak::{Backend, Keccak256};
use sha3::Digest as _;

/// A hash that goes on after a digest was taken.
pub(crate) trait Hash {
    fn update(&mut self, input: &[u8]);
    fn half_digest(&self) -> [u8; 16];
}

impl Hash for Keccak256 {
    fn update(&mut self, input: &[u8]) {
        Self::update(self, input);
    }

    fn half_digest(&self) -> [u8; 16] {
        half(&self.digest())
    }
}

impl Hash for sha3::Keccak256 {
    fn update(&mut self, input: &[u8]) {
        sha3::Digest::update(self, input);
    }

    fn half_digest(&self) -> [u8; 16] {
        half(&self.clone().finalize())
    }
}

/// The hash that a codec chooses here.
pub(crate) fn ours() -> Keccak256 {
    Keccak256::new(Backend::detect())
}

/// One direction of the bare loop.
pub(crate) struct Floor<H> {
    stream: Ctr64BE<Aes256Enc>,
    block: Aes256Enc,
    hash: H,
    seed: [u8; 16],
}

impl<H: Hash> Floor<H> {
    pub(crate) fn new(hash: H) -> Self {
        Self {
            stream: Ctr64BE::new(&[1; 32].into(), &[0; 16].into()),
            block: Aes256Enc::new(&[2; 32].into()),
            seed: hash.half_digest(),
            hash,
        }
    }

    /// The size of the frame of a payload.
    pub(crate) fn frame_size(payload: usize) -> usize {
        32 + (payload + 1).next_multiple_of(16) + 16
    }

    /// Makes one frame in `out`, which has exactly its size.
    pub(crate) fn frame(&mut self, payload: &[u8], out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(32);
        let (body, tag) = rest.split_at_mut(rest.len() - 16);
        let (header, header_tag) = head.split_at_mut(16);
        header.fill(0);
        body[0] = 0x10;
        body[1..=payload.len()].copy_from_slice(payload);
        body[payload.len() + 1..].fill(0);

        self.stream.apply_keystream(header);
        self.mix(header);
        header_tag.copy_from_slice(&self.seed);
        self.stream.apply_keystream(body);
        self.hash.update(body);
        self.seed = self.hash.half_digest();
        self.mix(&self.seed.clone());
        tag.copy_from_slice(&self.seed);
    }

    fn mix(&mut self, with: &[u8]) {
        let mut block = self.seed.into();
        self.block.encrypt_block(&mut block);
        for (byte, with) in block.iter_mut().zip(with) {
            *byte ^= with;
        }
        self.hash.update(&block);
        self.seed = self.hash.half_digest();
    }
}

fn half(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}
