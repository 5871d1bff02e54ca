//! `devp2p devnet`: many whole servers in one process, connected over TCP on 127.0.0.1.
//!
//! Every node knows one bootnode, node 0, and finds its peers by discovery, v4 or v5 or both; or all
//! nodes have their partners as static nodes. Every node exchanges numbered and checksummed messages
//! with each of its peers, and accounts for all of them. Half-way a quarter of the nodes is killed,
//! the bootnode among them, each by dropping its runtime with all that runs in it, and started again
//! with the same key and port, and nothing else that it knew.
//!
//! Both ends of a session keep an account of it, and say how many messages the other is to have in
//! the end. A kill excuses the sessions of the life that it ends; they count for nothing. No server
//! has a reason to end another, so any other end before the stop is an error, and so is every
//! message that is missing, doubled, out of order, changed, or not acknowledged in the end.

mod ledger;
mod node;
mod progress;
mod protocol;
mod report;
mod topology;

use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};

use devp2p_core::{Node, NodeId};

use self::{
    ledger::{Ledger, Phase},
    node::{Identity, Known, Running},
    progress::Progress,
    protocol::QUOTA,
    report::{NodeReport, Report},
    topology::{BOOTNODE, Topology, parts, victims},
};
use crate::{
    args::{DevnetArgs, Versions},
    clock::now,
    failure::Failure,
};

/// How long all static pairs have to connect, while the time stands still. Two nodes that dial each
/// other at once may need one more attempt, after up to 3 s.
const CONNECT_PATIENCE: Duration = Duration::from_secs(6);

/// How long discovery has to find everybody peers, while the time stands still.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(40);

/// How long the messages that are missing at the end have to be sent and acknowledged. They
/// have arrived much sooner, unless the machine has other work.
const FINISH_PATIENCE: Duration = Duration::from_secs(30);

/// How long the killed nodes stay away: time for the others to notice.
const DOWNTIME: Duration = Duration::from_secs(1);

/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Runs the network and prints the report.
pub(crate) fn run(args: &DevnetArgs) -> Result<(), Failure> {
    let time = Duration::from_secs(args.seconds.into());
    let (topology, patience) = if args.is_static {
        (Topology::Static, CONNECT_PATIENCE)
    } else {
        (Topology::Discovered, DISCOVERY_PATIENCE)
    };
    let mut network = Network::start(topology, args.discovery, args.nodes.into(), time)?;
    network.wait_until("connecting", patience, Network::is_connected);
    network.wait("exchanging messages", time / 2);

    let least_at_half = network.least_peers();
    let victims = victims(network.identities.len());
    let downtime = DOWNTIME.min(time / 10);
    network.kill(&victims);
    network.wait("a quarter is killed", downtime);
    network.restart(&victims)?;
    network.wait_until("a quarter comes back", patience, Network::is_connected);
    network.wait("a quarter is back", (time / 2).saturating_sub(downtime));

    network.ledger.set_phase(Phase::Finishing);
    network.wait_until("the last messages", FINISH_PATIENCE, Network::is_complete);
    let report = network.report(least_at_half);
    network.stop();
    report.print()
}

struct Network {
    topology: Topology,
    /// How the nodes find each other, where they do.
    versions: Versions,
    identities: Vec<Identity>,
    /// None while a node is dead.
    running: Vec<Option<Running>>,
    /// How the others find each node.
    urls: Vec<Node>,
    ledger: Arc<Ledger>,
    restarts: Vec<u64>,
    progress: Progress,
}

impl Network {
    /// Starts all nodes, then makes static nodes known to each other.
    fn start(
        topology: Topology,
        versions: Versions,
        count: usize,
        time: Duration,
    ) -> Result<Self, Failure> {
        let pause = pause(time);
        let identities =
            (0..count).map(|index| Identity::new(index, pause)).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<NodeId> = identities.iter().map(|identity| identity.key.id()).collect();
        let mut network = Self {
            topology,
            versions,
            running: Vec::new(),
            urls: Vec::new(),
            ledger: Arc::new(Ledger::new(&ids)),
            restarts: vec![0; count],
            progress: Progress::new(time),
            identities,
        };
        for index in 0..count {
            let known = network.known(index);
            let Some(identity) = network.identities.get_mut(index) else { break };
            let node = Running::start(identity, known, &network.ledger)?;
            let info = node.node_info();
            identity.addr = info.listen_addr.unwrap_or(identity.addr);
            network.urls.push(info.enode);
            network.running.push(Some(node));
        }
        for (index, node) in network.running.iter().enumerate() {
            for partner in network.static_nodes(index) {
                if let Some(node) = node {
                    node.add_peer(partner);
                }
            }
        }
        Ok(network)
    }

