//! The subprotocol `devnet/1`, with which two nodes account for every message between them.
//!
//! | id | message | content | meaning |
//! |---|---|---|---|
//! | 0x00 | Greeting | `[life: P]` | sent first: how many times this node was killed |
//! | 0x01 | Data | `[number: P, checksum: B_32, data: B]` | the next message, counted from 1 |
//! | 0x02 | Ack | `[count: P]` | so many Data have arrived, in order and whole |
//! | 0x03 | Done | `[count: P]` | no Data follows; there were so many |
//!
//! The checksum is the Keccak-256 of the number, 8 bytes big-endian, and the data. A message that
//! is missing, doubled, out of order or changed is a breach of protocol.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use devp2p_core::{Message, Rng};
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use rlp::{Rlp, RlpStream};
use sha3::{Digest as _, Keccak256};
use tokio::{sync::watch, time::interval};

use super::ledger::{Ledger, Phase, Session};

const GREETING: u64 = 0x00;
const DATA: u64 = 0x01;
const ACK: u64 = 0x02;
const DONE: u64 = 0x03;
const LENGTH: u64 = 4;

/// How many messages each side of a session sends at least.
pub(super) const QUOTA: u64 = 500;

/// The pause between two messages once the quota is sent: some traffic goes on until the end, and
/// so at the time of the kills.
const PAUSE_AFTER_QUOTA: Duration = Duration::from_millis(50);

/// How many messages one Ack is for; Done is answered at once.
const MESSAGES_PER_ACK: u64 = 16;

/// Sizes are drawn from this many octaves, each as likely as the others: 1 B to 64 KiB.
const OCTAVES: u64 = 16;

/// The subprotocol of one life of one node.
#[derive(Debug)]
pub(super) struct Devnet {
    pub(super) ledger: Arc<Ledger>,
    /// The node that this runs in.
    pub(super) node: usize,
    /// How many times it was killed before.
    pub(super) life: u64,
    /// The pause between two messages until the quota is sent.
    pub(super) pause: Duration,
}

impl Subprotocol for Devnet {
    fn capability(&self) -> Capability {
        Capability::new("devnet", 1)
    }

    fn length(&self) -> u64 {
        LENGTH
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        let remote = self.ledger.node(peer.id());
        let remote =
            remote.ok_or_else(|| ProtocolError::bad_message("not a node of the devnet"))?;
        let (mut sink, mut stream) = stream.split();
        sink.send(encode_number(GREETING, self.life)).await?;
        // Until both sides have greeted nothing was sent that could be lost.
        let Some(first) = stream.next().await else { return Ok(()) };
        if first.id != GREETING {
            return Err(ProtocolError::bad_message("no greeting first"));
        }
        let remote = (remote, decode_number(&first)?);
        let session = self.ledger.open((self.node, self.life), remote);
        let (verified, to_acknowledge) = watch::channel(0);
        let sender = Sender {
            sink,
            session: &session,
            to_acknowledge,
            phase: self.ledger.phase(),
            pause: self.pause,
            rng: Rng::from_seed(seed((self.node, self.life), remote)),
        };
        let receiver = Receiver { stream, session: &session, verified };
        // Receiving never waits for sending, so that two busy sides cannot wait for each other.
        let result = tokio::select! {
            biased;
            result = receiver.run() => result,
            result = sender.run() => result,
        };
        let end = peer.end().map(|end| end.error.unwrap_or_else(|| end.reason.to_string()));
        self.ledger.close(&session, result.as_ref().err().map(ToString::to_string).or(end));
        result
    }
}

struct Sender<'a> {
    sink: SplitSink<ProtocolStream, Message>,
    session: &'a Session,
    to_acknowledge: watch::Receiver<u64>,
    phase: watch::Receiver<Phase>,
    pause: Duration,
    rng: Rng,
}

