//! RPC over WebSocket.

use std::io;

use hyper::{Request, Response, body::Incoming as Body, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use soketto::{
    Receiver, Sender,
    connection::Error,
    data::ByteSlice125,
    handshake::http::{Server, is_upgrade_request},
};
use tokio::io::BufStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::{
    MAX_REQUEST,
    calls::Calls,
    session::{self, Incoming, Outgoing},
};

/// A handshake that was accepted.
pub(super) struct Handshake {
    server: Server,
    upgrade: OnUpgrade,
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_handshake(request: &Request<Body>) -> bool {
    is_upgrade_request(request)
}

impl Handshake {
    /// The handshake that a request begins, and the answer to it.
    pub(super) fn new(request: &mut Request<Body>) -> Result<(Self, Response<()>), String> {
        let mut server = Server::new();
        let response = server.receive_request(request).map_err(|error| error.to_string())?;
        Ok((Self { server, upgrade: hyper::upgrade::on(request) }, response))
    }
}

type Stream = Compat<BufStream<TokioIo<hyper::upgrade::Upgraded>>>;

/// Answers calls until the client is gone.
pub(super) async fn serve(handshake: Handshake, calls: Calls) -> io::Result<()> {
    let Handshake { server, upgrade } = handshake;
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let mut builder = server.into_builder(BufStream::new(TokioIo::new(upgraded)).compat());
    builder.set_max_message_size(MAX_REQUEST);
    builder.set_max_frame_size(MAX_REQUEST);
    let (sender, receiver) = builder.finish();
    session::run(calls, Reader(receiver), Writer(sender)).await;
    Ok(())
}

struct Reader(Receiver<Stream>);

impl Incoming for Reader {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        match self.0.receive_data(&mut message).await {
            Ok(_) => Ok(Some(message)),
            Err(Error::Closed) => Ok(None),
            Err(error) => Err(other(error)),
        }
    }
}

struct Writer(Sender<Stream>);

impl Outgoing for Writer {
    async fn send(&mut self, message: &RawValue) -> io::Result<()> {
        self.0.send_text(message.get()).await.map_err(other)?;
        self.0.flush().await.map_err(other)
    }

    async fn ping(&mut self) -> io::Result<()> {
        let nothing: ByteSlice125<'_> = (&[][..]).try_into().map_err(io::Error::other)?;
        self.0.send_ping(nothing).await.map_err(other)?;
        self.0.flush().await.map_err(other)
    }
}

fn other(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
