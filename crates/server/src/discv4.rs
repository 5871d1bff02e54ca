//! Discovery v4 as a part of the server.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use devp2p_core::{DiscoveryVersion, Host, Node, NodeKey, PublicKey, Rng, Seed, WallClock};
use devp2p_discv4::{Handle, Nodes, QueryError, Rows, Service, TableInfo};
use futures::{Stream, future::BoxFuture, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, trace};

use crate::{
    Config, Dialer, Discovery, DiscoveryShares, Event, NodeDb, Row,
    discovery::Candidates,
    runtime::{OwnRecord, Shared, lock, now},
    udp::{DatagramService, Socket, Transmit, Udp},
};

/// The verified nodes of a running discovery, as candidates to dial.
#[derive(Debug)]
pub struct Discv4Nodes {
    handle: Handle,
    nodes: Nodes,
}

impl Discv4Nodes {
    /// The nodes that this discovery finds.
    pub fn new(handle: Handle) -> Self {
        Self { nodes: handle.nodes(), handle }
    }
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

/// A discovery that is about to run.
pub(crate) struct Search {
    pub(crate) handle: Handle,
    udp: Udp,
    rows: Rows,
    /// What an earlier run knew, in any order.
    remembered: Vec<Node>,
}

impl Search {
    pub(crate) fn new(
        socket: Socket,
        config: &Config,
        key: &NodeKey,
        record: &Arc<OwnRecord>,
        seeds: Vec<Seed>,
        rng: &mut Rng,
    ) -> Self {
        let mut remembered: Vec<_> = seeds.iter().map(|seed| seed.node.clone()).collect();
        shuffle(&mut remembered, rng);
        let (local, seed) = (Arc::clone(record.local()), rng.seed());
        let mut options = options(config);
        // A socket that does not tell its address reaches who knows what.
        options.family = options.family.or_else(|| socket.family().unwrap_or_default());
        let (service, handle) = Service::new(options, key.clone(), local, seeds, seed);
        let rows = handle.rows();
        let udp = Udp::new(socket).serve(Keeping { service, record: Arc::clone(record) });
        Self { handle, udp, rows, remembered }
    }

    /// The candidates that it finds, and, once, those that an earlier run knew: while it begins to
    /// look around, the nodes that answer first are those of whoever wants that most.
    pub(crate) fn sources(&self, shares: &DiscoveryShares) -> [(u32, Box<dyn Discovery>); 2] {
        let remembered = Candidates(Box::pin(stream::iter(self.remembered.clone())));
        let found = Discv4Nodes::new(self.handle.clone());
        [(shares.v4, Box::new(found)), (shares.remembered, Box::new(remembered))]
    }

    /// Runs it until the stop.
    pub(crate) fn run(self, shared: &Arc<Shared>, config: &Config) {
        let Self { handle, udp, rows, remembered: _ } = self;
        let (quit, telling) = (shared.quit.clone(), Arc::downgrade(shared));
        let living = live(quit, udp, move |failed| {
            if let Some(shared) = telling.upgrade() {
                shared.emit(failed);
            }
        });
        *lock(&shared.udp) = Some(shared.tasks.spawn(living));
        shared.spawn(remember(rows, Arc::clone(&shared.node_db)));
        let named = config.bootstrap_nodes.iter().filter(|node| node.ip().is_none());
        let names = look_up_names(named.cloned().collect(), Arc::clone(&shared.dialer), handle);
        let quit = shared.quit.clone();
        shared.spawn(async move {
            let _ = quit.run_until_cancelled(names).await;
        });
    }
}

/// Has the socket live until the stop, and tells if it did not live so long.
async fn live(
    quit: CancellationToken,
    udp: impl Future<Output = io::Result<()>>,
    tell: impl FnOnce(Event),
) {
    if let Some(Err(error)) = quit.run_until_cancelled(udp).await {
        error!(err = %error, "The UDP socket failed: discovery has ended");
        tell(Event::DiscoveryFailed { error: error.to_string() });
    }
}

/// The options of the discovery, without the bootstrap nodes that have only a name.
fn options(config: &Config) -> devp2p_discv4::Config {
    let mut options = config.discv4.clone();
    let bootstrap_nodes = config.bootstrap_nodes.iter();
    options.bootstrap_nodes = bootstrap_nodes.filter(|node| node.ip().is_some()).cloned().collect();
    options.lan_policy = config.lan_policy;
    if config.net_restrict.is_some() {
        options.net_restrict.clone_from(&config.net_restrict);
    }
    options
}

/// The seeds that are for this version of the protocol.
pub(crate) fn seeds(remembered: Vec<Seed>) -> Vec<Seed> {
    remembered.into_iter().filter(|seed| seed.protocol == DiscoveryVersion::V4).collect()
}

/// Each order is as likely as any other.
fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for (last, others) in (1..items.len()).zip(2_u64..) {
        items.swap(last, usize::try_from(rng.below(others)).unwrap_or(last));
    }
}

