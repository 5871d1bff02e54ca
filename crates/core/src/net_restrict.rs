use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

use crate::Fault;

/// The networks that connections are restricted to, as geth's `--netrestrict`.
///
/// Read from CIDR masks between commas or white space, and printed with commas. An IPv4-mapped
/// address counts as IPv4, on either side.
///
/// ```
/// # use devp2p_core::NetRestrict;
/// let list: NetRestrict = "10.0.0.0/8, fd00::/8".parse()?;
/// assert!(list.contains("10.1.2.3".parse()?));
/// assert!(!list.contains("11.1.2.3".parse()?));
/// assert_eq!(list.to_string(), "10.0.0.0/8,fd00::/8");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetRestrict(Vec<IpNet>);

impl NetRestrict {
    /// Whether `ip` is in one of the networks. An empty list contains nothing.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// The networks.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

impl FromIterator<IpNet> for NetRestrict {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().map(canonical).collect())
    }
}

/// The network without its host bits, and as IPv4 where it holds only mapped IPv4 addresses.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let network = network.trunc();
    let (IpNet::V6(v6), IpAddr::V4(v4)) = (network, network.addr().to_canonical()) else {
        return network;
    };
    v6.prefix_len()
        .checked_sub(MAPPED_BITS)
        .and_then(|bits| Ipv4Net::new(v4, bits).ok())
        .map_or(network, IpNet::V4)
}

impl FromStr for NetRestrict {
    type Err = ParseNetRestrictError;

    fn from_str(text: &str) -> Result<Self, ParseNetRestrictError> {
        let list = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|mask| !mask.is_empty())
            .map(|mask| {
                mask.parse().map_err(|_| ParseNetRestrictError::Mask { mask: mask.to_owned() })
            })
            .collect::<Result<Self, _>>()?;
        if list.0.is_empty() {
            return Err(ParseNetRestrictError::Empty);
        }
        Ok(list)
    }
}

impl fmt::Display for NetRestrict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            network.fmt(f)?;
        }
        Ok(())
    }
}

/// Why a text is not a list of networks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseNetRestrictError {
    /// The text names no network. Taken as a list it would shut everyone out, which nobody who
    /// leaves a setting empty means.
    Empty,
    /// This part is not a CIDR mask.
    Mask {
        /// The part.
        mask: String,
    },
}

impl ParseNetRestrictError {
    /// Whose fault it is: ours, the list is the operator's.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for ParseNetRestrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the list of networks is empty"),
            Self::Mask { mask } => {
                write!(f, "{mask:?} is not a network as in 10.0.0.0/8 or fd00::/8")
            }
        }
    }
}

impl std::error::Error for ParseNetRestrictError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> NetRestrict {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_with_commas_spaces_and_lines() {
        let expected = "127.0.0.0/8,23.23.23.23/32,2001::/16";
        for text in [
            "127.0.0.0/8,23.23.23.23/32,2001::/16",
            " 127.0.0.0/8 23.23.23.23/32\n2001::/16 ",
            ",,127.0.0.1/8, ,23.23.23.23/32,\t2001::7/16,",
        ] {
            assert_eq!(list(text).to_string(), expected, "{text:?}");
        }
        assert_eq!(list(expected), list(&list(expected).to_string()));
    }

    #[test]
    fn bad_lists_say_which_part_is_bad() {
        assert_eq!("".parse::<NetRestrict>(), Err(ParseNetRestrictError::Empty));
        assert_eq!(" , ".parse::<NetRestrict>(), Err(ParseNetRestrictError::Empty));
        assert_eq!(ParseNetRestrictError::Empty.fault(), Fault::Local);
        for mask in ["10.0.0.0", "10.0.0.0/33", "::/129", "ten", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(
                format!("127.0.0.0/8,{mask}").parse::<NetRestrict>(),
                Err(ParseNetRestrictError::Mask { mask: mask.to_owned() })
            );
        }
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(list("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
        assert!(!list("10.0.0.0/8").contains(ip("::ffff:11.1.2.3")));
        assert!(!list("::/0").contains(ip("::ffff:10.1.2.3")));
        assert_eq!(list("::ffff:10.0.0.0/104"), list("10.0.0.0/8"));
        assert!(list("::ffff:0.0.0.0/96").contains(ip("1.2.3.4")));
        assert!(list("fd00::/8").contains(ip("fd12::1")));
        assert!(!NetRestrict::default().contains(ip("1.2.3.4")));
    }
}
