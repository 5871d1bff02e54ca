use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use devp2p_core::Transmit;

use crate::{
    DatagramService, Socket,
    clock::{now, wall_clock},
};

/// The size of the largest datagram of any discovery, and one byte more, so that a longer one is
/// seen to be.
const MAX_DATAGRAM: usize = 1_281;

/// How many datagrams are received before other tasks have their turn. Each may cost the recovery
/// of a signature, so this is a few milliseconds.
const DATAGRAMS_PER_TURN: usize = 32;

/// How often the wall clock is read again, at most: a system that slept, or whose clock was set, is
/// back after this. Packets are valid for 20 s, so a later reading would refuse good ones.
const WALL_CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// How many errors a socket may report at receiving, without a pause or a datagram between them,
/// before it counts as broken. Errors that networks cause come one at a time.
const MAX_RECEIVE_ERRORS: u32 = 128;

/// A socket and the discoveries on it: a future that is their life.
///
/// It does all its work where it is polled, and must be polled on a tokio runtime with IO and time.
/// It ends when all its services are over. What a network says through the socket (a port is
/// unreachable, a datagram too large) is told to the services, to be counted, and ends nothing.
///
/// # Errors
/// What the system says of a socket that receives nothing but errors.
///
/// # Cancel safety
/// Dropping it closes the socket and ends the services.
#[must_use = "a future does nothing unless it is polled"]
pub struct Udp {
    socket: Socket,
    /// Few: one for each version of the protocol.
    services: Vec<Box<dyn DatagramService>>,
    /// What the socket would not take yet, and whose it is.
    unsent: Option<(usize, Transmit)>,
    buffer: Box<[u8; MAX_DATAGRAM]>,
    receive_errors: u32,
    wall_clock_read: Instant,
}

impl Udp {
    /// A socket without services.
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            services: Vec::new(),
            unsent: None,
            buffer: Box::new([0; MAX_DATAGRAM]),
            receive_errors: 0,
            wall_clock_read: now(),
        }
    }

    /// Adds a service, which is offered the datagrams that those before it do not claim.
    pub fn serve(mut self, service: impl DatagramService) -> Self {
        self.add(service);
        self
    }

    /// The same as [`serve`](Self::serve).
    pub fn add(&mut self, service: impl DatagramService) {
        self.services.push(Box::new(service));
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Ready when all that the services have to send is sent; pending while the socket takes none.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut index = 0;
        loop {
            if let Some((of, transmit)) = &self.unsent {
                let of = *of;
                let sent = ready!(self.socket.poll_send(cx, &transmit.bytes, transmit.to));
                self.unsent = None;
                if let (Err(_), Some(service)) = (sent, self.services.get_mut(of)) {
                    service.handle_send_error();
                }
            }
            let Some(service) = self.services.get_mut(index) else { return Poll::Ready(()) };
            match service.poll_transmit(cx) {
                Poll::Ready(Some(transmit)) => self.unsent = Some((index, transmit)),
                Poll::Ready(None) => drop(self.services.remove(index)),
                Poll::Pending => index = index.saturating_add(1),
            }
        }
    }

    /// Receives one datagram.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(result) = self.socket.poll_receive(cx, self.buffer.as_mut_slice()) else {
            self.receive_errors = 0;
            return Poll::Pending;
        };
        match result {
            Ok((size, from)) => {
                self.receive_errors = 0;
                let datagram = self.buffer.get(..size).unwrap_or_default();
                let service = self.services.iter_mut().find(|service| service.claims(datagram));
                if let Some(service) = service {
                    service.handle_datagram(now(), from, datagram);
                }
            }
            Err(error) => {
                self.services.iter_mut().for_each(|service| service.handle_receive_error());
                self.receive_errors = self.receive_errors.saturating_add(1);
                if self.receive_errors >= MAX_RECEIVE_ERRORS {
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn read_wall_clock(&mut self) {
        let now = now();
        if now.saturating_duration_since(self.wall_clock_read) >= WALL_CLOCK_INTERVAL {
            self.wall_clock_read = now;
            let wall_clock = wall_clock(now);
            self.services.iter_mut().for_each(|service| service.handle_wall_clock(wall_clock));
        }
    }
}

impl Future for Udp {
    type Output = io::Result<()>;

    /// In this order, again and again until nothing moves: what the services have to send is sent,
    /// then one datagram is received. So what the network sends never keeps us from our own work,
    /// and every answer is out before the next question is read. While the system takes nothing to
    /// send, nothing is received either: it throws away what is too much, and we need not keep it.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.read_wall_clock();
        for _ in 0..DATAGRAMS_PER_TURN {
            ready!(self.poll_send(cx));
            if self.services.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp")
            .field("socket", &self.socket)
            .field("services", &self.services.len())
            .finish_non_exhaustive()
    }
}
