//! Discovery v4 as a part of the server.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use devp2p_core::{DiscoveryVersion, Host, Node, NodeKey, PublicKey, Rng, Seed, WallClock};
use devp2p_discv4::{Handle, Nodes, Rows, Service};
use futures::{Stream, future::BoxFuture, stream};
use tokio::time::sleep;
use tracing::{debug, error, trace};

use crate::{
    Config, Dialer, Discovery, DiscoveryShares, NodeDb, Row,
    discovery::Candidates,
    runtime::{OwnRecord, Shared, lock},
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
        let (service, handle) = Service::new(options(config), key.clone(), local, seeds, seed);
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
        let quit = shared.quit.clone();
        let living = async move {
            if let Some(Err(error)) = quit.run_until_cancelled(udp).await {
                error!(err = %error, "The UDP socket failed: discovery has ended");
            }
        };
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

/// The options of the discovery, without the bootstrap nodes that have only a name.
fn options(config: &Config) -> devp2p_discv4::Config {
    let mut options = config.discv4.clone();
    let bootstrap_nodes = config.bootstrap_nodes.iter();
    options.bootstrap_nodes = bootstrap_nodes.filter(|node| node.ip().is_some()).cloned().collect();
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
        if let Poll::Ready(Some(_)) = transmit {
            self.record.keep();
        }
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

/// How often the names of bootstrap nodes are looked up again: those that failed, and the others,
/// whose address may change.
const NAME_RETRY: Duration = Duration::from_mins(1);
const NAME_REFRESH: Duration = Duration::from_mins(30);

/// Looks up the bootstrap nodes that have only a name, for ever, and tells the discovery of them.
async fn look_up_names(named: Vec<Node>, dialer: Arc<dyn Dialer>, handle: Handle) {
    if named.is_empty() {
        return;
    }
    loop {
        let mut pause = NAME_REFRESH;
        for node in &named {
            let Some(Host::Dns(name)) = node.host() else { continue };
            match dialer.resolve(name).await {
                Ok(ips) => {
                    for ip in ips {
                        if handle.add_node(node.with_ip(ip)).await.is_err() {
                            // The discovery has ended.
                            return;
                        }
                    }
                }
                Err(error) => {
                    debug!(%node, err = %error, "DNS lookup of bootstrap node failed");
                    pause = NAME_RETRY;
                }
            }
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8, host: Option<Host>) -> Node {
        let key = NodeKey::from_bytes(&[n; 32]).unwrap();
        Node::new(key.public_key(), host, 30303, 30303)
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
        let options = options(&config);
        assert_eq!(options.bootstrap_nodes, [there], "names are looked up");
        assert_eq!(options.net_restrict, config.net_restrict);
    }

    #[test]
    fn seeds_of_another_version_are_not_ours() {
        let endpoint = "192.0.2.1:30303".parse().unwrap();
        let seed = |n, version| Seed::new(node(n, None), endpoint, version, 1);
        let found = seeds(vec![seed(1, DiscoveryVersion::V5), seed(2, DiscoveryVersion::V4)]);
        assert_eq!(found, [seed(2, DiscoveryVersion::V4)]);
    }
}
