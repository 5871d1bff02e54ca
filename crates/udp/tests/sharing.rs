//! Discoveries that share a socket.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::WallClock;
use devp2p_udp::{DatagramService, Socket, Transmit, Udp};
use tokio::{net::UdpSocket, time::timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Takes datagrams that begin with its mark and sends them back; ends at one that goes on with `!`.
struct Echo {
    mark: u8,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How often the wall clock was read again.
    clocks: Arc<AtomicU32>,
    answer: Option<(SocketAddr, Bytes)>,
    over: bool,
}

impl Echo {
    fn new(mark: u8) -> (Self, Arc<Mutex<Vec<Vec<u8>>>>) {
        let heard = Arc::default();
        let echo = Self {
            mark,
            heard: Arc::clone(&heard),
            clocks: Arc::default(),
            answer: None,
            over: false,
        };
        (echo, heard)
    }
}

impl DatagramService for Echo {
    fn claims(&self, datagram: &[u8]) -> bool {
        datagram.first() == Some(&self.mark)
    }

    fn handle_datagram(&mut self, _: Instant, from: SocketAddr, datagram: &[u8]) {
        self.heard.lock().unwrap().push(datagram.to_vec());
        self.over = datagram.get(1) == Some(&b'!');
        self.answer = Some((from, Bytes::copy_from_slice(datagram)));
    }

    fn handle_wall_clock(&mut self, _: WallClock) {
        self.clocks.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_receive_error(&mut self) {}

    fn handle_send_error(&mut self) {}

    fn poll_transmit(&mut self, _: &mut Context<'_>) -> Poll<Option<Transmit>> {
        match self.answer.take() {
            Some((to, bytes)) => Poll::Ready(Some(Transmit { to, bytes })),
            None if self.over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

async fn ask(socket: &UdpSocket, question: &[u8]) -> Option<Vec<u8>> {
    socket.send(question).await.unwrap();
    let mut buffer = [0; 2_000];
    let size = timeout(SECOND / 5, socket.recv(&mut buffer)).await.ok()?.unwrap();
    Some(buffer[..size].to_vec())
}

#[tokio::test]
async fn each_datagram_goes_to_the_first_service_that_claims_it() {
    let (one, heard_by_one) = Echo::new(b'1');
    let (two, heard_by_two) = Echo::new(b'2');
    let (shadow, heard_by_shadow) = Echo::new(b'1');
    let udp = Udp::new(Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let address = udp.local_addr().unwrap();
    let running = tokio::spawn(udp.serve(one).serve(two).serve(shadow));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();

    assert_eq!(ask(&socket, b"2 to two").await.as_deref(), Some(&b"2 to two"[..]));
    assert_eq!(ask(&socket, b"1 to one").await.as_deref(), Some(&b"1 to one"[..]));
    assert_eq!(ask(&socket, b"3 to nobody").await, None);
    let long = [b'1'; 1_900];
    let seen = ask(&socket, &long).await.unwrap();
    assert_eq!(seen.len(), 1_281, "one byte more than any packet has: it is seen to be too long");
    assert_eq!(heard_by_one.lock().unwrap().len(), 2);
    assert_eq!(*heard_by_two.lock().unwrap(), [b"2 to two".to_vec()]);
    assert!(heard_by_shadow.lock().unwrap().is_empty());

    // One that is over leaves the others alone; with the last one it ends.
    assert!(ask(&socket, b"1!").await.is_some());
    assert!(ask(&socket, b"2!").await.is_some());
    assert!(ask(&socket, b"1 to the shadow").await.is_some());
    assert!(!running.is_finished());
    assert!(ask(&socket, b"1!").await.is_some());
    timeout(SECOND, running).await.unwrap().unwrap().unwrap();
    assert_eq!(heard_by_shadow.lock().unwrap().len(), 2);
    let _free = UdpSocket::bind(address).await.unwrap();
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_ends_nothing() {
    let (one, _) = Echo::new(b'1');
    let udp = Udp::new(Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let address = udp.local_addr().unwrap();
    let running = tokio::spawn(udp.serve(one));
    for _ in 0..300 {
        // Its answer comes when this socket is gone: the system reports that at its next call.
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        gone.send_to(b"1", address).await.unwrap();
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    assert!(ask(&socket, b"1 still there").await.is_some());
    assert!(!running.is_finished());
    running.abort();
}

#[tokio::test]
async fn the_wall_clock_is_read_once_a_second() {
    let (one, _) = Echo::new(b'1');
    let clocks = Arc::clone(&one.clocks);
    let udp = Udp::new(Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let address = udp.local_addr().unwrap();
    let running = tokio::spawn(udp.serve(one));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    tokio::time::pause();
    let mut expected = 0;
    for wait in [SECOND / 10, 9 * SECOND / 10, SECOND / 10, 3600 * SECOND] {
        tokio::time::advance(wait).await;
        expected += u32::from(wait > SECOND / 2);
        socket.send(b"1").await.unwrap();
        let mut buffer = [0; 8];
        socket.recv(&mut buffer).await.unwrap();
        assert_eq!(clocks.load(Ordering::Relaxed), expected, "after {wait:?} more");
    }
    running.abort();
}
