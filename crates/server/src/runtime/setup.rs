use std::{fmt, net::SocketAddr, sync::Arc};

use devp2p_core::{Node, NodeId, PublicKey};
use devp2p_dial::DialKind;
use devp2p_peer::{Direction, DisconnectReason, End, HelloError, Side};
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tracing::{
    Instrument as _, Span, debug_span,
    field::{Empty, display},
    trace,
};

use super::{now, shared::Shared};
use crate::{Admission, Io, Negotiated, SetupFailure, SetupId, TransportError, probe::Stage};

/// Holds the slot of one set-up, and gives it back on every path, a panic or an abort too.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    id: SetupId,
    failure: SetupFailure,
}

impl Slot {
    pub(crate) const fn new(shared: Arc<Shared>, id: SetupId) -> Self {
        Self { shared, id, failure: SetupFailure::Stopped }
    }

    pub(crate) const fn id(&self) -> SetupId {
        self.id
    }

    /// Gives the slot back.
    pub(crate) fn fail(mut self, failure: SetupFailure) {
        self.failure = failure;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Nothing happens where the set-up ended in a peer.
        let (id, failure) = (self.id, self.failure);
        self.shared.tell(|state, now| state.core.handle_setup_ended(now, id, failure));
        self.shared.slot_freed.notify_one();
        self.shared.setup_settled.notify_waiters();
    }
}

/// Why a stream did not become a peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// The secure handshake failed. The remote was told nothing.
    Secure(TransportError),
    /// The exchange of Hellos failed.
    Hello(HelloError),
    /// A checkpoint refused the connection, and the remote was told this reason.
    Refused(DisconnectReason),
    /// The deadline of the whole set-up came.
    Deadline,
    /// A stream that we opened was handed in without the key of the node at its other end.
    MissingKey,
    /// All slots for connections in set-up are taken.
    NoSlot,
    /// The server stopped.
    Stopped,
}

impl SetupError {
    const fn failure(&self) -> SetupFailure {
        match self {
            Self::Secure(_) => SetupFailure::SecureHandshake,
            Self::Hello(HelloError::Disconnected(reason)) => SetupFailure::RefusedByRemote(*reason),
            Self::Hello(_) => SetupFailure::Hello,
            Self::Refused(_) | Self::MissingKey | Self::NoSlot => SetupFailure::Refused,
            Self::Deadline => SetupFailure::Deadline,
            Self::Stopped => SetupFailure::Stopped,
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secure(error) => error.fmt(f),
            Self::Hello(error) => error.fmt(f),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Deadline => f.write_str("the set-up took too long"),
            Self::MissingKey => f.write_str("an outbound connection needs the key of its remote"),
            Self::NoSlot => f.write_str("too many connections are being set up"),
            Self::Stopped => f.write_str("server stopped"),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Secure(error) => Some(error),
            Self::Hello(error) => Some(error),
            _ => None,
        }
    }
}

/// A stream that is open, and what is known of it.
pub(crate) struct Opened {
    pub(crate) io: Io,
    pub(crate) direction: Direction,
    /// Whose key its remote has to prove.
    pub(crate) expected: Option<PublicKey>,
    /// Where it comes from, in geth's words.
    pub(crate) flags: &'static str,
}

/// The span of all that is logged of a connection.
pub(crate) fn conn_span(id: Option<NodeId>, addr: Option<SocketAddr>, flags: &str) -> Span {
    let span = debug_span!("conn", id = Empty, addr = addr.map(display), flags);
    if let Some(id) = id {
        span.record("id", display(id));
    }
    span
}

/// Dials a node and sets the connection up.
pub(super) async fn dial(slot: Slot, node: Node, kind: DialKind) {
    let shared = Arc::clone(&slot.shared);
    let flags = match kind {
        DialKind::Static => "staticdial",
        DialKind::Anchor | DialKind::Bootstrap | DialKind::Dynamic => "dyndial",
    };
    let span = conn_span(Some(node.id()), node.tcp_addr(), flags);
    let quit = shared.quit.clone();
    async {
        match quit.run_until_cancelled(shared.dialer.dial(&node)).await {
            Some(Ok(io)) => {
                let (direction, expected) = (Direction::Outbound, Some(node.public_key()));
                // What went wrong was logged and counted on the way.
                let _ = set_up(shared, slot, Opened { io, direction, expected, flags }).await;
            }
            Some(Err(error)) => {
                trace!(%node, err = %error, "Dial error");
                slot.fail(SetupFailure::Connect);
            }
            None => slot.fail(SetupFailure::Stopped),
        }
    }
    .instrument(span)
    .await;
}

/// Runs both handshakes and both checkpoints on an open stream, and starts the peer. The whole
/// way has one deadline, which begins here.
pub(crate) async fn set_up(
    shared: Arc<Shared>,
    slot: Slot,
    opened: Opened,
) -> Result<NodeId, SetupError> {
    let now = Instant::from_std(now());
    let deadline = now.checked_add(shared.setup_timeout).unwrap_or(now);
    let quit = shared.quit.clone();
    let steps = steps(&shared, slot.id, opened, deadline);
    match quit.run_until_cancelled(steps).await.unwrap_or(Err(SetupError::Stopped)) {
        Ok((id, life)) => {
            let running = Running { shared: Arc::clone(&shared), id, end: None };
            shared.spawn(run_peer(running, life).instrument(Span::current()));
            Ok(id)
        }
        Err(error) => {
            slot.fail(error.failure());
            Err(error)
        }
    }
}

