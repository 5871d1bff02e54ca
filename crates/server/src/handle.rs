//! The handle on a running server.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use devp2p_core::{Ban, BanTarget, Node, NodeId, PublicKey};
use devp2p_peer::Direction;
use tokio_util::sync::DropGuard;
use tracing::Instrument as _;

use crate::{
    BanError, Counters, DialStatus, Disconnect, Events, Io, NodeInfo, PeerInfo, PortStatus, Row,
    local::local_node,
    runtime::{Opened, SetupError, Shared, Slot, State, conn_span, lock, now, set_up, unix},
};

/// A running server. Cheap to clone; the server stops when the last clone is dropped.
///
/// All methods may be called after the stop: they return at once and do nothing.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    info: Arc<Static>,
    _stop_on_drop: Arc<DropGuard>,
}

/// What does not change while a server runs.
pub(crate) struct Static {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) listen_addr: Option<SocketAddr>,
    pub(crate) disc_addr: Option<SocketAddr>,
    pub(crate) disc_v5_addr: Option<SocketAddr>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, info: Static) -> Self {
        let guard = shared.quit.clone().drop_guard();
        Self { shared, info: Arc::new(info), _stop_on_drop: Arc::new(guard) }
    }

    /// Connects to `node` and stays connected: it is dialed again whenever it is gone.
    pub fn add_peer(&self, node: Node) {
        self.shared.tell(|state, now| state.core.add_peer(now, node));
    }

    /// Forgets a static node and disconnects it (reason 0x00). Ends when it has left
    /// [`peers`](Handle::peers).
    ///
    /// Cancel-safe: the node is forgotten and disconnected at the first poll.
    pub async fn remove_peer(&self, id: NodeId) {
        let since = |state: &State| state.core.peer(id).map(|entry| entry.added_at);
        let mut gone = Box::pin(self.shared.peer_gone.notified());
        gone.as_mut().enable();
        let removed = self.shared.tell(|state, now| {
            let removed = since(state);
            state.core.remove_peer(now, id);
            removed
        });
        // Another connection with the same node is none of ours to wait for.
        while removed.is_some() && self.shared.read(since) == removed && !self.is_stopped() {
            gone.as_mut().await;
            gone.set(self.shared.peer_gone.notified());
            gone.as_mut().enable();
        }
    }

    /// Lets `node` connect above the limits. It is not dialed for that.
    pub fn add_trusted_peer(&self, id: NodeId) {
        self.shared.tell(|state, _| state.core.add_trusted_peer(id));
    }

    /// Holds `node` to the limits again. It stays connected.
    pub fn remove_trusted_peer(&self, id: NodeId) {
        self.shared.tell(|state, _| state.core.remove_trusted_peer(id));
    }

    /// Has nothing to do with a node, or with whoever is in a network, for so long; for good where
    /// that is `None`. Who is concerned is disconnected (reason 0x00), not dialed, and refused: by
    /// address before a byte is read, by id once it has proved its key. That holds for trusted nodes
    /// and for static ones, which are dialed again when it is over.
    ///
    /// Bans are kept in the [node database](crate::NodeDb), [4,096](devp2p_core::MAX_BANS) of them.
    /// Another one of the same target replaces the first.
    ///
    /// # Errors
    /// Why nobody is banned.
    pub fn ban(
        &self,
        target: impl Into<BanTarget>,
        duration: Option<Duration>,
    ) -> Result<(), BanError> {
        let (target, unix) = (target.into(), unix().as_secs());
        self.shared.tell(|state, now| state.core.ban(now, unix, target, duration))?;
        self.remember_bans();
        Ok(())
    }

    /// Ends a ban of this target: a ban of a network has to be ended as one. Whether there was one.
    pub fn unban(&self, target: impl Into<BanTarget>) -> bool {
        let target = target.into();
        let was_banned = self.shared.tell(|state, now| state.core.unban(now, &target));
        if was_banned {
            self.remember_bans();
        }
        was_banned
    }

    /// The bans in force, in the order of their targets: ids first.
    pub fn bans(&self) -> Vec<Ban> {
        self.shared.read(|state| state.core.bans(now()))
    }

    /// What is written last is what is in force: no other list is read and written meanwhile.
    fn remember_bans(&self) {
        let _turn = lock(&self.shared.writing_bans);
        self.shared.node_db.write(Row::Bans(self.bans()));
    }

    /// The connected peers, in the order of their ids.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.shared.peer_infos()
    }

    /// One connected peer.
    pub fn peer(&self, id: NodeId) -> Option<PeerInfo> {
        self.shared.peer_info(id)
    }

    /// How many peers are connected.
    pub fn peer_count(&self) -> usize {
        self.shared.read(|state| state.core.peers().len())
    }

    /// This node, with the address that it really listens on.
    pub fn node_info(&self) -> NodeInfo {
        let enr = self.shared.record.record();
        // The record has the port of discovery v5.
        let v4_addr = self.info.disc_addr.filter(|_| self.info.disc_v5_addr.is_some());
        let v4_port = v4_addr.map(|addr| addr.port());
        let protocols = self.shared.protocols.iter();
        NodeInfo {
            id: self.info.id,
            name: self.info.name.clone(),
            listen_addr: self.info.listen_addr,
            disc_addr: self.info.disc_addr,
            disc_v5_addr: self.info.disc_v5_addr,
            enode: local_node(&enr, self.info.listen_addr, v4_port),
            enr,
            protocols: protocols
                .map(|protocol| (protocol.capability().name, protocol.node_info()))
                .collect(),
        }
    }

    /// Whether connections are accepted: not where there is no listener, nor where it has failed or
    /// the server stops.
    pub fn is_listening(&self) -> bool {
        self.shared.is_listening.load(Ordering::Relaxed)
    }

    /// The way to discovery v4, where it runs. It ends with the server.
    ///
    /// [`node_info`](Handle::node_info) shows a record only when the node database has its number.
    /// [`local_record`](devp2p_discv4::Handle::local_record) of the handle may be a moment ahead of
    /// that.
    #[cfg(feature = "discv4")]
    pub fn discv4(&self) -> Option<devp2p_discv4::Handle> {
        self.shared.discv4.clone()
    }

    /// The way to discovery v5, where it runs; with the same to be said of records.
    #[cfg(feature = "discv5")]
    pub fn discv5(&self) -> Option<devp2p_discv5::Handle> {
        self.shared.discv5.clone()
    }

    /// How it stands with the way through the NAT; `None` where no port mapper runs.
    pub fn ports(&self) -> Option<PortStatus> {
        lock(&self.shared.ports).clone()
    }

    /// What happened to connections since the start.
    pub fn counters(&self) -> Counters {
        self.shared.read(|state| state.core.counters().clone())
    }

    /// How it stands with the dials: the slots, what is under way, what became of the last ones, and
    /// why candidates were refused.
    pub fn dial_status(&self) -> DialStatus {
        let mut status = self.shared.read(|state| state.core.dial_status(now()));
        status.filtered = self.filtered_candidates();
        status
    }

    /// The ends of the last 1,000 peers that are gone, the newest first.
    pub fn disconnects(&self) -> Vec<Disconnect> {
        self.shared.read(|state| state.core.disconnects(now(), unix().as_secs()))
    }

    /// How many candidates the [`dial_filter`](crate::Config::dial_filter) has refused, each as
    /// often as it came up.
    pub fn filtered_candidates(&self) -> u64 {
        self.shared.filtered.load(Ordering::Relaxed)
    }

    /// Connections that are being set up now, in both directions, and the slot that the listener
    /// holds for the next one.
    pub fn pending(&self) -> usize {
        self.shared.read(|state| state.core.pending())
    }

    /// Events from now on.
    pub fn events(&self) -> Events {
        self.shared.subscribe().map_or_else(Events::ended, Events::new)
    }

    /// Sets up an open stream of any kind as a connection: one that we opened, where `expected`
    /// must say to whom, or one that a remote opened. The checks before a byte is read do not concern
    /// it; all others do, bans and the places of its network among them.
    ///
    /// Not cancel-safe: dropping it closes the stream, and a set-up that was under way counts as
    /// failed.
    ///
    /// # Errors
    /// Why the connection did not become a peer.
    pub async fn setup_conn(
        &self,
        io: Io,
        direction: Direction,
        expected: Option<PublicKey>,
    ) -> Result<NodeId, SetupError> {
        // The stop waits for it, as for the server's own set-ups.
        let _token = self.shared.tasks.token();
        if self.shared.quit.is_cancelled() {
            return Err(SetupError::Stopped);
        }
        if direction == Direction::Outbound && expected.is_none() {
            return Err(SetupError::MissingKey);
        }
        let id = expected.map(NodeId::from);
        let setup = self
            .shared
            .tell(|state, _| state.core.begin_setup(direction, id))
            .ok_or(SetupError::NoSlot)?;
        let slot = Slot::new(Arc::clone(&self.shared), setup);
        let flags = match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let span = conn_span(None, io.remote_addr(), flags);
        let opened = Opened { io, direction, expected, flags };
        set_up(Arc::clone(&self.shared), slot, opened).instrument(span).await
    }

    /// Stops the server: the listener and discovery, then every peer with "client quitting", then
    /// the node database. Ends when all tasks have ended, 2 s at most, the ports are free, and the
    /// database is closed, which takes it no time unless the disk is slow, and is waited for 10 s at
    /// most. Cancel-safe: the stop goes on.
    pub async fn stop(&self) {
        self.shared.quit.cancel();
        self.stopped().await;
    }

    fn is_stopped(&self) -> bool {
        *self.shared.stopped.borrow()
    }

    /// Ends when the server has stopped, for whatever reason. Cancel-safe.
    pub async fn stopped(&self) {
        // The sender is in `shared`, so there is no error.
        let _ = self.shared.stopped.subscribe().wait_for(|&stopped| stopped).await;
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.info.id)
            .field("listen_addr", &self.info.listen_addr)
            .finish_non_exhaustive()
    }
}
