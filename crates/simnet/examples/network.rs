//! Whole servers find their peers from one bootnode, in virtual time.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example network -- [--nodes N] [--seed S]
//! ```
//!
//! All start within five seconds. Each is a server as it is shipped: the machine that admits peers,
//! the mix of candidates, the scheduler of dials and discovery v4, with signatures by a stand-in.
//! Every server must fill its outbound slots, as far as there are others, and hold no more peers
//! than it may; and every server must be reached from every other.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod support;

use std::time::Duration;

use support::{
    arguments::Arguments,
    defences::Defences,
    network::{MAX_PEERS, Network, TARGET},
    statistics::spread,
};

/// Within what time all servers have the peers that they want.
const LIMIT: Duration = Duration::from_mins(2);

fn main() {
    let arguments = Arguments::read(&["nodes", "seed"]);
    let nodes = arguments.number("nodes", 100) as usize;
    let mut network = Network::new(arguments.number("seed", 0), nodes, Defences::ALL, 1);
    let target = TARGET.min(nodes - 1);

    println!("{nodes} servers, {target} outbound peers wanted\n");
    println!("| share of servers at target | after |\n|---|---|");
    for share in [50, 90, 100] {
        let wanted = (nodes * share).div_ceil(100);
        let at_target = |network: &Network| network.outbound().filter(|&n| n >= target).count();
        while at_target(&network) < wanted {
            assert!(network.world.elapsed() < LIMIT, "{} at target", at_target(&network));
            network.world.run_for(Duration::from_millis(100));
        }
        println!("| {share} % | {:.1} s |", network.world.elapsed().as_secs_f64());
    }

    // What is dialed at the same time from both sides may still be sorted out.
    network.world.run_for(Duration::from_mins(1));
    let outbound = spread(network.outbound());
    let degrees: Vec<_> = (0..nodes).map(|at| network.node(at).peers().count()).collect();
    let all = spread(degrees.iter().copied());
    let inbound = spread(degrees.iter().zip(network.outbound()).map(|(all, out)| all - out));
    let table = spread((0..nodes).map(|at| network.node(at).table().count()));
    println!("\n| | min | median | max |\n|---|---|---|---|");
    for (name, (min, median, max)) in
        [("outbound", outbound), ("inbound", inbound), ("peers", all), ("table", table)]
    {
        println!("| {name} | {min} | {median} | {max} |");
    }
    let components = network.components();
    let statistics = network.world.statistics();
    println!("\ncomponents {components}, messages {}", statistics.sent);
    println!("trace {:016x}", network.world.trace());
    assert_eq!(outbound.0, target, "all slots are filled");
    assert!(all.2 <= MAX_PEERS && outbound.2 <= TARGET);
    assert_eq!(components, 1);
}
