//! Peers over RLPx and loopback TCP: the same driver on a connection that encrypts, compresses
//! and has deadlines of its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use devp2p_core::{Message, NodeKey};
use devp2p_peer::{
    Capability, Config, Direction, DisconnectReason, End, Hello, Peer, Protocol, ProtocolError,
    ProtocolStream, Side, Subprotocol, hello,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Sends messages of many sizes and checks those of the other side, both at once.
struct Exchange {
    received: Arc<AtomicU64>,
}

const SIZES: [usize; 9] = [0, 1, 100, 5_000, 70_000, 1 << 20, 15 << 20, 3, 200_000];

fn payload(size: usize) -> Vec<u8> {
    // Snappy makes nothing of it.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

impl Subprotocol for Exchange {
    fn capability(&self) -> Capability {
        Capability::new("exch", 1)
    }

    fn length(&self) -> u64 {
        SIZES.len() as u64
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        let (mut sink, mut stream) = stream.split();
        let send = async {
            for (id, size) in (0..).zip(SIZES) {
                sink.send(Message { id, payload: payload(size).into() }).await?;
            }
            Ok::<_, ProtocolError>(())
        };
        let receive = async {
            for (id, size) in (0..).zip(SIZES) {
                let message = stream.next().await.ok_or_else(|| ProtocolError::failed("ended"))?;
                if message.id != id || message.payload != payload(size) {
                    return Err(ProtocolError::bad_message("not what was sent"));
                }
                self.received.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        };
        tokio::try_join!(send, receive)?;
        if peer.direction() == Direction::Outbound {
            // The other side may still be reading.
            while self.received.load(Ordering::SeqCst) < 2 * SIZES.len() as u64 {
                tokio::task::yield_now().await;
            }
            peer.disconnect(DisconnectReason::TooManyPeers);
        }
        while stream.next().await.is_some() {}
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_reasons_over_tcp() {
    let received = Arc::new(AtomicU64::new(0));
    let protocols = [Protocol::new(Exchange { received: Arc::clone(&received) })];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys = [1, 2].map(|number| NodeKey::from_bytes(&[number; 32]).unwrap());
    let [dialer, acceptor] = keys.clone();
    let limits = devp2p_rlpx::Config::default();

    let dial = async {
        let stream = TcpStream::connect(address).await.unwrap();
        devp2p_rlpx::connect_tcp(stream, &dialer, &acceptor.public_key(), &limits).await.unwrap()
    };
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        devp2p_rlpx::accept_tcp(stream, &acceptor, &limits).await.unwrap()
    };
    let (out, into) = tokio::join!(dial, accept);
    let config = Config::default();
    let [ours, theirs] =
        keys.map(|key| Hello::new("test", vec![protocols[0].capability()], key.public_key()));
    let (out, into) =
        tokio::join!(hello(Box::pin(out), &ours, &config), hello(Box::pin(into), &theirs, &config));
    let (left, out) = out.unwrap().run(&protocols, Direction::Outbound, None);
    let (_, into) = into.unwrap().run(&protocols, Direction::Inbound, None);
    let (out, into) = tokio::join!(tokio::spawn(out), tokio::spawn(into));
    let reason = DisconnectReason::TooManyPeers;
    assert_eq!(out.unwrap(), End::new(reason, Side::Local, None));
    assert_eq!(into.unwrap(), End::new(reason, Side::Remote, None));
    assert_eq!(received.load(Ordering::SeqCst), 2 * SIZES.len() as u64);
    let total: usize = SIZES.iter().sum();
    assert!(left.traffic().egress > total as u64 && left.traffic().ingress > total as u64);
    assert_eq!(left.remote_addr(), Some(address));
}
