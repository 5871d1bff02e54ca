use bytes::{Bytes, BytesMut};
use devp2p_core::ConnectionError;
use devp2p_rlpx::{
    Egress, FrameCodec, Ingress, MAX_EARLY_MESSAGE_SIZE, MAX_FRAME_SIZE, OpenError, SealError,
    frame::HEADER_SIZE, snappy,
};

use crate::support::{codecs, established, noise};

#[test]
fn messages_of_every_size_come_back() {
    let (mut a, mut b) = established(MAX_FRAME_SIZE, false);
    let around = [4096, 16 * 1024, 65_536, 1 << 20].map(|size| size - 2..=size + 17);
    for size in (0..=300).chain(around.into_iter().flatten()) {
        let payload = noise(size, 1);
        let mut wire = BytesMut::new();
        a.seal(size as u64, &payload, &mut wire).unwrap();
        assert_eq!(wire.len() % 16, 0);
        let message = b.open(&mut wire).unwrap().unwrap();
        assert_eq!((message.id, &message.payload), (size as u64, &payload));
        assert!(wire.is_empty());
    }
}

#[test]
fn frames_behind_one_another_come_out_one_by_one() {
    let (mut a, mut b) = established(MAX_FRAME_SIZE, true);
    let mut wire = BytesMut::new();
    for id in 0..100 {
        a.seal(id, &noise(id as usize * 100, 2), &mut wire).unwrap();
    }
    for id in 0..100 {
        let message = b.open(&mut wire).unwrap().unwrap();
        assert_eq!(message.id, id);
        assert_eq!(message.payload, noise(id as usize * 100, 2));
    }
    assert_eq!(b.open(&mut wire), Ok(None));
}

#[test]
fn the_largest_frame_has_2_to_the_24_minus_1_bytes() {
    let (mut a, mut b) = established(usize::MAX, false);
    let mut wire = BytesMut::from(&b"before"[..]);
    // One byte of the frame is the id.
    let payload = vec![7; MAX_FRAME_SIZE];
    let too_large = SealError::TooLarge { size: MAX_FRAME_SIZE + 1, limit: MAX_FRAME_SIZE };
    assert_eq!(a.seal(0x10, &payload, &mut wire), Err(too_large));
    assert_eq!(&wire[..], b"before");
    wire.clear();
    a.seal(0x10, &payload[1..], &mut wire).unwrap();
    let message = b.open(&mut wire).unwrap().unwrap();
    assert_eq!(message.payload, payload[1..]);
}

#[test]
fn before_hello_2_kib_are_allowed_and_no_byte_more() {
    assert_eq!(MAX_EARLY_MESSAGE_SIZE, 2048);
    let (mut a, mut b) = codecs();
    let mut wire = BytesMut::new();
    a.seal(0, &noise(2048, 3), &mut wire).unwrap();
    assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, noise(2048, 3));
    let too_large = SealError::TooLarge { size: 2049, limit: 2048 };
    assert_eq!(a.seal(0, &noise(2049, 3), &mut wire), Err(too_large));
    assert!(wire.is_empty());

    // A remote that does not keep to it.
    let mut wire = forge(&mut a, 1, &noise(2049, 3));
    assert_eq!(b.open(&mut wire), Err(OpenError::MessageTooLarge));
}

#[test]
fn the_base_protocols_messages_stay_at_2_kib() {
    for (snappy, id) in [(false, 0), (false, 0x0f), (true, 0), (true, 2), (true, 0x0f)] {
        let (mut a, mut b) = established(MAX_FRAME_SIZE, snappy);
        let mut wire = BytesMut::new();
        a.seal(id, &noise(2048, 3), &mut wire).unwrap();
        assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, noise(2048, 3));
        let too_large = Err(SealError::TooLarge { size: 2049, limit: 2048 });
        assert_eq!(a.seal(id, &noise(2049, 3), &mut wire), too_large);
        let compressed = snappy::compress(&[7; 2049]).unwrap();
        if snappy {
            assert_eq!(a.egress.seal_compressed(id, &compressed, &mut wire), too_large);
        }
        assert!(wire.is_empty());
        // A remote that does not keep to it, not even where the frame is small.
        let payload = if snappy { compressed } else { noise(2049, 3) };
        let id = u8::try_from(id).unwrap().max(2);
        assert_eq!(b.open(&mut forge(&mut a, id, &payload)), Err(OpenError::MessageTooLarge));
    }
    // A Disconnect that is no snappy is not above the limit either.
    let (mut a, mut b) = established(MAX_FRAME_SIZE, true);
    assert_eq!(b.open(&mut forge(&mut a, 1, &[0xff; 2049])), Err(OpenError::Snappy));
}

