mod checks;
mod search;
mod status;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::{Node, NodeId, Rng};

use crate::{
    Config, DialId, DialKind, Input, Outcome, Output, Refusal,
    attempts::{Attempt, Attempts, Stage},
    backoff::{Failing, MAX_FAILING, MAX_USELESS},
    deadlines::{Deadlines, after},
    networks::Networks,
    peers::{Peer, Peers},
    target::{Step, Target},
};

/// How many static nodes there can be. A list of thousands is a test network; beyond this it is a
/// mistake.
const MAX_STATIC_NODES: usize = 16_384;

/// How many bootnodes are kept; networks name about a dozen. While there is no peer all of them
/// are looked at on each event.
const MAX_BOOTNODES: usize = 64;

/// How many anchors are dialed at the start. Few, and no more than every other slot has one, so that
/// they leave slots for new nodes: peers of a former run may have been chosen for us, too.
pub const MAX_ANCHORS: usize = 4;

/// How often an anchor is dialed in vain before it is forgotten.
const ANCHOR_DIALS: u32 = 2;

/// How many recent dials are remembered before dynamic dials pause: far above what
/// 16 dials at once come to in 35 s, unless all of them fail at once.
const MAX_HISTORY: usize = 16_384;

/// How many inbound set-ups are kept track of; a server runs 50 at once.
const MAX_PENDING_INBOUND: usize = 4_096;

/// How many outputs may wait before those that are only for the log are dropped.
const MAX_WAITING_OUTPUTS: usize = 1_024;

/// With this many dialed peers we no longer say that we are looking for some (as go-ethereum).
const FEW_PEERS: usize = 3;

/// Decides whom to dial next.
///
/// Feed it with [`handle_input`](Self::handle_input), [`handle_candidate`](Self::handle_candidate)
/// and [`handle_timeout`](Self::handle_timeout). After its construction and after any of these,
/// drain [`poll_output`](Self::poll_output) to `None`, pull [`wanted_candidates`] nodes from
/// discovery, and wait for [`poll_timeout`](Self::poll_timeout).
///
/// [`wanted_candidates`]: Self::wanted_candidates
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    rng: Rng,
    stopped: bool,
    peers: Peers,
    networks: Networks,
    /// Nodes that are dialing us, and until when that holds.
    inbound: Deadlines,
    attempts: Attempts,
    /// Static nodes, bootnodes, and nodes with an attempt or in `held`.
    targets: BTreeMap<NodeId, Target>,
    statics: usize,
    /// In the order of their turns.
    bootnodes: VecDeque<NodeId>,
    /// Nodes that are not static, and are dialed again: their dial collided, or they are anchors.
    /// Each keeps its slot, so there are at most [`Config::max_dialed`].
    held: BTreeMap<NodeId, DialKind>,
    /// When static nodes and those in `held` are due. Of those that are due at once, one at random
    /// goes first; else the one that has waited longest, so that none starves.
    queue: Deadlines,
    /// Nodes that were dialed, of any kind, and until when that is recent.
    history: Deadlines,
    /// Dynamic nodes whose dials failed.
    failing: Failing,
    /// Nodes that were of no use when they were dialed.
    useless: Failing,
    /// When to look for a bootnode to dial again.
    bootstrap_at: Option<Instant>,
    tried: usize,
    stats_at: Instant,
    outputs: VecDeque<Output>,
}

