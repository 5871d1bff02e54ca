//! What the handshake computes, and the cipher of messages.
//!
//! Secrets erase themselves and do not show in `Debug`. Nothing here draws entropy but from the
//! [`Rng`] that it is given.
//!
//! Source: [discv5-wire.md, handshake], identity scheme "v4".
//!
//! [discv5-wire.md, handshake]: https://github.com/ethereum/devp2p/blob/master/discv5/discv5-wire.md#handshake-message-packet-flag--2

use std::fmt;

use aes::{Aes128Enc, cipher::consts::U12};
use aes_gcm::{AeadInOut as _, AesGcm, KeyInit as _};
use bytes::{Bytes, BytesMut};
use devp2p_core::{NodeId, NodeKey, PublicKey, Record, RecordError, Rng};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::wire::{Nonce, WhoAreYou};

const SIGNATURE_PREFIX: &[u8] = b"discovery v5 identity proof";
const KEY_AGREEMENT_PREFIX: &[u8] = b"discovery v5 key agreement";
const TAG_SIZE: usize = 16;

/// What a node does with its key.
///
/// [`NodeKey`] is the real one. Another lets a simulation of thousands of nodes do without the
/// cost of curves; both sides of an exchange must get one secret that no third key gives, and of
/// every signature there must be one signer.
pub trait Identity {
    /// The key that the record has.
    fn public_key(&self) -> PublicKey;

    /// Signs a digest: r and s.
    fn sign(&self, digest: &[u8; 32]) -> [u8; 64];

    /// Whether `signer` signed a digest.
    fn verify(&self, signer: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool;

    /// The secret shared with the maker of an ephemeral key, compressed. `None` where it is no key.
    fn agree(&self, ephemeral_key: &[u8; 33]) -> Option<SharedSecret>;

    /// A key for one handshake with `remote`, compressed, and the secret shared with `remote`.
    fn ephemeral(&self, remote: &PublicKey, rng: &mut Rng) -> ([u8; 33], SharedSecret);

    /// Reads and verifies the record of another node.
    ///
    /// # Errors
    /// As [`Record::decode`].
    fn decode_record(&self, bytes: &[u8]) -> Result<Record, RecordError> {
        Record::decode(bytes)
    }
}

impl Identity for NodeKey {
    fn public_key(&self) -> PublicKey {
        Self::public_key(self)
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        Self::sign(self, digest)
    }

    fn verify(&self, signer: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        signer.verify(digest, signature).is_ok()
    }

    fn agree(&self, ephemeral_key: &[u8; 33]) -> Option<SharedSecret> {
        // Reading it checks that the point is on the curve: one that is not would tell of our key.
        let ephemeral_key = PublicKey::from_compressed(ephemeral_key).ok()?;
        Some(SharedSecret::between(self, &ephemeral_key))
    }

    fn ephemeral(&self, remote: &PublicKey, rng: &mut Rng) -> ([u8; 33], SharedSecret) {
        let key = Self::ephemeral(self, rng);
        (key.public_key().to_compressed(), SharedSecret::between(&key, remote))
    }
}

/// What a key agreement gives both sides: a point, compressed.
pub struct SharedSecret(Zeroizing<[u8; 33]>);

impl SharedSecret {
    /// The product of one's secret and the other's public key.
    pub fn between(key: &NodeKey, remote: &PublicKey) -> Self {
        let point = key.ecdh_point(remote);
        let (x, y) = point.split_at(32);
        let mut secret = Self(Zeroizing::new([0; 33]));
        let (prefix, rest) = secret.0.split_at_mut(1);
        prefix.fill(0x02 | y.last().map_or(0, |last| last & 1));
        rest.copy_from_slice(x);
        secret
    }

    /// The secret with these bytes, for an [`Identity`] of one's own.
    pub fn from_bytes(bytes: &[u8; 33]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(redacted)")
    }
}

/// The two keys of a session, one for each direction.
pub struct SessionSecrets(Zeroizing<[u8; 32]>);

impl SessionSecrets {
    /// Derives the keys of the handshake that answers `challenge`.
    pub fn derive(
        shared: &SharedSecret,
        challenge: &WhoAreYou,
        initiator: &NodeId,
        recipient: &NodeId,
    ) -> Self {
        let (mut pseudorandom, kdf) =
            Hkdf::<Sha256>::extract(Some(challenge.challenge_data()), shared.as_bytes());
        pseudorandom.as_mut_slice().zeroize();
        let mut keys = Self(Zeroizing::new([0; 32]));
        let info = [KEY_AGREEMENT_PREFIX, initiator.as_bytes(), recipient.as_bytes()];
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 bytes")]
        kdf.expand_multi_info(&info, keys.0.as_mut()).expect("32 bytes");
        keys
    }

    /// What the initiator seals with, whoever sent the handshake packet.
    pub fn initiator_key(&self) -> &[u8; 16] {
        self.0.first_chunk().unwrap_or(&[0; 16])
    }

    /// What the recipient seals with, whoever sent WHOAREYOU.
    pub fn recipient_key(&self) -> &[u8; 16] {
        self.0.last_chunk().unwrap_or(&[0; 16])
    }
}

impl PartialEq for SessionSecrets {
    /// Takes as long for all that differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_ref()).into()
    }
}

impl Eq for SessionSecrets {}

impl fmt::Debug for SessionSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecrets(redacted)")
    }
}

/// The digest that the id signature signs.
pub fn id_digest(challenge: &WhoAreYou, ephemeral_key: &[u8; 33], recipient: &NodeId) -> [u8; 32] {
    Sha256::new()
        .chain_update(SIGNATURE_PREFIX)
        .chain_update(challenge.challenge_data())
        .chain_update(ephemeral_key)
        .chain_update(recipient.as_bytes())
        .finalize()
        .into()
}

/// A key of AES-128-GCM, scheduled once. It is erased when it is dropped.
pub struct SessionKey(AesGcm<Aes128Enc, U12>);

impl SessionKey {
    /// Schedules a key.
    pub fn new(key: &[u8; 16]) -> Self {
        Self(AesGcm::new(key.into()))
    }

    /// Seals a message in place and gives the tag, which goes behind it. `None` for messages of 64
    /// GiB and more.
    ///
    /// A key that seals twice with one nonce is no secret any more.
    pub fn seal(&self, nonce: Nonce, message_ad: &[u8], message: &mut [u8]) -> Option<[u8; 16]> {
        let nonce = nonce.as_bytes().into();
        self.0.encrypt_inout_detached(nonce, message_ad, message.into()).ok().map(Into::into)
    }

    /// Opens a message with its tag; `None` where this key did not seal it with this nonce and
    /// this header. Nothing is decrypted before the tag is known to be right.
    pub fn open(&self, nonce: Nonce, message_ad: &[u8], sealed: &[u8]) -> Option<Bytes> {
        let (sealed, tag) = sealed.split_last_chunk::<TAG_SIZE>()?;
        let mut message = BytesMut::from(sealed);
        let nonce = nonce.as_bytes().into();
        self.0
            .decrypt_inout_detached(nonce, message_ad, message.as_mut().into(), tag.into())
            .ok()?;
        Some(message.freeze())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(redacted)")
    }
}
