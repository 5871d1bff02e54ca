//! The session of a peer, as a list of what the remote, the subprotocols, the connection and the
//! clock do, held against a model of its queues.
#![no_main]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{ConnectionError, Message};
use devp2p_fuzz::{memory::bounded, script::Script};
use devp2p_peer::{
    Capability, Config, DisconnectReason, End, Event, SendError, Session, SharedCapability, Side,
    id, share_capabilities,
};
use libfuzzer_sys::fuzz_target;

/// The operations of one input; more of them make slow runs that find nothing new.
const MAX_STEPS: usize = 400;

/// The message ids of the three subprotocols.
const LENGTHS: [u64; 3] = [3, 1, 2];

const QUEUE_MESSAGES: usize = 4;
const QUEUE_BYTES: usize = 1_000;
const MAX_MESSAGE: usize = 3_000;

/// Payloads are parts of this, so that no memory is taken but the session's.
static ZEROS: [u8; 4_096] = [0; 4_096];

fuzz_target!(|data: &[u8]| {
    let mut model = Model::new();
    // The session's memory does not grow with what goes through it.
    bounded(0, || (0, model.run(Script::new(data))));
});

/// What waits in one direction of one subprotocol: ids and sizes.
#[derive(Default)]
struct Queue(VecDeque<(u64, usize)>);

impl Queue {
    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, size)| size).sum()
    }

    fn has_room(&self) -> bool {
        self.0.len() < QUEUE_MESSAGES && self.bytes() < QUEUE_BYTES
    }
}

#[derive(Default)]
struct Queues {
    inbound: Queue,
    outbound: Queue,
    detached: bool,
    /// Messages of other subprotocols that were sent while one of this waited.
    overtaken: usize,
}

struct Model {
    session: Session,
    shared: Vec<SharedCapability>,
    queues: Vec<Queues>,
    now: Instant,
    pings: u32,
    pongs: u32,
    ended: Option<End>,
    disconnected: bool,
    /// Writing has failed.
    is_broken: bool,
}

impl Model {
    fn new() -> Self {
        let own: Vec<_> =
            ["a", "b", "c"].iter().map(|name| Capability::new(*name, 1)).zip(LENGTHS).collect();
        let remote: Vec<_> = own.iter().map(|(capability, _)| capability.clone()).collect();
        let shared = share_capabilities(&own, &remote);
        let mut config = Config::default();
        config.inbound_messages = QUEUE_MESSAGES;
        config.inbound_bytes = QUEUE_BYTES;
        config.outbound_messages = QUEUE_MESSAGES;
        config.outbound_bytes = QUEUE_BYTES;
        config.max_message = MAX_MESSAGE;
        config.ping_excess = 4;
        let now = devp2p_fuzz::start();
        Self {
            session: Session::new(&config, shared.clone(), [3; 32], now),
            queues: shared.iter().map(|_| Queues::default()).collect(),
            shared,
            now,
            pings: 0,
            pongs: 0,
            ended: None,
            disconnected: false,
            is_broken: false,
        }
    }

