use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use devp2p_core::{ConnectionError, Message, PublicKey, Traffic};
use futures_core::Stream;
use futures_sink::Sink;
use pin_project::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Config, Egress, FrameCodec, Ingress, Session,
    buffer::{ReadBuffer, WriteBuffer},
    deadline::Deadline,
    keccak::Backend,
};

/// An RLPx connection over a byte stream: a [`Stream`] and a [`Sink`] of [`Message`]s.
///
/// Made by [`connect()`](crate::connect()) and [`accept`](crate::accept). The contract is that of
/// [`devp2p_core::Connection`]; beyond it:
///
/// - **Writing**: [`start_send`](Sink::start_send) seals into one buffer, which goes out in one
///   write at the next flush, or when [`Config::write_buffer`] bytes wait. A message above the
///   limit is refused with [`ConnectionError::MessageTooLarge`] and leaves the connection as it
///   was. Where the stream takes nothing for [`Config::write_timeout`] the connection is lost; the
///   deadline starts with the first poll of the sink that has to wait, and ends with any progress.
/// - **Reading**: one whole message may be waited for as long as [`Config::read_timeout`],
///   however many bytes of it arrive. The deadline starts with the first poll that finds no
///   message and ends with the message.
/// - **Pauses**: either deadline holds only for who waits for it. Where it passes while nobody
///   polls, and the next poll comes more than a second after it, it starts anew with that poll:
///   the remote is not blamed for our pause.
/// - **Errors**: the two directions fail apart. After an error the stream ends, but the sink can
///   still tell the remote why. After an error, other than a message that is too large, the sink
///   is closed, but what the remote has sent before can still be read, since it may say why.
/// - **Cancel safety**: everything is kept here and nothing in futures, so dropping a `next`,
///   `send` or `flush` loses no message and leaves no frame half written.
/// - **Memory**: while it waits for a message it keeps no read buffer, and after a large one it
///   keeps nothing of that one's. A message that is kept keeps about twice its size at most.
///
/// Reading and writing need tokio's timers.
#[pin_project]
pub struct Connection<Io> {
    #[pin]
    io: Io,
    egress: Box<Egress>,
    ingress: Box<Ingress>,
    read_buffer: ReadBuffer,
    write_buffer: WriteBuffer,
    read_deadline: Deadline,
    write_deadline: Deadline,
    reading: Reading,
    writing: Writing,
    write_limit: usize,
    max_message_size: usize,
    remote: PublicKey,
    local_addr: Option<SocketAddr>,
    remote_addr: Option<SocketAddr>,
    traffic: Traffic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    /// `poll_close` was called: what waits still goes out.
    Closing,
    /// All of it is out, and the stream below is being shut down.
    ShuttingDown,
    /// After an error: what waits is dropped, and the stream below can still be shut down.
    Failed,
    Closed,
}

/// What [`Connection::into_parts`] gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<Io> {
    /// The stream.
    pub io: Io,
    /// The codec, in the middle of the session.
    pub codec: FrameCodec,
    /// What was read and not opened yet.
    pub read_buffer: BytesMut,
    /// What was sealed and not written yet.
    pub write_buffer: BytesMut,
}

impl<Io> Connection<Io> {
    /// A connection from a complete [`Handshake`](crate::Handshake) over `io`; `read` is what was
    /// read from it beyond the handshake.
    pub fn new(io: Io, session: Session, read: BytesMut, config: &Config) -> Self {
        let (remote, traffic) = (session.remote(), session.traffic());
        let (egress, ingress) = session.into_codec().split();
        let beyond = u64::try_from(read.len()).unwrap_or(u64::MAX);
        Self {
            io,
            egress: Box::new(egress),
            ingress: Box::new(ingress),
            read_buffer: ReadBuffer::new(read),
            write_buffer: WriteBuffer::default(),
            read_deadline: Deadline::new(config.read_timeout),
            write_deadline: Deadline::new(config.write_timeout),
            reading: Reading::Open,
            writing: Writing::Open,
            write_limit: config.write_buffer,
            max_message_size: config.max_message_size,
            remote,
            local_addr: None,
            remote_addr: None,
            traffic: Traffic { ingress: traffic.ingress.saturating_add(beyond), ..traffic },
        }
    }

    /// Says which addresses the stream below has.
    #[must_use]
    pub const fn with_addresses(
        mut self,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) -> Self {
        self.local_addr = local;
        self.remote_addr = remote;
        self
    }

    /// The stream, the codec and what is buffered.
    pub fn into_parts(self) -> Parts<Io> {
        Parts {
            io: self.io,
            codec: FrameCodec { egress: *self.egress, ingress: *self.ingress },
            read_buffer: self.read_buffer.into_bytes(),
            write_buffer: self.write_buffer.into_unwritten(),
        }
    }

    /// Which kernel computes the tags.
    pub const fn backend(&self) -> Backend {
        self.ingress.backend()
    }
}

impl<Io: AsyncRead + AsyncWrite> Stream for Connection<Io> {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.reading == Reading::Ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.as_mut().poll_message(cx)).transpose();
        let this = self.project();
        this.read_deadline.disarm();
        if !matches!(item, Some(Ok(_))) {
            *this.reading = Reading::Ended;
            *this.read_buffer = ReadBuffer::default();
        }
        Poll::Ready(item)
    }
}

