use std::fmt;

use devp2p_core::{NodeKey, PublicKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::keccak::{Backend, Keccak256};

/// Which side of the handshake we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We dialed, and sent the auth packet.
    Initiator,
    /// We were dialed, and sent the ack packet.
    Recipient,
}

/// What the frames of one connection are sealed and opened with.
///
/// Erased on drop, and not shown by `Debug`. Both directions use one AES key and so one key
/// stream: whoever knows what one side said can read the other. That is RLPx version 4's, and
/// cannot be mended without leaving it.
pub struct Secrets {
    /// The key of the frames' cipher.
    pub aes: Zeroizing<[u8; 32]>,
    /// The key of the frames' tags.
    pub mac: Zeroizing<[u8; 32]>,
    /// The running hash of what we send.
    pub egress: Keccak256,
    /// The running hash of what we receive.
    pub ingress: Keccak256,
}

/// What both sides have said by the end of the handshake.
#[derive(Clone, Copy, Debug)]
pub struct Transcript<'a> {
    /// The auth packet as it was on the wire, with its size prefix.
    pub auth: &'a [u8],
    /// The initiator's nonce.
    pub initiator_nonce: &'a [u8; 32],
    /// The ack packet as it was on the wire, with its size prefix.
    pub ack: &'a [u8],
    /// The recipient's nonce.
    pub recipient_nonce: &'a [u8; 32],
}

impl Secrets {
    /// Derives the secrets from our ephemeral key, the remote's, and what was said.
    pub fn derive(
        role: Role,
        ours: &NodeKey,
        theirs: &PublicKey,
        transcript: &Transcript<'_>,
        backend: Backend,
    ) -> Self {
        let Transcript { auth, initiator_nonce, ack, recipient_nonce } = *transcript;
        let ephemeral = ours.ecdh(theirs);
        let nonces = hash(backend, &[recipient_nonce, initiator_nonce]);
        let shared = hash(backend, &[&*ephemeral, &*nonces]);
        let aes = hash(backend, &[&*ephemeral, &*shared]);
        let mac = hash(backend, &[&*ephemeral, &*aes]);
        let initiator = running(backend, &mac, recipient_nonce, auth);
        let recipient = running(backend, &mac, initiator_nonce, ack);
        let (egress, ingress) = match role {
            Role::Initiator => (initiator, recipient),
            Role::Recipient => (recipient, initiator),
        };
        Self { aes, mac, egress, ingress }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(redacted)")
    }
}

fn hash(backend: Backend, parts: &[&[u8; 32]; 2]) -> Zeroizing<[u8; 32]> {
    let mut hash = Keccak256::new(backend);
    for part in parts {
        hash.update(*part);
    }
    Zeroizing::new(hash.digest())
}

fn running(backend: Backend, mac: &[u8; 32], nonce: &[u8; 32], packet: &[u8]) -> Keccak256 {
    let mut start = xor(mac, nonce);
    let mut hash = Keccak256::new(backend);
    hash.update(&start);
    hash.update(packet);
    start.zeroize();
    hash
}

/// `a` xor `b`.
pub(crate) fn xor<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    let mut result = *a;
    for (byte, other) in result.iter_mut().zip(b) {
        *byte ^= other;
    }
    result
}
