use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    task::{Context, Poll, ready},
};

use devp2p_core::Family;
use socket2::{Domain, Protocol, Type};
use tokio::{io::ReadBuf, net::UdpSocket};

/// How many bytes may wait in the socket: a burst of a thousand packets, four times what systems
/// have by default. The system may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A UDP socket that names every peer by its own address, whatever the socket's family.
///
/// A socket bound to `[::]` serves both families, whatever the system's default is. There the
/// system calls IPv4 peers by IPv4-mapped addresses; here they have their IPv4 ones, when they send
/// and when they are sent to.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    is_v6: bool,
}

impl Socket {
    /// Binds a socket; with port 0 the system chooses one.
    ///
    /// # Errors
    /// What the system says, for example that the address is in use.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without IO.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        // A smaller buffer loses more of a burst, and nothing else.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        Self::new(UdpSocket::from_std(socket.into())?)
    }

    /// Takes a socket that is bound and not connected.
    ///
    /// # Errors
    /// Where the system does not tell its address.
    pub fn new(io: UdpSocket) -> io::Result<Self> {
        let is_v6 = io.local_addr()?.is_ipv6();
        Ok(Self { io, is_v6 })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// The only family of addresses that it reaches; `None` where it reaches both.
    ///
    /// # Errors
    /// What the system says.
    pub fn family(&self) -> io::Result<Option<Family>> {
        let ip = self.io.local_addr()?.ip();
        let is_both = self.is_v6 && ip.is_unspecified();
        Ok((!is_both).then(|| Family::of(ip)))
    }

    /// Sends a datagram. Only the task that was here last is woken.
    ///
    /// # Errors
    /// What the system says: of this datagram, or of an earlier one. The datagram is lost, and the
    /// socket serves on.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        self.io.poll_send_to(cx, bytes, self.outward(to)).map_ok(drop)
    }

    /// Receives a datagram, and says its size and who sent it. What does not fit into the buffer is
    /// lost. Only the task that was here last is woken.
    ///
    /// # Errors
    /// What the system says; it may be of a datagram that was sent before.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        let from = ready!(self.io.poll_recv_from(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), inward(from))))
    }

    /// The address by which the system knows a peer.
    fn outward(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(to) if self.is_v6 => {
                SocketAddrV6::new(to.ip().to_ipv6_mapped(), to.port(), 0, 0).into()
            }
            _ => to,
        }
    }
}

/// The address that a peer has for us.
fn inward(from: SocketAddr) -> SocketAddr {
    match from.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, from.port()),
        // As it is: the scope of a link-local address says by which interface it is reached.
        IpAddr::V6(_) => from,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr};

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_peer_has_its_own_address_whatever_the_socket() {
        let both = Socket::bind(addr("[::]:0")).unwrap();
        let port = both.local_addr().unwrap().port();
        for from in ["127.0.0.1:0", "[::1]:0"] {
            let peer = Socket::bind(addr(from)).unwrap();
            let from = peer.local_addr().unwrap();
            poll_fn(|cx| peer.poll_send(cx, b"ping", SocketAddr::new(from.ip(), port)))
                .await
                .unwrap();
            let mut buffer = [0; 8];
            let received = poll_fn(|cx| both.poll_receive(cx, &mut buffer)).await.unwrap();
            assert_eq!(received, (4, from));
            poll_fn(|cx| both.poll_send(cx, b"pong", from)).await.unwrap();
            let (_, answerer) = poll_fn(|cx| peer.poll_receive(cx, &mut buffer)).await.unwrap();
            assert_eq!(answerer, SocketAddr::new(from.ip(), port));
        }
    }

    #[tokio::test]
    async fn only_ipv4_on_an_ipv6_socket_is_mapped() {
        let (four, six) = (addr("192.0.2.1:1"), addr("[2001:db8::1]:1"));
        let socket = Socket::bind(addr("[::1]:0")).unwrap();
        assert_eq!(socket.outward(four), addr("[::ffff:192.0.2.1]:1"));
        assert_eq!(socket.outward(six), six);
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert_eq!((socket.outward(four), socket.outward(six)), (four, six));

        assert_eq!(inward(addr("[::ffff:192.0.2.1]:1")), four);
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 3).into();
        assert_eq!((inward(four), inward(six), inward(link_local)), (four, six, link_local));
    }
}
