//! What kind of network an address belongs to, and the rules that follow from it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Fault;

/// The kind of network that an address belongs to.
///
/// An IPv4-mapped address (`::ffff:a.b.c.d`) has the class of the IPv4 address.
/// Source: the IANA registries of special-purpose IPv4 and IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndpointClass {
    /// 100.64.0.0/10: shared by the customers of one carrier (RFC 6598).
    Cgnat,
    /// 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32, 3fff::/20.
    Documentation,
    /// Reachable from everywhere, as far as an address can tell.
    Global,
    /// A private network: 10/8, 172.16/12, 192.168/16, fc00::/7.
    Lan,
    /// 169.254/16 and fe80::/10.
    LinkLocal,
    /// 127/8 and ::1.
    Loopback,
    /// 224/4 and ff00::/8.
    Multicast,
    /// Anything else that the registries take out of the global space: broadcast, "this
    /// network", benchmarks, transition mechanisms, and what is kept for the future.
    Reserved,
    /// 0.0.0.0 and ::.
    Unspecified,
}

impl EndpointClass {
    /// How far from home an address of this class can be reached, by geth's `localityScore`:
    /// the higher, the better for a stranger.
    pub(crate) const fn locality(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::Loopback => 1,
            Self::LinkLocal => 2,
            Self::Lan => 3,
            _ => 4,
        }
    }

    /// Whether an address of this class can be connected to at all.
    pub(crate) const fn is_unicast(self) -> bool {
        !matches!(self, Self::Unspecified | Self::Multicast)
    }
}

/// The class of an address.
pub fn classify(ip: IpAddr) -> EndpointClass {
    match ip.to_canonical() {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

fn classify_v4(ip: Ipv4Addr) -> EndpointClass {
    if ip.is_unspecified() {
        EndpointClass::Unspecified
    } else if ip.is_loopback() {
        EndpointClass::Loopback
    } else if ip.is_private() {
        EndpointClass::Lan
    } else if ip.is_link_local() {
        EndpointClass::LinkLocal
    } else if ip.is_multicast() {
        EndpointClass::Multicast
    } else if ip.is_documentation() {
        EndpointClass::Documentation
    } else if v4(100, 64, 0, 0, 10).contains(&ip) {
        EndpointClass::Cgnat
    } else if RESERVED_V4.iter().any(|net| net.contains(&ip)) {
        EndpointClass::Reserved
    } else {
        EndpointClass::Global
    }
}

fn classify_v6(ip: Ipv6Addr) -> EndpointClass {
    if ip.is_unspecified() {
        EndpointClass::Unspecified
    } else if ip.is_loopback() {
        EndpointClass::Loopback
    } else if ip.is_unique_local() {
        EndpointClass::Lan
    } else if ip.is_unicast_link_local() {
        EndpointClass::LinkLocal
    } else if ip.is_multicast() {
        EndpointClass::Multicast
    } else if DOCUMENTATION_V6.iter().any(|net| net.contains(&ip)) {
        EndpointClass::Documentation
    } else if RESERVED_V6.iter().any(|net| net.contains(&ip)) {
        EndpointClass::Reserved
    } else {
        EndpointClass::Global
    }
}

/// UDP ports up to this one are refused: services live there that answer any packet, and a
/// discovery that sends to them is a weapon in a stranger's hand.
pub const HIGHEST_REFUSED_UDP_PORT: u16 = 1024;

/// Whether we may believe `sender` that a node listens for UDP packets at `addr`.
///
/// As geth's `CheckRelayIP` with its `lowPort`: addresses of no host are never good, a loopback
/// address only from a loopback sender, an address of a local network only from a sender in a
/// local network, and no port up to [`HIGHEST_REFUSED_UDP_PORT`]. Stricter than geth in this:
/// link-local IPv4 is local; 0.0.0.0/8 and what else IANA reserves is never good; and a
/// [`Cgnat`](EndpointClass::Cgnat) address needs a sender behind a carrier or in a local network,
/// since nobody else can know whether it reaches anyone.
///
/// # Errors
/// The rule that the address breaks.
pub fn check_relay_addr(sender: IpAddr, addr: SocketAddr) -> Result<(), RelayError> {
    check_relay_ip(sender, addr.ip())?;
    if addr.port() <= HIGHEST_REFUSED_UDP_PORT {
        return Err(RelayError::LowPort);
    }
    Ok(())
}

/// As [`check_relay_addr`], for an address without a port.
///
/// # Errors
/// The rule that the address breaks.
pub fn check_relay_ip(sender: IpAddr, ip: IpAddr) -> Result<(), RelayError> {
    use EndpointClass as Class;

    let sender = classify(sender);
    let local = matches!(sender, Class::Lan | Class::LinkLocal | Class::Loopback);
    match classify(ip) {
        Class::Unspecified => Err(RelayError::Unspecified),
        Class::Documentation | Class::Multicast | Class::Reserved => Err(RelayError::Special),
        Class::Loopback if sender != Class::Loopback => Err(RelayError::Loopback),
        Class::Lan | Class::LinkLocal if !local => Err(RelayError::Lan),
        Class::Cgnat if !local && sender != Class::Cgnat => Err(RelayError::Lan),
        Class::Cgnat | Class::Global | Class::Lan | Class::LinkLocal | Class::Loopback => Ok(()),
    }
}

/// Why an address that a node told us of is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayError {
    /// A local address from a sender outside of any local network.
    Lan,
    /// A loopback address from a sender on another machine.
    Loopback,
    /// A UDP port of [`HIGHEST_REFUSED_UDP_PORT`] or below.
    LowPort,
    /// An address of no single host, or one kept for documentation or tests.
    Special,
    /// The address is 0.0.0.0 or ::.
    Unspecified,
}

impl RelayError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lan => "a local address from a sender that is not local",
            Self::Loopback => "a loopback address from another machine",
            Self::LowPort => "a low UDP port",
            Self::Special => "an address of a special network",
            Self::Unspecified => "the unspecified address",
        })
    }
}

