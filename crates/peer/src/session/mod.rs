//! The base protocol after the Hellos, and the multiplexing of the subprotocols, without IO.

mod meters;
mod ping;
mod queue;

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{ConnectionError, Message};

pub use self::meters::{CapabilityMeters, MessageCount, Meter};
use self::{
    meters::Meters,
    ping::{Pings, Pongs},
    queue::Queue,
};
use crate::{Config, DisconnectReason, SharedCapability, id};

/// One peer after both Hellos: Pings, Pongs, Disconnect, and a queue each way for every shared
/// capability.
///
/// Nothing here does IO, reads a clock or draws entropy, and whatever the remote sends, no queue
/// grows beyond its limit and nothing panics. It is pulled: the owner of the connection
///
/// 1. reads the next message only while [`wants_message`](Self::wants_message), and passes it to
///    [`handle_message`](Self::handle_message);
/// 2. takes [`poll_transmit`](Self::poll_transmit) only while the connection is ready to send;
/// 3. calls [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has
///    come;
/// 4. drains [`poll_event`](Self::poll_event) after each of them.
///
/// Neither of the first two waits for the other, so that two busy peers cannot block each other.
/// Subprotocols are known by their index in [`shared`](Self::shared); they take their messages
/// with [`receive`](Self::receive) and give theirs with [`send`](Self::send).
#[derive(Debug)]
pub struct Session {
    shared: Vec<SharedCapability>,
    /// Those of each shared capability.
    queues: Vec<Queues>,
    /// The subprotocol whose turn it is to send.
    turn: usize,
    stall_timeout: Duration,
    reason_wait: Duration,
    max_message: usize,
    pings: Pings,
    pongs: Pongs,
    received: Option<Received>,
    /// Writing has failed: until when the remote's Disconnect is still waited for.
    broken: Option<(Instant, String)>,
    end: Option<End>,
    end_reported: bool,
    /// Our Disconnect has yet to be sent.
    disconnect_due: bool,
}

/// What one subprotocol has waiting, each way.
#[derive(Debug)]
struct Queues {
    inbound: Queue,
    outbound: Queue,
    meters: Meters,
    /// The end came before all of `outbound` was sent.
    cut_off: bool,
    /// Since when the inbound queue has been full and nothing was taken from it.
    stalled_since: Option<Instant>,
    /// The subprotocol has dropped its stream: what comes for it is dropped as well.
    detached: bool,
}

/// What [`Session::poll_event`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message waits for a subprotocol.
    Received(Received),
    /// The peer has ended; nothing follows.
    Ended(End),
}

/// A message that arrived for a subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The subprotocol, as index into [`Session::shared`].
    pub protocol: usize,
    /// The message's id within the capability.
    pub id: u64,
    /// The size of the payload in bytes.
    pub size: usize,
}

/// A message that the connection is to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit {
    /// The subprotocol that it is from, as index into [`Session::shared`]; `None` for the base
    /// protocol.
    pub protocol: Option<usize>,
    /// The message, with its id on the wire.
    pub message: Message,
}

/// How a peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// The reason: the remote's where it sent one, else ours.
    pub reason: DisconnectReason,
    /// Who ended it.
    pub side: Side,
    /// What went wrong, in words, where something did.
    pub error: Option<String>,
}

impl End {
    /// An end for this reason, on this side; `error` says what went wrong, where something did.
    pub const fn new(reason: DisconnectReason, side: Side, error: Option<String>) -> Self {
        Self { reason, side, error }
    }
}

/// Who ended a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// This node decided it.
    Local,
    /// The remote decided it, or the connection broke.
    Remote,
}

/// The payload of Ping and Pong: an empty list.
const EMPTY_LIST: &[u8] = &[0xc0];

impl Session {
    /// A peer that shares these capabilities; `seed` gives its Pings their jitter.
    pub fn new(
        config: &Config,
        shared: Vec<SharedCapability>,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let queues = shared
            .iter()
            .map(|shared| Queues {
                inbound: Queue::new(config.inbound_messages, config.inbound_bytes),
                outbound: Queue::new(config.outbound_messages, config.outbound_bytes),
                meters: Meters::new(shared),
                cut_off: false,
                stalled_since: None,
                detached: false,
            })
            .collect();
        Self {
            shared,
            queues,
            turn: 0,
            stall_timeout: config.stall_timeout,
            reason_wait: config.reason_wait,
            max_message: config.max_message,
            pings: Pings::new(config, seed, now),
            pongs: Pongs::new(config, now),
            received: None,
            broken: None,
            end: None,
            end_reported: false,
            disconnect_due: false,
        }
    }

