//! A hundred servers on one port, one after the other, leave nothing behind. In a file of its own:
//! other tests in the same process would open descriptors too.
#![expect(clippy::unwrap_used, reason = "a test")]
#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_server::{Handle, Server};
use tokio::{net::TcpStream, time::sleep};

use self::support::{Quiet, key, node_at, now};

const CYCLES: u16 = 100;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn start(n: u16, address: SocketAddr) -> Handle {
    Server::builder(key(n)).listen_addr(address).protocol(Quiet("test")).start().await.unwrap()
}

/// Starts two servers, the first on the address, connects them, leaves a stream half set up, and
/// stops both. Gives back the address that the first one had.
async fn cycle(address: SocketAddr, round: u16) -> SocketAddr {
    let one = start(1, address).await;
    let address = one.node_info().listen_addr.unwrap();
    assert_eq!(one.node_info().disc_addr, Some(address), "discovery runs too");
    let two = start(2, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).await;
    two.add_peer(node_at(&key(1), address));
    let _half = TcpStream::connect(address).await.unwrap();
    while one.peer_count() == 0 || two.peer_count() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let begin = now();
    // In turn: either side first, and both at once.
    match round % 3 {
        0 => {
            one.stop().await;
            two.stop().await;
        }
        1 => {
            two.stop().await;
            drop(one.clone());
            one.stop().await;
        }
        _ => {
            tokio::join!(one.stop(), two.stop());
        }
    }
    assert!(now() - begin < Duration::from_secs(2));
    address
}

/// Counts what is left, once everything had a moment to end.
async fn settled(count: fn() -> usize, expected: usize) -> usize {
    for _ in 0..100 {
        if count() == expected {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    count()
}

async fn run() {
    // What the runtime and the libraries open once is open after this.
    let address = cycle(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), 0).await;
    settled(tasks, 0).await;
    sleep(Duration::from_millis(50)).await;
    let before = descriptors();
    for round in 0..CYCLES {
        assert_eq!(cycle(address, round).await, address, "the same port");
    }
    assert_eq!(settled(tasks, 0).await, 0, "tasks are left");
    assert_eq!(settled(descriptors, before).await, before, "descriptors are left");
}

/// One after the other: each counts the descriptors of the whole process.
#[test]
fn a_hundred_starts_and_stops_leak_nothing() {
    let builders = [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ];
    for mut builder in builders {
        builder.worker_threads(2).enable_all().build().unwrap().block_on(run());
    }
}
