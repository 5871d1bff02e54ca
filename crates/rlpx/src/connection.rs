use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use devp2p_core::{ConnectionError, Message, PublicKey, Traffic};
use futures_core::Stream;
use futures_sink::Sink;
use pin_project::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

/// An RLPx connection over `Io`.
#[pin_project]
#[derive(Debug)]
pub struct Connection<Io> {
    #[pin]
    io: Io,
    remote: PublicKey,
    local_addr: Option<SocketAddr>,
    remote_addr: Option<SocketAddr>,
    traffic: Traffic,
}

impl<Io> Connection<Io> {
    /// Says which addresses the stream below has.
    #[must_use]
    pub fn with_addresses(mut self, local: Option<SocketAddr>, remote: Option<SocketAddr>) -> Self {
        self.local_addr = local;
        self.remote_addr = remote;
        self
    }
}

impl<Io: AsyncRead + AsyncWrite> Stream for Connection<Io> {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

impl<Io: AsyncRead + AsyncWrite> Sink<Message> for Connection<Io> {
    type Error = ConnectionError;

    fn poll_ready(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err(ConnectionError::Closed))
    }

    fn start_send(self: Pin<&mut Self>, _message: Message) -> Result<(), Self::Error> {
        Err(ConnectionError::Closed)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err(ConnectionError::Closed))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err(ConnectionError::Closed))
    }
}

impl<Io: AsyncRead + AsyncWrite + Send> devp2p_core::Connection for Connection<Io> {
    fn remote(&self) -> PublicKey {
        self.remote
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn established(self: Pin<&mut Self>, _snappy: bool) {}
}
