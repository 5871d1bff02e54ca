use std::{fmt, str::FromStr};

use devp2p_core::{Fault, Record, RecordError};

use crate::{EntryName, Link, LinkError, link};

/// An entry of a tree, below its root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// Where to go on, in the same subtree; at most [`Entry::MAX_CHILDREN`] names, or none.
    Branch(Vec<EntryName>),
    /// Another tree.
    Link(Link),
    /// A node.
    Record(Record),
}

const BRANCH_PREFIX: &str = "enrtree-branch:";
const RECORD_PREFIX: &str = "enr:";

impl Entry {
    /// The longest text of an entry, in bytes. The longest record takes 404, and whoever publishes
    /// for answers of 512 bytes, as EIP-1459 wants, stays below it; this has room for branches
    /// that are meant for larger answers.
    pub const MAX_SIZE: usize = 2_048;

    /// The most children of a branch; trees are written with 13.
    pub const MAX_CHILDREN: usize = 64;
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        if text.len() > Self::MAX_SIZE {
            return Err(EntryError::TooLarge);
        }
        if let Some(children) = text.strip_prefix(BRANCH_PREFIX) {
            return branch(children).map(Self::Branch);
        }
        if text.starts_with(link::PREFIX) {
            return text.parse().map(Self::Link).map_err(EntryError::Link);
        }
        if text.starts_with(RECORD_PREFIX) {
            return text.parse().map(Self::Record).map_err(EntryError::Record);
        }
        Err(EntryError::Unknown)
    }
}

fn branch(children: &str) -> Result<Vec<EntryName>, EntryError> {
    if children.is_empty() {
        return Ok(Vec::new());
    }
    // One more than allowed tells that there are too many.
    let names = children.split(',').take(Entry::MAX_CHILDREN + 1).map(str::parse);
    let names = names.collect::<Result<Vec<_>, _>>()?;
    if names.len() > Entry::MAX_CHILDREN { Err(EntryError::TooManyChildren) } else { Ok(names) }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(children) => {
                f.write_str(BRANCH_PREFIX)?;
                for (n, child) in children.iter().enumerate() {
                    write!(f, "{}{child}", if n == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Link(link) => link.fmt(f),
            Self::Record(record) => record.fmt(f),
        }
    }
}

/// Why a text is not an entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The link to another tree is none.
    Link(LinkError),
    /// The name of an entry is not base32 of 12 to 32 bytes.
    Name,
    /// The record of a node is none.
    Record(RecordError),
    /// It is above [`Entry::MAX_SIZE`].
    TooLarge,
    /// A branch has more than [`Entry::MAX_CHILDREN`].
    TooManyChildren,
    /// It is neither branch, link nor record.
    Unknown,
}

impl EntryError {
    /// Whose fault it is: always that of whoever published the entry.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Name => f.write_str("a branch has a child without a valid name"),
            Self::Record(error) => error.fmt(f),
            Self::TooLarge => write!(f, "the entry is above {} bytes", Entry::MAX_SIZE),
            Self::TooManyChildren => {
                write!(f, "a branch has more than {} children", Entry::MAX_CHILDREN)
            }
            Self::Unknown => f.write_str("the entry is neither branch, link nor record"),
        }
    }
}

impl std::error::Error for EntryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Link(error) => Some(error),
            Self::Record(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_bounded_and_the_text_is() {
        let branch =
            |count: usize| format!("{BRANCH_PREFIX}{}", vec!["A".repeat(20); count].join(","));
        let most = branch(Entry::MAX_CHILDREN).parse::<Entry>().unwrap();
        assert_eq!(most.to_string(), branch(Entry::MAX_CHILDREN));
        assert!(branch(Entry::MAX_CHILDREN + 1).len() <= Entry::MAX_SIZE);
        let more = branch(Entry::MAX_CHILDREN + 1).parse::<Entry>();
        assert_eq!(more, Err(EntryError::TooManyChildren));
        assert_eq!(branch(100).parse::<Entry>(), Err(EntryError::TooLarge));
    }
}
