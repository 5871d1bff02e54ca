//! The published vectors: EIP-8's handshake, captured frames, and a session derived from both.

use bytes::{Bytes, BytesMut};
use devp2p_core::{Message, NodeKey, PublicKey, Rng};
use devp2p_rlpx::{
    FrameCodec, Handshake, HandshakeError, Role, Secrets, Transcript, ecies,
    frame::HEADER_SIZE,
    keccak::{Backend, Keccak256},
    packet::{self, Ack, Auth},
};
use serde_json::Value;
use zeroize::Zeroizing;

const HANDSHAKE: &str = include_str!("../vectors/rlpx-eip8-handshake.json");
const FRAMES: &str = include_str!("../vectors/rlpx-frames.json");
const SESSION: &str = include_str!("../vectors/rlpx-derived-session.json");

#[test]
fn eip8_auths_are_read_whatever_their_version_and_extra_elements() {
    let vector = parse(HANDSHAKE);
    for name in ["auth2", "auth3"] {
        let decoded = &vector[name]["decoded"];
        let mut wire = hex(&vector[name]["packet"]);
        let body = packet::open(&key(&vector["static_key_b"]), &mut wire).unwrap();
        let auth = Auth::decode(body).unwrap();
        assert_eq!(auth.signature, array(&decoded["signature"]));
        assert_eq!(auth.public_key, array(&decoded["initiator_pubkey"]));
        assert_eq!(auth.nonce, array(&decoded["initiator_nonce"]));
        assert_eq!(auth.version, decoded["version"].as_u64().unwrap());
        if name == "auth2" {
            // The same body, with the vector's padding, comes out of our encoder.
            assert_eq!([auth.encode(), hex(&decoded["padding"])].concat(), body);
        }
    }
}

#[test]
fn eip8_acks_are_read_whatever_their_version_and_extra_elements() {
    let vector = parse(HANDSHAKE);
    for name in ["ack2", "ack3"] {
        let decoded = &vector[name]["decoded"];
        let mut wire = hex(&vector[name]["packet"]);
        let body = packet::open(&key(&vector["static_key_a"]), &mut wire).unwrap();
        let ack = Ack::decode(body).unwrap();
        assert_eq!(ack.ephemeral_key, array(&decoded["recipient_ephemeral_pubkey"]));
        assert_eq!(ack.nonce, array(&decoded["recipient_nonce"]));
        assert_eq!(ack.version, decoded["version"].as_u64().unwrap());
        if name == "ack2" {
            assert_eq!([ack.encode(), hex(&decoded["padding"])].concat(), body);
        }
    }
}

/// The form before EIP-8 has no size prefix and no RLP. Its encryption is the same, but like
/// go-ethereum we do not take it in a handshake.
#[test]
fn packets_of_the_form_before_eip8_decrypt_but_are_not_a_handshake() {
    let vector = parse(HANDSHAKE);
    let decoded = &vector["auth1"]["decoded"];
    let mut wire = hex(&vector["auth1"]["packet"]);
    let recipient = Handshake::recipient(&key(&vector["static_key_b"]), Rng::from_seed([1; 32]));
    let mut input = BytesMut::from(&wire[..]);
    // Its first bytes read as a size of 1164, which it never reaches.
    assert!(recipient.handle_input(&mut input).unwrap().into_session().is_err());
    let plain = ecies::open(&key(&vector["static_key_b"]), &[], &mut wire).unwrap();
    let expected = [
        hex(&decoded["signature"]),
        hex(&decoded["ephemeral_pubkey_hash"]),
        hex(&decoded["initiator_pubkey"]),
        hex(&decoded["initiator_nonce"]),
        vec![0],
    ];
    assert_eq!(plain, expected.concat());

    let decoded = &vector["ack1"]["decoded"];
    let mut wire = hex(&vector["ack1"]["packet"]);
    let plain = ecies::open(&key(&vector["static_key_a"]), &[], &mut wire).unwrap();
    let expected =
        [hex(&decoded["recipient_ephemeral_pubkey"]), hex(&decoded["recipient_nonce"]), vec![0]];
    assert_eq!(plain, expected.concat());
}

