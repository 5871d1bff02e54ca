use std::time::Duration;

use bytes::BytesMut;
use devp2p_core::{Connection as _, Fault, NodeKey, Rng};
use devp2p_rlpx::{
    Config, Handshake, HandshakeError, accept, connect, ecies,
    packet::{self, Ack, Auth, MAX_PACKET_SIZE},
    secure,
};
use tokio::{
    io::{AsyncWriteExt as _, duplex, join, sink},
    time::{Instant, sleep},
};

use crate::support::{Fragmented, connected_over, key, sessions};

/// The smallest auth and ack, without padding.
const SMALLEST: [usize; 2] = [ecies::OVERHEAD + 169, ecies::OVERHEAD + 102];

#[test]
fn both_sides_learn_each_other_and_their_codecs_fit() {
    let (dialer, listener) = sessions();
    assert_eq!(dialer.remote(), key(2).public_key());
    assert_eq!(listener.remote(), key(1).public_key());
    assert_eq!(dialer.traffic().egress, listener.traffic().ingress);
    assert_eq!(dialer.traffic().ingress, listener.traffic().egress);
    assert!(dialer.traffic().egress > 282 && dialer.traffic().ingress > 215);

    let (mut a, mut b) = (dialer.into_codec(), listener.into_codec());
    for (from, to) in [(&mut a, 0), (&mut b, 1)] {
        let mut wire = BytesMut::new();
        from.seal(to, b"payload", &mut wire).unwrap();
    }
    let mut wire = BytesMut::new();
    a.seal(7, b"payload", &mut wire).unwrap();
    // b has opened nothing of a's first frame
    assert!(b.open(&mut wire).is_err());
}

#[test]
fn one_seed_one_handshake() {
    let auth = |seed| {
        let mut dialer =
            Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([seed; 32]));
        dialer.poll_transmit().unwrap()
    };
    assert_eq!(auth(3), auth(3));
    assert_ne!(auth(3)[2..67], auth(4)[2..67]);
}

#[test]
fn bytes_may_come_one_by_one_and_what_follows_is_left() {
    let mut dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let mut listener = Handshake::recipient(&key(2), Rng::from_seed([4; 32]));
    let mut input = BytesMut::new();
    for byte in dialer.poll_transmit().unwrap() {
        assert!(listener.poll_transmit().is_none(), "answers too early");
        input.extend_from_slice(&[byte]);
        listener = listener.handle_input(&mut input).unwrap();
    }
    let mut input = BytesMut::from(listener.poll_transmit().unwrap());
    input.extend_from_slice(b"the first frame");
    dialer = dialer.handle_input(&mut input).unwrap();
    assert_eq!(&input[..], b"the first frame");
    assert!(dialer.into_session().is_ok());
}

#[test]
fn a_size_is_judged_by_its_two_bytes() {
    let recipient = || Handshake::recipient(&key(2), Rng::from_seed([4; 32]));
    let initiator = || Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    for size in 0..=u16::MAX {
        for (role, smallest) in SMALLEST.into_iter().enumerate() {
            // The initiator's key operations are dear: the edges suffice for it.
            if role == 1 && size % 64 > 1 && !size.abs_diff(2048).is_power_of_two() {
                continue;
            }
            let handshake = if role == 0 { recipient() } else { initiator() };
            let mut input = BytesMut::from(&size.to_be_bytes()[..]);
            let taken = handshake.handle_input(&mut input).is_ok();
            let sensible = (smallest..=MAX_PACKET_SIZE).contains(&usize::from(size));
            assert_eq!(taken, sensible, "{size} bytes for role {role}");
        }
    }
}

#[test]
fn no_auth_with_a_flipped_bit_is_taken() {
    let mut dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let auth = dialer.poll_transmit().unwrap();
    for bit in 0..auth.len() * 8 {
        let mut input = BytesMut::from(&auth[..]);
        input[bit / 8] ^= 1 << (bit % 8);
        refused_or_waiting(Handshake::recipient(&key(2), Rng::from_seed([4; 32])), input, bit);
    }
}

#[test]
fn no_ack_with_a_flipped_bit_is_taken() {
    let dialer = || Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let mut listener = Handshake::recipient(&key(2), Rng::from_seed([4; 32]));
    let auth = dialer().poll_transmit().unwrap();
    listener = listener.handle_input(&mut BytesMut::from(auth)).unwrap();
    let ack = listener.poll_transmit().unwrap();
    for bit in 0..ack.len() * 8 {
        let mut input = BytesMut::from(&ack[..]);
        input[bit / 8] ^= 1 << (bit % 8);
        let mut dialer = dialer();
        dialer.poll_transmit().unwrap();
        refused_or_waiting(dialer, input, bit);
    }
}

