//! What is read of packets that hold more, less or something else than they should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use devp2p_core::{NodeKey, PublicKey, Record};
use devp2p_discv4::wire::{
    Datagram, DecodeError, EncodeError, Endpoint, EnrRequest, EnrResponse, FindNode, MAX_NEIGHBORS,
    MAX_PACKET_SIZE, Neighbor, Neighbors, Packet, PacketKind, Ping, Pong, Target, VERSION,
};
use rlp::RlpStream;

use crate::{forge, key};

const EXPIRATION: u64 = 1_800_000_000;

/// The RLP list of these items.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut list = RlpStream::new_list(items.len());
    for item in items {
        list.append_raw(item, 1);
    }
    list.out().to_vec()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    rlp::encode(&bytes).to_vec()
}

fn number(number: u64) -> Vec<u8> {
    rlp::encode(&number).to_vec()
}

fn endpoint(ip: &[u8], udp: u16, tcp: u16) -> Vec<u8> {
    list(&[string(ip), number(udp.into()), number(tcp.into())])
}

fn decode(kind: PacketKind, data: &[u8]) -> Result<Packet, DecodeError> {
    Datagram::parse(&forge(&key(), kind, data)).unwrap().packet()
}

fn public_key(number: u8) -> PublicKey {
    NodeKey::from_bytes(&[number; 32]).unwrap().public_key()
}

fn v4() -> Endpoint {
    Endpoint::new("10.0.0.1:30303".parse().unwrap(), 30304)
}

/// The items of each packet, without what may be left out.
fn items(kind: PacketKind) -> Vec<Vec<u8>> {
    let address = endpoint(&[10, 0, 0, 1], 30303, 30304);
    match kind {
        PacketKind::Ping => vec![number(VERSION), address.clone(), address, number(EXPIRATION)],
        PacketKind::Pong => vec![address, string(&[7; 32]), number(EXPIRATION)],
        PacketKind::FindNode => vec![string(&[8; 64]), number(EXPIRATION)],
        PacketKind::Neighbors => vec![list(&[]), number(EXPIRATION)],
        PacketKind::EnrRequest => vec![number(EXPIRATION)],
        PacketKind::EnrResponse => vec![string(&[9; 32]), list(&[])],
    }
}

/// What [`items`] say.
fn packet(kind: PacketKind) -> Packet {
    let expiration = EXPIRATION;
    match kind {
        PacketKind::Ping => {
            Packet::Ping(Ping { version: VERSION, from: v4(), to: v4(), expiration, enr_seq: None })
        }
        PacketKind::Pong => {
            Packet::Pong(Pong { to: v4(), ping_hash: [7; 32], expiration, enr_seq: None })
        }
        PacketKind::FindNode => {
            Packet::FindNode(FindNode { target: Target::new([8; 64]), expiration })
        }
        PacketKind::Neighbors => Packet::Neighbors(Neighbors { nodes: vec![], expiration }),
        PacketKind::EnrRequest => Packet::EnrRequest(EnrRequest { expiration }),
        PacketKind::EnrResponse => Packet::EnrResponse(EnrResponse {
            request_hash: [9; 32],
            record: Bytes::from_static(&[0xc0]),
        }),
    }
}

#[test]
fn additional_elements_and_trailing_bytes_change_nothing() {
    for &kind in PacketKind::ALL {
        let (items, packet) = (items(kind), packet(kind));
        assert_eq!(decode(kind, &list(&items)).as_ref(), Ok(&packet), "{kind}");
        // A list, so that it is no number of a record.
        let more = [&items[..], &[list(&[number(1)]), string(b"more")]].concat();
        assert_eq!(decode(kind, &list(&more)).as_ref(), Ok(&packet), "{kind}");
        for tail in [&[0x00][..], &[0xff; 40], &[0xc1], b"anything"] {
            let data = [&list(&items), tail].concat();
            assert_eq!(decode(kind, &data).as_ref(), Ok(&packet), "{kind}");
        }
    }
}

#[test]
fn a_packet_that_lacks_an_element_is_none() {
    for &kind in PacketKind::ALL {
        let items = items(kind);
        for count in 0..items.len() {
            let data = list(&items[..count]);
            assert_eq!(decode(kind, &data), Err(DecodeError::Data(kind)), "{kind}");
        }
        for data in [&[][..], &[0x80], &[0xc1], &[0xf8, 0x01, 0x01], b"no list"] {
            assert_eq!(decode(kind, data), Err(DecodeError::Data(kind)), "{kind}");
        }
        // An element of the wrong type, in each place.
        for at in 0..items.len() {
            let mut items = items.clone();
            let is_list = items[at][0] >= 0xc0;
            items[at] = if is_list { string(b"string") } else { list(&[]) };
            let data = list(&items);
            assert_eq!(decode(kind, &data), Err(DecodeError::Data(kind)), "{kind}, {at}");
        }
    }
}

