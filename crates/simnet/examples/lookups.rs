//! What a lookup takes: hops, messages and time, in networks of several sizes, and where a third of
//! the nodes is dead. A table for docs/BENCHMARKS.md.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example lookups -- [--discovery v4|v5] [--nodes N] [--seed S] [--short]
//! ```
//!
//! A hop is a node that had to be asked before it was known where to go on: the nodes of the own
//! table are one hop away, those whom they name two. The hops of a lookup are those to the nearest
//! node that it found. Messages are all that the node that looks sends and receives meanwhile, with
//! the proofs of endpoints or the handshakes, and whatever others want of it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod discovery;

use std::time::Duration;

use devp2p_discv4::Discv4;
use devp2p_discv5::Discv5;
use discovery::{
    keys::StandIn,
    machine::Discovery,
    network::{Network, Plan},
    sight::quantile,
};

/// The lookups in each row.
const LOOKUPS: usize = 500;

fn main() {
    let (mut seed, mut sizes) = (1, vec![100, 1_000, 10_000]);
    let mut print: fn(u64, Vec<usize>) = table::<Discv4<StandIn>>;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--discovery" => match arguments.next().unwrap().as_str() {
                "v4" => print = table::<Discv4<StandIn>>,
                "v5" => print = table::<Discv5<StandIn>>,
                other => panic!("unknown: {other}"),
            },
            "--seed" => seed = arguments.next().unwrap().parse().unwrap(),
            "--nodes" => sizes = vec![arguments.next().unwrap().parse().unwrap()],
            "--short" => sizes = vec![100, 300],
            other => panic!("unknown: {other}"),
        }
    }
    print(seed, sizes);
}

fn table<D: Discovery>(seed: u64, sizes: Vec<usize>) {
    println!(
        "| nodes | dead | hops, mean | 95 % | messages, mean | 95 % | time, mean | 95 % | found |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for nodes in sizes {
        let mut plan = Plan::new(nodes);
        plan.join = Duration::from_mins(1);
        plan.pace = Some(Duration::from_mins(1));
        let mut network = Network::<D>::new(seed, plan);
        network.world.run_for(Duration::from_mins(4));
        row(&mut network, nodes, "none");
        for at in (1..nodes).step_by(3) {
            network.world.crash(network.nodes[at].1);
        }
        row(&mut network, nodes, "a third, just now");
    }
}

/// Looks for random targets, and says what that took.
fn row<D: Discovery>(network: &mut Network<D>, nodes: usize, dead: &str) {
    let all = network.alive();
    // Few enough at once that they do not count one another's messages.
    let at_once = (nodes / 100).max(1);
    let (mut hops, mut messages, mut times, mut share) = (vec![], vec![], vec![], 0.0);
    for _ in 0..LOOKUPS / at_once {
        let from = network.choose(&all, at_once);
        let traffic = |network: &Network<D>, at: usize| {
            let traffic = network.world.traffic(network.nodes[at].1);
            (traffic.sent + traffic.received) as f64
        };
        let before: Vec<_> = from.iter().map(|&at| traffic(network, at)).collect();
        let found = network.look_around(&from);
        for ((at, found), before) in found.iter().zip(before) {
            hops.push(f64::from(found.hops));
            messages.push(traffic(network, *at) - before);
            times.push(found.took.as_secs_f64());
        }
        share += network.sharpness(&found, &all).found * at_once as f64;
    }
    let count = hops.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    println!(
        "| {nodes} | {dead} | {:.1} | {} | {:.0} | {} | {:.1} s | {:.1} s | {:.1} % |",
        mean(&hops),
        quantile(&mut hops.clone(), 0.95),
        mean(&messages),
        quantile(&mut messages.clone(), 0.95),
        mean(&times),
        quantile(&mut times.clone(), 0.95),
        100.0 * share / count,
    );
    assert!(mean(&hops) < 6.0 && share / count > 0.85, "lookups miss much");
}