impl std::error::Error for RelayError {}

/// Whether limits by address (connections, packets, table entries per IP or prefix) hold for the
/// addresses of one's own networks too.
///
/// One policy covers all those limits. Tests of the limits, and nodes on a hostile local
/// network, set [`LanPolicy::Limit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LanPolicy {
    /// Loopback, link-local and private addresses are exempt from limits by address: a test
    /// network or an office shares few of them. Addresses behind a carrier's NAT are not.
    #[default]
    Exempt,
    /// Every address is limited.
    Limit,
}

impl LanPolicy {
    /// Whether limits by address do not hold for `ip`.
    pub fn exempts(self, ip: IpAddr) -> bool {
        self == Self::Exempt
            && matches!(
                classify(ip),
                EndpointClass::Lan | EndpointClass::LinkLocal | EndpointClass::Loopback
            )
    }
}

/// The network that an address is counted under where limits hold per network: a /24 of IPv4 or
/// a /48 of IPv6, which is about what one party gets to itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNet);

impl Prefix {
    /// The length of an IPv4 prefix, in bits.
    pub const V4_BITS: u8 = 24;
    /// The length of an IPv6 prefix, in bits.
    pub const V6_BITS: u8 = 48;

    /// The network.
    pub const fn network(&self) -> IpNet {
        self.0
    }

    /// Whether `ip` is counted under this prefix.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

/// The prefix that `ip` is counted under; an IPv4-mapped address counts as IPv4.
pub fn prefix_group(ip: IpAddr) -> Prefix {
    Prefix(
        match ip.to_canonical() {
            IpAddr::V4(ip) => IpNet::V4(Ipv4Net::new_assert(ip, Prefix::V4_BITS)),
            IpAddr::V6(ip) => IpNet::V6(Ipv6Net::new_assert(ip, Prefix::V6_BITS)),
        }
        .trunc(),
    )
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, c: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

/// IANA's special-purpose IPv4 addresses, without those that have a class of their own.
const RESERVED_V4: [Ipv4Net; 8] = [
    v4(0, 0, 0, 0, 8),       // "this network"
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 31, 196, 0, 24), // AS112
    v4(192, 52, 193, 0, 24), // AMT
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 175, 48, 0, 24), // AS112
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(240, 0, 0, 0, 4),     // the future, and broadcast
];

