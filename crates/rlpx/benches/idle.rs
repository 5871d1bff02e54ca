//! The heap that one side of an idle connection holds, counted by the allocator.
//!
//! Real connections over TCP, both Hellos and some traffic behind them; then each waits for the
//! next message. What tokio keeps for the socket itself is measured apart and told beside it.
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::{future::poll_fn, pin::Pin, task::Poll};

use bytes::Bytes;
use devp2p_core::{Connection as _, Message, NodeKey};
use devp2p_rlpx::{Config, Connection, accept_tcp, connect_tcp};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use peak_alloc::PeakAlloc;
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const PAIRS: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    // What is made once is made before anything is counted.
    drop(connected(&listener, &keys).await);

    let mut sockets = Vec::with_capacity(PAIRS);
    let before = HEAP.current_usage();
    for _ in 0..PAIRS {
        let (mut near, mut far) = streams(&listener).await;
        for stream in [&mut near, &mut far] {
            let mut byte = [0];
            let mut byte = tokio::io::ReadBuf::new(&mut byte);
            poll_fn(|cx| {
                let _ = tokio::io::AsyncRead::poll_read(Pin::new(&mut *stream), cx, &mut byte);
                Poll::Ready(())
            })
            .await;
        }
        sockets.push((near, far));
    }
    let socket = (HEAP.current_usage() - before) / (2 * PAIRS);
    drop(sockets);

    println!("after                      heap per side, without the socket's {socket} bytes");
    for (name, size, count) in [
        ("Hello", 0, 0),
        ("10 pings", 1, 10),
        ("10 x 1 KiB", 1024, 10),
        ("10 x 1 MiB", 1 << 20, 10),
    ] {
        let mut pairs = Vec::with_capacity(PAIRS);
        let before = HEAP.current_usage();
        for _ in 0..PAIRS {
            let (mut near, mut far) = connected(&listener, &keys).await;
            for _ in 0..count {
                exchange(&mut near, &mut far, size).await;
                exchange(&mut far, &mut near, size).await;
            }
            // A few minutes of pings: what large messages needed is given back meanwhile.
            for _ in 0..16 {
                exchange(&mut near, &mut far, 1).await;
                exchange(&mut far, &mut near, 1).await;
            }
            assert!(near.next().now_or_never().is_none() && far.next().now_or_never().is_none());
            // On the heap, where connections are.
            pairs.push((Box::new(near), Box::new(far)));
        }
        let held = (HEAP.current_usage() - before) / (2 * PAIRS);
        println!("{name:<20} {:>10} bytes", held - socket);
    }
}

async fn exchange(from: &mut Connection<TcpStream>, to: &mut Connection<TcpStream>, size: usize) {
    let message = Message { id: 0x10, payload: Bytes::from(vec![0x5a; size]) };
    let (sent, received) = tokio::join!(from.send(message), to.next());
    sent.unwrap();
    received.unwrap().unwrap();
}

async fn connected(
    listener: &TcpListener,
    (alice, bob): &(NodeKey, NodeKey),
) -> (Connection<TcpStream>, Connection<TcpStream>) {
    let (near, far) = streams(listener).await;
    let (config, remote) = (Config::default(), bob.public_key());
    let (near, far) =
        tokio::join!(connect_tcp(near, alice, &remote, &config), accept_tcp(far, bob, &config));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    Pin::new(&mut near).established(true);
    Pin::new(&mut far).established(true);
    (near, far)
}

async fn streams(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}
