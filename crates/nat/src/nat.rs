//! What a user says of the NAT that the node is behind.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use devp2p_core::{Fault, Host};

/// The port of a STUN server that is named without one (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;

/// The longest name of a host in DNS.
const MAX_HOST: usize = 253;

/// How a node that is behind a NAT gets to be reachable, or at least to know its address.
///
/// Reads and prints geth's strings, and `pcp` beside them. Case does not matter, and geth's other
/// names are understood: nothing at all and `off` for `none`, `auto` and `on` for `any`, `ip` for
/// `extip`, `natpmp` and `nat-pmp` for `pmp`.
///
/// ```
/// use devp2p_nat::Nat;
///
/// assert_eq!("any".parse(), Ok(Nat::Any));
/// assert_eq!("EXTIP:192.0.2.1".parse(), Ok(Nat::ExtIp([192, 0, 2, 1].into())));
/// assert_eq!("stun:stun.example.org".parse::<Nat>()?.to_string(), "stun:stun.example.org:3478");
/// assert!("igd".parse::<Nat>().unwrap_err().to_string().contains("upnp"));
/// # Ok::<(), devp2p_nat::NatParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nat {
    /// `any`: the first of UPnP, NAT-PMP and PCP that the network has.
    Any,
    /// `extip:IP`: the node is reachable at this address, through ports that somebody mapped by
    /// hand, if need be.
    ExtIp(IpAddr),
    /// `none`: nothing is asked of anybody.
    #[default]
    None,
    /// `pcp` and `pcp:IP`: the Port Control Protocol (RFC 6887), with the gateway of the routing
    /// table or this one.
    Pcp(Option<Ipv4Addr>),
    /// `pmp` and `pmp:IP`: NAT-PMP (RFC 6886), likewise.
    Pmp(Option<Ipv4Addr>),
    /// `stun:HOST:PORT`: a STUN server (RFC 8489) tells the address, and no port is mapped. `stun`
    /// asks public ones, which are strangers.
    Stun(Option<StunServer>),
    /// `upnp`: the Internet Gateway Device protocol, versions 1 and 2.
    Upnp,
}

/// Where a STUN server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StunServer {
    /// Its address or name.
    pub host: Host,
    /// Its UDP port.
    pub port: u16,
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::ExtIp(ip) => write!(f, "extip:{ip}"),
            Self::None => f.write_str("none"),
            Self::Pcp(None) => f.write_str("pcp"),
            Self::Pcp(Some(gateway)) => write!(f, "pcp:{gateway}"),
            Self::Pmp(None) => f.write_str("pmp"),
            Self::Pmp(Some(gateway)) => write!(f, "pmp:{gateway}"),
            Self::Stun(None) => f.write_str("stun"),
            Self::Stun(Some(server)) => write!(f, "stun:{server}"),
            Self::Upnp => f.write_str("upnp"),
        }
    }
}

impl FromStr for Nat {
    type Err = NatParseError;

    fn from_str(text: &str) -> Result<Self, NatParseError> {
        let (way, rest) = match text.split_once(':') {
            Some((way, rest)) => (way, Some(rest)),
            None => (text, None),
        };
        let way = way.to_ascii_lowercase();
        match (way.as_str(), rest) {
            ("" | "none" | "off", None) => Ok(Self::None),
            ("any" | "auto" | "on", None) => Ok(Self::Any),
            ("upnp", None) => Ok(Self::Upnp),
            ("none" | "off" | "any" | "auto" | "on" | "upnp", Some(_)) => {
                Err(NatParseError::Argument(way))
            }
            ("extip" | "ip", Some(ip)) => extip(ip).map(Self::ExtIp),
            ("extip" | "ip", None) => Err(NatParseError::Address(String::new())),
            ("pmp" | "natpmp" | "nat-pmp", gateway) => gateway.map(v4).transpose().map(Self::Pmp),
            ("pcp", gateway) => gateway.map(v4).transpose().map(Self::Pcp),
            // geth takes nothing after the colon for no server, too.
            ("stun", None | Some("")) => Ok(Self::Stun(None)),
            ("stun", Some(server)) => Ok(Self::Stun(Some(server.parse()?))),
            _ => Err(NatParseError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads `HOST:PORT` and `HOST`, an IPv6 address in brackets.
impl FromStr for StunServer {
    type Err = NatParseError;

    fn from_str(text: &str) -> Result<Self, NatParseError> {
        let refused = || NatParseError::Server(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = port.map_or(Ok(STUN_PORT), str::parse).map_err(|_| refused())?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => Host::Ip(v6.parse::<Ipv6Addr>().map_err(|_| refused())?.into()),
            None => match host.parse::<Ipv4Addr>() {
                Ok(v4) => Host::Ip(v4.into()),
                Err(_) if is_name(host) => Host::Dns(host.to_owned()),
                Err(_) => return Err(refused()),
            },
        };
        if port == 0 {
            return Err(refused());
        }
        Ok(Self { host, port })
    }
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= MAX_HOST
        && name.split('.').all(is_label)
        // Otherwise it was meant for an address.
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn extip(text: &str) -> Result<IpAddr, NatParseError> {
    let refused = |_| NatParseError::Address(text.to_owned());
    let ip = text.parse::<IpAddr>().map_err(refused)?.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(NatParseError::Address(text.to_owned()));
    }
    Ok(ip)
}

fn v4(text: &str) -> Result<Ipv4Addr, NatParseError> {
    let gateway: Ipv4Addr = text.parse().map_err(|_| NatParseError::Gateway(text.to_owned()))?;
    if gateway.is_unspecified() || gateway.is_multicast() || gateway.is_broadcast() {
        return Err(NatParseError::Gateway(text.to_owned()));
    }
    Ok(gateway)
}

/// Why a text is no [`Nat`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatParseError {
    /// What `extip` was given is no address of a host.
    Address(String),
    /// This way takes nothing after its name.
    Argument(String),
    /// What `pmp` or `pcp` was given is no IPv4 address of a gateway.
    Gateway(String),
    /// What `stun` was given is no server.
    Server(String),
    /// There is no such way.
    Unknown(String),
}

impl NatParseError {
    /// Ours: it is the user's text.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for NatParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => {
                write!(f, "{ip:?} is no address that a node can have: extip:IP wants one")
            }
            Self::Argument(way) => write!(f, "{way} takes nothing after its name"),
            Self::Gateway(ip) => {
                write!(f, "{ip:?} is no IPv4 address of a gateway: pmp and pcp find it themselves")
            }
            Self::Server(server) => {
                write!(f, "{server:?} is no STUN server: stun:HOST:PORT, an IPv6 address in [ ]")
            }
            Self::Unknown(text) => write!(
                f,
                "{text:?} is no way through a NAT: any, none, upnp, pmp, pmp:IP, pcp, pcp:IP, \
                 extip:IP, stun or stun:HOST:PORT"
            ),
        }
    }
}