#[test]
fn a_header_of_ffffff_before_hello_is_refused_by_itself() {
    let (mut a, mut b) = codecs();
    let mut wire = BytesMut::new();
    a.egress.seal_raw(header([0xff; 3]), &[], &mut wire);
    wire.truncate(HEADER_SIZE);
    assert_eq!(b.open(&mut wire), Err(OpenError::FrameTooLarge));
    assert_eq!(b.ingress.missing(0), 0);
}

#[test]
fn a_configured_limit_holds_to_the_byte_in_both_directions() {
    for snappy in [false, true] {
        let (mut a, mut b) = established(1000, snappy);
        let mut wire = BytesMut::new();
        let too_large = SealError::TooLarge { size: 1001, limit: 1000 };
        assert_eq!(a.seal(1, &noise(1001, 4), &mut wire), Err(too_large));
        a.seal(1, &noise(1000, 4), &mut wire).unwrap();
        assert!(b.open(&mut wire).unwrap().is_some());
        a.established(MAX_FRAME_SIZE, snappy);
        a.seal(2, &[7; 1001], &mut wire).unwrap();
        assert_eq!(b.open(&mut wire), Err(OpenError::MessageTooLarge), "snappy: {snappy}");
    }
}

#[test]
fn every_truncation_waits_and_says_for_how_much() {
    let (mut a, _) = established(MAX_FRAME_SIZE, false);
    let mut whole = BytesMut::new();
    a.seal(3, &noise(77, 5), &mut whole).unwrap();
    for length in 0..whole.len() {
        let (_, mut b) = established(MAX_FRAME_SIZE, false);
        let mut wire = BytesMut::from(&whole[..length]);
        assert_eq!(b.open(&mut wire), Ok(None));
        let target = if length < HEADER_SIZE { HEADER_SIZE } else { whole.len() };
        assert_eq!(b.ingress.missing(wire.len()), target - length, "at {length}");
        assert_eq!(b.ingress.is_between_frames(), length < HEADER_SIZE);
        wire.extend_from_slice(&whole[length..]);
        assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, noise(77, 5));
    }
}

#[test]
fn every_flipped_bit_is_an_error_and_stays_one() {
    let (mut a, _) = established(MAX_FRAME_SIZE, false);
    let mut whole = BytesMut::new();
    a.seal(3, &noise(77, 5), &mut whole).unwrap();
    for bit in 0..whole.len() * 8 {
        let (_, mut b) = established(MAX_FRAME_SIZE, false);
        let mut wire = whole.clone();
        wire[bit / 8] ^= 1 << (bit % 8);
        let expected =
            if bit < HEADER_SIZE * 8 { OpenError::HeaderTag } else { OpenError::BodyTag };
        assert_eq!(b.open(&mut wire), Err(expected), "bit {bit}");
        assert_eq!(b.open(&mut whole.clone()), Err(expected), "lost for good");
    }
}

#[test]
fn frames_that_are_repeated_left_out_or_reflected_are_refused() {
    let frames = || {
        let (mut a, b) = established(MAX_FRAME_SIZE, false);
        let (mut first, mut second) = (BytesMut::new(), BytesMut::new());
        a.seal(3, b"first", &mut first).unwrap();
        a.seal(3, b"second", &mut second).unwrap();
        (a, b, first, second)
    };
    let (_, mut b, mut first, _) = frames();
    b.open(&mut first.clone()).unwrap();
    assert_eq!(b.open(&mut first), Err(OpenError::HeaderTag), "repeated");
    let (_, mut b, _, mut second) = frames();
    assert_eq!(b.open(&mut second), Err(OpenError::HeaderTag), "left out");
    let (mut a, _, mut first, _) = frames();
    assert_eq!(a.open(&mut first), Err(OpenError::HeaderTag), "reflected");
}

