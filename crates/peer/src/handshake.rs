use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{BoxConnection, Connection, ConnectionError, Fault, Message};
use tokio::time::timeout;

use crate::{
    Config, DecodeHelloError, DisconnectReason, Hello, id, send_disconnect::send_disconnect,
};

/// Exchanges Hellos on a connection that is secured, and checks the remote's against it.
///
/// The Hellos cross: ours is written while the remote's is read. Afterwards the connection is
/// [`established`](Connection::established). Where it fails for a reason that the
/// remote should know, a Disconnect with [`HelloError::reason`] has been sent on return.
///
/// # Errors
/// Where the connection fails, the remote refuses, its Hello is none or not its own, or
/// [`Config::hello_timeout`] is over.
///
/// # Cancel safety
/// Not cancel-safe: if it is dropped, the connection is closed without a word.
pub async fn hello(
    mut connection: BoxConnection,
    local: &Hello,
    config: &Config,
) -> Result<Established, HelloError> {
    let result = timeout(config.hello_timeout, exchange(&mut connection, local))
        .await
        .unwrap_or(Err(HelloError::Timeout))
        .and_then(|payload| {
            let hello = Hello::decode(&payload);
            // A remote that sent its Hello reads ours, and what follows it compressed: a refusal
            // too. Of one that cannot be read the current version is assumed.
            let snappy = hello.as_ref().ok().is_none_or(Hello::snappy);
            connection.as_mut().established(snappy);
            let hello = hello.map_err(HelloError::Malformed)?;
            let own = hello.public_key == connection.remote();
            if own { Ok(hello) } else { Err(HelloError::UnexpectedIdentity) }
        });
    match result {
        Ok(hello) => Ok(Established { connection, hello, config: config.clone() }),
        Err(error) => {
            if error.is_to_be_told() {
                let readable = !matches!(error, HelloError::Connection(_));
                let times = (config.disconnect_write, config.linger);
                send_disconnect(&mut connection, error.reason(), readable, times).await;
            }
            Err(error)
        }
    }
}

/// Sends a Disconnect on a connection without Hellos, within [`Config::disconnect_write`], and gives
/// the remote the time [`Config::linger`] to close.
///
/// # Cancel safety
/// Not cancel-safe: if it is dropped, the connection is closed, with or without the Disconnect.
pub async fn refuse(mut connection: BoxConnection, reason: DisconnectReason, config: &Config) {
    let times = (config.disconnect_write, config.linger);
    send_disconnect(&mut connection, reason, true, times).await;
}

/// A connection on which both Hellos have been exchanged, and nothing runs yet.
pub struct Established {
    pub(crate) connection: BoxConnection,
    pub(crate) hello: Hello,
    pub(crate) config: Config,
}

impl Established {
    /// The remote's Hello.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Sends a Disconnect, and gives the remote the time `linger` to close; writing may take as
    /// long, and at most [`Config::disconnect_write`].
    ///
    /// # Cancel safety
    /// Not cancel-safe: if it is dropped, the connection is closed, with or without the
    /// Disconnect.
    pub async fn disconnect(mut self, reason: DisconnectReason, linger: Duration) {
        let write = self.config.disconnect_write.min(linger);
        send_disconnect(&mut self.connection, reason, true, (write, linger)).await;
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established").field("hello", &self.hello).finish_non_exhaustive()
    }
}

/// Sends our Hello and reads the remote's, both at once.
async fn exchange(connection: &mut BoxConnection, local: &Hello) -> Result<Bytes, HelloError> {
    let mut outgoing = Some(local.message());
    if outgoing.as_ref().is_some_and(|hello| hello.payload.len() > Hello::MAX_SIZE) {
        return Err(HelloError::OwnTooLarge);
    }
    let (mut written, mut read) = (None, None);
    poll_fn(|cx| {
        // Writing comes first. If it fails, the remote's reason may still be read.
        if written.is_none()
            && let Poll::Ready(result) = poll_write(connection.as_mut(), &mut outgoing, cx)
        {
            written = Some(result);
        }
        if read.is_none()
            && let Poll::Ready(next) = connection.as_mut().poll_next(cx)
        {
            read = Some(first(next)?);
        }
        match (&mut written, &mut read) {
            (Some(Ok(())), Some(payload)) => Poll::Ready(Ok(std::mem::take(payload))),
            (written @ Some(Err(_)), Some(_)) => {
                let error = written.take().and_then(Result::err);
                Poll::Ready(Err(error.map_or(HelloError::Closed, HelloError::Connection)))
            }
            _ => Poll::Pending,
        }
    })
    .await
}

