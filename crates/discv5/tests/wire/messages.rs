//! Every published message, field by field and back, and what is none.

use bytes::Bytes;
use devp2p_core::{Fault, Record};
use devp2p_discv5::message::{
    Body, FindNode, MAX_RECORDS, Message, MessageEncodeError, MessageError, MessageKind, Nodes,
    Ping, Pong, RequestId, TalkRequest, TalkResponse,
};
use serde_json::Value;

use crate::{MESSAGES, list, named, parse, vec};

fn message_of(vector: &Value) -> Message {
    let fields = &vector["fields"];
    let number = |name: &str| fields[name].as_u64().unwrap();
    let bytes = |name: &str| Bytes::from(vec(&fields[name]));
    let body = match vector["type"].as_u64().unwrap() {
        1 => Body::Ping(Ping { enr_seq: number("enr_seq") }),
        2 => Body::Pong(Pong {
            enr_seq: number("enr_seq"),
            ip: fields["ip"].as_str().unwrap().parse().unwrap(),
            port: number("port").try_into().unwrap(),
        }),
        3 => Body::FindNode(FindNode {
            distances: list(&fields["distances"])
                .iter()
                .map(|distance| distance.as_u64().unwrap().try_into().unwrap())
                .collect(),
        }),
        4 => Body::Nodes(Nodes {
            total: number("total"),
            records: list(&fields["records"])
                .iter()
                .map(|text| text.as_str().unwrap().parse::<Record>().unwrap().to_bytes())
                .collect(),
        }),
        5 => Body::TalkRequest(TalkRequest {
            protocol: bytes("protocol"),
            request: bytes("request"),
        }),
        6 => Body::TalkResponse(TalkResponse { response: bytes("response") }),
        other => unreachable!("type {other}"),
    };
    Message { request_id: RequestId::new(&bytes("request_id")).unwrap(), body }
}

fn decode(bytes: &[u8]) -> Result<Message, MessageError> {
    Message::decode(&Bytes::copy_from_slice(bytes))
}

#[test]
fn messages_are_read_and_written_as_published() {
    let vectors = parse(MESSAGES);
    for vector in list(&vectors["messages"]) {
        let (name, encoded) = (&vector["name"], vec(&vector["encoded"]));
        let message = decode(&encoded).unwrap();
        assert_eq!(message, message_of(vector), "{name}");
        assert_eq!(message.to_bytes().unwrap(), encoded, "{name}");
        assert_eq!(u64::from(message.kind().code()), vector["type"].as_u64().unwrap(), "{name}");
    }
    assert_eq!(list(&vectors["messages"]).len(), 17);

    let encoded = vec(&vectors["record_size_288_nodes"]);
    let message = decode(&encoded).unwrap();
    let Body::Nodes(nodes) = &message.body else { panic!("{message:?}") };
    assert_eq!(nodes.records.iter().map(Bytes::len).collect::<Vec<_>>(), [286]);
    assert_eq!(message.to_bytes().unwrap(), encoded);
}

#[test]
fn what_is_no_message_is_refused() {
    let vectors = parse(MESSAGES);
    let error = |name| decode(&vec(&named(&vectors["reject"], name)["encoded"])).unwrap_err();
    use MessageError as E;
    use MessageKind as K;
    assert_eq!(error("reqid_9_bytes"), E::RequestId(K::Ping));
    assert_eq!(error("pong_ip_5_bytes"), E::Data(K::Pong));
    assert_eq!(error("not_a_list"), E::Data(K::Ping));
    assert_eq!(error("unknown_type_0b"), E::UnknownKind(0x0b));
    assert_eq!(error("type_only"), E::Data(K::Ping));
    assert_eq!(error("empty"), E::Empty);
    assert_eq!(error("truncated_list"), E::Data(K::Ping));
    assert_eq!(error("ping_missing_seq"), E::Data(K::Ping));
    assert_eq!(error("talk_trailing"), E::Data(K::TalkResponse));
    assert_eq!(error("seq_leading_zero"), E::Data(K::Ping));
    assert_eq!(list(&vectors["reject"]).len(), 10);
    assert_eq!(E::RequestId(K::Ping).fault(), Fault::Remote);
    // The drafts of topics are types of their own, and none of ours.
    for draft in list(&vectors["topdisc_draft_2026_06"]) {
        let encoded = vec(&draft["encoded"]);
        assert_eq!(decode(&encoded), Err(E::UnknownKind(encoded[0])));
    }
}

#[test]
fn elements_after_those_that_are_known_are_not_looked_at() {
    let vectors = parse(MESSAGES);
    for vector in list(&vectors["messages"]) {
        let encoded = vec(&vector["encoded"]);
        let (kind, list) = (encoded[0], rlp::Rlp::new(&encoded[1..]));
        let mut longer = rlp::RlpStream::new();
        longer.begin_unbounded_list();
        for item in &list {
            longer.append_raw(item.as_raw(), 1);
        }
        longer.append(&7_u64).begin_list(1).append(&"more").append_raw(&[0x82], 1);
        longer.finalize_unbounded_list();
        let longer = [&[kind], &longer.out()[..]].concat();
        assert_eq!(decode(&longer), Ok(message_of(vector)), "{}", vector["name"]);
    }
}

#[test]
fn every_beginning_of_a_message_is_refused() {
    let vectors = parse(MESSAGES);
    for vector in list(&vectors["messages"]) {
        let encoded = vec(&vector["encoded"]);
        for end in 0..encoded.len() {
            assert!(decode(&encoded[..end]).is_err(), "{} {end}", vector["name"]);
        }
    }
}

