//! Discovery v4, among nodes in memory and on virtual time.
#![expect(clippy::indexing_slicing, reason = "a test")]

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    task::Poll,
};

use devp2p_core::{Host, LocalRecord, Node, NodeKey};
use devp2p_discv4::{Config, DatagramService as _, Handle, Service};
use devp2p_server::{
    Discv4Nodes,
    contract::discovery::{self, Resolves},
};

use crate::support::now;

#[tokio::test(start_paused = true)]
async fn discovery_v4() {
    let report =
        discovery::check(Resolves::Known, |known| Box::new(Discv4Nodes::new(among(&known))));
    report.await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn discovery_v4_with_records() {
    let report = discovery::check(Resolves::Known, |known| {
        Box::new(Discv4Nodes::with_records(among(&known)))
    });
    report.await.assert_kept();
}

/// The key of a node that the suite knows: it makes them of one byte.
fn key_of(node: &Node) -> NodeKey {
    let keys = (1..=u8::MAX).map(|n| NodeKey::from_bytes(&[n; 32]).unwrap());
    keys.into_iter().find(|key| key.id() == node.id()).unwrap()
}

fn address(n: usize) -> SocketAddr {
    let n = u8::try_from(n).unwrap();
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 30_303))
}

fn service(key: NodeKey, n: usize, bootstrap_nodes: Vec<Node>) -> (Service, Handle) {
    let mut config = Config::default();
    config.bootstrap_nodes = bootstrap_nodes;
    let record = LocalRecord::new(key.clone(), None, 0).unwrap();
    let seed = [u8::try_from(n).unwrap(); 32];
    Service::new(config, key, Arc::new(Mutex::new(record)), Vec::new(), seed)
}

/// A running discovery that begins with these nodes, which all are there. A datagram takes no time.
fn among(known: &[Node]) -> Handle {
    let keys: Vec<_> = known.iter().map(key_of).collect();
    let nodes = (1..).zip(&keys).map(|(n, key)| {
        let SocketAddr::V4(at) = address(n) else { unreachable!() };
        Node::new(key.public_key(), Some(Host::Ip((*at.ip()).into())), at.port(), at.port())
    });
    let nodes: Vec<_> = nodes.collect();
    let (ours, handle) = service(NodeKey::from_bytes(&[0xaa; 32]).unwrap(), 0, nodes);
    let others = (1..).zip(keys).map(|(n, key)| service(key, n, Vec::new()));
    let (others, handles): (Vec<_>, Vec<_>) = others.unzip();
    let mut services: Vec<_> = [ours].into_iter().chain(others).collect();
    tokio::spawn(async move {
        poll_fn(|cx| {
            loop {
                let mut idle = true;
                for from in 0..services.len() {
                    match services[from].poll_transmit(cx) {
                        Poll::Ready(Some(transmit)) => {
                            idle = false;
                            let to = (0..services.len()).find(|&to| address(to) == transmit.to);
                            if let Some(to) = to {
                                let now = now().into_std();
                                services[to].handle_datagram(now, address(from), &transmit.bytes);
                            }
                        }
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => {}
                    }
                }
                if idle {
                    return Poll::Pending;
                }
            }
        })
        .await;
        drop(handles);
    });
    handle
}
