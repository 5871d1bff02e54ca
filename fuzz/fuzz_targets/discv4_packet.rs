//! A datagram of discv4: as it comes, with the right hash, and with any data signed by a key that
//! we hold.
#![no_main]

use devp2p_discv4::wire::{Datagram, MAX_PACKET_SIZE, Packet, PacketKind};
use devp2p_fuzz::{keys::RECIPIENT, memory::bounded, script::Script};
use libfuzzer_sys::fuzz_target;
use sha3::{Digest as _, Keccak256};

const HASH_SIZE: usize = 32;

fuzz_target!(|data: &[u8]| {
    // Made once, and not within the bound.
    let key = &*RECIPIENT;
    let mut script = Script::new(data);
    let (is_signed, bytes) = match script.pick(3) {
        0 => (false, script.rest().to_vec()),
        1 => (false, hash(script.rest())),
        _ => {
            let kind = script.one_of(PacketKind::ALL);
            (true, sign(kind, script.rest()))
        }
    };
    let read = bounded(bytes.len(), || {
        let read = Datagram::parse(&bytes).map(|datagram| (datagram, datagram.packet()));
        (0, read)
    });
    let (datagram, packet) = match read {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!is_signed || bytes.len() > MAX_PACKET_SIZE, "{error}");
            return;
        }
    };
    assert!(bytes.len() <= MAX_PACKET_SIZE);
    assert_eq!(datagram.hash(), bytes[..HASH_SIZE]);
    let signer = datagram.signer(key);
    assert!(!is_signed || signer == Ok(key.public_key()));
    if let Ok(packet) = packet {
        assert_eq!(packet.kind(), datagram.kind());
        check(&packet);
    }
});

/// What is read is no more than was there, and what is written of it reads the same.
fn check(packet: &Packet) {
    if let Packet::Neighbors(neighbors) = packet {
        // With a key of 64 bytes in each.
        assert!(neighbors.nodes.len() <= MAX_PACKET_SIZE / 64);
    }
    let sealed = match packet.seal(&*RECIPIENT) {
        Ok(sealed) => sealed,
        Err(error) => panic!("what fitted into a datagram does not: {error}"),
    };
    let datagram = Datagram::parse(&sealed.bytes).expect("what we write can be read");
    assert_eq!(datagram.hash(), sealed.hash);
    assert_eq!(datagram.packet().as_ref(), Ok(packet));
    assert_eq!(datagram.signer(&*RECIPIENT), Ok(RECIPIENT.public_key()));
}

/// The datagram whose hash is that of these bytes.
fn hash(rest: &[u8]) -> Vec<u8> {
    [&Keccak256::digest(rest)[..], rest].concat()
}

/// The datagram with this data.
fn sign(kind: PacketKind, data: &[u8]) -> Vec<u8> {
    let signed = [&[kind.code()], data].concat();
    let signature = RECIPIENT.sign_recoverable(&Keccak256::digest(&signed).into());
    hash(&[&signature[..], &signed].concat())
}
