//! Identities that cost next to nothing: a signature is the signer's public key.

use std::sync::OnceLock;

use devp2p_core::{NodeId, NodeKey, PublicKey, Rng};
use devp2p_discv4::wire::Signer;

/// Signs with its public key and a zero. So packets look and are read as ever, and nobody computes
/// on a curve. Nobody in here forges one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandIn(pub(crate) PublicKey);

impl Signer for StandIn {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, _digest: &[u8; 32]) -> [u8; 65] {
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(self.0.as_bytes());
        signature
    }

    fn recover(&self, _digest: &[u8; 32], signature: &[u8; 65]) -> Option<PublicKey> {
        PublicKey::from_bytes(signature.first_chunk()?).ok()
    }
}

/// A key of a node that owns one.
pub(crate) fn node_key(rng: &mut Rng) -> NodeKey {
    // What makes a context for signatures is dear, and one will do.
    static FIRST: OnceLock<NodeKey> = OnceLock::new();
    FIRST.get_or_init(|| NodeKey::from_bytes(&[1; 32]).unwrap()).ephemeral(rng)
}

/// An identity of an adversary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) key: PublicKey,
    pub(crate) id: NodeId,
}

/// How many identities an adversary has mined: so many that for every target some are 2^15 times
/// nearer than what is random.
pub(crate) const MINED: usize = 1 << 15;

/// The identities of all adversaries, in the order of their ids.
pub(crate) fn mined() -> &'static [Identity] {
    static MINED_ONCE: OnceLock<Vec<Identity>> = OnceLock::new();
    MINED_ONCE.get_or_init(|| {
        let mut rng = Rng::from_seed([0xad; 32]);
        let identity = |_| {
            let key = node_key(&mut rng).public_key();
            Identity { key, id: key.into() }
        };
        let mut all: Vec<_> = (0..MINED).map(identity).collect();
        all.sort_by_key(|identity| identity.id);
        all
    })
}
