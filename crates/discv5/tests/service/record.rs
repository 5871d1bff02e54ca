use std::{net::SocketAddr, time::Duration};

use devp2p_core::Node;
use devp2p_discv5::Config;
use tokio::time::sleep;

use crate::network::{Network, local_record};

#[tokio::test(start_paused = true)]
async fn a_changed_record_is_the_one_that_is_shown() {
    let network = Network::new();
    let (node, other) = (network.start(1, &[]), network.start(2, &[]));
    let before = other.handle.request_enr(&node.node()).await.unwrap();
    node.local.lock().unwrap().set_entry("test", [0x01].as_slice()).unwrap();
    // Nobody woke the service.
    let after = other.handle.request_enr(&node.node()).await.unwrap();
    assert_eq!(after, node.handle.local_record());
    assert!(after.seq() > before.seq());
    assert_eq!(after.get("test"), Some([0x01].as_slice()));
}

#[tokio::test(start_paused = true)]
async fn what_others_see_of_us_gets_into_the_record() {
    let network = Network::new();
    let public = |number: u8, port| SocketAddr::from(([20, 0, number, 1], port));
    // It knows neither its address nor its port, as behind a NAT.
    let ours = public(99, 4_444);
    let node = network.start_with(ours, 99, Config::default(), local_record(99));
    assert_eq!(node.node().udp_addr(), None);

    // Others in as many prefixes as it takes, whom it pings.
    for number in 1..=10 {
        assert_eq!(node.node().udp_addr(), None, "{number}");
        let local = local_record(number);
        local.lock().unwrap().set_fallback_ip(public(number, 30_303).ip());
        let other = network.start_with(public(number, 30_303), number, Config::default(), local);
        node.handle.ping(&other.node()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(node.node().udp_addr(), Some(ours));

    // And the others are shown that.
    let local = local_record(100);
    let reader = network.start_with(public(100, 30_303), 100, Config::default(), local);
    let record = reader.handle.request_enr(&node.node()).await.unwrap();
    assert_eq!(Node::from_record(record).udp_addr(), Some(ours));
}