impl Scheduler {
    /// A scheduler that starts at `now`. With one seed and one input it makes the same choices.
    pub fn new(mut config: Config, seed: [u8; 32], now: Instant) -> Self {
        let static_nodes = std::mem::take(&mut config.static_nodes);
        let bootnodes = std::mem::take(&mut config.bootnodes);
        let anchors = std::mem::take(&mut config.anchors);
        let stats_at = after(now, config.stats_interval);
        let mut scheduler = Self {
            networks: Networks::new(&config),
            config,
            rng: Rng::from_seed(seed),
            stopped: false,
            peers: Peers::new(now),
            inbound: Deadlines::default(),
            attempts: Attempts::default(),
            targets: BTreeMap::new(),
            statics: 0,
            bootnodes: VecDeque::new(),
            held: BTreeMap::new(),
            queue: Deadlines::default(),
            history: Deadlines::default(),
            failing: Failing::new(MAX_FAILING),
            useless: Failing::new(MAX_USELESS),
            bootstrap_at: None,
            tried: 0,
            stats_at,
            outputs: VecDeque::new(),
        };
        for node in bootnodes {
            scheduler.add_bootnode(node);
        }
        for node in static_nodes {
            scheduler.add_static(now, node);
        }
        for node in anchors {
            scheduler.add_anchor(now, node);
        }
        scheduler.advance(now);
        scheduler
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::PeerAdded { id, dialed, kind, remote_addr } => {
                if let Some(addr) = remote_addr {
                    self.networks.settle(id, addr.ip());
                }
                self.peer_added(now, id, dialed, kind);
            }
            Input::PeerRemoved { id } => self.peer_removed(now, id, false),
            Input::PeerUseless { id } => self.peer_removed(now, id, true),
            Input::PeerCollided { id } => self.peer_collided(now, id),
            Input::Refused { id } => self.settle_dial(id, Outcome::Refused),
            Input::PendingInbound { id } => self.pending_inbound(now, id),
            Input::PendingInboundDone { id } => {
                self.inbound.remove(id);
                self.requeue(now, id);
            }
            Input::DialDone { dial, outcome } => self.dial_done(now, dial, outcome),
            Input::Resolved { id, result } => {
                if let Some(attempt) = self.attempts.take_search(id) {
                    self.search_answered(now, &attempt, result);
                }
            }
            Input::AddStatic(node) => self.add_static(now, node),
            Input::RemoveStatic(id) => self.remove_static(now, id),
            Input::Stop => return self.stop(),
        }
        self.advance(now);
    }

    /// A candidate from discovery. It is dialed now or not at all.
    ///
    /// # Errors
    /// Why it is not dialed.
    pub fn handle_candidate(&mut self, now: Instant, node: Node) -> Result<(), Refusal> {
        self.advance(now);
        if let Some(refusal) = self.candidate_refusal(now, &node) {
            return Err(refusal);
        }
        let id = node.id();
        if node.tcp_addrs().is_empty() {
            self.targets.entry(id).or_insert_with(|| Target::new(node));
            self.begin(now, id, DialKind::Dynamic);
        } else {
            self.targets.entry(id).or_insert_with(|| Target::new(node.clone()));
            self.dial(now, DialKind::Dynamic, &node, false);
        }
        Ok(())
    }

    /// How many more candidates are wanted now: as many as there are free slots for dynamic dials.
    pub fn wanted_candidates(&self) -> usize {
        let pause = self.stopped || !self.config.dynamic || self.history.len() >= MAX_HISTORY;
        if pause { 0 } else { self.free_slots() }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let due = self.queue.first().filter(|_| self.may_begin());
        let search = self.attempts.next_deadline();
        let pause = self.history.first().filter(|_| self.history.len() >= MAX_HISTORY);
        let stats = Some(self.stats_at).filter(|_| self.looking_for_peers());
        [due, search, self.bootstrap_at, pause, stats].into_iter().flatten().min()
    }

    /// Whether the node is in the static list.
    pub fn is_static(&self, id: NodeId) -> bool {
        self.targets.get(&id).is_some_and(|target| target.is_static)
    }

    /// Why the node would not be dialed at `now`, whether it is a static node or a candidate.
    pub fn why_not(&self, now: Instant, node: &Node) -> Option<Refusal> {
        if self.stopped {
            return Some(Refusal::Stopped);
        }
        match self.targets.get(&node.id()).filter(|target| target.is_static) {
            None => self.candidate_refusal(now, node),
            Some(target) => self
                .target_refusal(now, target)
                .or_else(|| (!self.may_begin()).then_some(Refusal::NoSlot)),
        }
    }
}

/// What the inputs do.
impl Scheduler {
    fn peer_added(&mut self, now: Instant, id: NodeId, dialed: bool, kind: Option<DialKind>) {
        self.peers.add(id, Peer { dialed, kind, since: now });
        self.held.remove(&id);
        // It came to us while we searched for it.
        self.attempts.take_search(id);
        self.settle_dial(id, Outcome::Added);
        if let Some(target) = self.targets.get_mut(&id) {
            target.succeeded();
        }
        self.requeue(now, id);
    }

