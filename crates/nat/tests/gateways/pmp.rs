//! A gateway that speaks NAT-PMP, PCP, both, or nonsense.

use std::{
    net::Ipv4Addr,
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use devp2p_nat::{
    Config, Driver, Event, Socket,
    gateway::{Gateway, GatewayError, Pcp, Pmp, Search},
};
use futures::StreamExt as _;
use tokio::{net::UdpSocket, task::JoinHandle, time::timeout};

const EXTERNAL: [u8; 4] = [8, 8, 4, 4];
const LEASE: Duration = Duration::from_mins(10);

/// What is mapped: protocol (as in NAT-PMP: 1 is UDP, 2 is TCP), internal port, lease.
type Mappings = Arc<Mutex<Vec<(u8, u16, u32)>>>;

struct Fake {
    address: Ipv4Addr,
    mappings: Mappings,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address of loopback that no other test has, also not of another run.
fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, (high & 0x7f) + 1, low, NEXT.fetch_add(1, Ordering::SeqCst))
}

/// A gateway that answers each request with these datagrams.
async fn serve(answer: impl Fn(&[u8], &Mappings) -> Vec<Vec<u8>> + Send + 'static) -> Fake {
    let address = address();
    let socket = UdpSocket::bind((address, 5_351)).await.unwrap();
    let mappings = Mappings::default();
    let known = Arc::clone(&mappings);
    let task = tokio::spawn(async move {
        let mut request = [0; 1_100];
        loop {
            // An error says that the client is gone.
            let Ok((length, client)) = socket.recv_from(&mut request).await else { continue };
            for datagram in answer(&request[..length], &known) {
                let _ = socket.send_to(&datagram, client).await;
            }
        }
    });
    Fake { address, mappings, task }
}

fn port(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes[..2].try_into().unwrap())
}

fn note(mappings: &Mappings, protocol: u8, internal: u16, lease: u32) {
    let mut mappings = mappings.lock().unwrap();
    mappings.retain(|&(kind, port, _)| (kind, port) != (protocol, internal));
    if lease > 0 {
        mappings.push((protocol, internal, lease));
    }
}

/// RFC 6886 §3.
fn nat_pmp(request: &[u8], mappings: &Mappings) -> Vec<Vec<u8>> {
    let head = |code: u8| [[0, 128 + code, 0, 0], [0, 0, 1, 0]].concat();
    match (request[0], request[1]) {
        (0, 0) => vec![[head(0), EXTERNAL.to_vec()].concat()],
        (0, code @ (1 | 2)) => {
            let (internal, wanted) = (port(&request[4..]), port(&request[6..]));
            let lease = u32::from_be_bytes(request[8..12].try_into().unwrap());
            note(mappings, code, internal, lease);
            // The port below 1024 is taken.
            let external = if wanted < 1_024 && lease > 0 { wanted + 1_024 } else { wanted };
            let ports = [internal.to_be_bytes(), external.to_be_bytes()].concat();
            vec![[head(code), ports, lease.to_be_bytes().to_vec()].concat()]
        }
        // Unsupported version, as version 0.
        (_, code) => vec![[0, 128 + code, 0, 1, 0, 0, 1, 0].to_vec()],
    }
}

/// RFC 6887 §11.
fn pcp(request: &[u8], mappings: &Mappings) -> Vec<Vec<u8>> {
    if request[0] != 2 {
        let mut refusal = vec![0; 24];
        refusal[..4].copy_from_slice(&[2, 128, 0, 1]);
        return vec![refusal];
    }
    let lease = u32::from_be_bytes(request[4..8].try_into().unwrap());
    let (protocol, internal) = (request[36], port(&request[40..]));
    note(mappings, if protocol == 6 { 2 } else { 1 }, internal, lease);
    let mut response = request[..60].to_vec();
    response[1] = 128 + 1;
    response[3] = 0;
    response[8..24].fill(0);
    let external = if lease > 0 { internal + 1 } else { 0 };
    response[42..44].copy_from_slice(&external.to_be_bytes());
    response[44..60].copy_from_slice(&Ipv4Addr::from(EXTERNAL).to_ipv6_mapped().octets());
    vec![response]
}

fn tcp(port: u16) -> Socket {
    Socket::tcp(([0, 0, 0, 0], port).into())
}

fn udp(port: u16) -> Socket {
    Socket::udp(([0, 0, 0, 0], port).into())
}

async fn found(search: impl Search) -> Result<Arc<dyn Gateway>, GatewayError> {
    timeout(Duration::from_secs(8), search.search()).await.unwrap()
}

