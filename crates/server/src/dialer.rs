//! Byte streams to and from addresses: the seam below the secure transport.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use devp2p_core::Node;
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, lookup_host},
    time::timeout,
};

/// Opens a byte stream to a node, and resolves host names on the way.
///
/// # Contract
/// - [`dial`](Dialer::dial) and [`resolve`](Dialer::resolve) end by themselves: they have their own
///   deadlines. Dropping the future closes what it opened.
/// - A node without an address it could use, or a name where it
///   [dials names](Dialer::dials_names), is [`io::ErrorKind::AddrNotAvailable`].
/// - A stream is one to the node, or there is none: where nobody listens is an error.
/// - Streams hold a bounded number of bytes for a reader who does not come. After a shutdown the
///   other end reads what was written before, then the end, and can still write; writing after the
///   own shutdown is an error. Dropping a stream ends it for the other end too.
///
/// The suite `contract::dialer` (feature `test-util`) checks this, and the contract of
/// [`Listener`].
pub trait Dialer: fmt::Debug + Send + Sync + 'static {
    /// Opens a stream to `node`.
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>>;

    /// The addresses behind a host name. A dialer that leaves names to a proxy may refuse.
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;

    /// Whether [`dial`](Dialer::dial) takes a node that has a name and no address, as a dialer does
    /// that leaves names to a proxy. Static nodes are not resolved before then. Default no.
    fn dials_names(&self) -> bool {
        false
    }
}

/// Takes in byte streams that others opened.
///
/// # Contract
/// - An error is not the end: the caller polls again, after a pause that grows. Only
///   [`io::ErrorKind::NotConnected`] says that the listener is gone for good.
/// - Whoever polls may give up at any time: no stream is lost by it, and each is given once.
/// - Dropping the listener frees its address, and closes the streams that it has not given.
pub trait Listener: Send + 'static {
    /// The next stream.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>>;

    /// The address that others dial, with the real port.
    ///
    /// # Errors
    /// When the operating system does not tell it.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// An open byte stream of any kind, and the addresses at its ends where it has some.
pub struct Io {
    stream: Pin<Box<dyn Stream>>,
    local_addr: Option<SocketAddr>,
    remote_addr: Option<SocketAddr>,
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

impl Io {
    /// Wraps a stream; the addresses are what checks by address and logs will see.
    pub fn new(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        local_addr: Option<SocketAddr>,
        remote_addr: Option<SocketAddr>,
    ) -> Self {
        Self { stream: Box::pin(stream), local_addr, remote_addr }
    }

    /// The address at this end.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The address at the other end.
    pub const fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }
}

impl From<TcpStream> for Io {
    /// Wraps a TCP stream and turns its Nagle delay off: frames are written in whole batches.
    fn from(stream: TcpStream) -> Self {
        // A stream that is already broken shows it at the first read; nothing is lost here.
        let _ = stream.set_nodelay(true);
        let (local, remote) = (stream.local_addr().ok(), stream.peer_addr().ok());
        Self::new(stream, local, remote)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("local_addr", &self.local_addr)
            .field("remote_addr", &self.remote_addr)
            .finish_non_exhaustive()
    }
}

/// How long one address may take to answer a dial (geth's `defaultDialTimeout`).
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a host name may take to resolve (geth's `dnsTimeout`).
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Dials over TCP: each address of the node in turn, the preferred one first, all of them within
/// one deadline that they share in equal parts.
#[derive(Clone, Copy, Debug)]
pub struct TcpDialer {
    timeout: Duration,
}

impl TcpDialer {
    /// A dialer that gives a node this long to answer.
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

impl Default for TcpDialer {
    /// With [`DIAL_TIMEOUT`].
    fn default() -> Self {
        Self::new(DIAL_TIMEOUT)
    }
}

impl Dialer for TcpDialer {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        let (addresses, deadline) = (node.tcp_addrs(), self.timeout);
        Box::pin(async move {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            // Each has an equal part of the time, so that one without an answer leaves some to
            // the next.
            let share = deadline / u32::try_from(addresses.len()).unwrap_or(1).max(1);
            for address in addresses {
                match timeout(share, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => return Ok(stream.into()),
                    Ok(Err(error)) => last = error,
                    Err(_) => last = io::ErrorKind::TimedOut.into(),
                }
            }
            Err(last)
        })
    }

    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        // The resolver wants a port; any will do.
        let host = (host.to_owned(), 0);
        Box::pin(async move {
            match timeout(RESOLVE_TIMEOUT, lookup_host(host)).await {
                Ok(found) => Ok(found?.map(|address| address.ip()).collect()),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }
}

impl Listener for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        Self::poll_accept(self, cx).map_ok(|(stream, _)| stream.into()).map_err(|error| {
            // EINVAL: the socket listens no more.
            if error.kind() == io::ErrorKind::InvalidInput {
                return io::Error::new(io::ErrorKind::NotConnected, error);
            }
            error
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}
