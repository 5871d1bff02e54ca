//! NAT-PMP (RFC 6886) and PCP (RFC 6887), by `crab_nat`: one datagram each way, at the gateway's
//! port 5351.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crab_nat::{
    GATEWAY_PORT, InternetProtocol, PortMapping, PortMappingOptions, PortMappingType,
    TimeoutConfig, natpmp, pcp,
};
use futures_core::future::BoxFuture;

use super::{Gateway, GatewayError, Mapping, Search, internal_ip, route};
use crate::{Protocol, Socket};

/// How long each answer is waited for. A gateway is a few milliseconds away; the specifications
/// begin with 250 ms and 3 s, and go on for a minute or for ever.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 3,
    max_retry_timeout: None,
};

/// For how long a mapping is made that only tells the address.
const PROBE_LEASE: Duration = Duration::from_secs(30);

/// Finds a gateway that speaks NAT-PMP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pmp {
    gateway: Option<Ipv4Addr>,
}

impl Pmp {
    /// Asks this gateway, or that of the default route.
    pub const fn new(gateway: Option<Ipv4Addr>) -> Self {
        Self { gateway }
    }
}

impl Search for Pmp {
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
        let known = self.gateway;
        Box::pin(async move {
            let found = PmpGateway { gateway: gateway(known)? };
            found.address().await?;
            Ok(Arc::new(found) as Arc<dyn Gateway>)
        })
    }
}

/// Finds a gateway that speaks PCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pcp {
    gateway: Option<Ipv4Addr>,
}

impl Pcp {
    /// Asks this gateway, or that of the default route.
    pub const fn new(gateway: Option<Ipv4Addr>) -> Self {
        Self { gateway }
    }
}

impl Search for Pcp {
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
        let known = self.gateway;
        Box::pin(async move {
            let found = PcpGateway { gateway: gateway(known)?, mappings: Arc::default() };
            found.address().await?;
            Ok(Arc::new(found) as Arc<dyn Gateway>)
        })
    }
}

fn gateway(known: Option<Ipv4Addr>) -> Result<Ipv4Addr, GatewayError> {
    match known {
        Some(gateway) => Ok(gateway),
        None => route::default_gateway()?.ok_or(GatewayError::NotFound),
    }
}

/// A gateway that speaks NAT-PMP. It takes the sender of a request for the one to map to.
struct PmpGateway {
    gateway: Ipv4Addr,
}

impl Gateway for PmpGateway {
    fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>> {
        let gateway = self.gateway.into();
        Box::pin(
            async move { Ok(IpAddr::V4(natpmp::external_address(gateway, Some(PATIENCE)).await?)) },
        )
    }

    fn map(
        &self,
        socket: Socket,
        external_port: u16,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Mapping, GatewayError>> {
        let gateway = self.gateway.into();
        Box::pin(async move {
            let options = options(external_port, lease);
            let port = port(socket)?;
            let mapped = natpmp::port_mapping(gateway, protocol(socket), port, options).await?;
            Ok(Mapping::new(mapped.external_port().get(), granted(&mapped)))
        })
    }

    fn unmap(&self, socket: Socket, _: u16) -> BoxFuture<'static, Result<(), GatewayError>> {
        let gateway = self.gateway.into();
        Box::pin(async move {
            let port = port(socket)?;
            let patience = Some(PATIENCE);
            natpmp::try_drop_mapping(gateway, protocol(socket), Some(port), patience).await?;
            Ok(())
        })
    }

    fn name(&self) -> String {
        format!("NAT-PMP at {}", self.gateway)
    }
}

/// A gateway that speaks PCP.
struct PcpGateway {
    gateway: Ipv4Addr,
    /// The mappings, whose numbers their renewal needs: of sockets of this node, and so few.
    mappings: Arc<Mutex<BTreeMap<Socket, PortMapping>>>,
}