type Life = BoxFuture<'static, End>;

/// Nothing in here waits beyond the deadline.
async fn steps(
    shared: &Arc<Shared>,
    id: SetupId,
    Opened { io, direction, expected, flags }: Opened,
    deadline: Instant,
) -> Result<(NodeId, Life), SetupError> {
    let addresses = (io.local_addr(), io.remote_addr());
    let begun = now();
    let secure = match expected {
        Some(remote) if direction == Direction::Outbound => shared.transport.connect(io, remote),
        _ => shared.transport.accept(io),
    };
    let secured = timeout_at(deadline, secure).await.map_err(|_| SetupError::Deadline);
    let connection = secured
        .and_then(|result| result.map_err(SetupError::Secure))
        .inspect_err(|error| trace!(err = %error, "Failed RLPx handshake"))?;

    let secured = now();
    let took = secured.saturating_duration_since(begun);
    shared.probe.handle_handshake(direction, Stage::Secure, took);

    let remote = connection.remote();
    let node = NodeId::from(remote);
    Span::current().record("id", display(node));
    if shared.read(|state| state.core.is_trusted(node)) {
        Span::current().record("flags", format!("trusted-{flags}"));
    }
    if let Err(reason) = shared.tell(|state, now| state.core.handle_secured(now, id, remote)) {
        shared.setup_settled.notify_waiters();
        let refuse = shared.multiplexer.refuse(connection, reason);
        return Err(refused(refuse, reason, deadline).await);
    }

    let hello = shared.multiplexer.hello(connection, direction);
    let greeted = timeout_at(deadline, hello).await.map_err(|_| SetupError::Deadline);
    let negotiated =
        greeted.and_then(|result| result.map_err(SetupError::Hello)).inspect_err(|error| {
            match error {
                SetupError::Hello(HelloError::UnexpectedIdentity) => {
                    trace!(err = %error, "Wrong devp2p handshake identity");
                }
                _ => trace!(err = %error, "Failed proto handshake"),
            }
        })?;

    let took = now().saturating_duration_since(secured);
    shared.probe.handle_handshake(direction, Stage::Hello, took);

    let shared_capabilities = negotiated.shared();
    let mut waiting = negotiated;
    loop {
        let settled = shared.setup_settled.notified();
        // One call: whoever wants to disconnect the new peer finds its handle.
        let verdict = shared.tell(|state, now| {
            let hello = waiting.hello();
            match state.core.handle_hello(now, id, hello, &shared_capabilities, addresses) {
                Ok(Admission::Added(peer)) => {
                    let (control, life) = waiting.run();
                    state.controls.insert(peer, control);
                    Verdict::Added(peer, life)
                }
                Ok(Admission::Wait) => Verdict::Wait(waiting),
                Err(reason) => Verdict::Refused(waiting, reason),
            }
        });
        match verdict {
            Verdict::Added(peer, life) => return Ok((peer, life)),
            Verdict::Refused(negotiated, reason) => {
                shared.setup_settled.notify_waiters();
                return Err(refused(negotiated.refuse(reason), reason, deadline).await);
            }
            Verdict::Wait(negotiated) => waiting = negotiated,
        }
        if timeout_at(deadline, settled).await.is_err() {
            trace!(err = %SetupError::Deadline, "Rejected peer");
            return Err(SetupError::Deadline);
        }
    }
}

/// What the second checkpoint makes of a connection.
enum Verdict {
    Added(NodeId, Life),
    Refused(Box<dyn Negotiated>, DisconnectReason),
    Wait(Box<dyn Negotiated>),
}

/// Tells the remote the reason, for as long as the deadline of the set-up allows.
async fn refused(
    refuse: BoxFuture<'static, ()>,
    reason: DisconnectReason,
    deadline: Instant,
) -> SetupError {
    // Whether the remote has heard it changes nothing here.
    let _ = timeout_at(deadline, refuse).await;
    SetupError::Refused(reason)
}

/// A peer's whole life: until its connection ends, or the server's patience after a stop.
async fn run_peer(mut running: Running, life: Life) {
    let end = running.shared.kill.run_until_cancelled(life).await.unwrap_or_else(|| {
        let error = Some("did not end in time".to_owned());
        End::new(DisconnectReason::Quitting, Side::Local, error)
    });
    running.end = Some(end);
}

/// Reports a peer's end on every path: a multiplexer may panic, and a runtime may be dropped.
struct Running {
    shared: Arc<Shared>,
    id: NodeId,
    end: Option<End>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| {
            let error = Some("the peer's task was dropped or panicked".to_owned());
            End::new(DisconnectReason::Subprotocol, Side::Local, error)
        });
        if self.shared.quit.is_cancelled() {
            trace!(remaining_tasks = self.shared.tasks.len(), "<-delpeer (spindown)");
        }
        let id = self.id;
        self.shared.tell(|state, now| state.core.handle_peer_ended(now, id, end));
    }
}
