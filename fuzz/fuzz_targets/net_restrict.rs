//! Lists of networks, and the addresses in them.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use devp2p_core::{EndpointClass, NetRestrict, check_relay_ip, classify, prefix_group};
use devp2p_fuzz::{memory::bounded, script::Script};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let high = u128::from(script.long()) << 64;
    let probe = Ipv6Addr::from(high | u128::from(script.long()));
    addresses(probe.into());

    let Ok(text) = std::str::from_utf8(script.rest()) else { return };
    let list = match bounded(text.len(), || (0, text.parse::<NetRestrict>())) {
        Ok(list) => list,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(!list.networks().is_empty(), "an empty list would shut everyone out");
    assert_eq!(list.to_string().parse().as_ref(), Ok(&list));
    for network in list.networks() {
        for ip in [network.network(), network.broadcast()] {
            // In a network of IPv6 an IPv4-mapped address is not meant, but IPv4's.
            let is_dressed = ip.to_canonical() != ip;
            assert!(is_dressed || list.contains(ip), "{ip} is in {network}");
            if let IpAddr::V4(v4) = ip {
                assert!(
                    list.contains(v4.to_ipv6_mapped().into()),
                    "{ip} as an IPv4-mapped address"
                );
            }
        }
    }
    let ip = IpAddr::from(probe).to_canonical();
    let by_hand = list.networks().iter().any(|network| network.contains(&ip));
    assert_eq!(list.contains(probe.into()), by_hand);
});

/// What is said of an address does not depend on whether it comes IPv4-mapped.
fn addresses(ip: IpAddr) {
    let canonical = ip.to_canonical();
    assert_eq!(classify(ip), classify(canonical));
    assert_eq!(prefix_group(ip), prefix_group(canonical));
    assert!(prefix_group(ip).contains(ip));
    let public = IpAddr::from([8, 8, 8, 8]);
    if check_relay_ip(public, ip).is_ok() {
        let class = classify(ip);
        assert!(!matches!(class, EndpointClass::Loopback | EndpointClass::Multicast), "{ip}");
    }
}
