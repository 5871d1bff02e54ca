//! Lookups of our discovery v4 and of go-ethereum's, side by side.
//!
//! ```text
//! cargo run --release -p devp2p-interop --example beside_geth
//! ```
//!
//! 30 nodes of ours in this process and 30 of geth's in another, with the same keys, on 127.0.0.1,
//! with real signatures. Both look up the same targets, in turn, so that whatever else the machine
//! does hits both alike; what is printed are medians over the rounds. A lookup costs whoever makes
//! it and whoever it asks, and those are all in one process. Processor time is what the system says
//! that the process used, itself and in the kernel; datagrams are what the whole machine sent.
//!
//! Everything has its defaults, with one limit raised: `max_lookups` of ours, from 8 to 16. Limits
//! by address, ours and geth's, do not hold on loopback. `random_lookup_interval` is for lookups
//! that choose their target; these are told it.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]

use std::{
    fs,
    net::Ipv4Addr,
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use devp2p_core::{Family, LocalRecord, Node, NodeId, NodeKey, PublicKey, Rng};
use devp2p_discv4::{Config, Driver, Handle, Service, Socket};
use devp2p_interop::{GethNetwork, Looked, Plan};
use tokio::{task::JoinSet, time::sleep};

const NODES: usize = 30;
const ROUNDS: usize = 11;
/// The lookups of one measurement.
const LOOKUPS: usize = 240;
const PARALLEL: usize = 16;
/// The nodes that a lookup finds.
const RESULTS: usize = 16;

const PLANS: [(&str, Plan); 3] = [
    ("one at a time, by all in turn", Plan { parallel: 1, from: NODES }),
    ("16 at a time, by all in turn", Plan { parallel: PARALLEL, from: NODES }),
    ("16 at a time, by one node", Plan { parallel: PARALLEL, from: 1 }),
];

/// How long nobody asks anything, to see what the nodes use by themselves.
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let Some(program) = devp2p_interop::geth() else { return };
    println!("load at the start: {}", load());
    let mut rng = Rng::from_seed([4; 32]);
    let keys = node_keys(&mut rng);
    let ours = OurNetwork::start(&keys);
    let mut geth = GethNetwork::start(program, &keys).await;
    // Both look around until all nodes are, verified, in the tables of all others.
    loop {
        let known = (ours.fewest_known().await, geth.fewest_known().await);
        if known == (NODES - 1, NODES - 1) {
            break;
        }
        let targets: Vec<_> = (0..NODES).map(|_| new_key(&mut rng).public_key()).collect();
        // All at a time: a geth that knows few nodes yet waits half a second for more at each.
        let all = Plan { parallel: NODES, from: NODES };
        ours.look_up(&targets, all).await;
        geth.look_up(&targets, all).await;
        sleep(Duration::from_secs(1)).await;
    }

    let (before_ours, before_geth) = (cpu_time(process::id()), cpu_time(geth.process()));
    sleep(IDLE).await;
    let share = |used: Duration| 100.0 * used.as_secs_f64() / IDLE.as_secs_f64();
    println!(
        "processor without lookups: ours {:.1} %, geth {:.1} %",
        share(cpu_time(process::id()) - before_ours),
        share(cpu_time(geth.process()) - before_geth),
    );

    let mut results = PLANS.map(|_| (Vec::new(), Vec::new()));
    for round in 0..ROUNDS {
        let targets: Vec<_> = (0..LOOKUPS).map(|_| new_key(&mut rng).public_key()).collect();
        for ((_, plan), (of_ours, of_geth)) in PLANS.iter().zip(&mut results) {
            // Whoever is first in one round is second in the next.
            for is_ours in [round % 2 == 0, round % 2 != 0] {
                if is_ours {
                    let looked = ours.look_up(&targets, *plan);
                    of_ours.push(measure(process::id(), looked).await);
                } else {
                    let process = geth.process();
                    of_geth.push(measure(process, geth.look_up(&targets, *plan)).await);
                }
            }
        }
    }
    println!("load at the end: {}\n", load());
    println!("{ROUNDS} rounds of {LOOKUPS} lookups among {NODES} nodes");
    for ((name, _), (of_ours, of_geth)) in PLANS.iter().zip(&results) {
        println!("\n{name}:      lookups/s   processor ms   datagrams   right");
        print("ours", of_ours);
        print("geth", of_geth);
        let ratio = |of: fn(&Measured) -> f64| {
            median(of_ours.iter().zip(of_geth).map(|(ours, geth)| of(ours) / of(geth)))
        };
        println!(
            "  ours / geth: {:.2} of the lookups/s, {:.2} of the processor time",
            ratio(|it| it.per_second),
            ratio(|it| it.cpu_millis)
        );
    }
}

/// A measurement, by the lookup.
struct Measured {
    per_second: f64,
    cpu_millis: f64,
    datagrams: f64,
    /// The part that found exactly the nearest nodes.
    right: f64,
}

async fn measure(process: u32, looked: impl Future<Output = Looked>) -> Measured {
    let (cpu, datagrams) = (cpu_time(process), datagrams_sent());
    let looked = looked.await;
    let lookups = LOOKUPS as f64;
    Measured {
        per_second: lookups / looked.took.as_secs_f64(),
        cpu_millis: (cpu_time(process) - cpu).as_secs_f64() * 1000.0 / lookups,
        datagrams: (datagrams_sent() - datagrams) as f64 / lookups,
        right: looked.right as f64 / lookups,
    }
}

