//! `devp2p devnet`: many whole servers in one process, connected over TCP on 127.0.0.1.
//!
//! Every node has its partners as static nodes, exchanges numbered and checksummed messages with
//! each, and accounts for all of them. Half-way a quarter of the nodes is killed, each by dropping
//! its runtime with all that runs in it, and started again with the same key and port.

mod ledger;
mod node;
mod progress;
mod protocol;
mod report;
mod topology;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeId};

use self::{
    ledger::{Ledger, Phase},
    node::{Identity, Running},
    progress::Progress,
    protocol::QUOTA,
    report::{NodeReport, Report},
    topology::{least_partners, partners, victims},
};
use crate::{args::DevnetArgs, failure::Failure};

/// How long all pairs have to connect at the start, before the time begins. Two nodes that dial
/// each other at once may need one more attempt, after up to 3 s.
const CONNECT_PATIENCE: Duration = Duration::from_secs(6);

/// How long the messages that are missing at the end have to be sent and acknowledged.
const FINISH_PATIENCE: Duration = Duration::from_secs(8);

/// How long the killed nodes stay away: time for the others to notice.
const DOWNTIME: Duration = Duration::from_secs(1);

/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Runs the network and prints the report.
pub(crate) fn run(args: &DevnetArgs) -> Result<(), Failure> {
    let time = Duration::from_secs(args.seconds.into());
    let mut network = Network::start(args.nodes.into(), time)?;
    network.wait_until("connecting", CONNECT_PATIENCE, Network::is_connected);
    network.wait("exchanging messages", time / 2);

    let least_at_half = network.least_peers();
    let victims = victims(network.identities.len());
    let downtime = DOWNTIME.min(time / 10);
    network.kill(&victims);
    network.wait("a quarter is killed", downtime);
    network.restart(&victims)?;
    network.wait("a quarter is back", (time / 2).saturating_sub(downtime));

    network.ledger.set_phase(Phase::Finishing);
    network.wait_until("the last messages", FINISH_PATIENCE, Network::is_complete);
    let report = network.report(least_at_half);
    network.stop();
    report.print()
}

struct Network {
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
    /// Starts all nodes, then makes partners known to each other.
    fn start(count: usize, time: Duration) -> Result<Self, Failure> {
        let pause = pause(time);
        let mut identities =
            (0..count).map(|index| Identity::new(index, pause)).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<NodeId> = identities.iter().map(|identity| identity.key.id()).collect();
        let ledger = Arc::new(Ledger::new(&ids));
        let progress = Progress::new(time);

        let (mut running, mut urls) = (Vec::new(), Vec::new());
        for identity in &mut identities {
            let node = Running::start(identity, Vec::new(), &ledger)?;
            let info = node.node_info();
            identity.addr = info.listen_addr.unwrap_or(identity.addr);
            urls.push(info.enode);
            running.push(Some(node));
        }
        let network =
            Self { restarts: vec![0; count], identities, running, urls, ledger, progress };
        for (index, node) in network.running.iter().enumerate() {
            for partner in network.partners(index) {
                if let Some(node) = node {
                    node.add_peer(partner);
                }
            }
        }
        Ok(network)
    }

    /// The nodes that this one is to be connected with.
    fn partners(&self, index: usize) -> Vec<Node> {
        let partners = partners(index, self.urls.len());
        partners.into_iter().filter_map(|partner| self.urls.get(partner).cloned()).collect()
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
            let static_nodes = self.partners(index);
            let Some(identity) = self.identities.get(index) else { continue };
            let node = Running::start(identity, static_nodes, &self.ledger)?;
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
        self.least_peers() >= least_partners(self.urls.len())
    }

    fn is_complete(&self) -> bool {
        self.incomplete_pairs().is_empty()
    }

    /// Partners of which the first lacks the quota, or an acknowledgement for all that it sent.
    fn incomplete_pairs(&self) -> Vec<(usize, usize)> {
        let count = self.urls.len();
        let pairs =
            (0..count).flat_map(|from| partners(from, count).into_iter().map(move |to| (from, to)));
        pairs.filter(|&(from, to)| !self.ledger.is_complete(from, to)).collect()
    }

    fn report(&mut self, least_at_half: usize) -> Report {
        self.progress.finish();
        let peers = self.peer_counts();
        let node = |identity: &Identity| NodeReport {
            id: identity.key.id(),
            addr: identity.addr,
            peers: peers.get(identity.index).copied().unwrap_or(0),
            totals: self.ledger.totals(identity.index),
            restarts: self.restarts.get(identity.index).copied().unwrap_or(0),
            errors: self.ledger.error_count(identity.index),
        };
        Report {
            nodes: self.identities.iter().map(node).collect(),
            least_at_half,
            incomplete_pairs: self.incomplete_pairs(),
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

/// The one place of the program that reads a clock.
#[expect(clippy::disallowed_methods, reason = "the driver of the network")]
fn now() -> Instant {
    Instant::now()
}
