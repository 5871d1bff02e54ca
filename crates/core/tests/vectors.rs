//! The published and derived vectors for ids, records and node URLs.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{net::IpAddr, str::FromStr};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use devp2p_core::{
    Host, KeyError, Node, NodeId, NodeKey, ParseNodeError, PublicKey, Record, RecordBuilder,
    RecordError,
};
use serde_json::Value;

fn vectors(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn enr() -> Value {
    vectors(include_str!("vectors/enr.json"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value[name].as_array().unwrap();
    assert!(!list.is_empty(), "{name}");
    list
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Keys are given a character for each byte.
fn entry_key(pair: &Value) -> Vec<u8> {
    pair[0].as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// Values are the bytes of a string, or the encoding of a list.
fn entry_value(pair: &Value) -> Bytes {
    match &pair[1] {
        Value::String(bytes) => rlp::encode(&hex(bytes)).freeze(),
        list => hex(text(list, "rlp_list")).into(),
    }
}

#[test]
fn distances() {
    let vectors = vectors(include_str!("vectors/distance.json"));
    for case in list(&vectors, "cases") {
        let (a, b): (NodeId, NodeId) =
            (text(case, "a").parse().unwrap(), text(case, "b").parse().unwrap());
        assert_eq!(HEXLOWER.encode(&a.distance(&b)), text(case, "xor"));
        assert_eq!(u64::from(a.log_distance(&b)), case["log2_distance"].as_u64().unwrap());
        assert_eq!(a.distance(&b), b.distance(&a));
        assert_eq!(a.log_distance(&b), b.log_distance(&a));
    }
}

#[test]
fn valid_records_decode_and_keep_every_byte() {
    let vectors = enr();
    let example = std::slice::from_ref(&vectors["example"]);
    let cases = [example, list(&vectors, "valid"), list(&vectors, "derived_valid")].concat();
    for case in &cases {
        let name = text(case, "name");
        let raw = hex(text(case, "rlp"));
        let record = Record::decode(&raw).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(record.as_bytes(), raw, "{name}");
        assert_eq!(record.as_bytes().len() as u64, case["size"].as_u64().unwrap(), "{name}");
        assert_eq!(record.to_string(), text(case, "text"), "{name}");
        assert_eq!(text(case, "text").parse().as_ref(), Ok(&record), "{name}");
        assert_eq!(Some(record.seq()), case["seq"].as_u64(), "{name}");
        assert_eq!(record.id().to_string(), text(case, "node_id"), "{name}");
        let public_key = PublicKey::from_compressed(&hex(text(case, "public_key"))).unwrap();
        assert_eq!(record.public_key(), public_key, "{name}");

        let expected: Vec<_> = list(case, "pairs")
            .iter()
            .map(|pair| (entry_key(pair), entry_value(pair).to_vec()))
            .collect();
        let found: Vec<_> =
            record.entries().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(found, expected, "{name}");
        for (key, value) in expected {
            assert_eq!(record.get(key), Some(value.as_slice()), "{name}");
        }
    }
}

#[test]
fn records_are_built_byte_for_byte() {
    let vectors = enr();
    let example = std::slice::from_ref(&vectors["example"]);
    for case in example.iter().chain(list(&vectors, "derived_valid")) {
        let key = NodeKey::from_bytes(&hex(text(case, "private_key")).try_into().unwrap()).unwrap();
        let record = list(case, "pairs")
            .iter()
            .filter(|pair| !matches!(pair[0].as_str(), Some("id" | "secp256k1")))
            .fold(Record::builder().seq(case["seq"].as_u64().unwrap()), |builder, pair| {
                builder.entry(entry_key(pair), entry_value(pair))
            })
            .sign(&key)
            .unwrap();
        assert_eq!(HEXLOWER.encode(record.as_bytes()), text(case, "rlp"), "{}", text(case, "name"));
    }
}

#[test]
fn typed_getters_and_setters_agree_with_the_vectors() {
    let vectors = enr();
    let record = |name: &str| {
        let mut cases = list(&vectors, "valid").iter().chain(list(&vectors, "derived_valid"));
        let case = cases.find(|case| case["name"] == name).unwrap();
        text(case, "text").parse::<Record>().unwrap()
    };
    let dual = record("dual_stack");
    assert_eq!(
        (dual.ip(), dual.tcp(), dual.udp()),
        (Some([192, 0, 2, 1].into()), Some(30304), Some(30303))
    );
    assert_eq!(dual.ip6(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!((dual.tcp6(), dual.udp6()), (Some(30306), Some(30305)));

    let key = hex(text(&list(&vectors, "derived_valid")[0], "private_key"));
    let rebuilt: RecordBuilder = Record::builder()
        .udp6(30305)
        .tcp6(30306)
        .ip("2001:db8::1".parse().unwrap())
        .udp(30303)
        .tcp(30304)
        .ip("192.0.2.1".parse().unwrap())
        .seq(2);
    let rebuilt = rebuilt.sign(&NodeKey::from_bytes(&key.try_into().unwrap()).unwrap());
    assert_eq!(rebuilt, Ok(dual));

    let fallback = record("ip6_without_udp6");
    assert_eq!((fallback.udp6(), fallback.get("udp6")), (Some(9000), None));
    assert_eq!((fallback.tcp(), fallback.tcp6(), fallback.ip()), (None, None, None));
    let addr = Node::from_record(fallback).udp_addr();
    assert_eq!(addr, Some("[2001:db8::2]:9000".parse().unwrap()));

    assert_eq!(
        record("eth_entry_mainnet_bpo2").get("eth").map(|value| HEXLOWER.encode(value)).as_deref(),
        Some("c7c68407c9462e80")
    );
    assert_eq!(record("seq_max_u64").seq(), u64::MAX);
}

#[test]
fn bad_records_are_refused_for_the_right_reason() {
    for case in list(&enr(), "reject") {
        let error = match case.get("rlp") {
            Some(raw) => Record::decode(&hex(raw.as_str().unwrap())),
            None => text(case, "text").parse(),
        };
        let expected = match text(case, "name") {
            "size_301" => RecordError::TooLarge { size: 301 },
            "sigp_padded" | "sigp_extra_trailing_bits" | "geth_short" => RecordError::Base64,
            "unsorted_keys" | "duplicate_key" => RecordError::KeyOrder,
            "seq_leading_zero" | "seq_9_bytes" => RecordError::Seq,
            "odd_elements" | "empty_list" | "only_signature" | "geth_empty" => {
                RecordError::Malformed
            }
            "missing_id" | "unknown_scheme" => RecordError::Scheme,
            "missing_public_key" => RecordError::NoPublicKey,
            "signature_65_bytes" | "bad_signature" | "geth_invalid_sig" => RecordError::Signature,
            "trailing_bytes" => RecordError::TrailingBytes,
            other => panic!("a new case: {other}"),
        };
        assert_eq!(error.unwrap_err(), expected, "{}", text(case, "name"));
    }
}

/// What EIP-778 leaves open is decided as geth does.
#[test]
fn what_the_specification_leaves_open() {
    for case in list(&enr(), "implementation_defined") {
        let name = text(case, "name");
        let record = match case.get("rlp") {
            Some(raw) => Record::decode(&hex(raw.as_str().unwrap())),
            None => text(case, "text").parse(),
        };
        match name {
            "high_s_signature" => assert_eq!(record, Err(RecordError::Signature)),
            "text_without_prefix" => assert_eq!(record, Err(RecordError::MissingPrefix)),
            // The record is valid; a value that cannot be what its key says is not there.
            "udp_70000" => assert_eq!(record.unwrap().udp(), None),
            "ip_5_bytes" => assert_eq!(record.unwrap().ip(), None),
            _ if name.starts_with("port_leading_zero") => assert_eq!(record.unwrap().tcp(), None),
            other => panic!("a new case: {other}"),
        }
    }
}

#[test]
fn node_urls() {
    let vectors = vectors(include_str!("vectors/enode-urls.json"));
    for case in list(&vectors, "cases") {
        let input = text(case, "input");
        let node = input.parse::<Node>();
        if case["valid"] == Value::Bool(false) {
            let expected = match text(case, "error") {
                "invalid port" => ParseNodeError::Port,
                "invalid discport in query" => ParseNodeError::Discport,
                "errMissingPrefix.Error()" => ParseNodeError::MissingPrefix,
                "invalid public key (wrong length, want 128 hex chars)" => {
                    ParseNodeError::PublicKeyLength
                }
                other => panic!("a new error: {other}"),
            };
            assert_eq!(node, Err(expected), "{input}");
            continue;
        }
        let node = node.unwrap_or_else(|error| panic!("{input}: {error}"));
        let parsed = &case["parsed"];
        let host = parsed["host"].as_str().map(|host| {
            IpAddr::from_str(host).map_or_else(|_| Host::Dns(host.to_owned()), Host::Ip)
        });
        assert_eq!(node.public_key().to_string(), text(parsed, "id"), "{input}");
        assert_eq!(node.host(), host.as_ref(), "{input}");
        assert_eq!(u64::from(node.tcp_port().unwrap_or(0)), parsed["tcp"].as_u64().unwrap());
        assert_eq!(u64::from(node.udp_port().unwrap_or(0)), parsed["udp"].as_u64().unwrap());
        assert_eq!(node.to_string(), input);
        assert_eq!(node.id(), NodeId::from(node.public_key()));
    }
}

/// 128 digits without a prefix are a key, and a key is a node of which nothing else is known.
#[test]
fn a_bare_key_is_a_node_by_way_of_the_key() {
    let vectors = vectors(include_str!("vectors/enode-urls.json"));
    let mut bare = list(&vectors, "cases").iter().map(|case| text(case, "input"));
    let bare = bare.find(|input| input.len() == 128).unwrap();
    let node = bare.parse::<PublicKey>().map(Node::from).unwrap();
    assert_eq!(format!("enode://{bare}").parse(), Ok(node));
    assert_eq!("01010101".parse::<PublicKey>(), Err(KeyError::Encoding));
}
