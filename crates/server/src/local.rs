//! What the server says of itself to others: its record and its enode URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use devp2p_core::{Family, Host, LocalRecord, Node, NodeKey, Record, RecordError};
use devp2p_peer::Protocol;
use tracing::warn;

/// Where a server really listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) udp: Option<SocketAddr>,
}

/// The record of a server that listens on these addresses.
pub(crate) fn local_record(
    key: &NodeKey,
    stored_seq: Option<u64>,
    addresses: Addresses,
    protocols: &[Protocol],
    unix_millis: u64,
) -> Result<LocalRecord, RecordError> {
    let mut local = match LocalRecord::new(key.clone(), stored_seq, unix_millis) {
        Err(RecordError::NoHigherSeq) if stored_seq.is_some() => {
            warn!(
                seq = stored_seq,
                "The stored record number cannot be one, starting at the clock"
            );
            LocalRecord::new(key.clone(), None, unix_millis)?
        }
        local => local?,
    };
    // Where the two have different addresses, the one to connect to is told.
    for address in addresses.udp.into_iter().chain(addresses.tcp) {
        served(address.ip()).into_iter().flatten().for_each(|ip| local.set_fallback_ip(ip));
    }
    for (ip, port) in on_each(addresses.tcp) {
        local.set_tcp_port(Family::of(ip), Some(port));
    }
    for (ip, port) in on_each(addresses.udp) {
        local.set_udp_port(Family::of(ip), Some(port));
    }
    for protocol in protocols {
        for (name, value) in protocol.record_entries() {
            if let Err(error) = local.set_entry(&name, value) {
                // The record is worth more than one entry of a subprotocol.
                warn!(protocol = %protocol.capability(), err = %error, "Record entry left out");
            }
        }
    }
    Ok(local)
}

/// The node of the record, with the ports that it really has. `udp_port` is the one of discovery v4
/// where that is not the one of the record.
pub(crate) fn local_node(
    record: &Record,
    listen_addr: Option<SocketAddr>,
    udp_port: Option<u16>,
) -> Node {
    let node = Node::from_record(record.clone());
    let host = node
        .host()
        .cloned()
        .or_else(|| listen_addr.map(|address| Host::Ip(reachable(address.ip()))));
    let port = |known: Option<u16>| {
        known.or_else(|| listen_addr.map(|address| address.port())).unwrap_or(0)
    };
    let tcp = port(node.tcp_port());
    Node::new(node.public_key(), host, tcp, udp_port.or_else(|| node.udp_port()).unwrap_or(0))
}

/// The addresses at which a socket bound to this one can be reached: `[::]` serves both families.
const fn served(ip: IpAddr) -> [Option<IpAddr>; 2] {
    match ip {
        IpAddr::V6(v6) if v6.is_unspecified() => {
            [Some(reachable(ip)), Some(IpAddr::V4(Ipv4Addr::LOCALHOST))]
        }
        _ => [Some(reachable(ip)), None],
    }
}

fn on_each(address: Option<SocketAddr>) -> impl Iterator<Item = (IpAddr, u16)> {
    let each = |address: SocketAddr| {
        served(address.ip()).into_iter().flatten().map(move |ip| (ip, address.port()))
    };
    address.into_iter().flat_map(each)
}

/// geth's fallback: who listens everywhere can at least be reached from this machine.
const fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tcp: Option<&str>, udp: Option<&str>) -> Record {
        let key = NodeKey::from_bytes(&[7; 32]).unwrap();
        let parse = |addr: Option<&str>| addr.map(|addr| addr.parse().unwrap());
        let addresses = Addresses { tcp: parse(tcp), udp: parse(udp) };
        local_record(&key, None, addresses, &[], 0).unwrap().record().clone()
    }

    #[test]
    fn the_record_tells_both_ports() {
        let both = record(Some("127.0.0.1:30303"), Some("127.0.0.1:30304"));
        assert_eq!(both.ip(), Some([127, 0, 0, 1].into()));
        assert_eq!((both.tcp(), both.udp()), (Some(30303), Some(30304)));
        let tcp = record(Some("127.0.0.1:30303"), None);
        assert_eq!((tcp.tcp(), tcp.udp()), (Some(30303), None));
        let udp = record(None, Some("127.0.0.1:30304"));
        assert_eq!((udp.ip(), udp.tcp()), (Some([127, 0, 0, 1].into()), None));
        assert_eq!(udp.udp(), Some(30304));
        let two = record(Some("127.0.0.1:30303"), Some("127.0.0.2:30303"));
        assert_eq!(two.ip(), Some([127, 0, 0, 1].into()), "the one to connect to");
    }

    #[test]
    fn who_listens_on_all_addresses_serves_both_families() {
        let dual = record(Some("[::]:30303"), Some("[::]:30304"));
        assert_eq!(dual.ip(), Some([127, 0, 0, 1].into()));
        assert_eq!((dual.tcp(), dual.udp()), (Some(30303), Some(30304)));
        assert_eq!(dual.ip6(), Some(Ipv6Addr::LOCALHOST));
        let v4 = record(Some("0.0.0.0:30303"), Some("0.0.0.0:30303"));
        assert_eq!((v4.ip(), v4.ip6()), (Some([127, 0, 0, 1].into()), None));
        let v6 = record(Some("[::1]:30303"), Some("[::1]:30303"));
        assert_eq!((v6.ip(), v6.ip6()), (None, Some(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn a_number_that_cannot_be_one_is_not_continued() {
        let key = NodeKey::from_bytes(&[7; 32]).unwrap();
        let addresses = Addresses { tcp: None, udp: None };
        let seq = |stored| local_record(&key, stored, addresses, &[], 1_000).unwrap().seq();
        assert_eq!(seq(None), 1_000);
        assert_eq!(seq(Some(5_000)), 5_001);
        assert_eq!(seq(Some(u64::MAX)), 1_000);
    }
}
