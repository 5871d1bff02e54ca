use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use devp2p_core::{Family, Host, LocalRecord, Node, NodeId, NodeKey};
use devp2p_discv5::{Config, Driver, DropCause, Handle, Service, Socket};
use futures::FutureExt as _;
use tokio::{task::JoinHandle, time::timeout};

use crate::network::key;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(20);

struct Running {
    addr: SocketAddr,
    key: NodeKey,
    handle: Handle,
    task: JoinHandle<std::io::Result<()>>,
}

/// Starts a node that speaks to nobody but this machine.
fn start(socket: Socket, number: u8, bootstrap_nodes: Vec<Node>) -> Running {
    let (key, addr) = (key(number), socket.local_addr().unwrap());
    let mut local = LocalRecord::new(key.clone(), None, 1_800_000_000_000).unwrap();
    local.set_fallback_ip(addr.ip());
    local.set_udp_port(Family::of(addr.ip()), Some(addr.port()));
    let mut config = Config::default();
    config.net_restrict = Some("127.0.0.0/8, ::1/128".parse().unwrap());
    config.bootstrap_nodes = bootstrap_nodes;
    let local = Arc::new(Mutex::new(local));
    let (service, handle) = Service::new(config, key.clone(), local, Vec::new(), [number; 32]);
    let task = tokio::spawn(Driver::new(service, socket));
    Running { addr, key, handle, task }
}

fn bind(addr: &str) -> Socket {
    Socket::bind(addr.parse().unwrap()).unwrap()
}

impl Running {
    /// What it is to others.
    fn node(&self) -> Node {
        Node::from_record(self.handle.local_record())
    }

    /// What it is to those who find it at another address.
    fn node_at(&self, host: &str) -> Node {
        let host = Host::Ip(host.parse().unwrap());
        Node::new(self.key.public_key(), Some(host), 0, self.addr.port())
    }
}

async fn meet(one: &Running, other: &Running) {
    assert!(one.handle.ping(&other.node()).await.unwrap() < Duration::from_millis(500));
    let record = one.handle.request_enr(&other.node()).await.unwrap();
    assert_eq!(record, other.handle.local_record());
    let found = other.handle.lookup(NodeId::new([1; 32])).await.unwrap();
    assert_eq!(found.iter().map(Node::id).collect::<Vec<_>>(), [one.node().id()]);
}

#[tokio::test]
async fn two_nodes_meet_over_ipv4() {
    let (one, other) =
        (start(bind("127.0.0.1:0"), 1, vec![]), start(bind("127.0.0.1:0"), 2, vec![]));
    meet(&one, &other).await;
    one.handle.close().await;
    assert!(timeout(LONG, one.task).await.unwrap().unwrap().is_ok());
    assert!(other.task.now_or_never().is_none());
}

#[tokio::test]
async fn two_nodes_meet_over_ipv6() {
    let (one, other) = (start(bind("[::1]:0"), 1, vec![]), start(bind("[::1]:0"), 2, vec![]));
    meet(&one, &other).await;
}

#[tokio::test]
async fn a_socket_for_all_addresses_speaks_to_both_families() {
    let both = start(bind("[::]:0"), 1, vec![]);
    let (four, six) = (start(bind("127.0.0.1:0"), 2, vec![]), start(bind("[::1]:0"), 3, vec![]));
    // Whoever speaks first, each has the other's own address.
    both.handle.ping(&four.node()).await.unwrap();
    both.handle.ping(&six.node()).await.unwrap();
    four.handle.ping(&both.node_at("127.0.0.1")).await.unwrap();
    six.handle.ping(&both.node_at("::1")).await.unwrap();

    both.handle.add_node(four.node()).await.unwrap();
    both.handle.add_node(six.node()).await.unwrap();
    let (mut nodes, mut endpoints) = (both.handle.nodes(), BTreeSet::new());
    let meet_both = async {
        while endpoints.len() < 2 {
            endpoints.insert(nodes.next().await.unwrap().udp_addr().unwrap());
        }
    };
    timeout(LONG, meet_both).await.unwrap();
    assert_eq!(endpoints, BTreeSet::from([four.addr, six.addr]));
}

#[tokio::test]
async fn eight_nodes_find_each_other_from_one() {
    let boot = start(bind("127.0.0.1:0"), 1, vec![]);
    let boot_node = boot.node();
    let mut all = vec![boot];
    all.extend((2..=8).map(|n| start(bind("127.0.0.1:0"), n, vec![boot_node.clone()])));
    for node in &all {
        let others: BTreeSet<_> = all
            .iter()
            .map(|other| other.node().id())
            .filter(|&id| id != node.node().id())
            .collect();
        let (mut nodes, mut met) = (node.handle.nodes(), BTreeSet::new());
        let meet_all = async {
            while met != others {
                met.insert(nodes.next().await.unwrap().id());
            }
        };
        timeout(LONG, meet_all).await.unwrap();
    }
}

#[tokio::test]
async fn datagrams_that_are_too_long_are_counted() {
    let (node, other) =
        (start(bind("127.0.0.1:0"), 1, vec![]), start(bind("127.0.0.1:0"), 2, vec![]));
    let io = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for size in [1_281, 1_282, 9_000, 0, 1_280] {
        io.send_to(&vec![1; size], node.addr).unwrap();
    }
    assert!(other.handle.ping(&node.node()).await.is_ok());
    let statistics = node.handle.statistics().await.unwrap();
    assert_eq!(statistics.machine.dropped(DropCause::Size), 4);
    assert_eq!(statistics.machine.dropped_total(), 5, "the last is no packet either");
}

#[tokio::test]
async fn a_burst_is_worked_off_in_turns() {
    let (node, other) =
        (start(bind("127.0.0.1:0"), 1, vec![]), start(bind("127.0.0.1:0"), 2, vec![]));
    let io = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..150 {
        io.send_to(&[1; 100], node.addr).unwrap();
    }
    // Behind all of them.
    assert!(other.handle.ping(&node.node()).await.is_ok());
    let statistics = node.handle.statistics().await.unwrap();
    assert_eq!(statistics.machine.dropped_total(), 150);
}
