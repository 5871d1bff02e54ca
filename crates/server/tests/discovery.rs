//! Servers that find each other with discovery v4, on sockets of this machine.
#![cfg(feature = "discv4")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use devp2p_core::{DiscoveryVersion, Host, LocalRecord, Node, Rng, Seed};
use devp2p_discv4::{Config, Service};
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use devp2p_server::{
    Builder, DialFilter, Dialer, Handle, Io, MemoryNodeDb, NodeDb as _, Row, Server, StartError,
    TcpDialer,
    udp::{Socket, Udp},
};
use futures::{StreamExt as _, future::BoxFuture};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::support::{Quiet, id, key, wait_for_peers};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn builder(n: u16) -> Builder {
    Server::builder(key(n)).listen_addr(ANY_PORT).protocol(Quiet("test"))
}

fn knowing(n: u16, bootnode: &Node) -> Builder {
    builder(n).configure(|config| config.bootstrap_nodes = vec![bootnode.clone()])
}

fn enode(server: &Handle) -> Node {
    server.node_info().enode
}

async fn stop(servers: impl IntoIterator<Item = Handle>) {
    for server in servers {
        server.stop().await;
    }
}

/// Waits until the server's discovery has verified a node.
async fn wait_for_nodes(server: &Handle) {
    let discovery = server.discv4().unwrap();
    let found = async {
        while discovery.table().await.unwrap().entries().next().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), found).await.unwrap();
}

/// A node that is nothing but discovery.
fn bootnode(n: u16) -> (Node, JoinHandle<io::Result<()>>) {
    bootnode_at(n, ANY_PORT)
}

fn bootnode_at(n: u16, addr: SocketAddr) -> (Node, JoinHandle<io::Result<()>>) {
    let record = Arc::new(Mutex::new(LocalRecord::new(key(n), None, 0).unwrap()));
    let seed = Rng::from_os().unwrap().seed();
    let (service, handle) = Service::new(Config::default(), key(n), record, Vec::new(), seed);
    let socket = Socket::bind(addr).unwrap();
    let addr = socket.local_addr().unwrap();
    let node = Node::new(key(n).public_key(), Some(Host::Ip(addr.ip())), 0, addr.port());
    let running = tokio::spawn(async move {
        let result = Udp::new(socket).serve(service).await;
        drop(handle);
        result
    });
    (node, running)
}

#[tokio::test]
async fn two_servers_with_one_bootnode_find_each_other() {
    let (boot, running) = bootnode(9);
    let one = knowing(1, &boot).start().await.unwrap();
    let two = knowing(2, &boot).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    wait_for_peers(&two, 1).await;
    assert!(one.peer(id(2)).is_some());
    stop([one, two]).await;
    running.abort();
}

#[tokio::test]
async fn five_servers_fill_their_slots_from_one_bootnode() {
    let boot = builder(1).start().await.unwrap();
    let mut servers = Vec::new();
    for n in 2..=5 {
        servers.push(knowing(n, &enode(&boot)).start().await.unwrap());
    }
    servers.push(boot);
    for server in &servers {
        wait_for_peers(server, 4).await;
    }
    stop(servers).await;
}

#[tokio::test]
async fn who_was_known_before_a_restart_is_dialed_before_discovery_has_found_anybody() {
    let other = builder(2).start().await.unwrap();
    let db = MemoryNodeDb::new();
    db.open(id(1), 0).await.unwrap();
    // Nobody answers at its UDP endpoint, and there is no bootnode.
    let nobody = UdpSocket::bind(ANY_PORT).await.unwrap();
    let endpoint = nobody.local_addr().unwrap();
    let tcp_port = enode(&other).tcp_port().unwrap();
    let host = Some(Host::Ip(endpoint.ip()));
    let node = Node::new(key(2).public_key(), host, tcp_port, endpoint.port());
    #[expect(clippy::disallowed_methods, reason = "the server reads the same clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    db.write(Row::Seed(Seed::new(node, endpoint, DiscoveryVersion::V4, now)));
    db.close().await;

    let server = builder(1).node_db(db).start().await.unwrap();
    wait_for_peers(&server, 1).await;
    stop([server, other]).await;
}

/// Says in the record of its node which chain that is on.
struct OnChain(u8);

impl Subprotocol for OnChain {
    fn capability(&self) -> Capability {
        Capability::new("chain", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        while stream.next().await.is_some() {}
        Ok(())
    }

    fn record_entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        vec![(b"chain".to_vec(), Bytes::copy_from_slice(&[self.0]))]
    }
}

