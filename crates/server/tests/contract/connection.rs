use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use devp2p_core::{BoxConnection, Connection, ConnectionError, Message, PublicKey, Traffic};
use devp2p_peer::pipe;
use devp2p_server::contract::connection::{self, Ends};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};

use crate::support::key;

#[tokio::test(start_paused = true)]
async fn a_pipe() {
    let report = connection::check(|ends: Ends| async move {
        Ok(pipe(ends.left.public_key(), ends.right.public_key()))
    });
    report.await.assert_kept();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It takes everybody for the holder of this key.
    OtherKey(PublicKey),
    /// The second message comes before the first.
    Disorder,
    /// What was large is cut.
    Short,
    /// There is no limit before `established`.
    Lax,
    /// After a time without room one message is lost.
    Lossy,
    /// Messages are taken without limit.
    Boundless,
    /// Nothing is read while something waits to be written.
    OneThingAtATime,
    /// A close is not passed on.
    Endless,
    /// Nothing is read after the own close.
    DeafAfterClose,
    /// Messages are taken and dropped after the close.
    Careless,
    /// The traffic is not counted.
    Uncounted,
    /// The limit of 2 KiB stays.
    Limited,
    /// Messages are read otherwise.
    Reading,
}

type Read = dyn FnMut(&mut BoxConnection, &mut Context<'_>) -> Poll<Next> + Send;
type Next = Option<Result<Message, ConnectionError>>;

/// A connection with a flaw.
pub(crate) struct Flawed {
    inner: BoxConnection,
    flaw: Flaw,
    read: Option<Box<Read>>,
    /// What was taken and not passed on.
    held: VecDeque<Message>,
    /// The message that another one was given before.
    first: Option<Message>,
    /// There was no room a moment ago.
    full: bool,
    closed: bool,
}

impl Flawed {
    pub(crate) fn boxed(inner: BoxConnection, flaw: Flaw) -> BoxConnection {
        Box::pin(Self::new(inner, flaw, None))
    }

    /// A connection whose messages are read with `read`.
    pub(crate) fn reading(
        inner: BoxConnection,
        read: impl FnMut(&mut BoxConnection, &mut Context<'_>) -> Poll<Next> + Send + 'static,
    ) -> BoxConnection {
        Box::pin(Self::new(inner, Flaw::Reading, Some(Box::new(read))))
    }

    fn new(inner: BoxConnection, flaw: Flaw, read: Option<Box<Read>>) -> Self {
        let held = VecDeque::new();
        Self { inner, flaw, read, held, first: None, full: false, closed: false }
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        while !self.held.is_empty() {
            ready!(self.inner.poll_ready_unpin(cx))?;
            if let Some(message) = self.held.pop_front() {
                self.inner.start_send_unpin(message)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for Flawed {
    type Item = Result<Message, ConnectionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.flaw {
            Flaw::DeafAfterClose if self.closed => return Poll::Ready(None),
            Flaw::OneThingAtATime => ready!(self.poll_held(cx)).unwrap_or_default(),
            _ => {}
        }
        let this = &mut *self;
        if let Some(read) = &mut this.read {
            return read(&mut this.inner, cx);
        }
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let next = ready!(this.inner.poll_next_unpin(cx));
        Poll::Ready(match next {
            Some(Ok(first)) if this.flaw == Flaw::Disorder => {
                // The message after it, where there is one by now.
                match this.inner.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(second))) => {
                        this.first = Some(first);
                        Some(Ok(second))
                    }
                    _ => Some(Ok(first)),
                }
            }
            Some(Ok(mut message)) if this.flaw == Flaw::Short => {
                message.payload.truncate(1_000_000);
                Some(Ok(message))
            }
            other => other,
        })
    }
}

impl Sink<Message> for Flawed {
    type Error = ConnectionError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        match self.flaw {
            Flaw::Careless if self.closed => Poll::Ready(Ok(())),
            Flaw::Boundless => {
                let _ = self.poll_held(cx)?;
                Poll::Ready(Ok(()))
            }
            Flaw::Lossy => {
                let ready = self.inner.poll_ready_unpin(cx);
                self.full |= ready.is_pending();
                ready
            }
            Flaw::OneThingAtATime => self.poll_held(cx),
            _ => self.inner.poll_ready_unpin(cx),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ConnectionError> {
        let flaw = self.flaw;
        match flaw {
            Flaw::Careless if self.closed => Ok(()),
            Flaw::Lossy if std::mem::take(&mut self.full) => Ok(()),
            Flaw::Boundless | Flaw::OneThingAtATime => {
                self.held.push_back(message);
                Ok(())
            }
            _ => self.inner.start_send_unpin(message),
        }
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        if self.flaw == Flaw::Careless && self.closed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_held(cx))?;
        self.inner.poll_flush_unpin(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        ready!(self.poll_held(cx))?;
        self.closed = true;
        if self.flaw == Flaw::Endless {
            return self.inner.poll_flush_unpin(cx);
        }
        self.inner.poll_close_unpin(cx)
    }
}

impl Connection for Flawed {
    fn remote(&self) -> PublicKey {
        match self.flaw {
            Flaw::OtherKey(key) => key,
            _ => self.inner.remote(),
        }
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.inner.remote_addr()
    }

    fn traffic(&self) -> Traffic {
        if self.flaw == Flaw::Uncounted { Traffic::default() } else { self.inner.traffic() }
    }

    fn established(mut self: Pin<&mut Self>, snappy: bool) {
        if self.flaw != Flaw::Limited {
            self.inner.as_mut().established(snappy);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::OtherKey(key(99).public_key()), &["remote key"][..]),
        (
            Flaw::Disorder,
            &[
                "order and completeness",
                "cancellation",
                "back-pressure",
                "reading does not wait for writing",
                "end of stream",
                "traffic",
            ],
        ),
        (Flaw::Short, &["large messages"]),
        (Flaw::Lax, &["limit on sending", "limit on receiving"]),
        (Flaw::Lossy, &["order and completeness", "large messages", "cancellation", "traffic"]),
        (Flaw::Boundless, &["back-pressure", "reading does not wait for writing"]),
        (
            Flaw::OneThingAtATime,
            &[
                "order and completeness",
                "large messages",
                "reading does not wait for writing",
                "traffic",
            ],
        ),
        (
            Flaw::Endless,
            &[
                "back-pressure",
                "end of stream",
                "the other direction stays open",
                "error after close",
            ],
        ),
        (Flaw::DeafAfterClose, &["the other direction stays open"]),
        (Flaw::Careless, &["error after close"]),
        (Flaw::Uncounted, &["traffic"]),
    ] {
        let report = connection::check(|ends: Ends| async move {
            let (mut left, mut right) = pipe(ends.left.public_key(), ends.right.public_key());
            if flaw == Flaw::Lax {
                left.as_mut().established(false);
                right.as_mut().established(false);
            }
            Ok((Flawed::boxed(left, flaw), Flawed::boxed(right, flaw)))
        });
        let report = report.await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
}