#[tokio::test]
async fn nat_pmp_tells_the_address_and_maps() {
    let fake = serve(nat_pmp).await;
    let gateway = found(Pmp::new(Some(fake.address))).await.unwrap();
    assert_eq!(gateway.address().await.unwrap(), Ipv4Addr::from(EXTERNAL));
    let mapped = gateway.map(tcp(30_303), 30_303, LEASE).await.unwrap();
    assert_eq!((mapped.external_port, mapped.lease), (30_303, LEASE));
    let mapped = gateway.map(udp(300), 300, LEASE).await.unwrap();
    assert_eq!(mapped.external_port, 1_324, "another one, as the gateway wants it");
    assert_eq!(*fake.mappings.lock().unwrap(), [(2, 30_303, 600), (1, 300, 600)]);
    gateway.unmap(tcp(30_303), 30_303).await.unwrap();
    assert_eq!(*fake.mappings.lock().unwrap(), [(1, 300, 600)]);
}

#[tokio::test]
async fn pcp_tells_the_address_with_a_mapping() {
    let fake = serve(pcp).await;
    let gateway = found(Pcp::new(Some(fake.address))).await.unwrap();
    assert_eq!(*fake.mappings.lock().unwrap(), [], "the one of the search is taken back");
    let mapped = gateway.map(udp(30_303), 30_303, LEASE).await.unwrap();
    assert_eq!((mapped.external_port, mapped.lease), (30_304, LEASE));
    assert_eq!(mapped.address, Some(EXTERNAL.into()));
    assert_eq!(gateway.address().await.unwrap(), Ipv4Addr::from(EXTERNAL));
    gateway.map(udp(30_303), 30_304, LEASE).await.unwrap();
    assert_eq!(*fake.mappings.lock().unwrap(), [(1, 30_303, 600)]);
    gateway.unmap(udp(30_303), 30_304).await.unwrap();
    assert_eq!(*fake.mappings.lock().unwrap(), []);
}

#[tokio::test]
async fn a_gateway_of_the_other_protocol_is_refused_at_once() {
    let both = [found(Pmp::new(Some(serve(pcp).await.address))).await.err(), {
        let fake = serve(nat_pmp).await;
        found(Pcp::new(Some(fake.address))).await.err()
    }];
    // The first fake is gone by then: nobody listens there.
    assert!(matches!(both[0], Some(GatewayError::Io(_) | GatewayError::Refused(_))));
    assert!(matches!(both[1], Some(GatewayError::Refused(_))), "{both:?}");
    let fake = serve(pcp).await;
    let refused = found(Pmp::new(Some(fake.address))).await.err();
    assert!(matches!(refused, Some(GatewayError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn nonsense_is_refused_whatever_its_size() {
    for size in [0, 1, 2, 3, 4, 8, 11, 12, 15, 16, 17, 23, 24, 44, 59, 60, 61, 1_100, 65_000] {
        for fill in [0, 2, 128, 255] {
            let fake = serve(move |_, _| vec![vec![fill; size]]).await;
            let refused = |result: Result<_, GatewayError>| {
                assert!(matches!(result, Err(GatewayError::Refused(_))), "{size} bytes of {fill}");
            };
            // Of what is too long only the beginning is seen, which no address follows from here.
            refused(found(Pmp::new(Some(fake.address))).await.map(|_| ()));
            refused(found(Pcp::new(Some(fake.address))).await.map(|_| ()));
        }
    }
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    // Another internal port, another nonce.
    let fake = serve(|request, mappings| {
        let mut answers = nat_pmp(request, mappings);
        if request[1] != 0 {
            answers[0][9] ^= 1;
        }
        answers
    })
    .await;
    let gateway = found(Pmp::new(Some(fake.address))).await.unwrap();
    let refused = gateway.map(tcp(30_303), 30_303, LEASE).await;
    assert!(matches!(refused, Err(GatewayError::Refused(_))), "{refused:?}");
    let fake = serve(|request, mappings| {
        let mut answers = pcp(request, mappings);
        answers[0][24] ^= 1;
        answers
    })
    .await;
    let refused = found(Pcp::new(Some(fake.address))).await.err();
    assert!(matches!(refused, Some(GatewayError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_node_is_mapped_and_goes() {
    let fake = serve(nat_pmp).await;
    let (tcp, udp) = (tcp(30_303), udp(30_304));
    let search = Pmp::new(Some(fake.address));
    let mut driver = Driver::with_search(search, &[tcp, udp], Config::default());
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(timeout(Duration::from_secs(10), driver.next()).await.unwrap().unwrap());
    }
    let external = |port| (Ipv4Addr::from(EXTERNAL), port).into();
    assert_eq!(
        told,
        [
            Event::Address(Some(EXTERNAL.into())),
            Event::Mapped { socket: tcp, external: external(30_303) },
            Event::Mapped { socket: udp, external: external(30_304) },
        ]
    );
    assert_eq!(*fake.mappings.lock().unwrap(), [(2, 30_303, 600), (1, 30_304, 600)]);
    driver.stop();
    assert_eq!(driver.count().await, 3);
    assert_eq!(*fake.mappings.lock().unwrap(), []);
}
