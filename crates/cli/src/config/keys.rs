//! The keys of a configuration file: each with its place in the settings.

use std::net::{IpAddr, Ipv4Addr};

use devp2p_core::NetRestrict;

use super::{
    Proxy, Settings,
    value::{Kind, Value, Wrong, boolean, host, number, parsed, path, secret, text, word},
};
use crate::{
    args::{parse_bootnode, parse_static},
    hex::{self, Hex},
};

/// A table of a configuration file.
pub(super) struct Table {
    /// Its name, as in `Node.P2P`.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: Vec<Key>,
    /// Keys and tables in it that geth has and that are nothing to this program.
    pub(super) ignored: &'static [&'static str],
}

/// A key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What stands for its value in a comment where it is not set.
    pub(super) example: &'static str,
    place: Box<dyn Place>,
}

impl Key {
    /// Reads the value into the settings.
    pub(super) fn read(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), Wrong> {
        self.place.read(settings, value)
    }

    /// The value as it is written in a file, if it is set.
    pub(super) fn write(&self, settings: &mut Settings) -> Option<String> {
        self.place.write(settings)
    }

    /// The key whose value is in this field.
    fn new<T: 'static>(
        name: &'static str,
        kind: Kind<T>,
        field: fn(&mut Settings) -> &mut T,
        about: &'static str,
    ) -> Self {
        Self { name, about, example: "", place: Box::new(Field { kind, field }) }
    }

    /// The key whose value is in more than one field.
    fn placed(
        name: &'static str,
        place: impl Place,
        about: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, about, example, place: Box::new(place) }
    }

    /// The key whose value may not be set, and an example of one.
    fn optional<T: 'static>(
        name: &'static str,
        kind: Kind<Option<T>>,
        field: fn(&mut Settings) -> &mut Option<T>,
        about: &'static str,
        example: &'static str,
    ) -> Self {
        Self { example, ..Self::new(name, kind, field, about) }
    }
}

/// Where the value of a key is kept.
trait Place: 'static {
    fn read(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), Wrong>;

    fn write(&self, settings: &mut Settings) -> Option<String>;
}

/// A field of the settings, and what values it has.
struct Field<T> {
    kind: Kind<T>,
    field: fn(&mut Settings) -> &mut T,
}

impl<T: 'static> Place for Field<T> {
    fn read(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), Wrong> {
        *(self.field)(settings) = (self.kind.read)(value)?;
        Ok(())
    }

    fn write(&self, settings: &mut Settings) -> Option<String> {
        (self.kind.write)((self.field)(settings))
    }
}

/// Where a service of RPC is asked for: at an address, or with an empty text not at all.
struct Site {
    is_on: fn(&mut Settings) -> &mut Option<bool>,
    ip: fn(&mut Settings) -> &mut Option<IpAddr>,
}

impl Place for Site {
    fn read(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), Wrong> {
        let is_on = value.get_ref().as_str() != Some("");
        if is_on {
            *(self.ip)(settings) = Some((host().read)(value)?);
        }
        *(self.is_on)(settings) = Some(is_on);
        Ok(())
    }

    fn write(&self, settings: &mut Settings) -> Option<String> {
        let is_on = (self.is_on)(settings).unwrap_or(false);
        let ip = (self.ip)(settings).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let address = if is_on { ip.to_string() } else { String::new() };
        (text().write)(&address)
    }
}

/// The path of the Unix socket, or an empty text for none.
struct Socket;

impl Place for Socket {
    fn read(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), Wrong> {
        let file = (path().read)(value)?;
        settings.rpc.ipcdisable = Some(file.is_none());
        settings.rpc.ipcpath = file;
        Ok(())
    }

    fn write(&self, settings: &mut Settings) -> Option<String> {
        if settings.rpc.ipcdisable == Some(true) {
            return (text().write)(&String::new());
        }
        (path().write)(&settings.rpc.ipcpath)
    }
}

/// All tables, in the order in which they are written. The first is the file itself.
pub(super) fn tables() -> Vec<Table> {
    vec![root(), node(), p2p(), metrics(), eth(), devp2p()]
}

