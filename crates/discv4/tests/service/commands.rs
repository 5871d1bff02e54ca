use std::time::Duration;

use devp2p_core::{Fault, Node, NodeId};
use devp2p_discv4::{
    QueryError, RequestError,
    wire::{PacketKind, Target},
};
use futures::{FutureExt as _, future::join_all};
use tokio::time::{sleep, timeout};

use crate::network::{LATENCY, Network, key, nobody};

fn ids<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<NodeId> {
    nodes.into_iter().map(Node::id).collect()
}

/// Long enough for a lookup on this network, proofs of endpoints and dead nodes included.
const SETTLED: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn every_command_is_answered() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let others: Vec<_> = (2..6).map(|number| network.start(number, &[&boot])).collect();
    sleep(SETTLED).await;

    let (asker, asked) = (&others[0].handle, &others[1]);
    assert_eq!(asker.ping(&asked.node()).await, Ok(2 * LATENCY));
    assert_eq!(asker.request_enr(&asked.node()).await, Ok(asked.handle.local_record()));
    let found = asker.find_node(&boot.node(), key(4).public_key()).await.unwrap();
    assert!(ids(&found).contains(&others[2].node().id()), "{found:?}");

    let target = Target::new([7; 64]);
    let nearest = asker.lookup(target).await.unwrap();
    let distance = |id: NodeId| {
        let xor = |(a, b): (&u8, &u8)| a ^ b;
        id.as_bytes().iter().zip(target.id().as_bytes()).map(xor).collect::<Vec<_>>()
    };
    let mut expected = ids(&[boot.node(), others[1].node(), others[2].node(), others[3].node()]);
    expected.sort_by_key(|&id| distance(id));
    assert_eq!(ids(&nearest), expected);
    assert_eq!(asker.lookup_random().await.unwrap().len(), 4);

    let resolved = asker.resolve(key(5).public_key()).await.unwrap();
    assert_eq!(
        resolved.and_then(|node| node.record().cloned()),
        others[3].node().record().cloned()
    );
    assert_eq!(asker.resolve(key(99).public_key()).await, Ok(None));

    let table = asker.table().await.unwrap();
    let mut known = ids(table.entries().map(|entry| &entry.node));
    known.sort_unstable();
    expected.sort_unstable();
    assert_eq!(known, expected);
    assert!(table.entries().all(|entry| entry.is_verified() && entry.checks > 0));
    assert!(table.entries().all(|entry| entry.node.udp_addr() == Some(entry.endpoint)));
    let statistics = asker.statistics().await.unwrap();
    assert!(statistics.machine.received(PacketKind::Pong).packets > 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_a_timeout_and_nothing_else_is() {
    let network = Network::new();
    let alone = network.start(1, &[]);
    let timed_out = Err(QueryError::Request(RequestError::Timeout));
    assert_eq!(alone.handle.ping(&nobody(9)).await, timed_out);
    assert_eq!(alone.handle.request_enr(&nobody(9)).await.map(drop), timed_out.map(drop));
    let target = Target::new([1; 64]);
    assert_eq!(alone.handle.find_node(&nobody(9), target).await.map(drop), timed_out.map(drop));
    let nowhere = Node::from(key(9).public_key());
    let error = alone.handle.ping(&nowhere).await.unwrap_err();
    assert_eq!(error, QueryError::Request(RequestError::NoEndpoint));
    assert_eq!(error.fault(), Fault::Local);
    assert_eq!(alone.handle.lookup(target).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_added_is_checked_and_found() {
    let network = Network::new();
    let (one, other) = (network.start(1, &[]), network.start(2, &[]));
    one.handle.add_node(other.node()).await.unwrap();
    let met = timeout(SETTLED, one.handle.nodes().next()).await.unwrap();
    assert_eq!(met.map(|node| node.id()), Some(other.node().id()));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_tells_every_node_as_it_answers() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let others: Vec<_> = (2..8).map(|number| network.start(number, &[&boot])).collect();
    sleep(SETTLED).await;

    let mut lookup = others[0].handle.lookup_stream(Target::new([3; 64])).await.unwrap();
    let mut told = Vec::new();
    while let Some(node) = lookup.next().await {
        told.push(node.id());
    }
    let mut nearest = ids(&lookup.finish().await.unwrap());
    assert_eq!(nearest.len(), 6);
    told.sort_unstable();
    nearest.sort_unstable();
    assert_eq!(told, nearest);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_cancelled() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let asker = network.start(2, &[&boot]);
    sleep(SETTLED).await;
    let target = Target::new([1; 64]);
    let sent_by_asker = || {
        let sent = network.take_sent().into_iter();
        sent.filter(|sent| sent.from == asker.addr && sent.to != boot.addr).count()
    };

    // A node that never answers is asked once, and then there is a proof to wait for.
    sent_by_asker();
    let cancelled = timeout(LATENCY, asker.handle.find_node(&nobody(9), target)).await;
    assert!(cancelled.is_err());
    sleep(SETTLED).await;
    assert_eq!(sent_by_asker(), 1, "the first PING");

    // Dropped before the service saw it: nothing is sent.
    assert!(asker.handle.ping(&nobody(8)).now_or_never().is_none());
    sleep(SETTLED).await;
    assert_eq!(sent_by_asker(), 0);

    // A lookup that is dropped asks nobody any more.
    let lookup = asker.handle.lookup_stream(target).await.unwrap();
    drop(lookup);
    sleep(LATENCY).await;
    network.take_sent();
    sleep(Duration::from_secs(2)).await;
    let asked = network.take_sent().into_iter();
    let asked = asked.filter(|s| s.from == asker.addr && s.kind == PacketKind::FindNode);
    assert_eq!(asked.count(), 0);
    // And nothing of all this is left in the way of others.
    assert_eq!(asker.handle.lookup(target).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_lookups_leave_their_room_to_others() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let asker = network.start(2, &[&boot]);
    sleep(SETTLED).await;
    // Whoever looks for something now waits for a timeout.
    boot.task.abort();
    let lookups = |count| join_all((0..count).map(|_| asker.handle.lookup(Target::new([1; 64]))));
    for _ in 0..10 {
        // As many as run and wait at once.
        assert!(timeout(LATENCY, lookups(72)).await.is_err());
    }
    assert!(lookups(72).await.iter().all(Result::is_ok));
    let busy = Err(QueryError::Request(RequestError::Busy));
    assert!(lookups(100).await.contains(&busy), "too many at once");
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_for_a_random_lookup_share_one() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let asker = network.start(2, &[&boot]);
    sleep(SETTLED).await;
    network.take_sent();
    let lookup = || asker.handle.lookup_random();
    let (one, other, dropped) =
        tokio::join!(lookup(), lookup(), timeout(Duration::from_millis(1), lookup()));
    assert!(dropped.is_err());
    assert_eq!((one.as_ref().unwrap().len(), &one), (1, &other));
    let asked = network.take_sent().into_iter();
    let asked = asked.filter(|s| s.from == asker.addr && s.kind == PacketKind::FindNode);
    assert_eq!(asked.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_everything_that_waits() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let handle = node.handle.clone();
    let (mut nodes, mut events, mut rows) = (handle.nodes(), handle.events(), handle.rows());
    let mut lookup = handle.lookup_stream(Target::new([1; 64])).await.unwrap();
    let nobody = nobody(9);
    let (pong, next_node, next_event, next_row, ()) =
        tokio::join!(handle.ping(&nobody), nodes.next(), events.next(), rows.next(), async {
            sleep(LATENCY).await;
            node.handle.close().await;
            assert!(node.handle.is_closed());
        });
    assert_eq!(pong, Err(QueryError::Closed));
    assert_eq!((next_node, next_event, next_row), (None, None, None));
    while lookup.next().await.is_some() {}
    assert!(node.task.await.is_ok());
    // And after the end.
    assert_eq!(handle.ping(&nobody).await, Err(QueryError::Closed));
    assert_eq!(handle.add_node(nobody).await, Err(QueryError::Closed));
    assert_eq!(handle.table().await.map(drop), Err(QueryError::Closed));
    assert_eq!(handle.nodes().next().await, None);
    assert_eq!(handle.events().next().await, None);
    handle.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_the_close_is_answered_too() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let nobody = nobody(9);
    // Both are in the queue before the service is polled, and it is kept after its end.
    let both = async { tokio::join!(node.handle.close(), node.handle.ping(&nobody)) };
    assert_eq!(timeout(SETTLED, both).await, Ok(((), Err(QueryError::Closed))));
}

#[tokio::test(start_paused = true)]
async fn a_service_ends_with_the_last_of_its_handles_and_streams() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let (clone, nodes, mut events) =
        (node.handle.clone(), node.handle.nodes(), node.handle.events());
    let lookup = node.handle.lookup_stream(Target::new([1; 64])).await.unwrap();
    drop(node.handle);
    for keeps in [Box::new(clone) as Box<dyn std::any::Any>, Box::new(nodes), Box::new(lookup)] {
        sleep(SETTLED).await;
        assert!(!node.task.is_finished());
        drop(keeps);
    }
    let service = timeout(SETTLED, node.task).await.unwrap().unwrap();
    assert_eq!(events.next().await, None, "events only listen");
    assert!(format!("{service:?}").contains("ended: true"));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_service_is_the_end_too() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let mut events = node.handle.events();
    node.task.abort();
    assert_eq!(events.next().await, None);
    assert_eq!(node.handle.ping(&nobody(9)).await, Err(QueryError::Closed));
    node.handle.close().await;
}
