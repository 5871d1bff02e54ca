use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::{mpsc, oneshot};

/// The commands that wait for a service. Whoever comes then waits for room; the service takes all
/// of them whenever it is polled.
const COMMANDS: usize = 64;

/// The way of commands from any number of handles to one service, both ends of it.
pub fn commands<C>() -> (Commands<C>, Inbox<C>) {
    let (commands, commands_receiver) = mpsc::channel(COMMANDS);
    // One that waits says all.
    let (cancelled, cancelled_receiver) = mpsc::channel(1);
    let inbox = Inbox { commands: commands_receiver, cancelled: cancelled_receiver };
    (Commands { commands, cancelled }, inbox)
}

/// Where handles put their commands. There is room for 64; whoever finds none waits.
///
/// # Errors
/// [`Closed`] everywhere, once the service has ended.
pub struct Commands<C> {
    commands: mpsc::Sender<C>,
    cancelled: mpsc::Sender<()>,
}

impl<C> Commands<C> {
    /// Has a command done.
    ///
    /// # Cancel safety
    /// A command whose future is dropped is not sent, or else done.
    pub async fn send(&self, command: C) -> Result<(), Closed> {
        self.commands.send(command).await.map_err(|_| Closed)
    }

    /// Has a command done that has an answer, and waits for that.
    ///
    /// # Cancel safety
    /// What was asked is cancelled when the future is dropped.
    pub async fn ask<T, E: From<Closed>>(
        &self,
        command: impl FnOnce(Answer<T, E>) -> C,
    ) -> Result<T, E> {
        let (answer, query) = self.query();
        self.send(command(answer)).await?;
        query.await
    }

    /// Where the answer to a command goes, and where it comes out.
    pub fn query<T, E>(&self) -> (Answer<T, E>, Query<T, E>) {
        let (sender, receiver) = oneshot::channel();
        let cancelled = self.cancelled.clone();
        (Answer(sender), Query { answer: Some(receiver), cancelled })
    }

    /// Has the service look what was dropped.
    pub fn tell_dropped(&self) {
        // Where there is no room, it is about to look anyway.
        let _ = self.cancelled.try_send(());
    }

    /// Waits until the service has ended.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }

    /// Whether the service has ended.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }
}

/// Where a service takes its commands from.
pub struct Inbox<C> {
    commands: mpsc::Receiver<C>,
    /// Says that something was dropped.
    cancelled: mpsc::Receiver<()>,
}

impl<C> Inbox<C> {
    /// The next command; `None` where there can be no more, as all handles are gone.
    pub fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<C>> {
        self.commands.poll_recv(cx)
    }

    /// Ready where a [`Query`] was dropped since it last was, or
    /// [something else](Commands::tell_dropped): the service looks what. (That nobody is left to
    /// drop anything is seen in the commands.)
    pub fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.cancelled.poll_recv(cx) {
            Poll::Ready(Some(())) => Poll::Ready(()),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The service has ended: who waits is told, and no more commands come.
    pub fn close(&mut self) {
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
    }
}

/// Where an answer goes. Dropping it says that the service has ended.
#[derive(Debug)]
pub struct Answer<T, E>(oneshot::Sender<Result<T, E>>);

impl<T, E> Answer<T, E> {
    /// Answers, if who asked is still there.
    pub fn give(self, result: Result<T, E>) {
        let _ = self.0.send(result);
    }

    /// Whether who asked is gone.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// An answer that is to come. Dropping it cancels what was asked.
#[derive(Debug)]
pub struct Query<T, E> {
    /// `None` once it is here.
    answer: Option<oneshot::Receiver<Result<T, E>>>,
    cancelled: mpsc::Sender<()>,
}

impl<T, E: From<Closed>> Future for Query<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(Closed.into())) };
        let result = ready!(Pin::new(answer).poll(cx)).unwrap_or_else(|_| Err(Closed.into()));
        self.answer = None;
        Poll::Ready(result)
    }
}

impl<T, E> Drop for Query<T, E> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            drop(answer);
            // Where there is no room, the service is about to look anyway.
            let _ = self.cancelled.try_send(());
        }
    }
}

/// The service has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service has ended")
    }
}

impl std::error::Error for Closed {}

impl<C> Clone for Commands<C> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), cancelled: self.cancelled.clone() }
    }
}

impl<C> fmt::Debug for Commands<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Inbox<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("waiting", &self.commands.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker, time::Duration};

    use tokio::time::timeout;

    use super::*;

    /// The only command there is: to answer with the number.
    type Ask = (u32, Answer<u32, Closed>);

    #[tokio::test(start_paused = true)]
    async fn a_command_is_answered_and_one_that_is_dropped_is_told_of() {
        let (handle, mut inbox) = commands::<Ask>();
        let answer_one = async {
            let (number, answer) = poll_fn(|cx| inbox.poll_command(cx)).await.unwrap();
            answer.give(Ok(number));
        };
        let (answer, ()) = tokio::join!(handle.ask(|answer| (7, answer)), answer_one);
        assert_eq!(answer, Ok(7));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(inbox.poll_cancelled(&mut cx).is_pending(), "what is answered is not cancelled");

        let impatient = handle.ask(|answer| (8, answer));
        timeout(Duration::from_secs(1), impatient).await.unwrap_err();
        assert!(inbox.poll_cancelled(&mut cx).is_ready());
        assert!(inbox.poll_cancelled(&mut cx).is_pending());
        let Poll::Ready(Some((8, abandoned))) = inbox.poll_command(&mut cx) else { panic!() };
        assert!(abandoned.is_abandoned());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_at_the_end_is_told() {
        let (handle, mut inbox) = commands::<Ask>();
        let fill = (0..COMMANDS).map(|_| handle.query().0);
        for answer in fill.collect::<Vec<_>>() {
            handle.send((1, answer)).await.unwrap();
        }
        let late = handle.ask(|answer| (2, answer));
        let end = async { inbox.close() };
        assert_eq!(tokio::join!(late, end).0, Err(Closed));
        assert!(handle.is_closed());
        handle.closed().await;
        assert_eq!(handle.ask(|answer| (3, answer)).await, Err(Closed));

        let (handle, inbox) = commands::<Ask>();
        drop(inbox);
        assert_eq!(handle.ask(|answer| (4, answer)).await, Err(Closed));
    }
}
