//! Our discovery v4 with go-ethereum's `discover` package and with ethereumjs's DPT.

use std::{net::SocketAddr, time::Duration};

use data_encoding::HEXLOWER;
use devp2p_core::{Host, Node, NodeId, NodeKey};
use devp2p_discv4::{Event, QueryError, RequestError};
use devp2p_interop::{Event as ForeignEvent, Foreign, Geth, Known, OurDiscovery};

/// The TCP port that geth claims where nothing listens on one.
const TCP: &str = "30303";

/// Check the table at once, so that tests need not wait for geth's 3 s.
const QUICK: [&str; 4] = ["-tcp", TCP, "-ping", "200ms"];

fn hex(key: &NodeKey) -> String {
    HEXLOWER.encode(&*key.to_bytes())
}

fn loopback(is_v6: bool) -> SocketAddr {
    if is_v6 { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap()
}

fn udp(node: &Node) -> SocketAddr {
    node.udp_addr().unwrap()
}

fn ids<'a>(nodes: impl IntoIterator<Item = &'a Known>) -> Vec<NodeId> {
    let mut ids: Vec<_> = nodes.into_iter().map(Known::id).collect();
    ids.sort();
    ids
}

fn sorted(nodes: &[Node]) -> Vec<NodeId> {
    let mut ids: Vec<_> = nodes.iter().map(Node::id).collect();
    ids.sort();
    ids
}

async fn geth_at(geth: &Geth, address: SocketAddr, bootnodes: &[Node]) -> Foreign {
    let address = address.to_string();
    let urls: Vec<_> = bootnodes.iter().map(Node::to_enode).collect();
    let mut flags = vec!["-listen", &address];
    flags.extend(QUICK);
    for url in &urls {
        flags.extend(["-bootnode", url]);
    }
    geth.discv4(&flags).await
}

/// Waits until a node is in geth's table, and has answered it there.
async fn live(geth: &mut Foreign, node: &Node) -> Known {
    let is = |known: &Known| known.live && known.node().udp_addr() == node.udp_addr();
    let find =
        |table: &[Known]| table.iter().find(|known| known.id() == node.id() && is(known)).cloned();
    let what = format!("{:#} is live", node.id());
    let table = geth.table_when(&what, |table| find(table).is_some()).await;
    find(&table).unwrap()
}

