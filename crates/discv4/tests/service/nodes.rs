use std::{collections::BTreeSet, time::Duration};

use devp2p_discv4::{
    Nodes, QueryError, RequestError,
    wire::{PacketKind, Target},
};
use futures::FutureExt as _;
use tokio::time::{sleep, timeout};

use crate::network::{LATENCY, Network, TestNode, now};

const SETTLED: Duration = Duration::from_secs(10);

/// The ids of the next so many nodes.
async fn take(nodes: &mut Nodes, count: usize) -> Vec<devp2p_core::NodeId> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(nodes.next().await.unwrap().id());
    }
    taken
}

fn network_of(network: &Network, size: u8) -> Vec<TestNode> {
    let mut nodes = vec![network.start(1, &[])];
    for number in 2..=size {
        nodes.push(network.start(number, &[&nodes[0]]));
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn first_the_table_then_lookups_without_end() {
    let network = Network::new();
    let all = network_of(&network, 6);
    sleep(SETTLED).await;
    let mut nodes = all[0].handle.nodes();
    let others: BTreeSet<_> = all[1..].iter().map(|node| node.node().id()).collect();

    let start = now();
    let first: BTreeSet<_> = take(&mut nodes, 5).await.into_iter().collect();
    assert_eq!((first, now()), (others.clone(), start), "the table, at once");

    let late = network.start(7, &[&all[0]]);
    let next = take(&mut nodes, 6).await;
    assert!(next.contains(&late.node().id()));

    // Then the same again, in every lookup.
    let again = timeout(Duration::from_secs(60), take(&mut nodes, 100)).await.unwrap();
    let seen: BTreeSet<_> = again.into_iter().collect();
    assert!(seen.is_superset(&others) && seen.contains(&late.node().id()));
}

#[tokio::test(start_paused = true)]
async fn no_node_is_given_twice_in_a_round() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let mut nodes = boot.handle.nodes();
    let others: Vec<_> = (2..6).map(|number| network.start(number, &[&boot])).collect();
    sleep(SETTLED).await;

    // They are in the table too by now. What comes after them is found by a lookup, which takes
    // its time.
    let start = now();
    let given: BTreeSet<_> = take(&mut nodes, 4).await.into_iter().collect();
    assert_eq!((given, now()), (others.iter().map(|other| other.node().id()).collect(), start));
    take(&mut nodes, 1).await;
    assert!(now() - start >= 2 * LATENCY);
}

#[tokio::test(start_paused = true)]
async fn at_most_one_lookup_a_second_however_many_ask_and_none_where_nobody_does() {
    let network = Network::new();
    let all = network_of(&network, 2);
    sleep(SETTLED).await;
    let asker = &all[1];
    let lookups = || {
        let sent = network.take_sent().into_iter();
        let asked = sent.filter(|s| s.from == asker.addr && s.kind == PacketKind::FindNode);
        asked.map(|sent| sent.at).collect::<Vec<_>>()
    };
    lookups();

    let mut streams: Vec<_> = (0..3).map(|_| asker.handle.nodes()).collect();
    sleep(SETTLED).await;
    assert_eq!(lookups(), [], "nobody polls");

    let everybody = futures::future::join_all(streams.iter_mut().map(|nodes| take(nodes, 1_000)));
    let _ = timeout(Duration::from_secs(30), everybody).await;
    let times = lookups();
    assert!((25..=31).contains(&times.len()), "{} lookups", times.len());
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{:?}", pair[1] - pair[0]);
    }

    // The one that was asked for already may still come.
    sleep(Duration::from_secs(2)).await;
    lookups();
    sleep(SETTLED).await;
    assert_eq!(lookups(), [], "nobody polls any more");
}

#[tokio::test(start_paused = true)]
async fn streams_are_independent_and_a_dropped_one_takes_nothing_along() {
    let network = Network::new();
    let all = network_of(&network, 5);
    sleep(SETTLED).await;
    let handle = &all[0].handle;
    let (mut one, mut other) = (handle.nodes(), handle.nodes());
    assert_eq!(take(&mut one, 2).await.len(), 2);
    // A wait that is given up loses nothing either.
    let _ = one.next().now_or_never();
    drop(one);
    let others: BTreeSet<_> = all[1..].iter().map(|node| node.node().id()).collect();
    let seen: BTreeSet<_> = take(&mut other, 4).await.into_iter().collect();
    assert_eq!(seen, others);
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

#[tokio::test(start_paused = true)]
async fn it_outlasts_a_time_with_too_much_under_way() {
    let network = Network::new();
    let all = network_of(&network, 2);
    sleep(SETTLED).await;
    let asker = &all[1];
    let mut nodes = asker.handle.nodes();
    take(&mut nodes, 1).await;
    // With nobody there, each of them takes a timeout; and no more than these run or wait.
    all[0].task.abort();
    let target = Target::new([1; 64]);
    let lookups = futures::future::join_all((0..72).map(|_| asker.handle.lookup(target)));
    let refused = async {
        sleep(LATENCY).await;
        let refused = timeout(LATENCY, asker.handle.lookup_random()).await.unwrap();
        assert_eq!(refused, Err(QueryError::Request(RequestError::Busy)));
        assert_eq!(nodes.next().now_or_never(), None);
        let back = network.start(1, &[]);
        let met = timeout(Duration::from_secs(600), nodes.next()).await.unwrap();
        assert_eq!(met.map(|node| node.id()), Some(back.node().id()));
    };
    tokio::join!(lookups, refused);
}
