//! What a flood costs a node, and what it costs others who want to speak to it:
//! `cargo bench -p devp2p-discv4 --bench flood`, with `-- --short` for a tenth of it.
//!
//! The node is a process of its own, so that its heap and its time are its own. This one floods it
//! over loopback, 20,000 packets a second of each kind, from all of 127.0.0.0/8, which the node
//! takes for any other network. Meanwhile new nodes bond with it one after the other, and ask again
//! when nothing comes in 500 ms, as all nodes do; and twenty that are behind one address, from
//! which a flood comes, too, go on asking it.
//!
//! Ends with 1 where a bar is missed. Linux only: others have no 127.0.0.2, and no /proc.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]

mod attack;
mod honest;
mod victim;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use self::{
    attack::{Attack, Packets},
    honest::Honest,
    victim::{Report, Victim},
};

/// Packets a second.
const RATE: u32 = 20_000;
/// What the node may need of a core at that rate.
const MAX_CORES: f64 = 0.5;
/// What the node may take beside what it had before.
const MAX_GROWTH: usize = 8 << 20;
/// How long it may take to bond, in 99 cases of 100.
const MAX_BOND: Duration = Duration::from_secs(1);
/// The part of what nodes behind the flooder's address ask that is to be answered at once.
const MIN_ANSWERED: f64 = 0.99;
/// How long the node may be ready and have no core, of each second. Beyond it, the socket loses what
/// the node would have read, and nothing else is measured but this machine.
const MAX_WAITED: f64 = 0.25;
/// How often an attack is made on a busy machine.
const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    if has("--list") {
        return ExitCode::SUCCESS;
    }
    if has("--victim") {
        victim::run();
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_os = "linux") {
        println!("this needs the loopback network and the /proc of Linux");
        return ExitCode::SUCCESS;
    }
    let (count, pool) = if has("--short") { (100_000, 20_000) } else { (1_000_000, 100_000) };
    let missed = flood(count, pool);
    for bar in &missed {
        println!("MISSED: {bar}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all attacks, and returns the bars that were missed.
fn flood(count: u32, pool: usize) -> Vec<String> {
    let packets = Packets::new(pool);
    let mut victim = Victim::start();
    let honest = Honest::start(victim.node());
    // What is made once is made before anything is counted.
    honest.wait_for_bonds(10);
    let first = victim.report();

    println!("{count} packets of each kind; {RATE} a second, but for the last\n");
    println!(
        "                             arrived          us  waited     heap      RSS    bonds, ms\
         \u{20}               of those beside it"
    );
    println!(
        "                          of {count:>8}  cores each  for one    + KiB    + KiB    n   p50\
         \u{20}  p99   max  answered at once"
    );
    let mut missed = Vec::new();
    for attack in Attack::ALL {
        let mut row = Row::measure(attack, &packets, count, &mut victim, &honest, &first);
        for _ in 1..ATTEMPTS {
            if row.is_starved() {
                row.print();
                println!("  this machine had no core for the node; again:");
                row = Row::measure(attack, &packets, count, &mut victim, &honest, &first);
            }
        }
        row.print();
        row.check(&mut missed);
    }
    missed
}

/// What one attack did.
struct Row {
    attack: Attack,
    arrived: u64,
    /// The time that the driver's thread ran, of each second.
    cores: f64,
    /// The microseconds that it ran for each packet.
    each: f64,
    /// The time that it had work and no core, of each second.
    waited: f64,
    /// How much more memory there was at any time than before the first attack, in bytes.
    heap: usize,
    rss: usize,
    bonds: Percentiles,
    /// The part of what the nodes behind one address asked that was answered at once.
    answered: f64,
}

impl Row {
    fn measure(
        attack: Attack,
        packets: &Packets,
        count: u32,
        victim: &mut Victim,
        honest: &Honest,
        first: &Report,
    ) -> Self {
        let before = victim.report();
        honest.take();
        let start = Instant::now();
        attack.run(packets, victim.addr(), count, attack.is_paced().then_some(RATE));
        let seconds = start.elapsed().as_secs_f64();
        let results = honest.take();
        // What waits in the socket is read.
        std::thread::sleep(Duration::from_millis(200));
        let after = victim.report();

        let arrived = after.packets - before.packets;
        let busy = (after.cpu - before.cpu).as_secs_f64();
        // As if all was sent in time, where this machine was too slow for that.
        let slower = seconds * f64::from(RATE) / f64::from(count);
        Self {
            attack,
            arrived,
            cores: busy / seconds * slower.max(1.0),
            each: busy * 1e6 / arrived as f64,
            waited: (after.waited - before.waited).as_secs_f64() / seconds,
            heap: after.peak_heap.saturating_sub(first.heap),
            rss: after.peak_rss.saturating_sub(first.rss),
            bonds: Percentiles::of(results.bonds),
            answered: f64::from(results.answered) / f64::from(results.asked.max(1)),
        }
    }

    /// Whether the machine was too busy with others to say anything.
    fn is_starved(&self) -> bool {
        self.attack.is_paced() && self.waited > MAX_WAITED
    }

    fn print(&self) {
        println!(
            "{:<28} {:>8} {:>6.3} {:>4.1} {:>8.3} {:>8} {:>8} {:>4} {:>5} {:>5} {:>5} {:>9.3}",
            self.attack.name(),
            self.arrived,
            self.cores,
            self.each,
            self.waited,
            self.heap >> 10,
            self.rss >> 10,
            self.bonds.count,
            self.bonds.p50.as_millis(),
            self.bonds.p99.as_millis(),
            self.bonds.max.as_millis(),
            self.answered,
        );
    }

    fn check(&self, missed: &mut Vec<String>) {
        let mut check = |is_met: bool, what: String| {
            if !is_met {
                missed.push(format!("{}: {what}", self.attack.name()));
            }
        };
        let growth = self.heap.max(self.rss);
        check(growth <= MAX_GROWTH, format!("{growth} bytes more than before"));
        if self.attack.is_paced() {
            let waited = self.waited;
            check(!self.is_starved(), format!("it waited for {waited:.3} of a core; say no more"));
            check(self.cores <= MAX_CORES, format!("{:.3} of a core", self.cores));
            let Percentiles { count, p99, .. } = self.bonds;
            check(count > 0 && p99 <= MAX_BOND, format!("{count} bonds, in {p99:?}"));
            check(self.answered >= MIN_ANSWERED, format!("{:.3} answered", self.answered));
        }
    }
}

struct Percentiles {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let index = (times.len() * percent).div_ceil(100).max(1) - 1;
            times.get(index).copied().unwrap_or_default()
        };
        Self { count: times.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}
