//! RPC over WebSocket.

use std::{io, time::Duration};

use futures::io::{AsyncRead, AsyncWrite};
use hyper::{Request, Response, body::Incoming as Body, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use soketto::{
    Incoming as Received, Receiver, Sender,
    connection::Error,
    data::ByteSlice125,
    handshake::http::{Server, is_upgrade_request},
};
use tokio::{io::BufStream, time::timeout};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::{
    MAX_REQUEST,
    calls::Calls,
    session::{self, Incoming, Outgoing, PING_INTERVAL},
};

/// How long a client may say nothing, not even that it heard a ping, and how long it may take to say
/// something: that time, and geth's for the answer to a ping.
const SILENCE: Duration = PING_INTERVAL.saturating_add(Duration::from_secs(30));

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

struct Reader<T>(Receiver<T>);

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Incoming for Reader<T> {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        loop {
            let received = timeout(SILENCE, self.0.receive(&mut message));
            match received.await {
                Ok(Ok(Received::Data(_))) => return Ok(Some(message)),
                Ok(Ok(Received::Pong(_))) => {}
                Ok(Ok(Received::Closed(_)) | Err(Error::Closed)) => return Ok(None),
                Ok(Err(error)) => return Err(other(error)),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

struct Writer<T>(Sender<T>);

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Outgoing for Writer<T> {
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

#[cfg(test)]
mod tests {
    use soketto::connection::{Builder, Mode};
    use tokio::{io::duplex, spawn, task::JoinHandle, time::sleep};
    use tokio_util::compat::Compat;

    use super::*;

    type Client =
        (Sender<Compat<tokio::io::DuplexStream>>, Receiver<Compat<tokio::io::DuplexStream>>);

    /// A client, and its session.
    fn client() -> (Client, JoinHandle<()>) {
        let (near, far) = duplex(64 * 1024);
        let (sender, receiver) = Builder::new(far.compat(), Mode::Server).finish();
        let calls = Calls::new(jsonrpsee::Methods::new(), &std::sync::Arc::default());
        let session = spawn(session::run(calls, Reader(receiver), Writer(sender)));
        (Builder::new(near.compat(), Mode::Client).finish(), session)
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_no_ping_is_dropped_in_time_and_who_does_is_not() {
        let ((says, mut hears), session) = client();
        let mut nothing = Vec::new();
        let heard = hears.receive_data(&mut nothing);
        assert!(timeout(Duration::from_mins(10), heard).await.is_err(), "pings, and no more");
        assert!(!session.is_finished());
        drop((says, hears));
        session.await.unwrap();

        let (_silent, session) = client();
        sleep(SILENCE - Duration::from_millis(1)).await;
        assert!(!session.is_finished());
        sleep(Duration::from_millis(2)).await;
        assert!(session.is_finished());
    }
}
