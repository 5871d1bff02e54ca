//! Servers that find each other with discovery v5, beside v4 and without it, on sockets of this
//! machine.
#![cfg(all(feature = "discv4", feature = "discv5"))]
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use devp2p_core::{DiscoveryVersion, Node};
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use devp2p_server::{Builder, Config, Handle, MemoryNodeDb, NodeDb as _, Server, StartError};
use futures::StreamExt as _;
use tokio::{
    net::{TcpListener, UdpSocket},
    time::{sleep, timeout},
};

use self::support::{Quiet, id, key, wait_for_peers};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(30);

fn builder(n: u16, change: impl FnOnce(&mut Config)) -> Builder {
    Server::builder(key(n)).listen_addr(ANY_PORT).protocol(Quiet("test")).configure(change)
}

/// One that knows another by its record, and searches with v5 alone.
fn with_v5(n: u16, bootnode: Option<&Handle>) -> Builder {
    builder(n, |config| {
        config.discovery_v4 = false;
        config.bootstrap_nodes_v5 = bootnode.map(at).into_iter().collect();
    })
}

/// Where discovery v5 finds a server.
fn at(server: &Handle) -> Node {
    Node::from_record(server.node_info().enr)
}

async fn stop(servers: impl IntoIterator<Item = Handle>) {
    for server in servers {
        server.stop().await;
    }
}

/// Waits until discovery v5 of the server has verified a node.
async fn wait_for_nodes(server: &Handle) {
    let discovery = server.discv5().unwrap();
    assert!(timeout(LONG, discovery.nodes().next()).await.unwrap().is_some());
}

#[tokio::test]
async fn servers_with_v5_alone_find_each_other_from_one_bootnode() {
    let boot = with_v5(1, None).start().await.unwrap();
    assert!(boot.discv4().is_none());
    let mut servers = Vec::new();
    for n in 2..=4 {
        servers.push(with_v5(n, Some(&boot)).start().await.unwrap());
    }
    servers.push(boot);
    for server in &servers {
        wait_for_peers(server, 3).await;
    }
    stop(servers).await;
}

#[tokio::test]
async fn both_versions_share_the_port_of_tcp() {
    let one = builder(1, |_| {}).start().await.unwrap();
    let two = builder(2, |_| {}).start().await.unwrap();
    let info = one.node_info();
    assert_eq!((info.disc_addr, info.disc_v5_addr), (info.listen_addr, None));
    assert_eq!(info.enr.udp(), info.disc_addr.map(|addr| addr.port()));

    let (v4, v5) = (two.discv4().unwrap(), two.discv5().unwrap());
    v4.ping(&info.enode).await.unwrap();
    v5.ping(&at(&one)).await.unwrap();
    assert_eq!(v5.local_record(), two.node_info().enr);
    // The handles are those of the protocol itself.
    let (at_one, asked) = (at(&one), one.discv5().unwrap());
    let mut requests = asked.register_talk("test").await.unwrap();
    let answering = async { requests.next().await.unwrap().respond("here").await };
    let (answer, sent) = tokio::join!(v5.talk(&at_one, "test", "where?"), answering);
    assert_eq!((answer.unwrap(), sent), ("here".into(), Ok(())));
    // Neither took what was for the other.
    let dropped_v4 = v4.statistics().await.unwrap().machine.dropped_total();
    let dropped_v5 = v5.statistics().await.unwrap().machine.dropped_total();
    assert_eq!((dropped_v4, dropped_v5), (0, 0));

    stop([one, two]).await;
    assert!(v4.is_closed() && v5.is_closed());
}

#[tokio::test]
async fn a_server_with_both_is_found_by_those_with_one() {
    let both = builder(1, |_| {}).start().await.unwrap();
    let by_v5 = with_v5(2, Some(&both)).start().await.unwrap();
    let by_v4 = builder(3, |config| {
        config.discovery_v5 = false;
        config.bootstrap_nodes = vec![both.node_info().enode];
    });
    let by_v4 = by_v4.start().await.unwrap();
    assert!(by_v4.discv5().is_none());
    wait_for_peers(&by_v5, 1).await;
    wait_for_peers(&by_v4, 1).await;
    wait_for_peers(&both, 2).await;
    stop([both, by_v5, by_v4]).await;
}

