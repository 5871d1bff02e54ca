//! Every published packet, field by field.

use bytes::Bytes;
use devp2p_core::{NodeKey, PublicKey, Record};
use devp2p_discv4::wire::{
    Datagram, DecodeError, Endpoint, EnrRequest, EnrResponse, FindNode, MAX_PACKET_SIZE, Neighbor,
    Neighbors, Packet, Ping, Pong, Target,
};
use serde_json::Value;

use crate::{hex, key, rehash};

const EIP8: &str = include_str!("../vectors/discv4-eip8-packets.json");
const DERIVED: &str = include_str!("../vectors/discv4-derived.json");

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn bytes<T: TryFrom<Vec<u8>, Error: std::fmt::Debug>>(value: &Value) -> T {
    hex(value.as_str().unwrap())
}

fn packet_bytes(vector: &Value) -> Vec<u8> {
    bytes(&vector["packet"])
}

/// Reads a vector and compares everything that it tells of the datagram; gives the packet.
fn check(vector: &Value) -> Packet {
    let (name, expected) = (&vector["name"], &vector["decoded"]);
    let packet = packet_bytes(vector);
    let datagram = Datagram::parse(&packet).unwrap();
    assert_eq!(u64::from(datagram.kind().code()), expected["type"].as_u64().unwrap(), "{name}");
    assert_eq!(datagram.hash().to_vec(), bytes::<Vec<u8>>(&expected["hash"]), "{name}");
    let signer = datagram.signer(&key()).unwrap();
    assert_eq!(signer.to_string(), expected["signer_pubkey"].as_str().unwrap(), "{name}");
    let decoded = datagram.packet().unwrap();
    assert_eq!(decoded, packet_of(expected), "{name}");
    assert_eq!(decoded.kind(), datagram.kind(), "{name}");
    decoded
}

/// The packet that the vector tells of.
fn packet_of(fields: &Value) -> Packet {
    let expiration = || fields["expiration"].as_u64().unwrap();
    let enr_seq = fields["enr_seq"].as_u64();
    match fields["type"].as_u64().unwrap() {
        1 => Packet::Ping(Ping {
            version: fields["version"].as_u64().unwrap(),
            from: endpoint(&fields["from"]),
            to: endpoint(&fields["to"]),
            expiration: expiration(),
            enr_seq,
        }),
        2 => Packet::Pong(Pong {
            to: endpoint(&fields["to"]),
            ping_hash: bytes(&fields["ping_hash"]),
            expiration: expiration(),
            enr_seq,
        }),
        3 => Packet::FindNode(FindNode {
            target: Target::new(bytes(&fields["target"])),
            expiration: expiration(),
        }),
        4 => Packet::Neighbors(Neighbors {
            nodes: list(&fields["nodes"]).iter().map(neighbor).collect(),
            expiration: expiration(),
        }),
        5 => Packet::EnrRequest(EnrRequest { expiration: expiration() }),
        6 => Packet::EnrResponse(EnrResponse {
            request_hash: bytes(&fields["request_hash"]),
            record: Bytes::from(bytes::<Vec<u8>>(&fields["record"])),
        }),
        other => unreachable!("type {other}"),
    }
}

fn endpoint(fields: &Value) -> Endpoint {
    Endpoint {
        ip: fields["ip"].as_str().unwrap().parse().ok(),
        udp: port(&fields["udp"]),
        tcp: port(&fields["tcp"]),
    }
}

fn neighbor(fields: &Value) -> Neighbor {
    Neighbor {
        ip: fields["ip"].as_str().unwrap().parse().unwrap(),
        udp: port(&fields["udp"]),
        tcp: port(&fields["tcp"]),
        public_key: PublicKey::from_bytes(&bytes(&fields["id"])).unwrap(),
    }
}

fn port(value: &Value) -> u16 {
    value.as_u64().unwrap().try_into().unwrap()
}

