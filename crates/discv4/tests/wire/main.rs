//! The packets of discv4: the published vectors, what EIP-8 allows, and properties.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod properties;
mod rules;
mod vectors;

use devp2p_core::NodeKey;
use devp2p_discv4::wire::PacketKind;
use sha3::{Digest as _, Keccak256};

/// The key that the vectors are signed with.
fn key() -> NodeKey {
    NodeKey::from_bytes(&hex("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291"))
        .unwrap()
}

/// A datagram with any data, properly signed.
fn forge(key: &NodeKey, kind: PacketKind, data: &[u8]) -> Vec<u8> {
    let signed = [&[kind.code()], data].concat();
    let signature = key.sign_recoverable(&Keccak256::digest(&signed).into());
    rehash(&[&[0; 32], &signature[..], &signed].concat())
}

/// The datagram with the right hash.
fn rehash(datagram: &[u8]) -> Vec<u8> {
    let rest = &datagram[32..];
    [&Keccak256::digest(rest)[..], rest].concat()
}

fn hex<T: TryFrom<Vec<u8>, Error: std::fmt::Debug>>(digits: &str) -> T {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes.try_into().unwrap()
}
