//! The identities of libp2p: a node key is one of its secp256k1 key pairs.

use std::fmt;

use libp2p_identity::{Keypair, PeerId, PublicKey as AnyPublicKey, secp256k1};
use zeroize::Zeroizing;

use crate::{Fault, KeyError, NodeKey, NodeKeyError, PublicKey};

/// The fields and values of libp2p's private key message, which has one encoding only (libp2p
/// specification, "Peer Ids and Keys").
const TYPE_FIELD: u8 = 0x08;
const SECP256K1: u8 = 2;
const KEY_TYPES: u8 = 4;
const DATA_FIELD: u8 = 0x12;
const DATA_SIZE: u8 = 32;

/// The code of the multihash that holds the key itself instead of a hash.
const IDENTITY: u64 = 0;

impl NodeKey {
    /// libp2p's protobuf encoding of the private key, in a buffer that erases itself.
    pub fn to_protobuf(&self) -> Zeroizing<Vec<u8>> {
        let header = [TYPE_FIELD, SECP256K1, DATA_FIELD, DATA_SIZE];
        Zeroizing::new([header.as_slice(), self.to_bytes().as_ref()].concat())
    }

    /// Reads libp2p's protobuf encoding of a private key.
    ///
    /// # Errors
    /// [`NodeKeyError::Protobuf`], [`NodeKeyError::KeyType`], [`NodeKeyError::Length`] or
    /// [`NodeKeyError::OutOfRange`].
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, NodeKeyError> {
        let [TYPE_FIELD, key_type, DATA_FIELD, length, secret @ ..] = bytes else {
            return Err(NodeKeyError::Protobuf);
        };
        match *key_type {
            SECP256K1 => {}
            0..KEY_TYPES => return Err(NodeKeyError::KeyType),
            _ => return Err(NodeKeyError::Protobuf),
        }
        if usize::from(*length) != secret.len() {
            return Err(NodeKeyError::Protobuf);
        }
        let secret = <&[u8; 32]>::try_from(secret)
            .map_err(|_| NodeKeyError::Length { found: secret.len() })?;
        Self::from_bytes(secret).map_err(|_| NodeKeyError::OutOfRange)
    }

    /// The libp2p identity of this key.
    pub fn peer_id(&self) -> PeerId {
        self.public_key().to_peer_id()
    }
}

impl From<&NodeKey> for Keypair {
    #[expect(clippy::expect_used, reason = "a node key holds a valid scalar")]
    fn from(key: &NodeKey) -> Self {
        let secret = secp256k1::SecretKey::try_from_bytes(key.to_bytes().as_mut())
            .expect("a scalar in range");
        secp256k1::Keypair::from(secret).into()
    }
}

impl TryFrom<&Keypair> for NodeKey {
    type Error = NodeKeyError;

    /// Only [`NodeKeyError::KeyType`] can come of it.
    fn try_from(pair: &Keypair) -> Result<Self, NodeKeyError> {
        let pair = pair.clone().try_into_secp256k1().map_err(|_| NodeKeyError::KeyType)?;
        let secret = Zeroizing::new(pair.secret().to_bytes());
        Self::from_bytes(&secret).map_err(|_| NodeKeyError::OutOfRange)
    }
}

impl PublicKey {
    /// The libp2p identity of this key.
    #[expect(clippy::expect_used, reason = "a public key is a point on the curve")]
    pub fn to_peer_id(&self) -> PeerId {
        let key = secp256k1::PublicKey::try_from_bytes(&self.to_compressed())
            .expect("a point on the curve");
        AnyPublicKey::from(key).to_peer_id()
    }

    /// The key that a libp2p identity holds. That of a secp256k1 key holds all of it.
    ///
    /// # Errors
    /// [`PeerIdError`] where the identity is a hash of a key or holds one of another kind.
    pub fn from_peer_id(peer_id: &PeerId) -> Result<Self, PeerIdError> {
        let multihash = peer_id.as_ref();
        if multihash.code() != IDENTITY {
            return Err(PeerIdError::Hashed);
        }
        let key = AnyPublicKey::try_decode_protobuf(multihash.digest())
            .ok()
            .and_then(|key| key.try_into_secp256k1().ok())
            .ok_or(PeerIdError::KeyType)?;
        Self::from_compressed(&key.to_bytes()).map_err(PeerIdError::Key)
    }
}