/// A flipped bit is rejected; only in the size it may mean that more has to come first.
fn refused_or_waiting(handshake: Handshake, mut input: BytesMut, bit: usize) {
    match handshake.handle_input(&mut input) {
        Err(HandshakeError::Rejected) => {}
        Ok(handshake) if bit < 16 => assert!(handshake.into_session().is_err()),
        other => panic!("bit {bit}: {other:?}"),
    }
}

#[tokio::test]
async fn every_truncation_of_an_auth_is_an_error() {
    let mut dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let auth = dialer.poll_transmit().unwrap();
    for length in 0..auth.len() {
        let io = join(&auth[..length], sink());
        let error = accept(io, &key(2), &Config::default()).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Io(_)), "cut to {length}: {error}");
        assert_eq!(error.fault(), Fault::Network);
    }
    assert!(accept(join(&auth[..], sink()), &key(2), &Config::default()).await.is_ok());
}

#[tokio::test]
async fn every_truncation_of_an_ack_is_an_error() {
    let dialer = || Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let mut listener = Handshake::recipient(&key(2), Rng::from_seed([4; 32]));
    listener =
        listener.handle_input(&mut BytesMut::from(dialer().poll_transmit().unwrap())).unwrap();
    let ack = listener.poll_transmit().unwrap();
    for length in 0..ack.len() {
        let io = join(&ack[..length], sink());
        let error = secure(io, dialer(), &Config::default()).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Io(_)), "cut to {length}: {error}");
    }
    assert!(secure(join(&ack[..], sink()), dialer(), &Config::default()).await.is_ok());
}

/// CVE-2026-26314 and CVE-2026-26315: all bad points fail alike, wherever they stand.
#[test]
fn bad_points_are_rejected_all_alike() {
    for (name, point) in bad_points() {
        // as the ephemeral key of the encryption
        let mut packet = vec![0x41; MAX_PACKET_SIZE / 2];
        packet[..65].copy_from_slice(&point);
        let mut input = BytesMut::from(&1024_u16.to_be_bytes()[..]);
        input.extend_from_slice(&packet);
        let rejected =
            Handshake::recipient(&key(2), Rng::from_seed([4; 32])).handle_input(&mut input);
        assert_rejected(rejected, name);

        if point[0] != 0x04 {
            continue;
        }
        // as the static key in an auth that is right in all else
        let mut auth = honest_auth();
        auth.public_key.copy_from_slice(&point[1..]);
        assert_rejected(offer_auth(&auth), name);
        // as the ephemeral key in an ack that is right in all else
        let mut ephemeral_key = [0; 64];
        ephemeral_key.copy_from_slice(&point[1..]);
        let ack = Ack { ephemeral_key, nonce: [7; 32], version: 4 };
        let body = [ack.encode(), vec![0; 100]].concat();
        let ack = packet::seal_with(&key(1).public_key(), &key(9), &[8; 16], &body);
        let dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
        assert_rejected(dialer.handle_input(&mut BytesMut::from(&ack[..])), name);
    }
}

#[test]
fn signatures_that_recover_no_key_are_rejected() {
    assert!(offer_auth(&honest_auth()).is_ok());
    let mut recovery_id = honest_auth();
    recovery_id.signature[64] = 4;
    assert_rejected(offer_auth(&recovery_id), "recovery id");
    for byte in [0x00, 0xff] {
        let mut auth = honest_auth();
        auth.signature[..64].fill(byte);
        assert_rejected(offer_auth(&auth), "r and s");
    }
}

#[test]
fn plaintext_that_is_not_the_list_is_rejected() {
    let bodies: [&[u8]; 5] = [&[0; 300], &[0xff; 300], &[0xc0; 300], &[0xf8; 300], &[0x80; 300]];
    for body in bodies {
        let packet = packet::seal_with(&key(2).public_key(), &key(9), &[8; 16], body);
        let rejected = Handshake::recipient(&key(2), Rng::from_seed([4; 32]))
            .handle_input(&mut BytesMut::from(&packet[..]));
        assert_rejected(rejected, "not a list");
    }
}

