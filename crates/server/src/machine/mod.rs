//! The server without the network: who may connect, who is connected, and whom to dial.
//!
//! Nothing here opens a socket, reads a clock or draws entropy. Tell [`Core`] what happened, drain
//! [`Core::poll_output`] to `None`, then wait for [`Core::poll_timeout`].

mod anchors;
mod bans;
mod checks;
mod commands;
mod config;
mod mix;
mod offered;
mod past;
mod peers;
mod setups;
mod state;
mod throttle;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::{Node, NodeId, Prefix, PublicKey, Rng};
use devp2p_dial::{DialKind, Input, Outcome, Refusal};
use devp2p_peer::{Capability, Direction, DisconnectReason, End, Hello, Side};
use tracing::{debug, field::display, info, trace};

use self::{
    anchors::Anchors,
    bans::Bans,
    checks::{Applicant, Occupancy, check, is_useless},
    past::{Dials, Ends},
    setups::{Dial, Rival, Setup, Setups},
    throttle::InboundThrottle,
};
pub use self::{
    bans::BanError,
    config::CoreConfig,
    mix::Mix,
    offered::Offered,
    peers::{Counters, DirectionCounters, PeerEntry},
    setups::{SetupFailure, SetupId},
    throttle::{InboundLimits, Unwelcome},
};
use crate::{DialOutcome, DialScheduler, PeerDrop};

/// What the driver has to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Open a stream to the node and set the connection up.
    Dial {
        /// The set-up to report on.
        setup: SetupId,
        /// The node.
        node: Node,
        /// Why it is dialed.
        kind: DialKind,
    },
    /// Look the node's address up, and answer with [`Core::handle_resolved`].
    Resolve {
        /// The node.
        node: Node,
    },
    /// Disconnect a peer.
    Disconnect {
        /// The peer.
        id: NodeId,
        /// The reason to give it.
        reason: DisconnectReason,
    },
    /// A peer was added; its subprotocols have not started.
    Added {
        /// The peer.
        id: NodeId,
    },
    /// A peer is gone, from the peers too.
    Dropped(PeerDrop),
}

/// What the second checkpoint says to a connection that it does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is a peer.
    Added(NodeId),
    /// Another connection with the same node goes before it, and is not a peer yet. Ask again when
    /// a set-up has ended or was refused.
    Wait,
}

/// The state machine of the server: admission, slots, throttles, peers, and the dial scheduler
/// that it feeds.
///
/// A connection's way through it: [`take_slot`](Core::take_slot) and
/// [`handle_accepted`](Core::handle_accepted), or an [`Output::Dial`]; then
/// [`handle_secured`](Core::handle_secured), the first checkpoint, and
/// [`handle_hello`](Core::handle_hello), the second, which makes it a peer until
/// [`handle_peer_ended`](Core::handle_peer_ended). On any other way out
/// [`handle_setup_ended`](Core::handle_setup_ended) gives the slot back.
pub struct Core {
    config: CoreConfig,
    scheduler: Box<dyn DialScheduler>,
    throttle: InboundThrottle,
    setups: Setups,
    /// Bounded by `max_peers` and the number of trusted ids.
    peers: BTreeMap<NodeId, PeerEntry>,
    anchors: Anchors,
    bans: Bans,
    /// Orders to dial banned nodes, which the scheduler has to hear of.
    banned_dials: Vec<Dial>,
    dials: Dials,
    ends: Ends,
    /// Drained by the driver after every call.
    outputs: VecDeque<Output>,
    counters: Counters,
    stopped: bool,
}

impl Core {
    /// A machine without peers. `seed` feeds the keys of its hash tables.
    pub fn new(mut config: CoreConfig, scheduler: Box<dyn DialScheduler>, seed: [u8; 32]) -> Self {
        let mut core = Self {
            throttle: InboundThrottle::new(config.inbound.clone(), &mut Rng::from_seed(seed)),
            setups: Setups::new(config.max_pending_peers),
            anchors: Anchors::new(std::mem::take(&mut config.anchors)),
            bans: Bans::default(),
            banned_dials: Vec::new(),
            dials: Dials::default(),
            ends: Ends::default(),
            config,
            scheduler,
            peers: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            stopped: false,
        };
        // It may know already whom to dial.
        core.take_orders();
        core
    }

