//! Pings a node, and asks it for its record:
//! `cargo run -p devp2p-discv4 --example ping -- enode://...`
//!
//! Without an argument it pings a node of its own on loopback.

mod common;

use std::error::Error;

use common::{node, start};
use devp2p_core::Node;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut other = None;
    let (remote, addr): (Node, _) = match std::env::args().nth(1) {
        // `[::]` speaks to both families.
        Some(text) => (text.parse()?, "[::]:0".parse()?),
        None => {
            let loopback = "127.0.0.1:0".parse()?;
            (node(other.insert(start(loopback, Vec::new())?)), loopback)
        }
    };

    let handle = start(addr, Vec::new())?;
    println!("node:    {:#}", remote.id());
    println!("address: {}", remote.udp_addr().ok_or("the node has no UDP address")?);
    println!("rtt:     {:?}", handle.ping(&remote).await?);
    match handle.request_enr(&remote).await {
        Ok(record) => println!("record:  {record}"),
        Err(error) => println!("record:  {error}"),
    }
    handle.close().await;
    Ok(())
}
