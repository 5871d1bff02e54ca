use std::fmt;

/// Where a node is in the network: 256 bits, a big-endian number.
///
/// Prints as 64 hex digits, and in `{:#}` as the first 8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 32]);

/// How far two ids are apart: their XOR, a big-endian number, in whose order nodes are nearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 32]);

impl Id {
    /// The id with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The distance to `other`.
    pub fn distance(&self, other: &Self) -> Distance {
        Distance(xor(self.0, other.0))
    }

    /// The logarithmic distance to `other`; see [`Distance::log2`].
    pub fn log_distance(&self, other: &Self) -> u16 {
        self.distance(other).log2()
    }

    /// The id at this distance from here.
    pub fn at(&self, distance: &Distance) -> Self {
        Self(xor(self.0, distance.0))
    }
}

impl Distance {
    /// The distance with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The logarithmic distance: the number of bits, 0 between equal ids, at most 256.
    pub fn log2(&self) -> u16 {
        let mut bits = 256_u16;
        for byte in self.0 {
            bits = bits.saturating_sub(u16::try_from(byte.leading_zeros()).unwrap_or(8));
            if byte != 0 {
                break;
            }
        }
        bits
    }
}

impl From<[u8; 32]> for Id {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self:#})")
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distance({self:#})")
    }
}

fn xor(mut a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    for (a, b) in a.iter_mut().zip(b) {
        *a ^= b;
    }
    a
}

fn hex(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let shown = if f.alternate() { 4 } else { bytes.len() };
    bytes.iter().take(shown).try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_hex() {
        let mut bytes = [0; 32];
        bytes[..5].copy_from_slice(&[0x01, 0x23, 0xab, 0xcd, 0xef]);
        let id = Id::new(bytes);
        assert_eq!(id.to_string(), format!("0123abcdef{}", "0".repeat(54)));
        assert_eq!(format!("{id:?}"), "Id(0123abcd)");
    }

    #[test]
    fn the_id_at_a_distance_is_that_far_away() {
        let (a, b) = (Id::new([0x5a; 32]), Id::new([0x33; 32]));
        assert_eq!(a.at(&a.distance(&b)), b);
        assert_eq!(a.distance(&b).log2(), 255);
    }
}
