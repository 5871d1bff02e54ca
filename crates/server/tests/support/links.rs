//! A network in memory whose links take their time: each stream draws a latency for each of its
//! directions, and each piece of data on it a jitter, all from one seed.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use devp2p_core::{Node, Rng};
use devp2p_server::{Dialer, Io, Listener};
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::now;

/// How many bytes one direction of a stream holds.
const WINDOW: usize = 64 * 1024;

/// How many streams wait to be accepted.
const BACKLOG: usize = 256;

/// How long data is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    /// Drawn once for each direction of each stream.
    pub(crate) base: RangeInclusive<Duration>,
    /// Drawn for each piece of data, and added. The order stays.
    pub(crate) jitter: RangeInclusive<Duration>,
}

impl Latency {
    pub(crate) const NONE: Self =
        Self { base: Duration::ZERO..=Duration::ZERO, jitter: Duration::ZERO..=Duration::ZERO };

    /// The same both ways, without jitter.
    pub(crate) const fn fixed(one_way: Duration) -> Self {
        Self { base: one_way..=one_way, jitter: Duration::ZERO..=Duration::ZERO }
    }
}

fn draw(rng: &Mutex<Rng>, range: &RangeInclusive<Duration>) -> Duration {
    let span = range.end().saturating_sub(*range.start()).as_micros();
    let steps = u64::try_from(span).unwrap_or(u64::MAX).saturating_add(1);
    *range.start() + Duration::from_micros(rng.lock().unwrap().below(steps))
}

/// The network.
#[derive(Clone, Debug)]
pub(crate) struct Links(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    latency: Latency,
    rng: Mutex<Rng>,
    listeners: Mutex<BTreeMap<SocketAddr, Sender<Io>>>,
    ports: Mutex<u16>,
}

impl Links {
    pub(crate) fn new(latency: Latency, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self(Arc::new(Shared {
            latency,
            rng: Mutex::new(Rng::from_seed(bytes)),
            listeners: Mutex::default(),
            ports: Mutex::new(32_768),
        }))
    }

    /// Without latency.
    pub(crate) fn immediate() -> Self {
        Self::new(Latency::NONE, 0)
    }

    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<LinkListener> {
        let mut listeners = self.0.listeners.lock().unwrap();
        if listeners.get(&address).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, incoming) = channel(BACKLOG);
        listeners.insert(address, sender);
        Ok(LinkListener { address, incoming })
    }

    /// What dials from this address.
    pub(crate) fn dialer(&self, ip: IpAddr) -> LinkDialer {
        LinkDialer { links: self.clone(), ip }
    }

    /// Two ends of a stream between these addresses.
    pub(crate) fn pair(&self, left: SocketAddr, right: SocketAddr) -> (Io, Io) {
        let direction = || {
            let base = draw(&self.0.rng, &self.0.latency.base);
            Arc::new(Direction { shared: Arc::clone(&self.0), base, state: Mutex::default() })
        };
        let (there, back) = (direction(), direction());
        (
            Io::new(End::new(&back, &there), Some(left), Some(right)),
            Io::new(End::new(&there, &back), Some(right), Some(left)),
        )
    }

    fn next_address(&self, ip: IpAddr) -> SocketAddr {
        let mut port = self.0.ports.lock().unwrap();
        *port = port.checked_add(1).unwrap_or(32_768);
        SocketAddr::new(ip, *port)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct LinkDialer {
    links: Links,
    ip: IpAddr,
}

impl Dialer for LinkDialer {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        let (links, ip, to) = (self.links.clone(), self.ip, node.tcp_addr());
        Box::pin(async move {
            let to = to.ok_or(io::ErrorKind::AddrNotAvailable)?;
            let from = links.next_address(ip);
            let way = || draw(&links.0.rng, &links.0.latency.base);
            let (there, back) = (way(), way());
            sleep(there).await;
            let listener = links.0.listeners.lock().unwrap().get(&to).cloned();
            let (near, far) = links.pair(from, to);
            let accepted = match listener {
                Some(listener) => listener.try_send(far).is_ok(),
                None => false,
            };
            sleep(back).await;
            if accepted { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        })
    }

    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

#[derive(Debug)]
pub(crate) struct LinkListener {
    address: SocketAddr,
    incoming: Receiver<Io>,
}

impl Listener for LinkListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io>> {
        let next = ready!(self.incoming.poll_recv(cx));
        Poll::Ready(next.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// One direction of a stream.
struct Direction {
    shared: Arc<Shared>,
    base: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each piece arrives. One without bytes is the end.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    last_arrival: Option<Instant>,
    writer_done: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn send(&self, piece: Vec<u8>) {
        let jitter = draw(&self.shared.rng, &self.shared.latency.jitter);
        let mut state = self.state();
        let arrival = (now() + self.base + jitter).max(state.last_arrival.unwrap_or_else(now));
        state.last_arrival = Some(arrival);
        state.held += piece.len();
        state.pieces.push_back((arrival, piece));
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn finish(&self) {
        if !std::mem::replace(&mut self.state().writer_done, true) {
            self.send(Vec::new());
        }
    }
}

/// One end of a stream.
struct End {
    incoming: Arc<Direction>,
    outgoing: Arc<Direction>,
    arrival: Option<Pin<Box<Sleep>>>,
}

impl End {
    fn new(incoming: &Arc<Direction>, outgoing: &Arc<Direction>) -> Self {
        Self { incoming: Arc::clone(incoming), outgoing: Arc::clone(outgoing), arrival: None }
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(arrival) = &mut self.arrival {
                ready!(arrival.as_mut().poll(cx));
                self.arrival = None;
            }
            let mut state = self.incoming.state();
            let Some((at, piece)) = state.pieces.front_mut() else {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            if *at > now() {
                let at = *at;
                drop(state);
                self.arrival = Some(Box::pin(sleep_until(at)));
                continue;
            }
            if piece.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let taken = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..taken]);
            piece.drain(..taken);
            if piece.is_empty() {
                state.pieces.pop_front();
            }
            state.held -= taken;
            if let Some(writer) = state.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.state();
        if state.reader_gone || state.writer_done {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(state.held);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        let taken = &data[..data.len().min(room)];
        if !taken.is_empty() {
            self.outgoing.send(taken.to_vec());
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outgoing.finish();
        let mut state = self.incoming.state();
        state.reader_gone = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}
