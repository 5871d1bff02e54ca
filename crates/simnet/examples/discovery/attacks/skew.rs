//! Of every five nodes one has a clock that is a minute late or early, until it is set.

use std::time::Duration;

use devp2p_core::WallClock;

use devp2p_discv4::Discv4;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::StandIn,
    network::{BEGIN, Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "clocks that are wrong by 60 s",
    measures: &[
        Measure {
            what: "of the nearest right nodes, found by right ones",
            bar: Bar::AtLeast(0.97),
        },
        Measure { what: "of the wrong nodes, known to a right one", bar: Bar::Counted },
        Measure { what: "of the wrong nodes, those that know a right one", bar: Bar::Counted },
        Measure {
            what: "60 s after they are set, of the nearest nodes, found by all",
            bar: Bar::AtLeast(0.95),
        },
    ],
    run,
    nodes: 20,
};

const SKEW: Duration = Duration::from_secs(60);

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut network = Network::<Discv4<StandIn>>::empty(seed, Plan::small(nodes));
    let anchor = network.world.now();
    let late = WallClock::new(anchor, BEGIN.saturating_sub(SKEW));
    let early = WallClock::new(anchor, BEGIN + SKEW);
    for n in 0..nodes {
        network.join(match n % 10 {
            4 => late,
            9 => early,
            _ => network.clock,
        });
    }
    network.run_for(30);
    let (wrong, right): (Vec<_>, Vec<_>) = (0..nodes).partition(|n| n % 5 == 4);
    let from = network.choose(&right, 30);
    let found = network.known(&from, &right);

    let knows = |at: usize, other: usize| {
        let (other, _) = &network.nodes[other];
        network.at(at).table().any(|(id, _)| id == other.id)
    };
    let known = wrong.iter().filter(|&&at| right.iter().any(|&other| knows(other, at))).count();
    let knowing = wrong.iter().filter(|&&at| right.iter().any(|&other| knows(at, other))).count();

    let clock = network.clock;
    for &at in &wrong {
        network.with(at, |node, _| node.machine.handle_wall_clock(clock));
    }
    network.run_for(60);
    let all = network.alive();
    let from = network.choose(&all, 50);
    let after = network.known(&from, &all);
    let share = |count: usize| count as f64 / wrong.len() as f64;
    vec![found.found, share(known), share(knowing), after.found]
}
