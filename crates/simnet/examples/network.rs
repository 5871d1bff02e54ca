//! Whole servers find their peers from one bootnode, in virtual time.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example network -- [--nodes N] [--seed S]
//!     [--discovery v4|v5|both] [--kill PERCENT]
//! ```
//!
//! All start within five seconds. Each is a server as it is shipped: the machine that admits peers,
//! the mix of candidates, the scheduler of dials and both discoveries, with signatures by a stand-in.
//! Every server must fill its outbound slots, as far as there are others, and hold no more peers
//! than it may; and every server must be reached from every other.
//!
//! With `--kill` so many of them lose their power at once when all have their peers, and 95 % of the
//! rest must have as many living peers of their own choice again within two minutes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod support;

use std::time::Duration;

use support::{
    arguments::Arguments,
    network::{MAX_PEERS, Network, TARGET},
    setup::Setup,
    statistics::spread,
};

/// Within what time all servers have the peers that they want.
const LIMIT: Duration = Duration::from_mins(2);
/// Of those that are left when others were killed, how many have theirs again within that time.
const RECOVERED: usize = 95;
/// The seconds after it at which their share is told.
const TOLD: [u64; 6] = [0, 10, 20, 30, 60, 120];

fn main() {
    let arguments = Arguments::read(&["nodes", "seed", "discovery", "kill"]);
    let nodes = arguments.number("nodes", 100) as usize;
    let setup = Setup { discoveries: arguments.discoveries(), ..Setup::of(nodes) };
    let mut network = Network::new(arguments.number("seed", 0), setup);
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

    match arguments.number("kill", 0) as usize {
        0 => look_at_all(&mut network, &setup, target),
        percent => kill(&mut network, nodes * percent / 100, target),
    }
    println!("trace {:016x}", network.world.trace());
}

/// Some are killed, and the others find new peers.
fn kill(network: &mut Network, count: usize, target: usize) {
    let survivors = network.kill(count);
    println!("\n{count} are killed at once, {} are left\n", survivors.count());
    println!("| after | share of the survivors at target |\n|---|---|");
    let share = |at_target: usize| 100.0 * at_target as f64 / survivors.count() as f64;
    let wanted = (survivors.count() * RECOVERED).div_ceil(100);
    let (mut most, mut all) = (None, None);
    for second in 0..=LIMIT.as_secs() {
        let at_target = network.at_target(&survivors, target);
        if TOLD.contains(&second) {
            println!("| {second} s | {:.1} % |", share(at_target));
        }
        if at_target >= wanted {
            most.get_or_insert(second);
        }
        if at_target == survivors.count() {
            all.get_or_insert(second);
        }
        network.world.run_for(Duration::from_secs(1));
    }
    let told =
        |second: Option<u64>| second.map_or_else(|| "never".to_owned(), |it| format!("{it} s"));
    println!("\n{RECOVERED} % at target after: {}, all: {}", told(most), told(all));
    assert!(most.is_some(), "{RECOVERED} % are at target within {} s", LIMIT.as_secs());
}

fn look_at_all(network: &mut Network, setup: &Setup, target: usize) {
    // What is dialed at the same time from both sides may still be sorted out.
    network.world.run_for(Duration::from_mins(1));
    let outbound = spread(network.outbound());
    let nodes = network.nodes.len();
    let degrees: Vec<_> = (0..nodes).map(|at| network.node(at).peers().count()).collect();
    let all = spread(degrees.iter().copied());
    let inbound = spread(degrees.iter().zip(network.outbound()).map(|(all, out)| all - out));
    println!("\n| | min | median | max |\n|---|---|---|---|");
    for (name, (min, median, max)) in [("outbound", outbound), ("inbound", inbound), ("peers", all)]
    {
        println!("| {name} | {min} | {median} | {max} |");
    }
    for version in setup.discoveries.versions() {
        let sizes = (0..nodes).flat_map(|at| network.node(at).tables());
        let sizes = sizes.filter(|(of, _)| of == version).map(|(_, ids)| ids.len());
        let (min, median, max) = spread(sizes);
        println!("| table of {version:?} | {min} | {median} | {max} |");
    }
    let components = network.components();
    let statistics = network.world.statistics();
    println!("\ncomponents {components}, messages {}", statistics.sent);
    assert_eq!(outbound.0, target, "all slots are filled");
    assert!(all.2 <= MAX_PEERS && outbound.2 <= TARGET);
    assert_eq!(components, 1);
}
