//! What `devp2p run` runs with.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use devp2p_core::{DiscoveryVersion, NetRestrict, Node, NodeKey};
use devp2p_dnsdisc::Link;
use devp2p_nat::Nat;
use devp2p_server::Config;

use super::{Bind, Proxy};
use crate::{
    args::KeyArgs,
    eth::{Chain, ForkId},
    failure::Failure,
    metrics,
    network::Network,
    rpc::{self, RpcArgs},
};

/// What the node runs with, once every source of options has been heard. What is `None` is not
/// told by any.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) datadir: Option<PathBuf>,
    pub(crate) key: KeyArgs,

    pub(crate) max_peers: u16,
    pub(crate) max_pending_peers: u16,
    pub(crate) peers_per_network: u16,
    pub(crate) dial_ratio: u16,
    pub(crate) no_dial: bool,
    pub(crate) no_discovery: bool,
    pub(crate) discovery_v4: bool,
    pub(crate) discovery_v5: bool,
    pub(crate) name: String,
    pub(crate) bootstrap_nodes: Option<Vec<Node>>,
    pub(crate) bootstrap_nodes_v5: Option<Vec<Node>>,
    pub(crate) static_nodes: Vec<Node>,
    pub(crate) trusted_nodes: Vec<Node>,
    pub(crate) net_restrict: Option<NetRestrict>,
    pub(crate) node_database: Option<PathBuf>,
    pub(crate) listen_addr: Bind,
    /// That of TCP, where there is none.
    pub(crate) disc_addr: Bind,
    /// That of v4, where there is none.
    pub(crate) discovery_v5_addr: Bind,
    pub(crate) nat: Nat,
    pub(crate) enable_msg_events: bool,

    pub(crate) metrics: bool,
    pub(crate) metrics_host: IpAddr,
    pub(crate) metrics_port: u16,
    pub(crate) rpc: RpcArgs,

    pub(crate) dns_lists: Option<Vec<Link>>,
    pub(crate) network: Option<Network>,
    pub(crate) network_id: Option<u64>,
    pub(crate) genesis: Option<[u8; 32]>,
    pub(crate) fork_id: Option<ForkId>,

    pub(crate) proxy: Option<Proxy>,
    pub(crate) json: bool,
}

impl Default for Settings {
    /// The server's defaults, which are geth's, and its way through a NAT.
    fn default() -> Self {
        let config = Config::default();
        let metrics = metrics::Options::default().addr;
        let small = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Self {
            datadir: None,
            key: KeyArgs::default(),
            max_peers: small(config.max_peers),
            max_pending_peers: small(config.max_pending_peers),
            peers_per_network: small(config.inbound.peers_per_prefix),
            dial_ratio: small(config.dial_ratio),
            no_dial: config.no_dial,
            no_discovery: config.no_discovery,
            discovery_v4: config.discovery_v4,
            discovery_v5: config.discovery_v5,
            name: config.name,
            bootstrap_nodes: None,
            bootstrap_nodes_v5: None,
            static_nodes: config.static_nodes,
            trusted_nodes: config.trusted_nodes,
            net_restrict: config.net_restrict,
            node_database: None,
            listen_addr: Bind(config.listen_addr),
            disc_addr: Bind(config.disc_addr),
            discovery_v5_addr: Bind(config.discovery_v5_addr),
            nat: Nat::Any,
            enable_msg_events: config.enable_msg_events,
            metrics: false,
            metrics_host: metrics.ip(),
            metrics_port: metrics.port(),
            rpc: RpcArgs::default(),
            dns_lists: None,
            network: None,
            network_id: None,
            genesis: None,
            fork_id: None,
            proxy: None,
            json: false,
        }
    }
}

