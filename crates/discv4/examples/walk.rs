//! Walks the network from some nodes, and prints those it meets:
//! `cargo run -p devp2p-discv4 --example walk -- enode://... enode://...`
//!
//! Without arguments it walks a network of eight nodes of its own on loopback, until it has met
//! all of them.

mod common;

use std::{collections::BTreeSet, error::Error};

use common::{node, start};
use devp2p_core::Node;

/// The nodes of the network on loopback.
const NODES: usize = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let loopback = "127.0.0.1:0".parse()?;
    let mut bootstrap_nodes =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<Node>, _>>()?;
    let (mut network, mut stop_at) = (Vec::new(), usize::MAX);
    let addr = if bootstrap_nodes.is_empty() { loopback } else { "[::]:0".parse()? };
    if bootstrap_nodes.is_empty() {
        // Each of them knows the first.
        while network.len() < NODES {
            network.push(start(loopback, network.first().map(node).into_iter().collect())?);
        }
        bootstrap_nodes.extend(network.first().map(node));
        stop_at = NODES;
    }

    let walker = start(addr, bootstrap_nodes)?;
    let (mut nodes, mut met) = (walker.nodes(), BTreeSet::new());
    while met.len() < stop_at
        && let Some(node) = nodes.next().await
    {
        if met.insert(node.id()) {
            println!("{:>5} {node}", met.len());
        }
    }
    let statistics = walker.statistics().await?;
    println!("{} answers, {} timeouts", statistics.machine.answers, statistics.machine.timeouts);
    Ok(())
}