#[test]
fn only_a_number_is_the_number_of_a_record() {
    for (item, expected) in [
        (number(0), Some(0)),
        (number(7), Some(7)),
        (number(u64::MAX), Some(u64::MAX)),
        (list(&[number(7)]), None),
        (string(&[1; 9]), None),
        (string(&[0, 7]), None),
        (vec![0xf8, 0x00], None),
    ] {
        for kind in [PacketKind::Ping, PacketKind::Pong] {
            // By hand, as one of the items is none.
            let body = [items(kind).concat(), item.clone()].concat();
            let size = u8::try_from(body.len()).unwrap();
            let header = if size < 56 { vec![0xc0 + size] } else { vec![0xf8, size] };
            let seq = match decode(kind, &[header, body].concat()).unwrap() {
                Packet::Ping(ping) => ping.enr_seq,
                Packet::Pong(pong) => pong.enr_seq,
                other => unreachable!("{other:?}"),
            };
            assert_eq!(seq, expected, "{item:02x?}");
        }
    }
}

#[test]
fn an_endpoint_is_read_with_any_address_but_not_with_any_port() {
    let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
    let from = |endpoint: Vec<u8>| {
        let mut items = items(PacketKind::Ping);
        items[1] = endpoint;
        match decode(PacketKind::Ping, &list(&items)) {
            Ok(Packet::Ping(ping)) => Some(ping.from),
            other => {
                assert_eq!(other, Err(DecodeError::Data(PacketKind::Ping)));
                None
            }
        }
    };
    let ip = |bytes: &[u8]| from(endpoint(bytes, 1, 2)).unwrap().ip;
    assert_eq!(ip(&[10, 0, 0, 1]), Some([10, 0, 0, 1].into()));
    assert_eq!(ip(&mapped.octets()), Some([10, 0, 0, 1].into()));
    assert_eq!(ip(&Ipv6Addr::LOCALHOST.octets()), Some(Ipv6Addr::LOCALHOST.into()));
    assert_eq!(ip(&[0; 4]), Some(Ipv4Addr::UNSPECIFIED.into()));
    for unknown in [&[][..], &[1], &[1; 5], &[1; 17], b"localhost"] {
        assert_eq!(ip(unknown), None);
    }

    // ethereumjs writes ports with two bytes.
    let ports = |udp: &[u8], tcp: &[u8]| {
        let endpoint = from(list(&[string(&[10, 0, 0, 1]), string(udp), string(tcp)]))?;
        Some((endpoint.udp, endpoint.tcp))
    };
    assert_eq!(ports(&[0, 80], &[0, 0]), Some((80, 0)));
    assert_eq!(ports(&[0xff, 0xff], &[]), Some((65535, 0)));
    assert_eq!(ports(&[1, 0, 0], &[]), None);
    assert_eq!(from(list(&[string(&[10, 0, 0, 1]), number(1)])), None);
    // More in it is no fault.
    let more = list(&[string(&[10, 0, 0, 1]), number(1), number(2), list(&[])]);
    assert_eq!(from(more).unwrap().tcp, 2);
}

#[test]
fn an_endpoint_has_an_address_only_where_one_can_be_sent_to() {
    let addr = |ip: &str, udp| Endpoint { ip: ip.parse().ok(), udp, tcp: 0 }.udp_addr();
    assert_eq!(addr("10.0.0.1", 1), "10.0.0.1:1".parse().ok());
    assert_eq!(addr("::1", 1), "[::1]:1".parse().ok());
    assert_eq!(addr("::ffff:10.0.0.1", 1), "10.0.0.1:1".parse().ok());
    for (ip, udp) in [("10.0.0.1", 0), ("0.0.0.0", 1), ("::", 1), ("::ffff:0.0.0.0", 1), ("", 1)] {
        assert_eq!(addr(ip, udp), None, "{ip}:{udp}");
    }
}

fn ipv6_neighbors(count: u8) -> Packet {
    let node = |number| Neighbor {
        ip: IpAddr::from([0x2a00, 1, 2, 3, 4, 5, 6, u16::from(number)]),
        udp: 30303,
        tcp: 30303,
        public_key: public_key(number),
    };
    Packet::Neighbors(Neighbors { nodes: (1..=count).map(node).collect(), expiration: u64::MAX })
}