impl Settings {
    /// The options of the server with this key, but for its subprotocols.
    pub(crate) fn config(&self, key: NodeKey) -> Result<Config, Failure> {
        let mut config = Config::new(key);
        config.max_peers = self.max_peers.into();
        config.max_pending_peers = self.max_pending_peers.into();
        config.inbound.peers_per_prefix = self.peers_per_network.into();
        config.dial_ratio = self.dial_ratio.into();
        config.no_dial = self.no_dial;
        config.no_discovery = self.no_discovery;
        config.discovery_v4 = self.discovery_v4;
        config.discovery_v5 = self.discovery_v5;
        config.name.clone_from(&self.name);
        config.bootstrap_nodes = self.bootnodes(DiscoveryVersion::V4)?;
        config.bootstrap_nodes_v5 = self.bootnodes(DiscoveryVersion::V5)?;
        config.static_nodes.clone_from(&self.static_nodes);
        config.trusted_nodes.clone_from(&self.trusted_nodes);
        config.net_restrict.clone_from(&self.net_restrict);
        config.listen_addr = self.listen_addr.0;
        config.disc_addr = self.disc_addr.0;
        config.discovery_v5_addr = self.discovery_v5_addr.0;
        config.nat = self.nat.clone();
        config.enable_msg_events = self.enable_msg_events;
        config.dns_lists = self.dns_lists()?;
        if let Some(proxy) = &self.proxy {
            let dialer = proxy.dialer();
            let dialer = dialer.map_err(|error| Failure::arguments(format!("--proxy: {error}")))?;
            config.dialer = Some(Arc::new(dialer));
        }
        Ok(config)
    }

    /// The nodes that this version of discovery begins with: those that were told, or else the
    /// network's.
    fn bootnodes(&self, version: DiscoveryVersion) -> Result<Vec<Node>, Failure> {
        let told = match version {
            DiscoveryVersion::V5 => &self.bootstrap_nodes_v5,
            _ => &self.bootstrap_nodes,
        };
        match (told, self.network) {
            (Some(nodes), _) => Ok(nodes.clone()),
            (None, Some(network)) => network.bootnodes(version).map_err(Failure::work),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The lists in DNS to find nodes with: those that were told, or else the network's where nodes
    /// are looked for at all, as in geth.
    fn dns_lists(&self) -> Result<Vec<Link>, Failure> {
        match (&self.dns_lists, self.network) {
            (Some(lists), _) => Ok(lists.clone()),
            (None, Some(network)) if !self.no_discovery => {
                let list = network.dns_list().map_err(Failure::work)?;
                Ok(vec![list])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Where to answer RPC.
    pub(crate) fn rpc(&self) -> rpc::Options {
        self.rpc.options(self.datadir.as_deref())
    }

    /// Where to serve metrics, if that is asked for.
    pub(crate) fn metrics(&self) -> Option<metrics::Options> {
        let addr = SocketAddr::new(self.metrics_host, self.metrics_port);
        self.metrics.then_some(metrics::Options { addr })
    }

    /// The chain to speak eth for, where one is told: the network's, each of its parts replaced by
    /// the one that is told.
    pub(crate) fn chain(&self, now: Duration) -> Result<Option<Chain>, Failure> {
        let Self { network_id, genesis, fork_id, .. } = *self;
        if let Some(network) = self.network {
            let known = network.chain(now);
            // Another chain, or one whose next fork is another, has other forks.
            let is_known = genesis.is_none() && fork_id.is_none();
            return Ok(Some(Chain {
                network_id: network_id.unwrap_or(known.network_id),
                genesis: genesis.unwrap_or(known.genesis),
                fork_id: fork_id.unwrap_or(known.fork_id),
                forks: known.forks.filter(|_| is_known),
            }));
        }
        match (network_id, genesis, fork_id) {
            (None, None, None) => Ok(None),
            (Some(network_id), Some(genesis), Some(fork_id)) => {
                Ok(Some(Chain { network_id, genesis, fork_id, forks: None }))
            }
            _ => Err(Failure::arguments(
                "--network-id, --genesis and --fork-id go together where there is no --network",
            )),
        }
    }
}
