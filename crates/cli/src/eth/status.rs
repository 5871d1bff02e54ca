use std::fmt;

use bytes::Bytes;
use rlp::{DecoderError, Rlp, RlpStream};

use super::fork_id::{ForkError, ForkId};
use crate::{hex::Hex, output::Line};

/// The first version whose Status tells a range of blocks.
const FIRST_WITH_RANGE: u64 = 69;

/// The first message of both sides: on which chain they are, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The version of eth.
    pub(crate) version: u64,
    /// The network, 1 for mainnet.
    pub(crate) network_id: u64,
    /// The hash of the genesis block.
    pub(crate) genesis: [u8; 32],
    /// The chain's rules.
    pub(crate) fork_id: ForkId,
    /// How far the node is.
    pub(crate) head: Head,
}

/// How far a node is, as its version of eth tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Up to eth/68.
    Difficulty {
        /// Big-endian, without leading zeros.
        total_difficulty: Bytes,
        /// The hash of the best block.
        best_hash: [u8; 32],
    },
    /// From eth/69 on (EIP-7642).
    Range {
        /// The number of the first block that the node serves.
        earliest: u64,
        /// The number of the last.
        latest: u64,
        /// The hash of the last.
        latest_hash: [u8; 32],
    },
}

/// The longest total difficulty, in bytes.
const MAX_DIFFICULTY: usize = 32;

impl Status {
    /// The payload of the message.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = RlpStream::new();
        out.begin_unbounded_list().append(&self.version).append(&self.network_id);
        let genesis = self.genesis.as_slice();
        match &self.head {
            Head::Difficulty { total_difficulty, best_hash } => {
                out.append(&total_difficulty.as_ref())
                    .append(&best_hash.as_slice())
                    .append(&genesis)
                    .append(&self.fork_id);
            }
            Head::Range { earliest, latest, latest_hash } => {
                out.append(&genesis)
                    .append(&self.fork_id)
                    .append(earliest)
                    .append(latest)
                    .append(&latest_hash.as_slice());
            }
        }
        out.finalize_unbounded_list();
        out.out().freeze()
    }

    /// Reads the payload as the negotiated version forms it. More elements than it has are
    /// ignored.
    pub(crate) fn decode(payload: &[u8], version: u64) -> Result<Self, DecoderError> {
        let list = Rlp::new(payload);
        let (genesis, fork_id, head) = if version < FIRST_WITH_RANGE {
            let total_difficulty = list.at(2)?.data()?;
            if total_difficulty.len() > MAX_DIFFICULTY {
                return Err(DecoderError::RlpIsTooBig);
            }
            if total_difficulty.first() == Some(&0) {
                return Err(DecoderError::RlpInvalidIndirection);
            }
            let total_difficulty = Bytes::copy_from_slice(total_difficulty);
            let head = Head::Difficulty { total_difficulty, best_hash: hash(&list, 3)? };
            (hash(&list, 4)?, list.val_at(5)?, head)
        } else {
            let (earliest, latest) = (list.val_at(4)?, list.val_at(5)?);
            let head = Head::Range { earliest, latest, latest_hash: hash(&list, 6)? };
            (hash(&list, 2)?, list.val_at(3)?, head)
        };
        let (version, network_id) = (list.val_at(0)?, list.val_at(1)?);
        Ok(Self { version, network_id, genesis, fork_id, head })
    }

    /// Whether a node with the status `remote` is on our chain, whose forks say this of its fork id.
    pub(crate) fn check(
        &self,
        remote: &Self,
        fork: Result<(), ForkError>,
    ) -> Result<(), Incompatible> {
        if remote.network_id != self.network_id {
            Err(Incompatible::NetworkId { theirs: remote.network_id, ours: self.network_id })
        } else if remote.version != self.version {
            Err(Incompatible::Version { theirs: remote.version, ours: self.version })
        } else if remote.genesis != self.genesis {
            Err(Incompatible::Genesis { theirs: remote.genesis, ours: self.genesis })
        } else if let Err(why) = fork {
            Err(Incompatible::ForkId { theirs: remote.fork_id, ours: self.fork_id, why })
        } else if matches!(remote.head, Head::Range { earliest, latest, .. } if earliest > latest) {
            Err(Incompatible::Range)
        } else {
            Ok(())
        }
    }

    /// Adds the values to an event.
    pub(crate) fn describe(&self, line: Line) -> Line {
        let line = line
            .with("version", self.version)
            .with("network_id", self.network_id)
            .show("genesis", Hex(&self.genesis))
            .show("fork_id", self.fork_id);
        match &self.head {
            Head::Difficulty { total_difficulty, best_hash } => line
                .with("total_difficulty", quantity(total_difficulty))
                .show("best_hash", Hex(best_hash)),
            Head::Range { earliest, latest, latest_hash } => line
                .with("earliest", *earliest)
                .with("latest", *latest)
                .show("latest_hash", Hex(latest_hash)),
        }
    }
}

/// A number as JSON-RPC writes it.
fn quantity(number: &[u8]) -> String {
    match Hex(number).to_string().trim_start_matches('0') {
        "" => "0x0".to_owned(),
        digits => format!("0x{digits}"),
    }
}