/// Stands among the ignored keys for all that are not known.
pub(super) const ANY: &str = "*";

const fn root() -> Table {
    Table { name: "", about: "", keys: Vec::new(), ignored: &["Dashboard", "Ethstats", "Shh"] }
}

fn node() -> Table {
    Table {
        name: "Node",
        about: "The node and its services.",
        keys: node_keys(),
        ignored: &[
            "AllowUnprotectedTxs",
            "AuthAddr",
            "AuthPort",
            "AuthVirtualHosts",
            "BatchRequestLimit",
            "BatchResponseMaxSize",
            "DBEngine",
            "EnablePersonal",
            "ExternalSigner",
            "GraphQLCors",
            "GraphQLVirtualHosts",
            "HTTPBodyLimit",
            "HTTPPathPrefix",
            "HTTPTimeouts",
            "InsecureUnlockAllowed",
            "JWTSecret",
            "KeyStoreDir",
            "NoUSB",
            "OpenTelemetry",
            "SmartCardDaemonPath",
            "USB",
            "UseLightweightKDF",
            "UserIdent",
            "WSExposeAll",
            "WSPathPrefix",
        ],
    }
}

fn node_keys() -> Vec<Key> {
    vec![
        Key::optional(
            "DataDir",
            path(),
            |it| &mut it.datadir,
            "The folder of this node, made where there is none: nodekey (the key, made likewise), nodes\n\
             (the node database), static-nodes.json and trusted-nodes.json (lists of enode URLs).",
            "\"devp2p-data\"",
        ),
        Key::placed(
            "IPCPath",
            Socket,
            "The Unix socket that answers JSON-RPC of all APIs, for this user alone: a name without a slash\n\
             is one in DataDir, \"\" has none. devp2p.ipc in DataDir unless told.",
            "\"devp2p.ipc\"",
        ),
        Key::placed(
            "HTTPHost",
            Site { is_on: |it| &mut it.rpc.http, ip: |it| &mut it.rpc.http_addr },
            "The address to answer JSON-RPC over HTTP at; \"\" does not.",
            "",
        ),
        Key::optional(
            "HTTPPort",
            number(0, u16::MAX).optional(),
            |it| &mut it.rpc.http_port,
            "Its port; 0 takes a free one.",
            "8545",
        ),
        Key::optional(
            "HTTPModules",
            text().list().optional(),
            |it| &mut it.rpc.http_api,
            "What can be called over HTTP, of \"admin\", \"debug\", \"net\" and \"web3\".",
            "[\"net\", \"web3\"]",
        ),
        Key::optional(
            "HTTPVirtualHosts",
            text().list().optional(),
            |it| &mut it.rpc.http_vhosts,
            "The names by which a client may call this machine, over HTTP and WebSocket; \"*\" for any.",
            "[\"localhost\"]",
        ),
        Key::optional(
            "HTTPCors",
            text().list().optional(),
            |it| &mut it.rpc.http_corsdomain,
            "The sites of which pages may call over HTTP; \"*\" for any.",
            "[\"https://example.org\"]",
        ),
        Key::placed(
            "WSHost",
            Site { is_on: |it| &mut it.rpc.ws, ip: |it| &mut it.rpc.ws_addr },
            "The address to answer JSON-RPC over WebSocket at; \"\" does not.",
            "",
        ),
        Key::optional(
            "WSPort",
            number(0, u16::MAX).optional(),
            |it| &mut it.rpc.ws_port,
            "Its port, which may be that of HTTP; 0 takes a free one.",
            "8546",
        ),
        Key::optional(
            "WSModules",
            text().list().optional(),
            |it| &mut it.rpc.ws_api,
            "What can be called over WebSocket, as with HTTPModules.",
            "[\"net\", \"web3\"]",
        ),
        Key::optional(
            "WSOrigins",
            text().list().optional(),
            |it| &mut it.rpc.ws_origins,
            "The sites of which pages may call over WebSocket; \"*\" for any.",
            "[\"https://example.org\"]",
        ),
    ]
}

