//! The candidates that discovery knows, as `devp2p_discv4::Nodes` gives them.

use std::collections::{BTreeSet, VecDeque};

use devp2p_core::{Node, NodeId};

/// First those of the table, then those that are verified from then on, and what lookups find.
#[derive(Debug, Default)]
pub(crate) struct Source {
    ready: VecDeque<Node>,
    given: BTreeSet<NodeId>,
    verified: VecDeque<Node>,
}

impl Source {
    pub(crate) fn verified(&mut self, node: Node) {
        if self.verified.len() >= 1_024 {
            self.verified.pop_front();
        }
        self.verified.push_back(node);
    }

    pub(crate) fn found(&mut self, nodes: Vec<Node>) {
        self.ready.extend(nodes);
    }

    pub(crate) fn round(&mut self) {
        self.given.clear();
    }

    pub(crate) fn next(&mut self) -> Option<Node> {
        loop {
            while let Some(node) = self.ready.pop_front() {
                if self.given.insert(node.id()) {
                    return Some(node);
                }
            }
            self.ready.push_back(self.verified.pop_front()?);
        }
    }
}
