//! Attacks on one node, and what becomes of it.

use std::{collections::BTreeMap, time::Duration};

use devp2p_core::DiscoveryVersion;
use devp2p_peer::Direction;
use devp2p_simnet::Churn;

use super::{
    attackers::{Attackers, Effort, Means},
    network::Network,
    setup::Setup,
};

/// Two addresses, in two /24s.
pub(crate) const TWO_ADDRESSES: Means = Means { prefixes: 2, addresses: 1 };
/// 16 /24s, each with as many addresses as the victim has places.
pub(crate) const SIXTEEN_NETWORKS: Means = Means { prefixes: 16, addresses: 16 };

/// The discoveries in the order of [`Outcome::tables`].
pub(crate) const VERSIONS: [DiscoveryVersion; 2] = [DiscoveryVersion::V4, DiscoveryVersion::V5];

/// An attack on a node that restarts meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) setup: Setup,
    pub(crate) means: Means,
    /// How long the network is whole, and how long the attack is on before the restart and after.
    pub(crate) peace: Duration,
    pub(crate) before: Duration,
    pub(crate) after: Duration,
}

impl Restart {
    /// A bit more than an hour of peace, an hour of attack, the restart, and a quarter of an hour;
    /// all but the end in a 15th of the time.
    pub(crate) fn new(setup: Setup, means: Means) -> Self {
        Self::in_haste(15, setup, means)
    }

    /// The same in the 60th.
    pub(crate) fn brief(setup: Setup, means: Means) -> Self {
        Self { after: Duration::from_mins(1), ..Self::in_haste(60, setup, means) }
    }

    fn in_haste(haste: u32, setup: Setup, means: Means) -> Self {
        Self {
            setup: Setup { haste, ..setup },
            means,
            peace: Duration::from_mins(75) / haste,
            before: Duration::from_hours(1) / haste,
            after: Duration::from_mins(5),
        }
    }
}

/// How long the victim is down.
const DOWN: Duration = Duration::from_secs(20);
/// How long after a restart attackers do all that they can.
const RUSH: Duration = Duration::from_secs(10);
/// After this long it counts whether a node is eclipsed.
const GRACE: Duration = Duration::from_secs(30);

/// Of one kind, and of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) honest: usize,
    pub(crate) hostile: usize,
}

/// What became of the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The seconds in which it had peers, and all were attackers.
    pub(crate) eclipsed: u32,
    /// The fewest honest peers that it had dialed, at any second that counts.
    pub(crate) fewest: usize,
    /// In the end.
    pub(crate) outbound: Sides,
    pub(crate) inbound: Sides,
    /// In the end, of each of [`VERSIONS`], as far as there is one.
    pub(crate) tables: [Sides; 2],
    /// Of all that happened.
    pub(crate) trace: u64,
}

/// The attack on the last node of a network of its own, and the restart in the midst of it. Every
/// other seed has one in order; in the rest the node loses its power.
pub(crate) fn restart(seed: u64, attack: &Restart) -> Outcome {
    let mut network = Network::new(seed, attack.setup);
    network.world.run_for(attack.peace);
    restart_of(&mut network, attack.setup.nodes - 1, seed.is_multiple_of(2), attack)
}

/// The attack on a node of a network that is there.
pub(crate) fn restart_of(
    network: &mut Network,
    victim: usize,
    in_order: bool,
    attack: &Restart,
) -> Outcome {
    begin(network, victim, attack.means);
    network.world.run_for(attack.before);

    if in_order {
        network.with_node(victim, |client, now| client.stop(now));
        network.world.run_for(Duration::from_millis(500));
    }
    // Who is down cannot be dialed.
    network.with_attackers(|attackers, _| attackers.set_effort(Effort { pings: 1, dials: 0 }));
    let (_, host) = network.nodes[victim];
    network.world.crash(host);
    network.world.run_for(DOWN);
    network.with_attackers(|attackers, _| {
        attackers.start_over();
        attackers.set_effort(Effort::RUSH);
    });
    network.restart(victim);

    let mut outcome = Outcome::new();
    for second in 0..attack.after.as_secs() {
        if second == RUSH.as_secs() {
            network.with_attackers(|attackers, _| attackers.set_effort(Effort::STEADY));
        }
        network.world.run_for(Duration::from_secs(1));
        if second >= GRACE.as_secs() {
            outcome.look(network, victim);
        }
    }
    network.end_attack();
    outcome
}

