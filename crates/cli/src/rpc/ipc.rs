//! RPC over a Unix socket: JSON values one after the other, as in geth.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};
use tracing::debug;

use super::{
    MAX_CONNECTIONS, MAX_REQUEST,
    calls::Calls,
    framing::Framing,
    session::{self, Incoming, Outgoing},
};

/// The pause after accept failed, as descriptors may have run out.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket that this user alone can connect to.
#[derive(Debug)]
pub(super) struct IpcListener {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl IpcListener {
    /// Makes the socket. One that nobody listens at any more is replaced.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        // Between the two steps nobody can connect: the folder in which the file is made is closed.
        let closed = ClosedFolder::beside(path)?;
        let made = closed.0.join("ipc");
        let listener = UnixListener::bind(&made)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        let inode = fs::metadata(path)?.ino();
        Ok(Self { listener, file: SocketFile { path: path.to_owned(), inode } })
    }

    /// Answers calls for ever. Dropping it closes all connections and removes the file.
    pub(super) async fn serve(self, calls: Calls) {
        let Self { listener, file: _file } = self;
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut sessions = JoinSet::new();
        loop {
            while sessions.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        debug!("A connection to the socket of RPC is one too many");
                        continue;
                    };
                    let calls = calls.clone();
                    sessions.spawn(async move {
                        serve(stream, calls).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    debug!(err = %error, "Cannot accept a connection to the socket of RPC");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn serve(stream: UnixStream, calls: Calls) {
    let (reader, writer) = stream.into_split();
    session::run(calls, Reader::new(reader), Writer(writer)).await;
}

/// A socket is stale when nobody accepts connections there.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of another kind",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")),
    }
}

/// A folder for this user alone, removed when this is dropped.
struct ClosedFolder(PathBuf);

impl ClosedFolder {
    fn beside(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        // The path of a socket has 107 bytes at most: this name is no longer than `devp2p.ipc`.
        let name = format!(".{:x}", std::process::id());
        let folder = path.with_file_name(name);
        // What a process of the same number may have left behind.
        let _ = fs::remove_file(folder.join("ipc"));
        let _ = fs::remove_dir(&folder);
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for ClosedFolder {
    fn drop(&mut self) {
        // Moved away, unless something failed.
        let _ = fs::remove_file(self.0.join("ipc"));
        let _ = fs::remove_dir(&self.0);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            // It may be gone by now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// How much is read at one time, in bytes: most calls are shorter.
const CHUNK: usize = 4 * 1024;

struct Reader {
    stream: OwnedReadHalf,
    framing: Framing,
}

impl Reader {
    fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, framing: Framing::new(MAX_REQUEST) }
    }
}

impl Incoming for Reader {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(message) = self.framing.next_value()? {
                return Ok(Some(message));
            }
            let mut chunk = [0; CHUNK];
            match self.stream.read(&mut chunk).await? {
                0 => return Ok(None),
                length => self.framing.push(chunk.get(..length).unwrap_or_default()),
            }
        }
    }
}

struct Writer(OwnedWriteHalf);

impl Outgoing for Writer {
    async fn send(&mut self, message: &RawValue) -> io::Result<()> {
        self.0.write_all(message.get().as_bytes()).await?;
        self.0.write_all(b"\n").await
    }
}
