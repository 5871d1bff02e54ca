//! The suite of [`Transport`], and of the connections that it makes.
//!
//! Its clauses, before those of [`connection`]:
//!
//! - **addresses**: the connection tells those of the stream below.
//! - **many at once**: handshakes of one transport do not disturb each other.
//! - **the wrong key**: who is not the one that was asked for is never taken for it.
//! - **closed in the handshake**: is an error, in both directions.
//! - **silent failure**: garbage is an error, after which the stream is closed, and no more was
//!   said to its sender than to one who says nothing.
//! - **a dropped handshake closes**: in both directions.
//! - **broken off in a frame**: is an error of the connection, and not the remote's clean close.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use devp2p_core::{BoxConnection, Message, NodeKey, Rng};
use devp2p_peer::Direction;
use futures::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::{BoxFuture, join, try_join, try_join_all},
};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
    },
    time::sleep,
};

use super::{
    QUIET, Report, Seen, Suite,
    connection::{self, MakePair, left, right},
    ensure, key, quiet, seen,
};
use crate::{Io, Transport, TransportError};

const WINDOW: usize = 64 * 1024;

/// How many handshakes run at once.
const MANY: usize = 8;

const NEAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 30_303);
const FAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 30_304);

const BOTH: [Direction; 2] = [Direction::Outbound, Direction::Inbound];

type Secured = Result<BoxConnection, TransportError>;

/// Tries every clause. `transport` makes one in the name of a key; two of them understand each
/// other.
pub async fn check(transport: impl Fn(NodeKey) -> Arc<dyn Transport>) -> Report {
    let mut suite = Suite::new("Transport");
    let make = &Make(transport);
    suite.clause("addresses", addresses(make)).await;
    suite.clause("many at once", many_at_once(make)).await;
    suite.clause("the wrong key", wrong_key(make)).await;
    suite.clause("closed in the handshake", closed_in_handshake(make)).await;
    suite.clause("silent failure", silent_failure(make)).await;
    suite.clause("a dropped handshake closes", dropped_handshake(make)).await;
    suite.clause("broken off in a frame", broken_off(make)).await;
    connection::clauses(&mut suite, make).await;
    suite.report()
}

struct Make<T>(T);

impl<T: Fn(NodeKey) -> Arc<dyn Transport>> Make<T> {
    fn left(&self) -> Result<Arc<dyn Transport>, Seen> {
        Ok((self.0)(left()?))
    }

    fn right(&self) -> Result<Arc<dyn Transport>, Seen> {
        Ok((self.0)(right()?))
    }

    fn begin(&self, direction: Direction, io: Io) -> Result<BoxFuture<'static, Secured>, Seen> {
        Ok(match direction {
            Direction::Outbound => self.left()?.connect(io, right()?.public_key()),
            Direction::Inbound => self.right()?.accept(io),
        })
    }
}

impl<T: Fn(NodeKey) -> Arc<dyn Transport>> MakePair for Make<T> {
    async fn make(&self, window: usize) -> Result<(BoxConnection, BoxConnection), Seen> {
        let (near, far) = duplex(window);
        secure(self, Io::new(near, None, None), Io::new(far, None, None)).await
    }
}

async fn secure<T: Fn(NodeKey) -> Arc<dyn Transport>>(
    make: &Make<T>,
    near: Io,
    far: Io,
) -> Result<(BoxConnection, BoxConnection), Seen> {
    let remote = right()?.public_key();
    Ok(try_join(make.left()?.connect(near, remote), make.right()?.accept(far)).await?)
}

async fn addresses<T: Fn(NodeKey) -> Arc<dyn Transport>>(make: &Make<T>) -> Result<(), Seen> {
    let (near, far) = duplex(WINDOW);
    let (near, far) = (Io::new(near, Some(NEAR), Some(FAR)), Io::new(far, Some(FAR), Some(NEAR)));
    let (left, right) = secure(make, near, far).await?;
    for (connection, local, remote) in [(left, NEAR, FAR), (right, FAR, NEAR)] {
        let told = (connection.local_addr(), connection.remote_addr());
        ensure(told == (Some(local), Some(remote)), || format!("the addresses {told:?}"))?;
    }
    Ok(())
}

