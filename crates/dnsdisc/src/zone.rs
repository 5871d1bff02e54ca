use std::fmt;

use devp2p_core::Fault;

use crate::{SignedTree, link::is_domain};

/// How long others may keep the root, in seconds: 30 minutes, after which clients look for a new
/// one.
const ROOT_TTL: u32 = 30 * 60;

/// How long others may keep an entry, in seconds: 4 weeks, for it never changes.
const ENTRY_TTL: u32 = 4 * 7 * 24 * 60 * 60;

/// The longest string in a TXT record, in bytes (RFC 1035).
const MAX_STRING: usize = 255;

/// A signed tree as the text of a zone file (RFC 1035).
///
/// Without name servers it holds the TXT records alone, for a zone that has them: include it there.
/// With name servers it is a whole zone for the tree's domain, whose serial is the tree's sequence
/// number.
#[derive(Clone, Copy, Debug)]
pub struct Zone<'a> {
    tree: &'a SignedTree,
    name_servers: &'a [String],
}

impl<'a> Zone<'a> {
    /// The zone of this tree, served by name servers of these names.
    ///
    /// # Errors
    /// [`ZoneError`] where one of them is no name, with or without a dot at its end.
    pub fn new(tree: &'a SignedTree, name_servers: &'a [String]) -> Result<Self, ZoneError> {
        match name_servers.iter().find(|name| !is_domain(without_dot(name))) {
            Some(name) => Err(ZoneError { name: name.clone() }),
            None => Ok(Self { tree, name_servers }),
        }
    }
}

impl fmt::Display for Zone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.tree.link().domain();
        writeln!(f, "; {}", self.tree.link())?;
        writeln!(f, "$ORIGIN {domain}.")?;
        if let Some(first) = self.name_servers.first() {
            // Serials are compared modulo 2^32 (RFC 1982), so that of the low bits is newer, too.
            let serial = self.tree.root().seq() & u64::from(u32::MAX);
            let first = without_dot(first);
            writeln!(
                f,
                "@ {ROOT_TTL} IN SOA {first}. hostmaster.{domain}. {serial} 7200 900 1209600 300"
            )?;
        }
        for name in self.name_servers {
            writeln!(f, "@ {ROOT_TTL} IN NS {}.", without_dot(name))?;
        }
        write!(f, "@ {ROOT_TTL} IN TXT")?;
        strings(f, &self.tree.root().to_string())?;
        for (name, entry) in self.tree.entries() {
            write!(f, "{name} {ENTRY_TTL} IN TXT")?;
            strings(f, &entry.to_string())?;
        }
        Ok(())
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The text in as many strings as it takes. Nothing in a tree needs an escape.
fn strings(f: &mut fmt::Formatter<'_>, mut text: &str) -> fmt::Result {
    while let Some((string, rest)) = text.split_at_checked(text.len().min(MAX_STRING)) {
        write!(f, " \"{string}\"")?;
        if rest.is_empty() {
            break;
        }
        text = rest;
    }
    writeln!(f)
}

/// What was given for a name server is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    name: String,
}

impl ZoneError {
    /// Whose fault it is: ours, who make the zone.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no name of a name server", self.name)
    }
}

impl std::error::Error for ZoneError {}
