//! What hostile hosts, bad links and bad luck do to discovery, over many seeds, as a table for
//! docs/SECURITY.md.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example hostile -- [--discovery v4|v5] [--seeds N] [--nodes N] [--only WORD] [--short]
//! ```
//!
//! A bar that is missed ends it, and the seed is printed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod discovery;

use devp2p_simnet::for_seeds;
use discovery::attacks::{Attack, V4, V5};

fn main() {
    let arguments = Arguments::read();
    println!("| attack | seeds | nodes | measured | bar | worst |");
    println!("|---|---|---|---|---|---|");
    for attack in arguments.attacks.iter().filter(|attack| attack.name.contains(&arguments.only)) {
        arguments.run(attack);
    }
}

struct Arguments {
    attacks: &'static [Attack],
    seeds: u64,
    nodes: usize,
    only: String,
    is_short: bool,
}

impl Arguments {
    fn read() -> Self {
        let mut read =
            Self { attacks: V4, seeds: 200, nodes: 100, only: String::new(), is_short: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap();
            match name.as_str() {
                "--discovery" => match value().as_str() {
                    "v4" => read.attacks = V4,
                    "v5" => read.attacks = V5,
                    other => panic!("unknown: {other}"),
                },
                "--seeds" => read.seeds = value().parse().unwrap(),
                "--nodes" => read.nodes = value().parse().unwrap(),
                "--only" => read.only = value(),
                "--short" => (read.seeds, read.is_short) = (2, true),
                other => panic!("unknown: {other}"),
            }
        }
        read
    }

    fn run(&self, attack: &Attack) {
        let nodes = if self.is_short { self.nodes } else { self.nodes.max(attack.nodes) };
        let mut worst: Option<Vec<f64>> = None;
        for_seeds(self.seeds, |seed| {
            let values = attack.check(seed, nodes);
            let measures = attack.measures.iter().zip(values);
            worst = Some(match &worst {
                None => measures.map(|(_, value)| value).collect(),
                Some(worst) => {
                    let worst = worst.iter().zip(measures);
                    worst.map(|(&worst, (it, value))| it.bar.worse(worst, value)).collect()
                }
            });
        });
        for (measure, worst) in attack.measures.iter().zip(worst.unwrap_or_default()) {
            let (name, what, bar) = (attack.name, measure.what, measure.bar);
            println!("| {name} | {} | {nodes} | {what} | {bar} | {worst:.3} |", self.seeds);
        }
    }
}