impl Sender<'_> {
    /// Sends Data at its pace, at full speed when the end of the run has come, then Done; and
    /// Acks all the time.
    async fn run(mut self) -> Result<(), ProtocolError> {
        let mut ticks = interval(self.pause);
        let mut is_done = false;
        loop {
            let is_running = *self.phase.borrow_and_update() == Phase::Running;
            tokio::select! {
                biased;
                Ok(()) = self.to_acknowledge.changed() => {
                    let count = *self.to_acknowledge.borrow_and_update();
                    self.sink.send(encode_number(ACK, count)).await?;
                }
                Ok(()) = self.phase.changed() => {}
                _ = ticks.tick(), if is_running => {
                    if self.send_data().await? == self.session.quota {
                        ticks = interval(PAUSE_AFTER_QUOTA);
                    }
                }
                () = std::future::ready(()), if !is_running && !is_done => {
                    let sent = self.session.sent.load(Ordering::Relaxed);
                    if sent < self.session.quota {
                        self.send_data().await?;
                    } else {
                        is_done = true;
                        self.sink.send(encode_number(DONE, sent)).await?;
                    }
                }
            }
        }
    }

    /// Sends the next Data and gives its number.
    async fn send_data(&mut self) -> Result<u64, ProtocolError> {
        // Counted first, so that an Ack is never ahead of the count.
        let number = self.session.sent.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let octave = 1 << self.rng.below(OCTAVES);
        let size = octave + self.rng.below(octave + 1);
        let mut data = vec![0; usize::try_from(size).unwrap_or(1)];
        self.rng.fill(&mut data);
        self.sink.send(encode_data(number, &data)).await?;
        Ok(number)
    }
}

struct Receiver<'a> {
    stream: SplitStream<ProtocolStream>,
    session: &'a Session,
    /// How many Data have been verified and are to be acknowledged.
    verified: watch::Sender<u64>,
}

impl Receiver<'_> {
    /// Verifies what comes, until the session ends.
    async fn run(mut self) -> Result<(), ProtocolError> {
        let mut received = 0_u64;
        while let Some(message) = self.stream.next().await {
            match message.id {
                DATA => {
                    received = received.saturating_add(1);
                    verify_data(&message, received)?;
                    self.session.received.store(received, Ordering::Relaxed);
                    if received.is_multiple_of(MESSAGES_PER_ACK) {
                        self.verified.send_replace(received);
                    }
                }
                ACK => self.acknowledge(decode_number(&message)?)?,
                DONE if decode_number(&message)? == received => {
                    self.verified.send_replace(received);
                    set(&self.session.remote_done);
                }
                DONE => return Err(ProtocolError::bad_message("messages were lost")),
                _ => return Err(ProtocolError::bad_message("a second greeting")),
            }
        }
        Ok(())
    }

    fn acknowledge(&self, count: u64) -> Result<(), ProtocolError> {
        let sent = self.session.sent.load(Ordering::Relaxed);
        let before = self.session.acknowledged.swap(count, Ordering::Relaxed);
        if (before..=sent).contains(&count) {
            Ok(())
        } else {
            let what = format!("an ack for {count} messages, after {before}, of {sent}");
            Err(ProtocolError::BadMessage(what))
        }
    }
}

fn set(flag: &AtomicBool) {
    flag.store(true, Ordering::Relaxed);
}

/// Every direction of every session has its own sequence of messages, the same in every run.
fn seed((node, life): (usize, u64), (remote, remote_life): (usize, u64)) -> [u8; 32] {
    Keccak256::digest(format!("devnet {node}.{life} to {remote}.{remote_life}")).into()
}

fn checksum(number: u64, data: &[u8]) -> [u8; 32] {
    Keccak256::new().chain_update(number.to_be_bytes()).chain_update(data).finalize().into()
}

fn encode_number(id: u64, number: u64) -> Message {
    let mut list = RlpStream::new_list(1);
    list.append(&number);
    Message { id, payload: list.out().freeze() }
}

fn decode_number(message: &Message) -> Result<u64, ProtocolError> {
    Rlp::new(&message.payload).val_at(0).map_err(ProtocolError::bad_message)
}

fn encode_data(number: u64, data: &[u8]) -> Message {
    let mut list = RlpStream::new_list(3);
    list.append(&number).append(&checksum(number, data).as_slice()).append(&data);
    Message { id: DATA, payload: list.out().freeze() }
}

