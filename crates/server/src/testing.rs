//! What the unit tests share.

use devp2p_core::{Node, NodeKey};

/// The node with the `n`th key, without an address.
pub(crate) fn node(n: u16) -> Node {
    let mut secret = [1; 32];
    secret[..2].copy_from_slice(&n.to_be_bytes());
    Node::from(NodeKey::from_bytes(&secret).unwrap().public_key())
}
