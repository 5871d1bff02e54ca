//! The options of a server, under geth's names.

mod dial;
#[cfg(feature = "discv4")]
mod discv4;
#[cfg(feature = "discv5")]
mod discv5;
mod problem;
mod shares;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use devp2p_core::{Host, LanPolicy, NetRestrict, Node, NodeKey};
use devp2p_peer::{Hello, Protocol, check_protocols};

pub use self::{
    dial::DialOptions,
    problem::{ConfigError, Problem, Warning},
    shares::DiscoveryShares,
};
use crate::{CoreConfig, DialFilter, Dialer, InboundLimits};

/// geth's default of `MaxPeers`.
pub(crate) const MAX_PEERS: usize = 50;
/// geth's default of `MaxPendingPeers`.
pub(crate) const MAX_PENDING_PEERS: usize = 50;
/// geth's default of `DialRatio`.
pub(crate) const DIAL_RATIO: usize = 3;
/// The port that every Ethereum client listens on by default.
pub(crate) const LISTEN_PORT: u16 = 30303;

/// The options of a server, under geth's names.
///
/// Start from [`Config::new`] and set what differs; [`Config::validate`] explains every value that
/// cannot work.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The node's identity. Must be set.
    pub private_key: Option<NodeKey>,
    /// How many peers may be connected, the trusted not counted. Default 50.
    pub max_peers: usize,
    /// How many inbound connections may be in set-up at one time. Default 50.
    pub max_pending_peers: usize,
    /// One of so many peers is dialed, the rest is left for inbound ones. Default 3.
    pub dial_ratio: usize,
    /// The client's name in the Hello.
    pub name: String,
    /// Nodes that are dialed until they are connected, and again when they are gone.
    pub static_nodes: Vec<Node>,
    /// Nodes that may always connect, above the limits too.
    pub trusted_nodes: Vec<Node>,
    /// Nodes to begin with (go-ethereum's fallback nodes): discovery asks them first, and again
    /// whenever its table is empty. They are dialed too when there has been no peer for 20 s.
    pub bootstrap_nodes: Vec<Node>,
    /// The same for discovery v5, mostly by their records. They are not dialed.
    pub bootstrap_nodes_v5: Vec<Node>,
    /// Search for no nodes: no UDP socket is opened, and bootstrap nodes are not dialed. Candidates
    /// of [`Builder::discovery`](crate::Builder::discovery) and of subprotocols still are.
    pub no_discovery: bool,
    /// Search with discovery v4. Default yes.
    pub discovery_v4: bool,
    /// Search with discovery v5, on the same UDP port. Default yes.
    pub discovery_v5: bool,
    /// The UDP address of discovery, where it is not the TCP address; port 0 takes a free one.
    /// Default: the address of the TCP listener. A server that listens on none, or on a listener
    /// of its own kind, does not search unless this is set.
    pub disc_addr: Option<SocketAddr>,
    /// A UDP address for discovery v5 alone. The record has room for one port, and tells this one
    /// then. Default: it shares the one above.
    pub discovery_v5_addr: Option<SocketAddr>,
    /// Lists in DNS (EIP-1459) of nodes to dial: candidates beside those of discovery, and also where
    /// `no_discovery` is set or nobody listens on UDP. They are looked up only while nodes to dial
    /// are wanted, and not through the `dialer`.
    #[cfg(feature = "dnsdisc")]
    pub dns_lists: Vec<devp2p_dnsdisc::Link>,
    /// What asks DNS for them. Must be set where there are lists, but with the feature `hickory`,
    /// which asks the name servers of the system by default.
    #[cfg(feature = "dnsdisc")]
    pub dns_resolver: Option<devp2p_dnsdisc::AnyResolver>,
    /// The limits and times of the client of these lists.
    #[cfg(feature = "dnsdisc")]
    pub dnsdisc: devp2p_dnsdisc::Config,
    /// The only networks to connect with, where it is set.
    pub net_restrict: Option<NetRestrict>,
    /// Whether limits by address hold in local networks too: those on inbound connections, on dials,
    /// and in discovery. Default no.
    pub lan_policy: LanPolicy,
    /// The subprotocols.
    pub protocols: Vec<Protocol>,
    /// The TCP address to listen on; port 0 takes a free one, `None` does not listen. Default
    /// 0.0.0.0:30303.
    pub listen_addr: Option<SocketAddr>,
    /// How the node gets to be reachable where it is behind a NAT. Only a listener of `listen_addr`
    /// is mapped, and the sockets of discovery. Default none: a library does not change somebody's
    /// gateway unasked.
    #[cfg(feature = "nat")]
    pub nat: devp2p_nat::Nat,
    /// The times of port mappings.
    #[cfg(feature = "nat")]
    pub port_mapping: devp2p_nat::Config,
    /// What opens connections. Default TCP.
    pub dialer: Option<Arc<dyn Dialer>>,
    /// Which candidates may be dialed, beside `net_restrict`. Default all.
    pub dial_filter: Option<DialFilter>,
    /// Dial nobody, not even static nodes.
    pub no_dial: bool,
    /// Emit an event for every message sent and received. A multiplexer that takes the place of
    /// the default one emits none.
    pub enable_msg_events: bool,
    /// The limits and waits of the dial scheduler. A scheduler that takes the place of the default
    /// one has its own.
    pub dial: DialOptions,
    /// In which shares the sources of candidates are mixed.
    pub shares: DiscoveryShares,
    /// The limits on inbound connections by address. `net_restrict` above wins over the one in
    /// here, where it is set, and `lan_policy` always.
    pub inbound: InboundLimits,
    /// How long the whole set-up of a connection may take once its stream is open. Default 5 s.
    pub setup_timeout: Duration,
    /// The limits and intervals of the base protocol and of subprotocol queues.
    pub peer: devp2p_peer::Config,
    /// The limits and deadlines of RLPx.
    #[cfg(feature = "rlpx")]
    pub rlpx: devp2p_rlpx::Config,
    /// The limits and intervals of discovery v4. `bootstrap_nodes` and `lan_policy` above win over
    /// those in here, and `net_restrict` where it is set.
    #[cfg(feature = "discv4")]
    pub discv4: devp2p_discv4::Config,
    /// The limits and intervals of discovery v5. `bootstrap_nodes_v5` and `lan_policy` above win
    /// over those in here, and `net_restrict` where it is set.
    #[cfg(feature = "discv5")]
    pub discv5: devp2p_discv5::Config,
    /// A seed for every random choice, where a run must be repeatable. Default: the operating
    /// system's entropy. Keys and nonces of connections do not come from it.
    pub seed: Option<[u8; 32]>,
}