/// The protocol's known weakness, shown so that nobody takes it for confidential: both directions
/// have one key stream, so what one side is known to have said uncovers what the other said.
#[test]
fn who_knows_what_one_side_said_can_read_the_other() {
    let (mut a, mut b) = established(MAX_FRAME_SIZE, false);
    let (mut known, mut secret) = (BytesMut::new(), BytesMut::new());
    a.seal(5, b"something that everybody knows", &mut known).unwrap();
    b.seal(5, b"something that was to be kept!", &mut secret).unwrap();
    let body = |wire: &[u8]| wire[HEADER_SIZE + 1..][..30].to_vec();
    let mut uncovered = body(&known);
    for ((byte, secret), plain) in
        uncovered.iter_mut().zip(body(&secret)).zip(b"something that everybody knows")
    {
        *byte ^= secret ^ plain;
    }
    assert_eq!(uncovered, b"something that was to be kept!");
}

#[test]
fn bodies_without_a_proper_id_are_refused() {
    let bodies: [&[u8]; 6] = [b"", &[0x00], &[0x81, 0x05], &[0xc0], &[0x88, 1], &[0x82, 0, 1]];
    for body in bodies {
        let (mut a, mut b) = established(MAX_FRAME_SIZE, false);
        let mut wire = BytesMut::new();
        let [_, _, high, low] = u32::try_from(body.len()).unwrap().to_be_bytes();
        a.egress.seal_raw(header([0, high, low]), body, &mut wire);
        assert_eq!(b.open(&mut wire), Err(OpenError::MessageId), "{body:02x?}");
    }
}

#[test]
fn header_data_and_padding_are_not_looked_at() {
    let (mut a, mut b) = established(MAX_FRAME_SIZE, false);
    let mut wire = BytesMut::new();
    let mut odd = [0xee; 16];
    odd[..3].copy_from_slice(&[0, 0, 4]);
    a.egress.seal_raw(odd, &[0x05, 1, 2, 3, 0xff, 0xff, 0xff], &mut wire);
    let message = b.open(&mut wire).unwrap().unwrap();
    assert_eq!((message.id, &message.payload[..]), (5, &[1, 2, 3][..]));
}

#[test]
fn compressed_messages_come_back_and_are_smaller() {
    let (mut a, mut b) = established(MAX_FRAME_SIZE, true);
    for size in [0, 1, 15, 16, 1000, 1024, 1025, 65_535, 65_536, 65_537, 1 << 20] {
        let payload = Bytes::from(vec![0x42; size]);
        let mut wire = BytesMut::new();
        a.seal(0x10, &payload, &mut wire).unwrap();
        assert!(wire.len() < 100 + size / 10, "{size} took {}", wire.len());
        assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, payload);
        // what does not compress comes back too
        a.seal(0x10, &noise(size, 6), &mut wire).unwrap();
        assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, noise(size, 6));
    }
}

#[test]
fn a_payload_may_come_already_compressed() {
    let payload = b"one message for many peers, one message for many peers".repeat(50);
    let compressed = snappy::compress(&payload).unwrap();
    let (mut a, mut b) = established(payload.len(), true);
    let mut wire = BytesMut::new();
    a.egress.seal_compressed(0x10, &compressed, &mut wire).unwrap();
    let (mut other, _) = established(payload.len(), true);
    let mut same = BytesMut::new();
    other.seal(0x10, &payload, &mut same).unwrap();
    assert_eq!(wire, same);
    assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, payload);

    let larger = snappy::compress(&[&payload[..], b"!"].concat()).unwrap();
    let too_large = SealError::TooLarge { size: payload.len() + 1, limit: payload.len() };
    assert_eq!(a.egress.seal_compressed(0x10, &larger, &mut wire), Err(too_large));
    let (mut plain, _) = established(payload.len(), false);
    let error = plain.egress.seal_compressed(0x10, &compressed, &mut wire).unwrap_err();
    assert_eq!(error, SealError::NotCompressing);
    assert!(wire.is_empty());
}

