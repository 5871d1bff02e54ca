use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Host, Node, NodeKey};
use devp2p_server::{
    Dialer, Io, Listener, MemoryDialer, MemoryNetwork, TcpDialer,
    contract::dialer::{self, Network},
};
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::links::{Latency, Links};

/// Real sockets.
pub(super) struct Tcp {
    silent: SocketAddr,
    _queue: (TcpListener, Vec<TcpStream>),
}

impl Tcp {
    pub(super) const PATIENCE: Duration = Duration::from_millis(300);

    /// Full listeners answer nobody: the first address that does not is the silent one.
    pub(super) async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let silent = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = timeout(Self::PATIENCE, TcpStream::connect(silent)).await {
            queue.push(stream.unwrap());
        }
        Self { silent, _queue: (listener, queue) }
    }
}

impl Network for Tcp {
    fn listen(
        &self,
        address: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let address = address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
            Ok(Box::new(TcpListener::bind(address).await?) as Box<dyn Listener>)
        })
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        Box::new(TcpDialer::new(Self::PATIENCE))
    }

    fn silent_node(&self) -> Option<Node> {
        let host = Host::Ip(self.silent.ip());
        let key = NodeKey::from_bytes(&[9; 32]).unwrap();
        Some(Node::new(key.public_key(), Some(host), self.silent.port(), 0))
    }
}

#[tokio::test]
async fn tcp() {
    let report = dialer::check(&Tcp::new().await).await;
    assert!(report.checked().contains(&"no answer"));
    report.assert_kept();
}

const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// The network in memory, and what is to be broken about it.
#[derive(Default)]
struct Memory {
    network: MemoryNetwork,
    ports: AtomicU16,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flaw {
    #[default]
    None,
    /// A dial goes on when it is dropped, and keeps what it opens.
    Leak,
    /// A dial succeeds although nobody listens.
    Optimism,
    /// Every other stream is lost between two polls.
    Forgetful,
    /// A listener keeps its address after its end.
    Squatter,
    /// A shutdown is not passed on.
    Endless,
    /// Bytes are taken without limit.
    Boundless,
    /// Whoever dials is told the wrong address.
    Masked,
}

impl Memory {
    fn with(flaw: Flaw) -> Self {
        Self { flaw, ..Self::default() }
    }
}

impl Network for Memory {
    fn listen(
        &self,
        address: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let port = 1 + self.ports.fetch_add(1, Ordering::Relaxed);
        let address = address.unwrap_or_else(|| SocketAddr::new(SOMEBODY, port));
        let (inner, flaw) = (self.network.listen(address), self.flaw);
        let listener = inner.map(|inner| match flaw {
            Flaw::None => Box::new(inner) as Box<dyn Listener>,
            Flaw::Squatter => {
                // Streams to it wait for ever.
                let inner = Arc::new(Mutex::new(inner));
                std::mem::forget(Arc::clone(&inner));
                Box::new(Shared(inner))
            }
            _ => Box::new(FlawedListener { inner, flaw, count: 0 }),
        });
        Box::pin(std::future::ready(listener))
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        let inner = self.network.dialer(SOMEBODY);
        match self.flaw {
            Flaw::None => Box::new(inner),
            flaw => Box::new(FlawedDialer { inner, flaw }),
        }
    }
}

#[derive(Debug)]
struct FlawedDialer {
    inner: MemoryDialer,
    flaw: Flaw,
}

impl Dialer for FlawedDialer {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        let (dial, flaw) = (self.inner.dial(node), self.flaw);
        Box::pin(async move {
            if flaw == Flaw::Leak {
                let dial = tokio::spawn(async move {
                    let io = dial.await?;
                    // The memory of a test is short.
                    Ok::<_, io::Error>(Box::leak(Box::new(io)))
                });
                let io = dial.await.unwrap()?;
                let (local, remote) = (io.local_addr(), io.remote_addr());
                return Ok(Io::new(io, local, remote));
            }
            match dial.await {
                Err(error) if flaw == Flaw::Optimism => {
                    let (near, far) = tokio::io::duplex(64);
                    std::mem::forget(far);
                    let _ = error;
                    Ok(Io::new(near, None, None))
                }
                Err(error) => Err(error),
                Ok(io) => Ok(flawed(io, flaw)),
            }
        })
    }

    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.inner.resolve(host)
    }
}

struct FlawedListener<L> {
    inner: L,
    flaw: Flaw,
    count: usize,
}

impl<L: Listener> Listener for FlawedListener<L> {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        let io = ready!(self.inner.poll_accept(cx))?;
        self.count += 1;
        if self.flaw == Flaw::Forgetful && self.count.is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(flawed(io, self.flaw)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

struct Shared<L>(Arc<Mutex<L>>);

impl<L: Listener> Listener for Shared<L> {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        self.0.lock().unwrap().poll_accept(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.lock().unwrap().local_addr()
    }
}

fn flawed(io: Io, flaw: Flaw) -> Io {
    let (local, remote) = (io.local_addr(), io.remote_addr());
    let stream = FlawedStream { io, flaw, held: Vec::new() };
    let masked = SocketAddr::new(SOMEBODY, 1);
    Io::new(stream, local, if flaw == Flaw::Masked { Some(masked) } else { remote })
}

struct FlawedStream {
    io: Io,
    flaw: Flaw,
    /// What a boundless stream has taken.
    held: Vec<u8>,
}

impl FlawedStream {
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            self.held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for FlawedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for FlawedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.flaw == Flaw::Boundless {
            self.held.extend_from_slice(buf);
            if let Poll::Ready(Err(error)) = self.poll_held(cx) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        if self.flaw == Flaw::Endless {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn memory() {
    dialer::check(&Memory::default()).await.assert_kept();
    let network = MemoryNetwork::new(Duration::from_millis(40));
    dialer::check(&Memory { network, ..Memory::default() }).await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::Leak, &["a dropped dial closes"][..]),
        (Flaw::Optimism, &["no address", "nobody listens"]),
        (Flaw::Forgetful, &["a dropped dial closes", "accept loses nothing"]),
        (Flaw::Squatter, &["nobody listens", "a dropped listener"]),
        (Flaw::Endless, &["back-pressure", "end of stream", "error after close"]),
        (Flaw::Boundless, &["back-pressure"]),
        (Flaw::Masked, &["a dialed stream is accepted"]),
    ] {
        let report = dialer::check(&Memory::with(flaw)).await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
}

/// The network of the other tests.
struct WithLatency {
    links: Links,
    ports: AtomicU16,
}

impl Network for WithLatency {
    fn listen(
        &self,
        address: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let port = 1 + self.ports.fetch_add(1, Ordering::Relaxed);
        let listener =
            self.links.listen(address.unwrap_or_else(|| SocketAddr::new(SOMEBODY, port)));
        let listener = listener.map(|listener| Box::new(listener) as Box<dyn Listener>);
        Box::pin(std::future::ready(listener))
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        Box::new(self.links.dialer(SOMEBODY))
    }
}

#[tokio::test(start_paused = true)]
async fn foreign() {
    let ms = Duration::from_millis;
    for latency in [Latency::NONE, Latency { base: ms(5)..=ms(50), jitter: ms(0)..=ms(5) }] {
        let network = WithLatency { links: Links::new(latency, 7), ports: AtomicU16::default() };
        dialer::check(&network).await.assert_kept();
    }
}
