//! The buffers between frames and the stream, which an idle connection does not keep.

use std::{
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{self, AsyncRead, AsyncReadExt as _, ReadBuf};

/// What an idle connection reads with, on the stack: so it keeps no buffer while it waits.
const PROBE_SIZE: usize = 2 * 1024;

/// What a busy connection reads with. More gains nothing, and it stays well inside of the 64 KiB
/// that a connection may hold beyond what it has received.
const READ_SIZE: usize = 32 * 1024;

/// A write buffer up to this size is not worth giving back.
const KEPT_WRITE_SIZE: usize = 1024;

/// Reads into `buffer` what is there, and at least one byte; 0 is the end of the stream.
///
/// `missing` more bytes would complete what is being read. The buffer grows towards that as the
/// bytes arrive, by doubling, never at once.
pub(crate) fn poll_fill<Io: AsyncRead>(
    mut io: Pin<&mut Io>,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
    missing: usize,
) -> Poll<io::Result<usize>> {
    if !buffer.is_empty() || buffer.try_reclaim(READ_SIZE) {
        let room = buffer.capacity().saturating_sub(buffer.len());
        if room < missing.min(PROBE_SIZE) {
            buffer.reserve(missing.clamp(PROBE_SIZE, buffer.len().max(READ_SIZE)));
        }
        let read = ready!(pin!(io.read_buf(buffer)).poll(cx));
        return Poll::Ready(read);
    }
    let mut space = [MaybeUninit::uninit(); PROBE_SIZE];
    let mut probe = ReadBuf::uninit(&mut space);
    ready!(io.as_mut().poll_read(cx, &mut probe))?;
    let read = probe.filled();
    // A full probe means that there is more where that came from.
    let room = if read.len() == PROBE_SIZE { READ_SIZE } else { read.len() };
    *buffer = BytesMut::with_capacity(room);
    buffer.extend_from_slice(read);
    Poll::Ready(Ok(read.len()))
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
