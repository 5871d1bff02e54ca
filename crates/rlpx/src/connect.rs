use devp2p_core::{NodeKey, PublicKey};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{Config, Connection, HandshakeError};

/// Secures `io` as the side that dialed.
pub async fn connect<Io>(
    io: Io,
    key: &NodeKey,
    remote: &PublicKey,
    config: &Config,
) -> Result<Connection<Io>, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let _ = (io, key, remote, config);
    std::future::ready(Err(HandshakeError::Rejected)).await
}

/// Secures `io` as the side that was dialed.
pub async fn accept<Io>(
    io: Io,
    key: &NodeKey,
    config: &Config,
) -> Result<Connection<Io>, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let _ = (io, key, config);
    std::future::ready(Err(HandshakeError::Rejected)).await
}

/// [`connect`] over TCP: with TCP_NODELAY, and with the socket's addresses.
pub async fn connect_tcp(
    stream: TcpStream,
    key: &NodeKey,
    remote: &PublicKey,
    config: &Config,
) -> Result<Connection<TcpStream>, HandshakeError> {
    stream.set_nodelay(true)?;
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    Ok(connect(stream, key, remote, config).await?.with_addresses(local, peer))
}

/// [`accept`] over TCP: with TCP_NODELAY, and with the socket's addresses.
pub async fn accept_tcp(
    stream: TcpStream,
    key: &NodeKey,
    config: &Config,
) -> Result<Connection<TcpStream>, HandshakeError> {
    stream.set_nodelay(true)?;
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    Ok(accept(stream, key, config).await?.with_addresses(local, peer))
}
