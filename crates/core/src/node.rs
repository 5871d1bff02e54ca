use std::{
    cmp::Reverse,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use crate::{Fault, KeyError, NodeId, PublicKey, Record, RecordError, classify};

/// Where a node can be reached: an address, or a DNS name that is yet to be resolved.
///
/// Prints as in a URL, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name.
    Dns(String),
}

/// A node of the network: its key, and where it can be reached.
///
/// Comes from an `enode://` URL or from a [`Record`]. A record can tell an address of each
/// family; the node's own is the one with geth's higher locality score (a public address before a
/// private one), of equal ones that of IPv4, and [`tcp_addrs`](Node::tcp_addrs) has both. An IPv4-mapped address is IPv4.
///
/// Reads and prints the `enr:` text of its record where it has one, an `enode://` URL otherwise.
///
/// ```
/// # use devp2p_core::{Host, Node};
/// # const KEY: &str = "1dd9d65c4552b5eb43d5ad55a2ee3f56c6cbc1c64a5c8d659f51fcd51bace24351232b8d\
/// #     7821617d2b29b54b81cdefb9b3e9c37d7fd5f63270bcc9e1a6f6a439";
/// let url = format!("enode://{KEY}@192.0.2.1:30303?discport=30301");
/// let node: Node = url.parse()?;
/// assert_eq!(node.tcp_addr(), Some("192.0.2.1:30303".parse()?));
/// assert_eq!(node.udp_addr(), Some("192.0.2.1:30301".parse()?));
/// assert_eq!(node.to_string(), url);
///
/// let named: Node = format!("enode://{KEY}@boot.example.org:30303").parse()?;
/// assert_eq!(named.host(), Some(&Host::Dns("boot.example.org".into())));
/// assert_eq!(named.tcp_addr(), None);
/// assert_eq!(named.with_ip("192.0.2.7".parse()?).tcp_addr(), Some("192.0.2.7:30303".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Node {
    public_key: PublicKey,
    id: NodeId,
    host: Option<Host>,
    /// 0 where there is none.
    tcp: u16,
    /// 0 where there is none.
    udp: u16,
    record: Option<Record>,
}

impl Node {
    /// A node at `host`. A port of 0 means that there is none.
    pub fn new(public_key: PublicKey, host: Option<Host>, tcp: u16, udp: u16) -> Self {
        let host = host.map(|host| match host {
            Host::Ip(ip) => Host::Ip(ip.to_canonical()),
            Host::Dns(name) => Host::Dns(name),
        });
        Self { public_key, id: NodeId::from(public_key), host, tcp, udp, record: None }
    }

    /// The node that a record describes.
    pub fn from_record(record: Record) -> Self {
        let [first, ..] = endpoints(&record);
        Self {
            public_key: record.public_key(),
            id: record.id(),
            host: first.ip.map(Host::Ip),
            tcp: first.tcp,
            udp: first.udp,
            record: Some(record),
        }
    }

    /// The same node at this address and the same ports: what resolving its DNS name gave.
    #[must_use]
    pub fn with_ip(&self, ip: IpAddr) -> Self {
        Self { host: Some(Host::Ip(ip.to_canonical())), ..self.clone() }
    }

    /// The id.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The public key.
    pub const fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Where it can be reached, if that is known.
    pub const fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The address; `None` also while it is an unresolved DNS name.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Some(Host::Ip(ip)) => Some(ip),
            _ => None,
        }
    }

    /// The TCP port.
    pub fn tcp_port(&self) -> Option<u16> {
        Some(self.tcp).filter(|&port| port != 0)
    }

    /// The UDP port, for discovery.
    pub fn udp_port(&self) -> Option<u16> {
        Some(self.udp).filter(|&port| port != 0)
    }

    /// Where to dial it: `None` without an address, with an unspecified or a multicast one, and
    /// without a port.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        reachable(self.ip(), self.tcp)
    }

    /// All that is known of where to dial it, the best first: at most one address of each family
    /// from its record, and [`tcp_addr`](Node::tcp_addr).
    pub fn tcp_addrs(&self) -> Vec<SocketAddr> {
        let mut all: Vec<_> = self.tcp_addr().into_iter().collect();
        let known = self.record.iter().flat_map(endpoints);
        for addr in known.filter_map(|endpoint| reachable(endpoint.ip, endpoint.tcp)) {
            if !all.contains(&addr) {
                all.push(addr);
            }
        }
        all
    }

    /// Where discovery finds it, under the same conditions as [`tcp_addr`](Node::tcp_addr).
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        reachable(self.ip(), self.udp)
    }

    /// The record that it came from.
    pub const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The URL. Without a host it is `enode://` and the key alone, and tells no ports.
    pub fn to_enode(&self) -> String {
        let Self { public_key, host, tcp, udp, .. } = self;
        match host {
            None => format!("{ENODE_PREFIX}{public_key}"),
            Some(host) if tcp == udp => format!("{ENODE_PREFIX}{public_key}@{host}:{tcp}"),
            Some(host) => {
                format!("{ENODE_PREFIX}{public_key}@{host}:{tcp}?{DISCPORT}={udp}")
            }
        }
    }

    /// The text of the record that it came from.
    pub fn to_enr(&self) -> Option<String> {
        self.record.as_ref().map(Record::to_string)
    }
}

