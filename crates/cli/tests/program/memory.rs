//! The file of `--nodedb`, looked at from outside.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use devp2p_core::{DiscoveryVersion, Node, NodeKey, Seed};
use devp2p_nodedb::{NodeDb, Options, Remembered};

/// What the file remembers for the node with this key.
pub(crate) fn remembered(path: &Path, key: &NodeKey) -> Remembered {
    let (db, remembered) = open(path, key);
    db.close();
    remembered
}

/// Writes what an earlier run may have left.
pub(crate) fn remember(
    path: &Path,
    key: &NodeKey,
    seq: u64,
    seed: Option<(&Node, DiscoveryVersion)>,
) {
    let (db, _) = open(path, key);
    db.write_local_seq(seq);
    if let Some((node, version)) = seed {
        let endpoint = node.udp_addr().unwrap();
        db.write_seed(Seed::new(node.clone(), endpoint, version, unix().as_secs()));
    }
    db.close();
}

pub(crate) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn open(path: &Path, key: &NodeKey) -> (NodeDb, Remembered) {
    NodeDb::open(path, Options::new(key.id(), unix().as_secs(), [7; 32])).unwrap()
}
