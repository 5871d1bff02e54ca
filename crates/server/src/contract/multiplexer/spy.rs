use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use devp2p_core::{BoxConnection, Connection, ConnectionError, Message, PublicKey, Traffic};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _, task::AtomicWaker};

/// What is seen of a connection, and can be done to it.
#[derive(Default)]
pub(super) struct Spy {
    pub(super) established: AtomicUsize,
    pub(super) dropped: AtomicBool,
    pub(super) failing: AtomicBool,
    pub(super) reader: AtomicWaker,
}

impl Spy {
    /// From here on the connection is broken.
    pub(super) fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
        self.reader.wake();
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    pub(super) fn check(&self) -> Result<(), ConnectionError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(ConnectionError::Io(std::io::ErrorKind::ConnectionReset.into()));
        }
        Ok(())
    }
}

/// A connection with a spy in it.
pub(super) struct Spied {
    pub(super) connection: BoxConnection,
    pub(super) spy: Arc<Spy>,
}

impl Drop for Spied {
    fn drop(&mut self) {
        self.spy.dropped.store(true, Ordering::SeqCst);
    }
}

impl Stream for Spied {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.spy.reader.register(cx.waker());
        match self.spy.check() {
            Ok(()) => self.connection.poll_next_unpin(cx),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl Sink<Message> for Spied {
    type Error = ConnectionError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.spy.check()?;
        self.connection.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ConnectionError> {
        self.spy.check()?;
        self.connection.start_send_unpin(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.spy.check()?;
        self.connection.poll_flush_unpin(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.spy.check()?;
        self.connection.poll_close_unpin(cx)
    }
}

impl Connection for Spied {
    fn remote(&self) -> PublicKey {
        self.connection.remote()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.connection.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.connection.remote_addr()
    }

    fn traffic(&self) -> Traffic {
        self.connection.traffic()
    }

    fn established(mut self: Pin<&mut Self>, snappy: bool) {
        self.spy.established.fetch_add(1, Ordering::SeqCst);
        self.connection.as_mut().established(snappy);
    }
}