#[tokio::test]
async fn dialing_somebody_else_than_expected_fails_on_both_sides() {
    let (near, far) = duplex(4096);
    let (config, expected) = (Config::default(), key(3).public_key());
    let (alice, bob) = (key(1), key(2));
    let (dialed, accepted) =
        tokio::join!(connect(near, &alice, &expected, &config), accept(far, &bob, &config));
    assert!(matches!(accepted.unwrap_err(), HandshakeError::Rejected));
    assert!(matches!(dialed.unwrap_err(), HandshakeError::Io(_)), "closed without a word");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_deadline() {
    let (near, far) = duplex(4096);
    let (config, remote) = (Config::default(), key(2).public_key());
    assert_eq!(config.handshake_timeout, Duration::from_secs(5));
    let start = Instant::now();
    let (alice, bob) = (key(1), key(2));
    // Neither `_near` nor `_far` says anything more.
    let (accept_error, _near) = (accept(far, &bob, &config).await.unwrap_err(), near);
    assert!(matches!(accept_error, HandshakeError::Timeout));
    assert_eq!(start.elapsed(), Duration::from_secs(5));

    let (near, _far) = duplex(4096);
    let connect_error = connect(near, &alice, &remote, &config).await.unwrap_err();
    assert!(matches!(connect_error, HandshakeError::Timeout));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_does_not_extend_the_deadline() {
    let (mut near, far) = duplex(4096);
    let auth = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]))
        .poll_transmit();
    let slow = tokio::spawn(async move {
        for byte in auth.unwrap() {
            if near.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    let start = Instant::now();
    let error = accept(far, &key(2), &Config::default()).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    slow.await.unwrap();
}

#[tokio::test]
async fn a_stream_in_pieces_carries_a_handshake() {
    let (near, far) = duplex(64);
    let (near, far) = (Fragmented::new(near, &[1, 0, 7, 3]), Fragmented::new(far, &[0, 2, 2, 11]));
    let (near, far) = connected_over(near, far, &Config::default()).await;
    assert_eq!(near.remote(), key(2).public_key());
    assert_eq!(far.remote(), key(1).public_key());
}

#[test]
fn debug_shows_no_secret() {
    let dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    assert_eq!(format!("{dialer:?}"), "Handshake(waits for the ack)");
    let (session, _) = sessions();
    let text = format!("{session:?}");
    assert!(text.len() < 500, "holds more than the remote and the limits: {text}");
    assert!(text.contains("codec: FrameCodec"));
}

fn assert_rejected(result: Result<Handshake, HandshakeError>, name: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, HandshakeError::Rejected), "{name}");
    assert_eq!(error.to_string(), "the handshake was rejected");
    assert_eq!(error.fault(), Fault::Remote);
}

/// An auth from key 1 to key 2 that would be taken.
fn honest_auth() -> Auth {
    let ephemeral = NodeKey::from_rng(&mut Rng::from_seed([5; 32]));
    let (shared, nonce) = (key(1).ecdh(&key(2).public_key()), [6; 32]);
    let digest = std::array::from_fn(|at| shared[at] ^ nonce[at]);
    Auth {
        signature: ephemeral.sign_recoverable(&digest),
        public_key: *key(1).public_key().as_bytes(),
        nonce,
        version: 4,
    }
}

fn offer_auth(auth: &Auth) -> Result<Handshake, HandshakeError> {
    let packet = packet::seal_with(&key(2).public_key(), &key(9), &[8; 16], &auth.encode());
    Handshake::recipient(&key(2), Rng::from_seed([4; 32]))
        .handle_input(&mut BytesMut::from(&packet[..]))
}

fn bad_points() -> Vec<(&'static str, [u8; 65])> {
    let honest = key(9).public_key().to_uncompressed();
    let changed = |change: &dyn Fn(&mut [u8; 65])| {
        let mut point = honest;
        change(&mut point);
        point
    };
    let odd = honest[64] & 1;
    vec![
        ("infinity", changed(&|point| point[1..].fill(0))),
        ("all ones", changed(&|point| point[1..].fill(0xff))),
        ("off the curve", changed(&|point| point[64] ^= 1)),
        ("x and y exchanged", changed(&|point| point[1..].rotate_left(32))),
        // the prime itself as x, with the y of x = 0 on the twist
        (
            "x is the prime",
            changed(&|point| {
                point[1..29].fill(0xff);
                point[28] = 0xfe;
                point[29..33].copy_from_slice(&[0xff, 0xff, 0xfc, 0x2f]);
            }),
        ),
        ("prefix of nothing", changed(&|point| point[0] = 0x00)),
        ("compressed", changed(&|point| point[0] = 0x02 | odd)),
        ("hybrid of the right parity", changed(&|point| point[0] = 0x06 | odd)),
        ("hybrid of the wrong parity", changed(&|point| point[0] = 0x06 | (odd ^ 1))),
    ]
}
