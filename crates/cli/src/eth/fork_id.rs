use std::{fmt, str::FromStr, time::Duration};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Position {
    /// That of a chain whose last fork by block is long ago, as if all blocks until this time since
    /// 1970 were there.
    pub(crate) const fn at(now: Duration) -> Self {
        Self { block: u64::MAX, time: now.as_secs() }
    }
}

impl ForkId {
    /// The fork id of the chain with this genesis block when it is so far.
    pub(crate) fn at(genesis: &[u8; 32], forks: Forks, head: Position) -> Self {
        let mut checksum = Crc32::default();
        checksum.update(genesis);
        for (fork, reached) in forks.until(head) {
            if fork > reached {
                return Self { hash: checksum.finish(), next: fork };
            }
            checksum.update(&fork.to_be_bytes());
        }
        Self { hash: checksum.finish(), next: 0 }
    }
}

/// The time of mainnet's genesis block: no number of a block is above it, as in geth.
const FIRST_TIME: u64 = 1_438_269_973;

impl Forks {
    /// Whether a node with the fork id `theirs` can be on the chain with this genesis block and
    /// these forks, when our side of it is so far: the rules of EIP-2124, with the times of
    /// EIP-6122.
    pub(crate) fn check(
        self,
        genesis: &[u8; 32],
        head: Position,
        theirs: ForkId,
    ) -> Result<(), ForkError> {
        let mut checksum = Crc32::default();
        checksum.update(genesis);
        // Each stretch of the chain: its hash, and the fork that ends it.
        let mut stretches = Vec::new();
        for (fork, reached) in self.until(head) {
            stretches.push((checksum.finish(), fork, fork <= reached));
            checksum.update(&fork.to_be_bytes());
        }
        let is_theirs = |&(hash, ..): &([u8; 4], u64, bool)| hash == theirs.hash;
        let (last, ours) = (checksum.finish(), stretches.iter().position(|&(.., passed)| !passed));
        let (past, rest) = stretches.split_at(ours.unwrap_or(stretches.len()));
        if let Some(&(_, fork, _)) = past.iter().find(|stretch| is_theirs(stretch)) {
            // They are where we have been. Whether they know what comes next tells whether they
            // will follow.
            return if theirs.next == fork { Ok(()) } else { Err(ForkError::Stale) };
        }
        if rest.first().map_or(last, |&(hash, ..)| hash) == theirs.hash {
            // They are where we are, and must not expect a fork that has passed for us without one.
            let by_block = past.len() < self.blocks.len() || self.times.is_empty();
            let reached = if by_block { head.block } else { head.time };
            let passed =
                reached >= theirs.next || theirs.next > FIRST_TIME && head.time >= theirs.next;
            return if theirs.next != 0 && passed { Err(ForkError::Incompatible) } else { Ok(()) };
        }
        // They may be where we shall be.
        let is_ahead = last == theirs.hash || rest.iter().any(is_theirs);
        if is_ahead { Ok(()) } else { Err(ForkError::Incompatible) }
    }

    /// Each fork, and how far the chain is in what it comes with.
    fn until(self, head: Position) -> impl Iterator<Item = (u64, u64)> {
        let blocks = self.blocks.iter().map(move |&fork| (fork, head.block));
        blocks.chain(self.times.iter().map(move |&fork| (fork, head.time)))
    }
}

/// Why a node with some fork id is not on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForkError {
    /// It is on another chain, or we are and do not know it.
    Incompatible,
    /// It has not heard of the next fork, and will not follow it.
    Stale,
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

    const fn finish(&self) -> [u8; 4] {
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

    /// The numbers of a list.
    fn numbers(list: &Value) -> &'static [u64] {
        let numbers = list.as_array().into_iter().flatten();
        numbers.map(|number| number.as_u64().unwrap()).collect::<Vec<_>>().leak()
    }

    #[test]
    fn who_can_be_on_a_chain_is_as_in_the_vectors() {
        let vectors = vectors();
        let mainnet = &vectors["go_ethereum"]["creation"][0];
        assert_eq!(mainnet["network"], "mainnet");
        let genesis = hex::parse(vectors["genesis"]["mainnet"].as_str().unwrap()).unwrap();
        let (blocks, times) = (numbers(&mainnet["fork_blocks"]), numbers(&mainnet["fork_times"]));
        let first = &vectors["eip2124"]["validation"];
        let timed = &vectors["eip6122"];
        let mut count = 0;
        for (cases, forks) in [
            (&first["cases"], Forks { blocks: numbers(&first["fork_blocks"]), times: &[] }),
            (
                &timed["validation"],
                Forks {
                    blocks: numbers(&timed["fork_blocks"]),
                    times: numbers(&timed["fork_times"]),
                },
            ),
            (&vectors["go_ethereum"]["validation"], Forks { blocks, times }),
        ] {
            for case in cases.as_array().unwrap() {
                let forks = match case["config"].as_str() {
                    Some("mainnet_blocks_only") => Forks { blocks, times: &[] },
                    Some("mainnet") | None => forks,
                    Some(other) => panic!("{other}"),
                };
                let head = Position {
                    block: case["head"].as_u64().unwrap(),
                    time: case["time"].as_u64().unwrap_or(0),
                };
                let next = case["remote_fork_next_hex"].as_str().unwrap();
                let theirs = ForkId {
                    hash: hex::parse(case["remote_fork_hash"].as_str().unwrap()).unwrap(),
                    next: u64::from_str_radix(next, 16).unwrap(),
                };
                let expected = match case["error"].as_str() {
                    None => Ok(()),
                    Some("remote_stale") => Err(ForkError::Stale),
                    Some("local_incompatible_or_stale") => Err(ForkError::Incompatible),
                    Some(other) => panic!("{other}"),
                };
                assert_eq!(forks.check(&genesis, head, theirs), expected, "{case}");
                count += 1;
            }
        }
        assert!(count > 70, "{count}");
    }
}
