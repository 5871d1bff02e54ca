//! What a port mapper tells, as it stands in the record.

use std::{future::poll_fn, net::IpAddr, sync::Arc, task::Poll, time::Duration};

use devp2p_core::{Family, LocalRecord};
use tokio::time::timeout;
use tracing::{info, warn};

use super::shared::{Shared, lock};
use crate::{MappedSocket, PortEvent, PortMapper, PortStatus, SocketRole};

/// How long the mapper has to take its mappings back: less than the tasks of the server have to end.
const STOP_PATIENCE: Duration = Duration::from_millis(1_600);

/// Has the mapper tell the record until the stop, and then take back what it mapped.
pub(crate) async fn map_ports(
    shared: Arc<Shared>,
    mut mapper: Box<dyn PortMapper>,
    sockets: Vec<MappedSocket>,
) {
    *lock(&shared.ports) = Some(PortStatus::new(&sockets));
    mapper.map(&sockets);
    let mut ports = Ports::new(&sockets);
    loop {
        let mut has_ended = false;
        // All that there is to tell, so that the record changes once.
        let told = poll_fn(|cx| {
            let mut told = Vec::new();
            while told.len() < MAX_EVENTS && !has_ended {
                match mapper.poll_event(cx) {
                    Poll::Ready(Some(event)) => told.push(event),
                    Poll::Ready(None) => has_ended = true,
                    Poll::Pending => break,
                }
            }
            if let Some(status) = lock(&shared.ports).as_mut() {
                status.gateway = mapper.gateway();
                status.failure = mapper.failure();
                told.iter().for_each(|&event| status.apply(event));
            }
            if told.is_empty() && !has_ended { Poll::Pending } else { Poll::Ready(told) }
        });
        let Some(told) = shared.quit.run_until_cancelled(told).await else { break };
        {
            let mut record = lock(shared.record.local());
            told.into_iter().for_each(|event| ports.apply(event, &mut record));
        }
        shared.record.keep();
        if has_ended {
            // It breaks its contract; what it told holds.
            warn!("The port mapper has ended");
            return;
        }
        tokio::task::consume_budget().await;
    }
    // The record stays as it is: it would change for the last moments alone.
    mapper.stop();
    let end = poll_fn(|cx| {
        while let Poll::Ready(event) = mapper.poll_event(cx) {
            let Some(event) = event else { return Poll::Ready(()) };
            if let Some(status) = lock(&shared.ports).as_mut() {
                status.apply(event);
            }
        }
        Poll::Pending
    });
    if timeout(STOP_PATIENCE, end).await.is_err() {
        warn!("The port mapper has not ended in time");
    }
}

/// How many events the record takes at once: a mapper has a few, for a few sockets.
const MAX_EVENTS: usize = 16;

/// What was told.
struct Ports {
    /// The socket whose port the record tells as that of UDP: of discovery v5 where it has its own.
    udp: Option<SocketRole>,
    address: Option<IpAddr>,
}

impl Ports {
    fn new(sockets: &[MappedSocket]) -> Self {
        let udp = sockets.iter().map(|socket| socket.role);
        let udp = udp.filter(|role| *role != SocketRole::Listener).max();
        Self { udp, address: None }
    }

    fn apply(&mut self, event: PortEvent, record: &mut LocalRecord) {
        match event {
            PortEvent::Address(address) => {
                info!(?address, "Port mapping told the external address");
                let family = |ip: IpAddr| Family::of(ip);
                if let Some(old) = self.address
                    && address.map(family) != Some(family(old))
                {
                    record.clear_fixed_ip(family(old));
                }
                if let Some(ip) = address {
                    record.set_fixed_ip(ip);
                }
                self.address = address;
            }
            PortEvent::Mapped { socket, external } => {
                info!(?socket, %external, "Mapped network port");
                self.set_port(socket.role, Family::of(external.ip()), external.port(), record);
            }
            PortEvent::Lost(socket) => {
                info!(?socket, "Lost the mapping of a network port");
                // Gateways map IPv4.
                self.set_port(socket.role, Family::V4, socket.address.port(), record);
            }
        }
    }

    fn set_port(&self, role: SocketRole, family: Family, port: u16, record: &mut LocalRecord) {
        match role {
            SocketRole::Listener => record.set_tcp_port(family, Some(port)),
            SocketRole::Discovery | SocketRole::DiscoveryV5 if self.udp == Some(role) => {
                record.set_udp_port(family, Some(port));
            }
            // The record has no room for it.
            SocketRole::Discovery | SocketRole::DiscoveryV5 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use devp2p_core::NodeKey;

    use super::*;

    fn socket(role: SocketRole, port: u16) -> MappedSocket {
        MappedSocket::new(role, SocketAddr::from(([0, 0, 0, 0], port)))
    }

    fn mapped(socket: MappedSocket, external: &str) -> PortEvent {
        PortEvent::Mapped { socket, external: external.parse().unwrap() }
    }

    #[test]
    fn the_record_tells_what_is_mapped_and_what_was_there_before_when_it_is_lost() {
        let (tcp, udp) = (socket(SocketRole::Listener, 1), socket(SocketRole::Discovery, 2));
        let own = socket(SocketRole::DiscoveryV5, 3);
        let key = NodeKey::from_bytes(&[7; 32]).unwrap();
        for (sockets, udp_port) in [(vec![tcp, udp], 2), (vec![tcp, udp, own], 3)] {
            let mut record = LocalRecord::new(key.clone(), None, 1).unwrap();
            record.set_fallback_ip([127, 0, 0, 1].into());
            record.set_tcp_port(Family::V4, Some(1));
            record.set_udp_port(Family::V4, Some(udp_port));
            let shown = |record: &LocalRecord| {
                let record = record.record();
                (record.ip().unwrap().to_string(), record.tcp().unwrap(), record.udp().unwrap())
            };
            let before = shown(&record);
            let mut ports = Ports::new(&sockets);
            ports.apply(PortEvent::Address(Some([8, 8, 4, 4].into())), &mut record);
            for (at, &socket) in sockets.iter().enumerate() {
                ports.apply(mapped(socket, &format!("8.8.4.4:{}", at + 11)), &mut record);
            }
            let udp = if udp_port == 2 { 12 } else { 13 };
            assert_eq!(shown(&record), ("8.8.4.4".to_owned(), 11, udp));
            ports.apply(PortEvent::Address(Some([9, 9, 9, 9].into())), &mut record);
            assert_eq!(shown(&record).0, "9.9.9.9");
            for &socket in &sockets {
                ports.apply(PortEvent::Lost(socket), &mut record);
            }
            ports.apply(PortEvent::Address(None), &mut record);
            assert_eq!(shown(&record), before);
        }
    }

    #[test]
    fn an_address_of_the_other_family_takes_the_place_of_the_one_before() {
        let key = NodeKey::from_bytes(&[7; 32]).unwrap();
        let mut record = LocalRecord::new(key, None, 1).unwrap();
        let mut ports = Ports::new(&[]);
        for address in ["8.8.4.4", "2a00::1", "8.8.8.8"] {
            let ip: IpAddr = address.parse().unwrap();
            ports.apply(PortEvent::Address(Some(ip)), &mut record);
            let told = (record.record().ip().map(IpAddr::V4), record.record().ip6());
            assert_eq!(told.0.is_some(), ip.is_ipv4());
            assert_eq!(told.1.is_some(), ip.is_ipv6());
        }
    }
}
