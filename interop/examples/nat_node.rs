//! A server behind a NAT, and one that looks for it from outside, for the tests of `tests/nat.rs`.
//!
//! `nat_node behind NAT` runs until its input ends and prints its record whenever that changes;
//! `nat_node outside RECORD` dials the node of a record and asks it for a pong, once each, and prints
//! what succeeded.

use std::{io, net::SocketAddr, time::Duration};

use devp2p_core::{Node, NodeKey};
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use devp2p_server::{Event, Handle, Server};
use futures::StreamExt as _;
use tokio::{
    task::spawn_blocking,
    time::{interval, timeout},
};

/// A subprotocol that says nothing, since nobody stays connected without one.
struct Silence;

impl Subprotocol for Silence {
    fn capability(&self) -> Capability {
        Capability::new("silence", 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        while stream.next().await.is_some() {}
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["behind", nat] => behind(nat).await,
        ["outside", record] => outside(record.parse()?).await,
        _ => Err("usage: nat_node behind NAT, or nat_node outside RECORD".into()),
    }
}

async fn start(nat: &str, port: u16) -> Result<Handle, Box<dyn std::error::Error>> {
    let nat = nat.parse()?;
    let server = Server::builder(NodeKey::generate()?).protocol(Silence);
    let server = server.listen_addr(SocketAddr::from(([0, 0, 0, 0], port)));
    Ok(server.configure(|config| config.nat = nat).start().await?)
}

async fn behind(nat: &str) -> Result<(), Box<dyn std::error::Error>> {
    let server = start(nat, 30303).await?;
    tokio::spawn({
        let server = server.clone();
        async move {
            let mut shown = None;
            let mut often = interval(Duration::from_millis(50));
            loop {
                often.tick().await;
                let record = server.node_info().enr;
                if shown.as_ref() != Some(&record) {
                    println!("{record}");
                    shown = Some(record);
                }
            }
        }
    });
    spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    server.stop().await;
    Ok(())
}

async fn outside(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    let server = start("none", 30304).await?;
    let mut events = server.events();
    server.add_peer(node.clone());
    let added = async {
        while let Some(event) = events.next().await {
            if matches!(&event, Event::Add(peer) if peer.id == node.id()) {
                return;
            }
        }
    };
    let added = timeout(PATIENCE, added).await.is_ok();
    let discovery = server.discv4().ok_or("discovery v4 does not run")?;
    let ponged = discovery.ping(&node).await.is_ok();
    println!("added {added}, ponged {ponged}");
    server.stop().await;
    Ok(())
}
