//! Thousands of nodes with discovery v4 on one core, in virtual time.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example discv4 -- [--nodes N] [--minutes M] [--seed S] [--short]
//! ```
//!
//! All nodes start within a minute and know one bootnode. The user of each looks for a random
//! target every minute. Links take 20 to 150 ms one way and lose 1 %. Signatures are stand-ins, as
//! is the check of records; all else is the machine as it is shipped.
#![expect(clippy::unwrap_used, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod discovery;

use std::time::{Duration, Instant};

use discovery::{
    keys::StandIn,
    network::{Network, Plan},
    sight::quantile,
};

fn main() {
    let arguments = Arguments::read();
    let start = now();
    let mut plan = Plan::new(arguments.nodes);
    plan.join = Duration::from_mins(1);
    plan.pace = Some(Duration::from_mins(1));
    plan.config.request_records = false;
    let mut network = Network::<StandIn>::new(arguments.seed, plan);
    network.world.run_for(Duration::from_mins(arguments.minutes) - network.world.elapsed());
    let took = now() - start;

    let all = network.alive();
    let sizes = network.table_sizes(&all);
    let statistics = *network.world.statistics();
    println!("nodes               {}", all.len());
    println!("virtual time        {:?}", network.world.elapsed());
    println!("time                {took:.1?}");
    println!("packets             {} sent, {} delivered", statistics.sent, statistics.delivered);
    println!("trace               {:016x}", network.world.trace());
    println!("nodes in a table    {} at least, {} in the middle", sizes[0], sizes[sizes.len() / 2]);

    let from = network.choose(&all, 500);
    let found = network.look_around(&from);
    let lossy = network.sharpness(&found, &all);
    let mut took: Vec<_> = found.iter().map(|(_, found)| found.took).collect();
    let from = network.choose(&all, 500);
    let known = network.known(&from, &all);
    println!("a lookup takes      {:?} in the middle", quantile(&mut took, 0.5));
    println!("lookups find        {lossy:?}");
    println!("and without loss    {known:?}");
}

struct Arguments {
    nodes: usize,
    minutes: u64,
    seed: u64,
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self { nodes: 5_000, minutes: 10, seed: 1 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap().parse().unwrap();
            match name.as_str() {
                "--nodes" => read.nodes = value() as usize,
                "--minutes" => read.minutes = value(),
                "--seed" => read.seed = value(),
                "--short" => (read.nodes, read.minutes) = (300, 3),
                other => panic!("unknown: {other}"),
            }
        }
        read
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it takes")]
fn now() -> Instant {
    Instant::now()
}
