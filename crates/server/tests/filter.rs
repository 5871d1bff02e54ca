//! Servers that do not dial whoever comes along.

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{collections::BTreeSet, time::Duration};

use devp2p_core::{Node, NodeId};
use devp2p_server::{DialFilter, MemoryNodeDb, NodeDb as _, NodeList, Row};
use tokio::time::sleep;

use self::support::{
    id,
    links::{Latency, Links},
    node,
    recording::Recording,
    server,
};

/// The nodes from 10 on.
fn filter() -> DialFilter {
    let refused: BTreeSet<_> = (0..10).map(id).collect();
    DialFilter::new(move |node| !refused.contains(&node.id()))
}

fn ids(nodes: impl IntoIterator<Item = Node>) -> BTreeSet<NodeId> {
    nodes.into_iter().map(|node| node.id()).collect()
}

#[tokio::test(start_paused = true)]
async fn only_candidates_are_asked_about() {
    let (links, dialer, db) = (Links::new(Latency::NONE, 1), Recording::new(), MemoryNodeDb::new());
    db.open(id(1), 0).await.unwrap();
    db.write(Row::Anchors([2, 10].map(node).to_vec()));
    db.close().await;
    let ours = server(&links, 1)
        .dialer(dialer.clone())
        .node_db(db)
        .static_node(node(3))
        .trusted_node(node(4))
        .discovery(NodeList::new([4, 5, 11].map(node)))
        .configure(|config| config.dial_filter = Some(filter()));
    let ours = ours.start().await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ids(dialer.dialed()), ids([3, 10, 11].map(node)));
    let refused = ours.filtered_candidates();
    assert!(refused > 10, "in each round two, and one before them: {refused}");
    ours.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_brings_only_refused_nodes_takes_no_slot_of_others() {
    let (links, dialer) = (Links::new(Latency::NONE, 1), Recording::new());
    let ours = server(&links, 1)
        .dialer(dialer.clone())
        .discovery(NodeList::new((2..10).chain(20..30).map(node)))
        .configure(|config| {
            config.dial_filter = Some(filter());
            config.max_peers = 8;
            config.dial_ratio = 1;
        });
    let ours = ours.start().await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ids(dialer.dialed()), ids((20..28).map(node)));
    ours.stop().await;
}