    /// The shared capabilities, in the order of their message ids.
    pub fn shared(&self) -> &[SharedCapability] {
        &self.shared
    }

    /// The last round trip of a Ping, once there was one.
    pub fn rtt(&self) -> Option<Duration> {
        self.pings.rtt()
    }

    /// How the peer ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Ends the peer; of several calls the first decides. What subprotocols have yet to send is
    /// dropped, what they have yet to receive is kept.
    pub fn disconnect(&mut self, reason: DisconnectReason, error: Option<String>) {
        let told = self.finish(End::new(reason, Side::Local, error));
        // A broken connection tells nobody anything.
        self.disconnect_due |= told && reason != DisconnectReason::NetworkError;
    }

    fn finish(&mut self, end: End) -> bool {
        if self.end.is_some() {
            return false;
        }
        self.end = Some(end);
        for queues in &mut self.queues {
            queues.cut_off = !queues.outbound.is_empty();
            queues.outbound.clear();
            queues.stalled_since = None;
        }
        true
    }

    // What comes from the connection.

    /// Whether the next message may be read. While a subprotocol's queue is full nothing is read,
    /// so that the remote is held up and no message is lost or overtaken.
    pub fn wants_message(&self) -> bool {
        self.end.is_none() && !self.is_paused()
    }

    fn is_paused(&self) -> bool {
        self.queues.iter().any(|queues| queues.stalled_since.is_some())
    }

    /// Takes a message that the connection received.
    pub fn handle_message(&mut self, now: Instant, message: Message) {
        if self.end.is_some() {
            return;
        }
        self.pings.heard(now);
        match message.id {
            id::DISCONNECT => {
                let reason = DisconnectReason::decode(&message.payload);
                self.finish(End { reason, side: Side::Remote, error: None });
            }
            id::PING => {
                let allowed = self.pongs.handle_ping(now);
                self.accept(allowed);
            }
            // geth ignores both, and so do we, as often as we would answer a Ping.
            id::PONG => {
                let allowed = self.pings.handle_pong(now) || self.pongs.handle_ignored(now);
                self.accept(allowed);
            }
            id if id < id::BASE_LENGTH => {
                let allowed = self.pongs.handle_ignored(now);
                self.accept(allowed);
            }
            _ => self.deliver(now, message),
        }
    }

    fn deliver(&mut self, now: Instant, message: Message) {
        let target = self
            .shared
            .iter()
            .enumerate()
            .find_map(|(index, shared)| Some((index, shared.relative(message.id)?)));
        let queues = target.and_then(|(index, id)| Some((index, id, self.queues.get_mut(index)?)));
        let Some((protocol, id, queues)) = queues else {
            return self.breach(format!("message id {:#x} is out of range", message.id));
        };
        let size = message.payload.len();
        queues.meters.count_received(id, size);
        if queues.detached {
            return;
        }
        if !queues.inbound.has_room() {
            // The caller did not ask `wants_message`; the bound holds all the same.
            let error = Some("a message came while reading was paused".into());
            return self.disconnect(DisconnectReason::Subprotocol, error);
        }
        queues.inbound.push(Message { id, payload: message.payload });
        if !queues.inbound.has_room() {
            queues.stalled_since.get_or_insert(now);
            self.pings.pause();
        }
        self.received = Some(Received { protocol, id, size });
    }

    /// A message of the base protocol, which may be one too many.
    fn accept(&mut self, allowed: bool) {
        if !allowed {
            self.breach("too many messages of the base protocol".into());
        }
    }

    fn breach(&mut self, error: String) {
        self.disconnect(DisconnectReason::ProtocolError, Some(error));
    }

    /// Bytes arrived, though no whole message: a sign of life, while a large message is under way.
    pub fn handle_progress(&mut self, now: Instant) {
        self.pings.heard(now);
    }

