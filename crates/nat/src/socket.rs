//! What is to be mapped.

use std::{fmt, net::SocketAddr};

use devp2p_core::{EndpointClass, classify};

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A socket of this node that the world should reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address that it is bound to, with its real port.
    pub address: SocketAddr,
    /// What the gateway shows its owner, where it shows anything.
    pub name: &'static str,
}

impl Socket {
    /// The listener for connections, under geth's name.
    pub const fn tcp(address: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, address, name: "ethereum p2p" }
    }

    /// The socket of a discovery.
    pub const fn udp(address: SocketAddr) -> Self {
        Self { protocol: Protocol::Udp, address, name: "ethereum discovery" }
    }

    /// Whether a mapping makes sense: as in geth, not for a socket that was bound to a loopback or
    /// a private address, since whoever does that does not want the world there. Nor is there one
    /// for IPv6 alone, which needs no translation.
    pub fn is_mapped(&self) -> bool {
        let ip = self.address.ip().to_canonical();
        self.address.port() != 0
            && match classify(ip) {
                // `[::]` takes IPv4 too.
                EndpointClass::Unspecified => true,
                EndpointClass::Global => ip.is_ipv4(),
                _ => false,
            }
    }

    /// Whether nobody but this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        classify(self.address.ip()) == EndpointClass::Loopback
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_private_listeners_are_not_mapped() {
        for (address, mapped) in [
            ("0.0.0.0:30303", true),
            ("[::]:30303", true),
            ("8.8.8.8:30303", true),
            ("[::ffff:8.8.8.8]:30303", true),
            ("0.0.0.0:0", false),
            ("127.0.0.1:30303", false),
            ("[::1]:30303", false),
            ("[::ffff:127.0.0.1]:30303", false),
            ("10.0.0.1:30303", false),
            ("192.168.1.1:30303", false),
            ("169.254.1.1:30303", false),
            ("100.64.0.1:30303", false),
            ("[fd00::1]:30303", false),
            ("[2a00::1]:30303", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Socket::tcp(address).is_mapped(), mapped, "{address}");
            assert_eq!(Socket::udp(address).is_mapped(), mapped, "{address}");
        }
    }
}
