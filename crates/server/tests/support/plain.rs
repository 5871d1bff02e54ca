//! A transport that secures nothing: each side says its key, the one that dialed first, and
//! messages follow in the clear. A round trip as in RLPx, so that dials race as they do there.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use devp2p_core::{
    BoxConnection, Connection, ConnectionError, Message, NodeKey, PublicKey, Traffic,
};
use devp2p_peer::Hello;
use devp2p_server::{Io, Transport, TransportError};
use futures::{Sink, Stream, future::BoxFuture};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};

/// How many bytes wait to be written before the sink is full.
const MAX_UNWRITTEN: usize = 64 * 1024;

/// The largest message once both Hellos were exchanged.
const MAX_MESSAGE: usize = (1 << 24) - 1;

/// Says this key to everybody.
#[derive(Clone, Debug)]
pub(crate) struct PlainTransport(PublicKey);

impl PlainTransport {
    pub(crate) fn new(key: NodeKey) -> Self {
        Self(key.public_key())
    }
}

impl Transport for PlainTransport {
    fn connect(
        &self,
        mut io: Io,
        _: PublicKey,
    ) -> BoxFuture<'static, Result<BoxConnection, TransportError>> {
        let own = self.0;
        Box::pin(async move {
            io.write_all(own.as_bytes()).await.map_err(TransportError::Io)?;
            let remote = read_key(&mut io).await?;
            Ok(PlainConnection::boxed(io, remote))
        })
    }

    fn accept(&self, mut io: Io) -> BoxFuture<'static, Result<BoxConnection, TransportError>> {
        let own = self.0;
        Box::pin(async move {
            let remote = read_key(&mut io).await?;
            io.write_all(own.as_bytes()).await.map_err(TransportError::Io)?;
            Ok(PlainConnection::boxed(io, remote))
        })
    }
}

async fn read_key(io: &mut Io) -> Result<PublicKey, TransportError> {
    let mut key = [0; 64];
    io.read_exact(&mut key).await.map_err(TransportError::Io)?;
    PublicKey::from_bytes(&key).map_err(|_| TransportError::Rejected)
}

/// Messages as they are: four bytes of length, eight of id, the payload.
struct PlainConnection {
    io: Io,
    remote: PublicKey,
    incoming: BytesMut,
    outgoing: BytesMut,
    traffic: Traffic,
    limit: usize,
    ended: bool,
    closed: bool,
}

const HEADER: usize = 12;

impl PlainConnection {
    fn boxed(io: Io, remote: PublicKey) -> BoxConnection {
        Box::pin(Self {
            io,
            remote,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            traffic: Traffic { ingress: 64, egress: 64 },
            limit: Hello::MAX_SIZE,
            ended: false,
            closed: false,
        })
    }

    fn decode(&mut self) -> Result<Option<Message>, ConnectionError> {
        let Some(header) = self.incoming.get(..HEADER) else { return Ok(None) };
        let mut fields = header;
        let (length, id) = (fields.get_u32(), fields.get_u64());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(ConnectionError::Malformed("a message is above the limit"));
        }
        if self.incoming.len() - HEADER < length {
            return Ok(None);
        }
        self.incoming.advance(HEADER);
        Ok(Some(Message { id, payload: self.incoming.split_to(length).freeze() }))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0; 4096];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        self.incoming.extend_from_slice(read);
        self.traffic.ingress += u64::try_from(read.len()).unwrap_or(0);
        Poll::Ready(Ok(read.len()))
    }
}

impl Stream for PlainConnection {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let error = loop {
            match this.decode() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(error) => break error,
            }
            match ready!(this.poll_fill(cx)) {
                Ok(0) if this.incoming.is_empty() => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Ok(0) => break io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                Ok(_) => {}
                Err(error) => break error.into(),
            }
        };
        this.ended = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Sink<Message> for PlainConnection {
    type Error = ConnectionError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        if self.closed {
            Poll::Ready(Err(ConnectionError::Closed))
        } else if self.outgoing.len() < MAX_UNWRITTEN {
            Poll::Ready(Ok(()))
        } else {
            self.poll_flush(cx)
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ConnectionError> {
        let (size, limit) = (message.payload.len(), self.limit);
        if self.closed {
            return Err(ConnectionError::Closed);
        }
        if size > limit {
            return Err(ConnectionError::MessageTooLarge { size, limit });
        }
        self.outgoing.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
        self.outgoing.put_u64(message.id);
        self.outgoing.extend_from_slice(&message.payload);
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        let this = &mut *self;
        while !this.outgoing.is_empty() {
            match ready!(Pin::new(&mut this.io).poll_write(cx, &this.outgoing))? {
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                written => {
                    this.outgoing.advance(written);
                    this.traffic.egress += u64::try_from(written).unwrap_or(0);
                }
            }
        }
        Pin::new(&mut this.io).poll_flush(cx).map_err(Into::into)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.closed = true;
        Pin::new(&mut self.io).poll_shutdown(cx).map_err(Into::into)
    }
}

impl Connection for PlainConnection {
    fn remote(&self) -> PublicKey {
        self.remote
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.io.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.io.remote_addr()
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn established(mut self: Pin<&mut Self>, _snappy: bool) {
        self.limit = MAX_MESSAGE;
    }
}