#[test]
fn the_signature_of_the_vector_and_ours_recover_to_the_ephemeral_key() {
    let vector = parse(HANDSHAKE);
    let (a, b) = (key(&vector["static_key_a"]), key(&vector["static_key_b"]));
    let shared = a.ecdh(&b.public_key());
    assert_eq!(*shared, array(&vector["derivation"]["static_shared_secret"]));
    let nonce: [u8; 32] = array(&vector["nonce_a"]);
    let digest: [u8; 32] = std::array::from_fn(|i| shared[i] ^ nonce[i]);
    let ephemeral = key(&vector["ephemeral_key_a"]);
    // The vector's signer chose another k than RFC 6979 does, so the bytes differ.
    let signatures =
        [array(&vector["go_ethereum"]["auth_signature"]), ephemeral.sign_recoverable(&digest)];
    for signature in signatures {
        assert_eq!(PublicKey::recover(&digest, &signature).unwrap(), ephemeral.public_key());
    }
}

#[test]
fn secrets_come_out_as_in_the_vector_on_both_sides() {
    let vector = parse(HANDSHAKE);
    let derivation = &vector["derivation"];
    let secrets = |role| session_secrets(&vector, role);
    let (initiator, recipient) = (secrets(Role::Initiator), secrets(Role::Recipient));
    for side in [&initiator, &recipient] {
        assert_eq!(*side.aes, array(&derivation["aes_secret"]));
        assert_eq!(*side.mac, array(&derivation["mac_secret"]));
    }
    let check = &derivation["recipient_ingress_mac_check"];
    let mut ingress = recipient.ingress.clone();
    ingress.update(check["update_ascii"].as_str().unwrap().as_bytes());
    assert_eq!(ingress.digest(), array(&check["digest"]));
    assert_eq!(initiator.egress.digest(), recipient.ingress.digest());
    assert_eq!(initiator.ingress.digest(), recipient.egress.digest());
}

#[test]
fn tampered_auths_are_rejected_all_alike() {
    let vector = parse(HANDSHAKE);
    let rejects = vector["reject_recipient_b"].as_array().unwrap();
    assert_eq!(rejects.len(), 7);
    for reject in rejects {
        let recipient =
            Handshake::recipient(&key(&vector["static_key_b"]), Rng::from_seed([1; 32]));
        let mut input = BytesMut::from(&hex(&reject["packet"])[..]);
        let error = recipient.handle_input(&mut input).unwrap_err();
        assert!(matches!(error, HandshakeError::Rejected), "{}", reject["name"]);
        assert_eq!(error.to_string(), "the handshake was rejected");
    }
}

/// Every frame of the captures opens, for each kernel, and is sealed again to the same bytes.
#[test]
fn captured_frames_open_and_are_sealed_again_byte_for_byte() {
    let vector = parse(FRAMES);
    let mut frames = 0;
    for backend in Backend::available() {
        for capture in vector["captures"].as_array().unwrap() {
            // The captured side's ingress; the remote's egress starts from the same hash.
            let mac = running(
                backend,
                &hex(&capture["ingress_mac_seed"]),
                &hex(&capture["ingress_mac_init_data"]),
            );
            let secrets = Secrets {
                aes: Zeroizing::new(array(&capture["aes_secret"])),
                mac: Zeroizing::new(array(&capture["mac_secret"])),
                egress: mac.clone(),
                ingress: mac,
            };
            let mut codec = FrameCodec::new(&secrets);
            codec.established(0xff_ffff, false);
            for frame in capture["frames_ingress"].as_array().unwrap() {
                let wire = hex(&frame["wire"]);
                let mut input = BytesMut::from(&wire[..]);
                let message = codec.open(&mut input).unwrap().unwrap();
                assert!(input.is_empty());
                let body = body(&message);
                assert_eq!(
                    body.len(),
                    usize::try_from(frame["frame_size"].as_u64().unwrap()).unwrap()
                );
                let mut hash = Keccak256::new(backend);
                hash.update(&body);
                assert_eq!(hash.digest(), array(&frame["frame_data_keccak256"]));
                let mut sealed = BytesMut::new();
                codec.seal(message.id, &message.payload, &mut sealed).unwrap();
                assert!(sealed == wire, "a frame of {} bytes", wire.len());
                frames += 1;
            }
        }
    }
    assert_eq!(frames, 6 * Backend::available().len());
}