impl Config {
    /// geth's defaults for the node with this key.
    pub fn new(private_key: NodeKey) -> Self {
        Self { private_key: Some(private_key), ..Self::default() }
    }

    /// Where discovery listens, if it runs: what has no socket of its own.
    pub(crate) fn udp_addr(&self, own_listener: bool) -> Option<SocketAddr> {
        let tcp_addr = self.listen_addr.filter(|_| !own_listener);
        let addr = self.disc_addr.or(tcp_addr);
        addr.filter(|_| self.runs_v4() || self.runs_v5() && self.discovery_v5_addr.is_none())
    }

    /// Where discovery v5 listens alone, if it does.
    pub(crate) fn udp_v5_addr(&self) -> Option<SocketAddr> {
        self.discovery_v5_addr.filter(|_| self.runs_v5())
    }

    /// Whether discovery v4 runs if it has an address.
    pub(crate) const fn runs_v4(&self) -> bool {
        cfg!(feature = "discv4") && self.wants_v4()
    }

    /// Whether discovery v5 runs if it has an address.
    pub(crate) const fn runs_v5(&self) -> bool {
        cfg!(feature = "discv5") && self.wants_v5()
    }

    const fn wants_v4(&self) -> bool {
        !self.no_discovery && self.discovery_v4
    }

    const fn wants_v5(&self) -> bool {
        !self.no_discovery && self.discovery_v5
    }

    /// Whether there are lists in DNS.
    #[cfg(feature = "dnsdisc")]
    const fn reads_lists(&self) -> bool {
        !self.dns_lists.is_empty()
    }