#[tokio::test]
async fn where_there_is_a_filter_each_node_is_asked_for_its_record() {
    let (boot, running) = bootnode(9);
    // They dial nobody, so that whoever is connected was dialed.
    let on_chain = |n, chain| {
        let server = knowing(n, &boot).protocol(OnChain(chain));
        server.configure(|config| config.no_dial = true).start()
    };
    let same = on_chain(2, 7).await.unwrap();
    let other = on_chain(3, 8).await.unwrap();
    let filter = DialFilter::new(|node| node.record().and_then(|it| it.get("chain")) == Some(&[7]));
    let ours = knowing(1, &boot).protocol(OnChain(7));
    let ours = ours.configure(|config| config.dial_filter = Some(filter)).start().await.unwrap();
    wait_for_peers(&ours, 1).await;
    let discovery = ours.discv4().unwrap();
    let both_are_known = async {
        while discovery.table().await.unwrap().entries().count() < 3 {
            sleep(Duration::from_millis(10)).await;
        }
        let refused = ours.filtered_candidates();
        while ours.filtered_candidates() < refused + 4 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), both_are_known).await.unwrap();
    assert_eq!(ours.peers().iter().map(|peer| peer.id).collect::<Vec<_>>(), [id(2)]);
    stop([ours, same, other]).await;
    running.abort();
}

#[tokio::test]
async fn udp_has_the_port_of_tcp_and_the_record_tells_it() {
    let server = builder(1).start().await.unwrap();
    let info = server.node_info();
    assert_eq!(info.disc_addr, info.listen_addr);
    let port = info.listen_addr.map(|addr| addr.port());
    assert_eq!((info.enr.udp(), info.enr.tcp()), (port, port));
    assert_eq!((info.enode.udp_port(), info.enode.tcp_port()), (port, port));
    let handle = server.discv4().unwrap();
    assert_eq!(handle.local_record(), info.enr);
    server.stop().await;
    assert!(handle.is_closed());
}

#[tokio::test]
async fn udp_can_have_another_port() {
    let server = builder(1).configure(|config| config.disc_addr = Some(ANY_PORT));
    let server = server.start().await.unwrap();
    let info = server.node_info();
    let (tcp, udp) = (info.listen_addr.unwrap().port(), info.disc_addr.unwrap().port());
    assert_eq!((info.enr.tcp(), info.enr.udp()), (Some(tcp), Some(udp)));
    assert!(info.enode.to_enode().ends_with(&format!("?discport={udp}")) || tcp == udp);
    server.stop().await;

    // Also without any TCP: it only dials.
    let server = builder(1).listen_addr(None).configure(|config| config.disc_addr = Some(ANY_PORT));
    let server = server.start().await.unwrap();
    let info = server.node_info();
    assert_eq!((info.listen_addr, info.enr.tcp()), (None, None));
    assert_eq!(info.enr.udp(), info.disc_addr.map(|addr| addr.port()));
    server.stop().await;
}

#[tokio::test]
async fn without_discovery_no_udp_socket_is_opened() {
    type Change = fn(&mut devp2p_server::Config);
    let changes: [Change; 2] = [
        |config| config.no_discovery = true,
        |config| {
            (config.discovery_v4, config.discovery_v5) = (false, false);
        },
    ];
    for change in changes {
        let server = builder(1).configure(change).start().await.unwrap();
        let info = server.node_info();
        assert_eq!((info.disc_addr, info.enr.udp()), (None, None));
        assert!(server.discv4().is_none());
        let _free = UdpSocket::bind(info.listen_addr.unwrap()).await.unwrap();
        server.stop().await;
    }
    let silent = builder(1).listen_addr(None).start().await.unwrap();
    assert!(silent.discv4().is_none(), "it has no address to search from");
    silent.stop().await;
}

#[tokio::test]
async fn a_taken_udp_port_is_an_error_that_leaves_nothing_behind() {
    let taken = UdpSocket::bind(ANY_PORT).await.unwrap();
    let address = taken.local_addr().unwrap();
    match builder(1).listen_addr(address).start().await {
        Err(StartError::ListenUdp { address: named, error }) => {
            assert_eq!((named, error.kind()), (address, io::ErrorKind::AddrInUse));
        }
        other => panic!("{other:?}"),
    }
    let _tcp_is_free = TcpListener::bind(address).await.unwrap();
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn the_ports_are_free_as_soon_as_the_server_has_stopped() {
    let server = builder(1).start().await.unwrap();
    let address = server.node_info().listen_addr.unwrap();
    server.stop().await;
    let _tcp = TcpListener::bind(address).await.unwrap();
    let _udp = UdpSocket::bind(address).await.unwrap();
}

/// When its peer goes, says whether discovery had ended by then.
struct Leaving {
    discovery: Arc<OnceLock<devp2p_discv4::Handle>>,
    had_ended: Arc<OnceLock<bool>>,
}

impl Subprotocol for Leaving {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        4
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        while stream.next().await.is_some() {}
        let ended = self.discovery.get().is_some_and(devp2p_discv4::Handle::is_closed);
        let _ = self.had_ended.set(ended);
        Ok(())
    }
}

