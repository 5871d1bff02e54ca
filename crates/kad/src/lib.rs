//! Kademlia over 256-bit ids: whom a node knows, and how it finds others.
//!
//! [`Table`] keeps the nodes that are known, by distance from our own id; [`Lookup`] finds the
//! nodes nearest to any id. Neither sends anything, reads a clock or draws randomness: they say
//! whom to ask, and are told the answers, the time and random numbers. Nor do they know what a
//! message or an address is: a node is an [`Id`] and a value that implements [`Contact`].
//!
//! ```
//! use devp2p_kad::{Config, Contact, Group, Id, Lookup, LookupConfig, Place, Table};
//!
//! /// A node is reached by its number; those of a hundred are in one hand.
//! #[derive(Clone, Debug, PartialEq)]
//! struct Number(u32);
//!
//! impl Contact for Number {
//!     fn group(&self) -> Option<Group> {
//!         Some(Group::new(u128::from(self.0 / 100)))
//!     }
//!     fn same_endpoint(&self, other: &Self) -> bool {
//!         self == other
//!     }
//! }
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example's clock")]
//! # let now = std::time::Instant::now();
//! # let random = 7;
//! let id = |byte| Id::new([byte; 32]);
//! let mut table = Table::new(Config::default(), id(0));
//!
//! // We are told of a node. It is given no place, and handed out to nobody, before it is checked.
//! assert_eq!(table.add(now, id(0x80), Number(123)), Ok(Place::Replacement));
//! let due = table.poll_timeout().ok_or("nothing to do")?;
//! let check = table.poll_check(due, random).ok_or("nobody to check")?;
//! assert_eq!((check.id(), check.value()), (id(0x80), &Number(123)));
//! table.check_passed(due, check);
//! assert_eq!(table.closest(&id(0x99), 16).len(), 1);
//!
//! // A lookup asks it, and the one that it names.
//! let start = table.closest_known(&id(0x99), 16).into_iter().map(|(id, v)| (id, v.clone()));
//! let mut lookup = Lookup::new(LookupConfig::default(), table.own_id(), id(0x99), start);
//! assert_eq!(lookup.poll_request(), Some((id(0x80), &Number(123))));
//! lookup.handle_nodes(&id(0x80), [(id(0x90), Number(456))]);
//! lookup.handle_answered(&id(0x80));
//! assert_eq!(lookup.poll_request(), Some((id(0x90), &Number(456))));
//! lookup.handle_failed(&id(0x90));
//! assert!(lookup.is_finished() && lookup.closest().eq([(id(0x80), &Number(123))]));
//! # Ok::<(), &str>(())
//! ```
//!
//! # The table
//!
//! - **Buckets.** One for each logarithmic distance from 241 to 256, and one for all nearer, with
//!   16 places each and 10 nodes that wait for one, the replacements.
//! - **Only verified nodes have places**: those that answered at their present endpoint. Hearsay
//!   waits, is checked, and gets a place by its answer. So what strangers say costs them the
//!   checks, and takes nothing from a node that answers.
//! - **Groups.** Of one [`Group`] at most 2 have a place in a bucket, at most 10 in the table, and
//!   at most 1 waits in a bucket, a verified one before hearsay. A node without group is free.
//! - **Checks.** Nodes that are new or failed a check are checked again soon, those that passed now
//!   and then. A failure takes two thirds of the checks a node passed; at none it is dropped and a
//!   verified node that waits gets its place. A node that moves is unverified again.
//! - **Pinned nodes** are never forgotten: without a place they are checked every 30 s, for ever.
//!
//! The rules are go-ethereum's (`p2p/discover`), except that there unverified nodes take places and
//! count against the limits, so that records of others' making can keep a node out.
//!
//! # What it does not do
//!
//! It does not authenticate. Whoever calls [`Table::verified`] has seen an answer that only this
//! node could give, to a request sent to the endpoint in the value. Whoever calls
//! [`Table::update`] knows that the node itself says so.
#![forbid(unsafe_code)]

mod contact;
mod id;
mod lookup;
mod newcomers;
mod table;

pub use contact::{Contact, Group};
pub use id::{Distance, Id};
pub use lookup::{Lookup, LookupConfig};
pub use newcomers::Newcomers;
pub use table::{
    BUCKETS, Bucket, Change, Check, Config, Entry, FIRST_BUCKET, Place, Refused, Table,
};
