//! Whole servers find their peers from one bootnode, in virtual time.
#![expect(clippy::unwrap_used, reason = "a program that fails loudly")]

mod support;

use std::time::{Duration, Instant};

use support::{defences::Defences, network::Network};

fn main() {
    let nodes = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100);
    #[expect(clippy::disallowed_methods, reason = "how long it takes")]
    let start = Instant::now();
    let mut network = Network::new(1, nodes, Defences::ALL);
    for _ in 0..20 {
        network.world.run_for(Duration::from_secs(10));
        let mut outbound: Vec<_> = (0..nodes).map(|at| network.node(at).outbound()).collect();
        outbound.sort_unstable();
        println!(
            "{:?} {:?} min {} median {} sent {}",
            start.elapsed(),
            network.world.elapsed(),
            outbound[0],
            outbound[nodes / 2],
            network.world.statistics().sent
        );
    }
}