fn print(name: &str, measured: &[Measured]) {
    let of = |field: fn(&Measured) -> f64| median(measured.iter().map(field));
    let (low, high) = measured.iter().fold((f64::MAX, 0_f64), |(low, high), it| {
        (low.min(it.per_second), high.max(it.per_second))
    });
    println!(
        "  {name}  {:8.1} ({low:.1} to {high:.1})   {:6.2}   {:5.0}   {:3.0} %",
        of(|it| it.per_second),
        of(|it| it.cpu_millis),
        of(|it| it.datagrams),
        of(|it| it.right) * 100.0
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Our nodes, all of which begin with the first.
struct OurNetwork {
    ids: Vec<NodeId>,
    handles: Vec<Handle>,
}

impl OurNetwork {
    fn start(keys: &[NodeKey]) -> Self {
        let mut bootnode = None;
        let mut handles = Vec::new();
        for key in keys {
            let handle = start(key, bootnode.clone());
            bootnode.get_or_insert_with(|| Node::from_record(handle.local_record()));
            handles.push(handle);
        }
        Self { ids: keys.iter().map(NodeKey::id).collect(), handles }
    }

    /// How many nodes the emptiest table has.
    async fn fewest_known(&self) -> usize {
        let mut fewest = NODES;
        for handle in &self.handles {
            let table = handle.table().await.expect("it runs");
            fewest = fewest.min(table.entries().count());
        }
        fewest
    }

    async fn look_up(&self, targets: &[PublicKey], plan: Plan) -> Looked {
        let targets: Arc<[PublicKey]> = targets.into();
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        let start = Instant::now();
        for _ in 0..plan.parallel {
            let (targets, next) = (Arc::clone(&targets), Arc::clone(&next));
            let handles = self.handles[..plan.from].to_vec();
            workers.spawn(async move {
                let mut found = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(target) = targets.get(at) else { return found };
                    let nodes = handles[at % handles.len()].lookup(*target).await;
                    found.push((at, nodes.expect("there is room for the lookup")));
                }
            });
        }
        let found = workers.join_all().await;
        let took = start.elapsed();
        let is_right = |(at, nodes): &&(usize, Vec<Node>)| {
            let found: Vec<_> = nodes.iter().map(Node::id).collect();
            found == self.nearest(targets[*at].into(), self.ids[at % plan.from])
        };
        Looked { took, right: found.iter().flatten().filter(is_right).count() }
    }

    /// What `own` is to find.
    fn nearest(&self, target: NodeId, own: NodeId) -> Vec<NodeId> {
        let mut ids: Vec<_> = self.ids.iter().copied().filter(|id| *id != own).collect();
        ids.sort_by_key(|id| id.distance(&target));
        ids.truncate(RESULTS);
        ids
    }
}

fn start(key: &NodeKey, bootnode: Option<Node>) -> Handle {
    let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("there is a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let millis = since.as_millis().try_into().expect("it is before the year 500,000,000");
    let mut local = LocalRecord::new(key.clone(), None, millis).expect("the clock is sane");
    local.set_fixed_ip(address.ip());
    local.set_udp_port(Family::V4, Some(address.port()));
    local.set_tcp_port(Family::V4, Some(address.port()));

    let mut config = Config::default();
    config.bootstrap_nodes.extend(bootnode);
    config.max_lookups = PARALLEL;
    let seed = Rng::from_os().expect("there is entropy").seed();
    let local = Arc::new(Mutex::new(local));
    let (service, handle) = Service::new(config, key.clone(), local, Vec::new(), seed);
    tokio::spawn(Driver::new(service, socket));
    handle
}

/// Keys of nodes of which half are on either side of the space of ids, so that no bucket has to
/// refuse one: a bucket has 16 places.
fn node_keys(rng: &mut Rng) -> Vec<NodeKey> {
    let (mut low, mut high) = (Vec::new(), Vec::new());
    while low.len() + high.len() < NODES {
        let key = new_key(rng);
        let side = if key.id().as_bytes()[0] < 0x80 { &mut low } else { &mut high };
        if side.len() < NODES / 2 {
            side.push(key);
        }
    }
    [low, high].concat()
}

fn new_key(rng: &mut Rng) -> NodeKey {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    NodeKey::from_bytes(&bytes).expect("hardly any bytes are no key")
}

/// What a process has used of all processors, in hundredths of a second.
fn cpu_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux tells");
    // Behind the name, which is in brackets, utime and stime are the 12th and the 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// The UDP datagrams that the machine has sent.
fn datagrams_sent() -> u64 {
    let snmp = fs::read_to_string("/proc/net/snmp").expect("Linux tells");
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let names = lines.next().unwrap_or_default().split_whitespace();
    let mut values = names.zip(lines.next().unwrap_or_default().split_whitespace());
    let sent = values.find(|(name, _)| *name == "OutDatagrams").expect("they are counted");
    sent.1.parse().expect("a number")
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").expect("Linux tells").trim().to_owned()
}
