use bytes::BytesMut;
use devp2p_core::{NodeKey, PublicKey, Rng};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{Config, Connection, Handshake, HandshakeError, Session};

/// What is read at once during the handshake: a packet of usual size in one go, and little for
/// somebody who sends nothing.
const READ_SIZE: usize = 1024;

/// Secures `io` as the side that dialed, for the node with the key `remote` at the other end.
///
/// No other node can read what is sent, or send a frame that is accepted. But the answer to the
/// handshake is not signed, and anybody can make one: that the remote holds its key is proven by
/// its first frame, not by this function's return.
///
/// The randomness is the operating system's, fresh for every call.
///
/// # Errors
/// Any [`HandshakeError`]. The stream is closed without a word.
///
/// # Cancel safety
/// Not cancel-safe: dropping the future closes the stream in the middle of the handshake.
pub async fn connect<Io>(
    io: Io,
    key: &NodeKey,
    remote: &PublicKey,
    config: &Config,
) -> Result<Connection<Io>, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let rng = Rng::from_os().map_err(HandshakeError::Entropy)?;
    secure(io, Handshake::initiator(key, remote, rng), config).await
}

/// Secures `io` as the side that was dialed; who dialed is [`Connection::remote`] afterwards.
///
/// The packet that begins the handshake can be a copy of an old one: that the remote is there
/// and holds its key is proven by its first frame, not by this function's return.
///
/// The randomness is the operating system's, fresh for every call.
///
/// # Errors
/// Any [`HandshakeError`]. The stream is closed without a word.
///
/// # Cancel safety
/// Not cancel-safe: dropping the future closes the stream in the middle of the handshake.
///
/// [`Connection::remote`]: devp2p_core::Connection::remote
pub async fn accept<Io>(
    io: Io,
    key: &NodeKey,
    config: &Config,
) -> Result<Connection<Io>, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let rng = Rng::from_os().map_err(HandshakeError::Entropy)?;
    secure(io, Handshake::recipient(key, rng), config).await
}

/// [`connect()`] over TCP: with TCP_NODELAY, and with the socket's addresses.
///
/// # Errors
/// As [`connect()`].
///
/// # Cancel safety
/// As [`connect()`].
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
///
/// # Errors
/// As [`accept`].
///
/// # Cancel safety
/// As [`accept`].
pub async fn accept_tcp(
    stream: TcpStream,
    key: &NodeKey,
    config: &Config,
) -> Result<Connection<TcpStream>, HandshakeError> {
    stream.set_nodelay(true)?;
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    Ok(accept(stream, key, config).await?.with_addresses(local, peer))
}

/// Runs a [`Handshake`] of either side over `io`, within [`Config::handshake_timeout`].
///
/// For callers who choose the randomness themselves, as simulations do; others take [`connect()`] and
/// [`accept`].
///
/// # Errors
/// As [`connect()`].
///
/// # Cancel safety
/// As [`connect()`].
pub async fn secure<Io>(
    mut io: Io,
    handshake: Handshake,
    config: &Config,
) -> Result<Connection<Io>, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut read = BytesMut::new();
    let run = timeout(config.handshake_timeout, exchange(&mut io, handshake, &mut read));
    let session = run.await.map_err(|_| HandshakeError::Timeout)??;
    Ok(Connection::new(io, session, read, config))
}

async fn exchange<Io>(
    io: &mut Io,
    mut handshake: Handshake,
    read: &mut BytesMut,
) -> Result<Session, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if let Some(packet) = handshake.poll_transmit() {
            io.write_all(&packet).await?;
            io.flush().await?;
        }
        handshake = match handshake.into_session() {
            Ok(session) => return Ok(session),
            Err(incomplete) => incomplete,
        };
        // A packet is complete or refused by MAX_PACKET_SIZE bytes, so this ends.
        read.reserve(READ_SIZE);
        if io.read_buf(read).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        handshake = handshake.handle_input(read)?;
    }
}
