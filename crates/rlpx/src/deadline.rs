use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Stands for "never" where a timeout reaches beyond what an instant can hold.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

/// How late the poll at a deadline may come and still count as waiting. Who waits is woken by the
/// timer and polls within milliseconds, a second on a machine with far too much to do; whoever
/// comes later was not waiting.
const LATE: Duration = Duration::from_secs(1);

/// A deadline that is armed by waiting and disarmed by progress.
///
/// It holds only for who is there when it passes: where the next poll comes more than [`LATE`]
/// after it, the time starts anew with that poll, since the one who polls has paused and nobody
/// knows what the remote would have done meanwhile.
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
        let mut until = *self.until.get_or_insert_with(|| after(now(), self.timeout));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                let now = now();
                if now.saturating_duration_since(until) <= LATE {
                    return Poll::Ready(());
                }
                until = *self.until.insert(after(now, self.timeout));
            }
            timer.as_mut().reset(until);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver reads tokio's clock, and only here")]
fn now() -> Instant {
    Instant::now()
}

fn after(now: Instant, timeout: Duration) -> Instant {
    now.checked_add(timeout).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
