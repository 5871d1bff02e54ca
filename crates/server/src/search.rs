//! The discoveries of a server: their sockets, what they find, and what is remembered of it.

mod distinct;
mod names;

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use devp2p_core::{DiscoveryVersion, Family, Node, NodeKey, Rng, Seed, WallClock};
use devp2p_udp::Rows;
use futures::{future::BoxFuture, stream};
use tokio_util::sync::CancellationToken;
use tracing::{error, trace};

pub(crate) use self::names::Bootstrap;
use self::{distinct::Distinct, names::look_up_names};
use crate::{
    Config, Dialer, Discovery, DiscoveryShares, Event, NodeDb, Row,
    discovery::Candidates,
    runtime::{OwnRecord, Shared, lock},
    sockets::UdpSockets,
    udp::{DatagramService, Socket, Transmit, Udp},
};

/// The discoveries that are about to run.
#[derive(Default)]
pub(crate) struct Search {
    #[cfg(feature = "discv4")]
    pub(crate) discv4: Option<devp2p_discv4::Handle>,
    #[cfg(feature = "discv5")]
    pub(crate) discv5: Option<devp2p_discv5::Handle>,
    /// The sockets, in the order of the stop.
    udp: Vec<Udp>,
    rows: Vec<(DiscoveryVersion, Rows)>,
    /// The lookups of bootstrap nodes that have only a name.
    names: Vec<BoxFuture<'static, ()>>,
    /// What they find, each with its share.
    found: Vec<(u32, Box<dyn Discovery>)>,
    /// What an earlier run knew, in any order, each node once.
    remembered: Vec<Node>,
}

impl Search {
    pub(crate) fn new(
        sockets: UdpSockets,
        config: &Config,
        key: &NodeKey,
        dialer: &Arc<dyn Dialer>,
        record: &Arc<OwnRecord>,
        seeds: &[Seed],
        rng: &mut Rng,
    ) -> Self {
        let mut search = Self { remembered: nodes(seeds, rng), ..Self::default() };
        let mut places = [sockets.shared, sockets.v5].map(|socket| socket.map(Place::new));
        let [shared, own] = &mut places;
        let has_own = own.is_some();
        // First on a shared socket: it knows its packets, and what is left is for v4.
        #[cfg(feature = "discv5")]
        if config.runs_v5()
            && let Some(place) = own.as_mut().or(shared.as_mut())
        {
            let mut options = crate::discv5::options(config);
            options.family = options.family.or(place.family);
            let (local, seed) = (Arc::clone(record.local()), rng.seed());
            let seeds = seeds_of(DiscoveryVersion::V5, seeds);
            let (service, handle) =
                devp2p_discv5::Service::new(options, key.clone(), local, seeds, seed);
            let is_alone = has_own || !config.runs_v4();
            place.serve(if is_alone { service.alone() } else { service }, record);
            search.rows.push((DiscoveryVersion::V5, handle.rows()));
            search.find_named(&config.bootstrap_nodes_v5, dialer, handle.clone());
            let nodes = crate::Discv5Nodes::new(handle.clone());
            search.found.push((config.shares.v5, Box::new(nodes)));
            search.discv5 = Some(handle);
        }
        #[cfg(feature = "discv4")]
        if config.runs_v4()
            && let Some(place) = shared
        {
            let mut options = crate::discv4::options(config);
            options.family = options.family.or(place.family);
            let (local, seed) = (Arc::clone(record.local()), rng.seed());
            let seeds = seeds_of(DiscoveryVersion::V4, seeds);
            let (service, handle) =
                devp2p_discv4::Service::new(options, key.clone(), local, seeds, seed);
            // The record tells of one port for both, which is then that of v5.
            place.serve(if has_own { service.without_votes() } else { service }, record);
            search.rows.push((DiscoveryVersion::V4, handle.rows()));
            search.find_named(&config.bootstrap_nodes, dialer, handle.clone());
            let nodes = match config.dial_filter {
                Some(_) => crate::Discv4Nodes::with_records(handle.clone()),
                None => crate::Discv4Nodes::new(handle.clone()),
            };
            search.found.push((config.shares.v4, Box::new(nodes)));
            search.discv4 = Some(handle);
        }
        search.udp = places.into_iter().flatten().map(|place| place.udp).collect();
        search
    }

    /// The candidates that it finds and those that lists in DNS have, each node from one of them
    /// only; and, once, those that an earlier run knew: while it begins to look around, the nodes
    /// that answer first are those of whoever wants that most.
    pub(crate) fn sources(
        &mut self,
        shares: &DiscoveryShares,
        dns: Option<(u32, Box<dyn Discovery>)>,
    ) -> Vec<(u32, Box<dyn Discovery>)> {
        let found = std::mem::take(&mut self.found);
        let mut sources = Distinct::all(found.into_iter().chain(dns));
        if !self.udp.is_empty() {
            let remembered = stream::iter(std::mem::take(&mut self.remembered));
            let remembered = Box::new(Candidates(Box::pin(remembered)));
            sources.push((shares.remembered, remembered));
        }
        sources
    }

