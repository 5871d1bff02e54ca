use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use devp2p_udp::{Socket, Udp};

use crate::{Service, crypto::Identity};

/// A [`Service`] and its socket: a future that is the life of the discovery, a [`Udp`] with nothing
/// else on it.
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
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Driver(Udp);

impl Driver {
    /// Has a service live on a socket.
    pub fn new<I: Identity + Send + 'static>(service: Service<I>, socket: Socket) -> Self {
        Self(Udp::new(socket).serve(service.alone()))
    }
}

impl Future for Driver {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll(cx)
    }
}
