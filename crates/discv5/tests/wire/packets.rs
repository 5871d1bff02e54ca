//! Every published packet, field by field and back, and what is none.

use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use devp2p_core::{Fault, NodeId, Record, Rng};
use devp2p_discv5::{
    crypto::SessionKey,
    wire::{
        EncodeError, Envelope, MAX_MESSAGE_SIZE, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Masking, Nonce,
        Packet, PacketError, PacketKind, Proof, ProtocolId, WhoAreYou,
    },
};
use serde_json::Value;

use crate::{
    WIRE, bytes, handshake, id, key_a, key_b, list, masking, ordinary, parse, vec, whoareyou,
};

fn envelope(vector: &Value) -> Envelope {
    let decoded = &vector["decoded"];
    Envelope {
        masking_iv: bytes(&decoded["masking_iv"]),
        nonce: Nonce::new(bytes(&decoded["nonce"])),
        src_id: id(&vector["inputs"]["src-node-id"]),
    }
}

#[test]
fn ordinary_packets_are_read_and_written_as_published() {
    let vectors = parse(WIRE);
    let all = list(&vectors["packets"]).iter().chain(list(&vectors["derived_packets"]));
    let mut count = 0;
    for vector in all.filter(|vector| vector["decoded"]["flag"] == 0) {
        let (name, decoded, datagram) =
            (&vector["name"], &vector["decoded"], vec(&vector["packet"]));
        let masking = masking(id(&vector["inputs"]["dest-node-id"]));
        let packet = ordinary(&masking, &datagram);
        let envelope = envelope(vector);
        assert_eq!(packet.src_id(), envelope.src_id, "{name}");
        assert_eq!(packet.nonce(), envelope.nonce, "{name}");
        assert_eq!(packet.message_ad()[..16], envelope.masking_iv, "{name}");
        assert_eq!(packet.message_ad()[39..], vec(&decoded["authdata"]), "{name}");
        assert_eq!(packet.message(), &datagram[71..], "{name}");

        let key = SessionKey::new(&bytes(&vector["inputs"]["read-key"]));
        let message = key.open(packet.nonce(), packet.message_ad(), packet.message()).unwrap();
        assert_eq!(message, vec(&decoded["message_plaintext"]), "{name}");
        assert_eq!(masking.seal_ordinary(&envelope, &key, &message).unwrap(), datagram, "{name}");
        let written = masking.encode_ordinary(&envelope, packet.message()).unwrap();
        assert_eq!(written, datagram, "{name}");
        count += 1;
    }
    // Among them two whose counter carries out of its lower half, and one of the largest size.
    assert_eq!(count, 6);
}

#[test]
fn whoareyou_is_read_and_written_as_published() {
    let vectors = parse(WIRE);
    let vector = &list(&vectors["packets"])[1];
    let (decoded, datagram) = (&vector["decoded"], vec(&vector["packet"]));
    let masking = masking(key_b().id());
    let packet = whoareyou(&masking, &datagram);
    assert_eq!(packet.request_nonce(), Nonce::new(bytes(&decoded["nonce"])));
    assert_eq!(packet.id_nonce()[..], vec(&decoded["id_nonce"]));
    assert_eq!(packet.enr_seq(), 0);
    assert_eq!(packet.challenge_data().to_vec(), vec(&decoded["challenge_data"]));
    assert_eq!(packet.encode(&masking)[..], datagram);
    let written = WhoAreYou::new(
        ProtocolId::default(),
        bytes(&decoded["masking_iv"]),
        Nonce::new(bytes(&decoded["nonce"])),
        bytes(&decoded["id_nonce"]),
        0,
    );
    assert_eq!(written, packet);
}