    #[cfg(not(feature = "dnsdisc"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    const fn reads_lists(&self) -> bool {
        false
    }

    /// How many peers may be dialed by the scheduler's own choice (geth's `MaxDialedConns`).
    pub fn max_dialed(&self) -> usize {
        if self.no_dial || self.max_peers == 0 {
            return 0;
        }
        self.max_peers.checked_div(self.dial_ratio).unwrap_or(0).max(1)
    }

    /// How many peers may be inbound (geth's `MaxInboundConns`).
    pub fn max_inbound(&self) -> usize {
        self.max_peers.saturating_sub(self.max_dialed())
    }

    /// Checks every option.
    ///
    /// # Errors
    /// All values that cannot work, each with the reason. What works but hardly means what was
    /// wanted comes back as warnings.
    pub fn validate(&self) -> Result<Vec<Warning>, ConfigError> {
        self.check(false)
    }

    /// [`validate`](Config::validate), where it is known whether the server has a listener that is
    /// in no option.
    pub(crate) fn check(&self, own_listener: bool) -> Result<Vec<Warning>, ConfigError> {
        let listens = own_listener || self.listen_addr.is_some();
        let has_addr = self.udp_addr(own_listener).is_some();
        let searches = Searches {
            v4: self.runs_v4() && has_addr,
            v5: self.runs_v5() && (has_addr || self.udp_v5_addr().is_some()),
        };
        let mut problems = Vec::new();
        if self.private_key.is_none() {
            problems.push(Problem::PrivateKeyMissing);
        }
        if self.dial_ratio == 0 {
            problems.push(Problem::DialRatioZero);
        }
        if self.max_pending_peers == 0 && listens {
            problems.push(Problem::MaxPendingPeersZero);
        }
        #[cfg(feature = "dnsdisc")]
        if !self.dns_lists.is_empty() && self.dns_resolver.is_none() && !cfg!(feature = "hickory") {
            problems.push(Problem::DnsResolverMissing);
        }
        problems.extend(self.zeros().into_iter().map(Problem::Zero));
        problems.extend(self.dial.empty_ranges().into_iter().map(Problem::EmptyRange));
        if self.name.len() > Hello::MAX_NAME || self.name.chars().any(char::is_control) {
            problems.push(Problem::Name);
        }
        if let Err(error) = check_protocols(&self.protocols) {
            problems.push(Problem::Protocols(error));
        }
        if let Some(key) = &self.private_key {
            let size = self.hello(key, None).encode().len();
            if size > Hello::MAX_SIZE {
                problems.push(Problem::HelloTooLarge(size));
            }
        }
        let own = self.private_key.as_ref().map(NodeKey::id);
        for node in &self.static_nodes {
            if Some(node.id()) == own {
                problems.push(Problem::StaticNodeIsSelf(node.clone()));
            } else if node.host().is_some() && node.tcp_port().is_none() {
                problems.push(Problem::StaticNodeWithoutPort(node.clone()));
            }
        }
        for (wants, nodes) in
            [(self.wants_v4(), &self.bootstrap_nodes), (self.wants_v5(), &self.bootstrap_nodes_v5)]
        {
            let unreachable = nodes.iter().filter(|node| wants && !has_udp_endpoint(node));
            problems.extend(unreachable.cloned().map(Problem::BootstrapNodeWithoutAddress));
        }
        if problems.is_empty() {
            Ok(self.warnings(listens, searches))
        } else {
            Err(ConfigError::new(problems))
        }
    }

    /// The options that are 0 and must not be, by name. A time of 0 would end what it is for before
    /// it begins; a count of 0 would let nothing through.
    fn zeros(&self) -> Vec<&'static str> {
        let mut zeros = Vec::new();
        let mut check = |name, is_zero: bool| {
            if is_zero {
                zeros.push(name);
            }
        };
        check("setup_timeout", self.setup_timeout.is_zero());
        check("inbound.per_prefix", self.inbound.per_prefix == 0);
        check("inbound.peers_per_prefix", self.inbound.peers_per_prefix == 0);
        check("peer.hello_timeout", self.peer.hello_timeout.is_zero());
        check("peer.ping_interval", self.peer.ping_interval.is_zero());
        check("peer.pong_timeout", self.peer.pong_timeout.is_zero());
        check("peer.stall_timeout", self.peer.stall_timeout.is_zero());
        check("peer.max_message", self.peer.max_message == 0);
        #[cfg(feature = "rlpx")]
        {
            check("rlpx.handshake_timeout", self.rlpx.handshake_timeout.is_zero());
            check("rlpx.read_timeout", self.rlpx.read_timeout.is_zero());
            check("rlpx.write_timeout", self.rlpx.write_timeout.is_zero());
            check("rlpx.max_message_size", self.rlpx.max_message_size == 0);
        }
        #[cfg(feature = "dnsdisc")]
        {
            check("dnsdisc.lookup_timeout", self.dnsdisc.lookup_timeout.is_zero());
            check("dnsdisc.max_entries", self.dnsdisc.max_entries == 0);
            check("dnsdisc.recheck_interval", self.dnsdisc.recheck_interval.is_zero());
        }
        #[cfg(feature = "discv4")]
        zeros.extend(discv4::zeros(&self.discv4));
        #[cfg(feature = "discv5")]
        zeros.extend(discv5::zeros(&self.discv5));
        zeros.extend(self.dial.zeros());
        zeros.extend(self.shares.zeros());
        zeros
    }

    fn warnings(&self, listens: bool, searches: Searches) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.no_dial && !listens {
            warnings.push(Warning::Useless);
        }
        // A name may still turn out to be inside.
        let is_outside = |addrs: &[SocketAddr]| {
            let allowed =
                |networks: &NetRestrict| addrs.iter().any(|addr| networks.contains(addr.ip()));
            !addrs.is_empty() && !self.net_restrict.as_ref().is_none_or(allowed)
        };
        if self.dialer.as_ref().is_some_and(|dialer| dialer.dials_names())
            && (searches.v4 || searches.v5 || self.reads_lists())
        {
            warnings.push(Warning::SearchesBesideProxy);
        }
        let not_asked =
            |wants, searches: bool, nodes: &[Node]| wants && !searches && !nodes.is_empty();
        if not_asked(self.wants_v4(), searches.v4, &self.bootstrap_nodes)
            || not_asked(self.wants_v5(), searches.v5, &self.bootstrap_nodes_v5)
        {
            warnings.push(Warning::BootstrapNodesNotAsked);
        }
        for (searches, nodes) in
            [(searches.v4, &self.bootstrap_nodes), (searches.v5, &self.bootstrap_nodes_v5)]
        {
            let outside =
                nodes.iter().filter(|node| searches && is_outside(node.udp_addr().as_slice()));
            warnings.extend(outside.cloned().map(Warning::BootstrapNodeOutsideNetRestrict));
        }
        if self.no_dial {
            if !self.static_nodes.is_empty() {
                warnings.push(Warning::StaticNodesNotDialed);
            }
            return warnings;
        }
        let is_trusted = |node: &Node| self.trusted_nodes.iter().any(|it| it.id() == node.id());
        if self.max_peers == 0 && !self.static_nodes.iter().all(is_trusted) {
            warnings.push(Warning::StaticNodesRefused);
        }
        let outside = self.static_nodes.iter().filter(|node| is_outside(&node.tcp_addrs()));
        warnings.extend(outside.cloned().map(Warning::StaticNodeOutsideNetRestrict));
        warnings
    }

    /// What we say of ourselves to every peer.
    pub(crate) fn hello(&self, key: &NodeKey, listen_addr: Option<SocketAddr>) -> Hello {
        let mut hello = Hello::new(
            self.name.as_str(),
            self.protocols.iter().map(Protocol::capability).collect(),
            key.public_key(),
        );
        hello.listen_port = listen_addr.map_or(0, |address| address.port());
        hello
    }

    pub(crate) fn core(&self, key: &NodeKey, anchors: Vec<Node>) -> CoreConfig {
        let mut core = CoreConfig::new(key.id());
        core.max_peers = self.max_peers;
        core.max_inbound = self.max_inbound();
        core.max_pending_peers = self.max_pending_peers;
        core.has_protocols = !self.protocols.is_empty();
        core.trusted = self.trusted_nodes.iter().map(Node::id).collect();
        core.anchors = anchors;
        core.inbound = self.inbound.clone();
        core.inbound.lan_policy = self.lan_policy;
        if self.net_restrict.is_some() {
            core.inbound.net_restrict.clone_from(&self.net_restrict);
        }
        core
    }

    pub(crate) fn dial(&self, key: &NodeKey, anchors: Vec<Node>) -> devp2p_dial::Config {
        let mut dial = self.dial.config(key.id());
        dial.lan_policy = self.lan_policy;
        dial.dial_names = self.dialer.as_ref().is_some_and(|dialer| dialer.dials_names());
        dial.max_dialed = self.max_dialed();
        dial.dynamic = dial.max_dialed > 0;
        dial.net_restrict.clone_from(&self.net_restrict);
        if self.no_dial {
            dial.max_active_dials = 0;
        } else {
            dial.static_nodes.clone_from(&self.static_nodes);
            dial.anchors = anchors;
            if !self.no_discovery {
                dial.bootnodes.clone_from(&self.bootstrap_nodes);
            }
        }
        dial
    }
}