#[test]
fn twelve_neighbors_of_ipv6_fit_and_thirteen_do_not() {
    let twelve = ipv6_neighbors(u8::try_from(MAX_NEIGHBORS).unwrap());
    let sealed = twelve.seal(&key()).unwrap();
    assert!(sealed.bytes.len() <= MAX_PACKET_SIZE);
    assert_eq!(Datagram::parse(&sealed.bytes).unwrap().packet(), Ok(twelve));

    let thirteen = ipv6_neighbors(13).seal(&key());
    assert!(matches!(thirteen, Err(EncodeError::Size(size)) if size > MAX_PACKET_SIZE));
}

#[test]
fn a_bad_neighbor_takes_nothing_from_the_others() {
    let key = |which| string(public_key(which).as_bytes());
    let node = |ip: &[u8], which| list(&[string(ip), number(1), number(2), key(which)]);
    let mut off_curve = *public_key(1).as_bytes();
    off_curve[63] ^= 1;
    let bad = [
        list(&[string(&[10, 0, 0, 9]), number(1), number(2), string(&off_curve)]),
        list(&[string(&[10, 0, 0, 9]), number(1), number(2), string(&[0; 64])]),
        list(&[string(&[10, 0, 0, 9]), number(1), number(2), string(&[4; 63])]),
        list(&[string(&[10, 0, 0, 9]), number(1), number(2)]),
        list(&[string(&[10, 0, 0, 9]), number(1 << 16), number(2), key(1)]),
        list(&[string(&[10, 0, 9]), number(1), number(2), key(1)]),
        list(&[string(&[]), number(1), number(2), key(1)]),
        list(&[]),
        string(b"no list"),
        number(0),
    ];
    for bad in bad {
        let first = node(&[10, 0, 0, 1], 1);
        let mapped = node(&Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped().octets(), 2);
        let nodes = list(&[first, bad.clone(), mapped]);
        let Ok(Packet::Neighbors(neighbors)) =
            decode(PacketKind::Neighbors, &list(&[nodes, number(EXPIRATION)]))
        else {
            unreachable!("{bad:02x?}")
        };
        let found: Vec<_> =
            neighbors.nodes.iter().map(|node| (node.udp_addr(), node.public_key)).collect();
        let addr = |last| SocketAddr::from(([10, 0, 0, last], 1));
        assert_eq!(found, [(addr(1), public_key(1)), (addr(2), public_key(2))], "{bad:02x?}");
    }
    // What is no RLP takes the whole packet with it: nobody knows where the next node begins.
    let nodes = [&[0xc3][..], &[0xc0, 0xf8, 0x00]].concat();
    assert!(decode(PacketKind::Neighbors, &list(&[nodes, number(1)])).is_err());
}

#[test]
fn only_a_record_is_sent_as_one() {
    let seal = |record: &[u8]| {
        let record = Bytes::copy_from_slice(record);
        Packet::EnrResponse(EnrResponse { request_hash: [1; 32], record }).seal(&key())
    };
    let record = Record::builder().seq(3).udp(30303).sign(&key()).unwrap();
    let sealed = seal(record.as_bytes()).unwrap();
    let Ok(Packet::EnrResponse(response)) = Datagram::parse(&sealed.bytes).unwrap().packet() else {
        unreachable!()
    };
    assert_eq!(Record::decode(&response.record), Ok(record));
    for bad in [&[][..], &[0x80], &[0xc1], &[0xc0, 0xc0], b"enr:-"] {
        assert_eq!(seal(bad), Err(EncodeError::Record), "{bad:02x?}");
    }
    let large = list(&[string(&[1; 1200])]);
    assert!(matches!(seal(&large), Err(EncodeError::Size(size)) if size > MAX_PACKET_SIZE));
}

#[test]
fn every_type_has_its_code_and_its_name() {
    let codes: Vec<_> = PacketKind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6]);
    for code in 0..=u8::MAX {
        let kind = PacketKind::from_code(code);
        assert_eq!(kind.map(PacketKind::code), (1..=6).contains(&code).then_some(code));
    }
    for &kind in PacketKind::ALL {
        let has_expiration = kind != PacketKind::EnrResponse;
        assert_eq!(packet(kind).expiration(), has_expiration.then_some(EXPIRATION));
        assert!(DecodeError::Data(kind).to_string().contains(&kind.to_string()));
    }
}
