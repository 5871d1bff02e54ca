//! Nodes of this crate beside nodes of Sigma Prime's crate `discv5`: the processor time that both
//! ends of an exchange take.
//!
//! Each implementation has a runtime of its own with one thread, which is the same one for both;
//! they have it in turn, and a runtime that does not have it stands still. All nodes are on loopback,
//! with sockets bound in the same way, and the same keys. Default limits, but for the time that a
//! request waits, which is 2 s in both: somebody else may have the processor. A ratio is the median
//! of those of all rounds, so that whatever else the machine does hits both alike.
//!
//! `cargo bench -p devp2p-discv5 --bench beside [-- --check]`; with `--check` it fails where a ratio
//! is above its bar.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

mod heap;
mod ours;
mod sigp;

use std::{fs, future::Future, process::ExitCode, thread, time::Duration};

use devp2p_core::{NodeId, NodeKey, Rng};
use futures::{StreamExt as _, stream};
use peak_alloc::PeakAlloc;
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use self::{ours::Ours, sigp::Sigp};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const ROUNDS: usize = 11;
/// The talk requests of a round.
const TALKS: usize = 3_000;
const IN_FLIGHT: usize = 64;
const TALK_SIZE: usize = 100;
const TALK_PROTOCOL: &str = "echo";
/// Each of them shakes hands with each other one, once.
const STRANGERS: usize = 16;
/// Nodes that all know each other.
const NEIGHBOURS: usize = 30;
/// The nodes that fit into a bucket, in both.
const BUCKET_SIZE: usize = 16;
/// How long a table may take to ask who of those that it was told of is there.
const SETTLING: Duration = Duration::from_secs(20);
const LOOKUPS: usize = 20;
/// The nodes that a lookup gives.
const FOUND: usize = 16;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let has = |name: &str| std::env::args().any(|argument| argument == name);
    if has("--list") || has("--test") {
        return ExitCode::SUCCESS;
    }
    heap::report();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("processor time of both ends, us; medians of {ROUNDS} rounds; load {}", load.trim());
    println!("{:<28} {:>8} {:>8} {:>7} {:>6}", "", "ours", "sigp", "ratio", "bar");
    let (ours, sigp) = (Side::<Ours>::new(), Side::<Sigp>::new());
    let mut passed = true;
    passed &= compare("talk, one after the other", 0.75, ours.talks(1), sigp.talks(1));
    passed &= compare("talk, 64 at once", 0.75, ours.talks(IN_FLIGHT), sigp.talks(IN_FLIGHT));
    passed &= compare("new session, PING to PONG", 0.7, ours.sessions(), sigp.sessions());
    passed &= compare("lookup among 30", 0.1, ours.lookups(), sigp.lookups());
    if passed || !has("--check") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One round, and the microseconds that each of its operations takes.
type Measurement<'a> = Box<dyn FnMut() -> f64 + 'a>;

fn compare(name: &str, bar: f64, mut ours: Measurement<'_>, mut sigp: Measurement<'_>) -> bool {
    // What is made once is made before anything is measured.
    ours();
    sigp();
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (ours(), sigp())).collect();
    let ratio = median(rounds.iter().map(|(ours, sigp)| ours / sigp));
    let (ours, sigp) = (median(rounds.iter().map(|r| r.0)), median(rounds.iter().map(|r| r.1)));
    let missed = if ratio <= bar { "" } else { "  MISSED" };
    println!("{name:<28} {ours:>8.1} {sigp:>8.1} {ratio:>7.3} {bar:>6}{missed}");
    ratio <= bar
}