impl Gateway for PcpGateway {
    /// There is no question for it: a mapping's answer tells it, of one that is there or of one that
    /// is made for that (RFC 6887 §11.6).
    fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>> {
        let gateway = self.gateway;
        let mappings = self.mappings.lock().unwrap_or_else(PoisonError::into_inner);
        let there = mappings.values().next().cloned();
        drop(mappings);
        Box::pin(async move {
            if let Some(mut mapping) = there {
                mapping.renew().await.map_err(|error| match error {
                    crab_nat::MappingFailure::NatPmp(error) => GatewayError::from(error),
                    crab_nat::MappingFailure::Pcp(error) => GatewayError::from(error),
                })?;
                return external_ip(&mapping);
            }
            let client = internal_ip(SocketAddr::from((gateway, GATEWAY_PORT)), None)?;
            let udp = InternetProtocol::Udp;
            let base = pcp::BaseMapRequest::new(gateway.into(), client, udp, DISCARD);
            let options = options(0, PROBE_LEASE);
            let probe = pcp::port_mapping(base, None, None, options).await?;
            let address = external_ip(&probe);
            // It ends by itself, too.
            let _ = probe.try_drop().await;
            address
        })
    }

    fn map(
        &self,
        socket: Socket,
        external_port: u16,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Mapping, GatewayError>> {
        let (gateway, all) = (self.gateway, Arc::clone(&self.mappings));
        let mappings = all.lock().unwrap_or_else(PoisonError::into_inner);
        let nonce = mappings.get(&socket).map(PortMapping::mapping_type).and_then(nonce);
        drop(mappings);
        Box::pin(async move {
            let client = internal_ip(SocketAddr::from((gateway, GATEWAY_PORT)), Some(socket))?;
            let (protocol, port) = (protocol(socket), port(socket)?);
            let base = pcp::BaseMapRequest::new(gateway.into(), client, protocol, port);
            let options = options(external_port, lease);
            let mapped = pcp::port_mapping(base, nonce, None, options).await?;
            let mut mapping = Mapping::new(mapped.external_port().get(), granted(&mapped));
            mapping.address = Some(external_ip(&mapped)?);
            all.lock().unwrap_or_else(PoisonError::into_inner).insert(socket, mapped);
            Ok(mapping)
        })
    }

    fn unmap(&self, socket: Socket, _: u16) -> BoxFuture<'static, Result<(), GatewayError>> {
        let mapping = self.mappings.lock().unwrap_or_else(PoisonError::into_inner).remove(&socket);
        Box::pin(async move {
            // Without its number nobody can end it before its time.
            let mapping = mapping.ok_or(GatewayError::Unsupported)?;
            mapping.try_drop().await.map_err(|(error, _)| refused(&error))
        })
    }

    fn name(&self) -> String {
        format!("PCP at {}", self.gateway)
    }
}

/// The port of a service that nobody has.
const DISCARD: NonZeroU16 = NonZeroU16::new(9).unwrap();

fn options(external_port: u16, lease: Duration) -> PortMappingOptions {
    PortMappingOptions {
        external_port: NonZeroU16::new(external_port),
        lifetime_seconds: Some(u32::try_from(lease.as_secs()).unwrap_or(u32::MAX).max(1)),
        timeout_config: Some(PATIENCE),
    }
}

fn port(socket: Socket) -> Result<NonZeroU16, GatewayError> {
    NonZeroU16::new(socket.address.port()).ok_or(GatewayError::Unsupported)
}

const fn protocol(socket: Socket) -> InternetProtocol {
    match socket.protocol {
        Protocol::Tcp => InternetProtocol::Tcp,
        Protocol::Udp => InternetProtocol::Udp,
    }
}

fn granted(mapping: &PortMapping) -> Duration {
    Duration::from_secs(mapping.lifetime().into())
}

const fn nonce(kind: PortMappingType) -> Option<pcp::Nonce> {
    match kind {
        PortMappingType::Pcp { nonce, .. } => Some(nonce),
        PortMappingType::NatPmp => None,
    }
}

fn external_ip(mapping: &PortMapping) -> Result<IpAddr, GatewayError> {
    match mapping.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => Ok(external_ip),
        PortMappingType::NatPmp => Err(GatewayError::Unsupported),
    }
}

fn refused(error: &impl ToString) -> GatewayError {
    GatewayError::Refused(error.to_string())
}

impl From<natpmp::Failure> for GatewayError {
    fn from(error: natpmp::Failure) -> Self {
        match error {
            natpmp::Failure::Socket(error) => Self::Io(error),
            natpmp::Failure::Timeout => Self::Timeout,
            error => refused(&error),
        }
    }
}

impl From<pcp::Failure> for GatewayError {
    fn from(error: pcp::Failure) -> Self {
        match error {
            pcp::Failure::Socket(error) => Self::Io(error),
            pcp::Failure::Timeout => Self::Timeout,
            error => refused(&error),
        }
    }
}
