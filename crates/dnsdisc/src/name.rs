use std::{fmt, str::FromStr, sync::Arc};

use data_encoding::{BASE32_NOPAD, Encoding};
use sha3::{Digest as _, Keccak256};

use crate::EntryError;

/// The name of an entry: the hash of its text, as the label below the tree's domain at which DNS
/// has it.
///
/// The hash may be abbreviated, to 12 bytes at the least; trees are written with 16. The name is
/// kept as it was read, for that is what must be asked for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Arc<str>);

/// How much of the hash a name has in the trees that are made here, in bytes.
const WRITTEN_HASH_SIZE: usize = 16;

/// How much of the hash a name has, in bytes; fewer could be forged.
const HASH_SIZES: std::ops::RangeInclusive<usize> = 12..=32;

/// How long the name of a whole hash is, in characters.
const MAX_LENGTH: usize = 52;

impl EntryName {
    /// The name of the entry with this text.
    pub fn of(text: &str) -> Self {
        let hash: [u8; 32] = Keccak256::digest(text).into();
        let (written, _) = hash.split_at(WRITTEN_HASH_SIZE);
        Self(BASE32_NOPAD.encode(written).into())
    }

    /// Whether it is the name of the entry with this text.
    pub fn is_of(&self, text: &[u8]) -> bool {
        let hash: [u8; 32] = Keccak256::digest(text).into();
        decode(&self.0).is_some_and(|name| hash.starts_with(&name))
    }

    /// The base32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What every name of the same entry begins with.
    pub(crate) fn prefix(&self) -> [u8; 12] {
        let mut prefix = [0; 12];
        let name = decode(&self.0).unwrap_or_default();
        prefix.iter_mut().zip(name).for_each(|(to, from)| *to = from);
        prefix
    }
}

impl FromStr for EntryName {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        decode(text).map(|_| Self(text.into())).ok_or(EntryError::Name)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryName({self})")
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let hash = lenient().decode(text.as_bytes()).ok()?;
    HASH_SIZES.contains(&hash.len()).then_some(hash)
}

/// Base32 where the bits after the last byte may be anything, as an abbreviation leaves them.
fn lenient() -> &'static Encoding {
    static ENCODING: std::sync::LazyLock<Encoding> = std::sync::LazyLock::new(|| {
        let mut specification = BASE32_NOPAD.specification();
        specification.check_trailing_bits = false;
        specification.encoding().unwrap_or(BASE32_NOPAD)
    });
    &ENCODING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abbreviation_names_the_same_entry() {
        let name = EntryName::of("enrtree-branch:");
        assert_eq!(name.as_str().len(), 26);
        for length in [20, 21, 23, 24, 26] {
            let short: EntryName = name.as_str()[..length].parse().unwrap();
            assert!(short.is_of(b"enrtree-branch:"), "{length}");
            assert!(!short.is_of(b"enrtree-branch"), "{length}");
            assert_eq!(short.prefix(), name.prefix());
        }
        assert!(name.as_str()[..18].parse::<EntryName>().is_err(), "11 bytes");
    }

    #[test]
    fn a_name_is_base32_of_12_to_32_bytes() {
        for bad in ["", "1", &"A".repeat(19), &"A".repeat(22), &"A".repeat(53), &"a".repeat(26)] {
            assert_eq!(bad.parse::<EntryName>(), Err(EntryError::Name), "{bad}");
        }
        for good in [&"A".repeat(20), &"B".repeat(20), &"B".repeat(52)] {
            assert_eq!(good.parse::<EntryName>().unwrap().as_str(), good);
        }
    }
}
