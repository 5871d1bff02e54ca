//! How rows look in the file: a version byte, then RLP.
//!
//! | row | after the version byte |
//! |---|---|
//! | seed | `[ip, port, last-pong, last-ping, node]` |
//! | anchors | `[node, ...]` |
//! | bans | `[[id or ip, bits, since, until], ...]` |
//! | own number | `[seq, used]` |
//!
//! A node is `[record, "", host, 0, 0]` or `["", key, host, tcp, udp]`; a host is a text, empty
//! where there is none. The bits of a banned id are 0, and so is the end of a ban without one.
//! Reading is strict: a row that another version wrote is a damaged row.

use std::net::{IpAddr, SocketAddr};

use devp2p_core::{
    Ban, BanNet, BanTarget, DiscoveryVersion, EndpointClass, Host, IpNet, Node, NodeId, PublicKey,
    Record, RlpItem, Seed, classify, prefix_group,
};
use rlp::RlpStream;

use crate::turns::Entry;

/// The version of all rows.
const VERSION: u8 = 1;

/// No honest number is as high: it comes from a clock in milliseconds and from counting.
const SEQ_LIMIT: u64 = 1 << 63;

/// Whether an address means the same in another run. A link-local one needs a scope, whose number
/// may then be another's.
pub(crate) fn outlasts_run(ip: IpAddr) -> bool {
    classify(ip) != EndpointClass::LinkLocal
}

/// The row of a seed.
pub(crate) fn encode_seed(seed: &Seed) -> Vec<u8> {
    versioned(|row| {
        row.begin_list(5);
        append_ip(row, seed.endpoint.ip());
        row.append(&seed.endpoint.port()).append(&seed.last_pong).append(&seed.last_ping);
        append_node(row, &seed.node);
    })
}

/// Reads the row of the seed with this id.
pub(crate) fn decode_seed(protocol: DiscoveryVersion, id: NodeId, row: &[u8]) -> Option<Seed> {
    let (times, node) = seed_times(row)?;
    let node = decode_node(node).filter(|node| node.id() == id)?;
    let mut seed = Seed::new(node, times.endpoint, protocol, times.last_pong);
    seed.last_ping = times.last_ping;
    Some(seed)
}

/// What the bounds and the choice of seeds need of a row. Does not look at the node, for that
/// means to verify a signature.
pub(crate) fn peek_seed(id: NodeId, row: &[u8]) -> Option<Entry> {
    let (times, _) = seed_times(row)?;
    let network = prefix_group(times.endpoint.ip());
    Some(Entry { id, network, last_pong: times.last_pong })
}

/// The same row, without the time at which we answered the node. `None` where there is nothing to
/// change.
pub(crate) fn unanswered(row: &[u8]) -> Option<Vec<u8>> {
    let (times, node) = seed_times(row)?;
    if times.last_ping == 0 {
        return None;
    }
    let mut rest = RlpItem::whole(row.get(1..)?)?.list()?;
    Some(versioned(|changed| {
        changed.begin_list(5);
        // The first three items stay as they are.
        for _ in 0..3 {
            if let Some((item, after)) = RlpItem::split(rest) {
                changed.append_raw(item.raw(), 1);
                rest = after;
            }
        }
        changed.append(&0_u64).append_raw(node.raw(), 1);
    }))
}

struct SeedTimes {
    endpoint: SocketAddr,
    last_pong: u64,
    last_ping: u64,
}

fn seed_times(row: &[u8]) -> Option<(SeedTimes, RlpItem<'_>)> {
    let [ip, port, last_pong, last_ping, node] = items(content(row)?)?;
    let ip = decode_ip(ip.string()?)?;
    let endpoint = SocketAddr::new(ip, u16::try_from(port.uint()?).ok()?);
    if !outlasts_run(ip) {
        return None;
    }
    Some((SeedTimes { endpoint, last_pong: last_pong.uint()?, last_ping: last_ping.uint()? }, node))
}