/// Why a libp2p identity is not that of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerIdError {
    /// The identity is the hash of a key, which a secp256k1 key is too short for.
    Hashed,
    /// The key is bad.
    Key(KeyError),
    /// The key is of another kind than secp256k1, or not a key.
    KeyType,
}

impl PeerIdError {
    /// Whose fault it is: of who gave the identity.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for PeerIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashed => f.write_str("the peer id is a hash, and does not tell its key"),
            Self::Key(error) => error.fmt(f),
            Self::KeyType => f.write_str("the peer id is not that of a secp256k1 key"),
        }
    }
}

impl std::error::Error for PeerIdError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn key() -> NodeKey {
        NodeKey::from_bytes(&[0x2a; 32]).unwrap()
    }

    #[test]
    fn keys_become_key_pairs_and_back() {
        let pair = Keypair::from(&key());
        let public = pair.public().try_into_secp256k1().unwrap();
        assert_eq!(public.to_bytes(), key().public_key().to_compressed());
        assert_eq!(NodeKey::try_from(&pair).unwrap().to_bytes(), key().to_bytes());
    }

    #[test]
    fn the_protobuf_encoding_is_that_of_libp2p() {
        let encoded = Keypair::from(&key()).to_protobuf_encoding().unwrap();
        assert_eq!(*key().to_protobuf(), encoded);
        assert_eq!(NodeKey::from_protobuf(&encoded).unwrap(), key());
        let decoded = Keypair::from_protobuf_encoding(&key().to_protobuf()).unwrap();
        assert_eq!(NodeKey::try_from(&decoded).unwrap(), key());
    }

    #[test]
    fn the_libp2p_specification_s_key_is_read() {
        // "Peer Ids and Keys", test vectors, Secp256k1.
        let private = data_encoding::HEXLOWER
            .decode(
                b"0802122053DADF1D5A164D6B4ACDB15E24AA4C5B1D3461BDBD42ABEDB0A4404D56CED8FB"
                    .to_ascii_lowercase()
                    .as_ref(),
            )
            .unwrap();
        let public = data_encoding::HEXLOWER
            .decode(b"08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99")
            .unwrap();
        let key = NodeKey::from_protobuf(&private).unwrap();
        assert_eq!(key.public_key().to_compressed(), public[4..]);
        assert_eq!(*key.to_protobuf(), private);
    }

    #[test]
    fn bad_protobuf_keys_are_told_apart() {
        let from = |header: &[u8], secret: &[u8]| {
            NodeKey::from_protobuf(&[header, secret].concat()).unwrap_err()
        };
        let header = [0x08, 2, 0x12, 32];
        assert!(matches!(from(&[], &[]), NodeKeyError::Protobuf));
        assert!(matches!(from(&[0x12, 32], &[1; 32]), NodeKeyError::Protobuf));
        assert!(matches!(from(&header, &[1; 31]), NodeKeyError::Protobuf));
        assert!(matches!(from(&header, &[1; 33]), NodeKeyError::Protobuf));
        assert!(matches!(from(&[0x08, 9, 0x12, 32], &[1; 32]), NodeKeyError::Protobuf));
        assert!(matches!(from(&[0x08, 1, 0x12, 64], &[1; 64]), NodeKeyError::KeyType));
        assert!(matches!(from(&[0x08, 0, 0x12, 0x88], &[1; 600]), NodeKeyError::KeyType));
        assert!(matches!(from(&[0x08, 2, 0x12, 31], &[1; 31]), NodeKeyError::Length { found: 31 }));
        assert!(matches!(from(&header, &[0; 32]), NodeKeyError::OutOfRange));
        assert!(matches!(from(&header, &[0xff; 32]), NodeKeyError::OutOfRange));
    }

    #[test]
    fn a_peer_id_tells_its_key() {
        let id = key().peer_id();
        assert_eq!(id, Keypair::from(&key()).public().to_peer_id());
        assert!(id.to_base58().starts_with("16Uiu2HA"), "{id}");
        assert_eq!(PublicKey::from_peer_id(&id), Ok(key().public_key()));
        // An ed25519 identity, and a hashed one, both of the libp2p documentation.
        let other = PeerId::from_str("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA");
        assert_eq!(PublicKey::from_peer_id(&other.unwrap()), Err(PeerIdError::KeyType));
        let hashed = PeerId::from_str("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N");
        assert_eq!(PublicKey::from_peer_id(&hashed.unwrap()), Err(PeerIdError::Hashed));
    }
}