impl<Io: AsyncRead + AsyncWrite> Sink<Message> for Connection<Io> {
    type Error = ConnectionError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.writing != Writing::Open {
            return Poll::Ready(Err(ConnectionError::Closed));
        }
        let limit = self.write_limit;
        self.poll_write_out(cx, limit)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let this = self.project();
        if *this.writing != Writing::Open {
            return Err(ConnectionError::Closed);
        }
        this.egress.seal(message.id, &message.payload, this.write_buffer.bytes_mut())?;
        this.write_buffer.appended();
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.writing {
            Writing::Open | Writing::Closing => self.as_mut().poll_flush_out(cx),
            Writing::ShuttingDown | Writing::Failed | Writing::Closed => {
                Poll::Ready(Err(ConnectionError::Closed))
            }
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.writing {
            Writing::Open | Writing::Closing => {
                *self.as_mut().project().writing = Writing::Closing;
                ready!(self.as_mut().poll_flush_out(cx))?;
                *self.as_mut().project().writing = Writing::ShuttingDown;
            }
            // Bytes that were refused are not offered again; the remote still learns of the end.
            Writing::ShuttingDown | Writing::Failed => {}
            Writing::Closed => return Poll::Ready(Ok(())),
        }
        let this = self.project();
        let shut = match this.io.poll_shutdown(cx) {
            Poll::Ready(shut) => shut.map_err(ConnectionError::from),
            Poll::Pending => {
                ready!(this.write_deadline.poll(cx));
                Err(ConnectionError::WriteTimeout)
            }
        };
        this.write_deadline.disarm();
        // Also where it failed: there is nothing left to try.
        *this.writing = Writing::Closed;
        Poll::Ready(shut)
    }
}

impl<Io: AsyncRead + AsyncWrite> Connection<Io> {
    /// The next message, or `None` at the end of the stream.
    fn poll_message(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, ConnectionError>> {
        let mut this = self.project();
        loop {
            if let Some(message) = this.ingress.open(this.read_buffer.bytes_mut())? {
                this.read_buffer.opened();
                return Poll::Ready(Ok(Some(message)));
            }
            let missing = this.ingress.missing(this.read_buffer.len());
            match this.read_buffer.poll_fill(this.io.as_mut(), cx, missing) {
                Poll::Ready(Ok(0)) => {
                    let clean = this.ingress.is_between_frames() && this.read_buffer.len() == 0;
                    let error = || io::Error::from(io::ErrorKind::UnexpectedEof).into();
                    return Poll::Ready(if clean { Ok(None) } else { Err(error()) });
                }
                Poll::Ready(Ok(count)) => add(&mut this.traffic.ingress, count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    this.read_buffer.release_if_empty();
                    ready!(this.read_deadline.poll(cx));
                    return Poll::Ready(Err(ConnectionError::ReadTimeout));
                }
            }
        }
    }

    /// Writes until fewer than `limit` bytes wait, or none for a limit of 0.
    fn poll_write_out(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<(), ConnectionError>> {
        let mut this = self.project();
        while this.write_buffer.waiting() >= limit.max(1) {
            let written = match this.io.as_mut().poll_write(cx, this.write_buffer.unwritten()) {
                Poll::Ready(Ok(0)) => Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(written) => written.map_err(ConnectionError::from),
                Poll::Pending => {
                    ready!(this.write_deadline.poll(cx));
                    Err(ConnectionError::WriteTimeout)
                }
            };
            this.write_deadline.disarm();
            match written {
                Ok(count) => {
                    this.write_buffer.advance(count);
                    add(&mut this.traffic.egress, count);
                }
                Err(error) => {
                    *this.writing = Writing::Failed;
                    this.write_buffer.clear();
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes everything and flushes the stream below.
    fn poll_flush_out(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        ready!(self.as_mut().poll_write_out(cx, 0))?;
        let this = self.project();
        let error = match this.io.poll_flush(cx) {
            Poll::Ready(Ok(())) => None,
            Poll::Ready(Err(error)) => Some(error.into()),
            Poll::Pending => {
                ready!(this.write_deadline.poll(cx));
                Some(ConnectionError::WriteTimeout)
            }
        };
        this.write_deadline.disarm();
        Poll::Ready(error.map_or(Ok(()), |error| {
            *this.writing = Writing::Failed;
            Err(error)
        }))
    }
}

impl<Io: AsyncRead + AsyncWrite + Send> devp2p_core::Connection for Connection<Io> {
    fn remote(&self) -> PublicKey {
        self.remote
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn established(self: Pin<&mut Self>, snappy: bool) {
        let this = self.project();
        this.egress.established(*this.max_message_size, snappy);
        this.ingress.established(*this.max_message_size, snappy);
    }
}

impl<Io> fmt::Debug for Connection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("remote", &self.remote)
            .field("local_addr", &self.local_addr)
            .field("remote_addr", &self.remote_addr)
            .field("traffic", &self.traffic)
            .field("reading", &self.reading)
            .field("writing", &self.writing)
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}

fn add(counter: &mut u64, count: usize) {
    *counter = counter.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
}