#[test]
fn handshake_packets_are_read_and_written_as_published() {
    let vectors = parse(WIRE);
    for vector in &list(&vectors["packets"])[2..] {
        let (name, decoded, datagram) =
            (&vector["name"], &vector["decoded"], vec(&vector["packet"]));
        let masking = masking(id(&vector["inputs"]["dest-node-id"]));
        let packet = handshake(&masking, &datagram);
        let envelope = envelope(vector);
        assert_eq!(packet.src_id(), envelope.src_id, "{name}");
        assert_eq!(packet.nonce(), envelope.nonce, "{name}");
        assert_eq!(packet.id_signature()[..], vec(&decoded["id_signature"]), "{name}");
        assert_eq!(packet.ephemeral_key()[..], vec(&decoded["ephemeral_pubkey"]), "{name}");
        assert_eq!(packet.record().unwrap_or_default(), vec(&decoded["record"]), "{name}");
        assert_eq!(packet.message_ad()[16..39], vec(&decoded["static_header"]), "{name}");
        assert_eq!(packet.message_ad()[39..], vec(&decoded["authdata"]), "{name}");
        assert_eq!(packet.message(), vec(&decoded["message_ciphertext"]), "{name}");

        let key = SessionKey::new(&bytes(&decoded["initiator_key"]));
        let message = key.open(packet.nonce(), packet.message_ad(), packet.message()).unwrap();
        assert_eq!(message, vec(&decoded["message_plaintext"]), "{name}");
        let proof = Proof {
            id_signature: *packet.id_signature(),
            ephemeral_key: *packet.ephemeral_key(),
            record: packet.record(),
        };
        let written = masking.seal_handshake(&envelope, &proof, &key, &message).unwrap();
        assert_eq!(written, datagram, "{name}");
    }
}

#[test]
fn a_message_is_sealed_as_published() {
    let vector = &parse(WIRE)["aes_gcm"];
    let (nonce, ad) = (Nonce::new(bytes(&vector["nonce"])), vec(&vector["ad"]));
    let key = SessionKey::new(&bytes(&vector["key"]));
    let mut message = vec(&vector["pt"]);
    let tag = key.seal(nonce, &ad, &mut message).unwrap();
    message.extend_from_slice(&tag);
    assert_eq!(message, vec(&vector["ciphertext"]));
    assert_eq!(key.open(nonce, &ad, &message).unwrap(), vec(&vector["pt"]));
    assert_eq!(key.open(Nonce::new([0; 12]), &ad, &message), None);
    assert_eq!(key.open(nonce, &[], &message), None);
    assert_eq!(key.open(nonce, &ad, &message[..15]), None);
    assert_eq!(key.open(nonce, &ad, &[]), None);
}

#[test]
fn what_is_no_packet_is_refused() {
    let vectors = parse(WIRE);
    let masking = masking(key_b().id());
    let error = |name: &str| {
        let datagram = vec(&crate::named(&vectors["reject"], name)["packet"]);
        let error = masking.decode(&datagram).unwrap_err();
        assert_eq!(masking.peek(&datagram).map(|_| ()), Err(error), "{name}");
        assert_eq!(error.fault(), Fault::Remote);
        error
    };
    use PacketError as E;
    use PacketKind as K;
    assert_eq!(error("empty"), E::Size(0));
    assert_eq!(error("zeros_62"), E::Size(62));
    assert_eq!(error("zeros_63"), E::ProtocolId);
    assert_eq!(error("handshake_cut_108"), E::MessageSize(K::Handshake));
    assert_eq!(error("whoareyou_with_message"), E::MessageSize(K::WhoAreYou));
    assert_eq!(error("oversize_1281"), E::Size(1281));
    assert_eq!(error("unknown_flag_3"), E::Flag(3));
    assert_eq!(error("version_2"), E::Version(2));
    assert_eq!(error("protocol_id_discv6"), E::ProtocolId);
    assert_eq!(error("authdata_size_65535"), E::AuthdataSize(K::Ordinary, 65_535));
    assert_eq!(error("message_authdata_31"), E::AuthdataSize(K::Ordinary, 31));

    // The others are packets by their form: this one here, the five forged handshakes elsewhere.
    let dropped = list(&vectors["reject"]).iter().filter(|vector| vector["expect"] == "drop");
    assert_eq!((dropped.count(), list(&vectors["reject"]).len()), (11, 17));
    let datagram = vec(&crate::named(&vectors["reject"], "ping_last_byte_flipped")["packet"]);
    let packet = ordinary(&masking, &datagram);
    let key = SessionKey::new(&[0; 16]);
    assert_eq!(key.open(packet.nonce(), packet.message_ad(), packet.message()), None);
}

