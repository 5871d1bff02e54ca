//! The subprotocols `eth/68` and `eth/69` up to Status: enough to stay connected with a node of
//! the same chain, and to see what it says of itself.

mod fork_id;
mod status;

use std::time::Duration;

use bytes::Bytes;
use devp2p_core::Message;
use devp2p_peer::{Capability, DisconnectReason, Peer, ProtocolError, ProtocolStream, Subprotocol};
use devp2p_server::DialFilter;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::time::timeout;

pub(crate) use self::fork_id::{ForkError, ForkId, Forks, Position};
use self::status::{Head, Status};
use crate::{
    clock,
    hex::Hex,
    output::{Line, Reporter},
};

/// The id of the message Status.
const STATUS: u64 = 0x00;

/// geth's `handshakeTimeout`.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// A version of eth that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The last one whose Status tells a total difficulty.
    Eth68,
    /// EIP-7642: Status tells the range of blocks instead, and one more message updates it.
    Eth69,
}

impl Version {
    /// All versions.
    pub(crate) const ALL: [Self; 2] = [Self::Eth68, Self::Eth69];

    const fn number(self) -> u64 {
        match self {
            Self::Eth68 => 68,
            Self::Eth69 => 69,
        }
    }

    /// The number of message ids, those that the version has left unused included.
    const fn length(self) -> u64 {
        match self {
            Self::Eth68 => 17,
            Self::Eth69 => 18,
        }
    }
}

/// A chain of which this node knows the genesis block and the rules, and no other block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) network_id: u64,
    pub(crate) genesis: [u8; 32],
    pub(crate) fork_id: ForkId,
    /// All its forks, where they are known.
    pub(crate) forks: Option<Forks>,
}

impl Chain {
    /// Whether a node with this fork id can be on it, at this time since 1970. Without the forks
    /// only an equal hash is known to be compatible.
    pub(crate) fn check_fork(&self, theirs: ForkId, now: Duration) -> Result<(), ForkError> {
        match self.forks {
            Some(forks) => forks.check(&self.genesis, Position::at(now), theirs),
            None if theirs.hash == self.fork_id.hash => Ok(()),
            None => Err(ForkError::Incompatible),
        }
    }

    fn status(&self, version: Version) -> Status {
        let head = match version {
            Version::Eth68 => {
                Head::Difficulty { total_difficulty: Bytes::new(), best_hash: self.genesis }
            }
            Version::Eth69 => Head::Range { earliest: 0, latest: 0, latest_hash: self.genesis },
        };
        Status {
            version: version.number(),
            network_id: self.network_id,
            genesis: self.genesis,
            fork_id: self.fork_id,
            head,
        }
    }
}

/// Which nodes to dial for this chain: those whose record has an entry `eth` with a fork id that can
/// be on it. A node without a record or without the entry is not dialed, as in geth.
pub(crate) fn dial_filter(chain: Chain) -> DialFilter {
    DialFilter::new(move |node| {
        let entry = node.record().and_then(|record| record.get(RECORD_KEY));
        let fork_id = entry.and_then(|entry| rlp::Rlp::new(entry).val_at::<ForkId>(0).ok());
        fork_id.is_some_and(|theirs| chain.check_fork(theirs, clock::unix()).is_ok())
    })
}

/// The key of the entry in a record (EIP-2124).
const RECORD_KEY: &str = "eth";

/// One version of eth on one chain.
///
/// Sends our Status, reads the remote's and compares: another network, genesis block or fork makes
/// it a useless peer (0x03). Afterwards nothing is sent and nothing answered; what arrives is
/// dropped, a second Status ends the peer (0x02).
#[derive(Debug)]
pub(crate) struct Eth {
    version: Version,
    chain: Chain,
    reporter: Reporter,
}

impl Eth {
    pub(crate) const fn new(version: Version, chain: Chain, reporter: Reporter) -> Self {
        Self { version, chain, reporter }
    }
}

impl Subprotocol for Eth {
    fn capability(&self) -> Capability {
        Capability::new("eth", self.version.number())
    }

