//! Whom to dial next: the dial scheduler of a devp2p node.
//!
//! [`Scheduler`] opens no socket, reads no clock and draws no entropy. It is told what happened and
//! at what time, and says whom to dial. It keeps the static nodes connected, fills the free slots
//! with candidates from discovery, and falls back on bootnodes when there is no peer at all; it
//! dials no node twice at once or again too soon, and says of every node why it is not dialed.
//!
//! ```
//! use devp2p_core::{Node, NodeId, NodeKey};
//! use devp2p_dial::{Config, DialKind, Input, Outcome, Output, Refusal, Scheduler};
//! use std::time::Duration;
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example's clock")]
//! # let mut now = std::time::Instant::now();
//! # let key = NodeKey::from_bytes(&[7; 32])?.public_key();
//! let node: Node = format!("enode://{key}@192.0.2.1:30303").parse()?;
//! let mut config = Config::new(NodeId::new([1; 32]));
//! config.static_nodes = vec![node.clone()];
//! let mut scheduler = Scheduler::new(config, [0; 32], now);
//!
//! // It wants the static node dialed.
//! let Some(Output::Dial { dial, kind: DialKind::Static, .. }) = scheduler.poll_output() else {
//!     panic!("no dial");
//! };
//!
//! // The dial fails. The address may be out of date, so discovery is asked; it has no answer.
//! scheduler.handle_input(now, Input::DialDone { dial, outcome: Outcome::ConnectFailed });
//! assert!(matches!(scheduler.poll_output(), Some(Output::Resolve { .. })));
//! scheduler.handle_input(now, Input::Resolved { id: node.id(), result: None });
//! assert!(matches!(scheduler.why_not(now, &node), Some(Refusal::BackingOff { .. })));
//!
//! // Half a minute later it is dialed again.
//! now += Duration::from_secs(35);
//! scheduler.handle_timeout(now);
//! assert!(matches!(scheduler.poll_output(), Some(Output::Dial { .. })));
//!
//! // Meanwhile there are slots for candidates from discovery.
//! assert_eq!(scheduler.wanted_candidates(), 15);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - **Static nodes** are dialed whenever they are not connected, beyond
//!   [`max_dialed`](Config::max_dialed) and also where [`dynamic`](Config::dynamic) is off. After
//!   a failure they wait 35 s from the start of the dial, then longer, up to 2 min.
//! - **Candidates** are dialed while dialed peers and dials in flight, those of static nodes
//!   included, are fewer than `max_dialed`: so the share of inbound peers stays free, and thousands
//!   of static nodes leave no room for candidates. After a failure they wait up to an hour.
//! - **Useless nodes**, those that share no capability with us or are of another network, are no
//!   candidates for 10 min, and for twice as long each time that they are found to be so again, up
//!   to 24 h ([`useless_backoff`](Config::useless_backoff)). A session that lasts ends that. Only
//!   what a node said itself, after it had proved its key on a connection that we dialed, counts:
//!   so nobody can have another node left alone. Static nodes and bootnodes are dialed all the
//!   same, as after any failure.
//! - **Anchors**, good peers from before a restart, are dialed before any candidate, and once more
//!   after a failure. They are in slots of candidates.
//! - **Networks.** Of the nodes that nobody configured, no more than
//!   [`max_dialed_per_prefix`](Config::max_dialed_per_prefix) of one /24 or /48 are dialed or
//!   dialed peers, so that whoever owns a network does not own our choice. Static nodes and
//!   bootnodes are not held to that, and take no place from others.
//! - **Bootnodes** are dialed one at a time, in turn, after 20 s without any peer.
//! - **All** wait 35 s from one dial to the next, or 1 to 3 s where two nodes dialed one another at
//!   the same time and both connections gave way. No more than
//!   [`max_active_dials`](Config::max_active_dials) are in flight. Static nodes that are due have
//!   the first pick, in the order in which they came due, at random among equals; at the start the
//!   anchors go before them.
//! - **Addresses.** A DNS name is looked up before each dial; while lookups fail, the last address
//!   that it had is used; with [`dial_names`](Config::dial_names) none is, and static nodes and
//!   bootnodes are dialed by their names. A static node or bootnode without an address is looked for by its id,
//!   and once more after a dial failed. A search that fails, or only repeats the address that
//!   failed, is not repeated for 1 min to 1 h.
//!
//! The rules are go-ethereum's (`p2p/dial.go`), with those of its versions before 2020 on bootnodes
//! and on static nodes beyond the limit, and with backoff and limits by network, which it lacks.
#![forbid(unsafe_code)]

mod attempts;
mod backoff;
mod config;
mod deadlines;
mod networks;
mod peers;
mod refusal;
mod scheduler;
mod target;
mod types;

pub use config::Config;
pub use refusal::{Refusal, RefusalCause};
pub use scheduler::{MAX_ANCHORS, Scheduler};
pub use types::{DialId, DialKind, Dialing, Input, Outcome, Outlook, Output, Stats, Status};
