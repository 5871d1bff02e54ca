use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use devp2p_core::{Node, NodeId, PublicKey};
use devp2p_server::Discovery;
use futures::{Stream, future::BoxFuture};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Where nodes announce themselves, and others read of them: discovery with a centre.
#[derive(Clone, Default)]
pub(crate) struct Noticeboard(Arc<Mutex<BTreeMap<NodeId, Node>>>);

impl Noticeboard {
    pub(crate) fn announce(&self, node: Node) {
        self.0.lock().unwrap().insert(node.id(), node);
    }

    fn nodes(&self) -> VecDeque<Node> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    /// Reads the board over and over.
    pub(crate) fn reader(&self) -> Reader {
        let mut rounds = interval(Duration::from_secs(1));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Reader { board: self.clone(), rounds, read: VecDeque::new() }
    }
}

/// One who reads the board, once a second.
pub(crate) struct Reader {
    board: Noticeboard,
    rounds: Interval,
    read: VecDeque<Node>,
}

impl Stream for Reader {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        loop {
            if let Some(node) = self.read.pop_front() {
                return Poll::Ready(Some(node));
            }
            ready!(self.rounds.poll_tick(cx));
            self.read = self.board.nodes();
        }
    }
}

impl Discovery for Reader {
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        let found = self.board.0.lock().unwrap().get(&public_key.into()).cloned();
        Box::pin(std::future::ready(found))
    }
}
