//! Eclipse.
#![expect(clippy::unwrap_used, reason = "a program that fails loudly")]

mod support;

use std::time::{Duration, Instant};

use support::{
    attackers::Means,
    defences::Defences,
    eclipse::{Scenario, run},
};

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3);
    let nodes = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(100);
    for (means, name) in [
        (Means { prefixes: 2, addresses: 1 }, "2 addresses"),
        (Means { prefixes: 16, addresses: 8 }, "16 /24s"),
    ] {
        for defences in [Defences::ALL, Defences::NONE] {
            println!("{name} {defences:?}");
            for seed in 0..seeds {
                #[expect(clippy::disallowed_methods, reason = "how long it takes")]
                let start = Instant::now();
                let scenario = Scenario {
                    nodes,
                    means,
                    defences,
                    peace: Duration::from_secs(
                        std::env::var("PEACE").map_or(120, |p| p.parse().unwrap()),
                    ),
                    before: Duration::from_secs(60),
                    after: Duration::from_secs(120),
                };
                let outcome = run(seed, &scenario);
                println!("{seed} {:?} {outcome:?}", start.elapsed());
            }
        }
    }
}
