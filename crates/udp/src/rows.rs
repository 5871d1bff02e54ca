use std::{
    pin::Pin,
    task::{Context, Poll},
};

use devp2p_core::{NodeId, Seed};
use futures_core::Stream;

use crate::{Missed, Reader, Ring};

/// How many events a reader may lag behind: seconds of a busy node, in less than a megabyte.
const EVENT_BUFFER: usize = 1_024;

/// How many rows a reader may lag behind: more than a whole table at once.
const ROW_BUFFER: usize = 1_024;

/// What a service tells those who listen: events of its own kind, and rows.
#[derive(Debug)]
pub struct Rings<E> {
    /// What it sees. Readers may lag behind by 1,024.
    pub events: Ring<E>,
    /// What it wants remembered across restarts. Readers may lag behind by 1,024.
    pub rows: Ring<Row>,
}

impl<E> Rings<E> {
    /// Rings that nobody reads yet.
    pub fn new() -> Self {
        Self { events: Ring::new(EVENT_BUFFER), rows: Ring::new(ROW_BUFFER) }
    }

    /// Readers end, once they have read what is there.
    pub fn close(&self) {
        self.events.close();
        self.rows.close();
    }
}

impl<E> Default for Rings<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for Rings<E> {
    fn clone(&self) -> Self {
        Self { events: self.events.clone(), rows: self.rows.clone() }
    }
}

/// A change of what is remembered across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// The node is not there any more.
    Forget(NodeId),
    /// Replaces what was remembered of the node; for a later run.
    Remember(Seed),
}

/// What a discovery wants remembered across restarts, from the subscription on. Ends with the
/// service.
///
/// There can be any number of these, and each gets every row. Who lags behind by more than 1,024
/// rows loses the oldest and is told how many; nobody is held up.
///
/// # Cancel safety
/// Whatever waits for the next row may be dropped: no row is lost.
#[derive(Debug)]
pub struct Rows(Reader<Row>);

impl Rows {
    /// The rows of a ring, from now on.
    pub fn new(ring: &Ring<Row>) -> Self {
        Self(ring.reader())
    }

    /// The next row, or how many were lost; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Row, Missed>> {
        self.0.next().await
    }
}

impl Stream for Rows {
    type Item = Result<Row, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}