#[test]
fn a_peek_tells_kind_nonce_and_size() {
    let vectors = parse(WIRE);
    for (index, (kind, size)) in [
        (PacketKind::Ordinary, 32),
        (PacketKind::WhoAreYou, 24),
        (PacketKind::Handshake, 131),
        (PacketKind::Handshake, 258),
    ]
    .into_iter()
    .enumerate()
    {
        let vector = &list(&vectors["packets"])[index];
        let datagram = vec(&vector["packet"]);
        let peek = Packet::peek(key_b().id(), &datagram).unwrap();
        assert_eq!((peek.kind(), peek.authdata_size()), (kind, size));
        assert_eq!(peek.nonce(), Nonce::new(bytes(&vector["decoded"]["nonce"])));
        assert_eq!(peek.bytes(), datagram);
        assert_eq!(Packet::decode(key_b().id(), &datagram).unwrap().kind(), kind);
        // It is to nobody else.
        let error = Packet::peek(key_a().id(), &datagram).unwrap_err();
        assert_eq!(error, PacketError::ProtocolId);
    }
}

#[test]
fn a_network_can_have_a_protocol_of_its_own() {
    let (destination, mut rng) = (key_b().id(), Rng::from_seed([1; 32]));
    let own = Masking::new(destination, ProtocolId::new(*b"mydsc5"));
    let datagram = own.random_packet(key_a().id(), &mut rng);
    assert_eq!(ordinary(&own, &datagram).src_id(), key_a().id());
    let error = masking(destination).peek(&datagram).unwrap_err();
    assert_eq!(error, PacketError::ProtocolId);
    assert_eq!(format!("{:?}", own.protocol()), "ProtocolId(mydsc5)");
}

/// A packet with any header and anything behind it.
fn forge(flag: u8, authdata_size: u16, rest: &[u8]) -> Vec<u8> {
    let header = [&b"discv5\0\x01"[..], &[flag], &[9; 12], &authdata_size.to_be_bytes()].concat();
    mask(&[&[0; 16], &header[..], rest].concat())
}

/// Masks a datagram, the header and all behind it, block by block.
fn mask(datagram: &[u8]) -> Vec<u8> {
    let id = key_b().id();
    let key: &[u8; 16] = id.as_bytes().first_chunk().unwrap();
    let cipher = aes::Aes128::new(key.into());
    let mut masked = datagram.to_vec();
    for (count, block) in masked[16..].chunks_mut(16).enumerate() {
        let mut keystream = u128::try_from(count).unwrap().to_be_bytes().into();
        cipher.encrypt_block(&mut keystream);
        for (byte, mask) in block.iter_mut().zip(keystream) {
            *byte ^= mask;
        }
    }
    masked
}