const ENODE_PREFIX: &str = "enode://";
const DISCPORT: &str = "discport";

/// What a record says of one family.
struct Endpoint {
    ip: Option<IpAddr>,
    tcp: u16,
    udp: u16,
}

/// What a record says of both families, that with geth's higher locality score first.
fn endpoints(record: &Record) -> [Endpoint; 2] {
    let unicast = |ip: IpAddr| Some(ip).filter(|ip| !ip.is_multicast());
    let ip = record.ip().and_then(|ip| unicast(ip.into()));
    let ip6 = record.ip6().and_then(|ip| unicast(IpAddr::V6(ip).to_canonical()));
    let v4_ports = (record.tcp().unwrap_or(0), record.udp().unwrap_or(0));
    let v6_ports = match ip6 {
        Some(IpAddr::V4(_)) => v4_ports,
        _ => (record.tcp6().unwrap_or(0), record.udp6().unwrap_or(0)),
    };
    let v4 = Endpoint { ip, tcp: v4_ports.0, udp: v4_ports.1 };
    let v6 = Endpoint { ip: ip6, tcp: v6_ports.0, udp: v6_ports.1 };
    let mut endpoints = [v4, v6];
    // A stable sort: of equal ones IPv4 stays in front.
    endpoints.sort_by_key(|endpoint| Reverse(endpoint.ip.map(|ip| classify(ip).locality())));
    endpoints
}

fn reachable(ip: Option<IpAddr>, port: u16) -> Option<SocketAddr> {
    let ip = ip.filter(|&ip| port != 0 && classify(ip).is_unicast())?;
    Some(SocketAddr::new(ip, port))
}

impl From<PublicKey> for Node {
    /// A node of which only the key is known.
    fn from(public_key: PublicKey) -> Self {
        Self::new(public_key, None, 0, 0)
    }
}

impl From<Record> for Node {
    fn from(record: Record) -> Self {
        Self::from_record(record)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.record {
            Some(record) => record.fmt(f),
            None => f.write_str(&self.to_enode()),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:#}", self.id)?;
        if let Some(host) = &self.host {
            write!(f, ", {host}, tcp {}, udp {}", self.tcp, self.udp)?;
        }
        if let Some(record) = &self.record {
            write!(f, ", seq {}", record.seq())?;
        }
        f.write_str(")")
    }
}

impl FromStr for Node {
    type Err = ParseNodeError;

    /// Reads `enode://<key>@<host>:<tcp>[?discport=<udp>]`, `enode://<key>` or `enr:<base64>`.
    ///
    /// As in geth, 128 hex digits without a prefix are not a node; where a user may give them,
    /// they are a [`PublicKey`], and `Node::from` makes a node of that. Other query parameters
    /// than `discport` are ignored.
    fn from_str(text: &str) -> Result<Self, ParseNodeError> {
        if let Some(rest) = text.strip_prefix(ENODE_PREFIX) {
            parse_enode(rest)
        } else if text.starts_with("enr:") {
            text.parse().map(Self::from_record).map_err(ParseNodeError::Record)
        } else {
            Err(ParseNodeError::MissingPrefix)
        }
    }
}

/// Reads what follows `enode://`.
fn parse_enode(rest: &str) -> Result<Node, ParseNodeError> {
    let Some((key, location)) = rest.split_once('@') else {
        return parse_key(rest).map(Node::from);
    };
    let key = parse_key(key)?;
    let (authority, query) = location.split_once('?').unwrap_or((location, ""));
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, tcp) = match authority.rsplit_once(':') {
        // The last colon is one within the brackets.
        Some(_) if authority.ends_with(']') => (authority, ""),
        Some(parts) => parts,
        None => (authority, ""),
    };
    let host = host.parse()?;
    let tcp = parse_port(tcp).ok_or(ParseNodeError::Port)?;
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let udp = match parameters.find(|&(name, _)| name == DISCPORT) {
        None | Some((_, "")) => tcp,
        Some((_, port)) => parse_port(port).ok_or(ParseNodeError::Discport)?,
    };
    Ok(Node::new(key, Some(host), tcp, udp))
}

