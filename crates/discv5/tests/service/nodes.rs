use std::{collections::BTreeSet, time::Duration};

use devp2p_discv5::Nodes;
use tokio::time::{sleep, timeout};

use crate::network::{Network, now};

const SETTLED: Duration = Duration::from_secs(15);

/// The ids of the next so many nodes.
async fn take(nodes: &mut Nodes, count: usize) -> Vec<devp2p_core::NodeId> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(nodes.next().await.unwrap().id());
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn first_the_table_then_lookups_without_end() {
    let network = Network::new();
    let all = network.start_all(6);
    sleep(SETTLED).await;
    let (mut nodes, mut other) = (all[0].handle.nodes(), all[0].handle.nodes());
    let others: BTreeSet<_> = all[1..].iter().map(|node| node.node().id()).collect();

    let start = now();
    let first: BTreeSet<_> = take(&mut nodes, 5).await.into_iter().collect();
    assert_eq!((first, now()), (others.clone(), start), "the table, at once");

    // Who comes is there once it is verified; and the others are there again and again.
    let late = network.start(7, &[&all[0]]);
    sleep(SETTLED).await;
    let again = timeout(Duration::from_secs(60), take(&mut nodes, 30)).await.unwrap();
    let seen: BTreeSet<_> = again.into_iter().collect();
    assert!(seen.is_superset(&others) && seen.contains(&late.node().id()));

    // Another stream has its own rounds.
    drop(nodes);
    let seen: BTreeSet<_> = take(&mut other, 5).await.into_iter().collect();
    assert!(seen.is_subset(&others.into_iter().chain([late.node().id()]).collect()));
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_first_node_for_as_long_as_it_takes() {
    let network = Network::new();
    let alone = network.start(1, &[]);
    let mut nodes = alone.handle.nodes();
    assert!(timeout(Duration::from_secs(600), nodes.next()).await.is_err());
    let first = network.start(2, &[&alone]);
    let met = timeout(SETTLED, nodes.next()).await.unwrap();
    assert_eq!(met.map(|node| node.id()), Some(first.node().id()));
}
