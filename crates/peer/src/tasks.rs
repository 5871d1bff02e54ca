use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::timeout,
};
use tracing::{Instrument as _, Span, trace};

use crate::{
    Capability, Config, DisconnectReason, Peer, Protocol, ProtocolError, ProtocolStream, link::Link,
};

/// The subprotocols of one peer, each as a task of its own, so that a panic stays in it. Dropping
/// this aborts them.
pub(crate) struct Tasks {
    names: Vec<(Id, Capability)>,
    set: JoinSet<Result<(), ProtocolError>>,
}

impl Tasks {
    /// Starts each subprotocol with the stream of its index among the shared capabilities.
    pub(crate) fn spawn(link: &Arc<Link>, protocols: &[(usize, Protocol)]) -> Self {
        let (mut names, mut set) = (Vec::with_capacity(protocols.len()), JoinSet::new());
        for (index, protocol) in protocols {
            let capability = protocol.capability();
            trace!(%capability, "Starting protocol");
            let stream = ProtocolStream::new(Arc::clone(link), *index);
            let run = protocol.run(Peer(Arc::clone(link)), stream).instrument(Span::current());
            names.push((set.spawn(run).id(), capability));
        }
        Self { names, set }
    }

    /// The next subprotocol that ended: the reason that this gives the peer, and what went wrong.
    /// `None` where none is left.
    pub(crate) fn poll_ended(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(DisconnectReason, Option<String>)>> {
        let Some(result) = ready!(self.set.poll_join_next_with_id(cx)) else {
            return Poll::Ready(None);
        };
        let (id, reason, error) = match result {
            Ok((id, Ok(()))) => (id, DisconnectReason::Quitting, None),
            Ok((id, Err(error))) => (id, error.reason(), Some(cut(error.to_string()))),
            Err(error) => (error.id(), DisconnectReason::Subprotocol, Some(cut(panic_text(error)))),
        };
        let name = self.names.iter().find(|(task, _)| *task == id).map(|(_, name)| name);
        let capability = name.map(ToString::to_string).unwrap_or_default();
        match &error {
            None => trace!(%capability, "Protocol returned"),
            // In quotes, with escapes: it may tell what the remote said.
            Some(error) => trace!(%capability, error = error.as_str(), "Protocol failed"),
        }
        let error = error.map(|error| format!("subprotocol {capability}: {error}"));
        Poll::Ready(Some((reason, error)))
    }

    /// Gives the tasks their time to return, then aborts them.
    pub(crate) async fn finish(mut self, config: &Config) {
        let _ = timeout(config.task_grace, self.join_all()).await;
        self.set.abort_all();
        let _ = timeout(config.abort_wait, self.join_all()).await;
    }

    async fn join_all(&mut self) {
        while poll_fn(|cx| self.poll_ended(cx)).await.is_some() {}
    }
}

/// What is told of an error, in bytes. A subprotocol may quote what the remote said, at any length,
/// and the ends of peers are logged and kept.
const MAX_ERROR: usize = 1_024;

fn cut(mut error: String) -> String {
    error.truncate(error.floor_char_boundary(MAX_ERROR));
    error
}

fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            format!("panicked: {}", text.unwrap_or("with something else than a text"))
        }
        Err(error) => error.to_string(),
    }
}