    /// The connection can be read no further: closed by the remote (`None`), or failed.
    pub fn handle_closed(&mut self, error: Option<&ConnectionError>) {
        match error {
            Some(ConnectionError::Malformed(_)) => {
                self.disconnect(DisconnectReason::ProtocolError, error.map(ToString::to_string));
            }
            Some(ConnectionError::ReadTimeout) => {
                self.disconnect(DisconnectReason::ReadTimeout, error.map(ToString::to_string));
            }
            Some(error) => self.lost(error.to_string()),
            None => self.lost("the remote closed the connection".into()),
        }
    }

    fn lost(&mut self, error: String) {
        let reason = DisconnectReason::NetworkError;
        self.finish(End { reason, side: Side::Remote, error: Some(error) });
    }

    /// The connection takes no further messages. For a moment what the remote sent before is
    /// still read, as it may say why.
    pub fn handle_write_failed(&mut self, now: Instant, error: &ConnectionError) {
        if let ConnectionError::MessageTooLarge { .. } = error {
            self.disconnect(DisconnectReason::Subprotocol, Some(error.to_string()));
        } else if self.broken.is_none() {
            self.broken = now.checked_add(self.reason_wait).map(|until| (until, error.to_string()));
        }
    }

    // Time.

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.end.is_some() {
            return;
        }
        if let Some((_, error)) = self.broken.take_if(|(until, _)| *until <= now) {
            return self.lost(error);
        }
        let late =
            |queues: &Queues| self.stall_deadline(queues).is_some_and(|deadline| deadline <= now);
        if let Some(shared) = self
            .queues
            .iter()
            .zip(&self.shared)
            .find_map(|(queues, shared)| late(queues).then_some(shared))
        {
            let error = format!(
                "subprotocol {} took no message for {:?}",
                shared.capability, self.stall_timeout
            );
            return self.disconnect(DisconnectReason::Subprotocol, Some(error));
        }
        if self.pings.handle_timeout(now, self.is_paused()) {
            let error = Some("the remote did not answer a ping".into());
            self.disconnect(DisconnectReason::ReadTimeout, error);
        }
    }

    fn stall_deadline(&self, queues: &Queues) -> Option<Instant> {
        queues.stalled_since?.checked_add(self.stall_timeout)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        let stalls = self.queues.iter().filter_map(|queues| self.stall_deadline(queues));
        let broken = self.broken.as_ref().map(|(until, _)| *until);
        stalls.chain(broken).chain(self.pings.poll_timeout(self.is_paused())).min()
    }

    // What goes to the connection and its owner.

    /// The next message to send: a Pong or Ping first, then one of each subprotocol in turn. After
    /// the end there is at most one more, our Disconnect.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let base = |id| {
            let payload = Bytes::from_static(EMPTY_LIST);
            Some(Transmit { protocol: None, message: Message { id, payload } })
        };
        if let Some(end) = &self.end {
            let message = end.reason.message();
            let last = std::mem::take(&mut self.disconnect_due);
            return last.then_some(Transmit { protocol: None, message });
        }
        if self.broken.is_some() {
            return None;
        }
        if self.pongs.take() {
            return base(id::PONG);
        }
        if self.pings.take(now, self.is_paused()) {
            return base(id::PING);
        }
        let count = self.queues.len();
        let turns = (self.turn..count).chain(0..self.turn.min(count));
        for protocol in turns {
            let Some(queues) = self.queues.get_mut(protocol) else { continue };
            let Some(message) = queues.outbound.pop() else { continue };
            let id = self.shared.get(protocol).and_then(|shared| shared.relative(message.id));
            queues.meters.count_sent(id.unwrap_or(u64::MAX), message.payload.len());
            self.turn = protocol.saturating_add(1);
            return Some(Transmit { protocol: Some(protocol), message });
        }
        None
    }

    /// What happened since the last call. Of arrivals only the last is kept, so this is drained
    /// after each message.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(received) = self.received.take() {
            return Some(Event::Received(received));
        }
        let end = self.end.as_ref()?;
        let first = !std::mem::replace(&mut self.end_reported, true);
        first.then(|| Event::Ended(end.clone()))
    }

    // What subprotocols do.

    /// Takes the next message for a subprotocol, its id within the capability. After the end, what
    /// arrived before it can still be taken.
    pub fn receive(&mut self, now: Instant, protocol: usize) -> Option<Message> {
        let ended = self.end.is_some();
        let queues = self.queues.get_mut(protocol)?;
        let message = queues.inbound.pop()?;
        if queues.stalled_since.is_some() && !ended {
            queues.stalled_since = if queues.inbound.has_room() { None } else { Some(now) };
            if !self.is_paused() {
                self.pings.resume(now);
            }
        }
        Some(message)
    }

    /// Drops what waits for a subprotocol, and what will yet come for it: its stream is gone.
    pub fn discard(&mut self, now: Instant, protocol: usize) {
        let Some(queues) = self.queues.get_mut(protocol) else { return };
        queues.inbound.clear();
        queues.detached = true;
        if queues.stalled_since.take().is_some() && !self.is_paused() {
            self.pings.resume(now);
        }
    }

    /// Whether [`send`](Self::send) would take a message of this subprotocol.
    pub fn can_send(&self, protocol: usize) -> bool {
        self.end.is_none()
            && self.queues.get(protocol).is_some_and(|queues| queues.outbound.has_room())
    }

    /// Whether all messages of this subprotocol have been given to the connection.
    pub fn is_sent(&self, protocol: usize) -> bool {
        self.queues.get(protocol).is_none_or(|queues| queues.outbound.is_empty() && !queues.cut_off)
    }

    /// Queues a message of a subprotocol, its id within the capability.
    ///
    /// # Errors
    /// Where it cannot be sent; it is dropped then, and the session goes on.
    pub fn send(&mut self, protocol: usize, message: Message) -> Result<(), SendError> {
        if self.end.is_some() {
            return Err(SendError::Closed);
        }
        let (Some(shared), Some(queues)) =
            (self.shared.get(protocol), self.queues.get_mut(protocol))
        else {
            return Err(SendError::Closed);
        };
        let size = message.payload.len();
        if size > self.max_message {
            return Err(SendError::TooLarge { size, limit: self.max_message });
        }
        let Some(id) = shared.absolute(message.id) else {
            return Err(SendError::IdOutOfRange { id: message.id, length: shared.length });
        };
        if !queues.outbound.has_room() {
            return Err(SendError::NotReady);
        }
        queues.outbound.push(Message { id, payload: message.payload });
        Ok(())
    }

    /// What moved in each shared capability, and what waits. Still there after the end.
    pub fn meters(&self) -> Vec<CapabilityMeters> {
        let each = self.shared.iter().zip(&self.queues);
        each.map(|(shared, queues)| {
            let (inbound, outbound) = (queues.inbound.held(), queues.outbound.held());
            queues.meters.read(shared.capability.clone(), inbound, outbound)
        })
        .collect()
    }

    /// Messages and bytes that wait in all queues, both ways.
    pub fn held(&self) -> (usize, usize) {
        let each = self.queues.iter().flat_map(|queues| [&queues.inbound, &queues.outbound]);
        each.map(Queue::held).fold((0, 0), |(messages, bytes), (more, more_bytes)| {
            (messages.saturating_add(more), bytes.saturating_add(more_bytes))
        })
    }
}

/// Why a message of a subprotocol cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The peer has ended.
    Closed,
    /// The capability has no message with this id.
    IdOutOfRange {
        /// The id.
        id: u64,
        /// How many ids the capability has.
        length: u64,
    },
    /// The queue is full; wait until the sink is ready.
    NotReady,
    /// The payload is above the limit, in bytes.
    TooLarge {
        /// The payload's size.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
}

impl SendError {
    /// Whose fault it is: of a closed peer nobody knows, everything else is ours.
    pub const fn fault(self) -> devp2p_core::Fault {
        match self {
            Self::Closed => devp2p_core::Fault::Network,
            _ => devp2p_core::Fault::Local,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the peer has ended"),
            Self::IdOutOfRange { id, length } => {
                write!(f, "message id {id:#x} is out of range: the capability has {length}")
            }
            Self::NotReady => f.write_str("the queue is full"),
            Self::TooLarge { size, limit } => {
                write!(f, "a message of {size} bytes is above the limit of {limit}")
            }
        }
    }
}

impl std::error::Error for SendError {}