fn parse_key(digits: &str) -> Result<PublicKey, ParseNodeError> {
    if digits.len() != 128 {
        return Err(ParseNodeError::PublicKeyLength);
    }
    digits.parse().map_err(ParseNodeError::PublicKey)
}

fn parse_port(text: &str) -> Option<u16> {
    // The standard parser takes a plus sign too.
    if text.starts_with('+') { None } else { text.parse().ok() }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Dns(name) => f.write_str(name),
        }
    }
}

impl FromStr for Host {
    type Err = ParseNodeError;

    /// Reads an IPv4 address, an IPv6 address in brackets, or a DNS name: labels of up to 63
    /// letters, digits, hyphens and underscores, 253 bytes in all, the last label no number.
    fn from_str(text: &str) -> Result<Self, ParseNodeError> {
        if let Some(inner) = text.strip_prefix('[') {
            let ip = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
            return ip
                .map(|ip| Self::Ip(IpAddr::V6(ip).to_canonical()))
                .ok_or(ParseNodeError::Host);
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(IpAddr::V4(ip)));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label_is_good = |label: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(good)
        };
        // What ends in a number is a mistyped address.
        let ends_in_number =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || ends_in_number || !name.split('.').all(label_is_good) {
            return Err(ParseNodeError::Host);
        }
        Ok(Self::Dns(text.to_owned()))
    }
}

/// Why a text is not a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseNodeError {
    /// The value of `discport` is not a port.
    Discport,
    /// The host is neither an address nor a DNS name.
    Host,
    /// The text begins neither with `enode://` nor with `enr:`.
    MissingPrefix,
    /// The TCP port is missing or not a port.
    Port,
    /// The 128 characters of the key are not hex digits or not a key.
    PublicKey(KeyError),
    /// The key does not have 128 hex digits.
    PublicKeyLength,
    /// The record is bad.
    Record(RecordError),
}

impl ParseNodeError {
    /// Whose fault it is: of who gave the text.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for ParseNodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discport => f.write_str("invalid discport in query"),
            Self::Host => f.write_str("invalid host, want an ip address or a dns name"),
            Self::MissingPrefix => f.write_str("missing prefix, want enode:// or enr:"),
            Self::Port => f.write_str("invalid port"),
            Self::PublicKey(error) => write!(f, "invalid public key: {error}"),
            Self::PublicKeyLength => {
                f.write_str("invalid public key: wrong length, want 128 hex digits")
            }
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ParseNodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::PublicKey(error) => Some(error),
            Self::Record(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeKey, RecordBuilder};

    fn key() -> NodeKey {
        NodeKey::from_bytes(&[9; 32]).unwrap()
    }

    fn node(location: &str) -> Result<Node, ParseNodeError> {
        format!("{ENODE_PREFIX}{}{location}", key().public_key()).parse()
    }

