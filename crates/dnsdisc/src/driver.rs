use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use futures_core::Stream;
use tokio::time::{Sleep, sleep_until};

use crate::{AnyResolver, Client, Event, LookupError, LookupId, Output, Txt};

/// A [`Client`] and the resolver that it asks: a stream of what it finds out.
///
/// It does all its work where it is polled, on a tokio runtime with time. The stream does not end,
/// and is pending for ever while nothing is [wanted](Self::want).
///
/// # Cancel safety
/// What waits for an event can be dropped: lookups go on with the next poll. Dropping the driver
/// drops its lookups.
pub struct Driver {
    client: Client,
    resolver: AnyResolver,
    lookups: Vec<(LookupId, Lookup)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

type Lookup = Pin<Box<dyn Future<Output = Result<Vec<Txt>, LookupError>> + Send>>;

impl Driver {
    /// Has a client ask this resolver.
    pub const fn new(client: Client, resolver: AnyResolver) -> Self {
        Self { client, resolver, lookups: Vec::new(), sleep: None }
    }

    /// As [`Client::want`].
    pub fn want(&mut self, records: usize) {
        self.client.want(now(), records);
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Takes the answers that have come; false says that there are none.
    fn take_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut answers = Vec::new();
        self.lookups.retain_mut(|(id, lookup)| match lookup.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                answers.push((*id, answer));
                false
            }
            Poll::Pending => true,
        });
        let came = !answers.is_empty();
        for (id, answer) in answers {
            self.client.handle_answer(now(), id, answer);
        }
        came
    }
}

impl Stream for Driver {
    type Item = Event;

    /// In this order: what the client has to tell or wants done, answers, its timeout.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        loop {
            while let Some(output) = this.client.poll_output() {
                match output {
                    Output::Event(event) => return Poll::Ready(Some(event)),
                    Output::Lookup { id, name } => {
                        this.lookups.push((id, this.resolver.look_up(name)));
                    }
                }
            }
            if this.take_answers(cx) {
                continue;
            }
            let Some(timeout) = this.client.poll_timeout() else { return Poll::Pending };
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(timeout.into())));
            if sleep.deadline() != timeout.into() {
                sleep.as_mut().reset(timeout.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.sleep = None;
            this.client.handle_timeout(now());
            this.lookups.retain(|(id, _)| this.client.is_waiting(*id));
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("client", &self.client)
            .field("lookups", &self.lookups.len())
            .finish_non_exhaustive()
    }
}

/// tokio's clock, so that everything runs on paused time.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
