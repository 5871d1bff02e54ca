//! A node behind the NAT of a home: miniupnpd at the gateway, coturn outside, each in its own network
//! namespace.

use std::{net::Ipv4Addr, time::Duration};

use devp2p_core::Record;
use devp2p_interop::NatNetwork;

fn tells_external(record: &Record) -> bool {
    record.ip() == Some(NatNetwork::EXTERNAL.parse().unwrap())
}

#[tokio::test]
async fn a_node_behind_a_nat_becomes_reachable_and_leaves_nothing_behind() {
    let Some(programs) = devp2p_interop::nat_programs() else { return };
    let network = programs.network();
    for nat in ["upnp", "pmp", "pcp", "any"] {
        let mut node = network.behind(nat);
        let first = node.record_when("the first", |_| true).await;
        assert_eq!(first.ip(), Some(Ipv4Addr::LOCALHOST), "{nat}: what it knows by itself");
        let record = node.record_when(nat, tells_external).await;
        assert!(record.seq() > first.seq());
        // The record tells of the first; the second comes a moment later.
        for _ in 0..50 {
            if network.mapped_ports() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(network.mapped_ports(), 2, "{nat}: TCP and UDP");
        assert_eq!(network.reach(&record).await, "added true, ponged true", "{nat}");
        node.stop().await;
        assert_eq!(network.mapped_ports(), 0, "{nat}");
    }
}

#[tokio::test]
async fn without_a_mapping_nobody_outside_reaches_it() {
    let Some(programs) = devp2p_interop::nat_programs() else { return };
    let network = programs.network();
    let mut node = network.behind(&format!("extip:{}", NatNetwork::EXTERNAL));
    let record = node.record_when("the user's address", tells_external).await;
    assert_eq!(network.mapped_ports(), 0);
    assert_eq!(network.reach(&record).await, "added false, ponged false");
    node.stop().await;
}

#[tokio::test]
async fn a_stun_server_tells_the_address_alone() {
    let Some(programs) = devp2p_interop::nat_programs() else { return };
    let network = programs.network();
    let mut node = network.behind(&format!("stun:{}", NatNetwork::STUN));
    node.record_when("what the STUN server sees", tells_external).await;
    assert_eq!(network.mapped_ports(), 0);
    node.stop().await;
}
