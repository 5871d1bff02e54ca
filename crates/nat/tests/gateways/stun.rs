//! STUN servers that answer, and such that do not as they should.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_nat::{
    Config, Driver, Event, Nat, Socket,
    gateway::{GatewayError, Search, Stun},
};
use futures::StreamExt as _;
use tokio::{net::UdpSocket, time::timeout};

const SEEN: [u8; 4] = [8, 8, 4, 4];

/// A server that answers each request with these datagrams.
async fn serve(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut request = [0; 100];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut request).await else { continue };
            for datagram in answer(&request[..length]) {
                let _ = socket.send_to(&datagram, client).await;
            }
        }
    });
    address
}

/// The answer to a binding request, with so many bytes of an attribute that may be ignored.
fn success(request: &[u8], ballast: u16) -> Vec<u8> {
    assert_eq!(
        (request.len(), &request[..2], &request[4..8]),
        (20, &[0, 1][..], b"\x21\x12\xa4\x42".as_slice())
    );
    let mut response = [&[1, 1][..], &(16 + ballast).to_be_bytes(), &request[4..20]].concat();
    response.extend([0x80, 0x22]);
    response.extend(ballast.to_be_bytes());
    response.extend(vec![b'x'; ballast.into()]);
    let [a, b, c, d] = SEEN;
    response.extend([0, 0x20, 0, 8, 0, 1, 0, 0, a ^ 0x21, b ^ 0x12, c ^ 0xa4, d ^ 0x42]);
    response
}

fn wrong(request: &[u8]) -> Vec<u8> {
    let mut response = success(request, 0);
    response[19] ^= 1;
    response
}

async fn ask(server: SocketAddr) -> Result<IpAddr, GatewayError> {
    let nat: Nat = format!("stun:{server}").parse().unwrap();
    let Nat::Stun(server) = nat else { panic!("{nat}") };
    let gateway = Stun::new(server).search().await.unwrap();
    timeout(Duration::from_secs(8), gateway.address()).await.unwrap()
}

#[tokio::test]
async fn a_server_tells_the_address() {
    assert_eq!(
        ask(serve(|request| vec![success(request, 4)]).await).await.unwrap(),
        IpAddr::from(SEEN)
    );
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let server = serve(|request| vec![success(request, 0)]).await;
    let nat = format!("stun:localhost:{}", server.port()).parse().unwrap();
    let socket = Socket::udp("0.0.0.0:30303".parse().unwrap());
    let mut driver = Driver::new(&nat, &[socket], Config::default());
    let told = timeout(Duration::from_secs(8), driver.next()).await.unwrap();
    assert_eq!(told, Some(Event::Address(Some(SEEN.into()))));
    driver.stop();
    assert_eq!(driver.collect::<Vec<_>>().await, [Event::Address(None)]);
}

#[tokio::test]
async fn answers_to_other_requests_are_passed_over() {
    let server = serve(|request| vec![wrong(request), vec![], vec![7; 9], success(request, 0)]);
    assert_eq!(ask(server.await).await.unwrap(), IpAddr::from(SEEN));
}

#[tokio::test]
async fn a_flood_of_them_is_not_read_for_long() {
    let start = Instant::now();
    let refused = ask(serve(|request| vec![wrong(request); 50]).await).await;
    assert!(matches!(refused, Err(GatewayError::Refused(_))), "{refused:?}");
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_none() {
    let server = serve(|request| vec![success(request, 1_280); 16]);
    let refused = ask(server.await).await.unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
    let server = serve(|request| vec![success(request, 1_240)]);
    assert_eq!(ask(server.await).await.unwrap(), IpAddr::from(SEEN), "the longest there may be");
}

#[tokio::test]
async fn a_lost_question_is_repeated_and_silence_has_an_end() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let server = serve(move |request| {
        let is_second = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1;
        if is_second { vec![success(request, 0)] } else { vec![] }
    });
    assert_eq!(ask(server.await).await.unwrap(), IpAddr::from(SEEN));
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let refused = ask(silent.local_addr().unwrap()).await;
    assert!(matches!(refused, Err(GatewayError::Timeout)), "{refused:?}");
}
