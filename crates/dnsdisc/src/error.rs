use std::fmt;

use devp2p_core::Fault;

use crate::{EntryError, LookupError, RootError};

/// Why a part of a tree could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncError {
    /// What has the right hash is not an entry.
    Entry(EntryError),
    /// What is there does not have the hash that its name says.
    Hash,
    /// DNS gave no answer.
    Lookup(LookupError),
    /// A record among the links, or a link among the records.
    Misplaced,
    /// Nothing that is there is of a tree.
    NoEntry,
    /// The root is older than the one that is known, or other with the same number.
    OldRoot {
        /// The sequence number of the root that is known.
        known: u64,
        /// That of the root that is there.
        seq: u64,
    },
    /// The root cannot be read, or its signature is not by the tree's key.
    Root(RootError),
    /// The entry is deeper in the tree than [`MAX_DEPTH`](crate::MAX_DEPTH).
    TooDeep,
    /// What is there is longer than an entry may be.
    TooLarge,
    /// The tree has more entries than it may have.
    TooManyEntries,
    /// The tree has more links than [`Tree::MAX_LINKS`](crate::Tree::MAX_LINKS).
    TooManyLinks,
}

impl SyncError {
    /// Whose fault it is: the network's where DNS gave no answer, otherwise that of whoever
    /// published the tree.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Lookup(error) => error.fault(),
            _ => Fault::Remote,
        }
    }

    /// Whether asking again may help.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Lookup(LookupError::Failed(_) | LookupError::Timeout))
    }
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(error) => error.fmt(f),
            Self::Hash => f.write_str("the entry does not have the hash that its name says"),
            Self::Lookup(error) => error.fmt(f),
            Self::Misplaced => {
                f.write_str("a record is among the links, or a link among the records")
            }
            Self::NoEntry => f.write_str("what is there is not of a tree"),
            Self::OldRoot { known, seq } => {
                write!(f, "the root with seq {seq} cannot follow one with seq {known}")
            }
            Self::Root(error) => error.fmt(f),
            Self::TooDeep => f.write_str("the tree is too deep"),
            Self::TooLarge => f.write_str("the txt record is too long for an entry"),
            Self::TooManyEntries => f.write_str("the tree has too many entries"),
            Self::TooManyLinks => f.write_str("the tree has too many links"),
        }
    }
}

impl std::error::Error for SyncError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Entry(error) => Some(error),
            Self::Lookup(error) => Some(error),
            Self::Root(error) => Some(error),
            _ => None,
        }
    }
}
