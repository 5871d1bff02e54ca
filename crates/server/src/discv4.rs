//! Discovery v4 as a part of the server.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use devp2p_core::{Node, PublicKey, check_relay_addr};
use devp2p_discv4::{Handle, QueryError, TableInfo};
use futures::{
    Stream, StreamExt as _,
    future::{BoxFuture, ready},
    stream::BoxStream,
};
use tracing::{debug, trace};

use crate::{Config, Discovery, search::Bootstrap};

/// The verified nodes of a running discovery, as candidates to dial.
pub struct Discv4Nodes {
    handle: Handle,
    nodes: BoxStream<'static, Node>,
}

impl Discv4Nodes {
    /// The nodes that this discovery finds.
    pub fn new(handle: Handle) -> Self {
        Self { nodes: handle.nodes().boxed(), handle }
    }

    /// The same, and each with its record: those whose record is not known are asked for it, and
    /// left out where they do not give one.
    pub fn with_records(handle: Handle) -> Self {
        let asking = handle.clone();
        let nodes = handle.nodes().map(move |node| recorded(asking.clone(), node));
        // In their order, which is random: who answers first must not go first.
        let nodes = nodes.buffered(MAX_RECORD_REQUESTS).filter_map(ready);
        Self { nodes: nodes.boxed(), handle }
    }
}

/// How many nodes are asked for their records at once (geth's `maxParallelENRRequests`).
const MAX_RECORD_REQUESTS: usize = 16;

/// The node that the record of this one describes.
async fn recorded(handle: Handle, node: Node) -> Option<Node> {
    if node.record().is_some() {
        return Some(node);
    }
    let record = handle.request_enr(&node).await;
    let record = record.inspect_err(|error| trace!(%node, err = %error, "Node gives no record"));
    let found = Node::from_record(record.ok()?);
    let known = node.ip()?;
    found.tcp_addrs().iter().all(|addr| is_believable(known, addr.ip())).then_some(found)
}

/// Whether a node that answers at `known` may be at `told`, too. One that does not know its own
/// address yet tells that of a loopback, for one, and others tell of networks that they are not in.
fn is_believable(known: IpAddr, told: IpAddr) -> bool {
    // The rule on ports is for UDP.
    told == known || check_relay_addr(known, SocketAddr::new(told, u16::MAX)).is_ok()
}

impl Stream for Discv4Nodes {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        Pin::new(&mut self.nodes).poll_next(cx)
    }
}

impl Discovery for Discv4Nodes {
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let found = handle.resolve(public_key).await;
            found
                .inspect_err(|error| debug!(err = %error, "Lookup of a node failed"))
                .ok()
                .flatten()
        })
    }
}

impl fmt::Debug for Discv4Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discv4Nodes").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Bootstrap for Handle {
    async fn picture(&self) -> Option<TableInfo> {
        self.table().await.ok()
    }

    async fn answers(&self, node: &Node) -> Option<bool> {
        match self.ping(node).await {
            Ok(_) => Some(true),
            Err(QueryError::Closed) => None,
            Err(error) => {
                debug!(%node, err = %error, "Bootstrap node does not answer");
                Some(false)
            }
        }
    }

    async fn adopt(&self, node: Node) -> Option<()> {
        self.add_bootstrap_node(node).await.ok()
    }
}

/// The options of the discovery, without the bootstrap nodes that have only a name.
pub(crate) fn options(config: &Config) -> devp2p_discv4::Config {
    let mut options = config.discv4.clone();
    let bootstrap_nodes = config.bootstrap_nodes.iter();
    options.bootstrap_nodes = bootstrap_nodes.filter(|node| node.ip().is_some()).cloned().collect();
    options.lan_policy = config.lan_policy;
    if config.net_restrict.is_some() {
        options.net_restrict.clone_from(&config.net_restrict);
    }
    options
}

#[cfg(test)]
mod tests {
    use devp2p_core::{Host, LanPolicy, NodeKey};

    use super::*;

    fn node(n: u8, host: Option<Host>) -> Node {
        let key = NodeKey::from_bytes(&[n; 32]).unwrap();
        Node::new(key.public_key(), host, 30303, 30303)
    }

    #[test]
    fn a_record_tells_of_addresses_that_its_node_can_know_of() {
        for (known, told, expected) in [
            ("8.8.8.8", "8.8.8.8", true),
            ("8.8.8.8", "9.9.9.9", true),
            ("8.8.8.8", "2a00::1", true),
            ("8.8.8.8", "127.0.0.1", false),
            ("8.8.8.8", "::1", false),
            ("8.8.8.8", "192.168.1.1", false),
            ("8.8.8.8", "fd00::1", false),
            ("192.168.1.2", "192.168.1.1", true),
            ("192.168.1.2", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            let found = is_believable(known.parse().unwrap(), told.parse().unwrap());
            assert_eq!(found, expected, "{told}, told by {known}");
        }
    }

    #[test]
    fn the_options_of_the_server_win() {
        let there = node(1, Some(Host::Ip([192, 0, 2, 1].into())));
        let named = node(2, Some(Host::Dns("node.example".into())));
        let mut config = Config::default();
        config.discv4.bootstrap_nodes = vec![node(3, None)];
        config.discv4.net_restrict = Some("10.0.0.0/8".parse().unwrap());
        let kept = options(&config);
        assert_eq!(kept.net_restrict, config.discv4.net_restrict);
        assert_eq!(kept.bootstrap_nodes, []);

        config.bootstrap_nodes = vec![there.clone(), named];
        config.net_restrict = Some("192.0.2.0/24".parse().unwrap());
        config.lan_policy = LanPolicy::Limit;
        let options = options(&config);
        assert_eq!(options.bootstrap_nodes, [there], "names are looked up");
        assert_eq!(options.net_restrict, config.net_restrict);
        assert_eq!(options.lan_policy, LanPolicy::Limit);
    }
}
