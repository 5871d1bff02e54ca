use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::Node;
use futures_core::Stream;
use tokio::time::sleep;

use crate::Closed;

/// The pause after a lookup that could not be made, because too much was under way.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A handle to a discovery, as [`Nodes`] uses it.
pub trait Search: Clone + Send + Sync + 'static {
    /// Why there is no answer.
    type Error: From<Closed> + PartialEq + Send;

    /// Verified nodes in the order in which to meet them: those of the table, at random, and those
    /// that were found beside them.
    fn meet(&self, found: Vec<Node>)
    -> impl Future<Output = Result<Vec<Node>, Self::Error>> + Send;

    /// The nodes of a random lookup.
    fn look_around(&self) -> impl Future<Output = Result<Vec<Node>, Self::Error>> + Send;
}

/// Verified nodes, without end: for whoever wants to meet nodes.
///
/// They come in rounds: those of the table, in random order, and then what a random lookup has found
/// beside them. So it is as likely to meet one node of the table as any other first, whoever was
/// verified last or is named most. A lookup is made for every round but the first; at most one a
/// second, however many of these there are, and none while nobody polls. A node that is given again
/// in a later round is there again, or still.
///
/// It ends with the service, and keeps it alive like a handle.
///
/// # Cancel safety
/// Whatever waits for the next node may be dropped: none is lost. Several of these are independent
/// of each other.
pub struct Nodes {
    /// Begins a round with a lookup.
    look: Box<dyn Fn() -> Asking + Send>,
    /// The rest of the round.
    ready: VecDeque<Node>,
    /// The next round, once there is a need of one.
    more: Option<Asking>,
}

/// Nodes that were asked for; `None` if the service has ended.
type Asking = Pin<Box<dyn Future<Output = Option<Vec<Node>>> + Send>>;

impl Nodes {
    /// The nodes of a discovery.
    pub fn new(handle: impl Search) -> Self {
        let first = handle.clone();
        let first = async move { first.meet(Vec::new()).await.ok() };
        let look = Box::new(move || -> Asking { Box::pin(next_round(handle.clone())) });
        Self { look, ready: VecDeque::new(), more: Some(Box::pin(first)) }
    }

    /// The next node; `None` when the service has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Node> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Nodes {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        let this = &mut *self;
        loop {
            if let Some(node) = this.ready.pop_front() {
                return Poll::Ready(Some(node));
            }
            let round = ready!(this.more.get_or_insert_with(&this.look).as_mut().poll(cx));
            this.more = None;
            match round {
                Some(nodes) => this.ready.extend(nodes),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The nodes of a round with a lookup, `None` if the service has ended.
async fn next_round(handle: impl Search) -> Option<Vec<Node>> {
    let found = look_around(&handle).await?;
    handle.meet(found).await.ok()
}

/// The nodes of a random lookup, `None` if the service has ended.
async fn look_around<S: Search>(handle: &S) -> Option<Vec<Node>> {
    loop {
        match handle.look_around().await {
            Ok(found) => return Some(found),
            Err(error) if error == Closed.into() => return None,
            Err(_) => sleep(RETRY_INTERVAL).await,
        }
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