    fn peer_removed(&mut self, now: Instant, id: NodeId, is_useless: bool) {
        let Some(peer) = self.peers.remove(now, id) else { return };
        // A node without room for us often says so only after its Hello.
        let short = now.saturating_duration_since(peer.since) < self.config.history;
        if !is_useless && !short {
            self.failing.forget(id);
            self.useless.forget(id);
        } else if matches!(peer.kind, Some(kind) if kind != DialKind::Static) && !self.is_static(id)
        {
            if is_useless { self.record_useless(now, id) } else { self.record_failure(now, id) }
        }
        if let Some(target) = self.targets.get_mut(&id) {
            target.parted();
        }
        self.requeue(now, id);
    }

    /// As after a dial that collided, for a node to stay connected to. Others may be offered again.
    fn peer_collided(&mut self, now: Instant, id: NodeId) {
        if self.peers.remove(now, id).is_none() {
            return;
        }
        if let Some(target) = self.targets.get_mut(&id).filter(|target| target.is_static)
            && target.collided(now, &self.config, &mut self.rng)
        {
            self.history.remove(id);
        }
        self.requeue(now, id);
    }

    fn settle_dial(&mut self, id: NodeId, outcome: Outcome) {
        if let Some(attempt) = self.attempts.get_mut(id)
            && matches!(attempt.stage, Stage::Dialing(_))
        {
            attempt.settled = Some(outcome);
        }
    }

    fn pending_inbound(&mut self, now: Instant, id: NodeId) {
        if self.inbound.len() < MAX_PENDING_INBOUND || self.inbound.get(id).is_some() {
            self.inbound.set(id, after(now, self.config.pending_inbound_timeout), 0);
            self.requeue(now, id);
        }
    }

    fn dial_done(&mut self, now: Instant, dial: DialId, outcome: Outcome) {
        let Some(attempt) = self.attempts.take_dial(dial) else { return };
        self.tried = self.tried.saturating_add(1);
        let outcome = match (attempt.settled, outcome) {
            (_, Outcome::Collided) => Outcome::Collided,
            (Some(Outcome::Refused), Outcome::Useless) => Outcome::Useless,
            (settled, outcome) => settled.unwrap_or(outcome),
        };
        let id = attempt.node.id();
        let renew = outcome == Outcome::ConnectFailed
            && !attempt.renewed
            && !self.peers.contains(id)
            && self.targets.get(&id).is_some_and(|target| target.wants_renewal(now, &self.config));
        if renew {
            self.outputs.push_back(Output::Resolve { node: attempt.node.clone() });
            self.attempts.renew(attempt, after(now, self.config.resolve_timeout));
        } else {
            self.attempt_ended(now, &attempt, outcome);
        }
    }

    fn add_bootnode(&mut self, node: Node) {
        let id = node.id();
        if self.bootnodes.len() >= MAX_BOOTNODES {
            return self.tell_refusal(id, Refusal::ListFull);
        }
        if !self.bootnodes.contains(&id) {
            self.bootnodes.push_back(id);
            let mut target = Target::new(node);
            target.is_bootnode = true;
            self.targets.insert(id, target);
        }
    }

    /// An anchor waits for its dial in a slot of its own, like a node to be dialed once more.
    fn add_anchor(&mut self, now: Instant, node: Node) {
        let id = node.id();
        let half = (self.config.max_dialed / 2).max(1);
        let most = MAX_ANCHORS.min(half).min(self.config.max_dialed);
        if !self.config.dynamic || self.held.len() >= most || self.is_static(id) {
            return;
        }
        self.targets.entry(id).or_insert_with(|| Target::new(node));
        // In their order, and before the static nodes, whose places among equals are random.
        self.queue.set(id, now, u64::try_from(self.held.len()).unwrap_or(u64::MAX));
        self.held.insert(id, DialKind::Anchor);
    }

