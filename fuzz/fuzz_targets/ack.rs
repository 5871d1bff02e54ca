//! The initiator of a handshake, and an ack packet: any bytes, any plaintext sealed to it, and a
//! genuine packet that was damaged.
#![no_main]

use bytes::BytesMut;
use devp2p_core::{PublicKey, Rng};
use devp2p_fuzz::{
    keys::{EPHEMERAL, INITIATOR, RECIPIENT},
    memory::bounded,
    script::Script,
};
use devp2p_rlpx::{
    Handshake, HandshakeError, Session, ecies,
    packet::{self, Ack, MAX_PACKET_SIZE, PREFIX},
};
use libfuzzer_sys::fuzz_target;

/// The smallest body of an ack: its three elements without padding.
const MIN_BODY: usize = 102;

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    match script.pick(3) {
        0 => {
            let cut = usize::from(script.short());
            let wire = script.rest();
            let whole = run(&[wire]).map(|_| ());
            let (head, tail) = wire.split_at(cut.min(wire.len()));
            let parts = run(&[head, tail]).map(|_| ());
            assert_eq!(whole, parts, "it matters how the packet is cut");
        }
        1 => {
            let body = script.rest();
            if body.len() > MAX_PACKET_SIZE {
                return;
            }
            let sealed = packet::seal_with(&INITIATOR.public_key(), &EPHEMERAL, &[3; 16], body);
            assert_eq!(run(&[&sealed]).is_ok(), is_good(body));
        }
        _ => damaged(script),
    }
});

/// Both sides: undamaged, they agree on keys; damaged, the initiator rejects.
fn damaged(mut script: Script<'_>) {
    let (mut dialer, auth) = dialer();
    let mut seed = [0; 32];
    seed[0] = script.byte();
    let mut recipient = Handshake::recipient(&RECIPIENT, Rng::from_seed(seed));
    recipient = recipient.handle_input(&mut BytesMut::from(&auth[..])).expect("a genuine auth");
    let mut ack = recipient.poll_transmit().expect("an ack").to_vec();
    let at = usize::from(script.short()) % ack.len();
    let mask = script.byte();
    ack[at] ^= mask;
    let session = match dialer.handle_input(&mut BytesMut::from(&ack[..])) {
        Ok(next) => {
            dialer = next;
            dialer.into_session().ok()
        }
        Err(_) => None,
    };
    assert_eq!(session.is_some(), mask == 0, "byte {at} xor {mask:#x}");
    let Some(session) = session else { return };

    let mut wire = BytesMut::new();
    session.into_codec().seal(9, script.rest(), &mut wire).unwrap_or_default();
    let mut other = recipient.into_session().expect("complete").into_codec();
    if let Some(message) = other.open(&mut wire).expect("a genuine frame") {
        assert_eq!((message.id, &message.payload[..]), (9, script.rest()));
    }
}

fn dialer() -> (Handshake, Vec<u8>) {
    let mut dialer =
        Handshake::initiator(&INITIATOR, &RECIPIENT.public_key(), Rng::from_seed([7; 32]));
    let auth = dialer.poll_transmit().expect("an auth").to_vec();
    (dialer, auth)
}

#[derive(Debug, PartialEq)]
enum Failure {
    Incomplete,
    Rejected,
}

/// Feeds the parts one after the other. What follows the packet has to stay.
fn run(parts: &[&[u8]]) -> Result<Session, Failure> {
    let (dialer, _) = dialer();
    let received = parts.iter().map(|part| part.len()).sum();
    bounded(received, || (0, feed(dialer, parts)))
}

fn feed(mut dialer: Handshake, parts: &[&[u8]]) -> Result<Session, Failure> {
    let wire = parts.concat();
    let mut input = BytesMut::new();
    for part in parts {
        input.extend_from_slice(part);
        dialer = dialer.handle_input(&mut input).map_err(|error| {
            assert!(matches!(error, HandshakeError::Rejected), "an error that tells more");
            Failure::Rejected
        })?;
    }
    let Ok(session) = dialer.into_session() else {
        assert_eq!(input, wire, "it took a part of a packet");
        return Err(Failure::Incomplete);
    };
    let size = usize::from(u16::from_be_bytes([wire[0], wire[1]])) + PREFIX;
    assert_eq!(input, wire[size..], "it took more than the packet");
    assert_eq!(session.remote(), RECIPIENT.public_key());
    assert_eq!(session.traffic().ingress, size as u64);
    Ok(session)
}

/// Whether a body that was sealed to the initiator has to complete the handshake.
fn is_good(body: &[u8]) -> bool {
    let fits = body.len() >= MIN_BODY && body.len() + ecies::OVERHEAD <= MAX_PACKET_SIZE;
    let decodes = || {
        let ack = Ack::decode(body)?;
        assert_eq!(Ack::decode(&ack.encode()), Some(ack.clone()), "{ack:?} does not survive");
        PublicKey::from_bytes(&ack.ephemeral_key).ok()
    };
    fits && decodes().is_some()
}
