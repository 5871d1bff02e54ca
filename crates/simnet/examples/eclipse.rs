//! Attackers try to be all peers of one node: when it restarts, and while it runs for long.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example eclipse -- [--seeds N] [--seed S] [--nodes N]
//!     [--discovery v4|v5|both] [--attack two|sixteen|friends] [--without NAME]
//! ```
//!
//! The victim and all others are servers as they are shipped: their admission, their limits, their
//! choice of peers, their discoveries and their database; only signatures are a stand-in, and what a
//! database does in half an hour it does in two minutes. Attackers are hosts of the network under
//! one hand, beside everybody, that know when the victim restarts: see `support/attackers.rs`.
//!
//! - `two`: two addresses in two /24s against a node that restarts;
//! - `sixteen`: 16 /24s with 16 addresses each, likewise;
//! - `friends`: two addresses against a node that runs for an hour while others come and go (the
//!   "False Friends" of Henningsen and others, 2019). With both discoveries an hour is too short: the
//!   candidates from before the attack last for longer. Choose one.
//!
//! In every seed the victim must have 4 honest peers of its own choice at any moment but the first
//! 30 seconds. And each attack on a restart is real: without our limits and our memory it succeeds
//! in one of ten seeds at least. `--without` leaves out one defence: groups, prefixes, memory,
//! throttle, rates or patience, or all; nothing is demanded then.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod support;

use std::{process::ExitCode, time::Duration};

use support::{
    arguments::Arguments,
    attackers::Means,
    defences::Defences,
    eclipse::{
        LongRun, Outcome, Restart, SIXTEEN_NETWORKS, Sides, TWO_ADDRESSES, long_run, restart,
    },
    setup::Setup,
    statistics::{spread, unevenness},
};

/// The honest peers of its own choice that a node keeps.
const MIN_HONEST: usize = 4;
/// In so many seeds an attack on a node without defences succeeds once.
const WITHOUT: u64 = 10;
/// The rounds of candidates of which the first is counted.
const DRAWS: usize = 100_000;
/// No run in millions is less even by chance.
const MAX_UNEVENNESS: f64 = 5.0;

fn main() -> ExitCode {
    let arguments = Arguments::read(&["seeds", "seed", "nodes", "discovery", "attack", "without"]);
    // One, or so many; or so many from one on.
    let first = arguments.number("seed", 0);
    let count = if arguments.text("seed").is_some() { 1 } else { 10 };
    let seeds = first..first + arguments.number("seeds", count);
    let nodes = arguments.number("nodes", 100) as usize;
    let defences = arguments.text("without").map_or(Defences::ALL, |name| {
        Defences::without(name).unwrap_or_else(|| panic!("there is no defence {name}"))
    });
    let discoveries = arguments.discoveries();
    let setup = Setup { discoveries, ..Setup::of(nodes).with(defences) };
    let is_chosen = |name| arguments.text("attack").is_none_or(|attack| attack == name);

    println!("{nodes} nodes, discovery {discoveries:?}\n\n{HEAD}");
    let mut failures = Vec::new();
    for (name, means) in [("two", TWO_ADDRESSES), ("sixteen", SIXTEEN_NETWORKS)] {
        if !is_chosen(name) {
            continue;
        }
        let runs = seeds.clone().map(|seed| {
            let outcome = restart(seed, &Restart::new(setup, means));
            check(&mut failures, seed, name, &outcome);
            outcome
        });
        report(name, arguments.text("without").unwrap_or("-"), &runs.collect::<Vec<_>>());
        if defences == Defences::ALL && seeds.end - seeds.start > 1 {
            failures.extend(without_defences(name, setup, means));
        }
    }
    if is_chosen("friends") {
        let attack = LongRun { setup, means: TWO_ADDRESSES, duration: Duration::from_hours(1) };
        let mut most_uneven = f64::MIN;
        let runs = seeds.map(|seed| {
            let (outcome, first) = long_run(seed, &attack, DRAWS);
            check(&mut failures, seed, "friends", &outcome);
            for (version, first) in first {
                let unevenness = unevenness(&first);
                if unevenness > MAX_UNEVENNESS {
                    failures.push(format!("friends, seed {seed}: {version:?} is not uniform"));
                }
                most_uneven = most_uneven.max(unevenness);
            }
            outcome
        });
        report("friends", arguments.text("without").unwrap_or("-"), &runs.collect::<Vec<_>>());
        println!("\ncandidates are uniform over each table but for {most_uneven:.2} sigma at most");
    }
    if defences != Defences::ALL || failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!();
    for failure in failures {
        println!("FAILED {failure}");
    }
    ExitCode::FAILURE
}

fn check(failures: &mut Vec<String>, seed: u64, attack: &str, outcome: &Outcome) {
    if outcome.eclipsed > 0 || outcome.fewest < MIN_HONEST {
        failures.push(format!("{attack}, seed {seed}: {outcome:?}"));
    }
}

/// Until it succeeds once.
fn without_defences(name: &str, setup: Setup, means: Means) -> Option<String> {
    let mut runs = Vec::new();
    for seed in 0..WITHOUT {
        runs.push(restart(seed, &Restart::new(setup.with(Defences::NONE), means)));
        if runs.last().unwrap().eclipsed > 0 {
            break;
        }
    }
    report(name, "all", &runs);
    let succeeded = runs.last().unwrap().eclipsed > 0;
    (!succeeded).then(|| format!("{name}: no eclipse in {WITHOUT} seeds without defences"))
}

const HEAD: &str = "\
| attack | without | seeds | eclipsed | honest outbound, fewest: min / median | at the end: min / median | inbound, attackers: median / max | attackers' share of outbound | of the table of v4 | of v5 |
|---|---|---|---|---|---|---|---|---|---|";

fn report(attack: &str, without: &str, runs: &[Outcome]) {
    let eclipsed = runs.iter().filter(|run| run.eclipsed > 0).count();
    let (fewest, fewest_median, _) = spread(runs.iter().map(|run| run.fewest));
    let (least, median, _) = spread(runs.iter().map(|run| run.outbound.honest));
    let (_, inbound, most_inbound) = spread(runs.iter().map(|run| run.inbound.hostile));
    let share = |of: fn(&Outcome) -> Sides| {
        let all: usize = runs.iter().map(|run| of(run).honest + of(run).hostile).sum();
        match runs.iter().map(|run| of(run).hostile).sum::<usize>() {
            _ if all == 0 => "-".to_owned(),
            hostile => format!("{} %", 100 * hostile / all),
        }
    };
    println!(
        "| {attack} | {without} | {} | {eclipsed} | {fewest} / {fewest_median} | {least} / {median} | {inbound} / {most_inbound} | {} | {} | {} |",
        runs.len(),
        share(|run| run.outbound),
        share(|run| run.tables[0]),
        share(|run| run.tables[1]),
    );
}
