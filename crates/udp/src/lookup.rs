use std::{
    any::Any,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use devp2p_core::Node;
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::{Answer, Closed, Commands, Query};

/// The nodes that a [`Lookup`] may be ahead of its reader: more than nearly every lookup asks.
const LOOKUP_BUFFER: usize = 256;

/// A lookup under way: a stream of the nodes that answer, near to the target or not, as they answer.
/// It ends with the lookup.
///
/// A reader that is 256 nodes behind is not told of more; [`finish`](Self::finish) has the nearest
/// in any case. Dropping it cancels the lookup. It keeps the service alive like a handle.
pub struct Lookup<E> {
    nodes: mpsc::Receiver<Node>,
    query: Query<Vec<Node>, E>,
    /// The way to the service.
    _service: Box<dyn Any + Send + Sync>,
}

/// Where the results of a lookup go: each as it comes, where somebody wants that, and all at the
/// end.
#[derive(Debug)]
pub struct LookupAnswer<E> {
    /// `None` where nobody wants each.
    nodes: Option<mpsc::Sender<Node>>,
    done: Answer<Vec<Node>, E>,
}

impl<E: From<Closed>> Lookup<E> {
    /// Has a command done that looks for nodes.
    ///
    /// # Errors
    /// [`Closed`], where the service has ended.
    pub async fn start<C: Send + 'static>(
        commands: &Commands<C>,
        command: impl FnOnce(LookupAnswer<E>) -> C,
    ) -> Result<Self, E> {
        let (sender, nodes) = mpsc::channel(LOOKUP_BUFFER);
        let (done, query) = commands.query();
        commands.send(command(LookupAnswer { nodes: Some(sender), done })).await?;
        Ok(Self { nodes, query, _service: Box::new(commands.clone()) })
    }

    /// The next node that answered; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Node> {
        self.nodes.recv().await
    }

    /// Waits for the end, and gives the nodes nearest to the target, nearest first. Dropping this
    /// cancels the lookup.
    ///
    /// # Errors
    /// Where too many lookups waited, or the service has ended.
    pub async fn finish(self) -> Result<Vec<Node>, E> {
        self.query.await
    }
}

impl<E> LookupAnswer<E> {
    /// Only the nearest are wanted, at the end.
    pub const fn at_the_end(done: Answer<Vec<Node>, E>) -> Self {
        Self { nodes: None, done }
    }

    /// Tells of one more node that answered. A reader that does not read is told at the end.
    pub fn tell(&self, node: Node) {
        if let Some(nodes) = &self.nodes {
            let _ = nodes.try_send(node);
        }
    }

    /// The end of the lookup.
    pub fn give(self, result: Result<Vec<Node>, E>) {
        self.done.give(result);
    }

    /// Whether who asked is gone.
    pub fn is_abandoned(&self) -> bool {
        self.done.is_abandoned()
    }
}

impl<E> Stream for Lookup<E> {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        self.nodes.poll_recv(cx)
    }
}

impl<E> fmt::Debug for Lookup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}