/// Sends the one message that there is, all the way to the stream below.
pub(crate) fn poll_write(
    mut connection: Pin<&mut (dyn Connection + 'static)>,
    outgoing: &mut Option<Message>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ConnectionError>> {
    if outgoing.is_some() {
        ready!(connection.as_mut().poll_ready(cx))?;
        if let Some(message) = outgoing.take() {
            connection.as_mut().start_send(message)?;
        }
    }
    connection.poll_flush(cx)
}

/// The payload of the Hello that comes first. Nothing else may, but a Disconnect.
fn first(next: Option<Result<Message, ConnectionError>>) -> Result<Bytes, HelloError> {
    let message = next.ok_or(HelloError::Closed)?.map_err(HelloError::Connection)?;
    match message.id {
        id::HELLO => Ok(message.payload),
        id::DISCONNECT => Err(HelloError::Disconnected(DisconnectReason::decode(&message.payload))),
        id => Err(HelloError::UnexpectedMessage(id)),
    }
}

/// Why Hellos could not be exchanged.
#[derive(Debug)]
#[non_exhaustive]
pub enum HelloError {
    /// The remote closed the connection without a word.
    Closed,
    /// The connection failed.
    Connection(ConnectionError),
    /// The remote refused us, for this reason.
    Disconnected(DisconnectReason),
    /// The remote's Hello cannot be read.
    Malformed(DecodeHelloError),
    /// Our own Hello is larger than [`Hello::MAX_SIZE`].
    OwnTooLarge,
    /// It took longer than [`Config::hello_timeout`].
    Timeout,
    /// The node id in the Hello is not the one that the secure handshake proved.
    UnexpectedIdentity,
    /// A message with this id came before the Hello.
    UnexpectedMessage(u64),
}

impl HelloError {
    /// The remote's reason where it gave one, else the one that it was told or would be.
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            Self::Closed => DisconnectReason::NetworkError,
            Self::Connection(error) => match error {
                ConnectionError::Malformed(_) => DisconnectReason::ProtocolError,
                ConnectionError::ReadTimeout => DisconnectReason::ReadTimeout,
                _ => DisconnectReason::NetworkError,
            },
            Self::Disconnected(reason) => *reason,
            Self::Malformed(error) => error.reason(),
            Self::OwnTooLarge => DisconnectReason::Requested,
            Self::Timeout => DisconnectReason::ReadTimeout,
            Self::UnexpectedIdentity => DisconnectReason::UnexpectedIdentity,
            Self::UnexpectedMessage(_) => DisconnectReason::ProtocolError,
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed | Self::Timeout => Fault::Network,
            Self::Connection(error) => error.fault(),
            Self::OwnTooLarge => Fault::Local,
            Self::Disconnected(_)
            | Self::Malformed(_)
            | Self::UnexpectedIdentity
            | Self::UnexpectedMessage(_) => Fault::Remote,
        }
    }

    const fn is_to_be_told(&self) -> bool {
        match self {
            Self::Closed | Self::Disconnected(_) => false,
            Self::Connection(error) => matches!(error, ConnectionError::Malformed(_)),
            Self::Malformed(_)
            | Self::OwnTooLarge
            | Self::Timeout
            | Self::UnexpectedIdentity
            | Self::UnexpectedMessage(_) => true,
        }
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the remote closed the connection"),
            Self::Connection(error) => error.fmt(f),
            Self::Disconnected(reason) => write!(f, "the remote disconnected: {reason}"),
            Self::Malformed(error) => error.fmt(f),
            Self::OwnTooLarge => {
                write!(f, "our own hello is larger than {} bytes", Hello::MAX_SIZE)
            }
            Self::Timeout => f.write_str("the hellos took too long"),
            Self::UnexpectedIdentity => {
                f.write_str("the node id in the hello is not the one of the handshake")
            }
            Self::UnexpectedMessage(id) => write!(f, "message {id:#x} came before the hello"),
        }
    }
}

impl std::error::Error for HelloError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Malformed(error) => Some(error),
            _ => None,
        }
    }
}
