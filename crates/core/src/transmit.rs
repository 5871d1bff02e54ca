use std::net::SocketAddr;

use bytes::Bytes;

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To whom. An IPv4 address is never written as an IPv6 one.
    pub to: SocketAddr,
    /// The datagram.
    pub bytes: Bytes,
}
