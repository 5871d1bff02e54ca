use std::{fmt, str::FromStr};

use rlp::{Decodable, DecoderError, Encodable, Rlp, RlpStream};

use crate::hex::{self, Hex};

/// A chain's rules up to some block, and the next change (EIP-2124).
///
/// As text it is the hash and the next fork, as in `07c9462e/1700000000`; without the slash there
/// is no next fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForkId {
    /// A checksum over the genesis block and the forks so far.
    pub(crate) hash: [u8; 4],
    /// The block or the time of the next fork, 0 where none is known.
    pub(crate) next: u64,
}

/// When the rules of a chain change after its genesis block, each list in rising order and
/// without repetitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forks {
    /// The forks that come with a block, by its number: all before those that come with a time.
    pub(crate) blocks: &'static [u64],
    /// The forks that come with a time, in seconds since 1970 (EIP-6122).
    pub(crate) times: &'static [u64],
}

/// How far a chain is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    /// The number of its last block.
    pub(crate) block: u64,
    /// The time of its last block, in seconds since 1970.
    pub(crate) time: u64,
}

impl ForkId {
    /// The fork id of the chain with this genesis block when it is so far.
    pub(crate) fn at(genesis: &[u8; 32], forks: Forks, head: Position) -> Self {
        let blocks = forks.blocks.iter().map(|&fork| (fork, head.block));
        let times = forks.times.iter().map(|&fork| (fork, head.time));
        let mut checksum = Crc32::default();
        checksum.update(genesis);
        for (fork, reached) in blocks.chain(times) {
            if fork > reached {
                return Self { hash: checksum.finish(), next: fork };
            }
            checksum.update(&fork.to_be_bytes());
        }
        Self { hash: checksum.finish(), next: 0 }
    }
}

impl Encodable for ForkId {
    fn rlp_append(&self, out: &mut RlpStream) {
        out.begin_list(2).append(&self.hash.as_slice()).append(&self.next);
    }
}

impl Decodable for ForkId {
    fn decode(rlp: &Rlp<'_>) -> Result<Self, DecoderError> {
        let hash = rlp.at(0)?.data()?.try_into().map_err(|_| DecoderError::RlpInvalidLength)?;
        Ok(Self { hash, next: rlp.val_at(1)? })
    }
}

impl fmt::Display for ForkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Hex(&self.hash), self.next)
    }
}

impl FromStr for ForkId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hash, next) = text.split_once('/').unwrap_or((text, "0"));
        let next = next.parse().map_err(|_| "the next fork is not a number of 64 bits")?;
        Ok(Self { hash: hex::parse(hash)?, next })
    }
}

/// The CRC-32 of IEEE 802.3, a bit at a time: it is fed a few hundred bytes once.
struct Crc32(u32);

/// The polynomial, reflected.
const CRC32_POLYNOMIAL: u32 = 0xedb8_8320;

impl Default for Crc32 {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32 {
    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 ^= u32::from(byte);
            for _ in 0..8 {
                let carry = if self.0 & 1 == 1 { CRC32_POLYNOMIAL } else { 0 };
                self.0 = (self.0 >> 1) ^ carry;
            }
        }
    }

    const fn finish(self) -> [u8; 4] {
        (!self.0).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/vectors/forkid.json")).unwrap()
    }

    #[test]
    fn texts_and_bytes_are_those_of_the_vectors() {
        let vectors = vectors();
        let cases = vectors["eip2124"]["encoding"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let next = u64::from_str_radix(case["fork_next_hex"].as_str().unwrap(), 16).unwrap();
            let text = format!("{}/{next}", case["fork_hash"].as_str().unwrap());
            let fork_id: ForkId = text.parse().unwrap();
            let encoded = Hex(&rlp::encode(&fork_id)).to_string();
            assert_eq!(encoded, case["rlp"]);
            assert_eq!(rlp::decode::<ForkId>(&rlp::encode(&fork_id)).unwrap(), fork_id);
            assert_eq!(fork_id.to_string(), text);
        }
        assert_eq!("0x07c9462e".parse(), Ok(ForkId { hash: [0x07, 0xc9, 0x46, 0x2e], next: 0 }));
        for bad in ["", "07c946", "07c9462e00", "07c9462e/", "07c9462e/-1", "/1"] {
            assert!(bad.parse::<ForkId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ids_of_a_chain_are_those_of_the_vectors() {
        let numbers = |list: &Value| -> &'static [u64] {
            let numbers = list.as_array().into_iter().flatten();
            numbers.map(|number| number.as_u64().unwrap()).collect::<Vec<_>>().leak()
        };
        let vectors = vectors();
        let mut count = 0;
        for part in ["eip2124", "go_ethereum"] {
            for chain in vectors[part]["creation"].as_array().unwrap() {
                let genesis = hex::parse(chain["genesis_hash"].as_str().unwrap()).unwrap();
                let (blocks, times) =
                    (numbers(&chain["fork_blocks"]), numbers(&chain["fork_times"]));
                for case in chain["cases"].as_array().unwrap() {
                    let head = Position {
                        block: case["head"].as_u64().unwrap(),
                        time: case["time"].as_u64().unwrap_or(0),
                    };
                    let expected = ForkId {
                        hash: hex::parse(case["fork_hash"].as_str().unwrap()).unwrap(),
                        next: case["fork_next"].as_u64().unwrap(),
                    };
                    let found = ForkId::at(&genesis, Forks { blocks, times }, head);
                    assert_eq!(found, expected, "{}: {head:?}", chain["network"]);
                    count += 1;
                }
            }
        }
        assert!(count > 90, "{count}");
    }
}