    // Listening and handed-in streams.

    /// Whether [`take_slot`](Core::take_slot) would give one.
    pub fn has_free_slot(&self) -> bool {
        !self.stopped && self.setups.has_free_slot(Direction::Inbound)
    }

    /// Takes a slot for the next inbound connection, before it is accepted.
    pub fn take_slot(&mut self) -> Option<SetupId> {
        self.begin_setup(Direction::Inbound, None)
    }

    /// Begins the set-up of an open stream, in a slot of its direction. `None` when all are taken,
    /// or after the stop.
    pub fn begin_setup(
        &mut self,
        direction: Direction,
        expected: Option<NodeId>,
    ) -> Option<SetupId> {
        if self.stopped {
            return None;
        }
        self.setups.insert(Setup::new(direction, expected))
    }

    /// An inbound stream was accepted into a slot.
    ///
    /// # Errors
    /// Why it is closed at once. The slot is still held; see
    /// [`handle_setup_ended`](Core::handle_setup_ended).
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        id: SetupId,
        remote: Option<SocketAddr>,
    ) -> Result<(), Unwelcome> {
        self.bans.expire(now);
        if let Some(setup) = self.setups.get_mut(id) {
            setup.remote_ip = remote.map(|address| address.ip());
        }
        let verdict = match remote {
            _ if self.stopped => Err(Unwelcome::Stopped),
            Some(address) if self.bans.concern_ip(address.ip()) => Err(Unwelcome::Banned),
            Some(address) => self.throttle.check(now, address.ip()),
            None => Ok(()),
        };
        match verdict {
            Ok(()) => self.counters.accepted = self.counters.accepted.saturating_add(1),
            Err(why) => self.counters.count_unwelcome(why),
        }
        verdict
    }

    /// Accepting failed; the listener backs off.
    pub fn handle_accept_error(&mut self) {
        self.counters.accept_errors = self.counters.accept_errors.saturating_add(1);
    }

    // The set-up.

    /// The first checkpoint: the remote has proved its key.
    ///
    /// # Errors
    /// The reason to refuse it with.
    pub fn handle_secured(
        &mut self,
        now: Instant,
        id: SetupId,
        remote: PublicKey,
    ) -> Result<(), DisconnectReason> {
        self.bans.expire(now);
        let Some(setup) = self.setups.get_mut(id) else {
            return Err(DisconnectReason::Quitting);
        };
        setup.remote = Some(remote);
        let (direction, expected) = (setup.direction, setup.expected);
        let node = NodeId::from(remote);
        let verdict = match expected {
            Some(want) if want != node => Err(DisconnectReason::UnexpectedIdentity),
            // Our Hello is not out: the remote cannot have admitted this connection.
            _ => self.check(id, remote).and_then(|()| match self.rival(id, remote) {
                Some(_) => Err(DisconnectReason::AlreadyConnected),
                None => Ok(()),
            }),
        };
        match verdict {
            Ok(()) if direction == Direction::Inbound => {
                if let Some(setup) = self.setups.get_mut(id) {
                    setup.announced = true;
                }
                self.tell_scheduler(now, Input::PendingInbound { id: node });
            }
            Ok(()) => {}
            Err(reason) => {
                match expected {
                    Some(want) if want != node => trace!(%want, "Dialed identity mismatch"),
                    _ => trace!(err = %reason, "Rejected peer before protocol handshake"),
                }
                self.refuse(now, id, reason);
            }
        }
        verdict
    }

    /// The second checkpoint: the remote's Hello is known. Where it passes, the connection is a
    /// peer from here on, and the set-up is over.
    ///
    /// Where both nodes dialed, the connection that the node with the smaller id dialed goes
    /// first. The other one waits rather than be refused: the remote, which has our Hello, may
    /// have admitted it before it knew of the first, and refuses the first then.
    ///
    /// # Errors
    /// The reason to refuse it with.
    pub fn handle_hello(
        &mut self,
        now: Instant,
        id: SetupId,
        hello: &Hello,
        shared: &[Capability],
        (local_addr, remote_addr): (Option<SocketAddr>, Option<SocketAddr>),
    ) -> Result<Admission, DisconnectReason> {
        self.bans.expire(now);
        let setup = self.setups.get_mut(id).ok_or(DisconnectReason::Quitting)?;
        let remote = setup.remote.ok_or(DisconnectReason::Quitting)?;
        // Of a stream that was handed in, it was not known before.
        setup.remote_ip = setup.remote_ip.or_else(|| remote_addr.map(|address| address.ip()));
        let is_address_banned = remote_addr.is_some_and(|it| self.bans.concern_ip(it.ip()));
        let verdict = if self.config.has_protocols && shared.is_empty() {
            Err(DisconnectReason::UselessPeer)
        } else if is_address_banned {
            Err(DisconnectReason::Requested)
        } else {
            self.check(id, remote).and_then(|()| match self.rival(id, remote) {
                Some(Rival::Earlier) => Err(DisconnectReason::AlreadyConnected),
                rival => Ok(rival),
            })
        };
        match verdict {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(Admission::Wait),
            Err(reason) => {
                trace!(err = %reason, "Rejected peer");
                self.refuse(now, id, reason);
                return Err(reason);
            }
        }
        let setup = self.setups.remove(id).ok_or(DisconnectReason::Quitting)?;
        let node = NodeId::from(remote);
        let entry = PeerEntry {
            public_key: remote,
            name: hello.name.clone(),
            capabilities: hello.capabilities.clone(),
            shared: shared.to_vec(),
            direction: setup.direction,
            dialed_as: setup.dial.as_ref().map(|dial| dial.kind),
            node: setup.dial.as_ref().map(|dial| dial.node.clone()),
            trusted: self.config.trusted.contains(&node),
            added_at: now,
            local_addr,
            remote_addr,
            prefix: self.limited_prefix(&setup),
        };
        self.counters.count_added(setup.direction);
        let (addr, peers) = (remote_addr.map(display), self.peers.len() + 1);
        // As a text and not as it is displayed: what a remote says is shown in quotes, with escapes.
        let name = entry.name.as_str();
        debug!(id = %node, name, addr, peers, "Adding p2p peer");
        self.tell_scheduler(
            now,
            Input::PeerAdded {
                id: node,
                dialed: setup.direction == Direction::Outbound,
                kind: entry.dialed_as,
                remote_addr,
            },
        );
        self.peers.insert(node, entry);
        self.anchors.dialed(node, false);
        if let Some(dial) = &setup.dial {
            self.dials.note(now, &dial.node, dial.kind, DialOutcome::Added);
        }
        self.outputs.push_back(Output::Added { id: node });
        self.conclude(now, &setup, Outcome::Added);
        Ok(Admission::Added(node))
    }

    /// A set-up ended without a peer; its slot is free again. Does nothing for one that is over.
    pub fn handle_setup_ended(&mut self, now: Instant, id: SetupId, failure: SetupFailure) {
        let Some(setup) = self.setups.remove(id) else { return };
        self.counters.count_failure(setup.direction, failure);
        let outcome = setup.outcome(failure);
        if let Some(dial) = &setup.dial {
            match outcome {
                Outcome::Useless => self.anchors.disprove(dial.node.id()),
                _ => self.anchors.dialed(dial.node.id(), true),
            }
            let became = setup.refused.map_or(DialOutcome::Failed(failure), DialOutcome::Refused);
            self.dials.note(now, &dial.node, dial.kind, became);
        }
        self.conclude(now, &setup, outcome);
    }

    /// A peer's life is over.
    pub fn handle_peer_ended(&mut self, now: Instant, id: NodeId, end: End) {
        let Some(entry) = self.peers.remove(&id) else { return };
        let duration = now.saturating_duration_since(entry.added_at);
        // geth's `req`: the remote asked for it, with a Disconnect.
        let req = end.side == Side::Remote && end.reason != DisconnectReason::NetworkError;
        debug!(
            %id, ?duration, peers = self.peers.len(), req, err = %end.reason, "Removing p2p peer"
        );
        self.counters.count_dropped(entry.direction, duration);
        // A foreign remote that admitted another connection, one that we refused, says so here.
        let collided = entry.dialed_as.is_some()
            && end.side == Side::Remote
            && end.reason == DisconnectReason::AlreadyConnected;
        let gone = if collided {
            Input::PeerCollided { id }
        } else if is_useless(&end, duration) {
            self.anchors.disprove(id);
            Input::PeerUseless { id }
        } else {
            Input::PeerRemoved { id }
        };
        let (reason, side) = (end.reason, end.side);
        if let (Some(node), Some(kind)) = (&entry.node, entry.dialed_as) {
            self.dials.note(now, node, kind, DialOutcome::Ended { reason, side });
        }
        self.tell_scheduler(now, gone);
        let direction = entry.direction;
        let drop = PeerDrop { id, direction, duration, reason, side, error: end.error };
        self.ends.note(now, entry, &drop, self.scheduler.is_static(id));
        self.outputs.push_back(Output::Dropped(drop));
    }

    // Candidates, and what the scheduler asked for.

    /// A candidate from discovery.
    ///
    /// # Errors
    /// Why it is not dialed now.
    pub fn handle_candidate(&mut self, now: Instant, node: Node) -> Result<(), Refusal> {
        self.bans.expire(now);
        let verdict = if self.bans.concern_node(&node) {
            Err(Refusal::Banned)
        } else {
            self.scheduler.handle_candidate(now, node)
        };
        if let Err(refusal) = &verdict {
            self.counters.count_candidate(refusal.cause());
        }
        self.drain_scheduler(now);
        verdict
    }

    /// The answer to an [`Output::Resolve`].
    pub fn handle_resolved(&mut self, now: Instant, id: NodeId, result: Option<Node>) {
        self.tell_scheduler(now, Input::Resolved { id, result });
    }

    /// Stops: nothing is dialed or admitted any more, and every peer is told "client quitting".
    pub fn stop(&mut self, now: Instant) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        trace!("P2P networking is spinning down");
        self.tell_scheduler(now, Input::Stop);
        // What was still to be dialed or resolved is not any more.
        self.outputs
            .retain(|output| matches!(output, Output::Added { .. } | Output::Dropped { .. }));
        let reason = DisconnectReason::Quitting;
        self.outputs.extend(self.peers.keys().map(|&id| Output::Disconnect { id, reason }));
    }

    // Time and outputs.

    /// The time of [`poll_timeout`](Core::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bans.expire(now);
        self.scheduler.handle_timeout(now);
        self.drain_scheduler(now);
    }

    /// When to call [`handle_timeout`](Core::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped { None } else { self.scheduler.poll_timeout() }
    }

    /// What to do next; drained to `None` after every call that changes something.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    // Helpers.

    fn check(&mut self, id: SetupId, remote: PublicKey) -> Result<(), DisconnectReason> {
        let Some(setup) = self.setups.get(id) else { return Err(DisconnectReason::Quitting) };
        if self.stopped {
            return Err(DisconnectReason::Quitting);
        }
        if setup.unwanted {
            return Err(DisconnectReason::Requested);
        }
        let node = NodeId::from(remote);
        let is_dial_banned = setup.dial.as_ref().is_some_and(|it| self.bans.concern_node(&it.node));
        if is_dial_banned || self.bans.concern(node, setup.remote_ip) {
            return Err(DisconnectReason::Requested);
        }
        // The trusted flag first: it decides what the other checks mean.
        let trusted = self.config.trusted.contains(&node);
        let public = self.peers.values().filter(|peer| !peer.trusted);
        let public_inbound =
            public.clone().filter(|peer| peer.direction == Direction::Inbound).count();
        check(
            Applicant { id: node, direction: setup.direction, trusted },
            Occupancy {
                local: self.config.local,
                max_peers: self.config.max_peers,
                max_inbound: self.config.max_inbound,
                public: public.count(),
                public_inbound,
                already_connected: self.peers.contains_key(&node),
            },
        )?;
        let prefix = self.limited_prefix(setup);
        if !trusted && self.is_prefix_full(prefix) {
            self.counters.count_prefix_full();
            return Err(DisconnectReason::TooManyPeers);
        }
        Ok(())
    }

    /// The network of which a connection takes an inbound place.
    fn limited_prefix(&self, setup: &Setup) -> Option<Prefix> {
        let ip = setup.remote_ip.filter(|_| setup.direction == Direction::Inbound)?;
        self.throttle.prefix(ip)
    }

    /// Whether this network has as many inbound peers as it may have.
    fn is_prefix_full(&self, prefix: Option<Prefix>) -> bool {
        let Some(prefix) = prefix else { return false };
        let others = self.peers.values().filter(|it| !it.trusted && it.prefix == Some(prefix));
        self.throttle.is_full(others.count())
    }

    fn rival(&self, id: SetupId, remote: PublicKey) -> Option<Rival> {
        self.setups.rival(self.config.local, id, remote)
    }

    fn refuse(&mut self, now: Instant, id: SetupId, reason: DisconnectReason) {
        let Some(setup) = self.setups.get_mut(id) else { return };
        self.counters.count_refusal(setup.direction, reason);
        let is_useless =
            matches!(reason, DisconnectReason::UselessPeer | DisconnectReason::UnexpectedIdentity);
        if let (true, Some(dial)) = (is_useless, &setup.dial) {
            self.anchors.disprove(dial.node.id());
        }
        setup.refused = Some(reason);
        if let (Some(_), Some(id)) = (&setup.dial, setup.expected) {
            self.tell_scheduler(now, Input::Refused { id });
        }
    }

    /// Tells the scheduler that a set-up is over, last of all: it relies on having heard before
    /// whether the peer was added.
    fn conclude(&mut self, now: Instant, setup: &Setup, outcome: Outcome) {
        if let (true, Some(remote)) = (setup.announced, setup.remote) {
            self.tell_scheduler(now, Input::PendingInboundDone { id: remote.into() });
        }
        if let Some(dial) = &setup.dial {
            trace!(?outcome, "Dial task done");
            self.tell_scheduler(now, Input::DialDone { dial: dial.id, outcome });
        }
    }

    fn tell_scheduler(&mut self, now: Instant, input: Input) {
        self.scheduler.handle_input(now, input);
        self.drain_scheduler(now);
    }

    /// Does what the scheduler wants done.
    fn drain_scheduler(&mut self, now: Instant) {
        self.take_orders();
        for dial in std::mem::take(&mut self.banned_dials) {
            self.counters.count_failure(Direction::Outbound, SetupFailure::Banned);
            let outcome = DialOutcome::Failed(SetupFailure::Banned);
            self.dials.note(now, &dial.node, dial.kind, outcome);
            let done = Input::DialDone { dial: dial.id, outcome: Outcome::Refused };
            self.scheduler.handle_input(now, done);
        }
        // It may dial others in their place. One that dials the same again has to wait for the next
        // call, or this would not end.
        self.take_orders();
    }

    fn take_orders(&mut self) {
        while let Some(output) = self.scheduler.poll_output() {
            match output {
                // Breaks the scheduler's contract; nobody would do it any more.
                _ if self.stopped => {}
                devp2p_dial::Output::Dial { dial: id, node, kind }
                    if self.bans.concern_node(&node) =>
                {
                    self.banned_dials.push(Dial { id, kind, node });
                }
                devp2p_dial::Output::Dial { dial, node, kind } => {
                    let setup = Setup::dial(Dial { id: dial, kind, node: node.clone() });
                    // Outbound set-ups need no slot: the scheduler limits them.
                    if let Some(setup) = self.setups.insert(setup) {
                        trace!(%node, ?kind, "New dial task");
                        self.counters.count_dial();
                        self.outputs.push_back(Output::Dial { setup, node, kind });
                    }
                }
                devp2p_dial::Output::Resolve { node } => {
                    self.outputs.push_back(Output::Resolve { node });
                }
                devp2p_dial::Output::Refused { id, refusal } => {
                    trace!(%id, err = %refusal, "Not dialing");
                }
                devp2p_dial::Output::Stats(stats) => info!(
                    peercount = stats.peers,
                    tried = stats.tried,
                    r#static = stats.statics,
                    "Looking for peers"
                ),
                _ => {}
            }
        }
    }
}
