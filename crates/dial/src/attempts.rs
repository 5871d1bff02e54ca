use std::{collections::BTreeMap, time::Instant};

use devp2p_core::{Node, NodeId};

use crate::{DialId, DialKind, Outcome, deadlines::Deadlines};

/// What is under way for one node: a dial, or the search for an address before or after one.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) kind: DialKind,
    pub(crate) stage: Stage,
    /// The node as dialed, or as to be found.
    pub(crate) node: Node,
    /// When the attempt, or its latest dial, began.
    pub(crate) started: Instant,
    /// Whether a newer address was searched for.
    pub(crate) renewed: bool,
    /// What became of the dial, where that is known before its end.
    pub(crate) settled: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Searching for the address.
    Searching,
    /// Dialing.
    Dialing(DialId),
    /// The dial failed; searching for a newer address.
    Renewing,
}

/// All attempts. There is one for a node at most, and the scheduler begins none beyond
/// [`Config::max_active_dials`](crate::Config::max_active_dials).
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    by_node: BTreeMap<NodeId, Attempt>,
    by_dial: BTreeMap<DialId, NodeId>,
    /// When searches are given up.
    searches: Deadlines,
    dials: u64,
}

impl Attempts {
    pub(crate) fn len(&self) -> usize {
        self.by_node.len()
    }

    pub(crate) fn contains(&self, id: NodeId) -> bool {
        self.by_node.contains_key(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Attempt> {
        self.by_node.get_mut(&id)
    }

    /// All of them, in the order of the nodes' ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.by_node.values()
    }

    pub(crate) fn any(&self, kind: DialKind) -> bool {
        self.by_node.values().any(|attempt| attempt.kind == kind)
    }

    /// Begins or continues an attempt with a dial.
    pub(crate) fn dial(
        &mut self,
        now: Instant,
        kind: DialKind,
        node: Node,
        renewed: bool,
    ) -> DialId {
        let id = node.id();
        self.remove(id);
        self.dials = self.dials.wrapping_add(1);
        let dial = DialId(self.dials);
        let stage = Stage::Dialing(dial);
        self.by_dial.insert(dial, id);
        let attempt = Attempt { kind, stage, node, started: now, renewed, settled: None };
        self.by_node.insert(id, attempt);
        dial
    }

    /// Begins an attempt with a search that is given up at `deadline`.
    pub(crate) fn search(&mut self, now: Instant, kind: DialKind, node: Node, deadline: Instant) {
        let id = node.id();
        self.searches.set(id, deadline, 0);
        let stage = Stage::Searching;
        let attempt = Attempt { kind, stage, node, started: now, renewed: false, settled: None };
        self.by_node.insert(id, attempt);
    }

    /// Continues an attempt whose dial failed with a search that is given up at `deadline`.
    pub(crate) fn renew(&mut self, attempt: Attempt, deadline: Instant) {
        let id = attempt.node.id();
        self.searches.set(id, deadline, 0);
        self.by_node.insert(id, Attempt { stage: Stage::Renewing, renewed: true, ..attempt });
    }

    /// Takes out the attempt that this dial belongs to.
    pub(crate) fn take_dial(&mut self, dial: DialId) -> Option<Attempt> {
        let id = *self.by_dial.get(&dial)?;
        self.remove(id)
    }

    /// Takes out the attempt for this node where it is a search.
    pub(crate) fn take_search(&mut self, id: NodeId) -> Option<Attempt> {
        self.searches.get(id)?;
        self.remove(id)
    }

    /// Takes out the first search that is to be given up.
    pub(crate) fn pop_overdue(&mut self, now: Instant) -> Option<Attempt> {
        let id = self.searches.pop_due(now)?;
        self.remove(id)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.searches.first()
    }

    fn remove(&mut self, id: NodeId) -> Option<Attempt> {
        let attempt = self.by_node.remove(&id)?;
        self.searches.remove(id);
        if let Stage::Dialing(dial) = attempt.stage {
            self.by_dial.remove(&dial);
        }
        Some(attempt)
    }
}
