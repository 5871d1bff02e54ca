use std::{future::pending, pin::Pin, sync::Arc, task::Poll, time::Duration};

use devp2p_core::Node;
use tokio::time::{sleep_until, timeout};
use tracing::trace;

use super::shared::{Shared, lock};

/// How long the peers and all other tasks have to end after the stop.
const STOP_PATIENCE: Duration = Duration::from_millis(1_900);

/// The loop of the server, until the stop and through it.
///
/// Its order: the stop, then what changed (the timer moves), then the timer, then candidates,
/// which are pulled only while the scheduler has room for them.
pub(crate) async fn run(shared: Arc<Shared>) {
    // The first dials: the machine knows of static nodes since its construction.
    shared.tell(|_, _| {});
    loop {
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
            () = shared.quit.cancelled() => break,
            () = shared.changed.notified() => {}
            () = timer => shared.tell(|state, now| state.core.handle_timeout(now)),
            Some(node) = candidate(&shared), if wanted > 0 => {
                let id = node.id();
                if let Err(refusal) = shared.tell(|state, now| state.core.handle_candidate(now, node)) {
                    trace!(%id, err = %refusal, "Discarding dial candidate");
                }
            }
        }
    }
    shared.tell(|state, now| state.core.stop(now));
    shared.tasks.close();
    if timeout(STOP_PATIENCE, shared.tasks.wait()).await.is_err() {
        shared.kill.cancel();
        shared.tasks.wait().await;
    }
    shared.close_events();
    shared.stopped.send_replace(true);
}

async fn candidate(shared: &Shared) -> Option<Node> {
    std::future::poll_fn(|cx| {
        match Pin::new(&mut **lock(&shared.discovery)).poll_next(cx) {
            // A source that ended breaks its contract; it is as good as one that has nothing.
            Poll::Ready(None) => Poll::Pending,
            next => next,
        }
    })
    .await
}
