//! A network in memory: streams between servers of one process, without sockets.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::Node;
use futures::future::BoxFuture;
use tokio::{
    io::duplex,
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    time::sleep,
};

use crate::{Dialer, Io, Listener};

/// How many streams wait to be accepted, as in a TCP backlog.
const BACKLOG: usize = 128;

/// How many bytes a stream holds in each direction.
const WINDOW: usize = 64 * 1024;

/// The first port that dials come from, as on Linux.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// A network in memory with addresses, listeners and dialers, for tests on paused time.
#[derive(Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    listeners: BTreeMap<SocketAddr, Sender<Io>>,
    latency: Duration,
    dials: u64,
}

impl MemoryNetwork {
    /// A network on which opening a stream takes `latency`.
    pub fn new(latency: Duration) -> Self {
        Self(Arc::new(Mutex::new(State { latency, ..State::default() })))
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] where somebody does already.
    pub fn listen(&self, address: SocketAddr) -> io::Result<MemoryListener> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.listeners.get(&address).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, incoming) = channel(BACKLOG);
        state.listeners.insert(address, sender);
        Ok(MemoryListener { address, incoming })
    }

    /// A dialer whose streams come from this address.
    pub fn dialer(&self, ip: IpAddr) -> MemoryDialer {
        MemoryDialer { network: self.clone(), ip }
    }

    fn open(&self, from: IpAddr, to: SocketAddr) -> io::Result<Io> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.dials = state.dials.wrapping_add(1);
        let ports = u64::from(u16::MAX - FIRST_EPHEMERAL_PORT);
        let port = u16::try_from(state.dials % ports).unwrap_or(0);
        let from = SocketAddr::new(from, FIRST_EPHEMERAL_PORT.saturating_add(port));
        let (near, far) = duplex(WINDOW);
        let listener = state.listeners.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
        match listener.try_send(Io::new(far, Some(to), Some(from))) {
            Ok(()) => Ok(Io::new(near, Some(from), Some(to))),
            Err(TrySendError::Closed(_)) => Err(io::ErrorKind::ConnectionRefused.into()),
            Err(TrySendError::Full(_)) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNetwork").finish_non_exhaustive()
    }
}

/// A [`Dialer`] on a [`MemoryNetwork`].
#[derive(Clone, Debug)]
pub struct MemoryDialer {
    network: MemoryNetwork,
    ip: IpAddr,
}

impl Dialer for MemoryDialer {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        let (network, ip, to) = (self.network.clone(), self.ip, node.tcp_addr());
        Box::pin(async move {
            let to = to.ok_or(io::ErrorKind::AddrNotAvailable)?;
            let latency = network.0.lock().unwrap_or_else(PoisonError::into_inner).latency;
            sleep(latency).await;
            network.open(ip, to)
        })
    }

    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

/// A [`Listener`] on a [`MemoryNetwork`].
#[derive(Debug)]
pub struct MemoryListener {
    address: SocketAddr,
    incoming: Receiver<Io>,
}

impl Listener for MemoryListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        let next = ready!(self.incoming.poll_recv(cx));
        Poll::Ready(next.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
