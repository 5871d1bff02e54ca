//! What holds for every record and every node URL.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use devp2p_core::{Family, Host, LocalRecord, Node, NodeKey, Record, RecordError};
use proptest::{collection, option, prelude::*};

static KEY: LazyLock<NodeKey> = LazyLock::new(|| NodeKey::from_bytes(&[0x11; 32]).unwrap());

fn value() -> impl Strategy<Value = Vec<u8>> {
    let string = collection::vec(any::<u8>(), 0..40).prop_map(|bytes| rlp::encode(&bytes).to_vec());
    let list = collection::vec(any::<u64>(), 0..4).prop_map(|numbers| {
        let mut list = rlp::RlpStream::new_list(numbers.len());
        for number in &numbers {
            list.append(number);
        }
        list.out().to_vec()
    });
    prop_oneof![string, list]
}

fn entry_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec!["ip", "ip6", "tcp", "tcp6", "udp", "udp6", "eth", "snap"])
            .prop_map(|key| key.as_bytes().to_vec()),
    ]
    .prop_filter("the record's own", |key| key != b"id" && key != b"secp256k1")
}

prop_compose! {
    fn record()(
        seq in any::<u64>(),
        entries in collection::btree_map(entry_key(), value(), 0..5),
    ) -> (u64, BTreeMap<Vec<u8>, Vec<u8>>, Result<Record, RecordError>) {
        let builder = entries.iter().fold(Record::builder().seq(seq), |builder, (key, value)| {
            builder.entry(key, value.clone())
        });
        (seq, entries, builder.sign(&KEY))
    }
}

prop_compose! {
    fn small_record()(seq in any::<u64>(), tcp in any::<u16>(), ip in any::<Ipv4Addr>()) -> Record {
        Record::builder().seq(seq).tcp(tcp).ip(ip.into()).sign(&KEY).unwrap()
    }
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(|ip| Host::Ip(ip.into())),
        any::<Ipv6Addr>().prop_map(|ip| Host::Ip(IpAddr::V6(ip).to_canonical())),
        "([a-z0-9_-]{1,63}\\.){0,3}[a-z][a-z0-9]{0,10}\\.?".prop_map(Host::Dns),
    ]
}

/// A change of a [`LocalRecord`].
#[derive(Clone, Debug)]
enum Change {
    Fixed(IpAddr),
    ClearFixed(Family),
    Voted(IpAddr, u16),
    ClearVoted(Family),
    Fallback(IpAddr),
    ClearFallback(Family),
    Tcp(Family, Option<u16>),
    Udp(Family, Option<u16>),
    Entry(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let family = || prop::sample::select(vec![Family::V4, Family::V6]);
    // Few values, so that changes that change nothing are frequent.
    let ip = || {
        let known = ["1.2.3.4", "5.6.7.8", "2a00::1", "2a00::2", "0.0.0.0", "ff02::1"];
        prop::sample::select(known.map(|ip| ip.parse::<IpAddr>().unwrap()).to_vec())
    };
    let port = || option::of(0_u16..3);
    prop_oneof![
        ip().prop_map(Change::Fixed),
        family().prop_map(Change::ClearFixed),
        (ip(), 0_u16..3).prop_map(|(ip, port)| Change::Voted(ip, port)),
        family().prop_map(Change::ClearVoted),
        ip().prop_map(Change::Fallback),
        family().prop_map(Change::ClearFallback),
        (family(), port()).prop_map(|(family, port)| Change::Tcp(family, port)),
        (family(), port()).prop_map(|(family, port)| Change::Udp(family, port)),
        (entry_key(), value()).prop_map(|(key, value)| Change::Entry(key, value)),
        entry_key().prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_built((seq, entries, record) in record()) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                // Only size can be wrong, and is told exactly.
                let RecordError::NoRoom { size } = error else { panic!("{error}") };
                prop_assert!(size > Record::MAX_SIZE);
                return Ok(());
            }
        };
        prop_assert!(record.as_bytes().len() <= Record::MAX_SIZE);
        prop_assert_eq!(record.seq(), seq);
        prop_assert_eq!(record.public_key(), KEY.public_key());
        for (key, value) in &entries {
            prop_assert_eq!(record.get(key), Some(value.as_slice()));
        }
        prop_assert_eq!(record.entries().count(), entries.len() + 2);
        prop_assert!(record.entries().is_sorted());
        prop_assert_eq!(&Record::decode(record.as_bytes()).unwrap(), &record);
        prop_assert_eq!(&record.to_string().parse::<Record>().unwrap(), &record);
        let node = Node::from_record(record);
        prop_assert_eq!(&node.to_string().parse::<Node>().unwrap(), &node);
    }

    #[test]
    fn no_changed_byte_passes(record in small_record(), at in any::<prop::sample::Index>(), flip in 1..=u8::MAX) {
        let mut bytes = record.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Record::decode(&bytes).is_err(), "byte {at} by {flip:02x}");
    }

    #[test]
    fn no_part_and_no_extension_passes(record in small_record(), cut in any::<prop::sample::Index>(), tail in collection::vec(any::<u8>(), 1..20)) {
        let bytes = record.as_bytes();
        prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert_eq!(Record::decode(&[bytes, &tail].concat()), Err(RecordError::TrailingBytes));
    }

    #[test]
    fn no_bytes_and_no_text_panic(bytes in collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
        let _ = Record::decode(&bytes);
        for prefix in ["", "enr:", "enode://", &KEY.public_key().to_string()] {
            let _ = format!("{prefix}{text}").parse::<Node>();
            let _ = format!("enode://{prefix}@{text}").parse::<Node>();
        }
    }

    #[test]
    fn a_url_is_read_as_it_was_printed(
        seed in any::<[u8; 32]>(),
        location in option::of((host(), any::<u16>(), any::<u16>())),
    ) {
        let Ok(key) = NodeKey::from_bytes(&seed) else { return Ok(()) };
        let node = match location {
            Some((host, tcp, udp)) => Node::new(key.public_key(), Some(host), tcp, udp),
            None => Node::from(key.public_key()),
        };
        prop_assert_eq!(&node.to_string().parse::<Node>().unwrap(), &node);
    }

    #[test]
    fn two_local_records_with_one_number_are_one(changes in collection::vec(change(), 1..20)) {
        let mut local = LocalRecord::new(KEY.clone(), Some(6), 0).unwrap();
        let mut seen = BTreeMap::from([(7, local.record().clone())]);
        for change in changes {
            let before = local.record().clone();
            match change.clone() {
                Change::Fixed(ip) => local.set_fixed_ip(ip),
                Change::ClearFixed(family) => local.clear_fixed_ip(family),
                Change::Voted(ip, port) => local.set_voted((ip, port).into()),
                Change::ClearVoted(family) => local.clear_voted(family),
                Change::Fallback(ip) => local.set_fallback_ip(ip),
                Change::ClearFallback(family) => local.clear_fallback_ip(family),
                Change::Tcp(family, port) => local.set_tcp_port(family, port),
                Change::Udp(family, port) => local.set_udp_port(family, port),
                Change::Entry(key, value) => drop(local.set_entry(key, value)),
                Change::Remove(key) => local.remove_entry(key),
            }
            let record = local.record().clone();
            prop_assert_eq!(record.seq(), local.seq());
            let same_content = record.entries().eq(before.entries());
            prop_assert_eq!(record.seq() == before.seq(), same_content, "{:?}", change);
            prop_assert!(record.seq() >= before.seq());
            if let Some(same) = seen.insert(record.seq(), record.clone()) {
                prop_assert_eq!(same, record);
            }
        }
    }
}
