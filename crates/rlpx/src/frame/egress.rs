use std::fmt;

use bytes::{BufMut as _, BytesMut};

use super::{
    BLOCK, FrameCipher, HEADER_DATA, HEADER_SIZE, Limits, SealError, TAG_SIZE, mac::FrameMac,
    message_id, padded,
};
use crate::{MAX_FRAME_SIZE, Secrets, keccak::Backend, snappy, snappy::Compressor};

/// Bytes that are encrypted and then hashed in one go, so that they are still near the
/// processor: a third of a first-level cache.
const CHUNK: usize = 16 * 1024;

/// The half of a connection's frames that seals.
pub struct Egress {
    cipher: FrameCipher,
    mac: FrameMac,
    limits: Limits,
    compressor: Option<Compressor>,
}

impl Egress {
    /// The half at the first frame of a connection.
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            cipher: FrameCipher::new(secrets),
            mac: FrameMac::new(&secrets.mac, secrets.egress.clone()),
            limits: Limits::EARLY,
            compressor: None,
        }
    }

    /// Both Hellos have been exchanged: see [`FrameCodec::established`](super::FrameCodec::established).
    pub fn established(&mut self, max_message_size: usize, snappy: bool) {
        self.limits = Limits::established(max_message_size, snappy);
        self.compressor = snappy.then(Compressor::default);
    }

    /// Appends the frame of a message to `out`, compressed where the connection compresses.
    ///
    /// The payload is copied or compressed once, to where it will be encrypted.
    ///
    /// # Errors
    /// [`SealError::TooLarge`] for a message above the limit in force; `out` is as it was.
    pub fn seal(&mut self, id: u64, payload: &[u8], out: &mut BytesMut) -> Result<(), SealError> {
        let limit = self.limits.message_with(id);
        if payload.len() > limit {
            return Err(SealError::TooLarge { size: payload.len(), limit });
        }
        let Some(compressor) = &mut self.compressor else {
            return self.seal_as_it_is(id, payload, out);
        };
        let start = out.len();
        let id = message_id::encode(id);
        let room = snappy::max_compressed_size(payload.len());
        let front = HEADER_SIZE.saturating_add(id.as_slice().len());
        out.reserve(front.saturating_add(room).saturating_add(BLOCK + TAG_SIZE));
        out.put_bytes(0, HEADER_SIZE);
        out.put_slice(id.as_slice());
        compressor.compress(payload, out);
        self.finish(start, out)
    }

    /// Appends the frame of a message whose payload is already in snappy's block format: for
    /// messages that go to many peers, which are then compressed once.
    ///
    /// # Errors
    /// As [`seal`](Egress::seal), and [`SealError::NotCompressing`] where this connection does
    /// not compress; `out` is as it was.
    pub fn seal_compressed(
        &mut self,
        id: u64,
        payload: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), SealError> {
        if self.compressor.is_none() {
            return Err(SealError::NotCompressing);
        }
        let limit = self.limits.message_with(id);
        let size = snappy::declared_size(payload).unwrap_or(0);
        if size > limit {
            return Err(SealError::TooLarge { size, limit });
        }
        self.seal_as_it_is(id, payload, out)
    }

    /// Appends a frame with any header and any body, whatever they say, both validly tagged: for
    /// tools that try what others make of it. The body is padded with zeros to a whole block.
    pub fn seal_raw(&mut self, header: [u8; 16], body: &[u8], out: &mut BytesMut) {
        let mut head = [0; HEADER_SIZE];
        let mut body = body.to_vec();
        body.resize(padded(body.len()), 0);
        let tag = self.encrypt(header, &mut head, &mut body);
        out.put_slice(&head);
        out.put_slice(&body);
        out.put_slice(&tag);
    }

    /// Which kernel computes the tags.
    pub const fn backend(&self) -> Backend {
        self.mac.backend()
    }

    fn seal_as_it_is(
        &mut self,
        id: u64,
        payload: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), SealError> {
        let start = out.len();
        let id = message_id::encode(id);
        let body = id.as_slice().len().saturating_add(payload.len());
        out.reserve(padded(body).saturating_add(HEADER_SIZE + TAG_SIZE));
        out.put_bytes(0, HEADER_SIZE);
        out.put_slice(id.as_slice());
        out.put_slice(payload);
        self.finish(start, out)
    }

    /// Makes a frame of what lies behind an empty header at `start`.
    fn finish(&mut self, start: usize, out: &mut BytesMut) -> Result<(), SealError> {
        let size = out.len().saturating_sub(start).saturating_sub(HEADER_SIZE);
        if size > MAX_FRAME_SIZE {
            out.truncate(start);
            return Err(SealError::TooLarge { size, limit: MAX_FRAME_SIZE });
        }
        out.put_bytes(0, padded(size).saturating_sub(size));
        let frame = out.get_mut(start..).unwrap_or_default();
        if let Some((head, body)) = frame.split_first_chunk_mut::<HEADER_SIZE>() {
            let tag = self.encrypt(header(size), head, body);
            out.put_slice(&tag);
        }
        Ok(())
    }

    /// The body's tag; the header and its tag are written to `head`.
    fn encrypt(
        &mut self,
        mut header: [u8; BLOCK],
        head: &mut [u8; HEADER_SIZE],
        body: &mut [u8],
    ) -> [u8; TAG_SIZE] {
        self.cipher.apply(&mut header);
        let header_tag = self.mac.header_tag(&header);
        let mut head = head.as_mut_slice();
        head.put_slice(&header);
        head.put_slice(&header_tag);
        for chunk in body.chunks_mut(CHUNK) {
            self.cipher.apply(chunk);
            self.mac.update_body(chunk);
        }
        self.mac.body_tag()
    }
}

/// The header of a frame whose body has this size.
fn header(size: usize) -> [u8; BLOCK] {
    let [_, a, b, c] = u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
    let [d, e, f] = HEADER_DATA;
    [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("backend", &self.backend())
            .field("limits", &self.limits)
            .field("snappy", &self.compressor.is_some())
            .finish_non_exhaustive()
    }
}