    fn length(&self) -> u64 {
        self.version.length()
    }

    async fn run(&self, peer: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        let ours = self.chain.status(self.version);
        let exchange = async {
            stream.send(Message { id: STATUS, payload: ours.encode() }).await?;
            Ok::<_, ProtocolError>(stream.next().await)
        };
        let Ok(first) = timeout(STATUS_TIMEOUT, exchange).await else {
            return Err(ProtocolError::Disconnect(DisconnectReason::ReadTimeout));
        };
        let Some(first) = first? else { return Ok(()) };
        if first.id != STATUS {
            let what = format!("message {:#04x} before Status", first.id);
            return Err(ProtocolError::BadMessage(what));
        }
        let theirs = Status::decode(&first.payload, self.version.number())
            .map_err(ProtocolError::bad_message)?;
        let fork = self.chain.check_fork(theirs.fork_id, clock::unix());
        let verdict = ours.check(&theirs, fork);
        let line = Line::of_peer("status", peer.id()).show("cap", self.capability());
        let line = theirs.describe(line).show_some("incompatible", verdict.as_ref().err());
        self.reporter.report(line).await;
        if verdict.is_err() {
            return Err(ProtocolError::Disconnect(DisconnectReason::UselessPeer));
        }
        while let Some(message) = stream.next().await {
            if message.id == STATUS {
                return Err(ProtocolError::bad_message("a second Status"));
            }
        }
        Ok(())
    }

    /// The entry `eth` (EIP-2124): a list with the fork id, where later specifications may append.
    fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut entry = rlp::RlpStream::new_list(1);
        entry.append(&self.chain.fork_id);
        vec![(RECORD_KEY.into(), entry.out().freeze())]
    }

    fn node_info(&self) -> Option<String> {
        let info = json!({
            "network": self.chain.network_id,
            "genesis": Hex(&self.chain.genesis).to_string(),
            "forkId": self.chain.fork_id.to_string(),
        });
        Some(info.to_string())
    }
}

#[cfg(test)]
mod tests {
    use devp2p_core::{Node, NodeKey, Record};
    use devp2p_peer::Side;
    use serde_json::Value;

    use super::*;
    use crate::{output::reporter, testing::end_with};

    #[test]
    fn lengths_are_those_of_the_specification() {
        let vectors = include_str!("../../tests/vectors/eth-messages.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        for version in Version::ALL {
            let length = &vectors["protocol_lengths"]["eth"][version.number().to_string()];
            assert_eq!(length.as_u64(), Some(version.length()), "{version:?}");
        }
    }

    const CHAIN: Chain = Chain {
        network_id: 1,
        genesis: [7; 32],
        fork_id: ForkId { hash: [1; 4], next: 0 },
        forks: None,
    };

    /// A node whose record says this of its chain.
    fn node(entry: Option<&[u8]>) -> Node {
        let key = NodeKey::from_bytes(&[7; 32]).unwrap();
        let record = Record::builder().ip([192, 0, 2, 1].into()).tcp(30303);
        let record = match entry {
            Some(entry) => record.entry(RECORD_KEY, Bytes::copy_from_slice(entry)),
            None => record,
        };
        Node::from_record(record.sign(&key).unwrap())
    }

    fn entry(fork_id: ForkId) -> Vec<u8> {
        let mut entry = rlp::RlpStream::new_list(1);
        entry.append(&fork_id);
        entry.out().to_vec()
    }