impl std::error::Error for NatParseError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn geths_strings_are_understood_and_printed_as_they_are() {
        for text in [
            "any",
            "none",
            "upnp",
            "pmp",
            "pmp:192.168.0.1",
            "pcp",
            "pcp:192.168.0.1",
            "extip:77.12.33.4",
            "extip:2001:db8::1",
            "stun",
            "stun:192.168.0.1:1234",
            "stun:[2001:db8::1]:1234",
            "stun:stun.example.org:3478",
        ] {
            assert_eq!(text.parse::<Nat>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn so_are_its_other_names() {
        for (other, text) in [
            ("", "none"),
            ("off", "none"),
            ("None", "none"),
            ("auto", "any"),
            ("on", "any"),
            ("UPnP", "upnp"),
            ("natpmp", "pmp"),
            ("NAT-PMP:10.0.0.1", "pmp:10.0.0.1"),
            ("ip:1.2.3.4", "extip:1.2.3.4"),
            ("extip:::ffff:1.2.3.4", "extip:1.2.3.4"),
            ("STUN:", "stun"),
            ("stun:1.2.3.4", "stun:1.2.3.4:3478"),
            ("stun:[::1]", "stun:[::1]:3478"),
        ] {
            assert_eq!(other.parse::<Nat>().unwrap().to_string(), text, "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_allowed() {
        for (text, allowed) in [
            ("igd", "any, none, upnp, pmp, pmp:IP, pcp, pcp:IP, extip:IP, stun or stun:HOST:PORT"),
            (":1.2.3.4", "any, none"),
            ("extip", "extip:IP"),
            ("extip:", "extip:IP"),
            ("extip:example.org", "extip:IP"),
            ("extip:0.0.0.0", "extip:IP"),
            ("extip:224.0.0.1", "extip:IP"),
            ("any:1.2.3.4", "takes nothing"),
            ("upnp:1.2.3.4", "takes nothing"),
            ("pmp:::1", "IPv4"),
            ("pcp:0.0.0.0", "IPv4"),
            ("stun:1.2.3.4:0", "stun:HOST:PORT"),
            ("stun:1.2.3.4:65536", "stun:HOST:PORT"),
            ("stun:1.2.3:3478", "stun:HOST:PORT"),
            ("stun:::1", "stun:HOST:PORT"),
            ("stun::3478", "stun:HOST:PORT"),
            ("stun:a b:3478", "stun:HOST:PORT"),
        ] {
            let error = text.parse::<Nat>().expect_err(text);
            assert!(error.to_string().contains(allowed), "{error}");
            assert_eq!(error.fault(), Fault::Local);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_printed_and_read_again(
            text in "(any|pmp|pcp|extip|stun|[a-z]{0,4})(:[a-zA-Z0-9.:\\[\\]-]{0,24})?",
        ) {
            if let Ok(nat) = text.parse::<Nat>() {
                prop_assert_eq!(nat.to_string().parse(), Ok(nat));
            }
        }

        #[test]
        fn every_address_can_be_told(v6: bool, bits: u128, port in 1..=u16::MAX) {
            let ip = if v6 {
                IpAddr::V6(bits.into())
            } else {
                IpAddr::V4(((bits >> 96) as u32).into())
            };
            let server = Nat::Stun(Some(StunServer { host: Host::Ip(ip), port }));
            prop_assert_eq!(server.to_string().parse(), Ok(server));
        }
    }
}
