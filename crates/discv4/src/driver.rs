use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use devp2p_core::NodeKey;

use crate::{
    Service, Socket, Transmit, clock,
    wire::{MAX_PACKET_SIZE, Signer},
};

/// How many datagrams are received before other tasks have their turn. Each may cost the recovery
/// of a signature, so this is a few milliseconds.
const DATAGRAMS_PER_TURN: usize = 32;

/// How often the wall clock is read again. Packets are valid for 20 s; a system that slept, or whose
/// clock was set, is back after this.
const WALL_CLOCK_INTERVAL: Duration = Duration::from_secs(60);

/// How many errors a socket may report at receiving, without a pause or a datagram between them,
/// before it counts as broken. Errors that networks cause come one at a time.
const MAX_RECEIVE_ERRORS: u32 = 128;

/// A [`Service`] and its socket: a future that is the life of the discovery.
///
/// It does all its work where it is polled, and must be polled on a tokio runtime with IO and time.
/// It ends when the service does. What a network says through the socket (a port is unreachable, a
/// datagram too large) is counted in
/// [`ServiceStatistics`](crate::ServiceStatistics) and ends nothing.
///
/// # Errors
/// What the system says of a socket that receives nothing but errors.
///
/// # Cancel safety
/// Dropping it closes the socket and ends the service.
pub struct Driver<S: Signer = NodeKey> {
    service: Service<S>,
    socket: Socket,
    /// What the socket would not take yet.
    unsent: Option<Transmit>,
    /// One byte longer than any packet, so that a datagram that is too long is seen to be.
    buffer: Box<[u8; MAX_PACKET_SIZE + 1]>,
    receive_errors: u32,
    wall_clock_read: Instant,
}

impl<S: Signer> Driver<S> {
    /// Has a service live on a socket.
    pub fn new(service: Service<S>, socket: Socket) -> Self {
        Self {
            service,
            socket,
            unsent: None,
            buffer: Box::new([0; MAX_PACKET_SIZE + 1]),
            receive_errors: 0,
            wall_clock_read: clock::now(),
        }
    }

    /// Ready when the service is over, pending when all is sent and done.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Flushed> {
        loop {
            let Some(transmit) = &self.unsent else {
                match self.service.poll_transmit(cx) {
                    Poll::Pending => return Poll::Ready(Flushed::Idle),
                    Poll::Ready(None) => return Poll::Ready(Flushed::Over),
                    Poll::Ready(transmit) => self.unsent = transmit,
                }
                continue;
            };
            if ready!(self.socket.poll_send(cx, &transmit.bytes, transmit.to)).is_err() {
                self.service.handle_send_error();
            }
            self.unsent = None;
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
                let bytes = self.buffer.get(..size).unwrap_or_default();
                self.service.handle_datagram(clock::now(), from, bytes);
            }
            Err(error) => {
                self.service.handle_receive_error();
                self.receive_errors = self.receive_errors.saturating_add(1);
                if self.receive_errors >= MAX_RECEIVE_ERRORS {
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn read_wall_clock(&mut self) {
        let now = clock::now();
        if now.saturating_duration_since(self.wall_clock_read) >= WALL_CLOCK_INTERVAL {
            self.wall_clock_read = now;
            self.service.handle_wall_clock(clock::wall_clock(now));
        }
    }
}

/// What there is to do after sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    /// Nothing but to receive.
    Idle,
    /// The service is over.
    Over,
}

impl<S: Signer> Future for Driver<S> {
    type Output = io::Result<()>;

    /// In this order, again and again until nothing moves: what is sealed is sent, commands are
    /// taken, the timer is fired, and one datagram is received. So what the network sends never
    /// keeps us from our own work, and every answer is out before the next question is read. While
    /// the system takes nothing to send, nothing is received either: it throws away what is too
    /// much, and we need not keep it.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.read_wall_clock();
        for _ in 0..DATAGRAMS_PER_TURN {
            if ready!(self.poll_send(cx)) == Flushed::Over {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nothing in it is pinned.
impl<S: Signer> Unpin for Driver<S> {}

impl<S: Signer> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("service", &self.service)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
