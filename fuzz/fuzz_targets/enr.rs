//! The bytes of a record: as they come, and with any content signed by a key that we hold.
#![no_main]

use devp2p_core::{Node, NodeId, NodeKey, Record, RecordBuilder, RecordError};
use devp2p_fuzz::{keys::RECIPIENT, memory::bounded, script::Script};
use libfuzzer_sys::fuzz_target;
use rlp::RlpStream;
use sha3::Digest as _;

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let bytes = match script.pick(2) {
        0 => script.rest().to_vec(),
        _ => sign(&RECIPIENT, script.rest()),
    };
    match bounded(bytes.len(), || (0, Record::decode(&bytes))) {
        Ok(record) => check(&record, &bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// The record with this content, which is everything after the signature.
fn sign(key: &NodeKey, content: &[u8]) -> Vec<u8> {
    let digest = sha3::Keccak256::digest(list(&[content])).into();
    let signature = rlp::encode(&key.sign(&digest).as_slice()).to_vec();
    list(&[&signature, content])
}

fn list(items: &[&[u8]]) -> Vec<u8> {
    let mut list = RlpStream::new();
    list.begin_unbounded_list();
    for item in items {
        list.append_raw(item, 1);
    }
    list.finalize_unbounded_list();
    list.out().to_vec()
}

fn check(record: &Record, bytes: &[u8]) {
    assert_eq!(record.as_bytes(), bytes, "the bytes are kept as they came");
    assert!(bytes.len() <= Record::MAX_SIZE);
    assert_eq!(record.id(), NodeId::from(record.public_key()));
    assert_eq!(record.to_string().parse().as_ref(), Ok(record));

    let entries: Vec<_> = record.entries().collect();
    assert!(entries.is_sorted_by(|a, b| a.0 < b.0), "keys are sorted and unique");
    for &(key, value) in &entries {
        assert_eq!(record.get(key), Some(value));
    }
    for port in [record.tcp(), record.tcp6(), record.udp(), record.udp6()] {
        assert_ne!(port, Some(0));
    }
    assert!(!format!("{record:?}").is_empty());
    let node = Node::from_record(record.clone());
    assert_eq!(node.to_string().parse().as_ref(), Ok(&node));
    assert!(node.tcp_addrs().len() <= 2);

    // Signing is deterministic: our own record with this content is this very record, unless it
    // came with another signature that is as good.
    if record.public_key() == RECIPIENT.public_key() {
        let rebuilt = entries
            .iter()
            .filter(|(key, _)| !matches!(*key, b"id" | b"secp256k1"))
            .fold(Record::builder().seq(record.seq()), |builder: RecordBuilder, (key, value)| {
                builder.entry(key, value.to_vec())
            })
            .sign(&RECIPIENT);
        match rebuilt {
            Ok(rebuilt) => {
                assert!(rebuilt.entries().eq(record.entries()));
                assert_eq!(rebuilt.as_bytes().len(), bytes.len());
            }
            Err(error) => assert_eq!(error, RecordError::Value, "{record:?}"),
        }
    }
}
