use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

/// Waits for the next timeout of a machine, whenever that is by now.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// When it fires, once it is set.
    armed: Option<Instant>,
}

impl Timer {
    /// Ready when the machine's time may have come, pending before, and where there is no deadline.
    ///
    /// A deadline that only moved away is looked at when the timer fires, so it may be ready too
    /// early; the machine knows.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.armed = Some(deadline);
            sleep.as_mut().reset(deadline.into());
        }
        let fired = sleep.as_mut().poll(cx);
        if fired.is_ready() {
            self.armed = None;
        }
        fired
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;
    use crate::clock::now;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_earlier_deadline_wins_and_none_waits() {
        let (mut timer, start) = (Timer::default(), now());
        let fired = timeout(60 * SECOND, poll_fn(|cx| timer.poll(cx, None))).await;
        assert!(fired.is_err(), "nothing to wait for");

        let start = start + 60 * SECOND;
        let late = Some(start + 10 * SECOND);
        let _ = timeout(SECOND, poll_fn(|cx| timer.poll(cx, late))).await;
        poll_fn(|cx| timer.poll(cx, Some(start + 2 * SECOND))).await;
        assert_eq!((now() - start).as_secs(), 2);

        // It moves away: ready once at the old time, and then at the new one.
        let _ = timeout(SECOND, poll_fn(|cx| timer.poll(cx, Some(start + 5 * SECOND)))).await;
        poll_fn(|cx| timer.poll(cx, late)).await;
        assert_eq!((now() - start).as_secs(), 5);
        poll_fn(|cx| timer.poll(cx, late)).await;
        assert_eq!((now() - start).as_secs(), 10);
        let _ = timeout(SECOND, pending::<()>()).await;
        poll_fn(|cx| timer.poll(cx, late)).await;
        assert_eq!((now() - start).as_secs(), 11, "what is past is ready");
    }
}
