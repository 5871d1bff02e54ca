use std::{fmt, io};

use devp2p_core::Fault;

/// Why a handshake did not end in a connection.
///
/// Whatever is wrong with the remote's packet (size, point, tag, RLP, signature, identity) is
/// [`HandshakeError::Rejected`] and nothing more: an error that tells them apart is an oracle on
/// the node's static key (CVE-2026-26315).
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The operating system gave no entropy.
    Entropy(getrandom::Error),
    /// The stream failed, or the remote closed it before the handshake was complete.
    Io(io::Error),
    /// The remote's packet is not a valid one for us.
    Rejected,
    /// The deadline for the whole handshake has passed.
    Timeout,
}

impl HandshakeError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Entropy(_) => Fault::Local,
            Self::Io(_) | Self::Timeout => Fault::Network,
            Self::Rejected => Fault::Remote,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entropy(error) => write!(f, "the operating system gave no entropy: {error}"),
            Self::Io(error) => write!(f, "the stream failed during the handshake: {error}"),
            Self::Rejected => f.write_str("the handshake was rejected"),
            Self::Timeout => f.write_str("the handshake took too long"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Entropy(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Rejected | Self::Timeout => None,
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
