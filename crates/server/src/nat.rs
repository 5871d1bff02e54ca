//! The default port mapper: UPnP, NAT-PMP, PCP and STUN.

use std::{
    fmt,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use devp2p_nat::{Config, Driver, Event, Nat, Socket, gateway::Search};
use futures::Stream as _;
use tracing::warn;

use crate::{MappedSocket, PortEvent, PortMapper, SocketRole};

/// A [`PortMapper`] that gets through the NAT as a [`Nat`] says.
pub struct NatMapper {
    /// Until the sockets are known.
    begin: Option<Begin>,
    /// The sockets as they were told, beside what the driver makes of them.
    sockets: Vec<(Socket, MappedSocket)>,
    driver: Option<Driver>,
    /// The address of a gateway whose mappings are of no use.
    hidden: Option<IpAddr>,
    is_stopped: bool,
}

/// What makes a driver for sockets.
type Begin = Box<dyn FnOnce(&[Socket]) -> Driver + Send>;

impl NatMapper {
    /// Gets through this NAT.
    pub fn new(nat: Nat, config: Config) -> Self {
        Self::begin(Box::new(move |sockets| Driver::new(&nat, sockets, config)))
    }

    /// Maps ports at the gateway that `search` finds.
    pub fn with_search(search: impl Search, config: Config) -> Self {
        Self::begin(Box::new(move |sockets| Driver::with_search(search, sockets, config)))
    }

    const fn begin(begin: Begin) -> Self {
        Self {
            begin: Some(begin),
            sockets: Vec::new(),
            driver: None,
            hidden: None,
            is_stopped: false,
        }
    }

    fn told(&self, socket: Socket) -> Option<MappedSocket> {
        self.sockets.iter().find(|(known, _)| *known == socket).map(|&(_, told)| told)
    }
}

impl PortMapper for NatMapper {
    fn map(&mut self, sockets: &[MappedSocket]) {
        self.sockets = sockets.iter().map(|&told| (socket(told), told)).collect();
        let sockets: Vec<_> = self.sockets.iter().map(|&(socket, _)| socket).collect();
        if let Some(begin) = self.begin.take() {
            self.driver = Some(begin(&sockets));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<PortEvent>> {
        loop {
            let Some(driver) = &mut self.driver else {
                return if self.is_stopped { Poll::Ready(None) } else { Poll::Pending };
            };
            let Some(event) = ready!(Pin::new(driver).poll_next(cx)) else {
                self.driver = None;
                continue;
            };
            let told = match event {
                Event::Address(address) => {
                    self.hidden = None;
                    Some(PortEvent::Address(address))
                }
                Event::Lost { socket, .. } => self.told(socket).map(PortEvent::Lost),
                Event::Mapped { socket, external } => {
                    self.told(socket).map(|socket| PortEvent::Mapped { socket, external })
                }
                Event::Hidden { address } => {
                    warn!(%address, "The gateway is behind another NAT: its mappings are of no use");
                    self.hidden = Some(address);
                    None
                }
                _ => None,
            };
            if told.is_some() {
                return Poll::Ready(told);
            }
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        if let Some(driver) = &mut self.driver {
            driver.stop();
        }
    }

    fn gateway(&self) -> Option<String> {
        self.driver.as_ref()?.gateway()
    }

    fn failure(&self) -> Option<String> {
        let hidden = |ip| format!("the gateway is behind another NAT, at {ip}");
        let failure = self.driver.as_ref()?.failure().map(ToOwned::to_owned);
        failure.or_else(|| self.hidden.map(hidden))
    }
}

impl fmt::Debug for NatMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatMapper").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

const fn socket(told: MappedSocket) -> Socket {
    match told.role {
        SocketRole::Listener => Socket::tcp(told.address),
        SocketRole::Discovery | SocketRole::DiscoveryV5 => Socket::udp(told.address),
    }
}