const DOCUMENTATION_V6: [Ipv6Net; 2] = [v6(0x2001, 0xdb8, 0, 32), v6(0x3fff, 0, 0, 20)];

/// IANA's special-purpose IPv6 addresses, without those that have a class of their own.
const RESERVED_V6: [Ipv6Net; 7] = [
    v6(0, 0, 0, 96),              // IPv4-compatible, long deprecated
    v6(0x64, 0xff9b, 1, 48),      // local translation to IPv4
    v6(0x100, 0, 0, 64),          // discard
    v6(0x2001, 0, 0, 23),         // protocol assignments: Teredo, benchmarks, ORCHID, AMT, AS112
    v6(0x2002, 0, 0, 16),         // 6to4
    v6(0x2620, 0x4f, 0x8000, 48), // AS112
    v6(0xfec0, 0, 0, 10),         // site-local, deprecated
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_class_is_known() {
        use EndpointClass as Class;
        for (class, addresses) in [
            (Class::Cgnat, "100.64.0.0 100.127.255.255 ::ffff:100.64.0.1"),
            (Class::Documentation, "192.0.2.1 198.51.100.1 203.0.113.9 2001:db8::1 3fff:fff::1"),
            (
                Class::Global,
                "1.1.1.1 23.55.1.242 100.63.255.255 100.128.0.0 172.32.0.1 192.169.0.1 \
                 2a00:1450::1 2606:4700::1 ::ffff:8.8.8.8",
            ),
            (Class::Lan, "10.0.1.1 172.16.0.1 172.31.252.251 192.168.1.4 fc00::4 fdff::1"),
            (Class::LinkLocal, "169.254.3.4 fe80::f4a1:8eff:fec5:9d9d febf::ab32:2233"),
            (Class::Loopback, "127.0.0.1 127.255.0.1 ::1 ::ffff:127.0.0.1"),
            (Class::Multicast, "224.0.0.22 239.255.255.255 ff05::1:3"),
            (
                Class::Reserved,
                "0.2.0.8 192.0.0.1 192.0.0.170 192.31.196.1 192.52.193.1 192.88.99.1 198.18.3.4 \
                 240.0.0.1 255.255.255.255 ::1:2 64:ff9b:1::1 100::1 2001::1 2001:20::3 2002::1 \
                 fec0::1",
            ),
            (Class::Unspecified, "0.0.0.0 :: ::ffff:0.0.0.0"),
        ] {
            for text in addresses.split_whitespace() {
                assert_eq!(classify(ip(text)), class, "{text}");
            }
        }
    }

    #[test]
    fn relayed_addresses_are_believed_as_far_as_the_sender_can_know() {
        let cases = [
            // The table of geth's TestCheckRelayIP.
            ("127.0.0.1", "0.0.0.0", Err(RelayError::Unspecified)),
            ("192.168.0.1", "0.0.0.0", Err(RelayError::Unspecified)),
            ("23.55.1.242", "0.0.0.0", Err(RelayError::Unspecified)),
            ("127.0.0.1", "255.255.255.255", Err(RelayError::Special)),
            ("192.168.0.1", "255.255.255.255", Err(RelayError::Special)),
            ("23.55.1.242", "255.255.255.255", Err(RelayError::Special)),
            ("192.168.0.1", "127.0.2.19", Err(RelayError::Loopback)),
            ("23.55.1.242", "127.0.2.19", Err(RelayError::Loopback)),
            ("23.55.1.242", "192.168.0.1", Err(RelayError::Lan)),
            ("127.0.0.1", "127.0.2.19", Ok(())),
            ("127.0.0.1", "192.168.0.1", Ok(())),
            ("127.0.0.1", "23.55.1.242", Ok(())),
            ("192.168.0.1", "192.168.0.1", Ok(())),
            ("192.168.0.1", "23.55.1.242", Ok(())),
            ("23.55.1.242", "23.55.1.242", Ok(())),
            // IPv6, mapped addresses, carriers, multicast.
            ("::1", "::1", Ok(())),
            ("2a00::1", "::1", Err(RelayError::Loopback)),
            ("2a00::1", "::", Err(RelayError::Unspecified)),
            ("2a00::1", "fc00::1", Err(RelayError::Lan)),
            ("2a00::1", "fe80::1", Err(RelayError::Lan)),
            ("2a00::1", "ff02::1", Err(RelayError::Special)),
            ("2a00::1", "2001:db8::1", Err(RelayError::Special)),
            ("2a00::1", "2a00::2", Ok(())),
            ("::ffff:23.55.1.242", "::ffff:192.168.0.1", Err(RelayError::Lan)),
            ("::ffff:10.0.0.1", "::ffff:192.168.0.1", Ok(())),
            ("23.55.1.242", "100.64.0.1", Err(RelayError::Lan)),
            ("100.64.0.2", "100.64.0.1", Ok(())),
            ("10.0.0.2", "100.64.0.1", Ok(())),
            ("100.64.0.2", "10.0.0.2", Err(RelayError::Lan)),
            ("23.55.1.242", "169.254.0.1", Err(RelayError::Lan)),
            ("10.0.0.2", "169.254.0.1", Ok(())),
            ("10.0.0.2", "0.2.0.8", Err(RelayError::Special)),
        ];
        for (sender, addr, expected) in cases {
            assert_eq!(check_relay_ip(ip(sender), ip(addr)), expected, "{sender} told of {addr}");
        }
    }

    #[test]
    fn low_ports_are_refused() {
        let check = |port| check_relay_addr(ip("1.1.1.1"), SocketAddr::new(ip("2.2.2.2"), port));
        assert_eq!(check(0), Err(RelayError::LowPort));
        assert_eq!(check(1024), Err(RelayError::LowPort));
        assert_eq!(check(1025), Ok(()));
        assert_eq!(
            check_relay_addr(ip("1.1.1.1"), SocketAddr::new(ip("10.0.0.1"), 9_000)),
            Err(RelayError::Lan)
        );
    }

    #[test]
    fn the_default_policy_exempts_ones_own_networks_and_can_be_switched_off() {
        let policy = LanPolicy::default();
        for own in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1", "fe80::1", "::ffff:192.168.0.1"] {
            assert!(policy.exempts(ip(own)), "{own}");
            assert!(!LanPolicy::Limit.exempts(ip(own)), "{own}");
        }
        for other in ["8.8.8.8", "100.64.0.1", "2a00::1", "0.0.0.0", "224.0.0.1"] {
            assert!(!policy.exempts(ip(other)), "{other}");
        }
    }

    #[test]
    fn prefixes_are_24_and_48_bits() {
        let group = |text| prefix_group(ip(text));
        assert_eq!(group("1.2.3.4"), group("1.2.3.255"));
        assert_eq!(group("1.2.3.4"), group("::ffff:1.2.3.9"));
        assert_ne!(group("1.2.3.4"), group("1.2.4.4"));
        assert_eq!(group("2a00:1:2:3::1"), group("2a00:1:2:ffff::2"));
        assert_ne!(group("2a00:1:2::1"), group("2a00:1:3::1"));
        assert_eq!(group("1.2.3.4").to_string(), "1.2.3.0/24");
        assert_eq!(group("2a00:1:2:3::1").to_string(), "2a00:1:2::/48");
        assert!(group("1.2.3.4").contains(ip("::ffff:1.2.3.77")));
        assert!(!group("1.2.3.4").contains(ip("1.2.5.4")));
    }
}