/// go-ethereum's golden frame has a hash that always says 0101…, so only what is encrypted can
/// be compared.
#[test]
fn the_golden_frame_of_go_ethereum_is_encrypted_alike() {
    let vector = &parse(FRAMES)["go_ethereum_fixed_mac"];
    let hash = Keccak256::new(Backend::detect());
    let secrets = Secrets {
        aes: Zeroizing::new(array(&vector["aes_secret"])),
        mac: Zeroizing::new(array(&vector["mac_secret"])),
        egress: hash.clone(),
        ingress: hash,
    };
    let mut sealed = BytesMut::new();
    let payload = hex(&vector["payload"]);
    FrameCodec::new(&secrets).seal(8, &payload, &mut sealed).unwrap();
    let wire = hex(&vector["wire"]);
    assert_eq!(sealed.len(), wire.len());
    assert_eq!(sealed[..16], wire[..16]);
    assert_eq!(sealed[HEADER_SIZE..HEADER_SIZE + 16], wire[HEADER_SIZE..HEADER_SIZE + 16]);
}

/// A whole session over the secrets of EIP-8's auth2 and ack2: Hellos as they are, then snappy.
#[test]
fn the_derived_session_opens_and_uncompressed_frames_seal_to_the_same_bytes() {
    let vector = parse(SESSION);
    let handshake = parse(HANDSHAKE);
    let codec = |role| FrameCodec::new(&session_secrets(&handshake, role));
    let (mut a, mut b) = (codec(Role::Initiator), codec(Role::Recipient));
    let frames = vector["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 7);
    for (index, frame) in frames.iter().enumerate() {
        if index == 2 {
            a.established(0xff_ffff, true);
            b.established(0xff_ffff, true);
        }
        let (sender, receiver) =
            if frame["sender"] == "a" { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let wire = hex(&frame["wire"]);
        let message = receiver.open(&mut BytesMut::from(&wire[..])).unwrap().unwrap();
        assert_eq!(message.id, frame["msg_id"].as_u64().unwrap());
        assert_eq!(message.payload, hex(&frame["payload"]));
        let mut sealed = BytesMut::new();
        if frame["compressed"] == true {
            // Taken from the vector: another encoder may choose other elements.
            let data = hex(&frame["frame_data"]);
            sender.egress.seal_compressed(message.id, &data[1..], &mut sealed).unwrap();
        } else {
            sender.seal(message.id, &message.payload, &mut sealed).unwrap();
        }
        assert_eq!(sealed, wire, "frame {index}");
    }
}

fn session_secrets(vector: &Value, role: Role) -> Secrets {
    let (ours, theirs) = match role {
        Role::Initiator => ("ephemeral_key_a", "ephemeral_key_b"),
        Role::Recipient => ("ephemeral_key_b", "ephemeral_key_a"),
    };
    let transcript = Transcript {
        auth: &hex(&vector["auth2"]["packet"]),
        initiator_nonce: &array(&vector["nonce_a"]),
        ack: &hex(&vector["ack2"]["packet"]),
        recipient_nonce: &array(&vector["nonce_b"]),
    };
    let theirs = key(&vector[theirs]).public_key();
    Secrets::derive(role, &key(&vector[ours]), &theirs, &transcript, Backend::detect())
}

fn running(backend: Backend, seed: &[u8], packet: &[u8]) -> Keccak256 {
    let mut hash = Keccak256::new(backend);
    hash.update(seed);
    hash.update(packet);
    hash
}

/// The id and the payload as they stand in a frame.
fn body(message: &Message) -> Bytes {
    [&rlp::encode(&message.id)[..], &message.payload].concat().into()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

fn key(value: &Value) -> NodeKey {
    NodeKey::from_bytes(&array(value)).unwrap()
}