    #[test]
    fn nodes_of_other_chains_are_not_dialed() {
        // Far from the next fork, whatever the clock says.
        let chain = Chain {
            forks: Some(Forks { blocks: &[10, 20], times: &[1_500_000_000, u64::MAX] }),
            ..CHAIN
        };
        let filter = dial_filter(chain);
        let at = |block, time| {
            let forks = chain.forks.unwrap();
            ForkId::at(&chain.genesis, forks, Position { block, time })
        };
        let ours = at(20, 1_500_000_000);
        let fork_id = |hash, next| ForkId { hash, next };
        for (theirs, is_dialed) in [
            (ours, true),
            (at(9, 0), true),
            (at(20, 0), true),
            (at(20, u64::MAX), true),
            (fork_id(at(9, 0).hash, 11), false),
            (fork_id(ours.hash, 0), true),
            (fork_id(ours.hash, 1_600_000_000), false),
            (fork_id([9; 4], 0), false),
        ] {
            assert_eq!(filter.accepts(&node(Some(&entry(theirs)))), is_dialed, "{theirs}");
        }
        // Later specifications may append to the list.
        let mut longer = rlp::RlpStream::new_list(2);
        longer.append(&ours).append(&7_u8);
        assert!(filter.accepts(&node(Some(&longer.out()))));
        for bad in [&[0xc0][..], &[0x80], &[0xc1, 0xc0], &[0xc3, 0xc2, 0x01, 0x80]] {
            assert!(!filter.accepts(&node(Some(bad))), "{bad:?}");
        }
        assert!(!filter.accepts(&node(None)), "it does not say");
        assert!(!filter.accepts(&Node::from(node(None).public_key())), "it has no record");
    }

    #[test]
    fn without_the_forks_only_an_equal_hash_will_do() {
        let filter = dial_filter(CHAIN);
        let ForkId { hash, .. } = CHAIN.fork_id;
        for (fork_id, is_dialed) in [
            (ForkId { hash, next: 0 }, true),
            (ForkId { hash, next: 9 }, true),
            (ForkId { hash: [2; 4], next: 0 }, false),
        ] {
            assert_eq!(filter.accepts(&node(Some(&entry(fork_id)))), is_dialed, "{fork_id}");
        }
    }

    fn status(chain: &Chain) -> Message {
        Message { id: STATUS, payload: chain.status(Version::Eth69).encode() }
    }

    /// How a session ends with a remote that sends these messages, and what was reported.
    async fn session(messages: Vec<Message>) -> (DisconnectReason, Side, Vec<String>) {
        let (reporter, mut lines) = reporter();
        let end = end_with(Eth::new(Version::Eth69, CHAIN, reporter), messages).await;
        let mut reported = Vec::new();
        while let Ok(line) = lines.try_recv() {
            reported.push(line.to_string());
        }
        (end.reason, end.side, reported)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_status_may_come_first_and_only_once() {
        let request = Message { id: 0x03, payload: Bytes::from_static(&[0xc0]) };
        let empty = Message { id: STATUS, payload: Bytes::from_static(&[0xc0]) };
        let cases =
            [(vec![request], 0), (vec![empty], 0), (vec![status(&CHAIN), status(&CHAIN)], 1)];
        for (messages, reports) in cases {
            let (reason, side, reported) = session(messages.clone()).await;
            assert_eq!(
                (reason, side),
                (DisconnectReason::ProtocolError, Side::Local),
                "{messages:?}"
            );
            assert_eq!(reported.len(), reports, "{messages:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_waited_for() {
        let (reason, side, _) = session(Vec::new()).await;
        assert_eq!((reason, side), (DisconnectReason::ReadTimeout, Side::Local));
    }

    #[tokio::test(start_paused = true)]
    async fn another_chain_is_reported_and_useless() {
        let other = Chain { network_id: 2, ..CHAIN };
        let (reason, side, reported) = session(vec![status(&other)]).await;
        assert_eq!((reason, side), (DisconnectReason::UselessPeer, Side::Local));
        assert!(reported[0].contains("incompatible=\"network id 2 instead of 1\""), "{reported:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_status_ends_nothing() {
        let unknown = (1..Version::Eth69.length())
            .map(|id| Message { id, payload: Bytes::from_static(&[7]) });
        let messages = [status(&CHAIN)].into_iter().chain(unknown).collect();
        // The remote leaves in the end.
        let (reason, side, reported) = session(messages).await;
        assert_eq!((reason, side), (DisconnectReason::Quitting, Side::Remote));
        assert_eq!(reported.len(), 1);
    }
}
