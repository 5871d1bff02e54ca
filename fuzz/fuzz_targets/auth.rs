//! The recipient of a handshake, and an auth packet: any bytes, any plaintext sealed to it, and a
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
    Handshake, HandshakeError, ecies,
    packet::{self, Auth, MAX_PACKET_SIZE, PREFIX},
};
use libfuzzer_sys::fuzz_target;

/// The smallest body of an auth: its four elements without padding.
const MIN_BODY: usize = 169;

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let recipient = Handshake::recipient(&RECIPIENT, Rng::from_seed([7; 32]));
    match script.pick(3) {
        0 => {
            let cut = usize::from(script.short());
            let wire = script.rest();
            let whole = run(recipient, &[wire]);
            let (head, tail) = wire.split_at(cut.min(wire.len()));
            let parts =
                run(Handshake::recipient(&RECIPIENT, Rng::from_seed([7; 32])), &[head, tail]);
            assert_eq!(whole, parts, "it matters how the packet is cut");
        }
        1 => {
            let body = script.rest();
            if body.len() > MAX_PACKET_SIZE {
                return;
            }
            let sealed = packet::seal_with(&RECIPIENT.public_key(), &EPHEMERAL, &[3; 16], body);
            assert_eq!(run(recipient, &[&sealed]), expected(body));
        }
        _ => {
            let mut seed = [0; 32];
            seed[0] = script.byte();
            let mut dialer =
                Handshake::initiator(&INITIATOR, &RECIPIENT.public_key(), Rng::from_seed(seed));
            let mut wire = dialer.poll_transmit().expect("an auth").to_vec();
            let at = usize::from(script.short()) % wire.len();
            let mask = script.byte();
            wire[at] ^= mask;
            let end = run(recipient, &[&wire]);
            let good = End::Complete(INITIATOR.public_key());
            assert!(mask == 0 && end == good || mask != 0 && end != good, "{at} {mask} {end:?}");
            assert!(mask == 0 || !matches!(end, End::Complete(_)), "a damaged packet passes");
        }
    }
});

#[derive(Debug, PartialEq)]
enum End {
    Complete(PublicKey),
    Incomplete,
    Rejected,
}

/// Feeds the parts one after the other. What follows the packet has to stay.
fn run(recipient: Handshake, parts: &[&[u8]]) -> End {
    let received = parts.iter().map(|part| part.len()).sum();
    bounded(received, || (0, feed(recipient, parts)))
}

fn feed(mut recipient: Handshake, parts: &[&[u8]]) -> End {
    let wire = parts.concat();
    let mut input = BytesMut::new();
    for part in parts {
        input.extend_from_slice(part);
        recipient = match recipient.handle_input(&mut input) {
            Ok(next) => next,
            Err(error) => {
                assert!(matches!(error, HandshakeError::Rejected), "an error that tells more");
                return End::Rejected;
            }
        };
    }
    let Some(ack) = recipient.poll_transmit() else {
        assert_eq!(input, wire, "it took a part of a packet");
        return End::Incomplete;
    };
    let size = usize::from(u16::from_be_bytes([wire[0], wire[1]])) + PREFIX;
    assert_eq!(input, wire[size..], "it took more than the packet");
    assert!(ack.len() <= MAX_PACKET_SIZE + PREFIX);
    let session = recipient.into_session().expect("nothing is left to transmit");
    assert_eq!(session.traffic().ingress, size as u64);
    assert_eq!(session.traffic().egress, ack.len() as u64);
    End::Complete(session.remote())
}

/// What has to become of a body that was sealed to the recipient.
fn expected(body: &[u8]) -> End {
    let fits = body.len() >= MIN_BODY && body.len() + ecies::OVERHEAD <= MAX_PACKET_SIZE;
    let complete = || {
        let auth = Auth::decode(body)?;
        let canonical = auth.encode();
        assert_eq!(Auth::decode(&canonical), Some(auth.clone()), "{auth:?} does not survive");
        let remote = PublicKey::from_bytes(&auth.public_key).ok()?;
        let shared = RECIPIENT.ecdh(&remote);
        let digest = std::array::from_fn(|index| shared[index] ^ auth.nonce[index]);
        PublicKey::recover(&digest, &auth.signature).ok()?;
        Some(End::Complete(remote))
    };
    if fits { complete().unwrap_or(End::Rejected) } else { End::Rejected }
}
