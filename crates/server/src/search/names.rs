//! Bootstrap nodes that have only a name.

use std::{sync::Arc, time::Duration};

use devp2p_core::{Host, Node};
use devp2p_udp::TableInfo;
use tokio::time::sleep;
use tracing::debug;

use crate::{Dialer, runtime::now};

/// A discovery, as it is told of bootstrap nodes. Nothing for an answer says that it has ended.
pub(crate) trait Bootstrap: Send + Sync + 'static {
    /// A picture of its table.
    fn picture(&self) -> impl Future<Output = Option<TableInfo>> + Send;

    /// Whether a node answers.
    fn answers(&self, node: &Node) -> impl Future<Output = Option<bool>> + Send;

    /// Tells of a node.
    fn adopt(&self, node: Node) -> impl Future<Output = Option<()>> + Send;
}

/// How often it is looked whether the bootstrap nodes with a name are there. The names of those that
/// are not are looked up again then.
const NAME_RETRY: Duration = Duration::from_secs(30);

/// How often the names of the others are: their addresses may change, too.
const NAME_REFRESH: Duration = Duration::from_mins(30);

/// How many addresses of one name are tried. Names of nodes have one or two.
const MAX_ADDRESSES: usize = 8;

/// Looks up the bootstrap nodes that have only a name, and tells the discovery of them, until that
/// has ended.
pub(super) async fn look_up_names(
    named: Vec<Node>,
    dialer: Arc<dyn Dialer>,
    discovery: impl Bootstrap,
) {
    let mut named: Vec<_> = named.into_iter().map(|node| (node, now())).collect();
    while !named.is_empty() {
        let Some(table) = discovery.picture().await else { return };
        for (node, refresh_at) in &mut named {
            if now() < *refresh_at && is_verified(&table, node) {
                continue;
            }
            match look_up_name(node, dialer.as_ref(), &discovery).await {
                Some(true) => *refresh_at = now() + NAME_REFRESH,
                Some(false) => {}
                None => return,
            }
        }
        sleep(NAME_RETRY).await;
    }
}

/// Whether the node is known to be there, with a place in the table or without.
fn is_verified(table: &TableInfo, node: &Node) -> bool {
    let mut entries =
        table.buckets.iter().flat_map(|bucket| bucket.entries.iter().chain(&bucket.replacements));
    entries.any(|entry| entry.node.id() == node.id() && entry.is_verified())
}

/// Whether the node answers at an address of its name. The discovery is told the first at which it
/// does, or else the first of all. Nothing says that the discovery has ended.
async fn look_up_name(
    node: &Node,
    dialer: &dyn Dialer,
    discovery: &impl Bootstrap,
) -> Option<bool> {
    let Some(Host::Dns(name)) = node.host() else { return Some(true) };
    let ips = match dialer.resolve(name).await {
        Ok(ips) => ips,
        Err(error) => {
            debug!(%node, err = %error, "DNS lookup of bootstrap node failed");
            return Some(false);
        }
    };
    let found: Vec<_> = ips.into_iter().take(MAX_ADDRESSES).map(|ip| node.with_ip(ip)).collect();
    for node in &found {
        if discovery.answers(node).await? {
            discovery.adopt(node.clone()).await?;
            return Some(true);
        }
    }
    if let Some(node) = found.into_iter().next() {
        discovery.adopt(node).await?;
    }
    Some(false)
}

#[cfg(test)]
#[cfg(feature = "discv4")]
mod tests {
    use std::{
        collections::BTreeSet,
        future::{poll_fn, ready},
        io,
        net::IpAddr,
        sync::Mutex,
        time::Instant,
    };

    use devp2p_core::{LocalRecord, NodeKey};
    use devp2p_discv4::{DatagramService as _, Service};
    use futures::future::BoxFuture;
    use tokio::time::timeout;

    use super::*;
    use crate::{Io, runtime::lock};

    fn node(n: u8, host: Option<Host>) -> Node {
        let key = NodeKey::from_bytes(&[n; 32]).unwrap();
        Node::new(key.public_key(), host, 30303, 30303)
    }

    /// Writes down when it is asked for a name.
    #[derive(Debug, Default)]
    struct Names(Mutex<Vec<Instant>>);

    impl Dialer for Names {
        fn dial(&self, _: &Node) -> BoxFuture<'static, io::Result<Io>> {
            Box::pin(ready(Err(io::ErrorKind::NotFound.into())))
        }

        fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            lock(&self.0).push(now());
            Box::pin(ready(Ok(vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])])))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_while_its_node_is_silent() {
        let key = NodeKey::from_bytes(&[9; 32]).unwrap();
        let record = LocalRecord::new(key.clone(), None, 0).unwrap();
        let options = devp2p_discv4::Config::default();
        let record = Arc::new(Mutex::new(record));
        let (mut service, handle) = Service::new(options, key, record, Vec::new(), [1; 32]);
        let sent = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Some(transmit) = poll_fn(|cx| service.poll_transmit(cx)).await {
                lock(&seen).insert(transmit.to);
            }
        });
        let (names, start) = (Arc::new(Names::default()), now());
        let named = vec![node(1, Some(Host::Dns("node.example".into())))];
        let looking = look_up_names(named, Arc::<Names>::clone(&names), handle);
        timeout(Duration::from_mins(10), looking).await.unwrap_err();
        let asked = lock(&names.0).clone();
        assert_eq!(asked[0], start);
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_mins(1)));
        assert!(asked.len() >= 10, "{}", asked.len());
        let addresses = ["192.0.2.1:30303", "192.0.2.2:30303"].map(|addr| addr.parse().unwrap());
        assert_eq!(*lock(&sent), BTreeSet::from(addresses), "each address is tried");
    }
}