#[tokio::test]
async fn v5_can_have_a_socket_of_its_own() {
    let apart = |n| builder(n, |config| config.discovery_v5_addr = Some(ANY_PORT));
    let one = apart(1).start().await.unwrap();
    let info = one.node_info();
    let own = info.disc_v5_addr.unwrap();
    assert_eq!(info.disc_addr, info.listen_addr);
    assert_eq!(info.enr.udp(), Some(own.port()), "v5 finds nodes by their records");
    assert_eq!(info.enode.udp_port(), info.disc_addr.map(|addr| addr.port()), "and v4 by these");
    let two = apart(2).start().await.unwrap();
    two.discv4().unwrap().ping(&info.enode).await.unwrap();
    two.discv5().unwrap().ping(&at(&one)).await.unwrap();
    stop([one, two]).await;
    let _free = UdpSocket::bind(own).await.unwrap();

    // The other socket is there for v4 alone, or not at all.
    let server = with_v5(1, None).configure(|config| config.discovery_v5_addr = Some(ANY_PORT));
    let server = server.start().await.unwrap();
    let info = server.node_info();
    assert!(info.disc_addr.is_none() && info.disc_v5_addr.is_some() && server.discv5().is_some());
    let _free = UdpSocket::bind(info.listen_addr.unwrap()).await.unwrap();
    server.stop().await;
    let off = builder(1, |config| {
        config.discovery_v5_addr = Some(ANY_PORT);
        config.discovery_v5 = false;
    });
    let off = off.start().await.unwrap();
    assert!(off.node_info().disc_v5_addr.is_none() && off.discv5().is_none());
    off.stop().await;
}

#[tokio::test]
async fn a_taken_port_of_v5_is_an_error_that_leaves_nothing_behind() {
    let taken = UdpSocket::bind(ANY_PORT).await.unwrap();
    let address = taken.local_addr().unwrap();
    let free = TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let server = builder(1, |config| config.discovery_v5_addr = Some(address)).listen_addr(free);
    match server.start().await {
        Err(StartError::ListenUdp { address: named, error }) => {
            assert_eq!((named, error.kind()), (address, io::ErrorKind::AddrInUse));
        }
        other => panic!("{other:?}"),
    }
    let _tcp_is_free = TcpListener::bind(free).await.unwrap();
    let _udp_is_free = UdpSocket::bind(free).await.unwrap();
}

#[tokio::test]
async fn the_nodes_of_an_earlier_run_are_found_without_a_bootnode() {
    let db = MemoryNodeDb::new();
    let boot = with_v5(9, None).start().await.unwrap();
    let eager = |builder: Builder| {
        builder.node_db(db.clone()).configure(|config| {
            config.no_dial = true;
            // After the first check.
            config.discv5.remember_checks = 0;
        })
    };
    let first = eager(with_v5(1, Some(&boot))).start().await.unwrap();
    wait_for_nodes(&first).await;
    let remembered = async {
        loop {
            let seeds = db.open(id(1), 0).await.unwrap().seeds;
            if let Some(seed) = seeds.into_iter().next() {
                return seed;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let seed = timeout(LONG, remembered).await.unwrap();
    assert_eq!((seed.protocol, seed.node.id()), (DiscoveryVersion::V5, id(9)));
    first.stop().await;

    let second = eager(with_v5(1, None)).start().await.unwrap();
    wait_for_nodes(&second).await;
    stop([second, boot]).await;
}

/// When its peer goes, says whether both discoveries had ended by then.
struct Leaving {
    server: Arc<OnceLock<(devp2p_discv4::Handle, devp2p_discv5::Handle)>>,
    had_ended: Arc<OnceLock<(bool, bool)>>,
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
        let ended = self.server.get().map(|(v4, v5)| (v4.is_closed(), v5.is_closed()));
        let _ = self.had_ended.set(ended.unwrap_or_default());
        Ok(())
    }
}

#[tokio::test]
async fn both_end_before_the_peers_are_disconnected_whatever_their_sockets() {
    for v5_addr in [None, Some(ANY_PORT)] {
        let (server, had_ended) = (Arc::default(), Arc::default());
        let leaving = Leaving { server: Arc::clone(&server), had_ended: Arc::clone(&had_ended) };
        let one = Server::builder(key(1)).listen_addr(ANY_PORT).protocol(leaving);
        let one = one.configure(|config| config.discovery_v5_addr = v5_addr);
        let one = one.start().await.unwrap();
        server.set((one.discv4().unwrap(), one.discv5().unwrap())).unwrap();
        let two = builder(2, |_| {}).static_node(one.node_info().enode).start().await.unwrap();
        wait_for_peers(&one, 1).await;
        one.stop().await;
        assert_eq!(had_ended.get(), Some(&(true, true)));
        two.stop().await;
    }
}