/// The row of the anchors.
pub(crate) fn encode_anchors(anchors: &[Node]) -> Vec<u8> {
    versioned(|row| {
        row.begin_list(anchors.len());
        anchors.iter().for_each(|node| append_node(row, node));
    })
}

/// Reads the row of the anchors. One that is damaged is left out.
pub(crate) fn decode_anchors(row: &[u8]) -> Option<Vec<Node>> {
    let mut rest = content(row)?.list()?;
    let mut anchors = Vec::new();
    while let Some((item, after)) = RlpItem::split(rest) {
        anchors.extend(decode_node(item));
        rest = after;
    }
    Some(anchors)
}

/// The row of the bans.
pub(crate) fn encode_bans(bans: &[Ban]) -> Vec<u8> {
    versioned(|row| {
        row.begin_list(bans.len());
        for ban in bans {
            row.begin_list(4);
            match ban.target {
                BanTarget::Id(id) => row.append(&id.as_bytes().as_slice()).append(&0_u8),
                BanTarget::Net(network) => {
                    let network = network.network();
                    append_ip(row, network.addr());
                    row.append(&network.prefix_len())
                }
            };
            row.append(&ban.since).append(&ban.until.unwrap_or(0));
        }
    })
}

/// Reads the row of the bans. One that is damaged is left out.
pub(crate) fn decode_bans(row: &[u8]) -> Option<Vec<Ban>> {
    let mut rest = content(row)?.list()?;
    let mut bans = Vec::new();
    while let Some((item, after)) = RlpItem::split(rest) {
        bans.extend(decode_ban(item));
        rest = after;
    }
    Some(bans)
}

fn decode_ban(item: RlpItem<'_>) -> Option<Ban> {
    let [target, bits, since, until] = items(item)?;
    let (target, bits) = (target.string()?, u8::try_from(bits.uint()?).ok()?);
    let target = match <[u8; 32]>::try_from(target) {
        Ok(id) => BanTarget::Id(NodeId::new(id)),
        Err(_) => BanTarget::Net(BanNet::new(IpNet::new(decode_ip(target)?, bits).ok()?)?),
    };
    let mut ban = Ban::new(target, since.uint()?, None);
    ban.until = Some(until.uint()?).filter(|&until| until != 0);
    Some(ban)
}

/// The number of the own record under one key, and when it was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalSeq {
    pub(crate) seq: u64,
    pub(crate) used: u64,
}

pub(crate) fn encode_local_seq(local: LocalSeq) -> Vec<u8> {
    versioned(|row| {
        row.begin_list(2).append(&local.seq).append(&local.used);
    })
}

pub(crate) fn decode_local_seq(row: &[u8]) -> Option<LocalSeq> {
    let [seq, used] = items(content(row)?)?;
    let seq = seq.uint().filter(|&seq| seq < SEQ_LIMIT)?;
    Some(LocalSeq { seq, used: used.uint()? })
}

fn append_ip(row: &mut RlpStream, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => row.append(&ip.octets().as_slice()),
        IpAddr::V6(ip) => row.append(&ip.octets().as_slice()),
    };
}

fn decode_ip(octets: &[u8]) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => Some(IpAddr::from(octets)),
        Err(_) => Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)),
    }
}

fn append_node(row: &mut RlpStream, node: &Node) {
    let host = node.host().map(Host::to_string).unwrap_or_default();
    row.begin_list(5);
    if let Some(record) = node.record() {
        row.append(&record.as_bytes()).append_empty_data().append(&host);
        row.append(&0_u16).append(&0_u16);
    } else {
        row.append_empty_data().append(&node.public_key().as_bytes().as_slice()).append(&host);
        row.append(&node.tcp_port().unwrap_or(0)).append(&node.udp_port().unwrap_or(0));
    }
}