fn hash(list: &Rlp<'_>, index: usize) -> Result<[u8; 32], DecoderError> {
    list.at(index)?.data()?.try_into().map_err(|_| DecoderError::RlpInvalidLength)
}

/// Why a node is of no use to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incompatible {
    ForkId { theirs: ForkId, ours: ForkId, why: ForkError },
    Genesis { theirs: [u8; 32], ours: [u8; 32] },
    NetworkId { theirs: u64, ours: u64 },
    Range,
    Version { theirs: u64, ours: u64 },
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForkId { theirs, ours, why } => {
                write!(f, "fork id {theirs} instead of {ours}")?;
                match why {
                    ForkError::Incompatible => Ok(()),
                    ForkError::Stale => f.write_str(", which misses a fork"),
                }
            }
            Self::Genesis { theirs, ours } => {
                write!(f, "genesis block {} instead of {}", Hex(theirs), Hex(ours))
            }
            Self::NetworkId { theirs, ours } => write!(f, "network id {theirs} instead of {ours}"),
            Self::Range => f.write_str("its earliest block is later than its latest"),
            Self::Version { theirs, ours } => write!(f, "version {theirs} instead of {ours}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::hex;

    fn vectors(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        let digits = value.as_str().unwrap();
        let padded = if digits.len().is_multiple_of(2) { "" } else { "0" }.to_owned() + digits;
        let pairs = padded.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        pairs.map(|pair| hex::parse::<1>(pair).unwrap()[0]).collect()
    }

    fn hash(value: &Value) -> [u8; 32] {
        hex::parse(value.as_str().unwrap()).unwrap()
    }

    /// The status of a vector, and its bytes.
    fn statuses() -> Vec<(Status, Vec<u8>)> {
        let vectors = vectors(include_str!("../../tests/vectors/eth-messages.json"));
        let read = |vector: &Value| {
            let head = match vector.get("total_difficulty") {
                Some(total) => Head::Difficulty {
                    total_difficulty: bytes(total).into(),
                    best_hash: hash(&vector["best_hash"]),
                },
                None => Head::Range {
                    earliest: vector["earliest"].as_u64().unwrap(),
                    latest: vector["latest"].as_u64().unwrap(),
                    latest_hash: hash(&vector["latest_hash"]),
                },
            };
            let fork_hash = vector["fork_hash"].as_str().unwrap();
            let fork_id = ForkId {
                hash: hex::parse(fork_hash).unwrap(),
                next: vector["fork_next"].as_u64().unwrap(),
            };
            let status = Status {
                version: vector["version"].as_u64().unwrap(),
                network_id: vector["network_id"].as_u64().unwrap(),
                genesis: hash(&vector["genesis_hash"]),
                fork_id,
                head,
            };
            (status, bytes(&vector["rlp"]))
        };
        let statuses: Vec<_> =
            vectors["derived"]["status"].as_array().unwrap().iter().map(read).collect();
        assert_eq!(statuses.len(), 5);
        statuses
    }

    #[test]
    fn bytes_are_those_of_the_vectors() {
        for (status, encoded) in statuses() {
            assert_eq!(status.encode(), encoded, "eth/{}", status.version);
            assert_eq!(Status::decode(&encoded, status.version).unwrap(), status);
        }
    }

    #[test]
    fn a_difficulty_is_shown_as_a_number() {
        for (number, text) in [(&[][..], "0x0"), (&[0x0c, 0x00], "0xc00"), (&[0xff], "0xff")] {
            assert_eq!(quantity(number), text);
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_more_elements_are_not() {
        for (status, encoded) in statuses() {
            for length in 0..encoded.len() {
                assert!(Status::decode(&encoded[..length], status.version).is_err(), "{length}");
            }
            let mut longer = RlpStream::new();
            longer.begin_unbounded_list();
            for item in Rlp::new(&encoded).iter() {
                longer.append_raw(item.as_raw(), 1);
            }
            longer.append(&7_u8).finalize_unbounded_list();
            assert_eq!(Status::decode(&longer.out(), status.version).unwrap(), status);
        }
    }

    #[test]
    fn another_chain_is_told_from_ours() {
        let ours = statuses().remove(1).0;
        assert_eq!(ours.check(&ours, Ok(())), Ok(()));
        let head = Head::Range { earliest: 2, latest: 1, latest_hash: [1; 32] };
        let cases = [
            (Status { network_id: 5, ..ours.clone() }, "network id 5 instead of 1"),
            (Status { version: 68, ..ours.clone() }, "version 68 instead of 69"),
            (Status { genesis: [0; 32], ..ours.clone() }, "genesis block 0000"),
            (
                Status { fork_id: ForkId { hash: [0; 4], next: 0 }, ..ours.clone() },
                "fork id 00000000/0 instead of 07c9462e/0",
            ),
            (Status { head, ..ours }, "its earliest block is later"),
        ];
        for (theirs, why) in cases {
            let same = theirs.fork_id.hash == ours.fork_id.hash;
            let fork = if same { Ok(()) } else { Err(ForkError::Incompatible) };
            let error = ours.check(&theirs, fork).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
        let stale = ours.check(&ours, Err(ForkError::Stale)).unwrap_err().to_string();
        assert_eq!(stale, "fork id 07c9462e/0 instead of 07c9462e/0, which misses a fork");
    }
}
