//! Folders, seeds, and a database that takes down its notices.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use devp2p_core::{DiscoveryVersion, Host, Node, NodeId, NodeKey, Record, Seed};
use devp2p_nodedb::{NodeDb, Notice, OpenError, Options, Remembered};

pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const HOUR: u64 = 60 * 60;
pub(crate) const DAY: u64 = 24 * HOUR;

/// An empty folder for one test.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nodedb").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn local(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

pub(crate) fn key(n: u32) -> NodeKey {
    let mut secret = [1; 32];
    secret[..4].copy_from_slice(&n.to_be_bytes());
    NodeKey::from_bytes(&secret).unwrap()
}

/// Each in a network of its own, up to 65,536.
pub(crate) fn endpoint(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(60 + a, b, c, 1), 30_303))
}

pub(crate) fn node(n: u32) -> Node {
    let at = endpoint(n);
    Node::new(key(n).public_key(), Some(Host::Ip(at.ip())), at.port(), at.port())
}

/// A node with a record of the largest size.
pub(crate) fn node_of_full_size(n: u32) -> Node {
    // As much as fits beside the rest.
    let filler = [&[0xb8, 153][..], &[7; 153]].concat();
    let record = Record::builder().seq(1).ip(endpoint(n).ip()).tcp(30303).udp(30303);
    let record = record.entry("zz", filler).sign(&key(n)).unwrap();
    assert_eq!(record.as_bytes().len(), Record::MAX_SIZE);
    Node::from_record(record)
}

pub(crate) fn seed(n: u32, last_pong: u64) -> Seed {
    Seed::new(node(n), endpoint(n), DiscoveryVersion::V4, last_pong)
}

pub(crate) fn seed_v5(n: u32, last_pong: u64) -> Seed {
    Seed::new(node(n), endpoint(n), DiscoveryVersion::V5, last_pong)
}

pub(crate) fn sorted(mut seeds: Vec<Seed>) -> Vec<Seed> {
    seeds.sort_by_key(|seed| (seed.protocol, seed.node.id()));
    seeds
}

/// What was opened, and what was said meanwhile.
pub(crate) struct Opened {
    pub(crate) db: NodeDb,
    pub(crate) remembered: Remembered,
    pub(crate) notices: Arc<Mutex<Vec<Notice>>>,
}

impl Opened {
    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }
}

/// Opens the file so that it tells all that it has.
pub(crate) fn try_open(path: &Path, local: NodeId, now: u64) -> Result<Opened, OpenError> {
    let mut options = Options::new(local, now, [9; 32]);
    options.seeds_at_open = usize::MAX;
    open_with(path, options)
}

pub(crate) fn open_with(path: &Path, mut options: Options) -> Result<Opened, OpenError> {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notices);
    options.on_notice = Box::new(move |notice| told.lock().unwrap().push(notice));
    let (db, remembered) = NodeDb::open(path, options)?;
    Ok(Opened { db, remembered, notices })
}

/// As `try_open`, for node 1; nothing must go wrong.
pub(crate) fn open(path: &Path, now: u64) -> Opened {
    let opened = try_open(path, local(1), now).unwrap();
    assert_eq!(opened.notices(), []);
    opened
}