fn decode_node(item: RlpItem<'_>) -> Option<Node> {
    let [record, key, host, tcp, udp] = items(item)?;
    let host = match host.string()? {
        [] => None,
        host => Some(std::str::from_utf8(host).ok()?.parse::<Host>().ok()?),
    };
    let record = record.string()?;
    if record.is_empty() {
        let key = PublicKey::from_bytes(key.string()?.try_into().ok()?).ok()?;
        let (tcp, udp) = (u16::try_from(tcp.uint()?).ok()?, u16::try_from(udp.uint()?).ok()?);
        return Some(Node::new(key, host, tcp, udp));
    }
    let node = Node::from_record(Record::decode(record).ok()?);
    // An address that was not the record's.
    match host {
        Some(Host::Ip(ip)) if node.ip() != Some(ip) => Some(node.with_ip(ip)),
        _ => Some(node),
    }
}

fn versioned(fill: impl FnOnce(&mut RlpStream)) -> Vec<u8> {
    let mut content = RlpStream::new();
    fill(&mut content);
    let mut row = vec![VERSION];
    row.extend_from_slice(&content.out());
    row
}

/// The list after the version byte.
fn content(row: &[u8]) -> Option<RlpItem<'_>> {
    match row.split_first() {
        Some((&VERSION, content)) => RlpItem::whole(content),
        _ => None,
    }
}

