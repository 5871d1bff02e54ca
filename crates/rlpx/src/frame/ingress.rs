use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use devp2p_core::Message;
use subtle::ConstantTimeEq as _;

use super::{
    BLOCK, FrameCipher, HEADER_SIZE, Limits, OpenError, TAG_SIZE, mac::FrameMac, message_id, padded,
};
use crate::{Secrets, keccak::Backend, snappy};

/// The id of Disconnect, which implementations send compressed and uncompressed.
const DISCONNECT: u64 = 0x01;

/// Payloads up to this size are copied out of the buffer, so that a small message that somebody
/// keeps does not keep the whole buffer; larger ones are handed out where they lie.
pub(crate) const COPY_BELOW: usize = 16 * 1024;

/// The half of a connection's frames that opens.
pub struct Ingress {
    cipher: FrameCipher,
    mac: FrameMac,
    limits: Limits,
    snappy: bool,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// A header comes next.
    Header,
    /// The body of this many bytes, without padding, comes next.
    Body(usize),
    Failed(OpenError),
}

impl Ingress {
    /// The half at the first frame of a connection.
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            cipher: FrameCipher::new(secrets),
            mac: FrameMac::new(&secrets.mac, secrets.ingress.clone()),
            limits: Limits::EARLY,
            snappy: false,
            state: State::Header,
        }
    }

    /// Both Hellos have been exchanged: see [`FrameCodec::established`](super::FrameCodec::established).
    pub fn established(&mut self, max_message_size: usize, snappy: bool) {
        self.limits = Limits::established(max_message_size, snappy);
        self.snappy = snappy;
    }

    /// Takes one frame from the front of `input` and gives its message, or `None` as long as it
    /// is not there as a whole; [`missing`](Ingress::missing) says how much to add.
    ///
    /// Nothing is decrypted before its tag was found right. With compression on, the payload of
    /// a Disconnect that is not valid snappy is given as it is: there are peers that send it so.
    ///
    /// Without compression, a payload above 16 KiB is a part of `input`'s memory and keeps it.
    ///
    /// # Errors
    /// Every error is final; the next calls give it again.
    pub fn open(&mut self, input: &mut BytesMut) -> Result<Option<Message>, OpenError> {
        self.try_open(input).inspect_err(|&error| self.state = State::Failed(error))
    }

    /// How many bytes `input` of this length lacks before [`open`](Ingress::open) can go on.
    pub fn missing(&self, length: usize) -> usize {
        let wanted = match self.state {
            State::Header => HEADER_SIZE,
            State::Body(size) => padded(size).saturating_add(TAG_SIZE),
            State::Failed(_) => 0,
        };
        wanted.saturating_sub(length)
    }

    /// Whether the next byte is the first of a frame.
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header)
    }

    /// Which kernel computes the tags.
    pub const fn backend(&self) -> Backend {
        self.mac.backend()
    }

    fn try_open(&mut self, input: &mut BytesMut) -> Result<Option<Message>, OpenError> {
        let size = match self.state {
            State::Failed(error) => return Err(error),
            State::Body(size) => size,
            State::Header => {
                let Some(head) = input.first_chunk_mut::<HEADER_SIZE>() else {
                    return Ok(None);
                };
                let size = self.open_header(head)?;
                input.advance(HEADER_SIZE);
                self.state = State::Body(size);
                size
            }
        };
        let total = padded(size).saturating_add(TAG_SIZE);
        let Some(frame) = input.get_mut(..total) else {
            return Ok(None);
        };
        let body = self.open_body(frame)?.get(..size).unwrap_or_default();
        let (id, payload) = message_id::decode(body).ok_or(OpenError::MessageId)?;
        let limit = self.limits.message_with(id);
        let payload = if self.snappy {
            let payload = decompress(id, payload, limit)?;
            input.advance(total);
            payload
        } else if payload.len() > limit {
            return Err(OpenError::MessageTooLarge);
        } else if payload.len() <= COPY_BELOW {
            let payload = Bytes::copy_from_slice(payload);
            input.advance(total);
            payload
        } else {
            let id_size = body.len().saturating_sub(payload.len());
            let mut frame = input.split_to(total);
            frame.truncate(size);
            frame.advance(id_size);
            frame.freeze()
        };
        self.state = State::Header;
        Ok(Some(Message { id, payload }))
    }

    /// The size of the body.
    fn open_header(&mut self, head: &[u8; HEADER_SIZE]) -> Result<usize, OpenError> {
        let mut header = [0; BLOCK];
        let (ciphertext, tag) = head.split_at(BLOCK);
        header.copy_from_slice(ciphertext);
        if !bool::from(self.mac.header_tag(&header).ct_eq(tag)) {
            return Err(OpenError::HeaderTag);
        }
        self.cipher.apply(&mut header);
        let [a, b, c, ..] = header;
        let size = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        if size > self.limits.frame {
            return Err(OpenError::FrameTooLarge);
        }
        Ok(size)
    }

    /// The body with its padding, decrypted where it lies.
    fn open_body<'a>(&mut self, frame: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        let Some((body, tag)) = frame.split_last_chunk_mut::<TAG_SIZE>() else {
            return Err(OpenError::BodyTag);
        };
        self.mac.update_body(body);
        if !bool::from(self.mac.body_tag().ct_eq(tag)) {
            return Err(OpenError::BodyTag);
        }
        self.cipher.apply(body);
        Ok(body)
    }
}

fn decompress(id: u64, payload: &[u8], limit: usize) -> Result<Bytes, OpenError> {
    match snappy::decompress(payload, limit) {
        // The first bytes of one that is not compressed can read as any size.
        Err(_) if id == DISCONNECT && payload.len() <= limit => Ok(Bytes::copy_from_slice(payload)),
        other => other,
    }
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress")
            .field("backend", &self.backend())
            .field("limits", &self.limits)
            .field("snappy", &self.snappy)
            .finish_non_exhaustive()
    }
}
