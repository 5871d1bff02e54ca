//! What holds for all packets and messages, and for all bytes.

use std::net::IpAddr;

use bytes::Bytes;
use devp2p_core::{NodeId, Record, Rng};
use devp2p_discv5::{
    crypto::SessionKey,
    handshake::{Challenge, Initiator},
    message::{
        Body, FindNode, MAX_DISTANCE, MAX_RECORDS, Message, Nodes, Ping, Pong, RequestId,
        TalkRequest, TalkResponse,
    },
    wire::{
        Envelope, MAX_MESSAGE_SIZE, MIN_PACKET_SIZE, Masking, Nonce, Packet, PacketError,
        PacketKind, Proof, ProtocolId, WhoAreYou,
    },
};
use proptest::{array, collection::vec, prelude::*, sample::Index};

use crate::{handshake, key_a, key_b, masking, ordinary, whoareyou};

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn string(size: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=size).prop_map(Bytes::from)
}

fn record() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=100)
        .prop_map(|content| Bytes::from(rlp::encode_list::<u8, u8>(&content).to_vec()))
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<u64>().prop_map(|enr_seq| Body::Ping(Ping { enr_seq })),
        (any::<u64>(), ip(), any::<u16>()).prop_map(|(enr_seq, ip, port)| Body::Pong(Pong {
            enr_seq,
            ip,
            port
        })),
        vec(0..=MAX_DISTANCE, 0..20).prop_map(|distances| Body::FindNode(FindNode { distances })),
        (any::<u64>(), vec(record(), 0..=MAX_RECORDS))
            .prop_map(|(total, records)| Body::Nodes(Nodes { total, records })),
        (string(20), string(900))
            .prop_map(|(protocol, request)| Body::TalkRequest(TalkRequest { protocol, request })),
        string(900).prop_map(|response| Body::TalkResponse(TalkResponse { response })),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (vec(any::<u8>(), 0..=8), body())
        .prop_map(|(id, body)| Message { request_id: RequestId::new(&id).unwrap(), body })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<[u8; 16]>(), any::<[u8; 12]>(), any::<[u8; 32]>()).prop_map(
        |(masking_iv, nonce, src_id)| Envelope {
            masking_iv,
            nonce: Nonce::new(nonce),
            src_id: NodeId::new(src_id),
        },
    )
}