/// The items of a list of exactly so many.
fn items<const N: usize>(list: RlpItem<'_>) -> Option<[RlpItem<'_>; N]> {
    let mut rest = list.list()?;
    let mut found = Vec::with_capacity(N);
    while !rest.is_empty() && found.len() < N {
        let (item, after) = RlpItem::split(rest)?;
        found.push(item);
        rest = after;
    }
    if rest.is_empty() { found.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use devp2p_core::NodeKey;

    use super::*;

    fn key(seed: u8) -> NodeKey {
        NodeKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn nodes() -> Vec<Node> {
        let public = key(1).public_key();
        let record = Record::builder()
            .seq(9)
            .ip("192.0.2.1".parse().unwrap())
            .tcp(30303)
            .udp(30304)
            .entry("eth", [0xc1, 0x80].as_slice())
            .sign(&key(1))
            .unwrap();
        let bare = Record::builder().sign(&key(1)).unwrap();
        vec![
            Node::from(public),
            Node::new(public, Some("192.0.2.1".parse().unwrap()), 30303, 30301),
            Node::new(public, Some("[2001:db8::1]".parse().unwrap()), 30303, 0),
            Node::new(public, Some("boot.example.org".parse().unwrap()), 0, 65535),
            Node::from_record(record.clone()),
            Node::from_record(record).with_ip("198.51.100.7".parse().unwrap()),
            Node::from_record(bare.clone()),
            Node::from_record(bare).with_ip("2001:db8::2".parse().unwrap()),
        ]
    }

    fn seed(node: Node, endpoint: &str) -> Seed {
        let mut seed = Seed::new(node, endpoint.parse().unwrap(), DiscoveryVersion::V4, u64::MAX);
        seed.last_ping = 77;
        seed
    }

    #[test]
    fn seeds_are_read_as_they_were_written() {
        let id = key(1).id();
        for node in nodes() {
            for endpoint in ["192.0.2.1:30303", "[2001:db8::1]:0"] {
                let seed = seed(node.clone(), endpoint);
                let row = encode_seed(&seed);
                assert_eq!(decode_seed(seed.protocol, id, &row), Some(seed.clone()));
                assert_eq!(decode_seed(seed.protocol, key(2).id(), &row), None, "another's row");
                let entry = peek_seed(id, &row).unwrap();
                assert_eq!(entry.network, prefix_group(seed.endpoint.ip()));
                assert_eq!(entry.last_pong, seed.last_pong);

                let row = unanswered(&row).unwrap();
                let mut seed = seed;
                seed.last_ping = 0;
                assert_eq!(decode_seed(DiscoveryVersion::V4, id, &row), Some(seed));
                assert_eq!(unanswered(&row), None, "once is enough");
            }
        }
    }

    /// As earlier versions wrote.
    #[test]
    fn a_row_with_a_link_local_address_is_none() {
        for endpoint in ["[fe80::1]:30303", "169.254.1.2:30303"] {
            let row = encode_seed(&seed(nodes().remove(0), endpoint));
            assert_eq!(decode_seed(DiscoveryVersion::V4, key(1).id(), &row), None);
            assert!(peek_seed(key(1).id(), &row).is_none());
        }
    }

    #[test]
    fn anchors_and_numbers_are_read_as_they_were_written() {
        assert_eq!(decode_anchors(&encode_anchors(&nodes())), Some(nodes()));
        assert_eq!(decode_anchors(&encode_anchors(&[])), Some(Vec::new()));
        for seq in [0, 1, SEQ_LIMIT - 1] {
            let local = LocalSeq { seq, used: 5 };
            assert_eq!(decode_local_seq(&encode_local_seq(local)), Some(local));
        }
        let too_high = encode_local_seq(LocalSeq { seq: SEQ_LIMIT, used: 5 });
        assert_eq!(decode_local_seq(&too_high), None);
    }

    #[test]
    fn bans_are_read_as_they_were_written() {
        let targets = ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "2001:db8::1"];
        let mut bans = vec![Ban::new(BanTarget::Id(key(1).id()), 0, None)];
        for target in targets {
            bans.push(Ban::new(target.parse().unwrap(), 1_000, Some(Duration::from_secs(60))));
        }
        let row = encode_bans(&bans);
        assert_eq!(decode_bans(&row), Some(bans.clone()));
        assert_eq!(decode_bans(&encode_bans(&[])), Some(Vec::new()));
        for at in 0..row.len() {
            assert_eq!(decode_bans(&row[..at]), None);
            let mut changed = row.clone();
            changed[at] ^= 0x55;
            assert!(decode_bans(&changed).is_none_or(|read| read.len() <= bans.len() + 1));
        }
    }

    /// The format is in files out there: it changes with the version byte only.
    #[test]
    fn the_format_is_fixed() {
        let node = Node::new(key(1).public_key(), Some("192.0.2.1".parse().unwrap()), 1, 2);
        let row = encode_seed(&Seed::new(
            node,
            "192.0.2.1:3".parse().unwrap(),
            DiscoveryVersion::V4,
            0x1234,
        ));
        let mut expected = vec![0x01, 0xf8, 91];
        expected.extend([0x84, 192, 0, 2, 1, 3, 0x82, 0x12, 0x34, 0x80]);
        expected.extend([0xf8, 79, 0x80, 0xb8, 64]);
        expected.extend(key(1).public_key().as_bytes());
        expected.extend(b"\x89192.0.2.1");
        expected.extend([1, 2]);
        assert_eq!(row, expected);
    }

    #[test]
    fn any_change_is_noticed_or_harmless() {
        let id = key(1).id();
        for node in nodes() {
            let row = encode_seed(&seed(node, "192.0.2.1:30303"));
            for end in 0..row.len() {
                assert_eq!(decode_seed(DiscoveryVersion::V4, id, &row[..end]), None);
            }
            assert_eq!(decode_seed(DiscoveryVersion::V4, id, &[&row[..], &[0x80]].concat()), None);
            for at in 0..row.len() {
                let mut changed = row.clone();
                changed[at] ^= 0x55;
                // Whatever it reads as, it is a seed of this node.
                let read = decode_seed(DiscoveryVersion::V4, id, &changed);
                assert!(read.is_none_or(|seed| seed.node.id() == id));
                let _ = (unanswered(&changed), decode_anchors(&changed), peek_seed(id, &changed));
                let _ = decode_local_seq(&changed);
            }
        }
    }
}
