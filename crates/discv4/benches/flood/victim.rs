//! The node that is flooded, in a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use devp2p_core::{Family, LanPolicy, LocalRecord, Node, NodeKey, Rng};
use devp2p_discv4::{Config, Driver, Handle, Service, Socket, wire::PacketKind};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The node, as the process that floods it sees it.
pub(crate) struct Victim {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    node: Node,
}

/// How the node is.
pub(crate) struct Report {
    /// The bytes of its heap.
    pub(crate) heap: usize,
    /// The most that was since the last report.
    pub(crate) peak_heap: usize,
    /// The bytes that the system gives it.
    pub(crate) rss: usize,
    /// The most that was since its start.
    pub(crate) peak_rss: usize,
    /// What the thread of its driver has used.
    pub(crate) cpu: Duration,
    /// How long that thread had work to do and no core.
    pub(crate) waited: Duration,
    /// What came in.
    pub(crate) packets: u64,
}

impl Victim {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--victim")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let node = line.trim().parse().unwrap();
        Self { process, questions, answers, node }
    }

    pub(crate) fn node(&self) -> Node {
        self.node.clone()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.udp_addr().unwrap()
    }

    pub(crate) fn report(&mut self) -> Report {
        self.questions.write_all(b"?\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<_> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let size = |at: usize| usize::try_from(numbers[at]).unwrap();
        let id = self.process.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
        };
        // The driver has the first thread, and the thread has the number of the process. First comes
        // the time that it ran, in nanoseconds, and then that it would have.
        let times = fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat")).unwrap();
        let mut times = times.split_whitespace().map(|time| time.parse().unwrap());
        let mut time = || Duration::from_nanos(times.next().unwrap());
        Report {
            heap: size(0),
            peak_heap: size(1),
            packets: numbers[2],
            rss: kib("VmRSS:"),
            peak_rss: kib("VmHWM:"),
            cpu: time(),
            waited: time(),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the node: tells where it is, and then how it is for each line that comes in.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (addr, key) = (socket.local_addr().unwrap(), NodeKey::generate().unwrap());
        let mut local = LocalRecord::new(key.clone(), None, 1_800_000_000_000).unwrap();
        local.set_fallback_ip(addr.ip());
        local.set_udp_port(Family::V4, Some(addr.port()));
        println!("{}", Node::from_record(local.record().clone()));
        let mut config = Config::default();
        config.lan_policy = LanPolicy::Limit;
        let (local, seed) = (Arc::new(Mutex::new(local)), Rng::from_os().unwrap().seed());
        let (service, handle) = Service::new(config, key, local, Vec::new(), seed);
        thread::spawn(|| tell(handle));
        Driver::new(service, socket).await.unwrap();
    });
}

/// Ends the node when nobody asks any more.
fn tell(handle: Handle) {
    for line in std::io::stdin().lines() {
        line.unwrap();
        let statistics = futures::executor::block_on(handle.statistics()).unwrap().machine;
        let received = PacketKind::ALL.iter().map(|&kind| statistics.received(kind).packets);
        let packets = received.sum::<u64>() + statistics.dropped_total();
        println!("{} {} {packets}", HEAP.current_usage(), HEAP.peak_usage());
        HEAP.reset_peak_usage();
    }
}