    fn add_static(&mut self, now: Instant, node: Node) {
        let id = node.id();
        if !self.is_static(id) && self.statics >= MAX_STATIC_NODES {
            return self.tell_refusal(id, Refusal::ListFull);
        }
        let target = self.targets.entry(id).or_insert_with(|| Target::new(node.clone()));
        if !target.is_static {
            target.is_static = true;
            self.statics = self.statics.saturating_add(1);
        }
        if target.set_node(node) {
            // The search under way is for the old address.
            self.attempts.take_search(id);
        }
        self.held.remove(&id);
        self.failing.forget(id);
        self.useless.forget(id);
        self.networks.leave(id);
        self.requeue(now, id);
        let target = self.targets.get(&id);
        if let Some(refusal) = target.and_then(|target| self.target_refusal(now, target)) {
            self.tell_refusal(id, refusal);
        }
    }

    fn remove_static(&mut self, now: Instant, id: NodeId) {
        let Some(target) = self.targets.get_mut(&id).filter(|target| target.is_static) else {
            return;
        };
        target.is_static = false;
        target.succeeded();
        target.parted();
        self.statics = self.statics.saturating_sub(1);
        self.history.remove(id);
        self.failing.forget(id);
        self.useless.forget(id);
        self.attempts.take_search(id);
        self.requeue(now, id);
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.outputs.clear();
        self.queue = Deadlines::default();
    }
}

/// What goes on by itself.
impl Scheduler {
    /// Catches up with the time, then begins what may begin: static nodes first, then a bootnode;
    /// the slots that are left are for candidates.
    fn advance(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        while self.inbound.pop_due(now).is_some() {}
        while self.history.pop_due(now).is_some() {}
        while let Some(attempt) = self.attempts.pop_overdue(now) {
            self.search_answered(now, &attempt, None);
        }
        while self.may_begin()
            && let Some(id) = self.queue.pop_due(now)
        {
            self.begin_due(now, id);
        }
        self.begin_bootnode(now);
        self.tell_stats(now);
    }

    fn begin_due(&mut self, now: Instant, id: NodeId) {
        let Some(target) = self.targets.get(&id) else { return };
        if target.is_static {
            match self.target_refusal(now, target) {
                None => self.begin(now, id, DialKind::Static),
                Some(_) => self.requeue(now, id),
            }
        } else if let Some(kind) = self.held.remove(&id) {
            let refusal = self
                .node_refusal(now, target.node(), true)
                .or_else(|| self.network_refusal(target.node(), kind))
                .or_else(|| (self.free_slots() == 0).then_some(Refusal::NoSlot));
            match refusal {
                None => return self.begin(now, id, kind),
                Some(Refusal::PendingInbound) => drop(self.held.insert(id, kind)),
                Some(refusal) => self.tell_refusal(id, refusal),
            }
            self.requeue(now, id);
        }
    }

    fn begin_bootnode(&mut self, now: Instant) {
        self.bootstrap_at = None;
        let Some(since) = self.peers.alone_since() else { return };
        let busy = self.attempts.any(DialKind::Bootstrap) || self.wanted_candidates() == 0;
        if busy || self.bootnodes.is_empty() {
            return;
        }
        let first = after(since, self.config.bootstrap_after);
        if first > now {
            self.bootstrap_at = Some(first);
            return;
        }
        for _ in 0..self.bootnodes.len() {
            self.bootnodes.rotate_left(1);
            let Some(&id) = self.bootnodes.back() else { return };
            let Some(target) = self.targets.get(&id) else { continue };
            if target.is_static || self.held.contains_key(&id) {
                continue;
            }
            let Some(refusal) = self.target_refusal(now, target) else {
                return self.begin(now, id, DialKind::Bootstrap);
            };
            let next = self.ends(id, refusal);
            self.bootstrap_at = [self.bootstrap_at, next].into_iter().flatten().min();
        }
    }

    fn tell_stats(&mut self, now: Instant) {
        if now < self.stats_at {
            return;
        }
        if self.looking_for_peers() {
            let stats = self.stats();
            self.tell(Output::Stats(stats));
        }
        self.tried = 0;
        self.stats_at = after(now, self.config.stats_interval);
    }

