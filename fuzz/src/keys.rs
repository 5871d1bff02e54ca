//! The keys that the targets hold: those of the published vectors, so that these get through.

use std::sync::LazyLock;

use devp2p_core::NodeKey;

/// EIP-8's static key A, of the side that dials.
pub static INITIATOR: LazyLock<NodeKey> =
    LazyLock::new(|| key("49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee"));

/// EIP-8's static key B, of the side that is dialed; EIP-778's key as well.
pub static RECIPIENT: LazyLock<NodeKey> =
    LazyLock::new(|| key("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291"));

/// The ephemeral key of packets that are sealed here.
pub static EPHEMERAL: LazyLock<NodeKey> =
    LazyLock::new(|| key("869d6ecf5211f1cc60418a13b9d870b22959d0c16f02bec714c960dd2298a32d"));

fn key(digits: &str) -> NodeKey {
    NodeKey::from_hex(digits).expect("a valid key")
}

/// The keys of a handful of nodes.
pub static NODES: LazyLock<Vec<NodeKey>> = LazyLock::new(|| {
    (1..=9).map(|byte| NodeKey::from_bytes(&[byte; 32]).expect("a valid key")).collect()
});
