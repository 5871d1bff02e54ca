//! Node lists in DNS, with a name server in memory and on virtual time.

use devp2p_core::{Node, NodeKey, Record};
use devp2p_dnsdisc::{Config, Nodes};
use devp2p_server::{
    DnsNodes,
    contract::discovery::{self, Resolves},
};

use crate::support::zone::Zone;

#[tokio::test(start_paused = true)]
async fn lists_in_dns() {
    let report = discovery::check(Resolves::Known, |known| {
        let zone = Zone::of("nodes.example.org", known.iter().map(record));
        let mut config = Config::default();
        // With the three a second of the default a round takes longer than the suite watches.
        config.rate = 100;
        Box::new(DnsNodes::new(Nodes::new(config, [zone.link()], zone.resolver(), [7; 32])))
    });
    report.await.assert_kept();
}

/// What a node that the suite knows would say of itself: the suite makes its key of one byte.
fn record(node: &Node) -> Record {
    let keys = (1..=u8::MAX).map(|n| NodeKey::from_bytes(&[n; 32]).unwrap());
    let key = keys.into_iter().find(|key| key.id() == node.id()).unwrap();
    let builder = Record::builder().ip(node.ip().unwrap()).tcp(node.tcp_port().unwrap());
    builder.sign(&key).unwrap()
}
