use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Stands for "never" where a timeout reaches beyond what an instant can hold.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A deadline that is armed by waiting and disarmed by progress.
///
/// Both are cheap, since both happen for every message: the timer below is left alone, and set to
/// the deadline in force only when it fires before it.
#[derive(Debug)]
pub(crate) struct Deadline {
    timeout: Duration,
    /// `None` while disarmed.
    until: Option<Instant>,
    /// Made at the first wait, since making one needs tokio's context. Boxed, so that a
    /// connection over a stream that may be moved may be moved too.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self { timeout, until: None, timer: None }
    }

    /// Stops the deadline; the next [`poll`](Deadline::poll) starts a new one.
    pub(crate) const fn disarm(&mut self) {
        self.until = None;
    }

    /// Starts the deadline unless it runs, and is ready once it has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| from_now(self.timeout));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver reads tokio's clock, and only here")]
fn from_now(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
