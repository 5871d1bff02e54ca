use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use devp2p_core::{NodeId, Seed};
use futures_core::Stream;

use crate::{
    Event,
    ring::{Reader, Ring},
};

/// How many events a reader may lag behind: seconds of a busy node, in less than a megabyte.
const EVENT_BUFFER: usize = 1_024;

/// How many rows a reader may lag behind: more than a whole table at once.
const ROW_BUFFER: usize = 1_024;

/// What a discovery sees, from the subscription on: the [`Event`]s that belong to no query of a
/// handle, but for those that are [`Row`]s. Ends with the service.
///
/// There can be any number of these, and each gets every event. Who lags behind by more than 1,024
/// events loses the oldest and is told how many; nobody is held up.
///
/// # Cancel safety
/// Whatever waits for the next event may be dropped: no event is lost.
#[derive(Debug)]
pub struct Events(Reader<Event>);

/// What a discovery wants remembered across restarts, from the subscription on. Ends with the
/// service.
///
/// Bounded and cancel-safe like [`Events`], with room for 1,024 rows.
#[derive(Debug)]
pub struct Rows(Reader<Row>);

/// A change of what is remembered across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// The node is not there any more.
    Forget(NodeId),
    /// Replaces what was remembered of the node; for a later [`Service`](crate::Service).
    Remember(Seed),
}

/// So many items were lost: who reads them was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

/// What a service tells those who listen.
#[derive(Clone, Debug)]
pub(crate) struct Rings {
    pub(crate) events: Ring<Event>,
    pub(crate) rows: Ring<Row>,
}

impl Events {
    pub(crate) fn new(reader: Reader<Event>) -> Self {
        Self(reader)
    }

    /// The next event, or how many were lost; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Event, Missed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Result<Event, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.0.poll_next(cx));
        Poll::Ready(next.map(|event| event.map_err(Missed)))
    }
}

impl Rows {
    pub(crate) fn new(reader: Reader<Row>) -> Self {
        Self(reader)
    }

    /// The next row, or how many were lost; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Row, Missed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Rows {
    type Item = Result<Row, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.0.poll_next(cx));
        Poll::Ready(next.map(|row| row.map_err(Missed)))
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missed {}", self.0)
    }
}

impl std::error::Error for Missed {}

impl Rings {
    pub(crate) fn new() -> Self {
        Self { events: Ring::new(EVENT_BUFFER), rows: Ring::new(ROW_BUFFER) }
    }

    pub(crate) fn close(&self) {
        self.events.close();
        self.rows.close();
    }
}
