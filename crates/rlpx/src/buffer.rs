//! The buffers between frames and the stream, which an idle connection does not keep.

use std::{
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{self, AsyncRead, AsyncReadExt as _, ReadBuf};

use crate::frame::COPY_BELOW;

/// What an idle connection reads with, on the stack: so it keeps no buffer while it waits.
const PROBE_SIZE: usize = 2 * 1024;

/// What a busy connection reads with. More gains nothing, and it stays well inside of the 64 KiB
/// that a connection may hold beyond what it has received. A payload that is handed out where it
/// lies has at least half of it, so whoever keeps one keeps about twice its size and no more.
const READ_SIZE: usize = 2 * COPY_BELOW;

/// A write buffer up to this size is not worth giving back.
const KEPT_WRITE_SIZE: usize = 1024;

/// What was read and not opened yet.
///
/// A frame above [`READ_SIZE`] gets a buffer of its own, into which nothing behind it is read and
/// which goes when the frame goes: small messages, and the starts of them, never hold it.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    /// Whether this is the buffer of one large frame. Its capacity does not tell: that leaves out
    /// what was taken from the front.
    large: bool,
}

impl ReadBuffer {
    pub(crate) const fn new(bytes: BytesMut) -> Self {
        Self { bytes, large: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where frames are taken from; call [`opened`](ReadBuffer::opened) after each.
    pub(crate) const fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// A frame was taken as a whole.
    pub(crate) fn opened(&mut self) {
        if self.large {
            *self = Self::new(BytesMut::from(&*self.bytes));
        }
    }

    /// There is nothing more to read for now.
    pub(crate) fn release_if_empty(&mut self) {
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }

    pub(crate) fn into_bytes(self) -> BytesMut {
        self.bytes
    }

    /// Reads what is there, and at least one byte; 0 is the end of the stream.
    ///
    /// `missing` more bytes would complete what is being read.
    pub(crate) fn poll_fill<Io: AsyncRead>(
        &mut self,
        mut io: Pin<&mut Io>,
        cx: &mut Context<'_>,
        missing: usize,
    ) -> Poll<io::Result<usize>> {
        let whole = self.len().saturating_add(missing);
        if whole > READ_SIZE {
            self.make_room_for_large(whole, missing);
            let mut room = (&mut self.bytes).limit(missing);
            return pin!(io.read_buf(&mut room)).poll(cx);
        }
        if self.bytes.is_empty() && !self.bytes.try_reclaim(READ_SIZE) {
            return self.poll_probe(io, cx);
        }
        self.make_room(whole, missing);
        pin!(io.read_buf(&mut self.bytes)).poll(cx)
    }

    fn poll_probe<Io: AsyncRead>(
        &mut self,
        io: Pin<&mut Io>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); PROBE_SIZE];
        let mut probe = ReadBuf::uninit(&mut space);
        ready!(io.poll_read(cx, &mut probe))?;
        let read = probe.filled();
        // A full probe means that there is more where that came from.
        let room = if read.len() == PROBE_SIZE { READ_SIZE } else { read.len() };
        self.bytes = BytesMut::with_capacity(room);
        self.bytes.extend_from_slice(read);
        Poll::Ready(Ok(read.len()))
    }

    /// Room for the rest of something of at most [`READ_SIZE`], in a buffer of that size at most.
    fn make_room(&mut self, whole: usize, missing: usize) {
        if self.room() < missing && !self.bytes.try_reclaim(missing) {
            self.move_to(if whole <= PROBE_SIZE { PROBE_SIZE } else { READ_SIZE });
        }
    }

    /// Some room for a frame above [`READ_SIZE`]: the buffer grows with what arrives, by
    /// doubling, to less than twice the frame.
    fn make_room_for_large(&mut self, whole: usize, missing: usize) {
        if !self.large {
            self.move_to(whole.min(self.len().saturating_add(READ_SIZE)));
            self.large = true;
        } else if self.room() < missing.min(PROBE_SIZE) {
            self.bytes.reserve(missing.min(self.len()));
        }
    }

    fn room(&self) -> usize {
        self.bytes.capacity().saturating_sub(self.len())
    }

    fn move_to(&mut self, capacity: usize) {
        let mut bytes = BytesMut::with_capacity(capacity);
        bytes.extend_from_slice(&self.bytes);
        self.bytes = bytes;
    }
}

/// Sealed bytes that wait for the stream to take them.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    bytes: BytesMut,
    /// How many of them are written.
    written: usize,
    /// The most that waited since the buffer was last empty.
    peak: usize,
}

impl WriteBuffer {
    /// How many bytes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.unwritten().len()
    }

    /// The bytes that wait.
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Where frames are appended; call [`appended`](WriteBuffer::appended) after it.
    pub(crate) const fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    pub(crate) fn appended(&mut self) {
        self.peak = self.peak.max(self.bytes.len());
    }

    /// The stream took `count` bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written = self.written.saturating_add(count).min(self.bytes.len());
        let waiting = self.waiting();
        if waiting == 0 {
            self.recycle();
        } else if self.written >= waiting {
            // Moves each byte at most once for every byte that was written.
            self.bytes.copy_within(self.written.., 0);
            self.bytes.truncate(waiting);
            self.written = 0;
        }
    }

    /// The bytes that wait, without the buffer.
    pub(crate) fn into_unwritten(mut self) -> BytesMut {
        self.bytes.split_off(self.written)
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The buffer is empty: keeps its memory only where the last batch made use of it.
    fn recycle(&mut self) {
        let capacity = self.bytes.capacity();
        if capacity > KEPT_WRITE_SIZE && self.peak < capacity / 4 {
            self.bytes = BytesMut::new();
        }
        self.bytes.clear();
        self.written = 0;
        self.peak = 0;
    }
}
