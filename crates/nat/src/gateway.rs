//! Gateways: the protocols that map ports, behind one trait.

mod any;
mod pmp;
mod route;
mod stun;
mod upnp;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use devp2p_core::Fault;
use futures_core::future::BoxFuture;

pub use self::{
    any::AnyGateway,
    pmp::{Pcp, Pmp},
    stun::Stun,
    upnp::Upnp,
};
use crate::Socket;

/// Finds a [`Gateway`]. Object-safe, so that a driver takes any.
pub trait Search: Send + Sync + 'static {
    /// Looks for a gateway, for as long as that takes or the future lives.
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>>;
}

/// Something that has an external address and, mostly, can map ports to it.
///
/// A [`Driver`](crate::Driver) asks for one thing at a time, limits the time of each, and drops what
/// takes longer: nothing here needs to have an end of its own, but everything needs a limit on what
/// it reads.
pub trait Gateway: Send + Sync + 'static {
    /// Its external address.
    fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>>;

    /// Maps a socket, or prolongs its mapping: to this external port if it can be had.
    fn map(
        &self,
        socket: Socket,
        external_port: u16,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Mapping, GatewayError>>;

    /// Ends the mapping of a socket.
    fn unmap(
        &self,
        socket: Socket,
        external_port: u16,
    ) -> BoxFuture<'static, Result<(), GatewayError>>;

    /// What it is, for the log.
    fn name(&self) -> String;
}

/// What a gateway gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// The external port.
    pub external_port: u16,
    /// For how long.
    pub lease: Duration,
    /// The external address, where the protocol tells it along.
    pub address: Option<IpAddr>,
}

impl Mapping {
    /// A mapping to this external port for this time.
    pub const fn new(external_port: u16, lease: Duration) -> Self {
        Self { external_port, lease, address: None }
    }
}

/// Why there is no gateway, or not what was asked of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum GatewayError {
    /// A socket failed.
    Io(io::Error),
    /// The network has no such gateway, as far as can be seen.
    NotFound,
    /// The gateway refused, or said what cannot be: its words.
    Refused(String),
    /// No answer came in time.
    Timeout,
    /// The protocol cannot do that.
    Unsupported,
}

impl GatewayError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Io(_) | Self::NotFound | Self::Timeout => Fault::Network,
            Self::Refused(_) => Fault::Remote,
            Self::Unsupported => Fault::Local,
        }
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotFound => f.write_str("no gateway found"),
            // What a stranger wrote is shown in quotes, and not at any length.
            Self::Refused(words) => {
                let words: String = words.chars().take(SHOWN_WORDS).collect();
                write!(f, "the gateway refused: {words:?}")
            }
            Self::Timeout => f.write_str("no answer in time"),
            Self::Unsupported => f.write_str("the protocol cannot do that"),
        }
    }
}

/// How much of a gateway's words gets into a log.
const SHOWN_WORDS: usize = 200;

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::NotFound | Self::Refused(_) | Self::Timeout | Self::Unsupported => None,
        }
    }
}

impl From<io::Error> for GatewayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The address of this machine on the way to `gateway`, which is where a gateway is to send what it
/// gets for `socket`: that of the socket, unless it listens on all.
fn internal_ip(gateway: SocketAddr, socket: Option<Socket>) -> io::Result<IpAddr> {
    let bound = socket.map(|socket| socket.address.ip().to_canonical());
    bound.filter(|ip| !ip.is_unspecified()).map_or_else(|| route::local_ip(gateway), Ok)
}