fn p2p() -> Table {
    Table { name: "Node.P2P", about: "The peers.", keys: p2p_keys(), ignored: &[] }
}

fn p2p_keys() -> Vec<Key> {
    vec![
        Key::new(
            "MaxPeers",
            number(0, u16::MAX),
            |it| &mut it.max_peers,
            "How many peers may be connected, the trusted not counted.",
        ),
        Key::new(
            "MaxPendingPeers",
            number(1, u16::MAX),
            |it| &mut it.max_pending_peers,
            "How many inbound connections may be in set-up at one time.",
        ),
        Key::new(
            "DialRatio",
            number(1, u16::MAX),
            |it| &mut it.dial_ratio,
            "One of so many peers is dialed, the rest is left for inbound ones.",
        ),
        Key::new("NoDial", boolean(), |it| &mut it.no_dial, "Dial nobody, not even static nodes."),
        Key::new(
            "NoDiscovery",
            boolean(),
            |it| &mut it.no_discovery,
            "Neither look for nodes nor be found: no UDP socket is opened.",
        ),
        Key::new(
            "DiscoveryV4",
            boolean(),
            |it| &mut it.discovery_v4,
            "Look for nodes with discovery v4, and be found by it.",
        ),
        Key::new("DiscoveryV5", boolean(), |it| &mut it.discovery_v5, "The same with v5."),
        Key::new(
            "Name",
            text(),
            |it| &mut it.name,
            "The client's name. Not a key of geth, which makes up its own.",
        ),
        Key::optional(
            "BootstrapNodes",
            parsed(parse_bootnode).list().optional(),
            |it| &mut it.bootstrap_nodes,
            "The nodes that discovery v4 begins with, in place of the network's.",
            "[\"enode://...\"]",
        ),
        Key::optional(
            "BootstrapNodesV5",
            parsed(parse_bootnode).list().optional(),
            |it| &mut it.bootstrap_nodes_v5,
            "The same for discovery v5.",
            "[\"enr:...\"]",
        ),
        Key::new(
            "StaticNodes",
            parsed(parse_static).list(),
            |it| &mut it.static_nodes,
            "The nodes to stay connected with, beside those of static-nodes.json in DataDir.",
        ),
        Key::new(
            "TrustedNodes",
            word().list(),
            |it| &mut it.trusted_nodes,
            "The nodes that may always connect, beside those of trusted-nodes.json in DataDir.",
        ),
        Key::optional(
            "NetRestrict",
            networks().optional(),
            |it| &mut it.net_restrict,
            "The only networks to connect with.",
            "[\"10.0.0.0/8\", \"fd00::/8\"]",
        ),
        Key::optional(
            "NodeDatabase",
            path(),
            |it| &mut it.node_database,
            "The file that remembers nodes, where it is not the one in DataDir.",
            "\"nodes\"",
        ),
        Key::new(
            "ListenAddr",
            word(),
            |it| &mut it.listen_addr,
            "The TCP address to listen on: port 0 takes a free one, \":30303\" has every IPv4 address,\n\
             \"\" does not listen.",
        ),
        Key::new(
            "DiscAddr",
            word(),
            |it| &mut it.disc_addr,
            "The UDP address of discovery, \"\" for that of TCP.",
        ),
        Key::new(
            "NAT",
            word(),
            |it| &mut it.nat,
            "How to be reachable behind a NAT: \"any\", \"none\", \"upnp\", \"pmp\", \"pmp:IP\", \"pcp\", \"pcp:IP\",\n\
             \"extip:IP\", \"stun\" or \"stun:HOST:PORT\".",
        ),
        Key::new(
            "EnableMsgEvents",
            boolean(),
            |it| &mut it.enable_msg_events,
            "Make an event of every message, for those who subscribe to peer events.",
        ),
    ]
}

