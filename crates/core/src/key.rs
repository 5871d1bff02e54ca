use std::{
    fmt,
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use data_encoding::HEXLOWER_PERMISSIVE;
use secp256k1::{
    All, Message, Secp256k1, SecretKey, VerifyOnly,
    ecdh::shared_secret_point,
    ecdsa::{RecoverableSignature, RecoveryId, Signature},
};
use sha3::{Digest as _, Keccak256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{NodeId, Rng};

/// The private key of a node on secp256k1: its identity on the network.
///
/// The secret is erased when the last clone is dropped, and `Debug` does not show it. Signatures
/// are deterministic (RFC 6979) and low-S, so equal inputs give equal bytes.
#[derive(Clone)]
pub struct NodeKey(Arc<Inner>);

struct Inner {
    secret: SecretKey,
    public: PublicKey,
    context: Arc<SigningContext>,
}

impl NodeKey {
    /// A fresh key from the operating system's entropy.
    ///
    /// # Errors
    /// When the operating system gives no entropy.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self::from_rng(&mut Rng::from_os()?))
    }

    /// A fresh key from `rng`; the generator is re-keyed afterwards.
    pub fn from_rng(rng: &mut Rng) -> Self {
        Self::draw(rng, None)
    }

    /// The key with this scalar.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`] where the scalar is zero or not below the order of the group.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SecretKey::from_byte_array(*secret).map_err(|_| KeyError::OutOfRange)?;
        Ok(Self::assemble(secret, None))
    }

    /// A fresh key for one use that shares this key's signing context, which is dear to build.
    pub fn ephemeral(&self, rng: &mut Rng) -> Self {
        Self::draw(rng, Some(Arc::clone(&self.0.context)))
    }

    fn draw(rng: &mut Rng, context: Option<Arc<SigningContext>>) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        // All but 2^-127 of the draws are valid scalars.
        let secret = loop {
            rng.fill(bytes.as_mut());
            if let Ok(secret) = SecretKey::from_byte_array(*bytes) {
                break secret;
            }
        };
        rng.rekey();
        Self::assemble(secret, context)
    }

    fn assemble(secret: SecretKey, context: Option<Arc<SigningContext>>) -> Self {
        let context = context.unwrap_or_else(|| Arc::new(SigningContext::new(&secret)));
        let public = context.with(&secret, |secp| {
            PublicKey::from_point(&secp256k1::PublicKey::from_secret_key(secp, &secret))
        });
        Self(Arc::new(Inner { secret, public, context }))
    }

    /// The scalar, big-endian, in a buffer that erases itself.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.secret.secret_bytes())
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        self.0.public
    }

    /// The node id.
    pub fn id(&self) -> NodeId {
        NodeId::from(self.0.public)
    }

    /// Signs a 32-byte digest: r and s, 64 bytes.
    pub fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        let message = Message::from_digest(*digest);
        self.0.context.with(&self.0.secret, |secp| {
            secp.sign_ecdsa(message, &self.0.secret).serialize_compact()
        })
    }

    /// Signs a 32-byte digest so that the key can be recovered: r, s and the recovery id, 65 bytes.
    pub fn sign_recoverable(&self, digest: &[u8; 32]) -> [u8; 65] {
        let message = Message::from_digest(*digest);
        let (recovery_id, compact) = self.0.context.with(&self.0.secret, |secp| {
            secp.sign_ecdsa_recoverable(message, &self.0.secret).serialize_compact()
        });
        let mut signature = [0; 65];
        let (rs, v) = signature.split_at_mut(64);
        rs.copy_from_slice(&compact);
        v.fill(u8::try_from(i32::from(recovery_id)).unwrap_or(0));
        signature
    }

    /// The Diffie-Hellman secret with `remote`: the x coordinate of the product.
    pub fn ecdh(&self, remote: &PublicKey) -> Zeroizing<[u8; 32]> {
        let mut point = self.ecdh_point(remote);
        let mut x = Zeroizing::new([0; 32]);
        x.copy_from_slice(point.split_at(32).0);
        point.zeroize();
        x
    }

    /// The Diffie-Hellman product with `remote`, x and y.
    pub fn ecdh_point(&self, remote: &PublicKey) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(shared_secret_point(&remote.point(), &self.0.secret))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({:#}, secret redacted)", self.id())
    }
}

impl PartialEq for NodeKey {
    /// Compares the public keys, so that no secret meets a comparison that can leak it.
    fn eq(&self, other: &Self) -> bool {
        self.0.public == other.0.public
    }
}

impl Eq for NodeKey {}

/// How many secret operations one blinding serves. A new one costs about 26 us, so this is
/// 0.03 us an operation.
const OPERATIONS_PER_BLINDING: u64 = 1_000;

/// A libsecp256k1 context whose blinding is renewed now and then, against side channels.
struct SigningContext {
    secp: RwLock<Secp256k1<All>>,
    operations: AtomicU64,
}

impl SigningContext {
    fn new(secret: &SecretKey) -> Self {
        let context = Self { secp: RwLock::new(Secp256k1::new()), operations: AtomicU64::new(0) };
        context.blind(secret, 0);
        context
    }