    /// Begins an attempt that nothing speaks against.
    fn begin(&mut self, now: Instant, id: NodeId, kind: DialKind) {
        match self.targets.get(&id).map(|target| target.step(now, &self.config)) {
            Some(Step::Dial(node)) => self.dial(now, kind, &node, false),
            Some(Step::Search(node)) => {
                let deadline = after(now, self.config.resolve_timeout);
                self.attempts.search(now, kind, node.clone(), deadline);
                self.outputs.push_back(Output::Resolve { node });
            }
            Some(Step::Wait(_)) | None => self.requeue(now, id),
        }
    }

    fn dial(&mut self, now: Instant, kind: DialKind, node: &Node, renewed: bool) {
        let Ok(node) = self.allowed(node, kind) else { return };
        if kind.is_our_choice() {
            self.networks.enter(node.id(), node.tcp_addrs().iter().map(SocketAddr::ip));
        }
        self.history.set(node.id(), after(now, self.config.history), 0);
        let dial = self.attempts.dial(now, kind, node.clone(), renewed);
        self.outputs.push_back(Output::Dial { dial, node, kind });
    }

    fn attempt_ended(&mut self, now: Instant, attempt: &Attempt, outcome: Outcome) {
        let id = attempt.node.id();
        let Some(target) = self.targets.get_mut(&id) else { return };
        let again = match outcome {
            Outcome::Added => return self.requeue(now, id),
            Outcome::Collided => target.collided(now, &self.config, &mut self.rng),
            _ => false,
        };
        if again {
            self.history.remove(id);
            if !target.is_static && attempt.kind != DialKind::Static && !self.peers.contains(id) {
                self.held.insert(id, attempt.kind);
            }
        } else {
            target.failed(attempt.started, &self.config);
            let is_useless = outcome == Outcome::Useless;
            let again = attempt.kind == DialKind::Anchor && target.failures() < ANCHOR_DIALS;
            if target.is_static || attempt.kind == DialKind::Static {
                // It waits as a target.
            } else if is_useless {
                self.record_useless(now, id);
            } else if again && !self.peers.contains(id) {
                self.held.insert(id, attempt.kind);
            } else {
                self.record_failure(now, id);
            }
        }
        self.requeue(now, id);
    }

    fn record_failure(&mut self, now: Instant, id: NodeId) {
        // Without any peer a failure may well be that of our own network.
        let grow = self.peers.len() > 0;
        let rng = Some(&mut self.rng);
        self.failing.record(now, id, grow, &self.config.dynamic_backoff, rng);
    }

    /// The node said so itself, so that our own network is not to blame.
    fn record_useless(&mut self, now: Instant, id: NodeId) {
        self.failing.forget(id);
        self.useless.record(now, id, true, &self.config.useless_backoff, None);
    }

    /// Puts a node where it belongs after something happened to it.
    fn requeue(&mut self, now: Instant, id: NodeId) {
        let dialed = self.attempts.contains(id) || self.held.contains_key(&id);
        if !dialed && !self.peers.is_dialed(id) {
            self.networks.leave(id);
        }
        let Some(target) = self.targets.get(&id) else { return self.queue.remove(id) };
        if self.held.contains_key(&id) {
            let due = target.backing_off(now).max(self.inbound.pending(id, now));
            let due = due.max(self.history.pending(id, now));
            return self.queue.set(id, due.unwrap_or(now), 0);
        }
        if !target.is_static {
            self.queue.remove(id);
            if !target.is_bootnode && !self.attempts.contains(id) {
                self.targets.remove(&id);
            }
            return;
        }
        let due = match self.target_refusal(now, target) {
            None if self.queue.get(id).is_some_and(|due| due <= now) => return,
            None => Some(now),
            Some(refusal) => self.ends(id, refusal),
        };
        match due {
            Some(due) => self.queue.set(id, due, self.rng.next_u64()),
            None => self.queue.remove(id),
        }
    }

    fn tell_refusal(&mut self, id: NodeId, refusal: Refusal) {
        self.tell(Output::Refused { id, refusal });
    }

    fn tell(&mut self, output: Output) {
        if self.outputs.len() < MAX_WAITING_OUTPUTS {
            self.outputs.push_back(output);
        }
    }
}