/// Checks that a Data is whole and has this number.
fn verify_data(message: &Message, expected: u64) -> Result<(), ProtocolError> {
    let list = Rlp::new(&message.payload);
    let number: u64 = list.val_at(0).map_err(ProtocolError::bad_message)?;
    if number != expected {
        let what = format!("message {number} in place of {expected}");
        return Err(ProtocolError::BadMessage(what));
    }
    let data = list.at(2).and_then(|data| data.data()).map_err(ProtocolError::bad_message)?;
    // Encoding it again computes the checksum, and leaves no byte unlooked at.
    if encode_data(number, data) != *message {
        return Err(ProtocolError::BadMessage(format!("message {number} has a wrong checksum")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use devp2p_core::NodeKey;
    use devp2p_peer::{DisconnectReason, Side};

    use super::*;
    use crate::testing::end_with;

    /// Runs a session of node 0 with a remote, node 1, that sends these messages and leaves.
    async fn session(messages: Vec<Message>) -> (DisconnectReason, Side, Arc<Ledger>) {
        let ids = [1, 2].map(|byte| NodeKey::from_bytes(&[byte; 32]).unwrap().id());
        let ledger = Arc::new(Ledger::new(&ids));
        let pause = Duration::from_millis(10);
        let node = Devnet { ledger: Arc::clone(&ledger), node: 0, life: 0, pause };
        let end = end_with(node, messages).await;
        (end.reason, end.side, ledger)
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_missing_or_doubled_is_an_error() {
        let hello = || encode_number(GREETING, 0);
        let data = |number| encode_data(number, b"some bytes");
        let (ack, done) = (|count| encode_number(ACK, count), |count| encode_number(DONE, count));
        let cases = [
            ("missing", vec![hello(), data(1), data(3)]),
            ("missing, the first", vec![hello(), data(2)]),
            ("missing, the last", vec![hello(), data(1), done(2)]),
            ("doubled", vec![hello(), data(1), data(1)]),
            ("in another order", vec![hello(), data(2), data(1)]),
            ("one too many", vec![hello(), data(1), data(2), done(1)]),
            ("acknowledged and not sent", vec![hello(), ack(1_000_000)]),
            ("acknowledged and taken back", vec![hello(), ack(2), ack(1)]),
        ];
        for (what, messages) in cases {
            let (reason, side, ledger) = session(messages).await;
            assert_eq!((reason, side), (DisconnectReason::ProtocolError, Side::Local), "{what}");
            assert_eq!(ledger.error_count(0), 1, "{what}: {:?}", ledger.errors());
            assert_eq!(ledger.incomplete(), [(0, 1)], "{what}");
            assert!(ledger.partners(0).is_empty() && ledger.links().is_empty(), "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_unasked_is_an_error_too() {
        let messages = vec![encode_number(GREETING, 0), encode_data(1, b"some bytes")];
        let (reason, side, ledger) = session(messages).await;
        assert_eq!((reason, side), (DisconnectReason::Quitting, Side::Remote));
        assert_eq!(ledger.errors(), ["node 0: the session with node 1 ended: client quitting"]);
        assert_eq!((ledger.totals(0).received, ledger.incomplete().len()), (1, 1));

        // Before both have greeted there is no session.
        let (_, _, ledger) = session(Vec::new()).await;
        assert_eq!((ledger.errors().len(), ledger.incomplete().len()), (0, 0));
    }

    #[test]
    fn what_is_changed_or_out_of_order_is_seen() {
        let message = encode_data(7, b"some bytes");
        assert!(verify_data(&message, 7).is_ok());
        assert!(verify_data(&message, 8).is_err());
        assert!(verify_data(&encode_data(8, b"some bytes"), 7).is_err());
        for index in 0..message.payload.len() {
            let mut changed = message.payload.to_vec();
            changed[index] ^= 0x01;
            let changed = Message { payload: changed.into(), ..message.clone() };
            assert!(verify_data(&changed, 7).is_err(), "byte {index}");
        }
    }

    #[test]
    fn every_direction_has_its_own_messages() {
        let all = [((0, 1), (1, 1)), ((1, 1), (0, 1)), ((0, 2), (1, 1)), ((0, 1), (1, 2))];
        let seeds: std::collections::BTreeSet<_> =
            all.iter().map(|&(from, to)| seed(from, to)).collect();
        assert_eq!(seeds.len(), all.len());
    }
}
