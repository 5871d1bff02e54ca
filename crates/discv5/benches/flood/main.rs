//! What ten million forged packets do to a node: `cargo bench -p devp2p-discv5 --bench flood`, with
//! `-- --short` for 300,000.
//!
//! No sockets: the machine as it is shipped, in virtual time, 100,000 packets a second. Meanwhile a
//! node that nobody knew comes each second and wants an answer, and one that was there before asks
//! ten times a second within its session; the way to each takes 25 ms. Ends with 1 where a bar is
//! missed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]

mod attack;
mod honest;

use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use devp2p_core::{NodeKey, Record, WallClock};
use devp2p_discv5::{Config, Discv5, DropCause, Output, wire::MIN_PACKET_SIZE};
use peak_alloc::PeakAlloc;

use self::{
    attack::{Attacker, Forged, Kind},
    honest::Honest,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The time between two packets.
const PAUSE: Duration = Duration::from_micros(10);
/// The packets that are made at once, before the clock is read.
const BATCH: usize = 1_000;
/// Of so many packets two are a knock, and the handshake of one who did not see the WHOAREYOU: that
/// makes 500 handshakes a second. A node checks 1,000 from all strangers together: those who forge
/// more take the turns of new nodes, and of nobody else.
const BLIND_EVERY: u64 = 200;
/// What the node, and all else that is honest, may take beside what there was before.
const MAX_GROWTH: usize = 8 << 20;
/// A new node may be unlucky: its WHOAREYOU is one of thousands that are open.
const MIN_IN_TWO_ROUND_TRIPS: f64 = 0.99;

fn main() -> ExitCode {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    if has("--list") {
        return ExitCode::SUCCESS;
    }
    let is_short = has("--short");
    let count = if is_short { 300_000 } else { 10_000_000 };
    let mut missed = flood(count, BLIND_EVERY, MIN_IN_TWO_ROUND_TRIPS);
    println!("\nand with ten times as many handshakes that have to be checked\n");
    missed.extend(flood(count / 10, BLIND_EVERY / 10, 0.0));
    for bar in &missed {
        println!("MISSED: {bar}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The node, and what is seen of it.
struct Victim {
    machine: Discv5,
    /// What came back to senders that were forged.
    bytes_back: u64,
    /// The packets for which more came back than they had.
    amplified: u64,
}

/// Returns the bars that were missed. Such a share of new nodes has an answer after two round trips.
fn flood(count: usize, blind_every: u64, share: f64) -> Vec<String> {
    let mut batch: Vec<_> = (0..BATCH).map(|_| Forged::empty()).collect();
    let start = Instant::now();
    let clock = WallClock::new(start, Duration::from_secs(1_700_000_000));
    let address = SocketAddr::from(([20, 0, 0, 1], 30_303));
    let key = NodeKey::from_bytes(&[1; 32]).unwrap();
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let machine = machine(&key, address, start, clock);
    let mut victim = Victim { machine, bytes_back: 0, amplified: 0 };
    let mut honest = Honest::new(victim.machine.record().clone(), start, clock);
    let mut now = start;
    // There is a session, and a node in the table, before it begins.
    while now < start + Duration::from_secs(30) {
        now += PAUSE;
        victim.advance(now, &mut honest);
    }
    honest.reset();
    let mut attacker = Attacker::new(key.id(), honest.friend(), blind_every);

    let (mut renew_at, mut bytes, mut took) = (now, 0_u64, Duration::ZERO);
    for _ in 0..count / BATCH {
        batch.iter_mut().for_each(|forged| attacker.next(forged));
        let begin = Instant::now();
        for forged in &batch {
            now += PAUSE;
            victim.advance(now, &mut honest);
            victim.receive(now, forged, &mut honest);
        }
        took += begin.elapsed();
        bytes += batch.iter().map(|forged| forged.bytes().len() as u64).sum::<u64>();
        if renew_at <= now {
            renew_at += Duration::from_secs(1);
            honest.renew(now);
        }
    }
    // Who asked last still waits for the answer.
    let end = now + Duration::from_millis(200);
    while now < end {
        now += PAUSE;
        victim.advance(now, &mut honest);
    }
    let growth = HEAP.peak_usage().saturating_sub(before);

    let statistics = victim.machine.statistics();
    let (new, known) = (honest.new_nodes(), honest.known_node());
    let nanos = took.as_nanos() as f64 / count as f64;
    println!(
        "packets                  {count}, {} a second of virtual time",
        1_000_000 / PAUSE.as_micros()
    );
    println!("time for each            {nanos:.0} ns: {:.0} packets/s", 1e9 / nanos);
    println!("memory, at most          + {} KiB", growth >> 10);
    println!("bytes in                 {bytes}");
    println!("bytes back               {}", victim.bytes_back);
    println!("new nodes                {new}");
    println!("the node known before    {known}");
    println!("sessions begun by others {}", statistics.sessions_accepted);
    println!("WHOAREYOUs sent again    {}", statistics.challenges_resent);
    for cause in DropCause::ALL.iter().copied().filter(|&cause| statistics.dropped(cause) > 0) {
        println!("dropped: {:<15} {}", cause.to_string(), statistics.dropped(cause));
    }

    let mut missed = Vec::new();
    let mut bar = |holds: bool, what: String| missed.extend((!holds).then_some(what));
    bar(growth <= MAX_GROWTH, format!("{growth} bytes of memory"));
    bar(victim.amplified == 0, format!("{} packets were answered with more", victim.amplified));
    bar(victim.bytes_back <= bytes, format!("{} bytes back for {bytes}", victim.bytes_back));
    bar(
        statistics.bytes_to_unproven <= statistics.bytes_from_unproven,
        "more bytes to the unproven than from them".into(),
    );
    bar(new.share() >= share, format!("new nodes: {new}"));
    bar(new.packets == 2 || share == 0.0, format!("new nodes: {new}"));
    bar(known.share() >= 1.0, format!("the known node: {known}"));
    let is_there = victim.machine.table().entries().count() >= 1;
    bar(is_there, "the node that was known is not in the table".into());
    missed
}

impl Victim {
    /// What is due until now is done: timers, and what honest nodes sent.
    fn advance(&mut self, now: Instant, honest: &mut Honest) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
            self.drain(now, honest);
        }
        while let Some((from, bytes)) = honest.advance(now) {
            self.machine.handle_datagram(now, from, &bytes);
            self.drain(now, honest);
        }
    }

    fn drain(&mut self, now: Instant, honest: &mut Honest) {
        while let Some(output) = self.machine.poll_output() {
            if let Output::Transmit(sent) = output {
                honest.send(now, sent.to, sent.bytes);
            }
        }
    }

    fn receive(&mut self, now: Instant, forged: &Forged, honest: &mut Honest) {
        self.machine.handle_datagram(now, forged.from, forged.bytes());
        let mut back = 0;
        while let Some(output) = self.machine.poll_output() {
            let Output::Transmit(sent) = output else { continue };
            // What goes to the node with the session for its own sake is larger than WHOAREYOU.
            let is_answer =
                forged.kind != Kind::KnockOfFriend || sent.bytes.len() == MIN_PACKET_SIZE;
            if sent.to == forged.from && is_answer {
                back += sent.bytes.len();
            }
            honest.send(now, sent.to, sent.bytes);
        }
        self.bytes_back += back as u64;
        self.amplified += u64::from(back > forged.bytes().len());
    }
}

/// A node as it is shipped.
fn machine(key: &NodeKey, address: SocketAddr, now: Instant, clock: WallClock) -> Discv5 {
    let record = Record::builder().seq(1).ip(address.ip()).udp(address.port()).sign(key).unwrap();
    Discv5::new(Config::default(), key.clone(), record, *key.id().as_bytes(), now, clock)
}
