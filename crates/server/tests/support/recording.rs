//! A dialer that only takes down who is dialed.

use std::{
    future::pending,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use devp2p_core::Node;
use devp2p_server::{Dialer, Io};
use futures::future::BoxFuture;

/// Its dials never end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<Node>>>);

impl Recording {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Who was dialed, in this order.
    pub(crate) fn dialed(&self) -> Vec<Node> {
        self.0.lock().unwrap().clone()
    }
}

impl Dialer for Recording {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        self.0.lock().unwrap().push(node.clone());
        Box::pin(pending())
    }

    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(pending())
    }
}
