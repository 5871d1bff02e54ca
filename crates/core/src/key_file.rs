//! Node keys in files and in text.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

use crate::{Fault, NodeKey};

/// The hex digits of a key.
const HEX_DIGITS: usize = 64;

/// More than any key file holds; what is longer is not read to its end.
const LONGEST_FILE: usize = 256;

impl NodeKey {
    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// [`NodeKeyError::Length`], [`NodeKeyError::Digit`] or [`NodeKeyError::OutOfRange`].
    pub fn from_hex(text: &str) -> Result<Self, NodeKeyError> {
        from_hex(text.as_bytes())
    }

    /// Reads a key file of geth (`nodekey`): 64 hex digits, with or without an end of line.
    ///
    /// # Errors
    /// As [`NodeKey::from_hex`], and [`NodeKeyError::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, NodeKeyError> {
        read(path.as_ref(), |bytes| {
            let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            from_hex(line.strip_suffix(b"\r").unwrap_or(line))
        })
    }

    /// Reads the key file, or makes a new key and the file where there is none yet.
    ///
    /// Of two programs that do this at once both get the key that is in the file afterwards.
    ///
    /// # Errors
    /// As [`NodeKey::load`], and [`NodeKeyError::Entropy`].
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, NodeKeyError> {
        let path = path.as_ref();
        match Self::load(path) {
            Err(NodeKeyError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        let key = Self::generate().map_err(NodeKeyError::Entropy)?;
        match key.save_new(path) {
            Ok(()) => Ok(key),
            Err(NodeKeyError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a key file as geth's, in place of what is there.
    ///
    /// The file is readable by its owner alone, and is whole at every moment. Folders above it
    /// that do not exist are made.
    ///
    /// # Errors
    /// [`NodeKeyError::Io`] or [`NodeKeyError::Entropy`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), NodeKeyError> {
        write(path.as_ref(), self.to_hex().as_bytes(), Existing::Replace)
    }

    /// As [`NodeKey::save`], but leaves a file that is there as it is.
    ///
    /// # Errors
    /// As [`NodeKey::save`]; [`io::ErrorKind::AlreadyExists`] where there is a file.
    pub fn save_new(&self, path: impl AsRef<Path>) -> Result<(), NodeKeyError> {
        write(path.as_ref(), self.to_hex().as_bytes(), Existing::Keep)
    }

    /// The 64 hex digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER_PERMISSIVE.encode(self.to_bytes().as_ref()))
    }

    /// Reads a key file of libp2p: the protobuf message of a secp256k1 private key.
    ///
    /// # Errors
    /// As [`NodeKey::from_protobuf`], and [`NodeKeyError::Io`].
    #[cfg(feature = "libp2p")]
    pub fn load_protobuf(path: impl AsRef<Path>) -> Result<Self, NodeKeyError> {
        read(path.as_ref(), Self::from_protobuf)
    }

    /// Writes a key file of libp2p, in the manner of [`NodeKey::save`].
    ///
    /// # Errors
    /// As [`NodeKey::save`].
    #[cfg(feature = "libp2p")]
    pub fn save_protobuf(&self, path: impl AsRef<Path>) -> Result<(), NodeKeyError> {
        write(path.as_ref(), &self.to_protobuf(), Existing::Replace)
    }
}

fn from_hex(digits: &[u8]) -> Result<NodeKey, NodeKeyError> {
    if digits.len() != HEX_DIGITS {
        return Err(NodeKeyError::Length { found: digits.len() });
    }
    let mut secret = Zeroizing::new([0; 32]);
    HEXLOWER_PERMISSIVE.decode_mut(digits, secret.as_mut()).map_err(|_| NodeKeyError::Digit)?;
    NodeKey::from_bytes(&secret).map_err(|_| NodeKeyError::OutOfRange)
}

/// Reads the file into a buffer that erases itself, and no more of it than a key file can have.
fn read(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<NodeKey, NodeKeyError>,
) -> Result<NodeKey, NodeKeyError> {
    let mut buffer = Zeroizing::new([0; LONGEST_FILE]);
    let mut file = fs::File::open(path)?;
    let mut filled = 0;
    loop {
        let free = buffer.get_mut(filled..).unwrap_or_default();
        match file.read(free) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    parse(buffer.get(..filled).unwrap_or_default())
}

/// What becomes of a file that is already there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

/// Writes a file beside `path` and gives it the name only when it is whole and on the disk.
fn write(path: &Path, content: &[u8], existing: Existing) -> Result<(), NodeKeyError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    create_folders(folder)?;
    let temporary = Temporary::create(path, content)?;
    match existing {
        Existing::Replace => fs::rename(&temporary.0, path)?,
        Existing::Keep => name_new(&temporary.0, path)?,
    }
    sync_folder(folder)?;
    Ok(())
}

/// Gives the file a name that is not taken.
fn name_new(file: &Path, name: &Path) -> io::Result<()> {
    // A second name for the file: unlike renaming, that fails where the name is taken.
    match fs::hard_link(file, name) {
        // Some file systems (FAT, some network drives) know one name a file. There, only two
        // programs that start within the same moment can get past the look before the renaming.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !name.try_exists()? => {
            fs::rename(file, name)
        }
        done => done,
    }
}

/// A file that goes when this is dropped, where it was not renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn create(target: &Path, content: &[u8]) -> Result<Self, NodeKeyError> {
        let nonce = getrandom::u64().map_err(NodeKeyError::Entropy)?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{nonce:016x}.tmp"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let path = target.with_file_name(name);
        let mut file = options.open(&path)?;
        let temporary = Self(path);
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Fails where it was renamed, and then there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

fn create_folders(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the new name last through a loss of power. Only Unix opens folders.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Why a text or a file gives no node key, or a file cannot be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeKeyError {
    /// A character is not a hex digit.
    Digit,
    /// The operating system gave no entropy.
    Entropy(getrandom::Error),
    /// The file cannot be read or written.
    Io(io::Error),
    /// The file holds a libp2p key of another kind than secp256k1.
    KeyType,
    /// The key has another length than 64 hex digits, or 32 bytes in protobuf.
    Length {
        /// The digits or bytes that there are.
        found: usize,
    },
    /// The private scalar is zero or not below the order of the group.
    OutOfRange,
    /// The bytes are not the protobuf message of a private key.
    Protobuf,
}

impl NodeKeyError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl From<io::Error> for NodeKeyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for NodeKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digit => f.write_str("the node key has a character that is not a hex digit"),
            Self::Entropy(error) => write!(f, "no entropy for a node key: {error}"),
            Self::Io(error) => write!(f, "the node key's file: {error}"),
            Self::KeyType => f.write_str("the key is not of the kind secp256k1"),
            Self::Length { found } => {
                write!(f, "the node key has a wrong length of {found}")
            }
            Self::OutOfRange => f.write_str("the node key is zero or above the order of the group"),
            Self::Protobuf => f.write_str("the key is not in libp2p's protobuf encoding"),
        }
    }
}

impl std::error::Error for NodeKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Entropy(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