async fn many_at_once<T: Fn(NodeKey) -> Arc<dyn Transport>>(make: &Make<T>) -> Result<(), Seen> {
    let (left, right) = (make.left()?, make.right()?);
    let remote = self::right()?.public_key();
    let handshakes = (0..MANY).map(|_| {
        let (near, far) = duplex(WINDOW);
        let connect = left.connect(Io::new(near, None, None), remote);
        try_join(connect, right.accept(Io::new(far, None, None)))
    });
    for (index, (mut left, mut right)) in (0_u64..).zip(try_join_all(handshakes).await?) {
        left.send(Message { id: index, payload: Bytes::new() }).await?;
        let received = right.next().await.transpose()?.map(|message| message.id);
        ensure(received == Some(index), || format!("{received:?} on connection {index}"))?;
    }
    Ok(())
}

async fn wrong_key<T: Fn(NodeKey) -> Arc<dyn Transport>>(make: &Make<T>) -> Result<(), Seen> {
    let asked_for = key(0x33)?.public_key();
    let (near, far) = duplex(WINDOW);
    let connect = make.left()?.connect(Io::new(near, None, None), asked_for);
    let accept = make.right()?.accept(Io::new(far, None, None));
    match join(connect, accept).await.0 {
        // The server compares, and refuses it.
        Ok(connection) => ensure(connection.remote() == right()?.public_key(), || {
            "the remote is taken for whom it is not".to_owned()
        }),
        Err(_) => Ok(()),
    }
}

async fn closed_in_handshake<T: Fn(NodeKey) -> Arc<dyn Transport>>(
    make: &Make<T>,
) -> Result<(), Seen> {
    for direction in BOTH {
        let (near, mut far) = duplex(WINDOW);
        far.shutdown().await?;
        let secured = make.begin(direction, Io::new(near, None, None))?.await;
        ensure(secured.is_err(), || format!("{direction}: a connection"))?;
    }
    Ok(())
}

async fn silent_failure<T: Fn(NodeKey) -> Arc<dyn Transport>>(make: &Make<T>) -> Result<(), Seen> {
    let mut garbage = vec![0; 8 * 1024];
    Rng::from_seed([4; 32]).fill(&mut garbage);
    for direction in BOTH {
        let (near, far) = duplex(WINDOW);
        let handshake = make.begin(direction, Io::new(near, None, None))?;
        let handshake = async { handshake.await.is_err() };
        let remote = async {
            let (mut reader, mut writer) = tokio::io::split(far);
            let mut heard = vec![0; WINDOW];
            // One side speaks first.
            while let Some(more) = quiet(reader.read(&mut heard)).await {
                ensure(more? > 0, || "the stream is closed before a word".to_owned())?;
            }
            // An error says that it was closed in the middle of it.
            let _ = writer.write_all(&garbage).await;
            sleep(QUIET).await;
            let _ = writer.shutdown().await;
            heard.clear();
            let answer = reader.read_to_end(&mut heard).await?;
            ensure(answer == 0, || format!("an answer of {answer} bytes"))
        };
        let (failed, heard) = join(handshake, remote).await;
        ensure(failed, || format!("{direction}: a connection"))?;
        heard?;
    }
    Ok(())
}

async fn dropped_handshake<T: Fn(NodeKey) -> Arc<dyn Transport>>(
    make: &Make<T>,
) -> Result<(), Seen> {
    for direction in BOTH {
        let (near, mut far) = duplex(WINDOW);
        let mut handshake = make.begin(direction, Io::new(near, None, None))?;
        let polled = handshake.as_mut().now_or_never();
        ensure(polled.is_none(), || format!("{direction}: an end without the remote"))?;
        drop(handshake);
        far.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

async fn broken_off<T: Fn(NodeKey) -> Arc<dyn Transport>>(make: &Make<T>) -> Result<(), Seen> {
    let (near, far) = duplex(WINDOW);
    let readable = Arc::new(AtomicUsize::new(usize::MAX));
    let far = Cut { stream: far, readable: Arc::clone(&readable) };
    let (mut left, mut right) =
        secure(make, Io::new(near, None, None), Io::new(far, None, None)).await?;
    readable.store(100, Ordering::Relaxed);
    left.send(Message { id: 0x10, payload: vec![5; 1_000].into() }).await?;
    match right.next().await {
        Some(Err(_)) => {}
        Some(Ok(_)) => return seen("a message, out of a tenth of it"),
        None => return seen("the end, as if the remote had closed"),
    }
    let after = right.next().await;
    ensure(after.is_none(), || "more after the error".to_owned())
}

/// A stream that ends when so many more bytes were read.
struct Cut {
    stream: DuplexStream,
    readable: Arc<AtomicUsize>,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let readable = self.readable.load(Ordering::Relaxed);
        if readable == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut part = buf.take(readable);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let read = part.filled().to_vec();
        buf.put_slice(&read);
        // A handshake that reads meanwhile is not what is counted here.
        self.readable.store(readable.saturating_sub(read.len()), Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
