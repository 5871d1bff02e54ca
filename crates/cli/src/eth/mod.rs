//! The subprotocols `eth/68` and `eth/69` up to Status: enough to stay connected with a node of
//! the same chain, and to see what it says of itself.

mod fork_id;
mod status;

use std::time::Duration;

use bytes::Bytes;
use devp2p_core::Message;
use devp2p_peer::{Capability, DisconnectReason, Peer, ProtocolError, ProtocolStream, Subprotocol};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::time::timeout;

pub(crate) use self::fork_id::{ForkId, Forks, Position};
use self::status::{Head, Status};
use crate::{
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
}

impl Chain {
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

/// One version of eth on one chain.
///
/// Sends our Status, reads the remote's and compares: another network, genesis block or fork id
/// makes it a useless peer (0x03). Without the chain's list of forks only an equal fork hash is
/// known to be compatible. Afterwards nothing is sent and nothing answered; what arrives is
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
        let verdict = ours.check(&theirs);
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
        vec![(b"eth".to_vec(), entry.out().freeze())]
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

    const CHAIN: Chain =
        Chain { network_id: 1, genesis: [7; 32], fork_id: ForkId { hash: [1; 4], next: 0 } };

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