    fn run(&mut self, mut script: Script<'_>) {
        for _ in 0..MAX_STEPS {
            if script.is_done() {
                break;
            }
            self.step(&mut script);
            self.drain_events();
            self.check();
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.pick(13) {
            0..=2 => {
                let id = u64::from(script.byte() % 32);
                let id = if id == 31 { script.long() } else { id };
                let size = usize::from(script.short() % 4_096);
                // Now and then the owner breaks the contract, and asks for a message unasked.
                if self.session.wants_message() || script.byte() % 16 == 1 {
                    self.deliver(id, Bytes::from_static(&ZEROS[..size]));
                }
            }
            3 => {
                let payload = Bytes::copy_from_slice(script.string());
                self.deliver(id::DISCONNECT, payload);
            }
            4 | 5 => {
                let protocol = script.pick(LENGTHS.len() + 1);
                let message = self.session.receive(self.now, protocol);
                let expected =
                    self.queues.get_mut(protocol).and_then(|queues| queues.inbound.0.pop_front());
                assert_eq!(message.map(|m| (m.id, m.payload.len())), expected);
            }
            6 | 7 => {
                let protocol = script.pick(LENGTHS.len() + 1);
                let id = u64::from(script.byte() % 4);
                self.send(protocol, id, usize::from(script.short() % 4_096));
            }
            8 => self.transmit(),
            9 => {
                let millis = u64::from(script.short()) * 4;
                self.wait(Duration::from_millis(millis));
            }
            10 => {
                let at = self.session.poll_timeout();
                self.wait(at.map_or(Duration::ZERO, |at| at.duration_since(self.now)));
            }
            11 => self.trouble(script),
            _ => {
                let protocol = script.pick(LENGTHS.len() + 1);
                self.session.discard(self.now, protocol);
                if let Some(queues) = self.queues.get_mut(protocol) {
                    queues.inbound.0.clear();
                    queues.detached = true;
                }
            }
        }
    }

    fn deliver(&mut self, id: u64, payload: Bytes) {
        let size = payload.len();
        self.pings += u32::from(id == id::PING);
        let was_open = self.session.end().is_none();
        self.session.handle_message(self.now, Message { id, payload });
        let target = self
            .shared
            .iter()
            .enumerate()
            .find_map(|(index, shared)| Some((index, shared.relative(id)?)));
        if !was_open {
            return;
        }
        match target {
            _ if id == id::DISCONNECT => {
                assert_eq!(self.session.end().expect("a Disconnect ends it").side, Side::Remote);
            }
            _ if id < id::BASE_LENGTH => {}
            None => {
                let end = self.session.end().expect("an id out of range ends it");
                assert_eq!((end.reason, end.side), (DisconnectReason::ProtocolError, Side::Local));
            }
            Some((index, relative)) => {
                let queues = &mut self.queues[index];
                if queues.detached {
                    return;
                }
                if !queues.inbound.has_room() {
                    assert!(self.session.end().is_some(), "a queue grows beyond its limit");
                    return;
                }
                queues.inbound.0.push_back((relative, size));
                let Some(Event::Received(received)) = self.session.poll_event() else {
                    panic!("an arrival that nobody hears of");
                };
                let seen = (received.protocol, received.id, received.size);
                assert_eq!(seen, (index, relative, size));
            }
        }
    }

    fn send(&mut self, index: usize, id: u64, size: usize) {
        let payload = Bytes::from_static(&ZEROS[..size]);
        let could = self.session.can_send(index);
        let result = self.session.send(index, Message { id, payload });
        let length = LENGTHS.get(index).copied().unwrap_or(0);
        let expected = match self.queues.get_mut(index) {
            None => Err(SendError::Closed),
            Some(_) if self.session.end().is_some() => Err(SendError::Closed),
            Some(_) if size > MAX_MESSAGE => Err(SendError::TooLarge { size, limit: MAX_MESSAGE }),
            Some(_) if id >= length => Err(SendError::IdOutOfRange { id, length }),
            Some(queues) if !queues.outbound.has_room() => Err(SendError::NotReady),
            Some(queues) => {
                queues.outbound.0.push_back((id, size));
                Ok(())
            }
        };
        assert_eq!(result, expected);
        assert!(could || result.is_err(), "it took what it said it would not");
    }

    fn transmit(&mut self) {
        let transmit = self.session.poll_transmit(self.now);
        if let Some(end) = self.session.end() {
            if let Some(transmit) = transmit {
                assert_eq!(transmit.message, end.reason.message(), "the last message");
                assert!(
                    end.side == Side::Local && !std::mem::replace(&mut self.disconnected, true)
                );
            }
            return;
        }
        let Some(transmit) = transmit else {
            let waits = self.queues.iter().any(|queues| !queues.outbound.0.is_empty());
            assert!(!waits || self.is_broken, "it holds back what could be sent");
            return;
        };
        let Some(protocol) = transmit.protocol else {
            assert!(matches!(transmit.message.id, id::PING | id::PONG));
            self.pongs += u32::from(transmit.message.id == id::PONG);
            assert!(self.pongs <= self.pings, "a pong that nobody asked for");
            return;
        };
        for (index, queues) in self.queues.iter_mut().enumerate() {
            queues.overtaken += usize::from(!queues.outbound.0.is_empty());
            if index == protocol {
                queues.overtaken = 0;
            }
            assert!(queues.overtaken < LENGTHS.len(), "subprotocol {index} is not served in turn");
        }
        let (id, size) = self.queues[protocol].outbound.0.pop_front().expect("a message was sent");
        let wire = self.shared[protocol].absolute(id).expect("an id in range");
        assert_eq!((transmit.message.id, transmit.message.payload.len()), (wire, size));
    }

    /// Lets time pass, with a call at each moment that the session asked for.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.session.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "it asks for the same time for ever");
        }
        self.now = end;
    }

    fn trouble(&mut self, script: &mut Script<'_>) {
        match script.pick(6) {
            0 => self.session.handle_progress(self.now),
            1 => self.session.handle_closed(None),
            2 => self.session.handle_closed(Some(&ConnectionError::Malformed("fuzz"))),
            3 => self.session.handle_closed(Some(&ConnectionError::ReadTimeout)),
            4 => {
                self.is_broken = true;
                self.session.handle_write_failed(self.now, &ConnectionError::WriteTimeout);
            }
            _ => self.session.disconnect(DisconnectReason::from_code(script.byte()), None),
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            let Event::Ended(end) = event else { panic!("{event:?} out of nowhere") };
            assert!(self.ended.is_none(), "it ends twice");
            self.ended = Some(end);
            for queues in &mut self.queues {
                queues.outbound.0.clear();
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.session.end(), self.ended.as_ref());
        let both = self.queues.iter().flat_map(|queues| [&queues.inbound, &queues.outbound]);
        let held = both.fold((0, 0), |(messages, bytes), queue| {
            (messages + queue.0.len(), bytes + queue.bytes())
        });
        assert_eq!(self.session.held(), held);
        if self.ended.is_some() {
            assert!(!self.session.wants_message() && self.session.poll_timeout().is_none());
            return;
        }
        let is_full = self.queues.iter().any(|queues| !queues.inbound.has_room());
        assert_eq!(self.session.wants_message(), !is_full, "it reads while no queue is full");
        for (index, queues) in self.queues.iter().enumerate() {
            assert_eq!(self.session.can_send(index), queues.outbound.has_room());
            assert_eq!(self.session.is_sent(index), queues.outbound.0.is_empty());
        }
    }
}
