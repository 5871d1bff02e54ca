use std::{any::Any, time::Duration};

use devp2p_core::{Fault, Node, NodeId};
use devp2p_discv5::{QueryError, RequestError, message::MessageKind};
use futures::{FutureExt as _, future::join_all};
use tokio::time::{sleep, timeout};

use crate::network::{LATENCY, Network, key, nobody, now};

/// Long enough for a lookup on this network, handshakes and dead nodes included.
const SETTLED: Duration = Duration::from_secs(15);

const TARGET: NodeId = NodeId::new([7; 32]);

fn ids<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<NodeId> {
    nodes.into_iter().map(Node::id).collect()
}

#[tokio::test(start_paused = true)]
async fn every_command_is_answered() {
    let network = Network::new();
    let all = network.start_all(5);
    let (boot, others) = all.split_first().unwrap();
    sleep(SETTLED).await;

    let (asker, asked) = (&others[0].handle, &others[1]);
    assert_eq!(asker.ping(&asked.node()).await, Ok(2 * LATENCY));
    assert_eq!(asker.request_enr(&asked.node()).await, Ok(asked.handle.local_record()));
    let found = asker.find_node(&boot.node(), 250..=256).await.unwrap();
    assert!(ids(&found).contains(&others[2].node().id()), "{found:?}");
    let itself = asker.find_node(&boot.node(), [0]).await.unwrap();
    assert_eq!(itself, [boot.node()]);

    let nearest = asker.lookup(TARGET).await.unwrap();
    let distance = |id: NodeId| {
        let xor = |(a, b): (&u8, &u8)| a ^ b;
        id.as_bytes().iter().zip(TARGET.as_bytes()).map(xor).collect::<Vec<_>>()
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
    // A protocol that nobody has registered.
    assert_eq!(asker.talk(&asked.node(), "nothing", "hello").await.unwrap().len(), 0);

    let table = asker.table().await.unwrap();
    let mut known = ids(table.entries().map(|entry| &entry.node));
    known.sort_unstable();
    expected.sort_unstable();
    assert_eq!(known, expected);
    assert!(table.entries().all(|entry| entry.is_verified() && entry.checks > 0));
    assert!(table.entries().all(|entry| entry.node.udp_addr() == Some(entry.endpoint)));
    let statistics = asker.statistics().await.unwrap();
    assert!(statistics.machine.received(MessageKind::Pong).packets > 0);
}

#[tokio::test(start_paused = true)]
async fn a_first_ping_is_timed_without_the_handshake() {
    let network = Network::new();
    let (one, other) = (network.start(1, &[]), network.start(2, &[]));
    let start = now();
    assert_eq!(one.handle.ping(&other.node()).await, Ok(2 * LATENCY));
    assert_eq!(now() - start, 4 * LATENCY, "a packet, WHOAREYOU, the handshake, PONG");
    assert_eq!(one.handle.ping(&other.node()).await, Ok(2 * LATENCY));
    assert_eq!(now() - start, 6 * LATENCY);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_a_timeout_and_nothing_else_is() {
    let network = Network::new();
    let alone = network.start(1, &[]);
    let timed_out = Err(QueryError::Request(RequestError::Timeout));
    assert_eq!(alone.handle.ping(&nobody(9)).await, timed_out);
    assert_eq!(alone.handle.request_enr(&nobody(9)).await.map(drop), timed_out.map(drop));
    assert_eq!(alone.handle.find_node(&nobody(9), [256]).await.map(drop), timed_out.map(drop));
    assert_eq!(alone.handle.talk(&nobody(9), "test", "").await.map(drop), timed_out.map(drop));
    let nowhere = Node::from(key(9).public_key());
    let error = alone.handle.ping(&nowhere).await.unwrap_err();
    assert_eq!(error, QueryError::Request(RequestError::NoEndpoint));
    assert_eq!(error.fault(), Fault::Local);
    let large = alone.handle.talk(&nobody(9), "test", vec![0; 1_280]).await;
    assert_eq!(large, Err(QueryError::Request(RequestError::TooLarge)));
    assert_eq!(alone.handle.lookup(TARGET).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_takes_only_nodes_that_are_chosen() {
    let network = Network::new();
    let all = network.start_all(8);
    for chosen in [3, 5, 6] {
        all[chosen].local.lock().unwrap().set_entry("snap", [0xc0].as_slice()).unwrap();
    }
    sleep(SETTLED).await;
    let asker = &all[1].handle;
    let mut expected = [3, 5, 6].map(|chosen: usize| all[chosen].node().id());
    expected.sort_unstable();
    let has_snap = |record: &devp2p_core::Record| record.get("snap").is_some();
    let mut found = ids(&asker.lookup_where(TARGET, 16, has_snap).await.unwrap());
    found.sort_unstable();
    assert_eq!(found, expected);
    let found = ids(&asker.lookup_where(TARGET, 2, has_snap).await.unwrap());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|id| expected.contains(id)));
    assert_eq!(asker.lookup_where(TARGET, 16, |_| false).await, Ok(vec![]));
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
async fn a_bootstrap_node_may_come_late() {
    let network = Network::new();
    let (one, other) = (network.start(1, &[]), network.start(2, &[]));
    one.handle.add_bootstrap_node(other.node()).await.unwrap();
    let met = timeout(SETTLED, one.handle.nodes().next()).await.unwrap();
    assert_eq!(met.map(|node| node.id()), Some(other.node().id()));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_tells_every_node_as_it_answers() {
    let network = Network::new();
    let all = network.start_all(7);
    sleep(SETTLED).await;

    let mut lookup = all[1].handle.lookup_stream(TARGET).await.unwrap();
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
    let sent_by_asker = || {
        let sent = network.take_sent().into_iter();
        sent.filter(|sent| sent.from == asker.addr && sent.to != boot.addr).count()
    };

    // A node that never answers is asked once.
    sent_by_asker();
    let cancelled = timeout(LATENCY, asker.handle.find_node(&nobody(9), [256])).await;
    assert!(cancelled.is_err());
    sleep(SETTLED).await;
    assert_eq!(sent_by_asker(), 1);

    // Dropped before the service saw it: nothing is sent.
    assert!(asker.handle.ping(&nobody(8)).now_or_never().is_none());
    sleep(SETTLED).await;
    assert_eq!(sent_by_asker(), 0);

    // A lookup that is dropped asks nobody any more.
    let asked = async || {
        let statistics = asker.handle.statistics().await.unwrap().machine;
        statistics.sent(MessageKind::FindNode).packets
    };
    drop(asker.handle.lookup_stream(TARGET).await.unwrap());
    sleep(LATENCY).await;
    let before = asked().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(asked().await, before);
    // And nothing of all this is left in the way of others.
    assert_eq!(asker.handle.lookup(TARGET).await.unwrap().len(), 1);
    assert!(asked().await > before);
}

#[tokio::test(start_paused = true)]
async fn cancelled_lookups_leave_their_room_to_others() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let asker = network.start(2, &[&boot]);
    sleep(SETTLED).await;
    // Whoever looks for something now waits for a timeout.
    boot.task.abort();
    let lookups = |count| join_all((0..count).map(|_| asker.handle.lookup(TARGET)));
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
    let asked = async || {
        let statistics = asker.handle.statistics().await.unwrap().machine;
        statistics.sent(MessageKind::FindNode).packets
    };
    let before = asked().await;
    let lookup = || asker.handle.lookup_random();
    let (one, other, dropped) =
        tokio::join!(lookup(), lookup(), timeout(Duration::from_millis(1), lookup()));
    assert!(dropped.is_err());
    assert_eq!((one.as_ref().unwrap().len(), &one), (1, &other));
    assert_eq!(asked().await - before, 1);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_everything_that_waits() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let handle = node.handle.clone();
    let (mut nodes, mut events, mut rows) = (handle.nodes(), handle.events(), handle.rows());
    let mut talks = handle.register_talk("test").await.unwrap();
    let mut lookup = handle.lookup_stream(TARGET).await.unwrap();
    let nobody = nobody(9);
    let (pong, next_node, next_event, next_row, next_talk, ()) = tokio::join!(
        handle.ping(&nobody),
        nodes.next(),
        events.next(),
        rows.next(),
        talks.next(),
        async {
            sleep(LATENCY).await;
            node.handle.close().await;
            assert!(node.handle.is_closed());
        }
    );
    assert_eq!(pong, Err(QueryError::Closed));
    assert_eq!((next_node, next_event, next_row), (None, None, None));
    assert!(next_talk.is_none());
    while lookup.next().await.is_some() {}
    assert!(node.task.await.is_ok());
    // And after the end.
    assert_eq!(handle.ping(&nobody).await, Err(QueryError::Closed));
    assert_eq!(handle.add_node(nobody).await, Err(QueryError::Closed));
    assert_eq!(handle.table().await.map(drop), Err(QueryError::Closed));
    assert_eq!(handle.register_talk("test").await.map(drop), Err(QueryError::Closed));
    assert_eq!(handle.nodes().next().await, None);
    assert_eq!(handle.events().next().await, None);
    handle.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_ends_with_the_last_of_its_handles_and_streams() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let (clone, nodes, mut events) =
        (node.handle.clone(), node.handle.nodes(), node.handle.events());
    let lookup = node.handle.lookup_stream(TARGET).await.unwrap();
    let talks = node.handle.register_talk("test").await.unwrap();
    drop(node.handle);
    let keeping: [Box<dyn Any>; 4] =
        [Box::new(clone), Box::new(nodes), Box::new(lookup), Box::new(talks)];
    for keeps in keeping {
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
