use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use devp2p_core::Node;
use futures_core::Stream;
use tracing::debug;

use crate::{AnyResolver, Client, Config, Driver, Event, Link, driver::now};

/// The nodes of some trees, in random order, round after round: a stream that does not end.
///
/// It looks up no more than it takes to give the next node, so a tree is never fetched as a whole
/// for a few of its nodes, and nothing is looked up while nobody polls. What a tree leads to that
/// cannot be read is logged (target `devp2p_dnsdisc`, level debug).
///
/// Whoever signs a list decides what is in it: where nodes of other sources are to be had, a list
/// should have its share and no more.
///
/// # Cancel safety
/// As [`Driver`]: no node is lost.
#[derive(Debug)]
pub struct Nodes {
    driver: Driver,
}

impl Nodes {
    /// The nodes of these trees. `seed` is 32 random bytes.
    pub fn new(
        config: Config,
        trees: impl IntoIterator<Item = Link>,
        resolver: AnyResolver,
        seed: [u8; 32],
    ) -> Self {
        let client = Client::new(config, trees, seed, now());
        Self { driver: Driver::new(client, resolver) }
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        self.driver.client()
    }
}

impl Stream for Nodes {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        loop {
            if self.driver.client().wanted() == 0 {
                self.driver.want(1);
            }
            match ready!(Pin::new(&mut self.driver).poll_next(cx)) {
                Some(Event::Record { record, .. }) => {
                    return Poll::Ready(Some(Node::from_record(record)));
                }
                Some(Event::Failed { tree, name, error }) => {
                    debug!(domain = tree.domain(), name, err = %error, "Node list cannot be read");
                }
                Some(Event::Link { tree, link }) => {
                    debug!(domain = tree.domain(), link = %link, "Node list links to another");
                }
                Some(Event::Root { tree, root }) => {
                    debug!(domain = tree.domain(), seq = root.seq(), "Node list has a new root");
                }
                Some(Event::Round { tree, records, failed }) => {
                    debug!(domain = tree.domain(), records, failed, "Node list was read");
                }
                None => return Poll::Ready(None),
            }
        }
    }
}