#[test]
fn authdata_has_the_size_of_its_kind_and_messages_have_a_tag() {
    let masking = masking(key_b().id());
    let read = |datagram: &[u8]| masking.decode(datagram).map(|packet| packet.kind());
    for (kind, sizes) in [
        (PacketKind::Ordinary, 32..=32),
        (PacketKind::WhoAreYou, 24..=24),
        (PacketKind::Handshake, 131..=431),
    ] {
        let message: &[u8] = if kind == PacketKind::WhoAreYou { &[] } else { &[5; 16] };
        for size in 0..=500_u16 {
            let mut authdata = vec![7; size.into()];
            if let Some(sizes) = authdata.get_mut(32..34) {
                sizes.copy_from_slice(&[64, 33]);
            }
            let datagram = forge(kind.flag(), size, &[&authdata, message].concat());
            let expected = if datagram.len() < MIN_PACKET_SIZE {
                Err(PacketError::Size(datagram.len()))
            } else if sizes.contains(&size) {
                Ok(kind)
            } else {
                Err(PacketError::AuthdataSize(kind, size.into()))
            };
            assert_eq!(read(&datagram), expected, "{kind} {size}");
            if expected.is_ok() && kind != PacketKind::WhoAreYou {
                // One byte less than a tag.
                let cut = forge(kind.flag(), size, &[&authdata, &message[1..]].concat());
                assert_eq!(read(&cut), Err(PacketError::MessageSize(kind)));
            }
        }
    }
}

#[test]
fn a_handshake_of_another_identity_scheme_is_refused() {
    let masking = masking(key_b().id());
    for (signature, key) in [(64, 32), (65, 33), (0, 0), (255, 255), (33, 64)] {
        let authdata = [&[1; 32][..], &[signature, key], &[1; 97], &[2; 16]].concat();
        let datagram = forge(2, 131, &authdata);
        assert!(masking.peek(&datagram).is_ok());
        let error = masking.decode(&datagram).unwrap_err();
        assert_eq!(error, PacketError::AuthdataSizes(signature, key));
    }
}

#[test]
fn a_random_packet_is_larger_than_what_it_provokes_and_differs_each_time() {
    let (destination, src_id) = (key_b().id(), key_a().id());
    let mut rng = Rng::from_seed([1; 32]);
    let first = masking(destination).random_packet(src_id, &mut rng);
    let second = masking(destination).random_packet(src_id, &mut rng);
    let [a, b] = [&first, &second].map(|datagram| {
        let masking = masking(destination);
        let packet = ordinary(&masking, datagram);
        assert_eq!(packet.src_id(), src_id);
        assert!(datagram.len() > MIN_PACKET_SIZE);
        (packet.nonce(), packet.message().to_vec())
    });
    assert_ne!(a.0, b.0);
    assert_ne!(a.1, b.1);
    assert_ne!(first[..16], second[..16]);
}

#[test]
fn what_is_too_large_is_not_written() {
    let (key, masking) = (SessionKey::new(&[1; 16]), masking(key_b().id()));
    let src_id = NodeId::new([3; 32]);
    let envelope = Envelope { masking_iv: [1; 16], nonce: Nonce::new([2; 12]), src_id };
    let sealed = |size| masking.seal_ordinary(&envelope, &key, &vec![0; size]);
    assert_eq!(sealed(MAX_MESSAGE_SIZE).unwrap().len(), MAX_PACKET_SIZE);
    assert_eq!(sealed(MAX_MESSAGE_SIZE + 1), Err(EncodeError::Size(MAX_PACKET_SIZE + 1)));
    let raw = |size| masking.encode_ordinary(&envelope, &vec![0; size]);
    assert_eq!(raw(MAX_MESSAGE_SIZE + 16).unwrap().len(), MAX_PACKET_SIZE);
    assert_eq!(raw(MAX_MESSAGE_SIZE + 17), Err(EncodeError::Size(MAX_PACKET_SIZE + 1)));
    let record = [0; Record::MAX_SIZE];
    let proof = Proof { id_signature: [0; 64], ephemeral_key: [0; 33], record: Some(&record) };
    let sealed = |size| masking.seal_handshake(&envelope, &proof, &key, &vec![0; size]);
    assert_eq!(sealed(794).unwrap().len(), MAX_PACKET_SIZE);
    let error = sealed(795).unwrap_err();
    assert_eq!(error, EncodeError::Size(MAX_PACKET_SIZE + 1));
    assert_eq!(error.fault(), Fault::Local);
    assert_eq!(error.to_string(), "a packet of 1281 bytes, 1280 are allowed");
}
