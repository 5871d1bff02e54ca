//! A client that stays: calls, one after the other, and notifications.

use std::{io, time::Duration};

use jsonrpsee::types::{Id, error::ErrorCode};
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use tracing::debug;

use super::calls::Calls;

/// How long a client may take to take a message; geth's time.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How often a client is pinged; geth's time.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How many notifications may wait for a client. One that lags behind further is disconnected, so
/// that it learns that it missed some.
pub(super) const MAX_WAITING: usize = 256;

/// Messages from a client.
pub(super) trait Incoming: Send {
    /// The next one, whole; `None` at the end. Never cancelled.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> + Send;
}

/// Messages to a client.
pub(super) trait Outgoing: Send {
    /// Sends one, and flushes it. Never cancelled but at the end.
    fn send(&mut self, message: &RawValue) -> impl Future<Output = io::Result<()>> + Send;

    /// Sends something that asks for no answer, so that a client that is gone is noticed.
    fn ping(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Answers calls, one after the other, until the client is gone, sends what is no message, or is too
/// slow.
///
/// The next call is read when the answer to the last one is about to be written: what waits for a
/// client is two answers and [`MAX_WAITING`] notifications, which are small.
pub(super) async fn run(calls: Calls, mut incoming: impl Incoming, mut outgoing: impl Outgoing) {
    let (answers, mut answers_waiting) = mpsc::channel(1);
    let (notifications, mut notifications_waiting) = mpsc::channel(MAX_WAITING);
    let (subscriber, slow) = calls.subscriber(notifications);
    let read = async {
        loop {
            let message = match incoming.next().await {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    debug!(err = %error, "A client of RPC sent what is no message");
                    let answer = jsonrpsee::MethodResponse::error(Id::Null, ErrorCode::ParseError);
                    // It may be gone.
                    let _ = answers.send(answer.into_json()).await;
                    break;
                }
            };
            let Some(answer) = calls.answer(&message, Some(&subscriber)).await else { continue };
            if answers.send(answer).await.is_err() {
                break;
            }
        }
        drop(answers);
    };
    let write = async {
        let mut pings = interval(PING_INTERVAL);
        pings.reset();
        loop {
            // Notifications first: there are few, and they are small.
            let message: Option<Box<RawValue>> = tokio::select! {
                biased;
                Some(message) = notifications_waiting.recv() => Some(message),
                answer = answers_waiting.recv() => match answer {
                    Some(answer) => Some(answer),
                    // The client says no more, and has all answers.
                    None => return io::Result::Ok(()),
                },
                _ = pings.tick() => None,
            };
            let sent = async {
                match message {
                    Some(message) => outgoing.send(&message).await,
                    None => outgoing.ping().await,
                }
            };
            timeout(WRITE_PATIENCE, sent).await.map_err(io::Error::from)??;
        }
    };
    let read = async {
        read.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = slow.told() => debug!("A client of RPC is too slow for what it subscribed to"),
        written = write => if let Err(error) = written {
            debug!(err = %error, "Cannot write to a client of RPC");
        },
        () = read => {}
    }
}