    fn with<T>(&self, secret: &SecretKey, operation: impl FnOnce(&Secp256k1<All>) -> T) -> T {
        let count = self.operations.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if count.is_multiple_of(OPERATIONS_PER_BLINDING) {
            self.blind(secret, count);
        }
        operation(&self.secp.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The blinding is a hash of the secret and a counter: as hard to guess as the secret, and
    /// the same in every run, without a source of entropy in here.
    fn blind(&self, secret: &SecretKey, count: u64) {
        let mut seed: [u8; 32] = Keccak256::new()
            .chain_update(b"devp2p context blinding")
            .chain_update(Zeroizing::new(secret.secret_bytes()).as_ref())
            .chain_update(count.to_be_bytes())
            .finalize()
            .into();
        self.secp.write().unwrap_or_else(PoisonError::into_inner).seeded_randomize(&seed);
        seed.zeroize();
    }
}

/// Verification needs no secret and keeps no state: one context of tables serves everyone.
static VERIFIER: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// A public key on secp256k1: 64 bytes, x and y, of a point that is on the curve.
///
/// There is no way to hold one that is not: every constructor checks. Prints as 128 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 64]);

impl PublicKey {
    /// Reads x and y.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`] for a point off the curve, a coordinate that is not below the
    /// field's prime, and the point at infinity.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, KeyError> {
        let mut uncompressed = [0x04; 65];
        uncompressed.split_at_mut(1).1.copy_from_slice(bytes);
        Self::from_uncompressed(&uncompressed)
    }

    /// Reads the 65-byte form, 0x04 and x and y. The hybrid prefixes 0x06 and 0x07 are refused.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`], and [`KeyError::Encoding`] for another length or prefix.
    pub fn from_uncompressed(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != 65 || bytes.first() != Some(&0x04) {
            return Err(KeyError::Encoding);
        }
        Self::parse(bytes)
    }

    /// Reads the 33-byte form, 0x02 or 0x03 and x.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`], and [`KeyError::Encoding`] for another length or prefix.
    pub fn from_compressed(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != 33 || !matches!(bytes.first(), Some(0x02 | 0x03)) {
            return Err(KeyError::Encoding);
        }
        Self::parse(bytes)
    }

    /// Recovers the signer of a digest from r, s and a recovery id 0..=3.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where no key fits.
    pub fn recover(digest: &[u8; 32], signature: &[u8; 65]) -> Result<Self, KeyError> {
        let (rs, v) = signature.split_at(64);
        let recovery_id = v
            .first()
            .and_then(|&v| RecoveryId::try_from(i32::from(v)).ok())
            .ok_or(KeyError::Signature)?;
        let signature =
            RecoverableSignature::from_compact(rs, recovery_id).map_err(|_| KeyError::Signature)?;
        VERIFIER
            .recover_ecdsa(Message::from_digest(*digest), &signature)
            .map(|point| Self::from_point(&point))
            .map_err(|_| KeyError::Signature)
    }

    /// Checks r and s over a digest.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where this key did not sign it. A signature with a high S is
    /// refused too, as in libsecp256k1.
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), KeyError> {
        let signature = Signature::from_compact(signature).map_err(|_| KeyError::Signature)?;
        VERIFIER
            .verify_ecdsa(Message::from_digest(*digest), &signature, &self.point())
            .map_err(|_| KeyError::Signature)
    }

    /// x and y.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The 33-byte form.
    pub fn to_compressed(self) -> [u8; 33] {
        self.point().serialize()
    }

    /// The 65-byte form.
    pub fn to_uncompressed(self) -> [u8; 65] {
        self.point().serialize_uncompressed()
    }

    fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        secp256k1::PublicKey::from_slice(bytes)
            .map(|point| Self::from_point(&point))
            .map_err(|_| KeyError::NotOnCurve)
    }

    fn from_point(point: &secp256k1::PublicKey) -> Self {
        let uncompressed = point.serialize_uncompressed();
        let mut bytes = [0; 64];
        bytes.copy_from_slice(uncompressed.split_at(1).1);
        Self(bytes)
    }

    #[expect(clippy::expect_used, reason = "every constructor has checked the point")]
    fn point(&self) -> secp256k1::PublicKey {
        let mut uncompressed = [0x04; 65];
        uncompressed.split_at_mut(1).1.copy_from_slice(&self.0);
        secp256k1::PublicKey::from_slice(&uncompressed).expect("a point on the curve")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;

    /// Reads 128 hex digits, with or without 0x.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes =
            HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| KeyError::Encoding)?;
        Self::from_bytes(&bytes.try_into().map_err(|_| KeyError::Encoding)?)
    }
}

/// Why bytes are not a key or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The length, the prefix or the digits are wrong.
    Encoding,
    /// The coordinates are not those of a point on the curve.
    NotOnCurve,
    /// The private scalar is zero or not below the order of the group.
    OutOfRange,
    /// The signature is malformed or not by this key.
    Signature,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "the key has a wrong length, prefix or digit",
            Self::NotOnCurve => "the public key is not a point on the curve",
            Self::OutOfRange => "the private key is zero or above the order of the group",
            Self::Signature => "the signature is malformed or by another key",
        })
    }
}

impl std::error::Error for KeyError {}
