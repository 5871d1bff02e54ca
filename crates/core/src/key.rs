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

use crate::{Fault, NodeId, Rng};

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

    /// A fresh key for one use that shares this key's signing context, which is expensive to build.
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

impl KeyError {
    /// Whose fault it is: the remote's, as keys and signatures come in its messages. Where a key is
    /// our own, such as one from a file, the error around this one says so.
    pub const fn fault(self) -> Fault {
        Fault::Remote
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The field's prime.
    const P: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
    /// The prime and one: the same as 1 modulo the prime, and 1 is the x of a point.
    const P_AND_1: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30";
    const ONE: &str = "0000000000000000000000000000000000000000000000000000000000000001";
    /// The even y of x = 1.
    const Y_OF_1: &str = "4218f20ae6c646b363db68605822fb14264ca8d2587fdd6fbc750d587e76a7ee";
    const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    /// The order of the group.
    const N: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    const N_LESS_1: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()
    }

    fn array<const SIZE: usize>(text: &str) -> [u8; SIZE] {
        hex(text).try_into().unwrap()
    }

    fn point(x: &str, y: &str) -> Result<PublicKey, KeyError> {
        PublicKey::from_bytes(&array(&[x, y].concat()))
    }

    fn key(byte: u8) -> NodeKey {
        NodeKey::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        assert!(point(ONE, Y_OF_1).is_ok());
        assert_eq!(point(ONE, ONE), Err(KeyError::NotOnCurve));
        assert_eq!(point(Y_OF_1, ONE), Err(KeyError::NotOnCurve));
        let mut bytes = *key(1).public_key().as_bytes();
        bytes[63] ^= 1;
        assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::NotOnCurve));
        // An x without a point.
        let no_point = [&[0x02][..], &hex("00".repeat(31).as_str()), &[5]].concat();
        assert_eq!(PublicKey::from_compressed(&no_point), Err(KeyError::NotOnCurve));
    }

    #[test]
    fn coordinates_at_or_above_the_prime_are_refused() {
        let all_ones = "ff".repeat(32);
        for (x, y) in [
            (P_AND_1, Y_OF_1),
            (P, Y_OF_1),
            (ONE, P),
            (ONE, P_AND_1),
            (ONE, all_ones.as_str()),
            (all_ones.as_str(), Y_OF_1),
        ] {
            assert_eq!(point(x, y), Err(KeyError::NotOnCurve), "{x} {y}");
        }
        for prefix in ["02", "03"] {
            let compressed = hex(&[prefix, P_AND_1].concat());
            assert_eq!(PublicKey::from_compressed(&compressed), Err(KeyError::NotOnCurve));
        }
    }

    #[test]
    fn infinity_is_refused_in_every_form() {
        assert_eq!(point(ZERO, ZERO), Err(KeyError::NotOnCurve));
        assert_eq!(PublicKey::from_uncompressed(&[0]), Err(KeyError::Encoding));
        assert_eq!(PublicKey::from_compressed(&[0]), Err(KeyError::Encoding));
        assert_eq!(PublicKey::from_uncompressed(&[0; 65]), Err(KeyError::Encoding));
        assert_eq!(PublicKey::from_compressed(&[0; 33]), Err(KeyError::Encoding));
    }

    #[test]
    fn hybrid_and_other_prefixes_are_refused() {
        let public = key(1).public_key();
        let mut bytes = public.to_uncompressed();
        assert_eq!(PublicKey::from_uncompressed(&bytes), Ok(public));
        for prefix in (0..=u8::MAX).filter(|&prefix| prefix != 0x04) {
            bytes[0] = prefix;
            assert_eq!(PublicKey::from_uncompressed(&bytes), Err(KeyError::Encoding), "{prefix}");
        }
        let mut bytes = public.to_compressed();
        assert_eq!(PublicKey::from_compressed(&bytes), Ok(public));
        for prefix in (0..=u8::MAX).filter(|prefix| !matches!(prefix, 0x02 | 0x03)) {
            bytes[0] = prefix;
            assert_eq!(PublicKey::from_compressed(&bytes), Err(KeyError::Encoding), "{prefix}");
        }
        // The right prefix on the wrong length.
        for length in (0..70).filter(|&length| length != 65) {
            let bytes = vec![0x04; length];
            assert_eq!(PublicKey::from_uncompressed(&bytes), Err(KeyError::Encoding));
        }
    }

    #[test]
    fn scalars_are_from_1_to_below_the_order() {
        let from = |text: &str| NodeKey::from_bytes(&array(text)).map(|key| key.public_key());
        assert_eq!(from(ZERO), Err(KeyError::OutOfRange));
        assert_eq!(from(N), Err(KeyError::OutOfRange));
        assert_eq!(from(&"ff".repeat(32)), Err(KeyError::OutOfRange));
        let (first, last) = (from(ONE).unwrap(), from(N_LESS_1).unwrap());
        // The generator and its negative: one x.
        assert_eq!(first.as_bytes()[..32], last.as_bytes()[..32]);
        assert_ne!(first, last);
    }

    #[test]
    fn text_forms_are_read_back() {
        let public = key(1).public_key();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(format!("0x{public}").to_uppercase().replace('X', "x").parse(), Ok(public));
        for bad in ["", "0x", &public.to_string()[1..], &public.to_string().replace('0', "g")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(KeyError::Encoding), "{bad}");
        }
    }

    #[test]
    fn signatures_are_those_of_rfc_6979() {
        // The example of EIP-778: the list of seq and entries that its record signs.
        let key = NodeKey::from_bytes(&array(
            "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291",
        ))
        .unwrap();
        let content = hex(
            "f84201826964827634826970847f00000189736563703235366b31a103ca634cae0d49acb401d8a4c6b6\
             fe8c55b70d115bf400769cc1400f3258cd31388375647082765f",
        );
        let digest: [u8; 32] = Keccak256::digest(content).into();
        let expected: [u8; 64] = array(
            "7098ad865b00a582051940cb9cf36836572411a47278783077011599ed5cd16b76f2635f4e234738f308\
             13a89eb9137e3e3df5266e3a1f11df72ecf1145ccb9c",
        );
        assert_eq!(key.sign(&digest), expected);
        assert_eq!(key.public_key().verify(&digest, &expected), Ok(()));
        assert_eq!(key.sign_recoverable(&digest)[..64], expected);
        assert_eq!(
            key.id().to_string(),
            "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"
        );
    }

    #[test]
    fn a_new_blinding_changes_no_signature() {
        let (key, fresh) = (key(1), key(1));
        for count in 0..=OPERATIONS_PER_BLINDING {
            let mut digest = [9; 32];
            digest[..8].copy_from_slice(&count.to_be_bytes());
            let signature = key.sign(&digest);
            if count % 100 == 0 {
                assert_eq!(signature, fresh.sign(&digest));
            }
        }
    }

    #[test]
    fn signatures_by_others_over_others_and_with_a_high_s_are_refused() {
        let (digest, other) = ([5; 32], [6; 32]);
        let signature = key(1).sign(&digest);
        let refused = Err(KeyError::Signature);
        assert_eq!(key(1).public_key().verify(&digest, &signature), Ok(()));
        assert_eq!(key(1).public_key().verify(&other, &signature), refused);
        assert_eq!(key(2).public_key().verify(&digest, &signature), refused);
        assert_eq!(key(1).public_key().verify(&digest, &[0; 64]), refused);
        assert_eq!(key(1).public_key().verify(&digest, &[0xff; 64]), refused);

        // n - s signs the same message, and would be a second signature of it.
        let mut high = signature;
        let mut borrow = 0;
        for (s, n) in high[32..].iter_mut().zip(hex(N)).rev() {
            let difference = i16::from(n) - i16::from(*s) - borrow;
            borrow = i16::from(difference < 0);
            *s = u8::try_from(difference.rem_euclid(256)).unwrap();
        }
        assert_eq!(key(1).public_key().verify(&digest, &high), refused);
    }

    #[test]
    fn the_signer_is_recovered() {
        let digest = [5; 32];
        let mut signature = key(1).sign_recoverable(&digest);
        assert_eq!(PublicKey::recover(&digest, &signature), Ok(key(1).public_key()));
        assert_ne!(PublicKey::recover(&[6; 32], &signature), Ok(key(1).public_key()));
        for v in 4..=u8::MAX {
            signature[64] = v;
            assert_eq!(PublicKey::recover(&digest, &signature), Err(KeyError::Signature));
        }
        assert_eq!(PublicKey::recover(&digest, &[0; 65]), Err(KeyError::Signature));
    }

    #[test]
    fn both_sides_of_an_exchange_get_one_secret() {
        let (a, b) = (key(1), key(2));
        assert_eq!(a.ecdh(&b.public_key()), b.ecdh(&a.public_key()));
        assert_eq!(a.ecdh_point(&b.public_key()), b.ecdh_point(&a.public_key()));
        assert_eq!(a.ecdh(&b.public_key())[..], a.ecdh_point(&b.public_key())[..32]);
        assert_ne!(a.ecdh(&b.public_key()), a.ecdh(&a.public_key()));
    }

    #[test]
    fn keys_of_one_seed_are_equal_and_all_others_differ() {
        let draw = |seed| NodeKey::from_rng(&mut Rng::from_seed(seed));
        assert_eq!(draw([1; 32]), draw([1; 32]));
        assert_ne!(draw([1; 32]), draw([2; 32]));
        let mut rng = Rng::from_seed([1; 32]);
        let first = NodeKey::from_rng(&mut rng);
        let second = first.ephemeral(&mut rng);
        assert_ne!(first, second);
        assert_eq!(second, NodeKey::from_bytes(&second.to_bytes()).unwrap());
        assert_ne!(NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = NodeKey::from_bytes(&array(
            "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291",
        ))
        .unwrap();
        assert_eq!(format!("{key:?}"), "NodeKey(a448f24c, secret redacted)");
    }
}
