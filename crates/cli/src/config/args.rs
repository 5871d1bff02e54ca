//! The flags of `devp2p run`.

use std::path::PathBuf;

use clap::Args;
use devp2p_core::{DiscoveryVersion, NetRestrict, Node};
use devp2p_dnsdisc::Link;
use devp2p_nat::Nat;

use super::{Bind, Proxy, Settings};
use crate::{
    args::{KeyArgs, SearchArgs, Versions, parse_static},
    eth::ForkId,
    hex,
    metrics::MetricsArgs,
    rpc::RpcArgs,
};

/// The options of `run` as one source tells them: the command line, or a variable of the environment.
/// What is `None` it does not tell.
#[derive(Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// Read options from a TOML file, with geth's keys; one that geth dumpconfig wrote will do.
    /// --dump-config shows them all
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the options that are in effect as such a file, and exit
    #[arg(long)]
    pub(crate) dump_config: bool,
    /// The folder of this node, made where there is none: its key (nodekey), the node database
    /// (nodes), and lists of nodes (static-nodes.json, trusted-nodes.json). Without a folder nothing
    /// outlives the program
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    json: Option<bool>,
    #[command(flatten, next_help_heading = "Identity")]
    identity: IdentityArgs,
    #[command(flatten, next_help_heading = "Peers")]
    peers: PeerArgs,
    #[command(flatten, next_help_heading = "Addresses")]
    addresses: AddressArgs,
    #[command(flatten, next_help_heading = "Discovery")]
    discovery: DiscoveryArgs,
    #[command(flatten, next_help_heading = "Chain")]
    eth: EthArgs,
    #[command(flatten, next_help_heading = "Metrics")]
    metrics: MetricsArgs,
    #[command(flatten, next_help_heading = "RPC")]
    rpc: RpcArgs,
}

#[derive(Debug, Default, Args)]
struct IdentityArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The client's name [default: devp2p-rs and its version]
    #[arg(long, value_name = "S")]
    name: Option<String>,
}

#[derive(Debug, Default, Args)]
struct PeerArgs {
    /// How many peers may be connected, the trusted not counted [default: 50]
    #[arg(long, value_name = "N")]
    maxpeers: Option<u16>,
    /// How many inbound connections may be in set-up at one time [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    maxpendpeers: Option<u16>,
    /// How many inbound peers one network (/24, /48) may have, the trusted not counted [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    peers_per_network: Option<u16>,
    /// One of so many peers is dialed, the rest is left for inbound ones [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    dialratio: Option<u16>,
    /// Dial nobody, not even static nodes
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    nodial: Option<bool>,
    /// A node to stay connected with, by its key alone where discovery is to find its address; may
    /// be given more than once
    #[arg(long = "static", value_name = "NODE,..", value_delimiter = ',',
        value_parser = parse_static)]
    static_nodes: Vec<Node>,
    /// A node that may always connect; may be given more than once
    #[arg(long = "trusted", value_name = "NODE,..", value_delimiter = ',')]
    trusted_nodes: Vec<Node>,
    /// The only networks to connect with, as in 10.0.0.0/8,fd00::/8
    #[arg(long, value_name = "CIDR,..")]
    netrestrict: Option<NetRestrict>,
    /// The SOCKS5 proxy to dial through, as in socks5://USER:PASSWORD@HOST:PORT, of which the host
    /// alone is needed. Discovery and lists in DNS do not go through it
    #[arg(long, value_name = "URL", value_parser = Proxy::told)]
    proxy: Option<Proxy>,
}

#[derive(Debug, Default, Args)]
struct AddressArgs {
    /// The TCP address to listen on: port 0 takes a free one, :PORT has every IPv4 address
    /// [default: 0.0.0.0:30303]
    #[arg(long, value_name = "IP:PORT")]
    addr: Option<Bind>,
    /// The UDP address of discovery, where it is another; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", conflicts_with = "nodiscover")]
    discaddr: Option<Bind>,
    /// The UDP address of discovery v5, where it has a socket of its own; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", conflicts_with = "nodiscover")]
    discv5addr: Option<Bind>,
    /// How to be reachable behind a NAT: any, none, upnp, pmp, pmp:IP, pcp, pcp:IP, extip:IP, stun or
    /// stun:HOST:PORT [default: any]
    ///
    /// A listener on loopback or on a private address that was told is left as it is.
    #[arg(long, value_name = "METHOD")]
    nat: Option<Nat>,
}

#[derive(Debug, Default, Args)]
struct DiscoveryArgs {
    #[command(flatten)]
    search: SearchArgs,
    /// The versions of discovery to look for nodes with, and to be found by [default: both]
    #[arg(long, value_name = "VERSION", value_enum)]
    discovery: Option<Versions>,
    /// Lists in DNS (EIP-1459) to find nodes with, in place of the network's; an empty text for none
    #[arg(long = "discovery.dns", value_name = "ENRTREE,..", value_parser = parse_lists)]
    dns: Option<Lists>,
    /// Neither look for nodes nor be found: no UDP socket is opened
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", conflicts_with_all = ["bootnodes", "discovery"])]
    nodiscover: Option<bool>,
}

