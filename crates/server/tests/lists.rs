//! Servers that find nodes in lists in DNS.
#![cfg(feature = "dnsdisc")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{collections::BTreeSet, time::Duration};

use devp2p_core::{Node, Record};
use devp2p_server::{Builder, NodeList};
use tokio::time::sleep;

use self::support::{
    addr, id, key,
    links::{Latency, Links},
    node,
    recording::Recording,
    server, wait_for_peers,
    zone::Zone,
};

const SECOND: Duration = Duration::from_secs(1);

fn zone(nodes: impl IntoIterator<Item = u16>) -> Zone {
    let record = |n| {
        let (ip, port) = (addr(n).ip(), addr(n).port());
        Record::builder().ip(ip).tcp(port).sign(&key(n)).unwrap()
    };
    Zone::of("nodes.example.org", nodes.into_iter().map(record))
}

fn reading(builder: Builder, zone: &Zone) -> Builder {
    builder.configure(|config| {
        config.no_discovery = true;
        config.dns_lists = vec![zone.link()];
        config.dns_resolver = Some(zone.resolver());
    })
}

#[tokio::test(start_paused = true)]
async fn a_server_with_nothing_but_a_list_dials_the_nodes_of_it() {
    let links = Links::new(Latency::NONE, 1);
    let mut others = Vec::new();
    for n in 2..=5 {
        others.push(server(&links, n).start().await.unwrap());
    }
    let zone = zone(2..=5);
    let ours = reading(server(&links, 1), &zone).start().await.unwrap();
    wait_for_peers(&ours, 4).await;
    let peers: BTreeSet<_> = ours.peers().iter().map(|peer| peer.id).collect();
    assert_eq!(peers, (2..=5).map(id).collect());
    for server in others.iter().chain([&ours]) {
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_an_address_is_found_in_a_list() {
    let links = Links::new(Latency::NONE, 1);
    let other = server(&links, 2).start().await.unwrap();
    let zone = zone([2]);
    let ours = reading(server(&links, 1), &zone).static_node(Node::from(key(2).public_key()));
    // The first search is over before the list was read.
    let ours = ours.configure(|config| config.dial.resolve_backoff = SECOND..=SECOND);
    let ours = ours.start().await.unwrap();
    wait_for_peers(&ours, 1).await;
    assert!(ours.peers()[0].is_static);
    ours.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_up_while_nobody_is_to_be_dialed() {
    for (no_dial, is_asked) in [(true, false), (false, true)] {
        let (links, zone) = (Links::new(Latency::NONE, 1), zone([2]));
        let ours = reading(server(&links, 1), &zone).configure(|config| config.no_dial = no_dial);
        let ours = ours.start().await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(zone.asked() > 0, is_asked, "no_dial {no_dial}");
        ours.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_has_its_share_of_the_slots_and_no_more() {
    let (links, zone, dialer) = (Links::new(Latency::NONE, 1), zone(100..150), Recording::new());
    let ours = reading(server(&links, 1), &zone)
        .dialer(dialer.clone())
        .discovery(NodeList::new((10..20).map(node)))
        .configure(|config| {
            // Faster than the patience with a source whose turn it is.
            config.dnsdisc.rate = 1_000;
            config.max_peers = 8;
            config.dial_ratio = 1;
            config.shares.custom = 3;
        });
    let ours = ours.start().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let dialed = dialer.dialed();
    assert_eq!(dialed.len(), 8, "one dial for each slot");
    let listed: BTreeSet<_> = (100..150).map(id).collect();
    let from_the_list = dialed.iter().filter(|node| listed.contains(&node.id())).count();
    assert_eq!(from_the_list, 2, "of {dialed:?}");
    ours.stop().await;
}

#[cfg(feature = "hickory")]
#[tokio::test]
async fn without_a_resolver_the_name_servers_of_the_system_are_asked() {
    let links = Links::new(Latency::NONE, 1);
    // Of nobody, so that none is asked here.
    let ours = reading(server(&links, 1), &zone([2])).configure(|config| {
        config.dns_resolver = None;
        config.no_dial = true;
    });
    match ours.start().await {
        Ok(ours) => ours.stop().await,
        // Where the system has none.
        Err(error) => assert!(matches!(error, devp2p_server::StartError::Resolver(_)), "{error}"),
    }
}
