//! A network of thousands of nodes, and what its lookups find.

use std::time::{Duration, Instant};

use super::{
    machine::Discovery,
    network::{Network, Plan},
    sight::quantile,
};

/// Reads the arguments, and lets such a network run.
pub(crate) fn run<D: Discovery>() {
    let arguments = Arguments::read();
    let mut plan = Plan::new(arguments.nodes);
    plan.join = Duration::from_mins(1);
    plan.pace = Some(Duration::from_mins(5));
    let (start, start_cpu) = (now(), cpu_time());
    let mut network = Network::<D>::new(arguments.seed, plan);
    network.world.run_for(Duration::from_mins(arguments.minutes) - network.world.elapsed());
    let (took, took_cpu) = (now() - start, cpu_time().saturating_sub(start_cpu));

    let all = network.alive();
    let sizes = network.table_sizes(&all);
    let (fewest, median) = (sizes[0], sizes[sizes.len() / 2]);
    let statistics = *network.world.statistics();
    println!("nodes              {}", all.len());
    println!("virtual time       {:?}", network.world.elapsed());
    println!("time               {took:.1?}, {took_cpu:.1?} of it on the processor");
    println!("packets            {} sent, {} came", statistics.sent, statistics.delivered);
    println!("trace              {:016x}", network.world.trace());
    println!("nodes in a table   {fewest} at least, {median} in the middle");

    let from = network.choose(&all, LOOKUPS);
    let found = network.look_around(&from);
    let lossy = network.sharpness(&found, &all);
    let mut times: Vec<_> = found.iter().map(|(_, found)| found.took).collect();
    let from = network.choose(&all, LOOKUPS);
    let known = network.known(&from, &all);
    println!("a lookup takes     {:.1?} in the middle", quantile(&mut times, 0.5));
    println!("lookups find       {lossy}");
    println!("and without loss   {known}");

    assert!(network.listed(&all) > 0.99, "many are in nobody's table");
    let cut_off = network.cut_off(&all);
    assert!(cut_off.is_empty(), "somebody cannot reach somebody: {cut_off:?}");
    assert!(fewest >= 16 && median >= 40, "tables are empty");
    assert!(lossy.found > 0.9 && known.found > 0.95 && known.nearly > 0.8, "lookups miss much");
}

/// The lookups with which it is seen what the network knows, over links as they were and over such
/// that lose nothing.
const LOOKUPS: usize = 500;

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

/// The time that this process ran, where the system tells: other programs make it wait.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