/// The chain to speak eth/68 and eth/69 for, up to Status.
#[derive(Debug, Default, Args)]
struct EthArgs {
    /// Speak eth/68 and eth/69 up to Status: the network id, where it is not that of --network
    #[arg(long, value_name = "N")]
    network_id: Option<u64>,
    /// The hash of the genesis block, where it is not that of --network
    #[arg(long, value_name = "HASH", value_parser = hex::parse::<32>)]
    genesis: Option<[u8; 32]>,
    /// The fork id (EIP-2124), where it is not that of --network at this time, of which the forks
    /// up to BPO2 are known: hash, or hash and next fork as in 07c9462e/1700000000
    #[arg(long, value_name = "HASH[/NEXT]")]
    fork_id: Option<ForkId>,
}

/// Lists in DNS; a type of its own, so that no list can be told, too.
#[derive(Clone, Debug)]
struct Lists(Vec<Link>);

fn parse_lists(text: &str) -> Result<Lists, String> {
    let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
    let read = |url: &str| url.parse().map_err(|error| format!("{url:?}: {error}"));
    urls.map(read).collect::<Result<_, _>>().map(Lists)
}

impl RunArgs {
    /// Sets what is told here.
    pub(super) fn apply(self, settings: &mut Settings) {
        let Self { config: _, dump_config: _, datadir, json, .. } = self;
        put_some(&mut settings.datadir, datadir);
        put(&mut settings.json, json);
        self.identity.apply(settings);
        self.peers.apply(settings);
        self.addresses.apply(settings);
        self.discovery.apply(settings);
        self.eth.apply(settings);
        let MetricsArgs { metrics, metrics_addr, metrics_port } = self.metrics;
        put(&mut settings.metrics, metrics);
        put(&mut settings.metrics_host, metrics_addr);
        put(&mut settings.metrics_port, metrics_port);
        settings.rpc.merge(self.rpc);
    }
}

impl IdentityArgs {
    fn apply(self, settings: &mut Settings) {
        // A key that is told here stands for one that was told in another way.
        if self.key != KeyArgs::default() {
            settings.key = self.key;
        }
        put(&mut settings.name, self.name);
    }
}

impl PeerArgs {
    fn apply(self, settings: &mut Settings) {
        put(&mut settings.max_peers, self.maxpeers);
        put(&mut settings.max_pending_peers, self.maxpendpeers);
        put(&mut settings.peers_per_network, self.peers_per_network);
        put(&mut settings.dial_ratio, self.dialratio);
        put(&mut settings.no_dial, self.nodial);
        put(&mut settings.static_nodes, told(self.static_nodes));
        put(&mut settings.trusted_nodes, told(self.trusted_nodes));
        put_some(&mut settings.net_restrict, self.netrestrict);
        put_some(&mut settings.proxy, self.proxy);
    }
}

impl AddressArgs {
    fn apply(self, settings: &mut Settings) {
        put(&mut settings.listen_addr, self.addr);
        put(&mut settings.disc_addr, self.discaddr);
        put(&mut settings.discovery_v5_addr, self.discv5addr);
        put(&mut settings.nat, self.nat);
    }
}

impl DiscoveryArgs {
    fn apply(self, settings: &mut Settings) {
        let SearchArgs { bootnodes, network, nodedb } = self.search;
        let bootnodes = told(bootnodes);
        put_some(&mut settings.bootstrap_nodes, bootnodes.clone());
        put_some(&mut settings.bootstrap_nodes_v5, bootnodes);
        put_some(&mut settings.network, network);
        put_some(&mut settings.node_database, nodedb);
        let has = |version| self.discovery.map(|versions| versions.has(version));
        put(&mut settings.discovery_v4, has(DiscoveryVersion::V4));
        put(&mut settings.discovery_v5, has(DiscoveryVersion::V5));
        put_some(&mut settings.dns_lists, self.dns.map(|Lists(lists)| lists));
        put(&mut settings.no_discovery, self.nodiscover);
    }
}

impl EthArgs {
    fn apply(self, settings: &mut Settings) {
        put_some(&mut settings.network_id, self.network_id);
        put_some(&mut settings.genesis, self.genesis);
        put_some(&mut settings.fork_id, self.fork_id);
    }
}

/// Sets what is told.
fn put<T>(field: &mut T, told: Option<T>) {
    if let Some(told) = told {
        *field = told;
    }
}

/// Sets what is told and need not be set.
fn put_some<T>(field: &mut Option<T>, told: Option<T>) {
    if told.is_some() {
        *field = told;
    }
}

/// The nodes, if there are any: a flag that was not given has none.
fn told(nodes: Vec<Node>) -> Option<Vec<Node>> {
    (!nodes.is_empty()).then_some(nodes)
}