    /// Runs it until the stop.
    pub(crate) fn run(self, shared: &Arc<Shared>) {
        for udp in self.udp {
            let telling = Arc::downgrade(shared);
            let living = live(shared.quit.clone(), udp, move |failed| {
                if let Some(shared) = telling.upgrade() {
                    shared.emit(failed);
                }
            });
            lock(&shared.udp).push(shared.tasks.spawn(living));
        }
        for (protocol, rows) in self.rows {
            shared.spawn(remember(protocol, rows, Arc::clone(&shared.node_db)));
        }
        for names in self.names {
            let quit = shared.quit.clone();
            shared.spawn(async move {
                let _ = quit.run_until_cancelled(names).await;
            });
        }
    }

    /// Has the names of bootstrap nodes looked up while it runs.
    fn find_named(&mut self, nodes: &[Node], dialer: &Arc<dyn Dialer>, discovery: impl Bootstrap) {
        let named: Vec<_> = nodes.iter().filter(|node| node.ip().is_none()).cloned().collect();
        self.names.push(Box::pin(look_up_names(named, Arc::clone(dialer), discovery)));
    }
}

/// A socket and what lives on it.
struct Place {
    /// What it reaches. A socket that does not tell its address reaches who knows what.
    family: Option<Family>,
    udp: Udp,
}

impl Place {
    fn new(socket: Socket) -> Self {
        Self { family: socket.family().unwrap_or_default(), udp: Udp::new(socket) }
    }

    fn serve(&mut self, service: impl DatagramService, record: &Arc<OwnRecord>) {
        self.udp.add(Keeping { service, record: Arc::clone(record) });
    }
}

/// The nodes of these seeds, each once, in any order.
fn nodes(seeds: &[Seed], rng: &mut Rng) -> Vec<Node> {
    let mut known = BTreeSet::new();
    let nodes = seeds.iter().map(|seed| &seed.node).filter(|node| known.insert(node.id()));
    let mut nodes: Vec<_> = nodes.cloned().collect();
    shuffle(&mut nodes, rng);
    nodes
}

/// The seeds that are for this version of the protocol.
fn seeds_of(version: DiscoveryVersion, seeds: &[Seed]) -> Vec<Seed> {
    seeds.iter().filter(|seed| seed.protocol == version).cloned().collect()
}

/// Each order is as likely as any other.
fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for (last, others) in (1..items.len()).zip(2_u64..) {
        items.swap(last, usize::try_from(rng.below(others)).unwrap_or(last));
    }
}

/// A service that shows no record whose number the database does not have.
struct Keeping<S> {
    service: S,
    record: Arc<OwnRecord>,
}

impl<S: DatagramService> DatagramService for Keeping<S> {
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
async fn remember(protocol: DiscoveryVersion, mut rows: Rows, db: Arc<dyn NodeDb>) {
    while let Some(row) = rows.next().await {
        match row {
            Ok(devp2p_udp::Row::Remember(seed)) => db.write(Row::Seed(seed)),
            Ok(devp2p_udp::Row::Forget(id)) => db.write(Row::Forget { protocol, id }),
            Ok(_) => {}
            Err(missed) => trace!(err = %missed, "Too many nodes to remember"),
        }
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

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::Mutex,
    };

    use super::*;

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
    fn seeds_are_for_their_version_and_each_node_is_tried_once() {
        let node = |n: u8| Node::from(NodeKey::from_bytes(&[n; 32]).unwrap().public_key());
        let endpoint = "192.0.2.1:30303".parse().unwrap();
        let seed = |n, version| Seed::new(node(n), endpoint, version, 1);
        let (v4, v5) = (DiscoveryVersion::V4, DiscoveryVersion::V5);
        let seeds = [seed(1, v5), seed(2, v4), seed(2, v5), seed(3, v4)];
        assert_eq!(seeds_of(v4, &seeds), [seed(2, v4), seed(3, v4)]);
        assert_eq!(seeds_of(v5, &seeds), [seed(1, v5), seed(2, v5)]);
        let found: BTreeSet<_> =
            nodes(&seeds, &mut Rng::from_seed([1; 32])).iter().map(Node::id).collect();
        assert_eq!(found, [1, 2, 3].map(|n| node(n).id()).into());
        assert_eq!(nodes(&seeds, &mut Rng::from_seed([1; 32])).len(), 3);
    }
}
