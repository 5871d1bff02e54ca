use devp2p_core::{NodeKey, PublicKey};

/// Signs packets, and finds out who signed one.
///
/// [`NodeKey`] is the real one. Another lets a simulation of thousands of nodes do without the
/// cost of signatures; it must give every digest and key a signature of which no other key is the
/// signer.
pub trait Signer: Send + 'static {
    /// The key that [`sign`](Self::sign) signs with.
    fn public_key(&self) -> PublicKey;

    /// The signature of a digest.
    fn sign(&self, digest: &[u8; 32]) -> [u8; 65];

    /// The key that signed a digest, if any.
    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<PublicKey>;
}

impl Signer for NodeKey {
    fn public_key(&self) -> PublicKey {
        Self::public_key(self)
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 65] {
        self.sign_recoverable(digest)
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<PublicKey> {
        PublicKey::recover(digest, signature).ok()
    }
}