/// No packet of ours was worth nothing to geth.
fn no_bad_packets(geth: &mut Foreign) {
    let bad = geth.seen(|event| match event {
        ForeignEvent::BadPacket { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(bad, Vec::<String>::new());
}

#[tokio::test]
async fn pings_are_answered_both_ways() {
    let Some(program) = devp2p_interop::geth() else { return };
    for is_v6 in [false, true] {
        let mut geth = geth_at(program, loopback(is_v6), &[]).await;
        let key = NodeKey::generate().unwrap();
        let ours = OurDiscovery::start_at(key, loopback(is_v6), &[]);

        let rtt = ours.handle.ping(geth.node()).await.unwrap();
        assert!(rtt > Duration::ZERO && rtt < Duration::from_millis(500));
        let pong = geth.ping(&ours.node()).await.unwrap();
        assert_eq!(pong.enr_seq, ours.record().seq());
        assert_eq!(pong.to.parse(), Ok(udp(geth.node())), "we tell it where we see it");
        assert!(pong.micros < 500_000);
        no_bad_packets(&mut geth);

        // Nobody is at home.
        let absent = NodeKey::generate().unwrap().public_key();
        let port = udp(geth.node()).port();
        let absent = Node::new(absent, Some(Host::Ip(udp(geth.node()).ip())), port, port);
        let error = ours.handle.ping(&absent).await.unwrap_err();
        assert_eq!(error, QueryError::Request(RequestError::Timeout));
    }
}

#[tokio::test]
async fn records_are_asked_for_and_given_both_ways() {
    let Some(program) = devp2p_interop::geth() else { return };
    for is_v6 in [false, true] {
        let mut geth = geth_at(program, loopback(is_v6), &[]).await;
        let key = NodeKey::generate().unwrap();
        let ours = OurDiscovery::start_at(key, loopback(is_v6), &[]);

        // Without any acquaintance: each proves its endpoint first.
        let record = ours.handle.request_enr(geth.node()).await.unwrap();
        assert_eq!(Some(&record), geth.describe_itself().await.record().as_ref());
        assert_eq!(geth.request_enr(&ours.node()).await.unwrap().record(), Some(ours.record()));

        // What changes is told.
        let changed = geth.set_entry("test", b"theirs").await.record().unwrap();
        assert!(changed.seq() > record.seq());
        let record = ours.handle.request_enr(geth.node()).await.unwrap();
        assert_eq!(record, changed);
        assert_eq!(record.get("test").unwrap(), b"\x86theirs");
        let changed = ours.set_entry("test", b"ours");
        assert_eq!(geth.request_enr(&ours.node()).await.unwrap().record(), Some(changed));
        no_bad_packets(&mut geth);
    }
}

#[tokio::test]
async fn records_in_the_tables_follow_those_of_the_nodes() {
    let Some(program) = devp2p_interop::geth() else { return };
    let mut geth = geth_at(program, loopback(false), &[]).await;
    let mut ours = OurDiscovery::start(&[geth.node().clone()]);
    ours.verified(geth.id()).await;
    let first = geth.describe_itself().await.record();
    seq_in_our_table(&ours, geth.id(), first.unwrap().seq()).await;

    // geth asks when the number in our PONG or PING has risen.
    live(&mut geth, &ours.node()).await;
    let record = ours.set_entry("test", b"ours");
    let what = "our new record is in its table";
    geth.table_when(what, |table| {
        table.iter().any(|known| known.record().as_ref() == Some(&record))
    })
    .await;
    let seq = geth.set_entry("test", b"theirs").await.seq;
    seq_in_our_table(&ours, geth.id(), seq).await;
    no_bad_packets(&mut geth);
}

/// Waits until our table has the record of a node with this number.
async fn seq_in_our_table(ours: &OurDiscovery, id: NodeId, seq: u64) {
    let what = format!("record {seq} of {id:#}");
    ours.table_when(&what, |table| {
        table.iter().any(|entry| {
            entry.node.id() == id && entry.node.record().is_some_and(|record| record.seq() == seq)
        })
    })
    .await;
}

#[tokio::test]
async fn a_bootnode_of_geths_brings_all_together() {
    let Some(program) = devp2p_interop::geth() else { return };
    let boot = geth_at(program, loopback(false), &[]).await;
    let bootnodes = [boot.node().clone()];
    let second = geth_at(program, loopback(false), &bootnodes).await;
    let (third, fourth) = (OurDiscovery::start(&bootnodes), OurDiscovery::start(&bootnodes));
    all_know_all(&mut [boot, second], &mut [third, fourth]).await;
}

#[tokio::test]
async fn a_bootnode_of_ours_brings_all_together() {
    let Some(program) = devp2p_interop::geth() else { return };
    let boot = OurDiscovery::start(&[]);
    let bootnodes = [boot.node()];
    let second = OurDiscovery::start(&bootnodes);
    let third = geth_at(program, loopback(false), &bootnodes).await;
    let fourth = geth_at(program, loopback(false), &bootnodes).await;
    all_know_all(&mut [third, fourth], &mut [boot, second]).await;
}

async fn all_know_all(geths: &mut [Foreign; 2], ours: &mut [OurDiscovery; 2]) {
    let nodes: Vec<Node> = geths
        .iter()
        .map(|geth| geth.node().clone())
        .chain(ours.iter().map(OurDiscovery::node))
        .collect();
    let others = |id| nodes.iter().filter(move |node| node.id() != id);

    // Everybody is in the table of everybody else.
    for ours in &*ours {
        for node in others(ours.id()) {
            ours.table_when(&format!("{:#}", node.id()), |table| {
                table.iter().any(|entry| entry.endpoint == udp(node))
            })
            .await;
        }
    }
    for geth in &mut *geths {
        for node in others(geth.id()) {
            live(geth, node).await;
        }
    }

    // Everybody finds everybody, and itself where it asks others for it.
    for ours in &*ours {
        let mut expected: Vec<_> = others(ours.id()).map(Node::id).collect();
        expected.sort();
        for node in others(ours.id()) {
            let found = ours.handle.lookup(node.public_key()).await.unwrap();
            assert_eq!(found.first().map(Node::id), Some(node.id()), "the nearest is first");
            assert_eq!(sorted(&found), expected);
            let resolved = ours.handle.resolve(node.public_key()).await.unwrap().unwrap();
            assert_eq!((resolved.id(), udp(&resolved)), (node.id(), udp(node)));
            assert!(resolved.record().is_some());
            let named = ours.handle.find_node(node, ours.key().public_key()).await.unwrap();
            let mut expected: Vec<_> = others(node.id()).map(Node::id).collect();
            // We need not be told of ourselves.
            expected.retain(|id| *id != ours.id());
            expected.sort();
            let mut named = sorted(&named);
            named.retain(|id| *id != ours.id());
            assert_eq!(named, expected);
        }
        assert_eq!(sorted(&ours.handle.lookup_random().await.unwrap()), expected);
    }
    for geth in &mut *geths {
        let mut expected: Vec<_> = others(geth.id()).map(Node::id).collect();
        expected.sort();
        for node in others(geth.id()) {
            let mut found = ids(&geth.lookup(node).await.unwrap());
            // geth lists itself where others name it.
            found.retain(|id| *id != geth.id());
            assert_eq!(found, expected);
            let resolved = geth.resolve(node).await.unwrap();
            assert_eq!(resolved.id(), node.id());
            assert!(resolved.record().is_some());
        }
        let found = ids(&geth.random_nodes(12).await.unwrap());
        for id in expected {
            assert!(found.contains(&id), "{id} is met on a walk");
        }
        no_bad_packets(geth);
    }
}

#[tokio::test]
async fn verified_nodes_come_as_a_stream() {
    let Some(program) = devp2p_interop::geth() else { return };
    let boot = geth_at(program, loopback(false), &[]).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(geth_at(program, loopback(false), &[boot.node().clone()]).await);
    }
    let ours = OurDiscovery::start(&[boot.node().clone()]);
    let mut expected: Vec<_> = others.iter().map(Foreign::id).chain([boot.id()]).collect();
    expected.sort();
    let (mut nodes, mut met) = (ours.handle.nodes(), Vec::new());
    while met != expected {
        let node = nodes.next().await.unwrap();
        assert!(expected.contains(&node.id()), "{node} does not exist");
        if !met.contains(&node.id()) {
            met.push(node.id());
            met.sort();
        }
    }
}

#[tokio::test]
async fn geth_comes_back_at_another_port() {
    let Some(program) = devp2p_interop::geth() else { return };
    let mut ours = OurDiscovery::start(&[]);
    let mut geth = geth_at(program, loopback(false), &[ours.node()]).await;
    ours.verified(geth.id()).await;
    live(&mut geth, &ours.node()).await;
    let old = udp(geth.node());

    geth.listen_again(loopback(false)).await;
    let new = udp(geth.node());
    assert_ne!(old, new);
    ours.table_when("it is at its new port", |table| {
        table.iter().any(|entry| entry.node.id() == geth.id() && entry.endpoint == new)
    })
    .await;
    live(&mut geth, &ours.node()).await;
    let resolved = ours.handle.resolve(geth.node().public_key()).await.unwrap().unwrap();
    assert_eq!(udp(&resolved), new);
    ours.handle.ping(geth.node()).await.unwrap();
    geth.ping(&ours.node()).await.unwrap();
}

#[tokio::test]
async fn we_come_back_at_another_port() {
    let Some(program) = devp2p_interop::geth() else { return };
    let mut geth = geth_at(program, loopback(false), &[]).await;
    let mut ours = OurDiscovery::start(&[geth.node().clone()]);
    ours.verified(geth.id()).await;
    let (key, old) = (ours.key().clone(), ours.node());
    live(&mut geth, &old).await;

    ours.stop().await;
    let mut ours = OurDiscovery::start_at(key, loopback(false), &[geth.node().clone()]);
    assert_ne!(udp(&ours.node()), udp(&old));
    ours.verified(geth.id()).await;
    live(&mut geth, &ours.node()).await;
    assert_eq!(geth.request_enr(&ours.node()).await.unwrap().record(), Some(ours.record()));
    geth.ping(&old).await.unwrap_err();
}

#[tokio::test]
async fn a_geth_that_goes_leaves_our_table() {
    let Some(program) = devp2p_interop::geth() else { return };
    let mut ours = OurDiscovery::start(&[]);
    let geth = geth_at(program, loopback(false), &[ours.node()]).await;
    let id = geth.id();
    ours.verified(id).await;
    geth.kill().await;
    ours.expect("it is removed", |event| match event {
        Event::NodeRemoved(node) => (node.id() == id).then_some(()),
        _ => None,
    })
    .await;
    assert!(ours.table().await.is_empty());
}

#[tokio::test]
async fn ethereumjs_and_we_know_each_other() {
    let Some(program) = devp2p_interop::ethereumjs() else { return };
    let mut ethereumjs = program.peer(&["--discv4"]).await;
    let mut ours = OurDiscovery::start(&[]);

    // It sends PING, we answer and send one, which it answers.
    ethereumjs.add_node(&ours.node()).await.unwrap();
    ours.verified(ethereumjs.id()).await;
    assert_eq!(ids(&ethereumjs.table().await), [ours.id()]);
    ours.handle.ping(ethereumjs.node()).await.unwrap();
    ethereumjs.ping(&ours.node()).await.unwrap();

    // It names whom it knows: us. We name another, for it knows itself.
    let target = NodeKey::generate().unwrap().public_key();
    let named = ours.handle.find_node(ethereumjs.node(), target).await.unwrap();
    assert!(named.iter().all(|node| node.id() == ours.id()), "{named:?}");
    let other = OurDiscovery::start(&[ours.node()]);
    ours.verified(other.id()).await;
    let named = ethereumjs.find_node(&ours.node(), target).await.unwrap();
    assert_eq!(named, [udp(&other.node())]);
    let mut expected = [ethereumjs.id(), other.id()];
    expected.sort();
    assert_eq!(sorted(&ours.handle.lookup(target).await.unwrap()), expected);
    // What it is told of it gets to know.
    ethereumjs.verified(other.id()).await;

    // It has no record, and does not know that one could ask for it.
    let error = ours.handle.request_enr(ethereumjs.node()).await.unwrap_err();
    assert_eq!(error, QueryError::Request(RequestError::Timeout));
    let resolved = ours.handle.resolve(ethereumjs.node().public_key()).await.unwrap().unwrap();
    assert_eq!((udp(&resolved), resolved.record()), (udp(ethereumjs.node()), None));
}

#[tokio::test]
async fn ethereumjs_finds_geth_through_us_and_we_find_ethereumjs_through_geth() {
    let (Some(geth), Some(ethereumjs)) = (devp2p_interop::geth(), devp2p_interop::ethereumjs())
    else {
        return;
    };
    let mut ours = OurDiscovery::start(&[]);
    let mut geth = geth_at(geth, loopback(false), &[ours.node()]).await;
    ours.verified(geth.id()).await;
    let url = ours.node().to_enode();
    let mut ethereumjs =
        ethereumjs.peer(&["--discv4", "--bootnode", &url, "--refresh", "2000"]).await;
    ethereumjs.verified(geth.id()).await;
    live(&mut geth, ethereumjs.node()).await;

    let other = OurDiscovery::start(&[geth.node().clone()]);
    other
        .table_when("ethereumjs is in our other table", |table| {
            table.iter().any(|entry| entry.endpoint == udp(ethereumjs.node()))
        })
        .await;
    ethereumjs.verified(other.id()).await;
}

#[tokio::test]
async fn ethereumjs_and_we_come_back_at_other_ports() {
    let Some(program) = devp2p_interop::ethereumjs() else { return };
    let key = hex(&NodeKey::generate().unwrap());
    let mut ours = OurDiscovery::start(&[]);
    let url = ours.node().to_enode();
    let flags = ["--discv4", "--key", &key, "--bootnode", &url];
    let mut first = program.peer(&flags).await;
    ours.verified(first.id()).await;
    first.verified(ours.id()).await;
    let old = first.node().clone();
    first.kill().await;

    let mut second = program.peer(&flags).await;
    assert_ne!(udp(second.node()), udp(&old));
    assert_eq!(second.id(), old.id());
    ours.table_when("it is at its new port", |table| {
        table.iter().any(|entry| entry.endpoint == udp(second.node()))
    })
    .await;
    second.verified(ours.id()).await;

    // It keeps a node where it first met it; at our new port it answers all the same.
    let our_key = ours.key().clone();
    ours.stop().await;
    let mut ours = OurDiscovery::start_at(our_key, loopback(false), &[second.node().clone()]);
    ours.verified(second.id()).await;
    second.ping(&ours.node()).await.unwrap();
    let target = NodeKey::generate().unwrap().public_key();
    let named = ours.handle.find_node(second.node(), target).await.unwrap();
    assert!(named.iter().all(|node| node.id() == ours.id()), "{named:?}");
}
