use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// Stands for "never" where a timeout reaches beyond what an instant can hold.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A deadline that is armed by waiting and disarmed by progress.
///
/// Both are cheap, since both happen for every message: the timer below is left alone, and set to
/// the deadline in force only when it fires before it.
#[pin_project]
#[derive(Debug)]
pub(crate) struct Deadline {
    timeout: Duration,
    /// `None` while disarmed.
    until: Option<Instant>,
    /// Made at the first wait, since making one needs tokio's context.
    #[pin]
    timer: Option<Sleep>,
}

impl Deadline {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self { timeout, until: None, timer: None }
    }

    /// Stops the deadline; the next [`poll`](Deadline::poll) starts a new one.
    pub(crate) fn disarm(self: Pin<&mut Self>) {
        *self.project().until = None;
    }

    /// Starts the deadline unless it runs, and is ready once it has passed.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let until = *this.until.get_or_insert_with(|| from_now(*this.timeout));
        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(until)));
        }
        while let Some(mut timer) = this.timer.as_mut().as_pin_mut() {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                break;
            }
            timer.reset(until);
        }
        Poll::Ready(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver reads tokio's clock, and only here")]
fn from_now(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
