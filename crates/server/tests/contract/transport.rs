use std::{
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use devp2p_core::{BoxConnection, ConnectionError, Message, NodeKey, PublicKey};
use devp2p_server::{Io, Transport, TransportError, contract::transport};
use futures::{StreamExt as _, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::connection::{Flaw as ConnectionFlaw, Flawed};
use crate::support::plain::PlainTransport;

#[cfg(feature = "rlpx")]
#[tokio::test(start_paused = true)]
async fn rlpx() {
    let report = transport::check(|key| {
        Arc::new(devp2p_server::RlpxTransport::new(key, devp2p_rlpx::Config::default()))
    });
    report.await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn foreign() {
    transport::check(|key| Arc::new(PlainTransport::new(key))).await.assert_kept();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Takes the remote for whoever was asked for.
    Gullible,
    /// Tells the remote that it failed.
    Talkative,
    /// Goes on when it is dropped.
    Stubborn,
    /// Forgets the addresses.
    Forgetful,
    /// Takes a stream that breaks off for one that ends.
    Naive,
    /// Loses what it has read of a message when it is not all there.
    Hasty,
    /// Gives connections with a flaw.
    Connection(ConnectionFlaw),
}

struct Broken {
    inner: PlainTransport,
    flaw: Flaw,
}

type Secured = Result<BoxConnection, TransportError>;

impl Broken {
    /// Either direction, flawed.
    fn secure(
        &self,
        io: Io,
        secure: impl FnOnce(&PlainTransport, Io) -> BoxFuture<'static, Secured>,
    ) -> BoxFuture<'static, Secured> {
        let addresses = (io.local_addr(), io.remote_addr());
        let io = SharedIo(Arc::new(Mutex::new(io)));
        let (local, remote) = if self.flaw == Flaw::Forgetful { (None, None) } else { addresses };
        let secured = secure(&self.inner, Io::new(io.clone(), local, remote));
        let flaw = self.flaw;
        if flaw == Flaw::Stubborn {
            let secured = tokio::spawn(secured);
            return Box::pin(async move { secured.await.unwrap() });
        }
        Box::pin(async move {
            let mut io = io;
            match (secured.await, flaw) {
                (Ok(inner), Flaw::Connection(flaw)) => Ok(Flawed::boxed(inner, flaw)),
                (Ok(inner), Flaw::Naive) => Ok(Flawed::reading(inner, naive)),
                (Ok(inner), Flaw::Hasty) => Ok(Flawed::reading(inner, move |_, cx| {
                    pin!(hasty(io.clone())).poll(cx).map(Some)
                })),
                (Err(error), Flaw::Talkative) => {
                    io.write_all(b"go away").await.map_err(TransportError::Io)?;
                    Err(error)
                }
                (secured, _) => secured,
            }
        })
    }
}

impl Transport for Broken {
    fn connect(&self, io: Io, remote: PublicKey) -> BoxFuture<'static, Secured> {
        if self.flaw == Flaw::Gullible {
            let secured = self.inner.connect(io, remote);
            let flaw = ConnectionFlaw::OtherKey(remote);
            return Box::pin(async move { Ok(Flawed::boxed(secured.await?, flaw)) });
        }
        self.secure(io, |inner, io| inner.connect(io, remote))
    }

    fn accept(&self, io: Io) -> BoxFuture<'static, Secured> {
        self.secure(io, PlainTransport::accept)
    }
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::Gullible, &["the wrong key"][..]),
        (Flaw::Talkative, &["silent failure"]),
        (Flaw::Stubborn, &["a dropped handshake closes"]),
        (Flaw::Forgetful, &["addresses"]),
        (Flaw::Naive, &["broken off in a frame"]),
        (Flaw::Connection(ConnectionFlaw::Uncounted), &["traffic"]),
    ] {
        let report = transport::check(broken(flaw)).await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
    // It has no idea of ends and limits either.
    let report = transport::check(broken(Flaw::Hasty)).await;
    assert!(report.violated().contains(&"cancellation"), "{report}");
}

fn broken(flaw: Flaw) -> impl Fn(NodeKey) -> Arc<dyn Transport> {
    move |key| Arc::new(Broken { inner: PlainTransport::new(key), flaw })
}

/// A stream with two holders.
#[derive(Clone)]
struct SharedIo(Arc<Mutex<Io>>);

impl AsyncRead for SharedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_read(cx, buf)
    }
}

impl AsyncWrite for SharedIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_shutdown(cx)
    }
}

/// Takes an error of the stream for its end.
fn naive(
    inner: &mut BoxConnection,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Message, ConnectionError>>> {
    let next = ready!(inner.poll_next_unpin(cx));
    Poll::Ready(next.filter(|next| !matches!(next, Err(ConnectionError::Io(_)))))
}

/// Reads a message of the plain transport; what it has read of it is in this future, and is lost
/// with it.
async fn hasty(mut io: SharedIo) -> Result<Message, ConnectionError> {
    let size = io.read_u32().await?;
    let id = io.read_u64().await?;
    let mut payload = vec![0; usize::try_from(size).unwrap()];
    io.read_exact(&mut payload).await?;
    Ok(Message { id, payload: payload.into() })
}