/// A service that shows no record whose number the database does not have.
struct Keeping {
    service: Service,
    record: Arc<OwnRecord>,
}

impl DatagramService for Keeping {
    fn claims(&self, datagram: &[u8]) -> bool {
        self.service.claims(datagram)
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.service.handle_datagram(now, from, datagram);
    }

    fn handle_wall_clock(&mut self, wall_clock: WallClock) {
        self.service.handle_wall_clock(wall_clock);
    }

    fn handle_receive_error(&mut self) {
        self.service.handle_receive_error();
    }

    fn handle_send_error(&mut self) {
        self.service.handle_send_error();
    }

    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> Poll<Option<Transmit>> {
        let transmit = self.service.poll_transmit(cx);
        // Also where nothing is to be sent: handles show the record, too.
        self.record.keep();
        transmit
    }
}

/// Writes what the discovery wants remembered, until its end.
async fn remember(mut rows: Rows, db: Arc<dyn NodeDb>) {
    while let Some(row) = rows.next().await {
        match row {
            Ok(devp2p_discv4::Row::Remember(seed)) => db.write(Row::Seed(seed)),
            Ok(devp2p_discv4::Row::Forget(id)) => {
                db.write(Row::Forget { protocol: DiscoveryVersion::V4, id });
            }
            Ok(_) => {}
            Err(missed) => trace!(err = %missed, "Too many nodes to remember"),
        }
    }
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
async fn look_up_names(named: Vec<Node>, dialer: Arc<dyn Dialer>, handle: Handle) {
    let mut named: Vec<_> = named.into_iter().map(|node| (node, now())).collect();
    while !named.is_empty() {
        let Ok(table) = handle.table().await else { return };
        for (node, refresh_at) in &mut named {
            if now() < *refresh_at && is_verified(&table, node) {
                continue;
            }
            match look_up_name(node, dialer.as_ref(), &handle).await {
                Ok(true) => *refresh_at = now() + NAME_REFRESH,
                Ok(false) => {}
                Err(_) => return,
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
/// does, or else the first of all. An error says that the discovery has ended.
async fn look_up_name(
    node: &Node,
    dialer: &dyn Dialer,
    handle: &Handle,
) -> Result<bool, QueryError> {
    let Some(Host::Dns(name)) = node.host() else { return Ok(true) };
    let ips = match dialer.resolve(name).await {
        Ok(ips) => ips,
        Err(error) => {
            debug!(%node, err = %error, "DNS lookup of bootstrap node failed");
            return Ok(false);
        }
    };
    let found: Vec<_> = ips.into_iter().take(MAX_ADDRESSES).map(|ip| node.with_ip(ip)).collect();
    for node in &found {
        match handle.ping(node).await {
            Ok(_) => return handle.add_bootstrap_node(node.clone()).await.map(|()| true),
            Err(QueryError::Closed) => return Err(QueryError::Closed),
            Err(error) => debug!(%node, err = %error, "Bootstrap node does not answer"),
        }
    }
    if let Some(node) = found.into_iter().next() {
        handle.add_bootstrap_node(node).await?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        future::{pending, poll_fn, ready},
        net::IpAddr,
        sync::Mutex,
    };

    use devp2p_core::{LanPolicy, LocalRecord};
    use tokio::time::timeout;

    use super::*;
    use crate::Io;

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

    #[tokio::test]
    async fn a_socket_that_fails_is_told_of_and_a_stop_is_not() {
        let events = Mutex::new(Vec::new());
        let run = |quit, udp: BoxFuture<'static, io::Result<()>>| {
            live(quit, udp, |event| lock(&events).push(event))
        };
        let quit = CancellationToken::new();
        run(quit.clone(), Box::pin(ready(Ok(())))).await;
        run(quit.clone(), Box::pin(ready(Err(io::Error::other("gone"))))).await;
        quit.cancel();
        run(quit, Box::pin(pending())).await;
        assert_eq!(*lock(&events), [Event::DiscoveryFailed { error: "gone".into() }]);
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

    #[test]
    fn seeds_of_another_version_are_not_ours() {
        let endpoint = "192.0.2.1:30303".parse().unwrap();
        let seed = |n, version| Seed::new(node(n, None), endpoint, version, 1);
        let found = seeds(vec![seed(1, DiscoveryVersion::V5), seed(2, DiscoveryVersion::V4)]);
        assert_eq!(found, [seed(2, DiscoveryVersion::V4)]);
    }
}