fn median(samples: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<_> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A node on loopback that answers talk requests with what they ask.
trait Node: Sized {
    async fn start(key: &NodeKey) -> Self;

    /// Returns when the node knows the other one.
    async fn meet(&self, other: &Self);

    /// How many it knows.
    async fn count_known(&self) -> usize;

    async fn ping(&self, other: &Self);

    async fn talk(&self, other: &Self, request: Vec<u8>) -> Vec<u8>;

    async fn lookup(&self, target: NodeId) -> Vec<NodeId>;

    async fn stop(self);
}

/// The nodes of one implementation, and their runtime.
struct Side<N> {
    runtime: Runtime,
    _node: std::marker::PhantomData<N>,
}

impl<N: Node> Side<N> {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, _node: std::marker::PhantomData }
    }

    /// Microseconds of the processor for each of so many operations, all of which are in `work`.
    fn measure(&self, count: usize, work: impl Future<Output = ()>) -> f64 {
        let before = processor_time();
        self.runtime.block_on(work);
        (processor_time() - before).as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap())
    }

    fn start(&self, count: usize) -> Vec<N> {
        let start = async |number: usize| N::start(&key(number)).await;
        self.runtime.block_on(stream::iter(0..count).then(start).collect())
    }

    fn stop(&self, nodes: Vec<N>) {
        self.runtime.block_on(stream::iter(nodes).for_each(N::stop));
    }

    fn talks(&self, in_flight: usize) -> Measurement<'_> {
        let nodes = self.start(2);
        Box::new(move || {
            self.measure(TALKS, async {
                let talk = async |_| {
                    let answer = nodes[0].talk(&nodes[1], vec![7; TALK_SIZE]).await;
                    assert_eq!(answer.len(), TALK_SIZE);
                };
                let talks = stream::iter(0..TALKS).map(talk).buffer_unordered(in_flight);
                talks.for_each(async |()| ()).await;
            })
        })
    }

    fn sessions(&self) -> Measurement<'_> {
        Box::new(|| {
            let nodes = self.start(STRANGERS);
            let pairs = pairs(STRANGERS).filter(|(one, other)| one < other);
            let pairs: Vec<_> = pairs.collect();
            let time = self.measure(pairs.len(), async {
                for (one, other) in pairs.iter().copied() {
                    nodes[one].ping(&nodes[other]).await;
                }
            });
            self.stop(nodes);
            time
        })
    }

    fn lookups(&self) -> Measurement<'_> {
        let nodes = self.start(NEIGHBOURS);
        self.runtime.block_on(async {
            for (one, other) in pairs(NEIGHBOURS) {
                nodes[one].meet(&nodes[other]).await;
            }
            let all_know = async {
                for (number, node) in nodes.iter().enumerate() {
                    while node.count_known().await < places(number) {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            };
            if timeout(SETTLING, all_know).await.is_err() {
                println!("some tables have places left; they have");
                for (number, node) in nodes.iter().enumerate() {
                    print!("{} of {}, ", node.count_known().await, places(number));
                }
                println!();
            }
        });
        let ids: Vec<_> = (0..NEIGHBOURS).map(|number| key(number).id()).collect();
        let mut rng = Rng::from_seed([9; 32]);
        Box::new(move || {
            self.measure(LOOKUPS, async {
                for (number, node) in nodes.iter().enumerate().take(LOOKUPS) {
                    let mut target = [0; 32];
                    rng.fill(&mut target);
                    let found = node.lookup(NodeId::new(target)).await;
                    assert_eq!(found.len(), FOUND);
                    let mut nearest: Vec<_> =
                        (0..NEIGHBOURS).filter(|&at| at != number).map(|at| ids[at]).collect();
                    nearest.sort_by_key(|id| distance(id, &target));
                    let right = nearest[..FOUND].iter().filter(|id| found.contains(id)).count();
                    // Some do not fit into some tables.
                    assert!(right >= FOUND - 2, "it found {right} of the {FOUND} nearest");
                }
            })
        })
    }
}

fn distance(id: &NodeId, target: &[u8; 32]) -> [u8; 32] {
    let mut distance = *id.as_bytes();
    distance.iter_mut().zip(target).for_each(|(byte, target)| *byte ^= target);
    distance
}

/// The nodes that fit into the table of one of the neighbours, of all others.
fn places(number: usize) -> usize {
    let own = *key(number).id().as_bytes();
    let mut buckets = [0; 257];
    for other in (0..NEIGHBOURS).filter(|&other| other != number) {
        let distance = distance(&key(other).id(), &own);
        let zeros = distance.iter().take_while(|&&byte| byte == 0).count();
        buckets[8 * zeros + distance[zeros].leading_zeros() as usize] += 1;
    }
    buckets.iter().map(|&count: &usize| count.min(BUCKET_SIZE)).sum()
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let pairs = (0..count).flat_map(move |one| (0..count).map(move |other| (one, other)));
    pairs.filter(|(one, other)| one != other)
}

fn key(number: usize) -> NodeKey {
    NodeKey::from_bytes(&[u8::try_from(number + 1).unwrap(); 32]).unwrap()
}

/// The time that this thread has had the processor.
fn processor_time() -> Duration {
    // The system counts when a thread lets go of the processor.
    thread::yield_now();
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split_whitespace().next().unwrap().parse().unwrap())
}
