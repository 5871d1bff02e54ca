use devp2p_core::Record;

use crate::{Link, Root, SyncError};

/// The number of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub(super) u64);

/// What a [`Client`](crate::Client) wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Something is known that was not.
    Event(Event),
    /// The TXT records of this name are to be looked up, for
    /// [`handle_answer`](crate::Client::handle_answer).
    Lookup {
        /// The number of the lookup.
        id: LookupId,
        /// The name, fully qualified, without a dot at the end.
        name: String,
    },
}

/// What a [`Client`](crate::Client) found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A part of a tree cannot be read. An entry is left out until the next round; a root is looked
    /// for again after a while.
    Failed {
        /// The tree.
        tree: Link,
        /// The name in DNS of what failed: the tree's domain for its root.
        name: String,
        /// Why.
        error: SyncError,
    },
    /// A tree links to another. These come in the tree's order, before its records.
    Link {
        /// The tree.
        tree: Link,
        /// The other.
        link: Link,
    },
    /// A node of a tree. It is told again in the next round.
    Record {
        /// The tree.
        tree: Link,
        /// The record, which has been verified.
        record: Record,
    },
    /// A tree has a new root. What was found before may no longer be in it.
    Root {
        /// The tree.
        tree: Link,
        /// The root, which has been verified.
        root: Root,
    },
    /// Every entry of a tree has been read or has failed: a round is over.
    Round {
        /// The tree.
        tree: Link,
        /// How many records were told in this round.
        records: usize,
        /// How many entries failed in it.
        failed: usize,
    },
}
