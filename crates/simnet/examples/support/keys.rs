//! Identities that cost next to nothing: a signature is the signer's public key.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, OnceLock},
};

use bytes::Bytes;
use devp2p_core::{NodeId, NodeKey, PublicKey, Record, RecordError, Rng};
use devp2p_discv4::wire::Signer;
use devp2p_discv5::crypto::{Identity as Discv5Identity, SharedSecret};

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

/// What is shared is the sum of the two public keys, of which one is drawn by lot.
impl Discv5Identity for StandIn {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, _digest: &[u8; 32]) -> [u8; 64] {
        *self.0.as_bytes()
    }

    fn verify(&self, signer: &PublicKey, _digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        signature == signer.as_bytes()
    }

    fn agree(&self, ephemeral_key: &[u8; 33]) -> Option<SharedSecret> {
        Some(shared(ephemeral_key, &self.0))
    }

    fn ephemeral(&self, remote: &PublicKey, rng: &mut Rng) -> ([u8; 33], SharedSecret) {
        let mut key = [2; 33];
        rng.fill(&mut key[1..]);
        (key, shared(&key, remote))
    }

    /// Whoever made it did so in this thread, and signed it.
    fn decode_record(&self, bytes: &[u8]) -> Result<Record, RecordError> {
        let made = PUBLISHED.with_borrow(|records| records.get(bytes).cloned());
        made.map_or_else(|| Record::decode(bytes), Ok)
    }
}

fn shared(key: &[u8; 33], remote: &PublicKey) -> SharedSecret {
    let mut sum = remote.to_compressed();
    sum.iter_mut().zip(key).for_each(|(a, b)| *a = a.wrapping_add(*b));
    SharedSecret::from_bytes(&sum)
}

thread_local! {
    static PUBLISHED: RefCell<BTreeMap<Bytes, Record>> = RefCell::default();
}

/// Lets stand-ins know a record, so that they need not verify it.
pub(crate) fn publish(record: &Record) {
    PUBLISHED.with_borrow_mut(|records| records.insert(record.to_bytes(), record.clone()));
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
    &mining().0
}

/// The record of one of them at an endpoint, signed once.
pub(crate) fn mined_record(at: usize, udp: SocketAddr, tcp: u16) -> Record {
    static SIGNED: Mutex<BTreeMap<(usize, SocketAddr), Record>> = Mutex::new(BTreeMap::new());
    let sign = || {
        let record = Record::builder().seq(1).ip(udp.ip()).udp(udp.port()).tcp(tcp);
        record.sign(&mining().1[at]).unwrap()
    };
    let record = SIGNED.lock().unwrap().entry((at, udp)).or_insert_with(sign).clone();
    publish(&record);
    record
}

/// The identities, and their keys in the same order.
fn mining() -> &'static (Vec<Identity>, Vec<NodeKey>) {
    static MINED_ONCE: OnceLock<(Vec<Identity>, Vec<NodeKey>)> = OnceLock::new();
    MINED_ONCE.get_or_init(|| {
        let mut rng = Rng::from_seed([0xad; 32]);
        let mut keys: Vec<_> = (0..MINED).map(|_| node_key(&mut rng)).collect();
        keys.sort_by_cached_key(NodeKey::id);
        let identities = keys.iter().map(|key| Identity { key: key.public_key(), id: key.id() });
        (identities.collect(), keys)
    })
}
