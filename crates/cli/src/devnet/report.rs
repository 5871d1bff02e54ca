use std::{collections::BTreeSet, net::SocketAddr};

use devp2p_core::NodeId;

use super::{
    ledger::Totals,
    topology::{Topology, victims},
};
use crate::{failure::Failure, output};

/// What became of the run.
pub(super) struct Report {
    pub(super) topology: Topology,
    pub(super) nodes: Vec<NodeReport>,
    /// The fewest peers of any node just before the kills.
    pub(super) least_at_half: usize,
    /// Pairs of which the first lacks messages to the second, or an answer to them.
    pub(super) incomplete_pairs: BTreeSet<(usize, usize)>,
    /// How many parts the network is in.
    pub(super) parts: usize,
    /// The first errors, in words.
    pub(super) errors: Vec<String>,
}

/// What became of one node. The messages are those of sessions that no kill ended.
pub(super) struct NodeReport {
    pub(super) id: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) peers: usize,
    /// How many nodes it has exchanged everything with.
    pub(super) partners: usize,
    pub(super) totals: Totals,
    pub(super) restarts: u64,
    pub(super) errors: u64,
}

/// How many pairs without all messages are told; more are only counted.
const PAIRS_TOLD: usize = 20;

impl Report {
    /// Prints what is short to stderr, the table and the last line to stdout.
    pub(super) fn print(&self) -> Result<(), Failure> {
        let shortfalls = self.shortfalls();
        for shortfall in &shortfalls {
            eprintln!("{shortfall}");
        }
        output::line(&format_args!(
            "{:>4}  {:<8}  {:<15}  {:>5}  {:>9}  {:>9}  {:>8}  {:>6}",
            "node", "id", "address", "peers", "sent", "received", "restarts", "errors"
        ))?;
        for (index, node) in self.nodes.iter().enumerate() {
            let NodeReport { id, addr, peers, totals, restarts, errors, .. } = node;
            output::line(&format_args!(
                "{index:>4}  {id:#}  {addr:<15}  {peers:>5}  {:>9}  {:>9}  {restarts:>8}  {errors:>6}",
                totals.sent, totals.received
            ))?;
        }
        output::line(&self.last_line())?;
        if shortfalls.is_empty() { Ok(()) } else { Err(Failure::Told) }
    }

    fn last_line(&self) -> String {
        format!(
            "devnet: {} nodes, min peers {}, delivered {}/{}, restarts {}, errors {}",
            self.nodes.len(),
            self.least_peers(),
            self.sum(|node| node.totals.acknowledged),
            self.sum(|node| node.totals.sent),
            self.sum(|node| node.restarts),
            self.sum(|node| node.errors),
        )
    }

    /// Everything that the run should have reached and did not.
    fn shortfalls(&self) -> Vec<String> {
        let count = self.nodes.len();
        let mut shortfalls = self.errors.clone();
        let wanted = self.topology.least_peers(count);
        if self.least_peers() < wanted {
            shortfalls.push(format!("a node has {} peers of {wanted}", self.least_peers()));
        }
        let nodes = self.nodes.iter().map(|node| node.partners).enumerate();
        shortfalls.extend(nodes.filter(|&(_, partners)| partners < wanted).map(
            |(index, partners)| {
                format!("node {index} exchanged all messages with {partners} nodes of {wanted}")
            },
        ));
        if self.parts > 1 {
            shortfalls.push(format!("the network is in {} parts", self.parts));
        }
        let pairs = self.incomplete_pairs.iter().take(PAIRS_TOLD);
        shortfalls.extend(
            pairs.map(|(from, to)| format!("not all messages from node {from} to node {to}")),
        );
        if let more @ 1.. = self.incomplete_pairs.len().saturating_sub(PAIRS_TOLD) {
            shortfalls.push(format!("and {more} pairs more"));
        }
        let sent = self.sum(|node| node.totals.sent);
        for (what, number) in [
            ("acknowledged", self.sum(|node| node.totals.acknowledged)),
            ("received", self.sum(|node| node.totals.received)),
        ] {
            if number != sent {
                shortfalls.push(format!("{sent} messages were sent and {number} {what}"));
            }
        }
        let killed = victims(count).len();
        let restarts = self.sum(|node| node.restarts);
        if u64::try_from(killed) != Ok(restarts) {
            shortfalls.push(format!("{restarts} nodes of {killed} were restarted"));
        }
        shortfalls
    }

    fn least_peers(&self) -> usize {
        let at_end = self.nodes.iter().map(|node| node.peers).min().unwrap_or(0);
        at_end.min(self.least_at_half)
    }

    fn sum(&self, number: impl Fn(&NodeReport) -> u64) -> u64 {
        self.nodes.iter().map(number).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let node = |restarts| NodeReport {
            id: NodeId::new([7; 32]),
            addr: ([127, 0, 0, 1], 30303).into(),
            peers: 1,
            partners: 1,
            totals: Totals { sent: 500, acknowledged: 500, received: 500 },
            restarts,
            errors: 0,
        };
        Report {
            topology: Topology::Discovered,
            nodes: vec![node(1), node(0)],
            least_at_half: 1,
            incomplete_pairs: BTreeSet::new(),
            parts: 1,
            errors: Vec::new(),
        }
    }

    #[test]
    fn the_last_line_says_it_all() {
        let line = "devnet: 2 nodes, min peers 1, delivered 1000/1000, restarts 1, errors 0";
        assert_eq!(good().last_line(), line);
        assert!(good().shortfalls().is_empty());
    }

    #[test]
    fn anything_short_is_told() {
        let short = |change: fn(&mut Report)| {
            let mut report = good();
            change(&mut report);
            report.shortfalls()
        };
        assert_eq!(short(|it| it.least_at_half = 0), ["a node has 0 peers of 1"]);
        assert_eq!(short(|it| it.nodes[1].peers = 0), ["a node has 0 peers of 1"]);
        assert_eq!(
            short(|it| it.nodes[1].partners = 0),
            ["node 1 exchanged all messages with 0 nodes of 1"]
        );
        assert_eq!(short(|it| it.parts = 2), ["the network is in 2 parts"]);
        assert_eq!(
            short(|it| it.incomplete_pairs.extend([(0, 1)])),
            ["not all messages from node 0 to node 1"]
        );
        let many = short(|it| it.incomplete_pairs.extend((1..=23).map(|to| (0, to))));
        assert_eq!((many.len(), many.last().unwrap().as_str()), (21, "and 3 pairs more"));
        assert_eq!(
            short(|it| it.nodes[0].totals.acknowledged = 499),
            ["1000 messages were sent and 999 acknowledged"]
        );
        assert_eq!(
            short(|it| it.nodes[1].totals.received = 501),
            ["1000 messages were sent and 1001 received"]
        );
        assert_eq!(short(|it| it.nodes[0].restarts = 0), ["0 nodes of 1 were restarted"]);
        assert_eq!(short(|it| it.errors.push("node 0: x".to_owned())), ["node 0: x"]);
    }
}
