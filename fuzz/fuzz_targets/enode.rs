//! The text of a node: `enode://` URLs above all.
#![no_main]

use devp2p_core::{Host, Node};
use devp2p_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let node = match bounded(text.len(), || (0, text.parse::<Node>())) {
        Ok(node) => node,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let again: Node = node.to_string().parse().expect("what we print can be read");
    assert_eq!(again, node);
    assert_eq!(again.to_string(), node.to_string());

    assert!(!format!("{node:?}").is_empty());

    // The URL of a node tells its key, host and ports, but not its record.
    let url: Node = node.to_enode().parse().expect("what we print can be read");
    assert_eq!((url.id(), url.host()), (node.id(), node.host()));
    if node.host().is_some() {
        assert_eq!((url.tcp_port(), url.udp_port()), (node.tcp_port(), node.udp_port()));
    }
    assert_eq!((url.tcp_addr(), url.udp_addr()), (node.tcp_addr(), node.udp_addr()));

    if let Some(Host::Dns(name)) = node.host() {
        assert!(node.tcp_addrs().is_empty() && name.len() <= 254);
        let resolved = node.with_ip([192, 0, 2, 1].into());
        assert_eq!(resolved.tcp_addr().map(|addr| addr.port()), node.tcp_port());
    }
    for addr in node.tcp_addrs() {
        assert!(addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
    }
});
