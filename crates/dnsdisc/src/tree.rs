use std::{collections::BTreeMap, fmt};

use devp2p_core::{Fault, NodeId, NodeKey, Record, RlpItem};

use crate::{Entry, EntryName, Link, LinkError, Root, RootError, root::RootContent};

/// A tree that is not signed yet: records, links to other trees, and the entries that lead there.
///
/// Its entries are those that go-ethereum's `devp2p dns` makes of the same records and links, to the
/// byte: records sorted by node id, links in the order given, branches of up to 13 children.
#[derive(Clone, Debug)]
pub struct Tree {
    content: RootContent,
    entries: BTreeMap<EntryName, Entry>,
}

/// The most children of a branch that is written: its text stays below 370 bytes, and the answer
/// of the name server below 512.
const CHILDREN: usize = 13;

/// Keys of a record whose values are ports.
const PORT_KEYS: [&str; 4] = ["tcp", "tcp6", "udp", "udp6"];

impl Tree {
    /// The most records that a tree is made of: so many a client with default limits takes.
    pub const MAX_RECORDS: usize = 30_000;

    /// The most links that a tree is made of: so many a client takes.
    pub const MAX_LINKS: usize = crate::client::MAX_LINKS;

    /// Makes a tree. Its sequence number has to be above that of its predecessor.
    ///
    /// # Errors
    /// [`TreeError`] for what is doubled, too much, or would be of no use to those who read it.
    pub fn new(
        seq: u64,
        records: impl IntoIterator<Item = Record>,
        links: impl IntoIterator<Item = Link>,
    ) -> Result<Self, TreeError> {
        let mut sorted = BTreeMap::new();
        for record in records {
            let id = record.id();
            check_ports(&record)?;
            if sorted.insert(id, Entry::Record(record)).is_some() {
                return Err(TreeError::SameNode(id));
            }
        }
        let mut unique: Vec<Entry> = Vec::new();
        for link in links {
            let link = Entry::Link(link);
            if unique.contains(&link) {
                return Err(TreeError::SameLink(link.to_string()));
            }
            if unique.len() >= Self::MAX_LINKS {
                return Err(TreeError::TooManyLinks);
            }
            unique.push(link);
        }
        if sorted.len() > Self::MAX_RECORDS {
            return Err(TreeError::TooManyRecords);
        }
        let mut entries = BTreeMap::new();
        let records = build(&mut entries, sorted.into_values().collect());
        let links = build(&mut entries, unique);
        Ok(Self { content: RootContent { records, links, seq }, entries })
    }

    /// Signs it, to be published at `domain`. The same key gives the same signature.
    ///
    /// # Errors
    /// [`LinkError::Domain`].
    pub fn sign(self, key: &NodeKey, domain: &str) -> Result<SignedTree, LinkError> {
        let link = Link::new(key.public_key(), domain)?;
        Ok(SignedTree { root: self.content.sign(key), entries: self.entries, link })
    }

    /// With the signature of an earlier [`sign`](Self::sign), in URL-safe base64.
    ///
    /// # Errors
    /// [`RootError::Signature`] where the key of `link` did not sign this tree, and
    /// [`RootError::SignatureText`].
    pub fn with_signature(self, link: Link, signature: &str) -> Result<SignedTree, RootError> {
        let root = self.content.with_signature(signature)?;
        root.verify(&link.public_key())?;
        Ok(SignedTree { root, entries: self.entries, link })
    }
}

/// A tree that is signed, to be published in DNS.
#[derive(Clone, Debug)]
pub struct SignedTree {
    root: Root,
    entries: BTreeMap<EntryName, Entry>,
    link: Link,
}

impl SignedTree {
    /// The root.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// What clients are given to find and to check the tree.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// All entries by name, without the root.
    pub const fn entries(&self) -> &BTreeMap<EntryName, Entry> {
        &self.entries
    }

    /// The names in DNS, each with the text of its TXT record; the root first.
    pub fn txt(&self) -> impl Iterator<Item = (String, String)> {
        let domain = self.link.domain();
        let root = (domain.to_owned(), self.root.to_string());
        let entries = self.entries.iter();
        let entries = entries.map(move |(name, entry)| (below(name, domain), entry.to_string()));
        std::iter::once(root).chain(entries)
    }
}

/// The name in DNS of an entry of the tree at `domain`.
pub(crate) fn below(name: &EntryName, domain: &str) -> String {
    format!("{name}.{domain}")
}

/// Adds all entries of a subtree, and gives the name of where it begins.
fn build(entries: &mut BTreeMap<EntryName, Entry>, leaves: Vec<Entry>) -> EntryName {
    let mut add = |entry: Entry| {
        let name = EntryName::of(&entry.to_string());
        entries.insert(name.clone(), entry);
        name
    };
    let mut level: Vec<_> = leaves.into_iter().map(&mut add).collect();
    loop {
        level = match level.as_slice() {
            [] => vec![add(Entry::Branch(Vec::new()))],
            // What is alone needs no branch.
            [root] => return root.clone(),
            names => names
                .chunks(CHILDREN)
                .map(|children| match children {
                    [alone] => alone.clone(),
                    children => add(Entry::Branch(children.to_vec())),
                })
                .collect(),
        };
    }
}

/// A port that cannot be read would be left out by some who read the record, and make others
/// refuse all of it.
fn check_ports(record: &Record) -> Result<(), TreeError> {
    for key in PORT_KEYS {
        let Some(value) = record.get(key) else { continue };
        let port = RlpItem::whole(value).and_then(|value| value.uint());
        if port.is_none_or(|port| port > u64::from(u16::MAX)) {
            return Err(TreeError::Port { id: record.id(), key });
        }
    }
    Ok(())
}

/// Why records and links make no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeError {
    /// A port in the record is not a number of 16 bits.
    Port {
        /// The node of the record.
        id: NodeId,
        /// Which port.
        key: &'static str,
    },
    /// A link was given twice.
    SameLink(String),
    /// Two records are of the same node.
    SameNode(NodeId),
    /// There are more links than [`Tree::MAX_LINKS`].
    TooManyLinks,
    /// There are more records than [`Tree::MAX_RECORDS`].
    TooManyRecords,
}

impl TreeError {
    /// Whose fault it is: ours, who make the tree.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { id, key } => write!(f, "the port {key} in the record of {id} is none"),
            Self::SameLink(link) => write!(f, "the link {link} is given twice"),
            Self::SameNode(id) => write!(f, "there are two records of the node {id}"),
            Self::TooManyLinks => write!(f, "there are more than {} links", Tree::MAX_LINKS),
            Self::TooManyRecords => {
                write!(f, "there are more than {} records", Tree::MAX_RECORDS)
            }
        }
    }
}

impl std::error::Error for TreeError {}
