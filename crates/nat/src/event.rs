use std::net::{IpAddr, SocketAddr};

use crate::Socket;

/// What a port mapping has to tell of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The node's address in the internet, as far as the gateway, a STUN server or the user knows;
    /// `None` takes it back.
    Address(Option<IpAddr>),
    /// The gateway has this external address, at which nobody in the internet can reach it: it is
    /// behind another NAT, perhaps the provider's. Its mappings are not told of.
    Hidden {
        /// The address.
        address: IpAddr,
    },
    /// The mapping of this socket is gone: its lease is over, or the node stops.
    Lost {
        /// The socket.
        socket: Socket,
        /// Where it was reachable.
        external: SocketAddr,
    },
    /// This socket is reachable at this endpoint, and no longer at an earlier one.
    Mapped {
        /// The socket.
        socket: Socket,
        /// Where it is reachable.
        external: SocketAddr,
    },
}