fn metrics() -> Table {
    Table {
        name: "Metrics",
        about: "Metrics for Prometheus over HTTP, at the path /debug/metrics/prometheus.",
        keys: vec![
            Key::new("Enabled", boolean(), |it| &mut it.metrics, "Serve them."),
            Key::new(
                "HTTP",
                host(),
                |it| &mut it.metrics_host,
                "The address to serve them at: whoever can reach it can read them.",
            ),
            Key::new(
                "Port",
                number(0, u16::MAX),
                |it| &mut it.metrics_port,
                "The port to serve them at; 0 takes a free one.",
            ),
        ],
        ignored: &[
            "EnableInfluxDB",
            "EnableInfluxDBV2",
            "InfluxDBBucket",
            "InfluxDBDatabase",
            "InfluxDBEndpoint",
            "InfluxDBInterval",
            "InfluxDBOrganization",
            "InfluxDBPassword",
            "InfluxDBTags",
            "InfluxDBToken",
            "InfluxDBUsername",
        ],
    }
}

/// Networks in CIDR notation, and at least one.
fn networks() -> Kind<NetRestrict> {
    let all = |lists: Vec<NetRestrict>| {
        let networks: NetRestrict = lists.iter().flat_map(|it| it.networks().to_vec()).collect();
        let is_empty = networks.networks().is_empty();
        if is_empty { Err("the list of networks is empty".to_owned()) } else { Ok(networks) }
    };
    let each = |all: &NetRestrict| -> Vec<NetRestrict> {
        all.networks().iter().map(|&network| [network].into_iter().collect()).collect()
    };
    word().list().map(all, each)
}

fn eth() -> Table {
    Table {
        name: "Eth",
        about: "The chain. Whatever else geth has here is nothing to this program.",
        keys: vec![Key::optional(
            "EthDiscoveryURLs",
            word().list().optional(),
            |it| &mut it.dns_lists,
            "Lists in DNS (EIP-1459) to find nodes with, in place of the network's.",
            "[\"enrtree://KEY@DOMAIN\"]",
        )],
        ignored: &[ANY],
    }
}

fn devp2p() -> Table {
    Table {
        name: "Devp2p",
        about: "What geth has no keys for.",
        keys: vec![
            Key::new(
                "PeersPerNetwork",
                number(1, u16::MAX),
                |it| &mut it.peers_per_network,
                "How many inbound peers one network (/24 of IPv4, /48 of IPv6) may have, the trusted and those of\n\
                 local networks not counted.",
            ),
            Key::new(
                "DiscoveryV5Addr",
                word(),
                |it| &mut it.discovery_v5_addr,
                "The UDP address of discovery v5 where it has a socket of its own, \"\" where it shares that of v4.",
            ),
            Key::optional(
                "NodeKey",
                path(),
                |it| &mut it.key.nodekey,
                "The file with the node's key, where it is not the one in DataDir.",
                "\"nodekey\"",
            ),
            Key::optional(
                "Network",
                word().optional(),
                |it| &mut it.network,
                "The public network to speak eth/68 and eth/69 on, up to Status: its bootnodes, its lists in\n\
                 DNS, its chain. \"mainnet\", \"sepolia\" or \"hoodi\".",
                "\"mainnet\"",
            ),
            Key::optional(
                "NetworkId",
                number(0, i64::MAX.unsigned_abs()).optional(),
                |it| &mut it.network_id,
                "The network id of eth, where it is not the network's.",
                "1",
            ),
            Key::optional(
                "Genesis",
                text().map(|it| hex::parse(&it), |it: &[u8; 32]| Hex(it).to_string()).optional(),
                |it| &mut it.genesis,
                "The hash of the genesis block, likewise.",
                "\"d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3\"",
            ),
            Key::optional(
                "ForkId",
                word().optional(),
                |it| &mut it.fork_id,
                "The fork id (EIP-2124), likewise: hash, or hash and next fork.",
                "\"07c9462e/1700000000\"",
            ),
            Key::optional(
                "Proxy",
                secret(Proxy::checked).optional(),
                |it| &mut it.proxy,
                "The SOCKS5 proxy to dial through. Discovery and lists in DNS do not go through it. A login,\n\
                 as in socks5://USER:PASSWORD@HOST:PORT, is not dumped.",
                "\"socks5://127.0.0.1:9050\"",
            ),
        ],
        ignored: &[],
    }
}
