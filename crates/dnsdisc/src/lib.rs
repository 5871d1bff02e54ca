//! Node lists in DNS (EIP-1459).
//!
//! Whoever runs a list signs a tree of records and publishes it as TXT records below a domain;
//! whoever knows the link `enrtree://KEY@DOMAIN` reads it, from any name server, and can check all
//! of it: the root by its signature, everything else by its hash.
//!
//! - [`Nodes`] is a stream of the nodes in some trees and in those that they link to.
//! - [`Client`] is what it runs on, without IO; [`Driver`] gives all that the client finds out.
//! - [`Resolver`] asks DNS. With the feature `hickory`, `HickoryResolver` is one.
//! - [`Tree`] makes a list and signs it; [`Zone`] writes it for a name server.
//! - [`Link`], [`Root`], [`Entry`] and [`EntryName`] are what there is in a tree.
//!
//! ```
//! use devp2p_core::{NodeKey, Record};
//! use devp2p_dnsdisc::{AnyResolver, Config, LookupError, Nodes, Resolver, Tree, Txt};
//! use futures::StreamExt as _;
//!
//! /// A name server in memory; earnest programs take `HickoryResolver`.
//! struct Zone(Vec<(String, String)>);
//!
//! impl Resolver for Zone {
//!     async fn lookup_txt(&self, name: &str) -> Result<Vec<Txt>, LookupError> {
//!         let found = self.0.iter().find(|(known, _)| known == name);
//!         found.map(|(_, txt)| vec![txt.as_str().into()]).ok_or(LookupError::NotFound)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A list of three nodes, signed and published.
//! let mut records = Vec::new();
//! for n in 1..=3 {
//!     records.push(Record::builder().ip([192, 0, 2, n].into()).tcp(30303).sign(&NodeKey::generate()?)?);
//! }
//! let tree = Tree::new(1, records, [])?.sign(&NodeKey::generate()?, "nodes.example.org")?;
//! let resolver = AnyResolver::new(Zone(tree.txt().collect()));
//!
//! // Who has its link finds them, in any order.
//! let link = tree.link().to_string().parse()?;
//! let seed = [7; 32]; // of random bytes, in earnest
//! let mut nodes = Nodes::new(Config::default(), [link], resolver, seed);
//! let node = nodes.next().await.ok_or("the stream does not end")?;
//! assert!(node.tcp_addr().is_some_and(|addr| addr.ip().to_string().starts_with("192.0.2.")));
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//!
//! - **What is believed.** A root that the link's key signed, with a higher sequence number than
//!   the one known, or the same that is known; an entry whose hash is its name, and that is of the
//!   kind that belongs to its half of the tree. Other TXT records of a name are ignored. The root is
//!   looked up again every 30 minutes, and sooner when more than 5 entries fail.
//! - **How much is asked.** Three lookups a second for all trees together, evenly spaced, up to four
//!   of them waiting; only while nodes are wanted.
//! - **What is bounded.** The text of an entry ([`Entry::MAX_SIZE`]), the children of a branch
//!   ([`Entry::MAX_CHILDREN`]), the depth ([`MAX_DEPTH`]), the entries of a tree, the links of a tree
//!   ([`Tree::MAX_LINKS`]), the trees that are followed and the entries that are kept ([`Config`]).
//!   Each name of a tree is visited once a round, so loops end.
//! - **What is not.** The nodes of a list are whatever its signer wrote: a node that is dialed has
//!   to prove its key, and its fork is for the subprotocol to ask. The sequence numbers are not
//!   kept across restarts. DNS sees which lists are read.
#![forbid(unsafe_code)]

mod client;
#[cfg(feature = "tokio")]
mod driver;
mod entry;
mod error;
#[cfg(feature = "hickory")]
mod hickory;
mod link;
mod name;
#[cfg(feature = "tokio")]
mod nodes;
mod resolver;
mod root;
mod tree;
mod zone;

pub use client::{Client, Config, Event, LookupId, MAX_DEPTH, Output};
#[cfg(feature = "tokio")]
pub use driver::Driver;
pub use entry::{Entry, EntryError};
pub use error::SyncError;
#[cfg(feature = "hickory")]
pub use hickory::{HickoryError, HickoryResolver};
pub use link::{Link, LinkError};
pub use name::EntryName;
#[cfg(feature = "tokio")]
pub use nodes::Nodes;
pub use resolver::{AnyResolver, LookupError, Resolver, Txt};
pub use root::{Root, RootError};
pub use tree::{SignedTree, Tree, TreeError};
pub use zone::{Zone, ZoneError};
