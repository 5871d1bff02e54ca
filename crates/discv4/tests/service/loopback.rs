use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use devp2p_core::{Family, Host, LocalRecord, Node, NodeKey};
use devp2p_discv4::{
    Config, Driver, DropCause, Handle, QueryError, RequestError, Service, Socket, wire::Target,
};
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

/// A port on which nobody listens.
fn closed_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn meet(one: &Running, other: &Running) {
    assert!(one.handle.ping(&other.node()).await.unwrap() < Duration::from_millis(500));
    let record = one.handle.request_enr(&other.node()).await.unwrap();
    assert_eq!(record, other.handle.local_record());
    let found = other.handle.lookup(Target::new([1; 64])).await.unwrap();
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

    let table = both.handle.table().await.unwrap();
    let endpoints: BTreeSet<_> = table.entries().map(|entry| entry.endpoint).collect();
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
async fn errors_of_the_network_are_counted_and_end_nothing() {
    // Connected, as only then the system reports what ICMP says of a port.
    let port = closed_port();
    let io = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    io.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    io.set_nonblocking(true).unwrap();
    let socket = Socket::new(tokio::net::UdpSocket::from_std(io).unwrap()).unwrap();
    let node = start(socket, 1, vec![]);
    let timed_out = Err(QueryError::Request(RequestError::Timeout));

    let nobody = Node::new(key(2).public_key(), Some(Host::Ip([127, 0, 0, 1].into())), 0, port);
    assert_eq!(node.handle.ping(&nobody).await, timed_out);
    // It reports it when the next is received or sent.
    assert_eq!(node.handle.ping(&nobody).await, timed_out);
    let after_icmp = node.handle.statistics().await.unwrap();
    assert!(after_icmp.receive_errors + after_icmp.send_errors > 0, "{after_icmp:?}");

    // Nor can it send to the other family.
    let six = Node::new(key(3).public_key(), Some(Host::Ip("::1".parse().unwrap())), 0, port);
    assert_eq!(node.handle.ping(&six).await, timed_out);
    let after_six = node.handle.statistics().await.unwrap();
    assert!(after_six.send_errors > after_icmp.send_errors, "{after_six:?}");

    let late = start(bind(&format!("127.0.0.1:{port}")), 2, vec![]);
    assert!(node.handle.ping(&late.node()).await.is_ok());
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
