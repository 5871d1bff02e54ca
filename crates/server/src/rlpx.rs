//! The default [`Transport`]: RLPx.

use std::sync::Arc;

use devp2p_core::{BoxConnection, NodeKey, PublicKey};
use devp2p_rlpx::{Config, HandshakeError};
use futures::future::BoxFuture;

use crate::{Io, Transport, TransportError};

/// Secures streams with RLPx.
#[derive(Clone, Debug)]
pub struct RlpxTransport(Arc<(NodeKey, Config)>);

impl RlpxTransport {
    /// RLPx in the name of this key.
    pub fn new(key: NodeKey, config: Config) -> Self {
        Self(Arc::new((key, config)))
    }
}

impl Transport for RlpxTransport {
    fn connect(
        &self,
        io: Io,
        remote: PublicKey,
    ) -> BoxFuture<'static, Result<BoxConnection, TransportError>> {
        let this = Arc::clone(&self.0);
        Box::pin(async move {
            let (local_addr, remote_addr) = (io.local_addr(), io.remote_addr());
            let connection = devp2p_rlpx::connect(io, &this.0, &remote, &this.1).await?;
            Ok(Box::pin(connection.with_addresses(local_addr, remote_addr)) as BoxConnection)
        })
    }

    fn accept(&self, io: Io) -> BoxFuture<'static, Result<BoxConnection, TransportError>> {
        let this = Arc::clone(&self.0);
        Box::pin(async move {
            let (local_addr, remote_addr) = (io.local_addr(), io.remote_addr());
            let connection = devp2p_rlpx::accept(io, &this.0, &this.1).await?;
            Ok(Box::pin(connection.with_addresses(local_addr, remote_addr)) as BoxConnection)
        })
    }
}

impl From<HandshakeError> for TransportError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Io(error) => Self::Io(error),
            HandshakeError::Rejected => Self::Rejected,
            HandshakeError::Timeout => Self::Timeout,
            other => Self::Other(Box::new(other)),
        }
    }
}
