use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;
use sha3::{Digest as _, Keccak256};

use crate::{Fault, PublicKey};

/// The id of a node: the Keccak-256 of its 64-byte public key (EIP-778, identity scheme "v4").
///
/// Prints as 64 hex digits, and in `{:#}` as the first 8, which is what logs want.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

impl NodeId {
    /// The id with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The XOR distance to `other`, as a big-endian number; its order is Kademlia's order.
    pub fn distance(&self, other: &Self) -> [u8; 32] {
        let mut xor = self.0;
        for (a, b) in xor.iter_mut().zip(other.0) {
            *a ^= b;
        }
        xor
    }

    /// The logarithmic distance to `other`: the bit length of the XOR, 0 for equal ids, at most 256.
    pub fn log_distance(&self, other: &Self) -> u16 {
        let mut zeros = 0;
        for byte in self.distance(other) {
            zeros = u16::try_from(byte.leading_zeros()).unwrap_or(8).saturating_add(zeros);
            if byte != 0 {
                break;
            }
        }
        256_u16.saturating_sub(zeros)
    }
}

impl From<PublicKey> for NodeId {
    fn from(key: PublicKey) -> Self {
        Self::from(&key)
    }
}

impl From<&PublicKey> for NodeId {
    fn from(key: &PublicKey) -> Self {
        Self(Keccak256::digest(key.as_bytes()).into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { 4 } else { 32 };
        self.0.iter().take(shown).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self:#})")
    }
}

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseNodeIdError;

impl ParseNodeIdError {
    /// Whose fault it is: ours, a text comes from an operator or a file.
    pub const fn fault(self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for ParseNodeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id is 64 hex digits")
    }
}

impl std::error::Error for ParseNodeIdError {}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, ParseNodeIdError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| ParseNodeIdError)?;
        Ok(Self(bytes.try_into().map_err(|_| ParseNodeIdError)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKey;

    #[test]
    fn ids_are_printed_and_read() {
        let id = NodeKey::from_bytes(&[1; 32]).unwrap().id();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(format!("0x{}", text.to_uppercase()).parse(), Ok(id));
        assert_eq!(format!("{id:#}"), text[..8]);
        assert_eq!(format!("{id:?}"), format!("NodeId({})", &text[..8]));
        for bad in ["", "0x", &text[1..], &text.replace('1', "x"), &format!("{text}00")] {
            assert_eq!(bad.parse::<NodeId>(), Err(ParseNodeIdError), "{bad}");
        }
        assert_eq!(ParseNodeIdError.fault(), Fault::Local);
    }
}