#[test]
fn the_packets_of_eip_8_are_read_whatever_they_hold_besides() {
    let vectors = parse(EIP8);
    assert_eq!(list(&vectors["packets"]).len(), 5);
    for vector in list(&vectors["packets"]) {
        check(vector);
    }
    // Two have a list in the place of the record's number, one has a number.
    let seqs: Vec<_> = list(&vectors["packets"])
        .iter()
        .filter_map(|vector| match check(vector) {
            Packet::Ping(ping) => Some((ping.version, ping.enr_seq)),
            Packet::Pong(pong) => Some((0, pong.enr_seq)),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [(4, Some(1)), (555, None), (0, None)]);
}

#[test]
fn the_packets_of_other_implementations_are_read() {
    let vectors = parse(EIP8);
    let plain = &vectors["go_ethereum"]["packets"][0];
    let packet = check(plain);
    // Nothing is in it but what we write too; its signature is not that of RFC 6979.
    let sealed = packet.seal(&key()).unwrap().bytes;
    assert_eq!(sealed.split_at(97).1, packet_bytes(plain).split_at(97).1);

    // Its sender does not know its own address.
    let Packet::Ping(ping) = check(&vectors["reth"]["packets"][0]) else { unreachable!() };
    assert_eq!(ping.from, Endpoint::default());
    assert_eq!(ping.from.udp_addr(), None);
    assert_eq!(ping.enr_seq, Some(1_722_391_150_334));
}

#[test]
fn what_we_write_is_the_same_byte_for_byte() {
    let vectors = parse(DERIVED);
    assert_eq!(list(&vectors["packets"]).len(), 9);
    for vector in list(&vectors["packets"]) {
        let packet = check(vector);
        let (name, expected) = (&vector["name"], packet_bytes(vector));
        let sealed = packet.seal(&key()).unwrap();
        assert_eq!(sealed.bytes, expected, "{name}");
        assert_eq!(sealed.hash.to_vec(), bytes::<Vec<u8>>(&vector["decoded"]["hash"]), "{name}");
        assert_eq!(sealed.bytes.len() as u64, vector["size"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn the_record_of_an_answer_is_the_one_that_was_signed() {
    let vectors = parse(DERIVED);
    let vector = list(&vectors["packets"]).iter().find(|vector| vector["name"] == "enrresponse");
    let Packet::EnrResponse(response) = check(vector.unwrap()) else { unreachable!() };
    let record = Record::decode(&response.record).unwrap();
    assert_eq!(record.to_string(), vectors["record_text"].as_str().unwrap());
    assert_eq!(record.public_key(), key().public_key());
}

#[test]
fn rejects_are_rejected_each_for_its_reason() {
    let vectors = parse(DERIVED);
    let find = |name: &str| {
        let reject = list(&vectors["reject"]).iter().find(|reject| reject["name"] == name);
        packet_bytes(reject.unwrap())
    };
    let reason = |packet: &[u8]| Datagram::parse(packet).unwrap_err();
    assert_eq!(list(&vectors["reject"]).len(), 6);
    assert_eq!(reason(&find("empty")), DecodeError::Size(0));
    assert_eq!(reason(&find("too_short_97")), DecodeError::Size(97));
    assert_eq!(reason(&find("bad_hash")), DecodeError::Hash);
    assert_eq!(reason(&find("unknown_type_7f")), DecodeError::UnknownKind(0x7f));

    let packet = find("recovery_id_4");
    let datagram = Datagram::parse(&packet).unwrap();
    assert!(datagram.packet().is_ok());
    assert_eq!(datagram.signer(&key()), Err(DecodeError::Signature));

    // This one has a longer name than body: 1226 bytes, 1100 of them an additional element. That
    // is no reason to refuse it; 1281 bytes are.
    let mut packet = find("over_1280");
    assert_eq!(packet.len(), 1226);
    assert!(matches!(
        Datagram::parse(&packet).unwrap().packet(),
        Ok(Packet::Ping(Ping { enr_seq: None, expiration: 4_102_444_800, .. }))
    ));
    packet.resize(MAX_PACKET_SIZE, 0);
    assert!(Datagram::parse(&rehash(&packet)).is_ok());
    packet.push(0);
    assert_eq!(reason(&rehash(&packet)), DecodeError::Size(MAX_PACKET_SIZE + 1));
}

#[test]
fn the_signer_does_not_depend_on_who_reads() {
    let packet = packet_bytes(&parse(EIP8)["packets"][0]);
    let other = NodeKey::from_bytes(&[9; 32]).unwrap();
    assert_eq!(Datagram::parse(&packet).unwrap().signer(&other), Ok(key().public_key()));
}