    /// What a node is told at its start.
    fn known(&self, index: usize) -> Known {
        match self.topology {
            Topology::Discovered => {
                let bootnode = self.urls.get(BOOTNODE).filter(|_| index != BOOTNODE);
                Known::Bootnodes(bootnode.cloned().into_iter().collect(), self.versions)
            }
            Topology::Static => Known::StaticNodes(self.static_nodes(index)),
        }
    }

    /// The nodes that this one is always to be connected with, as far as they are there.
    fn static_nodes(&self, index: usize) -> Vec<Node> {
        let nodes = self.topology.static_nodes(index, self.identities.len());
        nodes.into_iter().filter_map(|partner| self.urls.get(partner).cloned()).collect()
    }

    fn kill(&mut self, victims: &[usize]) {
        for &index in victims {
            self.ledger.kill(index);
            if let Some(node) = self.running.get_mut(index).and_then(Option::take) {
                node.kill();
            }
        }
    }

    fn restart(&mut self, victims: &[usize]) -> Result<(), Failure> {
        for &index in victims {
            let Some(identity) = self.identities.get(index) else { continue };
            let node = Running::start(identity, self.known(index), &self.ledger)?;
            if let (Some(slot), Some(count)) =
                (self.running.get_mut(index), self.restarts.get_mut(index))
            {
                *slot = Some(node);
                *count += 1;
            }
        }
        Ok(())
    }

    /// Lets the nodes run.
    fn wait(&mut self, doing: &str, time: Duration) {
        self.wait_until(doing, time, |_| false);
    }

    /// Lets the nodes run until the condition holds, or the time is over.
    fn wait_until(&mut self, doing: &str, time: Duration, condition: fn(&Self) -> bool) {
        self.progress.begin(doing);
        let start = now();
        loop {
            let left = time.saturating_sub(now().saturating_duration_since(start));
            if left.is_zero() || condition(self) {
                break;
            }
            thread::sleep(TICK.min(left));
            let sessions = self.peer_counts().iter().sum::<usize>() / 2;
            self.progress.update(sessions, self.ledger.progress());
        }
    }

    fn peer_counts(&self) -> Vec<usize> {
        let count = |node: &Option<Running>| node.as_ref().map_or(0, |it| it.peer_count());
        self.running.iter().map(count).collect()
    }

    fn least_peers(&self) -> usize {
        self.peer_counts().into_iter().min().unwrap_or(0)
    }

    fn is_connected(&self) -> bool {
        self.least_peers() >= self.topology.least_peers(self.identities.len()) && self.parts() == 1
    }

    fn parts(&self) -> usize {
        parts(self.identities.len(), &self.ledger.links())
    }

    fn is_complete(&self) -> bool {
        self.incomplete_pairs().is_empty()
    }

    /// Pairs that are connected, or that should be, of which the first lacks its quota of messages
    /// to the second, or an answer to them.
    fn incomplete_pairs(&self) -> BTreeSet<(usize, usize)> {
        let count = self.identities.len();
        let mut pairs: BTreeSet<_> = self.ledger.incomplete().into_iter().collect();
        for node in 0..count {
            let mut missing = self.topology.static_nodes(node, count);
            for partner in self.ledger.partners(node) {
                missing.remove(&partner);
            }
            pairs.extend(missing.into_iter().map(|partner| (node, partner)));
        }
        pairs
    }

    fn report(&mut self, least_at_half: usize) -> Report {
        self.progress.finish();
        let peers = self.peer_counts();
        let node = |identity: &Identity| NodeReport {
            id: identity.key.id(),
            addr: identity.addr,
            peers: peers.get(identity.index).copied().unwrap_or(0),
            partners: self.ledger.partners(identity.index).len(),
            totals: self.ledger.totals(identity.index),
            restarts: self.restarts.get(identity.index).copied().unwrap_or(0),
            errors: self.ledger.error_count(identity.index),
        };
        Report {
            topology: self.topology,
            nodes: self.identities.iter().map(node).collect(),
            least_at_half,
            incomplete_pairs: self.incomplete_pairs(),
            parts: self.parts(),
            errors: self.ledger.errors(),
        }
    }

    /// Stops all nodes at once.
    fn stop(self) {
        self.ledger.set_phase(Phase::Stopping);
        let stopping: Vec<_> = self
            .running
            .into_iter()
            .flatten()
            .map(|node| {
                let stop = node.begin_stop();
                (node, stop)
            })
            .collect();
        for (node, stop) in stopping {
            node.finish_stop(stop);
        }
    }
}

/// The pause between two messages of one session that spreads the quota over a quarter of the
/// time, so that a session after the restart has its quota well before the end.
fn pause(time: Duration) -> Duration {
    let quota = u32::try_from(QUOTA).unwrap_or(u32::MAX);
    (time / 4).checked_div(quota).unwrap_or(time)
}
