//! Frames with valid tags whatever is in them.
//!
//! A second implementation of the frames' way out, as plain as the specification tells it and on
//! the `sha3` crate instead of our own sponge: so it is an oracle of the codec's as well.
//!
//! Source: [RLPx, framing](https://github.com/ethereum/devp2p/blob/master/rlpx.md#framing).

use aes::{
    Aes256, Aes256Enc,
    cipher::{BlockCipherEncrypt as _, KeyInit as _},
};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use devp2p_rlpx::{
    Secrets,
    keccak::{Backend, Keccak256},
};
use sha3::Digest as _;
use zeroize::Zeroizing;

const AES_KEY: [u8; 32] = [0xa5; 32];
const MAC_KEY: [u8; 32] = [0x5a; 32];
const HASH_SEED: &[u8] = b"what both sides have said in the handshake";

/// The secrets of a session both of whose directions start alike: what one side's egress seals,
/// the other's ingress opens.
pub fn secrets() -> Secrets {
    let mut hash = Keccak256::new(Backend::detect());
    hash.update(HASH_SEED);
    Secrets {
        aes: Zeroizing::new(AES_KEY),
        mac: Zeroizing::new(MAC_KEY),
        egress: hash.clone(),
        ingress: hash,
    }
}

/// The sending half of the session with [`secrets`].
pub struct Forger {
    cipher: Ctr128BE<Aes256>,
    mac: Aes256Enc,
    hash: sha3::Keccak256,
}

impl Forger {
    /// At the first frame of the session.
    pub fn new() -> Self {
        Self {
            cipher: Ctr128BE::new(&AES_KEY.into(), &[0; 16].into()),
            mac: Aes256Enc::new(&MAC_KEY.into()),
            hash: sha3::Keccak256::new_with_prefix(HASH_SEED),
        }
    }

    /// The frame of any body, which need not hold a message.
    pub fn frame(&mut self, body: &[u8]) -> Vec<u8> {
        let mut frame = self.header(body.len());
        let mut padded = body.to_vec();
        padded.resize(body.len().next_multiple_of(16), 0);
        self.cipher.apply_keystream(&mut padded);
        self.hash.update(&padded);
        let seed = self.digest();
        let tag = self.tag(seed);
        frame.extend_from_slice(&padded);
        frame.extend_from_slice(&tag);
        frame
    }

    /// A header alone, with its tag, that declares a body of `size` bytes.
    pub fn header(&mut self, size: usize) -> Vec<u8> {
        let mut header = [0; 16];
        let size = u32::try_from(size).expect("a size of 24 bits").to_be_bytes();
        assert_eq!(size[0], 0, "a size of 24 bits");
        header[..3].copy_from_slice(&size[1..]);
        header[3..6].copy_from_slice(&[0xc2, 0x80, 0x80]);
        self.cipher.apply_keystream(&mut header);
        let tag = self.tag(header);
        [header, tag].concat()
    }

    fn tag(&mut self, with: [u8; 16]) -> [u8; 16] {
        let mut seed = self.digest().into();
        self.mac.encrypt_block(&mut seed);
        let seed: [u8; 16] = std::array::from_fn(|index| seed[index] ^ with[index]);
        self.hash.update(seed);
        self.digest()
    }

    fn digest(&self) -> [u8; 16] {
        let digest = self.hash.clone().finalize();
        std::array::from_fn(|index| digest[index])
    }
}

impl Default for Forger {
    fn default() -> Self {
        Self::new()
    }
}

/// The body of a message: its id in RLP, then its payload.
pub fn body(id: u64, payload: &[u8]) -> Vec<u8> {
    [&rlp::encode(&id)[..], payload].concat()
}
