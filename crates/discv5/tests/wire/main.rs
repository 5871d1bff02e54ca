//! Packets, messages and the handshake: the published vectors, what the rules refuse, properties.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod handshake;
mod messages;
mod packets;
mod properties;

use devp2p_core::{NodeId, NodeKey, PublicKey, Rng};
use devp2p_discv5::{
    crypto::{Identity, SharedSecret},
    wire::{HandshakePacket, Masking, OrdinaryPacket, Packet, ProtocolId, WhoAreYou},
};
use serde_json::Value;

const WIRE: &str = include_str!("../vectors/discv5-wire.json");
const MESSAGES: &str = include_str!("../vectors/discv5-messages.json");

/// Node A of the vectors, who begins.
fn key_a() -> NodeKey {
    NodeKey::from_bytes(&bytes(&parse(WIRE)["node_a_key"])).unwrap()
}

/// Node B of the vectors.
fn key_b() -> NodeKey {
    NodeKey::from_bytes(&bytes(&parse(WIRE)["node_b_key"])).unwrap()
}

/// The masking of packets to this node, on the public networks.
fn masking(id: NodeId) -> Masking {
    Masking::new(id, ProtocolId::default())
}

fn ordinary<'a>(masking: &Masking, datagram: &'a [u8]) -> OrdinaryPacket<'a> {
    match masking.decode(datagram) {
        Ok(Packet::Ordinary(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn whoareyou(masking: &Masking, datagram: &[u8]) -> WhoAreYou {
    match masking.decode(datagram) {
        Ok(Packet::WhoAreYou(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn handshake<'a>(masking: &Masking, datagram: &'a [u8]) -> HandshakePacket<'a> {
    match masking.decode(datagram) {
        Ok(Packet::Handshake(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

/// A node whose key for handshakes is given.
struct Fixed {
    key: NodeKey,
    ephemeral: NodeKey,
}

impl Identity for Fixed {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        self.key.sign(digest)
    }

    fn verify(&self, signer: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        Identity::verify(&self.key, signer, digest, signature)
    }

    fn agree(&self, ephemeral_key: &[u8; 33]) -> Option<SharedSecret> {
        self.key.agree(ephemeral_key)
    }

    fn ephemeral(&self, remote: &PublicKey, _: &mut Rng) -> ([u8; 33], SharedSecret) {
        let shared = SharedSecret::between(&self.ephemeral, remote);
        (self.ephemeral.public_key().to_compressed(), shared)
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The element of a list with this name.
fn named<'a>(vectors: &'a Value, name: &str) -> &'a Value {
    list(vectors).iter().find(|vector| vector["name"] == name).unwrap()
}

fn bytes<T: TryFrom<Vec<u8>, Error: std::fmt::Debug>>(value: &Value) -> T {
    let digits = value.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes.try_into().unwrap()
}

fn vec(value: &Value) -> Vec<u8> {
    bytes(value)
}

fn id(value: &Value) -> NodeId {
    NodeId::new(bytes(value))
}
