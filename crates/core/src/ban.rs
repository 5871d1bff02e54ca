use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;

use crate::{Fault, Node, NodeId, net_restrict::canonical};

/// How many bans are kept: more than an operator makes by hand, and few enough to be written anew
/// with each change (200 KiB).
pub const MAX_BANS: usize = 4_096;

/// Whom a ban concerns: a node, or all that is in a network.
///
/// Read from a node id (64 hex digits), an `enode` or `enr` URL, which means its id, an IP address,
/// or a network as in `203.0.113.0/24`; printed as an id or a network.
///
/// ```
/// # use devp2p_core::BanTarget;
/// let network: BanTarget = "203.0.113.7/24".parse()?;
/// assert_eq!(network.to_string(), "203.0.113.0/24");
/// assert_eq!("::ffff:203.0.113.7".parse::<BanTarget>()?.to_string(), "203.0.113.7/32");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BanTarget {
    /// The node with this id, wherever it is.
    Id(NodeId),
    /// Whoever is at an address in this network.
    Net(BanNet),
}

/// A network that is banned: without host bits, IPv4 where it holds only mapped IPv4 addresses, and
/// no wider than a /8 of IPv4 or a /16 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BanNet(IpNet);

impl BanNet {
    /// The shortest prefix of an IPv4 network. What is wider belongs to no one; where nearly all is
    /// to be kept out, there is [`NetRestrict`](crate::NetRestrict).
    pub const MIN_V4_BITS: u8 = 8;
    /// The shortest prefix of an IPv6 network.
    pub const MIN_V6_BITS: u8 = 16;

    /// The network, unless it is too wide.
    pub fn new(network: IpNet) -> Option<Self> {
        let network = canonical(network);
        (network.prefix_len() >= Self::min_bits(network.addr())).then_some(Self(network))
    }

    /// The network.
    pub const fn network(&self) -> IpNet {
        self.0
    }

    /// Whether the address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }

    /// All networks that there can be with this address in them, the narrowest first.
    pub fn around(ip: IpAddr) -> impl Iterator<Item = Self> {
        let ip = ip.to_canonical();
        let widest = Self::min_bits(ip);
        let narrowest = IpNet::from(ip).max_prefix_len();
        let network = move |bits| IpNet::new(ip, bits).ok().map(|it| Self(it.trunc()));
        (widest..=narrowest).rev().filter_map(network)
    }

    const fn min_bits(ip: IpAddr) -> u8 {
        match ip {
            IpAddr::V4(_) => Self::MIN_V4_BITS,
            IpAddr::V6(_) => Self::MIN_V6_BITS,
        }
    }
}

impl From<NodeId> for BanTarget {
    fn from(id: NodeId) -> Self {
        Self::Id(id)
    }
}

impl From<IpAddr> for BanTarget {
    fn from(ip: IpAddr) -> Self {
        Self::Net(BanNet(IpNet::from(ip.to_canonical())))
    }
}

impl FromStr for BanTarget {
    type Err = ParseBanTargetError;

    fn from_str(text: &str) -> Result<Self, ParseBanTargetError> {
        if let Ok(id) = text.parse::<NodeId>() {
            return Ok(Self::Id(id));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(ip.into());
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return BanNet::new(network).map(Self::Net).ok_or(ParseBanTargetError::TooWide);
        }
        match text.parse::<Node>() {
            Ok(node) => Ok(Self::Id(node.id())),
            Err(_) => Err(ParseBanTargetError::Unknown),
        }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Net(network) => network.0.fmt(f),
        }
    }
}

/// Why a text does not say whom to ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseBanTargetError {
    /// It is none of the things that can be banned.
    Unknown,
    /// The network is wider than a /8 of IPv4 or a /16 of IPv6.
    TooWide,
}

impl ParseBanTargetError {
    /// Whose fault it is: ours, bans are the operator's.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for ParseBanTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "neither a node id, an enode or enr URL, an IP address, nor a network as in 10.0.0.0/8"
            }
            Self::TooWide => "a network wider than a /8 of IPv4 or a /16 of IPv6",
        })
    }
}

impl std::error::Error for ParseBanTargetError {}

/// A ban, as it is kept across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Ban {
    /// Whom it concerns.
    pub target: BanTarget,
    /// When it was made, in seconds since 1970.
    pub since: u64,
    /// When it ends, in seconds since 1970; `None` where it is for good.
    pub until: Option<u64>,
}

impl Ban {
    /// A ban made at `since`, in seconds since 1970.
    pub const fn new(target: BanTarget, since: u64, duration: Option<Duration>) -> Self {
        let until = match duration {
            Some(duration) => Some(since.saturating_add(duration.as_secs())),
            None => None,
        };
        Self { target, since, until }
    }

    /// How long it still lasts, zero where it is over; `None` where it is for good. However far a
    /// clock was set back, it is no longer than the ban was when it was made.
    pub fn remaining(&self, now_unix: u64) -> Option<Duration> {
        let until = self.until?;
        let left = until.saturating_sub(now_unix).min(until.saturating_sub(self.since));
        Some(Duration::from_secs(left))
    }

    /// Whether it is over.
    pub fn is_over(&self, now_unix: u64) -> bool {
        self.remaining(now_unix) == Some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKey;

    #[test]
    fn targets_are_read_and_printed() {
        let key = NodeKey::from_bytes(&[1; 32]).unwrap();
        let id = key.id().to_string();
        let enode = format!("enode://{}@192.0.2.1:30303", key.public_key());
        for (text, printed) in [
            (id.as_str(), id.as_str()),
            (&format!("0x{id}"), &id),
            (&enode, &id),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.1/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            let target: BanTarget = text.parse().unwrap();
            assert_eq!(target.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(target), "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_an_error() {
        for text in ["", "example.org", "192.0.2", "192.0.2.1/33", "enode://x@192.0.2.1:1"] {
            assert_eq!(text.parse::<BanTarget>(), Err(ParseBanTargetError::Unknown), "{text}");
        }
        for text in ["0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/15", "::ffff:0.0.0.0/96"] {
            assert_eq!(text.parse::<BanTarget>(), Err(ParseBanTargetError::TooWide), "{text}");
        }
    }

    #[test]
    fn the_networks_around_an_address_are_those_that_contain_it() {
        for (text, count) in
            [("192.0.2.129", 25), ("2001:db8::ffff", 113), ("::ffff:192.0.2.1", 25)]
        {
            let ip: IpAddr = text.parse().unwrap();
            let networks: Vec<_> = BanNet::around(ip).collect();
            assert_eq!(networks.len(), count, "{text}");
            assert!(networks.iter().all(|it| it.contains(ip)), "{text}");
            assert!(networks.iter().all(|it| BanNet::new(it.network()) == Some(*it)), "{text}");
        }
    }

    #[test]
    fn a_ban_ends_whatever_the_clock_does() {
        let target = "192.0.2.1".parse().unwrap();
        let ban = Ban::new(target, 1_000, Some(Duration::from_secs(60)));
        for (now, left) in [(1_000, 60), (1_059, 1), (1_060, 0), (9_999, 0), (0, 60)] {
            assert_eq!(ban.remaining(now), Some(Duration::from_secs(left)), "{now}");
            assert_eq!(ban.is_over(now), left == 0, "{now}");
        }
        let ban = Ban::new(target, 1_000, None);
        assert_eq!((ban.remaining(u64::MAX), ban.is_over(u64::MAX)), (None, false));
    }
}