    fn from_record(builder: RecordBuilder) -> Node {
        Node::from_record(builder.sign(&key()).unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bad_urls_say_what_is_bad() {
        use ParseNodeError as E;
        for (location, error) in [
            ("@", E::Host),
            ("@:1", E::Host),
            ("@1.2.3.4", E::Port),
            ("@[::1]", E::Port),
            ("@[::1", E::Host),
            ("@[::1]x:1", E::Host),
            ("@[1.2.3.4]:1", E::Host),
            ("@::1:30303", E::Host),
            ("@1.2.3:1", E::Host),
            ("@999.1.1.1:1", E::Host),
            ("@a..b:1", E::Host),
            ("@a b:1", E::Host),
            ("@.:1", E::Host),
            ("@host/path:1", E::Host),
            ("@1.2.3.4:", E::Port),
            ("@1.2.3.4:+3", E::Port),
            ("@1.2.3.4:-3", E::Port),
            ("@1.2.3.4:65536", E::Port),
            ("@1.2.3.4:30303/path", E::Port),
            ("@1.2.3.4:3#x", E::Port),
            ("@1.2.3.4:3?discport=65536", E::Discport),
            ("@1.2.3.4:3?a=b&discport=+1", E::Discport),
            ("00@1.2.3.4:3", E::PublicKeyLength),
            ("?discport=3", E::PublicKeyLength),
        ] {
            assert_eq!(node(location), Err(error), "{location}");
        }
        let zeros = format!("enode://{}@1.2.3.4:3", "00".repeat(64));
        assert_eq!(zeros.parse::<Node>(), Err(E::PublicKey(KeyError::NotOnCurve)));
        let no_digits = format!("enode://{}@1.2.3.4:3", "xy".repeat(64));
        assert_eq!(no_digits.parse::<Node>(), Err(E::PublicKey(KeyError::Encoding)));
        assert_eq!("enr:!".parse::<Node>(), Err(E::Record(RecordError::Base64)));
        let long_label = format!("@{}:1", "a".repeat(64));
        assert_eq!(node(&long_label), Err(E::Host));
        let long_name = format!("@{}a:1", "a.".repeat(127));
        assert_eq!(node(&long_name), Err(E::Host));
    }

    #[test]
    fn tolerated_forms_of_the_url() {
        let plain = node("@1.2.3.4:30303").unwrap();
        for same in [
            "@1.2.3.4:30303/",
            "@1.2.3.4:30303?",
            "@1.2.3.4:30303?discport=",
            "@1.2.3.4:30303?discport=30303",
            "@1.2.3.4:30303?other=7&discport=30303&discport=9",
            "@[::ffff:1.2.3.4]:30303",
        ] {
            assert_eq!(node(same).as_ref(), Ok(&plain), "{same}");
        }
        let upper = plain.to_string().to_uppercase().replace("ENODE", "enode");
        assert_eq!(upper.parse().as_ref(), Ok(&plain));
        assert_eq!(
            node("@a-b_c.example.:1").unwrap().host(),
            Some(&Host::Dns("a-b_c.example.".into()))
        );
        assert_eq!(node("@localhost:1").unwrap().ip(), None);
    }

    #[test]
    fn urls_are_printed_as_geth_does() {
        let url = |host, tcp, udp| {
            let text = Node::new(key().public_key(), host, tcp, udp).to_string();
            text.split_once('@').map(|(_, location)| location.to_owned())
        };
        let host = |text| Some(Host::Ip(ip(text)));
        assert_eq!(url(None, 0, 0), None);
        assert_eq!(url(host("1.2.3.4"), 3, 3).as_deref(), Some("1.2.3.4:3"));
        assert_eq!(url(host("1.2.3.4"), 3, 4).as_deref(), Some("1.2.3.4:3?discport=4"));
        assert_eq!(url(host("1.2.3.4"), 0, 4).as_deref(), Some("1.2.3.4:0?discport=4"));
        assert_eq!(url(host("2a00::1"), 3, 0).as_deref(), Some("[2a00::1]:3?discport=0"));
        assert_eq!(url(host("::ffff:1.2.3.4"), 3, 3).as_deref(), Some("1.2.3.4:3"));
        assert_eq!(url(Some(Host::Dns("a.b".into())), 3, 3).as_deref(), Some("a.b:3"));
    }

    #[test]
    fn the_preferred_address_is_the_one_of_the_higher_locality_score() {
        // geth's TestNodeEndpoints, and what follows from the same rules.
        let both = |v4, v6| {
            from_record(Record::builder().ip(ip(v4)).ip(ip(v6)).tcp(4).udp(40).tcp6(6).udp6(60))
        };
        for (v4, v6, preferred) in [
            ("192.168.2.2", "::", "192.168.2.2"),
            ("127.0.0.1", "::", "127.0.0.1"),
            ("127.0.0.1", "::1", "127.0.0.1"),
            ("127.0.0.1", "fe80::1", "fe80::1"),
            ("192.168.2.2", "2001::ff00:42:8329", "2001::ff00:42:8329"),
            ("99.22.33.1", "2001::ff00:42:8329", "99.22.33.1"),
            ("192.168.2.2", "fe80::1", "192.168.2.2"),
            ("169.254.1.1", "fd00::1", "fd00::1"),
            ("0.0.0.0", "::1", "::1"),
            ("224.0.0.1", "::1", "::1"),
            ("1.2.3.4", "ff02::1", "1.2.3.4"),
        ] {
            let node = both(v4, v6);
            let ports = if ip(preferred).is_ipv4() { (4, 40) } else { (6, 60) };
            assert_eq!(node.ip(), Some(ip(preferred)), "{v4} {v6}");
            assert_eq!((node.tcp_port(), node.udp_port()), (Some(ports.0), Some(ports.1)));
        }
    }

    #[test]
    fn every_address_of_a_record_is_told_the_preferred_first() {
        let both = |v4, v6| from_record(Record::builder().ip(ip(v4)).ip(ip(v6)).tcp(4).udp(40));
        assert_eq!(
            both("1.1.1.1", "2a00::1").tcp_addrs(),
            [addr("1.1.1.1:4"), addr("[2a00::1]:4")]
        );
        assert_eq!(
            both("10.0.0.1", "2a00::1").tcp_addrs(),
            [addr("[2a00::1]:4"), addr("10.0.0.1:4")]
        );
        assert_eq!(both("10.0.0.1", "::").tcp_addrs(), [addr("10.0.0.1:4")]);
        assert_eq!(both("0.0.0.0", "ff02::1").tcp_addrs(), []);
        assert_eq!(both("10.0.0.1", "2a00::1").udp_addr(), Some(addr("[2a00::1]:40")));

        let without_tcp = from_record(Record::builder().ip(ip("1.1.1.1")).udp(40));
        assert_eq!((without_tcp.tcp_addr(), without_tcp.tcp_addrs()), (None, vec![]));
        let only_tcp6 = Record::builder().ip(ip("1.1.1.1")).ip(ip("2a00::1")).tcp6(6);
        let only_tcp6 = from_record(only_tcp6);
        assert_eq!(
            (only_tcp6.tcp_addr(), only_tcp6.tcp_addrs()),
            (None, vec![addr("[2a00::1]:6")])
        );

        let moved = both("1.1.1.1", "2a00::1").with_ip(ip("9.9.9.9"));
        assert_eq!(moved.tcp_addrs(), [addr("9.9.9.9:4"), addr("1.1.1.1:4"), addr("[2a00::1]:4")]);
        let url = node("@1.2.3.4:3?discport=5").unwrap();
        assert_eq!(
            (url.tcp_addrs(), url.udp_addr()),
            (vec![addr("1.2.3.4:3")], Some(addr("1.2.3.4:5")))
        );
    }

    #[test]
    fn a_record_without_address_still_tells_its_ports() {
        let node = from_record(Record::builder().tcp(4).udp(40));
        assert_eq!((node.host(), node.tcp_addr(), node.udp_addr()), (None, None, None));
        assert_eq!((node.tcp_port(), node.udp_port()), (Some(4), Some(40)));
        assert_eq!(node.with_ip(ip("1.2.3.4")).tcp_addr(), Some(addr("1.2.3.4:4")));
    }

    #[test]
    fn an_ipv4_address_in_an_ip6_entry_is_ipv4() {
        let mapped = rlp::encode(
            &"::ffff:1.2.3.4".parse::<std::net::Ipv6Addr>().unwrap().octets().as_slice(),
        );
        let node = from_record(Record::builder().entry("ip6", mapped.freeze()).tcp(4).tcp6(6));
        assert_eq!(node.tcp_addrs(), [addr("1.2.3.4:4")]);
    }

    #[test]
    fn both_text_forms() {
        let record = Record::builder().ip(ip("1.2.3.4")).tcp(4).udp(4).sign(&key()).unwrap();
        let node = Node::from_record(record.clone());
        assert_eq!(node.to_string(), record.to_string());
        assert_eq!(node.to_enr(), Some(record.to_string()));
        assert_eq!(node.to_string().parse().as_ref(), Ok(&node));
        let url: Node = node.to_enode().parse().unwrap();
        assert_eq!((url.tcp_addr(), url.to_enr(), url.record()), (node.tcp_addr(), None, None));
        assert_eq!(url.to_string(), node.to_enode());
        assert_eq!(url.id(), node.id());
        assert_eq!(format!("{url:?}"), format!("Node({:#}, 1.2.3.4, tcp 4, udp 4)", url.id()));
    }
}
