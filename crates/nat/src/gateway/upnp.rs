//! UPnP, by `igd-next`: a search by multicast, then HTTP and XML.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_core::future::BoxFuture;
use igd_next::{
    AddAnyPortError, AddPortError, GatewayIpVersion, GetExternalIpError, PortMappingProtocol,
    RemovePortError, RequestError, SearchError, SearchOptions,
    aio::{
        self,
        tokio::{Tokio, search_gateway},
    },
};

use super::{Gateway, GatewayError, Mapping, Search, internal_ip, route};
use crate::{Protocol, Socket};

/// How long is searched. Gateways are asked to answer within 3 s.
const SEARCH_TIME: Duration = Duration::from_secs(6);

/// Finds an Internet Gateway Device.
///
/// Believed is who describes itself at the address that it answers from. Of each description and
/// each answer a MiB is read at most, and XML no deeper than 64 levels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upnp {
    device: Option<SocketAddr>,
}

impl Upnp {
    /// Asks the whole network of the default route, by multicast.
    pub const fn new() -> Self {
        Self { device: None }
    }

    /// Asks one device alone, of which it is known where it answers searches.
    pub const fn at(device: SocketAddr) -> Self {
        Self { device: Some(device) }
    }
}

impl Search for Upnp {
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
        let device = self.device;
        Box::pin(async move {
            let mut options = SearchOptions::default();
            options.timeout = Some(SEARCH_TIME);
            options.gateway_ip_version = GatewayIpVersion::V4;
            if let Some(device) = device {
                options.broadcast_address = device;
                options.allowed_gateway_ips = vec![device.ip()];
            } else if let Some(gateway) = route::default_gateway()? {
                // Otherwise the system chooses an interface, and perhaps another one.
                options.bind_addr = (route::local_ip((gateway, 1).into())?, 0).into();
            }
            let gateway = search_gateway(options).await?;
            Ok(Arc::new(UpnpGateway { gateway: Arc::new(gateway) }) as Arc<dyn Gateway>)
        })
    }
}

struct UpnpGateway {
    gateway: Arc<aio::Gateway<Tokio>>,
}

impl Gateway for UpnpGateway {
    fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>> {
        let gateway = Arc::clone(&self.gateway);
        Box::pin(async move { Ok(gateway.get_external_ip().await?) })
    }

    /// First the port that is wanted, then any. Where leases have no end, the mapping is refreshed
    /// all the same: the gateway may forget it.
    fn map(
        &self,
        socket: Socket,
        external_port: u16,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Mapping, GatewayError>> {
        let gateway = Arc::clone(&self.gateway);
        Box::pin(async move {
            let ip = internal_ip(gateway.addr, Some(socket))?;
            let internal = SocketAddr::new(ip, socket.address.port());
            let (protocol, name) = (protocol(socket), socket.name);
            let mut seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
            let mut wanted =
                gateway.add_port(protocol, external_port, internal, seconds, name).await;
            if matches!(wanted, Err(AddPortError::OnlyPermanentLeasesSupported)) {
                seconds = 0;
                wanted = gateway.add_port(protocol, external_port, internal, seconds, name).await;
            }
            let port = match wanted {
                Ok(()) => external_port,
                Err(AddPortError::PortInUse | AddPortError::SamePortValuesRequired) => {
                    gateway.add_any_port(protocol, internal, seconds, name).await?
                }
                Err(error) => return Err(error.into()),
            };
            Ok(Mapping::new(port, lease))
        })
    }

    fn unmap(
        &self,
        socket: Socket,
        external_port: u16,
    ) -> BoxFuture<'static, Result<(), GatewayError>> {
        let gateway = Arc::clone(&self.gateway);
        Box::pin(async move { Ok(gateway.remove_port(protocol(socket), external_port).await?) })
    }

    fn name(&self) -> String {
        format!("UPnP at {}", self.gateway.addr)
    }
}

const fn protocol(socket: Socket) -> PortMappingProtocol {
    match socket.protocol {
        Protocol::Tcp => PortMappingProtocol::TCP,
        Protocol::Udp => PortMappingProtocol::UDP,
    }
}

impl From<SearchError> for GatewayError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::IoError(error) => Self::Io(error),
            // What answered and was no gateway was passed over.
            SearchError::NoResponseWithinTimeout => Self::NotFound,
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<RequestError> for GatewayError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::IoError(error) => Self::Io(error),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<GetExternalIpError> for GatewayError {
    fn from(error: GetExternalIpError) -> Self {
        match error {
            GetExternalIpError::RequestError(error) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<AddPortError> for GatewayError {
    fn from(error: AddPortError) -> Self {
        match error {
            AddPortError::RequestError(error) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<AddAnyPortError> for GatewayError {
    fn from(error: AddAnyPortError) -> Self {
        match error {
            AddAnyPortError::RequestError(error) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<RemovePortError> for GatewayError {
    fn from(error: RemovePortError) -> Self {
        match error {
            RemovePortError::RequestError(error) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}