proptest! {
    #[test]
    fn messages_that_are_written_are_read(message in message()) {
        let encoded = message.to_bytes().unwrap();
        prop_assert_eq!(encoded[0], message.kind().code());
        prop_assert_eq!(Message::decode(&encoded), Ok(message));
    }

    #[test]
    fn any_bytes_are_a_message_or_not(
        message in message(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let mut changed = message.to_bytes().unwrap().to_vec();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        for bytes in [changed, bytes] {
            // What is read can be written, and reads the same.
            if let Ok(message) = Message::decode(&Bytes::from(bytes)) {
                prop_assert_eq!(Message::decode(&message.to_bytes().unwrap()), Ok(message));
            }
        }
    }

    #[test]
    fn ordinary_packets_that_are_written_are_read(
        envelope in envelope(),
        destination in any::<[u8; 32]>(),
        protocol in any::<[u8; 6]>(),
        key in any::<[u8; 16]>(),
        message in vec(any::<u8>(), 0..=MAX_MESSAGE_SIZE),
    ) {
        let masking = Masking::new(NodeId::new(destination), ProtocolId::new(protocol));
        let key = SessionKey::new(&key);
        let datagram = masking.seal_ordinary(&envelope, &key, &message).unwrap();
        let packet = ordinary(&masking, &datagram);
        prop_assert_eq!(packet.src_id(), envelope.src_id);
        prop_assert_eq!(packet.nonce(), envelope.nonce);
        let opened = key.open(packet.nonce(), packet.message_ad(), packet.message());
        prop_assert_eq!(opened.as_deref(), Some(&message[..]));
    }

    #[test]
    fn handshake_packets_that_are_written_are_read(
        envelope in envelope(),
        signature in array::uniform32(any::<u8>()),
        ephemeral_key in vec(any::<u8>(), 33),
        record in vec(any::<u8>(), 1..=Record::MAX_SIZE),
        key in any::<[u8; 16]>(),
        message in vec(any::<u8>(), 0..=700),
    ) {
        let (masking, key) = (masking(key_b().id()), SessionKey::new(&key));
        let proof = Proof {
            id_signature: [signature, signature].concat().try_into().unwrap(),
            ephemeral_key: ephemeral_key.try_into().unwrap(),
            record: Some(&record),
        };
        for proof in [proof, Proof { record: None, ..proof }] {
            let datagram = masking.seal_handshake(&envelope, &proof, &key, &message).unwrap();
            let packet = handshake(&masking, &datagram);
            prop_assert_eq!(packet.src_id(), envelope.src_id);
            prop_assert_eq!(packet.record(), proof.record);
            prop_assert_eq!(*packet.id_signature(), proof.id_signature);
            prop_assert_eq!(*packet.ephemeral_key(), proof.ephemeral_key);
            let opened = key.open(packet.nonce(), packet.message_ad(), packet.message());
            prop_assert_eq!(opened.as_deref(), Some(&message[..]));
        }
    }

    #[test]
    fn challenges_that_are_written_are_read(
        iv in any::<[u8; 16]>(),
        nonce in any::<[u8; 12]>(),
        id_nonce in any::<[u8; 16]>(),
        enr_seq in any::<u64>(),
        destination in any::<[u8; 32]>(),
    ) {
        let nonce = Nonce::new(nonce);
        let sent = WhoAreYou::new(ProtocolId::default(), iv, nonce, id_nonce, enr_seq);
        let masking = masking(NodeId::new(destination));
        let received = whoareyou(&masking, &sent.encode(&masking));
        prop_assert_eq!(received, sent);
        prop_assert_eq!((received.request_nonce(), received.id_nonce()), (nonce, id_nonce));
        prop_assert_eq!(received.enr_seq(), enr_seq);
    }

    #[test]
    fn any_bytes_are_a_packet_or_not(bytes in vec(any::<u8>(), 0..1400)) {
        let is_sized = (MIN_PACKET_SIZE..=1280).contains(&bytes.len());
        let expected =
            if is_sized { PacketError::ProtocolId } else { PacketError::Size(bytes.len()) };
        prop_assert_eq!(masking(key_b().id()).decode(&bytes).unwrap_err(), expected);
    }

    /// A packet of which one bit is wrong, or that is cut, or longer, gives nobody's message.
    #[test]
    fn a_packet_that_was_changed_is_not_opened(
        envelope in envelope(),
        message in vec(any::<u8>(), 0..200),
        bit in any::<Index>(),
        end in any::<Index>(),
    ) {
        let (masking, key) = (masking(key_b().id()), SessionKey::new(&[1; 16]));
        let datagram = masking.seal_ordinary(&envelope, &key, &message).unwrap();
        let mut flipped = datagram.to_vec();
        let bit = bit.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let cut = datagram[..end.index(datagram.len())].to_vec();
        let longer = [&datagram[..], &[0]].concat();
        for changed in [flipped, cut, longer] {
            if let Ok(Packet::Ordinary(packet)) = masking.decode(&changed) {
                let opened = key.open(packet.nonce(), packet.message_ad(), packet.message());
                prop_assert_eq!(opened, None);
            }
        }
    }
}

proptest! {
    // Curves are expensive.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of a handshake no bit can be changed, nor can it be cut.
    #[test]
    fn a_handshake_that_was_changed_makes_no_session(
        seed in any::<[u8; 32]>(),
        bits in vec(any::<Index>(), 8),
        end in any::<Index>(),
    ) {
        let (alice, bob, mut rng) = (key_a(), key_b(), Rng::from_seed(seed));
        let record = Record::builder().seq(1).sign(&alice).unwrap();
        let nonce = Nonce::random(&mut rng);
        let challenge =
            Challenge::new(ProtocolId::default(), alice.id(), nonce, None, &mut rng);
        let whoareyou = challenge.whoareyou();
        let initiator = Initiator::new(&alice, &record, bob.public_key(), whoareyou, &mut rng);
        let to_bob = masking(bob.id());
        let (datagram, _) = initiator.seal(&to_bob, b"hello", &mut rng).unwrap();
        prop_assert_eq!(to_bob.peek(&datagram).unwrap().kind(), PacketKind::Handshake);

        let mut changed = vec![datagram[..end.index(datagram.len())].to_vec()];
        for bit in bits {
            let mut flipped = datagram.to_vec();
            let bit = bit.index(flipped.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            changed.push(flipped);
        }
        for changed in changed {
            if let Ok(Packet::Handshake(packet)) = to_bob.decode(&changed) {
                let whoareyou = *challenge.whoareyou();
                let again = Challenge::from_whoareyou(alice.id(), whoareyou, None);
                prop_assert!(again.accept(&bob, &packet).is_err());
            }
        }
        prop_assert!(challenge.accept(&bob, &handshake(&to_bob, &datagram)).is_ok());
    }
}
