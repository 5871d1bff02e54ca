//! The seam that secures a byte stream.

use std::{fmt, io};

use devp2p_core::{BoxConnection, Fault, PublicKey};
use futures::future::BoxFuture;

use crate::Io;

/// Secures a byte stream in either direction, and proves who is at its other end.
///
/// # Contract
/// - The connection's `remote()` is a key that the remote proved to hold; after
///   [`connect`](Transport::connect) it is the key that was asked for, or the server refuses it.
/// - On a failure the stream is closed without a word: what went wrong is told to nobody. A stream
///   that ends during the handshake is a failure.
/// - Dropping the future closes the stream. The caller sets the deadline.
/// - The connection keeps the contract of [`Connection`](devp2p_core::Connection), and tells the
///   addresses of the stream. A stream that breaks off in a message is an error of it and not the
///   remote's clean close.
///
/// The suite `contract::transport` (feature `test-util`) checks this.
pub trait Transport: Send + Sync + 'static {
    /// Secures a stream that we opened to the holder of `remote`.
    fn connect(
        &self,
        io: Io,
        remote: PublicKey,
    ) -> BoxFuture<'static, Result<BoxConnection, TransportError>>;

    /// Secures a stream that the remote opened.
    fn accept(&self, io: Io) -> BoxFuture<'static, Result<BoxConnection, TransportError>>;
}

/// Why a stream could not be secured.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The stream below failed.
    Io(io::Error),
    /// The remote did not complete the handshake as the protocol wants it.
    Rejected,
    /// The handshake took too long.
    Timeout,
    /// A failure of another kind of transport.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl TransportError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Rejected => Fault::Remote,
            Self::Io(_) | Self::Timeout | Self::Other(_) => Fault::Network,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the stream failed: {error}"),
            Self::Rejected => f.write_str("the secure handshake failed"),
            Self::Timeout => f.write_str("the secure handshake took too long"),
            Self::Other(error) => write!(f, "the transport failed: {error}"),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Other(error) => Some(error.as_ref()),
            Self::Rejected | Self::Timeout => None,
        }
    }
}
