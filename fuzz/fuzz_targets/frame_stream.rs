//! One direction of a session as a list of operations: messages, forged frames with valid tags,
//! damage on the way, the switch after Hello, and delivery in pieces.
//!
//! What is delivered is what was sent, in order, up to the first damaged byte and no further.
#![no_main]

use bytes::{Bytes, BytesMut};
use devp2p_core::Message;
use devp2p_fuzz::{
    forge::{self, Forger},
    memory::bounded,
    script::Script,
};
use devp2p_rlpx::{
    Egress, Ingress, MAX_EARLY_MESSAGE_SIZE, MAX_FRAME_SIZE, OpenError, SealError,
    frame::HEADER_SIZE, snappy,
};
use libfuzzer_sys::fuzz_target;
use snap::raw::{Decoder, decompress_len, max_compress_len};

/// The operations of one input; more of them find nothing new.
const MAX_STEPS: usize = 64;

/// The bytes that a message is blown up to at most, so that an input takes milliseconds.
const MAX_FILL: usize = 48 * 1024;

/// The limits on messages that the switch chooses from.
const LIMITS: [usize; 4] = [1024, 16 * 1024, 64 * 1024, MAX_FRAME_SIZE];

/// The most bytes of a message id.
const MAX_ID_SIZE: usize = 9;

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let mut stream = Stream::new();
    for _ in 0..MAX_STEPS {
        if script.is_done() {
            break;
        }
        stream.step(&mut script);
    }
    stream.deliver(usize::MAX);
});

struct Stream {
    /// The codec that sends, until a frame was forged that it knows nothing of.
    egress: Option<Egress>,
    forger: Forger,
    ingress: Ingress,
    limit: usize,
    snappy: bool,
    /// All that was sealed.
    sealed: Vec<u8>,
    /// What is under way, damaged or not.
    wire: Vec<u8>,
    /// How much arrived, and how much of that is as it was sealed.
    arrived: usize,
    intact: usize,
    input: BytesMut,
    /// What each frame has to give, and where it ends among what was sealed.
    frames: Vec<(Result<Message, OpenError>, usize)>,
    delivered: usize,
    failed: Option<OpenError>,
}

