use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use devp2p_core::BoxConnection;
use tokio::time::{sleep, timeout};

use crate::{DisconnectReason, handshake::poll_write, id};

/// How many messages are discarded before other tasks have their turn.
const DISCARD_BATCH: usize = 32;

/// Sends a Disconnect within `write`, then waits up to `close` for the remote to close.
///
/// What the remote sends meanwhile is read and discarded: two nodes that disconnect with full
/// buffers do not block each other, and a stream that is closed with unread bytes may lose the
/// Disconnect on its way. A connection that cannot be read any more (not `readable`) stays open
/// for all of that time, for the same reason.
pub(crate) async fn send_disconnect(
    connection: &mut BoxConnection,
    reason: DisconnectReason,
    readable: bool,
    (write, close): (Duration, Duration),
) {
    let mut outgoing = Some(reason.message());
    let mut closed = false;
    let sending = poll_fn(|cx| {
        // A remote that has closed its side may still read ours.
        closed = closed || (readable && poll_discard(connection, cx).is_ready());
        poll_write(connection.as_mut(), &mut outgoing, cx).map(|result| result.is_ok())
    });
    if timeout(write, sending).await != Ok(true) || closed {
        return;
    }
    if readable {
        // When this time is over the connection is closed in any case.
        let _ = timeout(close, poll_fn(|cx| poll_discard(connection, cx))).await;
    } else {
        sleep(close).await;
    }
}

/// Ready once the remote has closed, or is about to as it sent a Disconnect itself.
fn poll_discard(connection: &mut BoxConnection, cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..DISCARD_BATCH {
        match connection.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(message))) if message.id != id::DISCONNECT => {}
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
