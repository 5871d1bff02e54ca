//! The seam that gets the node's sockets through a NAT.

use std::{
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

/// Makes the sockets of a server reachable from the internet, and tells where they are.
///
/// # Contract
/// - [`map`](PortMapper::map) is called once, before anything else.
/// - [`poll_event`](PortMapper::poll_event) does all the work, and wakes the task when there is more
///   of it. Before the stop it does not end.
/// - What it tells holds until it tells otherwise: a mapping until it is lost or told anew, an
///   address until another is told, or none.
/// - After [`stop`](PortMapper::stop), `poll_event` takes back what was mapped and ends with `None`,
///   soon: a server that stops waits 1.6 s for that and then drops it. It stays at its end.
/// - Dropping it ends everything at once; mappings may stay behind until their leases are over.
///
/// It is polled within a tokio runtime. The suite `contract::port_mapper` (feature `test-util`)
/// checks this.
pub trait PortMapper: Send + 'static {
    /// Begins with these sockets. It is for the mapper to leave those alone that need no mapping or
    /// are not for strangers.
    fn map(&mut self, sockets: &[MappedSocket]);

    /// What there is to tell.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<PortEvent>>;

    /// Ends, and takes the mappings back, while it is polled further.
    fn stop(&mut self);

    /// What the gateway is, for people, where there is one.
    fn gateway(&self) -> Option<String> {
        None
    }

    /// Why what was tried last has failed, if it did.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// How it stands with the way through the NAT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortStatus {
    /// The node's address in the internet, as far as the port mapper knows.
    pub address: Option<IpAddr>,
    /// The sockets, each with the endpoint at which it is reachable where it is mapped.
    pub sockets: Vec<(MappedSocket, Option<SocketAddr>)>,
    /// What the gateway is, for people: its protocol and its address.
    pub gateway: Option<String>,
    /// Why what was tried last has failed, if it did.
    pub failure: Option<String>,
}

impl PortStatus {
    /// The status before anything was told of these sockets.
    pub(crate) fn new(sockets: &[MappedSocket]) -> Self {
        let sockets = sockets.iter().map(|&socket| (socket, None)).collect();
        Self { sockets, ..Self::default() }
    }

    /// Takes down what the mapper tells.
    pub(crate) fn apply(&mut self, event: PortEvent) {
        let (socket, external) = match event {
            PortEvent::Address(address) => {
                self.address = address;
                return;
            }
            PortEvent::Lost(socket) => (socket, None),
            PortEvent::Mapped { socket, external } => (socket, Some(external)),
        };
        let known = self.sockets.iter_mut().filter(|(known, _)| *known == socket);
        known.for_each(|(_, endpoint)| *endpoint = external);
    }
}

/// A socket of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct MappedSocket {
    /// What it is for.
    pub role: SocketRole,
    /// The address that it is bound to, with its real port.
    pub address: SocketAddr,
}

impl MappedSocket {
    /// A socket at this address.
    pub const fn new(role: SocketRole, address: SocketAddr) -> Self {
        Self { role, address }
    }
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SocketRole {
    /// Peers connect to it, over TCP.
    Listener,
    /// Discovery, over UDP: all that have no socket of their own.
    Discovery,
    /// Discovery v5 alone, over UDP.
    DiscoveryV5,
}

/// What a [`PortMapper`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortEvent {
    /// The node's address in the internet; `None` where it is not known any more.
    Address(Option<IpAddr>),
    /// The socket is not reachable from outside any more.
    Lost(MappedSocket),
    /// The socket is reachable at this endpoint.
    Mapped {
        /// The socket.
        socket: MappedSocket,
        /// Where it is reachable.
        external: SocketAddr,
    },
}