/// "False friends": a node that runs for long, while others come and go and attackers stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongRun {
    pub(crate) setup: Setup,
    pub(crate) means: Means,
    pub(crate) duration: Duration,
}

/// How long the other nodes are up and down at a time, in the mean.
const UP: Duration = Duration::from_mins(20);
const AWAY: Duration = Duration::from_mins(1);

/// The attack; and of each discovery for each node of the victim's table in the end how often it was
/// the first one to dial among `draws` rounds of candidates.
pub(crate) fn long_run(
    seed: u64,
    attack: &LongRun,
    draws: usize,
) -> (Outcome, Vec<(DiscoveryVersion, Vec<usize>)>) {
    let mut network = Network::new(seed, attack.setup);
    let victim = attack.setup.nodes - 1;
    network.world.run_for(Duration::from_mins(1));
    begin(&mut network, victim, attack.means);
    network.with_attackers(|attackers, _| attackers.set_effort(Effort::LONG));

    let others: Vec<_> = network.nodes[1..victim].iter().map(|(_, host)| *host).collect();
    let mut churn = Churn::new(&mut network.world, others, UP, AWAY);
    let mut outcome = Outcome::new();
    let second = Duration::from_secs(1);
    for _ in 0..attack.duration.as_secs() {
        network.run_with_churn(&mut churn, second);
        outcome.look(&network, victim);
    }
    let first = network.with_node(victim, |client, _| {
        let discoveries = client.discoveries().iter_mut().map(|discovery| {
            let mut first: BTreeMap<_, _> =
                discovery.table().into_iter().map(|id| (id, 0)).collect();
            for _ in 0..draws {
                let met = discovery.draw().unwrap();
                *first.entry(met).or_default() += 1;
            }
            (discovery.version(), first.into_values().collect())
        });
        discoveries.collect()
    });
    (outcome, first)
}

/// The attackers come, and make themselves known to everybody.
fn begin(network: &mut Network, victim: usize, means: Means) {
    network.attack(victim, means);
    let others = network.nodes[..victim].iter();
    let others: Vec<_> = others.map(|(it, _)| (it.key.public_key(), it.address)).collect();
    for other in others {
        network.with_attackers(|attackers, now| attackers.join(now, other));
        network.world.run_for(Duration::from_millis(10));
    }
}

impl Outcome {
    fn new() -> Self {
        let (outbound, inbound, tables) = Default::default();
        Self { eclipsed: 0, fewest: usize::MAX, outbound, inbound, tables, trace: 0 }
    }

    fn look(&mut self, network: &Network, victim: usize) {
        let client = network.node(victim);
        let of = |direction| {
            let peers = client.peers().filter(move |(_, peer)| peer.direction == direction);
            Sides::of(peers.map(|(id, _)| Attackers::own(id)))
        };
        self.outbound = of(Direction::Outbound);
        self.inbound = of(Direction::Inbound);
        self.tables = VERSIONS.map(|version| {
            let table = client.tables().filter(|(of, _)| *of == version);
            Sides::of(table.flat_map(|(_, ids)| ids).map(|id| Attackers::own(&id)))
        });
        let honest = self.outbound.honest + self.inbound.honest;
        let hostile = self.outbound.hostile + self.inbound.hostile;
        self.eclipsed += u32::from(hostile > 0 && honest == 0);
        self.fewest = self.fewest.min(self.outbound.honest);
        self.trace = network.world.trace();
    }
}

impl Sides {
    fn of(are_hostile: impl Iterator<Item = bool>) -> Self {
        are_hostile.fold(Self::default(), |Self { honest, hostile }, is_hostile| {
            if is_hostile {
                Self { honest, hostile: hostile + 1 }
            } else {
                Self { honest: honest + 1, hostile }
            }
        })
    }
}
