//! A network in memory, in which a datagram takes 10 ms.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{Family, LocalRecord, Node, NodeKey, Record, WallClock};
use devp2p_discv5::{Config, DatagramService as _, Discv5, Handle, Service};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

/// How long a datagram takes.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

/// The datagrams that wait in a node's socket.
const INBOX: usize = 1_024;

/// Seconds since 1970 at the start of a network.
const START_UNIX: u64 = 1_800_000_000;

/// The time, of tokio's clock.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "paused time")]
    tokio::time::Instant::now().into_std()
}

/// The network.
#[derive(Clone)]
pub(crate) struct Network(Arc<Inner>);

struct Inner {
    clock: WallClock,
    inboxes: Mutex<BTreeMap<SocketAddr, mpsc::Sender<(SocketAddr, Bytes)>>>,
    sent: Mutex<Vec<Sent>>,
}

/// A datagram that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// A node of the network.
pub(crate) struct TestNode {
    pub(crate) addr: SocketAddr,
    pub(crate) local: Arc<Mutex<LocalRecord>>,
    pub(crate) handle: Handle,
    /// Ends with the service, and gives it back.
    pub(crate) task: JoinHandle<Service>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            clock: WallClock::new(now(), Duration::from_secs(START_UNIX)),
            inboxes: Mutex::default(),
            sent: Mutex::default(),
        }))
    }

    /// Starts a node at 10.0.0.`number`, which knows of `bootstrap_nodes`.
    pub(crate) fn start(&self, number: u8, bootstrap_nodes: &[&TestNode]) -> TestNode {
        let addr = SocketAddr::from(([10, 0, 0, number], 30_303));
        let mut config = Config::default();
        config.bootstrap_nodes = bootstrap_nodes.iter().map(|other| other.node()).collect();
        let local = local_record(number);
        local.lock().unwrap().set_fallback_ip(addr.ip());
        self.start_with(addr, number, config, local)
    }

    /// Starts one at 10.0.0.1, and others behind it that know of that one.
    pub(crate) fn start_all(&self, size: u8) -> Vec<TestNode> {
        let mut nodes = vec![self.start(1, &[])];
        for number in 2..=size {
            nodes.push(self.start(number, &[&nodes[0]]));
        }
        nodes
    }

    /// Starts a node with a record and a configuration of its own.
    pub(crate) fn start_with(
        &self,
        addr: SocketAddr,
        number: u8,
        config: Config,
        local: Arc<Mutex<LocalRecord>>,
    ) -> TestNode {
        let record = local.lock().unwrap().record().clone();
        let machine = Discv5::new(config, key(number), record, [number; 32], now(), self.0.clock);
        let (mut service, handle) = Service::from_machine(machine, Arc::clone(&local));
        let (sender, mut inbox) = mpsc::channel(INBOX);
        self.0.inboxes.lock().unwrap().insert(addr, sender);
        let network = self.clone();
        let task = tokio::spawn(async move {
            poll_fn(|cx| {
                loop {
                    while let Poll::Ready(transmit) = service.poll_transmit(cx) {
                        let Some(transmit) = transmit else { return Poll::Ready(()) };
                        network.send(addr, transmit.to, transmit.bytes);
                    }
                    let Poll::Ready(Some((from, bytes))) = inbox.poll_recv(cx) else {
                        return Poll::Pending;
                    };
                    service.handle_datagram(now(), from, &bytes);
                }
            })
            .await;
            service
        });
        TestNode { addr, local, handle, task }
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        self.0.sent.lock().unwrap().push(Sent { from, to });
        let inbox = self.0.inboxes.lock().unwrap().get(&to).cloned();
        tokio::spawn(async move {
            sleep(LATENCY).await;
            // Nobody is there, or its socket is full.
            let _ = inbox.map(|inbox| inbox.try_send((from, bytes)));
        });
    }

    /// What was sent since the last call.
    pub(crate) fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.sent.lock().unwrap())
    }
}

impl TestNode {
    /// What it is to others.
    pub(crate) fn node(&self) -> Node {
        Node::from_record(self.handle.local_record())
    }
}

/// The key of a node.
pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes(&[number; 32]).unwrap()
}

/// A record with the usual port and without an address.
pub(crate) fn local_record(number: u8) -> Arc<Mutex<LocalRecord>> {
    let mut local = LocalRecord::new(key(number), None, START_UNIX * 1_000).unwrap();
    local.set_udp_port(Family::V4, Some(30_303));
    Arc::new(Mutex::new(local))
}

/// A node at an address where nobody is.
pub(crate) fn nobody(number: u8) -> Node {
    Node::from_record(
        Record::builder()
            .seq(1)
            .ip([10, 0, 1, number].into())
            .udp(30_303)
            .sign(&key(number))
            .unwrap(),
    )
}
