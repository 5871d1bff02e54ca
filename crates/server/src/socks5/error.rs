use std::{fmt, io};

use devp2p_core::Fault;

/// Why a dial through a SOCKS5 proxy failed: what is inside the [`io::Error`] of the dial, but where
/// no answer came in time.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socks5Error {
    /// The proxy closed the connection, or it broke.
    Io(io::Error),
    /// The proxy refuses the user name and the password.
    Login,
    /// What answers is not a SOCKS5 proxy.
    Malformed,
    /// The proxy wants another proof of who we are: a user name and a password where none are
    /// known, or something that is not spoken here.
    Method,
    /// The node's name has no byte, or more than 255.
    Name,
    /// The proxy did not reach the node, for this reason.
    Refused(Socks5Refusal),
    /// The proxy cannot be reached.
    Unreachable(io::Error),
}

/// What a SOCKS5 proxy says when it does not reach a node (RFC 1928, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Socks5Refusal {
    /// 0x01: it failed, for no reason that has a number.
    Failure,
    /// 0x02: its rules forbid it.
    NotAllowed,
    /// 0x03: there is no way to the network.
    NetworkUnreachable,
    /// 0x04: there is no way to the host, or its name is not known.
    HostUnreachable,
    /// 0x05: nobody listens there.
    ConnectionRefused,
    /// 0x06: it took too long.
    TtlExpired,
    /// 0x07: it opens no connections.
    CommandNotSupported,
    /// 0x08: it does not know this kind of address.
    AddressNotSupported,
    /// Any other number; those of Tor begin with 0xf0.
    Other(u8),
}

impl Socks5Refusal {
    pub(super) const fn from_code(code: u8) -> Self {
        match code {
            0x01 => Self::Failure,
            0x02 => Self::NotAllowed,
            0x03 => Self::NetworkUnreachable,
            0x04 => Self::HostUnreachable,
            0x05 => Self::ConnectionRefused,
            0x06 => Self::TtlExpired,
            0x07 => Self::CommandNotSupported,
            0x08 => Self::AddressNotSupported,
            other => Self::Other(other),
        }
    }

    const fn kind(self) -> io::ErrorKind {
        match self {
            Self::NotAllowed => io::ErrorKind::PermissionDenied,
            Self::NetworkUnreachable => io::ErrorKind::NetworkUnreachable,
            Self::HostUnreachable => io::ErrorKind::HostUnreachable,
            Self::ConnectionRefused => io::ErrorKind::ConnectionRefused,
            Self::TtlExpired => io::ErrorKind::TimedOut,
            Self::CommandNotSupported | Self::AddressNotSupported => io::ErrorKind::Unsupported,
            Self::Failure | Self::Other(_) => io::ErrorKind::Other,
        }
    }
}

impl Socks5Error {
    /// Whose fault it is: ours, who chose the proxy and the login, or the network's.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Login | Self::Malformed | Self::Method | Self::Name => Fault::Local,
            Self::Io(_) | Self::Refused(_) | Self::Unreachable(_) => Fault::Network,
        }
    }

    /// Whether the proxy is of no use for any node.
    pub(super) const fn is_of_proxy(&self) -> bool {
        match self {
            Self::Login | Self::Malformed | Self::Method | Self::Unreachable(_) => true,
            Self::Io(_) | Self::Name | Self::Refused(_) => false,
        }
    }
}

impl From<io::Error> for Socks5Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Socks5Error> for io::Error {
    fn from(error: Socks5Error) -> Self {
        let kind = match &error {
            Socks5Error::Io(error) | Socks5Error::Unreachable(error) => error.kind(),
            Socks5Error::Login | Socks5Error::Method => io::ErrorKind::PermissionDenied,
            Socks5Error::Malformed => io::ErrorKind::InvalidData,
            Socks5Error::Name => io::ErrorKind::InvalidInput,
            Socks5Error::Refused(refusal) => refusal.kind(),
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Socks5Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection to the proxy broke: {error}"),
            Self::Login => f.write_str("the proxy refuses the user name and the password"),
            Self::Malformed => f.write_str("what answers is not a socks5 proxy"),
            Self::Method => f.write_str("the proxy wants a login that is not known"),
            Self::Name => f.write_str("the name of the node is too long for the proxy"),
            Self::Refused(refusal) => write!(f, "the proxy did not reach the node: {refusal}"),
            Self::Unreachable(error) => write!(f, "the proxy cannot be reached: {error}"),
        }
    }
}

impl std::error::Error for Socks5Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::Unreachable(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Socks5Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure => f.write_str("general failure"),
            Self::NotAllowed => f.write_str("not allowed"),
            Self::NetworkUnreachable => f.write_str("network unreachable"),
            Self::HostUnreachable => f.write_str("host unreachable"),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::TtlExpired => f.write_str("ttl expired"),
            Self::CommandNotSupported => f.write_str("command not supported"),
            Self::AddressNotSupported => f.write_str("address type not supported"),
            Self::Other(code) => write!(f, "code {code:#04x}"),
        }
    }
}

/// Why a text is not a SOCKS5 proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseSocks5Error {
    /// There is no host, or it is neither an address nor a name.
    Host,
    /// What is in front of the @ is not a user name and a password of 1 to 255 bytes each, with a
    /// colon between them.
    Login,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The text does not begin with `socks5://`.
    Scheme,
}

impl fmt::Display for ParseSocks5Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the proxy has no host that is an address or a name",
            Self::Login => "a login is USER:PASSWORD, each of 1 to 255 bytes",
            Self::Port => "the port of the proxy is not a number from 1 to 65535",
            Self::Scheme => "a proxy begins with socks5://",
        })
    }
}

impl std::error::Error for ParseSocks5Error {}
