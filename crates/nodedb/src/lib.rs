//! What a devp2p node remembers across restarts, in one file.
//!
//! [`NodeDb::open`] tells what an earlier run left: nodes that discovery had verified (seeds), with
//! the times that say who has proved an endpoint to whom; the sequence number of this node's own
//! record; up to four good peers to dial first (anchors); and whom to have nothing to do with (bans). From then on rows go in and nothing
//! is read: no caller ever waits for the disk, which is the business of a thread of its own.
//!
//! ```
//! use devp2p_core::{DiscoveryVersion, Node, NodeKey, Seed};
//! use devp2p_nodedb::{NodeDb, Options};
//!
//! # let path = std::env::temp_dir().join(format!("devp2p-nodedb-{}/nodes", std::process::id()));
//! # let seed = [7; 32]; // of random bytes, in earnest
//! # let now = 1_700_000_000;
//! let local = NodeKey::generate()?.id();
//! let (db, remembered) = NodeDb::open(&path, Options::new(local, now, seed))?;
//! assert!(remembered.seeds.is_empty());
//!
//! // A node answered us, a peer proved good, and our record changed.
//! let key = NodeKey::generate()?.public_key();
//! let node: Node = format!("enode://{key}@192.0.2.1:30303").parse()?;
//! let endpoint = "192.0.2.1:30303".parse()?;
//! db.write_seed(Seed::new(node.clone(), endpoint, DiscoveryVersion::V4, now));
//! db.write_anchors(vec![node.clone()]);
//! db.write_local_seq(5);
//! db.close();
//!
//! let (db, remembered) = NodeDb::open(&path, Options::new(local, now + 60, seed))?;
//! assert_eq!(remembered.seeds[0].node, node);
//! assert_eq!(remembered.anchors, [node]);
//! assert_eq!(remembered.local_seq, Some(5));
//! # db.close();
//! # std::fs::remove_dir_all(path.parent().ok_or("no folder")?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - **What is kept.** Seeds that answered within [`SEED_LIFETIME`]; one that never answered is no
//!   seed, so pings from fresh keys add nothing. At most [`MAX_SEEDS`] of each protocol: beyond
//!   them the networks (/24, /48) take turns, each with its freshest first, so that one who has many
//!   ids but few addresses crowds out himself. [`MAX_ANCHORS`] anchors, and
//!   [`MAX_BANS`](devp2p_core::MAX_BANS) bans. The file stays below
//!   [`MAX_FILE_SIZE`].
//! - **What is told at the start.** A few seeds of each protocol: half of them the freshest, half
//!   at random, and in both halves the networks take turns, so that whoever is freshest, or most,
//!   does not own the set.
//! - **Another key.** Numbers of the own record are kept per key, the newest [`MAX_LOCAL_IDS`] of
//!   them. Seeds and anchors are of use to any key, but a bond holds between two keys: opened with
//!   another key than before, the file forgets whom we had answered
//!   ([`last_ping`](devp2p_core::Seed::last_ping)).
//! - **When it is on the disk.** The own number, the anchors and the bans at once; seeds within
//!   [`FLUSH_INTERVAL`]; all of it at [`NodeDb::close`]. A crash loses what was not yet written, and
//!   nothing else.
//! - **Damage.** A row that cannot be read is skipped and deleted. A file that cannot be read, is
//!   of a newer version, or is no file of ours, is moved aside with a [`Notice`], and a new one
//!   starts. A file that is in use by another process is an error.
//!
//! The only time that counts is that of the opening, so nothing here reads a clock, and one that was
//! wrong for a while costs no rows: what it wrote ahead of today is told without the times, as a node
//! that may be there and has proved nothing. The redb library panics on some kinds of damage; those panics are caught in the
//! thread, which needs a program that unwinds (`panic = "unwind"`, the default).
#![forbid(unsafe_code)]

mod aside;
mod mailbox;
mod node_db;
mod notice;
mod row;
mod store;
mod turns;
mod writer;

pub use mailbox::{FLUSH_INTERVAL, MAX_QUEUED, RETRY_INTERVAL};
pub use node_db::{NodeDb, Options, Remembered};
pub use notice::{Notice, OpenError};
pub use store::{MAX_ANCHORS, MAX_FILE_SIZE, MAX_LOCAL_IDS, MAX_SEEDS, SEED_LIFETIME};
