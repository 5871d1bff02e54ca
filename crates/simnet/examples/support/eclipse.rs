//! A node that restarts while it is under attack.

use std::time::Duration;

use devp2p_peer::Direction;

use super::{
    attackers::{Attackers, Effort, Means},
    defences::Defences,
    network::{Member, Network},
};

/// An attack and how it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) nodes: usize,
    pub(crate) means: Means,
    pub(crate) defences: Defences,
    /// How long the network is whole.
    pub(crate) peace: Duration,
    /// How long the attack is on before the restart.
    pub(crate) before: Duration,
    /// How long after it.
    pub(crate) after: Duration,
}

/// How long the victim is down.
const DOWN: Duration = Duration::from_secs(20);
/// How long after a restart attackers do all that they can.
const RUSH: Duration = Duration::from_secs(10);
/// After this long it counts whether a node is eclipsed.
const GRACE: Duration = Duration::from_secs(30);

/// What became of the victim.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// The seconds in which all its peers were attackers.
    pub(crate) eclipsed: u32,
    /// In the end.
    pub(crate) honest_out: usize,
    pub(crate) hostile_out: usize,
    pub(crate) honest_in: usize,
    pub(crate) hostile_in: usize,
    pub(crate) honest_table: usize,
    pub(crate) hostile_table: usize,
    /// The fewest honest peers that it had dialed, at any second that counts.
    pub(crate) fewest_out: usize,
    pub(crate) anchors: usize,
}

pub(crate) fn run(seed: u64, scenario: &Scenario) -> Outcome {
    let mut network = Network::new(seed, scenario.nodes, scenario.defences);
    // The last one that started; who it is makes no difference but to the bootnode.
    let victim = scenario.nodes - 1;
    network.world.run_for(scenario.peace);

    network.attack(victim, scenario.means);
    let others: Vec<_> = network.nodes[..victim].iter().map(|(it, _)| it.address).collect();
    for address in others {
        network.with_attackers(|attackers, now| attackers.join(now, address));
        network.world.run_for(Duration::from_millis(10));
    }
    network.world.run_for(scenario.before);

    // Every other one is stopped in order; the rest lose their power.
    let (identity, host) = network.nodes[victim].clone();
    if seed.is_multiple_of(2) {
        network.with_node(victim, |client, now| client.stop(now));
        network.world.run_for(Duration::from_millis(500));
    }
    network.with_attackers(|attackers, _| attackers.set_effort(Effort { dials: 0, pings: 1 }));
    network.world.crash(host);
    network.world.run_for(DOWN);
    network.with_attackers(|attackers, _| {
        attackers.start_over();
        attackers.set_effort(Effort::RUSH);
    });
    let client = network.client(&identity, scenario.defences);
    network.world.restart(host, Member::Client(Box::new(client)));

    let mut outcome = Outcome { fewest_out: usize::MAX, ..Outcome::default() };
    for second in 0..scenario.after.as_secs() {
        if second == RUSH.as_secs() {
            network.with_attackers(|attackers, _| attackers.set_effort(Effort::STEADY));
        }
        network.world.run_for(Duration::from_secs(1));
        if second >= GRACE.as_secs() {
            outcome.look(&network, victim);
        }
    }
    outcome
}

impl Outcome {
    fn look(&mut self, network: &Network, victim: usize) {
        let client = network.node(victim);
        let count = |hostile: bool, direction| {
            let peers = client.peers();
            peers
                .filter(|(id, peer)| Attackers::own(id) == hostile && peer.direction == direction)
                .count()
        };
        self.honest_out = count(false, Direction::Outbound);
        self.hostile_out = count(true, Direction::Outbound);
        self.honest_in = count(false, Direction::Inbound);
        self.hostile_in = count(true, Direction::Inbound);
        self.hostile_table = client.table().filter(|node| Attackers::own(&node.id())).count();
        self.honest_table = client.table().count() - self.hostile_table;
        let hostile = self.hostile_out + self.hostile_in;
        self.eclipsed += u32::from(hostile > 0 && self.honest_out + self.honest_in == 0);
        self.fewest_out = self.fewest_out.min(self.honest_out);
        self.anchors = client
            .peers()
            .filter(|(_, p)| p.dialed_as == Some(devp2p_dial::DialKind::Anchor))
            .count();
    }
}
