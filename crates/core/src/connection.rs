use std::{fmt, io, net::SocketAddr, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;

use crate::{Fault, PublicKey};

/// One devp2p message: an id and an RLP payload, neither compressed nor encrypted.
///
/// Ids 0x00 to 0x0f belong to the base protocol, those from 0x10 on to the shared capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message id.
    pub id: u64,
    /// The payload.
    pub payload: Bytes,
}

/// Bytes that a connection moved on the wire, handshake included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub ingress: u64,
    /// Bytes sent.
    pub egress: u64,
}

/// An authenticated, ordered stream of [`Message`]s in both directions: what a secure transport
/// gives and the multiplexer takes.
///
/// # Contract
/// - The stream yields messages in order, at most one error, and then `None`. The remote's clean
///   close is `None` at once. Frames are not decoded ahead of polling, so a consumer that stops
///   polling stops the remote.
/// - The sink is ready while its bounded buffer has room; `start_send` seals the message into the
///   buffer; `poll_flush` writes it out; `poll_close` flushes and shuts the writing side, and the
///   stream goes on. After `poll_close`, or an error other than
///   [`MessageTooLarge`](ConnectionError::MessageTooLarge), sending is an error.
/// - The two halves fail apart: after an error of the stream, such as a message above the limit,
///   the sink can still tell the remote why. Reading does not wait for writing.
/// - Both halves are cancel-safe: dropping a future that polled them loses no message and leaves
///   no half-written frame.
/// - Where a connection has deadlines for the remote, they hold only for who waits: one that
///   passes while nobody polls that half, and is clearly over at the next poll, starts anew then.
/// - A message above the limit is refused in either direction: 2 KiB before
///   [`established`](Connection::established), the configured limit after.
pub trait Connection:
    Stream<Item = Result<Message, ConnectionError>> + Sink<Message, Error = ConnectionError> + Send
{
    /// The public key that every message of the stream is from: no other can have sent it.
    ///
    /// Before the first message the remote need not have proven that it holds the key: a transport
    /// may give a connection once only the holder of that key can go on with it.
    fn remote(&self) -> PublicKey;

    /// The local address, where the stream below has one.
    fn local_addr(&self) -> Option<SocketAddr>;

    /// The remote's address, where the stream below has one.
    fn remote_addr(&self) -> Option<SocketAddr>;

    /// Bytes moved so far.
    fn traffic(&self) -> Traffic;

    /// Both Hellos have been exchanged: lifts the limit of 2 KiB, and compresses from here on
    /// where `snappy` says that the remote's version allows it.
    fn established(self: Pin<&mut Self>, snappy: bool);
}

/// A connection of any kind.
pub type BoxConnection = Pin<Box<dyn Connection>>;

/// Why a connection ended or refused a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The connection was closed, by us or before this use of it.
    Closed,
    /// The stream below failed or broke off in the middle of a frame.
    Io(io::Error),
    /// The remote sent what the protocol does not allow; the text says what.
    Malformed(&'static str),
    /// Our own message is above the limit, in bytes.
    MessageTooLarge {
        /// The message's size.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The remote sent nothing for as long as is allowed.
    ReadTimeout,
    /// The remote took nothing for as long as is allowed.
    WriteTimeout,
    /// A failure of another kind of transport.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl ConnectionError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed | Self::MessageTooLarge { .. } => Fault::Local,
            Self::Malformed(_) => Fault::Remote,
            Self::Io(_) | Self::ReadTimeout | Self::WriteTimeout | Self::Other(_) => Fault::Network,
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::Io(error) => write!(f, "the stream failed: {error}"),
            Self::Malformed(what) => write!(f, "the remote broke the protocol: {what}"),
            Self::MessageTooLarge { size, limit } => {
                write!(f, "a message of {size} bytes is above the limit of {limit}")
            }
            Self::ReadTimeout => f.write_str("the remote sent nothing for too long"),
            Self::WriteTimeout => f.write_str("the remote took nothing for too long"),
            Self::Other(error) => write!(f, "the transport failed: {error}"),
        }
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Other(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn every_error_has_a_fault_and_keeps_its_cause() {
        let io = || io::Error::from(io::ErrorKind::BrokenPipe);
        for (error, fault, has_source) in [
            (ConnectionError::Closed, Fault::Local, false),
            (ConnectionError::MessageTooLarge { size: 2, limit: 1 }, Fault::Local, false),
            (ConnectionError::Malformed("a bad frame"), Fault::Remote, false),
            (ConnectionError::from(io()), Fault::Network, true),
            (ConnectionError::Other(Box::new(io())), Fault::Network, true),
            (ConnectionError::ReadTimeout, Fault::Network, false),
            (ConnectionError::WriteTimeout, Fault::Network, false),
        ] {
            assert_eq!((error.fault(), error.source().is_some()), (fault, has_source), "{error}");
        }
    }
}
