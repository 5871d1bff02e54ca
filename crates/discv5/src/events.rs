use std::{
    pin::Pin,
    task::{Context, Poll},
};

use devp2p_udp::{Missed, Reader, Ring};
use futures_core::Stream;

use crate::Event;

/// What a discovery sees, from the subscription on: the [`Event`]s that belong to no query of a
/// handle, but for those that are [`Row`](crate::Row)s or [`TalkRequest`](crate::TalkRequest)s. Ends
/// with the service.
///
/// There can be any number of these, and each gets every event. Who lags behind by more than 1,024
/// events loses the oldest and is told how many; nobody is held up.
///
/// # Cancel safety
/// Whatever waits for the next event may be dropped: no event is lost.
#[derive(Debug)]
pub struct Events(Reader<Event>);

impl Events {
    pub(crate) fn new(ring: &Ring<Event>) -> Self {
        Self(ring.reader())
    }

    /// The next event, or how many were lost; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Event, Missed>> {
        self.0.next().await
    }
}

impl Stream for Events {
    type Item = Result<Event, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}
