//! What holds for all packets, and for all bytes.

use std::net::IpAddr;

use bytes::Bytes;
use devp2p_core::NodeKey;
use devp2p_discv4::wire::{
    Datagram, Endpoint, EnrRequest, EnrResponse, FindNode, MAX_NEIGHBORS, MAX_PACKET_SIZE,
    Neighbor, Neighbors, Packet, PacketKind, Ping, Pong, Target,
};
use proptest::{array::uniform32, collection::vec, option, prelude::*};

use crate::{forge, key, rehash};

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
        // An IPv4-mapped address is read as the IPv4 address.
        .prop_map(|ip| ip.to_canonical())
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (option::of(ip()), any::<u16>(), any::<u16>()).prop_map(|(ip, udp, tcp)| Endpoint {
        ip,
        udp,
        tcp,
    })
}

fn node_key() -> impl Strategy<Value = NodeKey> {
    // Signing contexts are expensive.
    (1..=4_u8).prop_map(|number| NodeKey::from_bytes(&[number; 32]).unwrap())
}

fn neighbor() -> impl Strategy<Value = Neighbor> {
    (ip(), any::<u16>(), any::<u16>(), node_key()).prop_map(|(ip, udp, tcp, key)| Neighbor {
        ip,
        udp,
        tcp,
        public_key: key.public_key(),
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let hash = || uniform32(any::<u8>());
    prop_oneof![
        (any::<u64>(), endpoint(), endpoint(), any::<u64>(), any::<Option<u64>>()).prop_map(
            |(version, from, to, expiration, enr_seq)| {
                Packet::Ping(Ping { version, from, to, expiration, enr_seq })
            }
        ),
        (endpoint(), hash(), any::<u64>(), any::<Option<u64>>()).prop_map(
            |(to, ping_hash, expiration, enr_seq)| {
                Packet::Pong(Pong { to, ping_hash, expiration, enr_seq })
            }
        ),
        (vec(any::<u8>(), 64), any::<u64>()).prop_map(|(target, expiration)| {
            let target = Target::new(target.try_into().unwrap());
            Packet::FindNode(FindNode { target, expiration })
        }),
        (vec(neighbor(), 0..=MAX_NEIGHBORS), any::<u64>())
            .prop_map(|(nodes, expiration)| Packet::Neighbors(Neighbors { nodes, expiration })),
        any::<u64>().prop_map(|expiration| Packet::EnrRequest(EnrRequest { expiration })),
        (hash(), vec(any::<u8>(), 0..=300)).prop_map(|(request_hash, content)| {
            let record = Bytes::from(rlp::encode_list::<u8, u8>(&content).to_vec());
            Packet::EnrResponse(EnrResponse { request_hash, record })
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_sealed_is_read(packet in packet(), key in node_key()) {
        let sealed = packet.seal(&key).unwrap();
        prop_assert!(sealed.bytes.len() <= MAX_PACKET_SIZE);
        prop_assert_eq!(&packet.seal(&key).unwrap(), &sealed);
        let datagram = Datagram::parse(&sealed.bytes).unwrap();
        prop_assert_eq!(datagram.hash(), sealed.hash);
        prop_assert_eq!(datagram.kind(), packet.kind());
        prop_assert_eq!(datagram.signer(&key), Ok(key.public_key()));
        prop_assert_eq!(datagram.packet(), Ok(packet));
    }

    #[test]
    fn whoever_changes_a_packet_is_not_its_signer(
        packet in packet(),
        at in any::<prop::sample::Index>(),
        bits in 1..=u8::MAX,
    ) {
        let sealed = packet.seal(&key()).unwrap();
        let mut changed = sealed.bytes.to_vec();
        changed[at.index(sealed.bytes.len())] ^= bits;
        prop_assert!(Datagram::parse(&changed).is_err());
        // The hash is no protection: anybody makes it.
        prop_assert!(!is_ours(&rehash(&changed)) || rehash(&changed) == sealed.bytes);
    }

    #[test]
    fn whoever_cuts_a_packet_or_adds_to_it_is_not_its_signer(
        packet in packet(),
        at in any::<prop::sample::Index>(),
        more in vec(any::<u8>(), 1..40),
    ) {
        let sealed = packet.seal(&key()).unwrap().bytes;
        let cut = &sealed[..at.index(sealed.len())];
        prop_assert!(Datagram::parse(cut).is_err());
        prop_assert!(cut.len() < 32 || !is_ours(&rehash(cut)));
        let longer = [&sealed, &more[..]].concat();
        prop_assert!(Datagram::parse(&longer).is_err());
        prop_assert!(!is_ours(&rehash(&longer)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..1400)) {
        prop_assert!(Datagram::parse(&bytes).is_err());
        if bytes.len() >= 32 {
            let _ = is_ours(&rehash(&bytes));
        }
        for &kind in PacketKind::ALL {
            read(&forge(&key(), kind, &bytes));
        }
    }

    #[test]
    fn data_like_that_of_a_packet_is_read_or_refused(
        packet in packet(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let sealed = packet.seal(&key()).unwrap();
        let mut data = sealed.bytes[98..].to_vec();
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        read(&forge(&key(), packet.kind(), &data));
    }
}

/// Whether it is a packet that we signed.
fn is_ours(datagram: &[u8]) -> bool {
    Datagram::parse(datagram).is_ok_and(|datagram| {
        let _ = datagram.packet();
        datagram.signer(&key()) == Ok(key().public_key())
    })
}

/// Reads a datagram; what comes of it can be written, and reads the same again.
fn read(datagram: &[u8]) {
    let Ok(datagram) = Datagram::parse(datagram) else {
        assert!(datagram.len() > MAX_PACKET_SIZE);
        return;
    };
    let Ok(packet) = datagram.packet() else { return };
    if let Ok(sealed) = packet.seal(&key()) {
        assert_eq!(Datagram::parse(&sealed.bytes).unwrap().packet(), Ok(packet));
    }
}
