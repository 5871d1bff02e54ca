use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use devp2p_core::Node;
use futures::{FutureExt as _, Stream as _, future::join_all};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at},
};
use tracing::{error, trace};

use super::{
    now,
    shared::{Shared, lock},
};
use crate::{Row, node_db};

/// How long discovery, the peers and all other tasks have to end after the stop.
const STOP_PATIENCE: Duration = Duration::from_millis(1_900);

/// How much of it the UDP sockets have, which have nothing to say at the end: the peers that are to hear
/// of the stop after it need a second.
const UDP_PATIENCE: Duration = Duration::from_millis(400);

/// How often the good peers are remembered, for a stop that nobody announces.
const ANCHOR_INTERVAL: Duration = Duration::from_mins(5);

/// The server's life: its loop until the stop, and the stop itself.
///
/// However it ends, by a panic of a user's part or with the runtime that it runs on, everybody who
/// waits for the stop hears of it.
pub(crate) fn run(shared: Arc<Shared>) -> impl Future<Output = ()> + Send {
    // Held from here on: a runtime that goes may drop the future before it is polled.
    live(Stopped { shared, is_closing: false })
}

async fn live(mut stopped: Stopped) {
    let shared = &Arc::clone(&stopped.shared);
    if AssertUnwindSafe(turn(shared)).catch_unwind().await.is_err() {
        error!("A part of the server panicked: the server stops");
        shared.quit.cancel();
    }
    // A lookup that is running ends with its source.
    drop(lock(&shared.discovery).take());
    remember_anchors(shared);
    let deadline = Instant::from_std(now()) + STOP_PATIENCE;
    let sockets = std::mem::take(&mut *lock(&shared.udp));
    join_all(sockets.into_iter().map(end_udp)).await;
    if catch_unwind(AssertUnwindSafe(|| shared.tell(|state, now| state.core.stop(now)))).is_err() {
        error!("A part of the server panicked at the stop");
    }
    // They end at once, and give their set-ups back.
    shared.begin_dials();
    shared.tasks.close();
    if timeout_at(deadline, shared.tasks.wait()).await.is_err() {
        shared.kill.cancel();
        shared.tasks.wait().await;
    }
    shared.probe.publish(shared);
    stopped.is_closing = true;
    node_db::close(shared.node_db.as_ref()).await;
}

/// Waits for a task that has a UDP socket, and drops it if it does not end in time.
async fn end_udp(mut task: JoinHandle<()>) {
    // An error of the task itself says that it panicked: it is gone as well.
    if timeout(UDP_PATIENCE, &mut task).await.is_err() {
        task.abort();
    }
}

/// Has the good peers remembered, where there are any.
fn remember_anchors(shared: &Arc<Shared>) {
    let anchors = shared.tell(|state, now| state.core.anchors(now));
    if !anchors.is_empty() {
        shared.node_db.write(Row::Anchors(anchors));
    }
}

/// Ends what may still run, and tells those who wait.
struct Stopped {
    shared: Arc<Shared>,
    /// Whether the database was told to close.
    is_closing: bool,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.quit.cancel();
        shared.kill.cancel();
        if !self.is_closing {
            // The runtime is going, and nobody can wait any more: what the database was told so far
            // is remembered all the same. It must not panic here, where a panic may be under way.
            let close = AssertUnwindSafe(|| drop(shared.node_db.close()));
            if catch_unwind(close).is_err() {
                error!("The node database panicked when it was closed");
            }
        }
        shared.close_events();
        shared.stopped.send_replace(true);
        shared.peer_gone.notify_waiters();
    }
}

/// The loop of the server, until the stop.
///
/// Its order: dials that are wanted, the stop, then what changed (the timer moves), then the timer,
/// then the peers to remember, then candidates, which are pulled only while the scheduler has room
/// for them.
async fn turn(shared: &Arc<Shared>) {
    let mut anchors = interval(ANCHOR_INTERVAL);
    anchors.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first dials: the machine knows of static nodes since its construction.
    shared.tell(|_, _| {});
    loop {
        shared.begin_dials();
        let (timer, wanted) =
            shared.read(|state| (state.core.poll_timeout(), state.core.wanted_candidates()));
        let timer = async {
            match timer {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.quit.cancelled() => return,
            () = shared.changed.notified() => {}
            () = timer => shared.tell(|state, now| state.core.handle_timeout(now)),
            _ = anchors.tick() => remember_anchors(shared),
            Some(node) = candidate(shared), if wanted > 0 => {
                let id = node.id();
                if let Err(refusal) = shared.tell(|state, now| state.core.handle_candidate(now, node)) {
                    trace!(%id, err = %refusal, "Discarding dial candidate");
                }
                // A source that always has something must not keep the thread to itself.
                tokio::task::consume_budget().await;
            }
        }
    }
}

async fn candidate(shared: &Shared) -> Option<Node> {
    std::future::poll_fn(|cx| {
        match lock(&shared.discovery).as_mut().map(|source| Pin::new(source).poll_next(cx)) {
            // A source that ended breaks its contract; it is as good as one that has nothing.
            Some(Poll::Ready(None)) | None => Poll::Pending,
            Some(next) => next,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::future::BoxFuture;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_udp_task_that_does_not_end_leaves_the_peers_their_time() {
        // Peers have half a second to be told, and half a second to close.
        assert!(UDP_PATIENCE + Duration::from_secs(1) < STOP_PATIENCE);
        let (held, gone) = oneshot::channel::<()>();
        let stuck: BoxFuture<'static, ()> = Box::pin(async move {
            pending::<()>().await;
            drop(held);
        });
        let panics: BoxFuture<'static, ()> = Box::pin(async { panic!("as a test wants it") });
        for (udp, patience) in
            [(stuck, UDP_PATIENCE), (Box::pin(ready(())), Duration::ZERO), (panics, Duration::ZERO)]
        {
            let start = now();
            end_udp(tokio::spawn(udp)).await;
            let took = now() - start;
            assert!((patience..patience + Duration::from_millis(2)).contains(&took), "{took:?}");
        }
        let end = timeout(Duration::from_secs(1), gone).await;
        assert!(end.unwrap().is_err(), "what the task held is dropped");
    }
}
