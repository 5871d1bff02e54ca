//! STUN servers, which tell the address and map nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use devp2p_core::{Host, Rng};
use futures_core::future::BoxFuture;
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, timeout_at},
};

use super::{Gateway, GatewayError, Mapping, Search};
use crate::{
    Socket, StunServer,
    driver::now,
    stun::{MAX_RESPONSE, TransactionId, binding_request, read_binding_response},
};

/// Public servers for who names none, of operators that are not one another's.
const SERVERS: [(&str, u16); 3] =
    [("stun.cloudflare.com", 3_478), ("stun.l.google.com", 19_302), ("stun.nextcloud.com", 3_478)];

/// After how long the question is repeated, and then how long is waited (RFC 8489 §6.2.1 goes on for
/// 40 s).
const WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(1_000), Duration::from_millis(1_500)];

/// How many datagrams that are no answer are read of one server. It has one to send.
const MAX_STRAY: usize = 16;

/// Asks a STUN server, or public ones.
#[derive(Clone, Debug, Default)]
pub struct Stun {
    server: Option<StunServer>,
}

impl Stun {
    /// Asks this server, or public ones one after the other, in any order.
    pub const fn new(server: Option<StunServer>) -> Self {
        Self { server }
    }
}

impl Search for Stun {
    /// There is nothing to find: who is asked is known.
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
        let server = self.server.clone();
        Box::pin(async { Ok(Arc::new(StunGateway { server }) as Arc<dyn Gateway>) })
    }
}

struct StunGateway {
    server: Option<StunServer>,
}

impl Gateway for StunGateway {
    fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>> {
        let server = self.server.clone();
        Box::pin(async move {
            let mut rng = Rng::from_os().map_err(io::Error::other)?;
            let servers = server.map_or_else(|| public(&mut rng), |server| vec![server]);
            let mut last = GatewayError::NotFound;
            for server in servers {
                let answer = match resolve(&server).await {
                    Ok(Some(server)) => ask(server, &mut rng).await,
                    Ok(None) => continue,
                    Err(error) => Err(error.into()),
                };
                match answer {
                    Ok(address) => return Ok(address),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }

    fn map(
        &self,
        _: Socket,
        _: u16,
        _: Duration,
    ) -> BoxFuture<'static, Result<Mapping, GatewayError>> {
        Box::pin(async { Err(GatewayError::Unsupported) })
    }

    fn unmap(&self, _: Socket, _: u16) -> BoxFuture<'static, Result<(), GatewayError>> {
        Box::pin(async { Err(GatewayError::Unsupported) })
    }

    fn name(&self) -> String {
        self.server.as_ref().map_or_else(|| "STUN".to_owned(), |server| format!("STUN at {server}"))
    }
}

/// The address of a server; of those that its name has, one of IPv4 if there is any, since that is
/// the family with the NATs.
async fn resolve(server: &StunServer) -> io::Result<Option<SocketAddr>> {
    match &server.host {
        Host::Ip(ip) => Ok(Some(SocketAddr::new(*ip, server.port))),
        Host::Dns(name) => {
            let found = lookup_host((name.as_str(), server.port)).await?;
            Ok(found.min_by_key(SocketAddr::is_ipv6))
        }
    }
}

/// The public servers, in any order.
fn public(rng: &mut Rng) -> Vec<StunServer> {
    let mut all = SERVERS.to_vec();
    let mut shuffled = Vec::new();
    while !all.is_empty() {
        let at = rng.below(u64::try_from(all.len()).unwrap_or(u64::MAX));
        let (host, port) = all.swap_remove(usize::try_from(at).unwrap_or(0));
        shuffled.push(StunServer { host: Host::Dns(host.to_owned()), port });
    }
    shuffled
}

/// Asks one server.
async fn ask(server: SocketAddr, rng: &mut Rng) -> Result<IpAddr, GatewayError> {
    let any: SocketAddr =
        if server.is_ipv4() { ([0_u8; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    // From here on the system drops what comes from others.
    socket.connect(server).await?;
    let mut id = TransactionId([0; 12]);
    rng.fill(&mut id.0);
    let request = binding_request(id);
    // One more than is allowed, so that what was cut off is seen.
    let mut datagram = [0; MAX_RESPONSE + 1];
    let mut strays = 0;
    let mut last = GatewayError::Timeout;
    for wait in WAITS {
        socket.send(&request).await?;
        let deadline = Instant::from_std(now()).checked_add(wait);
        let deadline = deadline.ok_or(GatewayError::Timeout)?;
        while let Ok(received) = timeout_at(deadline, socket.recv(&mut datagram)).await {
            let datagram = datagram.get(..received?).filter(|bytes| bytes.len() <= MAX_RESPONSE);
            match datagram.map(|datagram| read_binding_response(id, datagram)) {
                Some(Ok(endpoint)) => return Ok(endpoint.ip().to_canonical()),
                Some(Err(error)) => last = GatewayError::Refused(error.to_string()),
                None => last = GatewayError::Refused("a response too long".to_owned()),
            }
            strays += 1;
            if strays >= MAX_STRAY {
                return Err(last);
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_public_servers_are_asked_in_any_order() {
        let mut first = BTreeSet::new();
        for seed in 0..100 {
            let servers: Vec<_> =
                public(&mut Rng::from_seed([seed; 32])).iter().map(ToString::to_string).collect();
            assert_eq!(servers.iter().collect::<BTreeSet<_>>().len(), SERVERS.len());
            first.insert(servers[0].clone());
        }
        assert_eq!(first.len(), SERVERS.len());
    }
}