#[test]
fn snappy_bombs_are_refused() {
    let bombs: [(&[u8], OpenError); 4] = [
        (&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00], OpenError::MessageTooLarge),
        (&[0xff, 0xff, 0xff, 0x07, 0x00], OpenError::Snappy),
        (&[0xff; 20], OpenError::Snappy),
        (&[], OpenError::Snappy),
    ];
    for (bomb, expected) in bombs {
        let (mut a, mut b) = established(MAX_FRAME_SIZE, true);
        assert_eq!(b.open(&mut forge(&mut a, 0x10, bomb)), Err(expected), "{bomb:02x?}");
        // A Disconnect is given as it came instead.
        let (mut a, mut b) = established(MAX_FRAME_SIZE, true);
        let message = b.open(&mut forge(&mut a, 0x01, bomb)).unwrap().unwrap();
        assert_eq!((message.id, &message.payload[..]), (1, bomb));
    }
}

#[test]
fn a_disconnect_is_read_compressed_and_as_it_is() {
    // [0xc1, 0x10] reads as a compressed payload of 2113 bytes.
    for payload in
        [&[0xc1, 0x08][..], &[0xc1, 0x10], &[0x08], &[0xc0], &[0x80], &[0xc1, 0x80], &[0x01]]
    {
        let (mut a, mut b) = established(MAX_FRAME_SIZE, true);
        let message = b.open(&mut forge(&mut a, 0x01, payload)).unwrap().unwrap();
        assert_eq!(message.payload, payload, "as it is");
        let mut wire = BytesMut::new();
        a.seal(0x01, payload, &mut wire).unwrap();
        assert_eq!(b.open(&mut wire).unwrap().unwrap().payload, payload, "compressed");
    }
    // The limit holds for it too.
    let (mut a, mut b) = established(100, true);
    let mut wire = forge(&mut a, 0x01, &[0xff; 101]);
    assert_eq!(b.open(&mut wire), Err(OpenError::Snappy));
}

#[test]
fn halves_can_go_to_different_threads() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Egress>();
    is_send::<Ingress>();
    is_send::<FrameCodec>();
    is_send::<devp2p_rlpx::Connection<tokio::net::TcpStream>>();

    let (a, b) = established(MAX_FRAME_SIZE, true);
    let ((mut egress, _), (_, mut ingress)) = (a.split(), b.split());
    let sealing = std::thread::spawn(move || {
        let mut wire = BytesMut::new();
        egress.seal(9, b"payload", &mut wire).unwrap();
        wire
    });
    let mut wire = sealing.join().unwrap();
    assert_eq!(ingress.open(&mut wire).unwrap().unwrap().payload, "payload");
}

#[test]
fn errors_turn_into_those_of_a_connection() {
    assert!(matches!(
        ConnectionError::from(SealError::TooLarge { size: 3, limit: 2 }),
        ConnectionError::MessageTooLarge { size: 3, limit: 2 }
    ));
    let error = ConnectionError::from(OpenError::BodyTag);
    assert_eq!(
        error.to_string(),
        "the remote broke the protocol: the frame's body has a wrong tag"
    );
    assert_eq!(error.fault(), devp2p_core::Fault::Remote);
    assert_eq!(OpenError::BodyTag.fault(), devp2p_core::Fault::Remote);
    assert_eq!(SealError::NotCompressing.fault(), devp2p_core::Fault::Local);
}

/// A frame with this payload, compressed or not as it is.
fn forge(codec: &mut FrameCodec, id: u8, payload: &[u8]) -> BytesMut {
    let body = [&[id][..], payload].concat();
    let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut wire = BytesMut::new();
    codec.egress.seal_raw(header([a, b, c]), &body, &mut wire);
    wire
}

fn header(size: [u8; 3]) -> [u8; 16] {
    let mut header = [0; 16];
    header[..3].copy_from_slice(&size);
    header[3..6].copy_from_slice(&[0xc2, 0x80, 0x80]);
    header
}
