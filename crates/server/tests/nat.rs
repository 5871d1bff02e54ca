//! A server whose sockets somebody maps: what its record says then, and the stop.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use devp2p_core::NodeKey;
use devp2p_server::{
    Handle, MappedSocket, MemoryNetwork, PortEvent, PortMapper, Server, SocketRole,
};
use tokio::time::{sleep, timeout};

/// A mapper that tells what the test has it tell.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    sockets: Mutex<Vec<MappedSocket>>,
    events: Mutex<Vec<PortEvent>>,
    waker: Mutex<Option<Waker>>,
    is_stopped: AtomicBool,
    never_ends: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Scripted {
    fn tell(&self, events: impl IntoIterator<Item = PortEvent>) {
        self.0.events.lock().unwrap().extend(events);
        if let Some(waker) = self.0.waker.lock().unwrap().take() {
            waker.wake();
        }
    }

    fn sockets(&self) -> Vec<MappedSocket> {
        self.0.sockets.lock().unwrap().clone()
    }
}

impl PortMapper for Scripted {
    fn map(&mut self, sockets: &[MappedSocket]) {
        *self.0.sockets.lock().unwrap() = sockets.to_vec();
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<PortEvent>> {
        *self.0.waker.lock().unwrap() = Some(cx.waker().clone());
        let mut events = self.0.events.lock().unwrap();
        if !events.is_empty() {
            return Poll::Ready(Some(events.remove(0)));
        }
        if self.0.is_stopped.load(Ordering::SeqCst) && !self.0.never_ends.load(Ordering::SeqCst) {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    fn stop(&mut self) {
        self.0.is_stopped.store(true, Ordering::SeqCst);
    }

    fn gateway(&self) -> Option<String> {
        Some("a script".to_owned())
    }

    fn failure(&self) -> Option<String> {
        self.0.failure.lock().unwrap().clone()
    }
}

const EXTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4));

async fn start(mapper: &Scripted) -> Handle {
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = Server::builder(NodeKey::generate().unwrap()).listen_addr(anywhere);
    let server = server.port_mapper(mapper.clone()).start().await.unwrap();
    while mapper.sockets().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    server
}

/// What the record says: address, TCP port, UDP port.
fn shown(server: &Handle) -> (Option<Ipv4Addr>, Option<u16>, Option<u16>) {
    let record = server.node_info().enr;
    (record.ip(), record.tcp(), record.udp())
}

async fn shows(server: &Handle, expected: (Option<Ipv4Addr>, Option<u16>, Option<u16>)) {
    let wait = async {
        while shown(server) != expected {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), wait).await.unwrap();
}

#[tokio::test]
async fn the_record_tells_what_is_mapped_until_it_is_lost() {
    let mapper = Scripted::default();
    let server = start(&mapper).await;
    let sockets = mapper.sockets();
    let roles: Vec<_> = sockets.iter().map(|socket| socket.role).collect();
    let searches = cfg!(any(feature = "discv4", feature = "discv5"));
    let expected = [SocketRole::Listener, SocketRole::Discovery];
    assert_eq!(roles, expected[..1 + usize::from(searches)]);
    assert_eq!(Some(sockets[0].address), server.node_info().listen_addr);

    let before = shown(&server);
    let first = server.node_info().enr.seq();
    let mapped = |(socket, port): (&MappedSocket, u16)| PortEvent::Mapped {
        socket: *socket,
        external: SocketAddr::new(EXTERNAL, port),
    };
    mapper.tell([PortEvent::Address(Some(EXTERNAL))]);
    mapper.tell(sockets.iter().zip([11, 12]).map(mapped));
    let external = Some(Ipv4Addr::new(8, 8, 4, 4));
    shows(&server, (external, Some(11), before.2.and(Some(12)))).await;
    assert_eq!(server.node_info().enode.tcp_addr(), Some(SocketAddr::new(EXTERNAL, 11)));
    let endpoints = |server: &Handle| -> Vec<_> {
        server.ports().unwrap().sockets.iter().map(|(_, external)| *external).collect()
    };
    assert_eq!(server.ports().unwrap().address, Some(EXTERNAL));
    assert_eq!(endpoints(&server)[0], Some(SocketAddr::new(EXTERNAL, 11)));
    mapper.tell(sockets.iter().copied().map(PortEvent::Lost));
    mapper.tell([PortEvent::Address(None)]);
    shows(&server, before).await;
    assert!(server.node_info().enr.seq() > first);
    assert_eq!(endpoints(&server), vec![None; sockets.len()]);
    assert_eq!(server.ports().unwrap().address, None);
    server.stop().await;
    assert!(mapper.0.is_stopped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_fails_is_shown_without_an_event() {
    let mapper = Scripted::default();
    let server = start(&mapper).await;
    let failure = |server: &Handle| server.ports().unwrap().failure;
    assert_eq!(failure(&server), None);
    assert_eq!(server.ports().unwrap().sockets.len(), mapper.sockets().len());
    *mapper.0.failure.lock().unwrap() = Some("no gateway found".to_owned());
    mapper.tell([]);
    let wait = async {
        while failure(&server).is_none() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), wait).await.unwrap();
    assert_eq!(failure(&server).as_deref(), Some("no gateway found"));
    assert_eq!(server.ports().unwrap().gateway.as_deref(), Some("a script"));
    server.stop().await;

    let unmapped = Server::builder(NodeKey::generate().unwrap()).listen_addr(None);
    let unmapped = unmapped.start().await.unwrap();
    assert_eq!(unmapped.ports(), None);
    unmapped.stop().await;
}

#[tokio::test]
async fn a_mapper_that_does_not_end_does_not_keep_the_server_from_its_stop() {
    let mapper = Scripted::default();
    mapper.0.never_ends.store(true, Ordering::SeqCst);
    let server = start(&mapper).await;
    let seq = server.node_info().enr.seq();
    timeout(Duration::from_secs(3), server.stop()).await.unwrap();
    assert_eq!(server.node_info().enr.seq(), seq);
    assert_eq!(Arc::strong_count(&mapper.0), 1, "it is dropped");
}

#[tokio::test]
async fn a_listener_that_is_not_of_tcp_is_not_mapped() {
    let mapper = Scripted::default();
    let network = MemoryNetwork::new(Duration::ZERO);
    let address = "8.8.8.8:30303".parse().unwrap();
    let server = Server::builder(NodeKey::generate().unwrap())
        .listener(network.listen(address).unwrap())
        .configure(|config| config.disc_addr = Some("127.0.0.1:0".parse().unwrap()))
        .port_mapper(mapper.clone())
        .start()
        .await
        .unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(mapper.sockets().iter().all(|socket| socket.role != SocketRole::Listener));
    server.stop().await;
}
