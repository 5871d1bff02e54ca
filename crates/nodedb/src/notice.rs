//! What goes wrong, and who is told.

use std::{fmt, io, path::PathBuf};

use devp2p_core::Fault;

/// Something that went wrong and that the database coped with by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The file could not be used and is under another name now. What it remembered is lost to
    /// this node.
    MovedAside {
        /// Where it is.
        to: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// Rows could not be written. They are kept in memory and tried again.
    WriteFailed {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MovedAside { to, reason } => {
                write!(f, "moved the node database to {}: {reason}", to.display())
            }
            Self::WriteFailed { reason } => {
                write!(f, "writing the node database failed: {reason}")
            }
        }
    }
}

/// Why there is no database.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is open already, here or in another process.
    InUse,
    /// The file, or a folder above it, cannot be made, read, written or renamed.
    Io(io::Error),
    /// A new file could not be used either.
    Unusable(String),
}

impl OpenError {
    /// Whose fault it is: ours, or of our machine.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("the node database is in use"),
            Self::Io(error) => write!(f, "the node database cannot be opened: {error}"),
            Self::Unusable(reason) => write!(f, "no node database can be made: {reason}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::InUse | Self::Unusable(_) => None,
        }
    }
}
