use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    task::{Context, Poll},
};

use devp2p_server::{MappedSocket, PortEvent, PortMapper, contract::port_mapper};

#[cfg(feature = "nat")]
mod default {
    use std::{net::IpAddr, sync::Arc, time::Duration};

    use devp2p_nat::{
        Config, Nat, Socket,
        gateway::{Gateway, GatewayError, Mapping, Search},
    };
    use devp2p_server::{NatMapper, contract::port_mapper};
    use futures::future::{BoxFuture, ready};

    /// A gateway that gives what is asked for.
    struct Generous;

    impl Search for Generous {
        fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
            Box::pin(ready(Ok(Arc::new(Self) as Arc<dyn Gateway>)))
        }
    }

    impl Gateway for Generous {
        fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>> {
            Box::pin(ready(Ok([8, 8, 4, 4].into())))
        }

        fn map(
            &self,
            _: Socket,
            external_port: u16,
            lease: Duration,
        ) -> BoxFuture<'static, Result<Mapping, GatewayError>> {
            Box::pin(ready(Ok(Mapping::new(external_port, lease))))
        }

        fn unmap(&self, _: Socket, _: u16) -> BoxFuture<'static, Result<(), GatewayError>> {
            Box::pin(ready(Ok(())))
        }

        fn name(&self) -> String {
            "generous".to_owned()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway() {
        let make = || Box::new(NatMapper::with_search(Generous, Config::default())) as _;
        port_mapper::check(make).await.assert_kept();
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_of_the_user() {
        let nat = Nat::ExtIp([192, 0, 2, 1].into());
        let make = || Box::new(NatMapper::new(nat.clone(), Config::default())) as _;
        port_mapper::check(make).await.assert_kept();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Tells nothing.
    Mute,
    /// Tells a mapping before the address.
    Hasty,
    /// Loses what it never mapped.
    Careless,
    /// Maps loopback too.
    Zealous,
    /// Ends when all is told.
    Mortal,
    /// Does not wake who waits.
    Sleepy,
    /// Does not end.
    Stubborn,
    /// Does not stay at its end.
    Restless,
}

#[tokio::test(start_paused = true)]
async fn foreign() {
    port_mapper::check(|| Box::new(Foreign::new(Flaw::None))).await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::Mute, &["tells", "wakes"][..]),
        (Flaw::Hasty, &["makes sense"]),
        (Flaw::Careless, &["makes sense"]),
        (Flaw::Zealous, &["leaves loopback alone"]),
        (Flaw::Mortal, &["never ends"]),
        (Flaw::Sleepy, &["wakes"]),
        (Flaw::Stubborn, &["stop ends"]),
        (Flaw::Restless, &["stop ends"]),
    ] {
        let report = port_mapper::check(|| Box::new(Foreign::new(flaw))).await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
}

/// A mapper that knows it all: it needs one look around for that.
struct Foreign {
    flaw: Flaw,
    has_looked: bool,
    events: VecDeque<PortEvent>,
    is_stopped: bool,
    ends: u32,
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4));

impl Foreign {
    fn new(flaw: Flaw) -> Self {
        Self { flaw, has_looked: false, events: VecDeque::new(), is_stopped: false, ends: 0 }
    }
}

impl PortMapper for Foreign {
    fn map(&mut self, sockets: &[MappedSocket]) {
        if self.flaw == Flaw::Mute {
            return;
        }
        self.events.push_back(PortEvent::Address(Some(ADDRESS)));
        for &socket in sockets {
            if !socket.address.ip().is_loopback() || self.flaw == Flaw::Zealous {
                let external = SocketAddr::new(ADDRESS, socket.address.port());
                self.events.push_back(PortEvent::Mapped { socket, external });
            }
        }
        match (self.flaw, sockets.first()) {
            (Flaw::Hasty, Some(_)) => self.events.rotate_left(1),
            (Flaw::Careless, Some(&socket)) => self.events.push_front(PortEvent::Lost(socket)),
            _ => {}
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<PortEvent>> {
        if self.is_stopped && self.flaw != Flaw::Stubborn {
            self.ends += 1;
            return match self.flaw {
                Flaw::Restless if self.ends > 1 => Poll::Pending,
                _ => Poll::Ready(None),
            };
        }
        if !self.has_looked {
            self.has_looked = true;
            if self.flaw != Flaw::Sleepy {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        match self.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.flaw == Flaw::Mortal => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
    }
}
