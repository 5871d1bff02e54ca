//! Nodes that mean well, while the flood goes on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use devp2p_core::{Family, LocalRecord, Node, NodeKey, Rng};
use devp2p_discv4::{Config, Driver, Handle, Service, Socket, wire::Target};
use tokio::time::sleep;

use crate::attack::SHARED;

/// The nodes behind the address of a flooder.
const NEIGHBORS: usize = 20;
/// The pause after each bond, and after each question.
const PAUSE: Duration = Duration::from_millis(200);
const TARGET: Target = Target::new([9; 64]);

/// Two kinds of nodes, in a thread of their own: new ones, which come one after the other, each
/// from a prefix where there was nobody, bond and ask; and some that bonded before.
pub(crate) struct Honest(Arc<Mutex<Results>>);

/// What happened since it was taken last.
#[derive(Default)]
pub(crate) struct Results {
    /// How long it took new nodes to have an answer to FINDNODE, from their first PING on.
    pub(crate) bonds: Vec<Duration>,
    /// The questions of those who bonded before.
    pub(crate) asked: u32,
    /// Those that had an answer in 500 ms.
    pub(crate) answered: u32,
}

impl Honest {
    pub(crate) fn start(victim: Node) -> Self {
        let honest = Self(Arc::default());
        let results = Arc::clone(&honest.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        thread::spawn(move || {
            runtime.block_on(async {
                for _ in 0..NEIGHBORS {
                    let (results, victim) = (Arc::clone(&results), victim.clone());
                    let node = start(SHARED.into());
                    tokio::spawn(async move { keep_asking(&node, &victim, &results).await });
                }
                keep_bonding(&victim, &results).await;
            });
        });
        honest
    }

    pub(crate) fn take(&self) -> Results {
        std::mem::take(&mut lock(&self.0))
    }

    /// Waits until so many nodes have bonded.
    pub(crate) fn wait_for_bonds(&self, count: usize) {
        while lock(&self.0).bonds.len() < count {
            thread::sleep(PAUSE);
        }
    }
}

async fn keep_bonding(victim: &Node, results: &Mutex<Results>) {
    for number in (1..=250_u8).cycle() {
        let node = start([127, 0, number, 1].into());
        let start = Instant::now();
        // An error is that nobody answered in 500 ms.
        while node.find_node(victim, TARGET).await.is_err() {}
        lock(results).bonds.push(start.elapsed());
        node.close().await;
        sleep(PAUSE).await;
    }
}

async fn keep_asking(node: &Handle, victim: &Node, results: &Mutex<Results>) {
    while node.find_node(victim, TARGET).await.is_err() {}
    loop {
        sleep(PAUSE).await;
        let is_answered = node.find_node(victim, TARGET).await.is_ok();
        let mut results = lock(results);
        results.asked += 1;
        results.answered += u32::from(is_answered);
    }
}

/// A new node, which knows nobody.
fn start(ip: IpAddr) -> Handle {
    let socket = Socket::bind(SocketAddr::new(ip, 0)).unwrap();
    let (addr, key) = (socket.local_addr().unwrap(), NodeKey::generate().unwrap());
    let mut local = LocalRecord::new(key.clone(), None, 1_800_000_000_000).unwrap();
    local.set_fallback_ip(addr.ip());
    local.set_udp_port(Family::V4, Some(addr.port()));
    let (local, seed) = (Arc::new(Mutex::new(local)), Rng::from_os().unwrap().seed());
    let (service, handle) = Service::new(Config::default(), key, local, Vec::new(), seed);
    tokio::spawn(Driver::new(service, socket));
    handle
}

fn lock(results: &Mutex<Results>) -> MutexGuard<'_, Results> {
    results.lock().unwrap()
}
