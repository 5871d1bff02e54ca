use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use devp2p_core::{Fault, NodeId};
use devp2p_udp::{Closed, Commands};
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::{RespondError, TalkId, command::Command};

/// The requests that a reader may be behind by: as many as wait for an answer at once.
pub(crate) const TALK_BUFFER: usize = 1_024;

/// What other nodes ask of one protocol, from
/// [`Handle::register_talk`](crate::Handle::register_talk): a stream of requests. Ends with the
/// service, and when the protocol is registered anew.
///
/// Requests wait for an answer for [400 ms](crate::Config::talk_timeout), then an empty one is sent;
/// they are given out even so. Where 1,024 of them are not read, new ones are answered with nothing
/// at once. Whoever is slow holds up nobody.
///
/// Dropping it has all further requests answered with nothing. It keeps the service alive like a
/// [`Handle`](crate::Handle).
///
/// # Cancel safety
/// Whatever waits for the next request may be dropped: no request is lost.
pub struct TalkRequests {
    requests: mpsc::Receiver<Asked>,
    commands: Commands<Command>,
}

/// What another node asks of a protocol.
///
/// One that is dropped is answered with nothing when its time is over.
pub struct TalkRequest {
    asked: Asked,
    commands: Commands<Command>,
}

/// A request, as the service has it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) talk: TalkId,
    pub(crate) id: NodeId,
    pub(crate) endpoint: SocketAddr,
    pub(crate) protocol: Bytes,
    pub(crate) request: Bytes,
}

impl TalkRequests {
    pub(crate) const fn new(requests: mpsc::Receiver<Asked>, commands: Commands<Command>) -> Self {
        Self { requests, commands }
    }

    /// The next request; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<TalkRequest> {
        let asked = self.requests.recv().await?;
        Some(TalkRequest { asked, commands: self.commands.clone() })
    }
}

impl Stream for TalkRequests {
    type Item = TalkRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TalkRequest>> {
        let asked = self.requests.poll_recv(cx);
        asked.map(|asked| Some(TalkRequest { asked: asked?, commands: self.commands.clone() }))
    }
}

impl Drop for TalkRequests {
    fn drop(&mut self) {
        self.requests.close();
        self.commands.tell_dropped();
    }
}

impl TalkRequest {
    /// Who asks.
    pub const fn id(&self) -> NodeId {
        self.asked.id
    }

    /// From where.
    pub const fn endpoint(&self) -> SocketAddr {
        self.asked.endpoint
    }

    /// The protocol.
    pub const fn protocol(&self) -> &Bytes {
        &self.asked.protocol
    }

    /// What.
    pub const fn request(&self) -> &Bytes {
        &self.asked.request
    }

    /// Answers it.
    ///
    /// # Errors
    /// That it is too late, or the answer too large for a packet.
    ///
    /// # Cancel safety
    /// The answer may be sent or not if this is dropped.
    pub async fn respond(self, response: impl Into<Bytes>) -> Result<(), TalkError> {
        let (talk, response) = (self.asked.talk, response.into());
        self.commands.ask(|answer| Command::Respond(talk, response, answer)).await
    }
}

/// Why a [`TalkRequest`] is not answered with what was to be the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TalkError {
    /// The service has ended.
    Closed,
    /// It cannot be answered, or not with that.
    Respond(RespondError),
}

impl TalkError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed => Fault::Local,
            Self::Respond(error) => error.fault(),
        }
    }
}

impl fmt::Display for TalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::Respond(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TalkError {}

impl From<Closed> for TalkError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<RespondError> for TalkError {
    fn from(error: RespondError) -> Self {
        Self::Respond(error)
    }
}

impl fmt::Debug for TalkRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TalkRequests")
            .field("waiting", &self.requests.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TalkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asked.fmt(f)
    }
}
