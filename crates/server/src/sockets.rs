//! The sockets of a server: TCP first, then UDP, on the same port where nothing else is said.

use std::{io, net::SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use crate::{Config, Listener, StartError, udp::Socket};

/// How often a free port is taken that turns out not to be free for UDP too. Hardly any is not.
const PORT_TRIES: usize = 16;

/// The connections that may wait to be accepted; tokio's own choice.
const BACKLOG: u32 = 1_024;

/// What a server listens on.
pub(crate) struct Sockets {
    pub(crate) listener: Option<Box<dyn Listener>>,
    /// The address of the listener, with the real port.
    pub(crate) listen_addr: Option<SocketAddr>,
    #[cfg_attr(
        not(any(feature = "discv4", feature = "discv5")),
        expect(dead_code, reason = "without discoveries none is opened")
    )]
    pub(crate) udp: UdpSockets,
    /// The address of the UDP socket, with the real port.
    pub(crate) disc_addr: Option<SocketAddr>,
    /// The address of the one for discovery v5 alone.
    pub(crate) disc_v5_addr: Option<SocketAddr>,
}

/// The sockets of the discoveries.
#[derive(Default)]
#[cfg_attr(
    not(any(feature = "discv4", feature = "discv5")),
    expect(dead_code, reason = "without discoveries none is opened")
)]
pub(crate) struct UdpSockets {
    /// For all that have none of their own.
    pub(crate) shared: Option<Socket>,
    /// For discovery v5 alone.
    pub(crate) v5: Option<Socket>,
}

impl Sockets {
    /// Opens all of them or none.
    pub(crate) fn open(
        config: &Config,
        own: Option<Box<dyn Listener>>,
    ) -> Result<Self, StartError> {
        let udp_addr = config.udp_addr(own.is_some());
        let v5_addr = config.udp_v5_addr();
        if let Some(listener) = own {
            let listen_addr = listener.local_addr().map_err(StartError::Io)?;
            return Self::with_udp(Some((listener, listen_addr)), udp_addr, v5_addr);
        }
        let Some(address) = config.listen_addr else {
            return Self::with_udp(None, udp_addr, v5_addr);
        };
        let shares_port = config.disc_addr.is_none() && udp_addr.is_some();
        let mut tries = PORT_TRIES;
        loop {
            tries = tries.saturating_sub(1);
            let listener =
                listen(address).map_err(|error| StartError::Listen { address, error })?;
            let listen_addr = listener.local_addr().map_err(StartError::Io)?;
            let udp_addr = if shares_port { Some(listen_addr) } else { udp_addr };
            match Self::with_udp(Some((Box::new(listener), listen_addr)), udp_addr, v5_addr) {
                Err(StartError::ListenUdp { error, .. })
                    if error.kind() == io::ErrorKind::AddrInUse
                        && shares_port
                        && address.port() == 0
                        && tries > 0 => {}
                sockets => return sockets,
            }
        }
    }

    /// With what discovery needs at this address.
    fn with_udp(
        tcp: Option<(Box<dyn Listener>, SocketAddr)>,
        udp_addr: Option<SocketAddr>,
        udp_v5_addr: Option<SocketAddr>,
    ) -> Result<Self, StartError> {
        let (listener, listen_addr) = tcp.unzip();
        let (shared, disc_addr) = udp_addr.map(bind_udp).transpose()?.unzip();
        let (v5, disc_v5_addr) = udp_v5_addr.map(bind_udp).transpose()?.unzip();
        let udp = UdpSockets { shared, v5 };
        Ok(Self { listener, listen_addr, udp, disc_addr, disc_v5_addr })
    }
}

/// A UDP socket, and its address with the real port.
fn bind_udp(address: SocketAddr) -> Result<(Socket, SocketAddr), StartError> {
    let bind = || {
        let socket = Socket::bind(address)?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    bind().map_err(|error| StartError::ListenUdp { address, error })
}

/// Listens for TCP connections. `[::]` takes IPv4 too, whatever the system's default is.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        SockRef::from(&socket).set_only_v6(!address.ip().is_unspecified())?;
    }
    // As tokio's own `bind`: a port is free again as soon as its listener is closed.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
