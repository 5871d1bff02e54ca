//! A connection over which a node may tell more than it was asked for.

use std::{io, path::Path};

use serde_json::Value;
use soketto::{
    Receiver, Sender,
    connection::Error,
    handshake::{Client, ServerResponse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::MAX_ANSWER;
use crate::rpc::framing::Framing;

type Web = Compat<BufStream<TcpStream>>;

/// Such a connection.
pub(super) enum Stream {
    #[cfg(unix)]
    Ipc {
        stream: tokio::net::UnixStream,
        framing: Framing,
    },
    Ws {
        sender: Box<Sender<Web>>,
        receiver: Box<Receiver<Web>>,
    },
}

impl Stream {
    #[cfg(unix)]
    pub(super) async fn ipc(path: &Path) -> io::Result<Self> {
        let stream = tokio::net::UnixStream::connect(path).await?;
        Ok(Self::Ipc { stream, framing: Framing::new(MAX_ANSWER) })
    }

    #[cfg(not(unix))]
    pub(super) async fn ipc(_: &Path) -> io::Result<Self> {
        std::future::ready(Err(io::ErrorKind::Unsupported.into())).await
    }

    pub(super) async fn ws(authority: &str, path: &str) -> io::Result<Self> {
        let stream = BufStream::new(TcpStream::connect(authority).await?).compat();
        let mut client = Client::new(stream, authority, path);
        match client.handshake().await.map_err(io::Error::other)? {
            ServerResponse::Accepted { .. } => {}
            ServerResponse::Redirect { status_code, .. }
            | ServerResponse::Rejected { status_code } => {
                return Err(io::Error::other(format!("HTTP status {status_code}")));
            }
        }
        let mut builder = client.into_builder();
        builder.set_max_message_size(MAX_ANSWER);
        builder.set_max_frame_size(MAX_ANSWER);
        let (sender, receiver) = builder.finish();
        Ok(Self::Ws { sender: Box::new(sender), receiver: Box::new(receiver) })
    }

    pub(super) async fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Ipc { stream, .. } => stream.write_all(message.as_bytes()).await,
            Self::Ws { sender, .. } => {
                sender.send_text(message).await.map_err(other)?;
                sender.flush().await.map_err(other)
            }
        }
    }

    /// The next message, `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Value>> {
        let message = match self {
            #[cfg(unix)]
            Self::Ipc { stream, framing } => loop {
                if let Some(message) = framing.next_value()? {
                    break message;
                }
                let mut chunk = [0; 4 * 1024];
                match stream.read(&mut chunk).await? {
                    0 => return Ok(None),
                    length => framing.push(chunk.get(..length).unwrap_or_default()),
                }
            },
            Self::Ws { receiver, .. } => {
                let mut message = Vec::new();
                match receiver.receive_data(&mut message).await {
                    Ok(_) => message,
                    Err(Error::Closed) => return Ok(None),
                    Err(error) => return Err(other(error)),
                }
            }
        };
        Ok(Some(serde_json::from_slice(&message)?))
    }
}

fn other(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