impl Stream {
    fn new() -> Self {
        let secrets = forge::secrets();
        Self {
            egress: Some(Egress::new(&secrets)),
            forger: Forger::new(),
            ingress: Ingress::new(&secrets),
            limit: MAX_EARLY_MESSAGE_SIZE,
            snappy: false,
            sealed: Vec::new(),
            wire: Vec::new(),
            arrived: 0,
            intact: 0,
            input: BytesMut::new(),
            frames: Vec::new(),
            delivered: 0,
            failed: None,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.pick(9) {
            0 => {
                let id = u64::from(script.byte());
                self.send(id, script.string());
            }
            1 => {
                let id = script.long();
                let (unit, times) = (script.string(), usize::from(script.short()));
                let times = times.min(MAX_FILL / unit.len().max(1));
                self.send(id, &unit.repeat(times));
            }
            2 => self.forge(script.string()),
            3 => {
                // A payload under an id, forged: snappy's decoder sees it as it is.
                let id = u64::from(script.byte());
                self.forge(&forge::body(id, script.string()));
            }
            4 => self.forge_header(script),
            5 => self.damage(script),
            6 => {
                let count = usize::from(script.short());
                self.deliver(count);
            }
            7 => self.deliver(usize::MAX),
            _ => {
                let (limit, snappy) = (script.one_of(&LIMITS), script.byte() % 2 == 1);
                self.establish(limit, snappy);
            }
        }
    }

    fn send(&mut self, id: u64, payload: &[u8]) {
        let limit = self.limit_with(id);
        let Some(egress) = &mut self.egress else {
            let payload = if self.snappy {
                snappy::compress(payload).expect("small")
            } else {
                Bytes::copy_from_slice(payload)
            };
            return self.forge(&forge::body(id, &payload));
        };
        let mut frame = BytesMut::from(&b"before"[..]);
        let result = egress.seal(id, payload, &mut frame);
        if payload.len() > limit {
            let size = payload.len();
            assert_eq!(result, Err(SealError::TooLarge { size, limit }));
            assert_eq!(frame, &b"before"[..], "it wrote something all the same");
            return;
        }
        result.expect("it is within the limit");
        assert!(frame.starts_with(b"before"), "it changed what was there");
        let payload = Bytes::copy_from_slice(payload);
        let on_wire =
            if self.snappy { snappy::compress(&payload).expect("small") } else { payload.clone() };
        let reference = self.forger.frame(&forge::body(id, &on_wire));
        assert_eq!(frame[6..], reference, "the frame differs from the other implementation's");
        self.seal(&reference, Ok(Message { id, payload }));
    }

    fn forge(&mut self, body: &[u8]) {
        self.egress = None;
        let expected = self.expect(body);
        let frame = self.forger.frame(body);
        self.seal(&frame, expected);
    }

    /// A header that declares another size than the body behind it has.
    fn forge_header(&mut self, script: &mut Script<'_>) {
        self.egress = None;
        let size = script.long() as usize & MAX_FRAME_SIZE;
        let frame = [self.forger.header(size), script.string().to_vec()].concat();
        let error =
            if size > self.max_frame() { OpenError::FrameTooLarge } else { OpenError::BodyTag };
        self.seal(&frame, Err(error));
    }

    fn seal(&mut self, frame: &[u8], expected: Result<Message, OpenError>) {
        self.sealed.extend_from_slice(frame);
        self.wire.extend_from_slice(frame);
        self.frames.push((expected, self.sealed.len()));
    }

    /// The base protocol's messages stay small.
    fn limit_with(&self, id: u64) -> usize {
        if id < 0x10 { self.limit.min(MAX_EARLY_MESSAGE_SIZE) } else { self.limit }
    }

    fn max_frame(&self) -> usize {
        let payload = if self.snappy { max_compress_len(self.limit) } else { self.limit };
        (payload + MAX_ID_SIZE).min(MAX_FRAME_SIZE)
    }

    /// What a forged body has to give.
    fn expect(&self, body: &[u8]) -> Result<Message, OpenError> {
        if body.len() > self.max_frame() {
            return Err(OpenError::FrameTooLarge);
        }
        let first = rlp::Rlp::new(body);
        let id = first.as_val::<u64>().map_err(|_| OpenError::MessageId)?;
        let info = first.payload_info().map_err(|_| OpenError::MessageId)?;
        let payload = &body[info.header_len + info.value_len..];
        let limit = self.limit_with(id);
        let decompressed = match payload {
            _ if !self.snappy && payload.len() > limit => Err(OpenError::MessageTooLarge),
            _ if !self.snappy => Ok(payload.to_vec()),
            [] => Err(OpenError::Snappy),
            _ => match decompress_len(payload) {
                Ok(size) if size > limit => Err(OpenError::MessageTooLarge),
                _ => Decoder::new().decompress_vec(payload).map_err(|_| OpenError::Snappy),
            },
        };
        match decompressed {
            // A Disconnect is seen compressed and plain.
            Err(_) if self.snappy && id == 1 && payload.len() <= limit => Ok(payload.to_vec()),
            other => other,
        }
        .map(|payload| Message { id, payload: payload.into() })
    }

    fn damage(&mut self, script: &mut Script<'_>) {
        let at = usize::from(script.short()) % (self.wire.len() + 1);
        match script.pick(3) {
            0 => {
                let mask = script.byte();
                if let Some(byte) = self.wire.get_mut(at) {
                    *byte ^= mask;
                }
            }
            1 => {
                let end = self.wire.len().min(at + usize::from(script.byte()));
                self.wire.drain(at..end);
            }
            _ => {
                self.wire.splice(at..at, script.string().iter().copied());
            }
        }
    }

    fn establish(&mut self, limit: usize, snappy: bool) {
        // Both sides have read everything when they switch.
        self.deliver(usize::MAX);
        (self.limit, self.snappy) = (limit, snappy);
        self.ingress.established(limit, snappy);
        if let Some(egress) = &mut self.egress {
            egress.established(limit, snappy);
        }
    }

    fn deliver(&mut self, count: usize) {
        let part: Vec<u8> = self.wire.drain(..count.min(self.wire.len())).collect();
        for byte in &part {
            if self.intact == self.arrived && self.sealed.get(self.arrived) == Some(byte) {
                self.intact += 1;
            }
            self.arrived += 1;
        }
        self.input.extend_from_slice(&part);
        while self.open() {}
    }

    /// Returns whether there may be more.
    fn open(&mut self) -> bool {
        let Self { ingress, input, .. } = self;
        let result = bounded(input.len(), || {
            let result = ingress.open(input);
            let delivered = result.as_ref().ok().and_then(Option::as_ref);
            (delivered.map_or(0, |message| message.payload.len()), result)
        });
        if let Some(error) = self.failed {
            assert_eq!(result, Err(error), "it went on after an error");
            assert_eq!(self.ingress.missing(0), 0, "it waits for more after an error");
            return false;
        }
        let next = self.frames.get(self.delivered);
        match result {
            Ok(Some(message)) => {
                let (expected, end) = next.expect("a message that was not sent");
                assert_eq!(Ok(&message), expected.as_ref());
                assert!(*end <= self.intact, "a message of a damaged frame");
                assert!(self.ingress.is_between_frames());
                self.delivered += 1;
                true
            }
            Ok(None) => {
                assert!(self.ingress.missing(self.input.len()) > 0, "it waits for nothing");
                assert!(next.is_none_or(|(_, end)| *end > self.intact || self.is_stump(*end)));
                false
            }
            Err(error) => {
                let damaged = self.intact < self.arrived;
                let foreseen = next.is_some_and(|(expected, _)| *expected == Err(error));
                assert!(damaged || foreseen, "{error} for {next:?}");
                self.failed = Some(error);
                // The same again, for ever.
                true
            }
        }
    }

    /// Whether the frame that ends there is a forged header without as much as it declares.
    fn is_stump(&self, end: usize) -> bool {
        let frame = self.frames.get(self.delivered);
        let declares_more = frame.is_some_and(|frame| frame.0 == Err(OpenError::BodyTag));
        declares_more && end >= HEADER_SIZE
    }
}
