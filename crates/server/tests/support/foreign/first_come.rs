use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeId};
use devp2p_dial::{DialId, DialKind, Input, Output, Refusal};
use devp2p_server::DialScheduler;

/// How long a node is left alone after a dial.
const PAUSE: Duration = Duration::from_secs(5);

/// Dials whoever comes first: static nodes every few seconds, candidates while there is room. No
/// backoff, no names, no bootnodes, no chance.
pub(crate) struct FirstCome {
    local: NodeId,
    room: usize,
    statics: BTreeMap<NodeId, Node>,
    dialing: BTreeMap<DialId, NodeId>,
    peers: BTreeSet<NodeId>,
    /// Nodes that are dialing us.
    inbound: BTreeSet<NodeId>,
    /// When a node may be dialed again.
    pauses: BTreeMap<NodeId, Instant>,
    outputs: VecDeque<Output>,
    next: u64,
    stopped: bool,
}

impl FirstCome {
    /// For the node `local`, with room for so many peers and dials.
    pub(crate) fn new(local: NodeId, room: usize) -> Self {
        Self {
            local,
            room,
            statics: BTreeMap::new(),
            dialing: BTreeMap::new(),
            peers: BTreeSet::new(),
            inbound: BTreeSet::new(),
            pauses: BTreeMap::new(),
            outputs: VecDeque::new(),
            next: 0,
            stopped: false,
        }
    }

    fn refusal(&self, node: &Node) -> Option<Refusal> {
        let id = node.id();
        if self.stopped {
            Some(Refusal::Stopped)
        } else if id == self.local {
            Some(Refusal::SelfDial)
        } else if node.tcp_addrs().is_empty() {
            Some(Refusal::NoAddress)
        } else if self.dialing.values().any(|&dialed| dialed == id) {
            Some(Refusal::AlreadyDialing)
        } else if self.peers.contains(&id) {
            Some(Refusal::AlreadyConnected)
        } else if self.inbound.contains(&id) {
            Some(Refusal::PendingInbound)
        } else {
            self.pauses.get(&id).map(|&until| Refusal::RecentlyDialed { until })
        }
    }

    fn dial(&mut self, now: Instant, node: Node, kind: DialKind) {
        let dial = DialId::new(self.next);
        self.next += 1;
        self.dialing.insert(dial, node.id());
        self.pauses.insert(node.id(), now + PAUSE);
        self.outputs.push_back(Output::Dial { dial, node, kind });
    }

    fn advance(&mut self, now: Instant) {
        self.pauses.retain(|_, until| *until > now);
        let statics: Vec<_> = self.statics.values().cloned().collect();
        for node in statics {
            if self.refusal(&node).is_none() {
                self.dial(now, node, DialKind::Static);
            }
        }
    }
}

impl DialScheduler for FirstCome {
    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::PeerAdded { id, .. } => drop(self.peers.insert(id)),
            Input::PeerRemoved { id } | Input::PeerCollided { id } | Input::PeerUseless { id } => {
                self.peers.remove(&id);
            }
            Input::PendingInbound { id } => drop(self.inbound.insert(id)),
            Input::PendingInboundDone { id } => drop(self.inbound.remove(&id)),
            Input::DialDone { dial, .. } => drop(self.dialing.remove(&dial)),
            Input::AddStatic(node) => drop(self.statics.insert(node.id(), node)),
            Input::RemoveStatic(id) => drop(self.statics.remove(&id)),
            Input::Stop => {
                self.stopped = true;
                self.outputs.clear();
            }
            _ => {}
        }
        self.advance(now);
    }

    fn handle_candidate(&mut self, now: Instant, node: Node) -> Result<(), Refusal> {
        self.advance(now);
        if let Some(refusal) = self.refusal(&node) {
            return Err(refusal);
        }
        if self.wanted_candidates() == 0 {
            return Err(Refusal::NoSlot);
        }
        self.dial(now, node, DialKind::Dynamic);
        Ok(())
    }

    fn wanted_candidates(&self) -> usize {
        let used = self.peers.len() + self.dialing.len();
        if self.stopped { 0 } else { self.room.saturating_sub(used) }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.pauses.values().min().copied().filter(|_| !self.stopped)
    }

    fn is_static(&self, id: NodeId) -> bool {
        self.statics.contains_key(&id)
    }
}