/// Which discoveries run and have an address.
#[derive(Clone, Copy)]
struct Searches {
    v4: bool,
    v5: bool,
}

/// Whether discovery can ask the node, once its name is looked up.
fn has_udp_endpoint(node: &Node) -> bool {
    let named = matches!(node.host(), Some(Host::Dns(_))) && node.udp_port().is_some();
    named || node.udp_addr().is_some()
}

impl Default for Config {
    /// geth's defaults, without a key.
    fn default() -> Self {
        Self {
            private_key: None,
            max_peers: MAX_PEERS,
            max_pending_peers: MAX_PENDING_PEERS,
            dial_ratio: DIAL_RATIO,
            name: concat!("devp2p-rs/v", env!("CARGO_PKG_VERSION")).to_owned(),
            static_nodes: Vec::new(),
            trusted_nodes: Vec::new(),
            bootstrap_nodes: Vec::new(),
            bootstrap_nodes_v5: Vec::new(),
            no_discovery: false,
            discovery_v4: true,
            discovery_v5: true,
            disc_addr: None,
            discovery_v5_addr: None,
            #[cfg(feature = "dnsdisc")]
            dns_lists: Vec::new(),
            #[cfg(feature = "dnsdisc")]
            dns_resolver: None,
            #[cfg(feature = "dnsdisc")]
            dnsdisc: devp2p_dnsdisc::Config::default(),
            net_restrict: None,
            lan_policy: LanPolicy::default(),
            protocols: Vec::new(),
            listen_addr: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, LISTEN_PORT))),
            #[cfg(feature = "nat")]
            nat: devp2p_nat::Nat::None,
            #[cfg(feature = "nat")]
            port_mapping: devp2p_nat::Config::default(),
            dialer: None,
            dial_filter: None,
            no_dial: false,
            enable_msg_events: false,
            dial: DialOptions::default(),
            shares: DiscoveryShares::default(),
            inbound: InboundLimits::default(),
            setup_timeout: Duration::from_secs(5),
            peer: devp2p_peer::Config::default(),
            #[cfg(feature = "rlpx")]
            rlpx: devp2p_rlpx::Config::default(),
            #[cfg(feature = "discv4")]
            discv4: devp2p_discv4::Config::default(),
            #[cfg(feature = "discv5")]
            discv5: devp2p_discv5::Config::default(),
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lan_policy_binds_the_inbound_limits_and_the_dials() {
        let key = NodeKey::from_bytes(&[1; 32]).unwrap();
        for (policy, other) in
            [(LanPolicy::Limit, LanPolicy::Exempt), (LanPolicy::Exempt, LanPolicy::Limit)]
        {
            let mut config = Config::new(key.clone());
            config.inbound.lan_policy = other;
            config.lan_policy = policy;
            assert_eq!(config.core(&key, Vec::new()).inbound.lan_policy, policy);
            assert_eq!(config.dial(&key, Vec::new()).lan_policy, policy);
        }
    }
}