#[tokio::test]
async fn discovery_ends_before_the_peers_are_disconnected() {
    let (discovery, had_ended) = (Arc::default(), Arc::default());
    let leaving = Leaving { discovery: Arc::clone(&discovery), had_ended: Arc::clone(&had_ended) };
    let one =
        Server::builder(key(1)).listen_addr(ANY_PORT).protocol(leaving).start().await.unwrap();
    discovery.set(one.discv4().unwrap()).unwrap();
    let two = builder(2).static_node(enode(&one)).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    one.stop().await;
    assert_eq!(had_ended.get(), Some(&true));
    two.stop().await;
}

#[tokio::test]
async fn a_static_node_without_an_address_is_found() {
    let (boot, running) = bootnode(9);
    let one = knowing(1, &boot).configure(|config| config.no_dial = true).start().await.unwrap();
    // It waits until the other one is in the bootnode's table.
    wait_for_nodes(&one).await;
    let nameless = Node::from(key(1).public_key());
    // Without a slot for candidates: only the static list has it dialed.
    let two = knowing(2, &boot)
        .static_node(nameless.clone())
        .trusted_node(nameless)
        .max_peers(0)
        .configure(|config| {
            // The first search may come before there is anybody to ask.
            config.dial.resolve_backoff = Duration::from_secs(1)..=Duration::from_secs(1);
        });
    let two = two.start().await.unwrap();
    wait_for_peers(&two, 1).await;
    assert!(two.peer(id(1)).unwrap().is_static);
    stop([one, two]).await;
    running.abort();
}

#[tokio::test]
async fn the_nodes_of_an_earlier_run_are_found_without_a_bootnode() {
    let db = MemoryNodeDb::new();
    let (boot, running) = bootnode(9);
    let eager = |builder: Builder| {
        builder.node_db(db.clone()).configure(|config| {
            config.no_dial = true;
            // After the first check.
            config.discv4.remember_checks = 0;
        })
    };
    let first = eager(knowing(1, &boot)).start().await.unwrap();
    wait_for_nodes(&first).await;
    let remembered = async {
        while devp2p_server::NodeDb::open(&db.clone(), id(1), 0).await.unwrap().seeds.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), remembered).await.unwrap();
    first.stop().await;

    let second = eager(builder(1)).start().await.unwrap();
    wait_for_nodes(&second).await;
    second.stop().await;
    running.abort();
}

/// Knows one name, of this machine.
#[derive(Clone, Copy, Debug, Default)]
struct Names(TcpDialer);

impl Dialer for Names {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        self.0.dial(node)
    }

    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let known = host == "boot.example";
        let found = known.then(|| vec![Ipv4Addr::LOCALHOST.into()]);
        Box::pin(std::future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}

#[tokio::test]
async fn a_bootnode_can_have_a_name() {
    let (boot, running) = bootnode(9);
    let host = Some(Host::Dns("boot.example".into()));
    let named = Node::new(boot.public_key(), host, 0, boot.udp_port().unwrap());
    let one = knowing(1, &named).dialer(Names::default()).start().await.unwrap();
    let two = knowing(2, &boot).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    stop([one, two]).await;
    running.abort();
}

#[tokio::test]
async fn a_bootnode_with_a_name_may_come_late() {
    let silent = UdpSocket::bind(ANY_PORT).await.unwrap();
    let address = silent.local_addr().unwrap();
    let host = Some(Host::Dns("boot.example".into()));
    let named = Node::new(key(9).public_key(), host, 0, address.port());
    let one = knowing(1, &named).dialer(Names::default()).configure(|config| {
        config.discv4.table.pin_interval = Duration::from_millis(200);
    });
    let one = one.start().await.unwrap();
    // One that a stranger named would be forgotten by now.
    let tries = async {
        for _ in 0..5 {
            silent.recv_from(&mut [0; 1_280]).await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), tries).await.unwrap();
    drop(silent);
    let (_boot, running) = bootnode_at(9, address);
    wait_for_nodes(&one).await;
    one.stop().await;
    running.abort();
}