#[test]
fn request_ids_have_up_to_8_bytes() {
    for size in 0..=8 {
        let id = RequestId::new(&[0, 9, 8, 7, 6, 5, 4, 3][..size]).unwrap();
        assert_eq!(id.as_bytes().len(), size);
        let message = Message { request_id: id, body: Body::Ping(Ping { enr_seq: 1 }) };
        assert_eq!(Message::decode(&message.to_bytes().unwrap()), Ok(message));
    }
    assert_eq!(RequestId::new(&[0; 9]), None);
    // Zeros count: these are three ids.
    assert_ne!(RequestId::new(&[]), RequestId::new(&[0]));
    assert_ne!(RequestId::new(&[0]), RequestId::new(&[0, 0]));
    assert_eq!(RequestId::from(258).as_bytes(), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(format!("{:?}", RequestId::new(&[0, 0xab]).unwrap()), "RequestId(00ab)");
}

#[test]
fn distances_that_do_not_exist_are_left_out() {
    let distances = |list: &[u8]| match decode(&[&[3, 0xc2 + list.len() as u8, 1], list].concat()) {
        Ok(Message { body: Body::FindNode(find_node), .. }) => Ok(find_node.distances),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    // 257, 2^32, 256 and 0.
    let list = [0xcd, 0x82, 1, 1, 0x85, 1, 0, 0, 0, 0, 0x82, 1, 0, 0x80];
    assert_eq!(distances(&list[..]).map_err(|_| ()), Err(()));
    let list = [&[3, 0xcf, 1, 0xcd][..], &list[1..]].concat();
    let Body::FindNode(find_node) = decode(&list).unwrap().body else { panic!() };
    assert_eq!(find_node.distances, [256, 0]);
    // What is no number is an error: a string that is too long, a list.
    let bad = [3, 0xcc, 1, 0xca, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    assert_eq!(decode(&bad), Err(MessageError::Data(MessageKind::FindNode)));
    assert_eq!(decode(&[3, 0xc3, 1, 0xc1, 0xc0]), Err(MessageError::Data(MessageKind::FindNode)));
}

#[test]
fn records_are_kept_raw_and_no_more_than_a_packet_holds() {
    let nodes = |records: &[u8]| {
        let list = [&[0xc0 + records.len() as u8], records].concat();
        let rest = [&[1, 5], &list[..]].concat();
        match decode(&[&[4, 0xc0 + rest.len() as u8], &rest[..]].concat()) {
            Ok(Message { body: Body::Nodes(nodes), .. }) => nodes,
            other => panic!("{other:?}"),
        }
    };
    // A string and a number between lists, which need not be records at all.
    let read = nodes(&[0xc1, 7, 0x82, 1, 2, 9, 0xc0]);
    assert_eq!(
        (read.total, read.records),
        (5, vec![Bytes::from(vec![0xc1, 7]), vec![0xc0].into()])
    );
    assert_eq!(nodes(&[0xc0; 40]).records.len(), MAX_RECORDS);
    // The smallest record that there can be: no more of them fit into a message.
    let key = devp2p_core::NodeKey::from_bytes(&[1; 32]).unwrap();
    let smallest = Record::builder().sign(&key).unwrap().as_bytes().len();
    assert!((MAX_RECORDS + 1) * smallest > devp2p_discv5::wire::MAX_MESSAGE_SIZE, "{smallest}");
}

#[test]
fn what_is_no_list_is_not_written_as_a_record() {
    for bad in [&[][..], &[0x80], &[0xc1], &[0xc0, 0xc0]] {
        let nodes = Nodes { total: 1, records: vec![Bytes::copy_from_slice(bad)] };
        let message = Message { request_id: RequestId::from(1), body: Body::Nodes(nodes) };
        let mut buffer = bytes::BytesMut::from(&b"before"[..]);
        assert_eq!(message.encode(&mut buffer), Err(MessageEncodeError::Record));
        assert_eq!(buffer, "before");
    }
    assert_eq!(MessageEncodeError::Record.fault(), Fault::Local);
}

#[test]
fn a_pong_tells_an_endpoint() {
    let pong = |ip: &str| Pong { enr_seq: 1, ip: ip.parse().unwrap(), port: 30303 }.endpoint();
    assert_eq!(pong("::ffff:192.0.2.1"), "192.0.2.1:30303".parse().unwrap());
    assert_eq!(pong("2001:db8::1"), "[2001:db8::1]:30303".parse().unwrap());
    // Two bytes for a port below 256, as some write it.
    let message = decode(&[2, 0xca, 1, 1, 0x84, 127, 0, 0, 1, 0x82, 0, 80]).unwrap();
    let Body::Pong(pong) = message.body else { panic!("{message:?}") };
    assert_eq!(pong.endpoint(), "127.0.0.1:80".parse().unwrap());
}

#[test]
fn kinds_have_the_codes_and_names_of_the_specification() {
    for (code, &kind) in (1..).zip(MessageKind::ALL) {
        assert_eq!((kind.code(), MessageKind::from_code(code)), (code, Some(kind)));
    }
    assert_eq!(MessageKind::from_code(0), None);
    assert_eq!(MessageKind::from_code(7), None);
    let names: Vec<_> = MessageKind::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["PING", "PONG", "FINDNODE", "NODES", "TALKREQ", "TALKRESP"]);
    let requests: Vec<_> =
        MessageKind::ALL.iter().copied().filter(|kind| kind.is_request()).collect();
    assert_eq!(requests, [MessageKind::Ping, MessageKind::FindNode, MessageKind::TalkRequest]);
}
