//! Memory grows with the bytes that were received, never with a length that was declared: at
//! most four times the input and the plaintext that was delivered, and 64 KiB.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::BytesMut;
use devp2p_core::{Connection as _, Message, NodeKey, Rng};
use devp2p_rlpx::{Config, Connection, Egress, Handshake, HandshakeError, Session, accept, snappy};
use futures::{FutureExt as _, StreamExt as _};
use peak_alloc::PeakAlloc;
use tokio::io::{AsyncRead, Join, ReadBuf, Sink, join, sink};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const SLACK: usize = 64 * 1024;
const MIB: usize = 1 << 20;

type Arriving = Join<Source, Sink>;

/// One test, since all of them count the one heap.
#[tokio::test(flavor = "current_thread")]
async fn memory_grows_with_what_was_received() {
    // Made once, so that their first use does not count.
    let _ = sessions();

    for size in [0, 1, 282, 600, 2048, 2049, 0xffff_u16] {
        for arrived in [0, 10, 200] {
            let packet = [&size.to_be_bytes()[..], &vec![0x41; arrived]].concat();
            let (peak, refused) = peak_of(async {
                matches!(
                    accept(join(&packet[..], sink()), &key(2), &Config::default()).await,
                    Err(HandshakeError::Io(_) | HandshakeError::Rejected)
                )
            })
            .await;
            assert!(refused && peak <= 4 * 1024, "a handshake of {size} bytes took {peak}");
        }
    }

    // A header that declares 16 MiB before Hello.
    let peak = open(false, |egress| {
        let mut wire = BytesMut::new();
        egress.seal_raw(header(0xff_ffff), &[], &mut wire);
        wire
    })
    .await
    .assert_bounded("0xffffff before Hello");
    assert!(peak <= 8 * 1024, "{peak} bytes for a refused header");

    // The same afterwards, and only a part of it comes.
    for arrived in [0, 1, 1000, 100_000, MIB, 5 * MIB] {
        open(true, |egress| {
            let mut wire = BytesMut::new();
            egress.seal_raw(header(0xff_ffff), &vec![0x42; arrived], &mut wire);
            wire
        })
        .await
        .assert_bounded(&format!("{arrived} bytes of 16 MiB"));
    }

    // Whole messages that compress well, badly, and many small ones.
    open(true, |egress| sealed(egress, &[vec![7; 15 * MIB]])).await.assert_bounded("15 MiB of 7");
    let noise = noise(5 * MIB);
    open(true, |egress| sealed(egress, std::slice::from_ref(&noise)))
        .await
        .assert_bounded("5 MiB of noise");
    open(true, |egress| sealed(egress, &vec![vec![9; 20]; 10_000])).await.assert_bounded("small");

    // Payloads that declare what they do not hold.
    let bomb = |declared: [u8; 4], rest: Vec<u8>| {
        move |egress: &mut Egress| {
            let body = [&[0x10], &declared[..], &rest].concat();
            let mut wire = BytesMut::new();
            egress.seal_raw(header(body.len()), &body, &mut wire);
            wire
        }
    };
    let sixteen_mib = [0xff, 0xff, 0xff, 0x07];
    open(true, bomb(sixteen_mib, vec![])).await.assert_bounded("a bomb of 5 bytes");
    // a literal and then copies of 64 bytes each, but not as many as were declared
    let copies = [&[0x00, 0x61][..], &[0xfe, 0x01, 0x00].repeat(100_000)].concat();
    open(true, bomb(sixteen_mib, copies)).await.assert_bounded("a bomb of copies");
    let too_much = [0xff, 0xff, 0xff, 0x7f];
    open(true, bomb(too_much, vec![0; 100])).await.assert_bounded("256 MiB declared");

    // A valid one, for contrast, is delivered.
    let opened = open(true, |egress| {
        let payload = snappy::compress(&vec![7; 15 * MIB]).unwrap();
        let mut wire = BytesMut::new();
        egress.seal_compressed(0x10, &payload, &mut wire).unwrap();
        wire
    })
    .await;
    assert_eq!(opened.delivered, 15 * MIB);

    for snappy in [false, true] {
        small_messages_do_not_hold_large_ones(snappy);
        the_start_of_a_frame_does_not_hold_the_last_one(snappy);
    }
    for seed in 0..48 {
        what_is_kept_holds_about_twice_its_size(seed);
    }
}

/// What somebody keeps may be small, and what came just before it large.
fn small_messages_do_not_hold_large_ones(snappy: bool) {
    let messages = vec![[(0x10, noise(4 * MIB)), (0x11, noise(5000))]; 8].concat();
    let (mut connection, arrived, _) = arriving(snappy, &messages);
    arrived.store(usize::MAX, Ordering::Relaxed);
    let before = HEAP.current_usage();
    let mut kept = Vec::new();
    for (id, payload) in &messages {
        let message = next(&mut connection).unwrap();
        assert_eq!((message.id, &message.payload[..]), (*id, &payload[..]));
        if *id == 0x11 {
            kept.push(message);
            assert_held(before, kept.len() * payload.len(), "small ones after large ones");
        }
    }
}

/// A remote can always have sent the start of the next frame, so the buffer is never empty.
fn the_start_of_a_frame_does_not_hold_the_last_one(snappy: bool) {
    let mut messages = vec![(0x10, noise(15 * MIB))];
    messages.extend(vec![(0x11, noise(100)); 5]);
    let (mut connection, arrived, ends) = arriving(snappy, &messages);
    let before = HEAP.current_usage();
    for ((id, payload), end) in messages.iter().zip(ends) {
        arrived.store(end + 1, Ordering::Relaxed);
        let message = next(&mut connection).unwrap();
        assert_eq!((message.id, &message.payload[..]), (*id, &payload[..]));
        drop(message);
        assert!(next(&mut connection).is_none());
        assert_held(before, 1, "a byte of the next frame");
    }
}

/// Messages of all sizes, in pieces of all sizes, of which some are kept and some forgotten.
fn what_is_kept_holds_about_twice_its_size(seed: u8) {
    let mut rng = Rng::from_seed([seed; 32]);
    let mut below = |bound: usize| usize::try_from(rng.below(bound as u64)).unwrap();
    let messages: Vec<_> = (0..40)
        .map(|_| {
            let bound = [50, 3_000, 40_000, 70_000, MIB][below(5)];
            (0x10, noise(below(bound)))
        })
        .collect();
    let (mut connection, arrived, ends) = arriving(seed.is_multiple_of(2), &messages);
    let piece = [100, 5_000, 50_000, MIB][below(4)];
    let (mut kept, mut opened) = (Vec::new(), 0);
    kept.reserve(messages.len());
    let before = HEAP.current_usage();
    while opened < messages.len() {
        let now = arrived.fetch_add(below(piece) + 1, Ordering::Relaxed) + 1;
        while let Some(message) = next(&mut connection) {
            assert_eq!(message.payload, messages[opened].1);
            opened += 1;
            if below(3) == 0 {
                kept.push(message);
            }
        }
        let waiting = (now + piece).saturating_sub(opened.checked_sub(1).map_or(0, |at| ends[at]));
        let size: usize = kept.iter().map(|message: &Message| message.payload.len()).sum();
        assert_held(before, waiting + size, "kept and under way");
        if below(8) == 0 {
            kept.clear();
        }
    }
}

/// At most twice what is kept is held since `before`, and the slack.
fn assert_held(before: usize, kept: usize, name: &str) {
    let held = HEAP.current_usage().saturating_sub(before);
    assert!(held <= 2 * kept + SLACK, "{name}: {held} bytes are held for {kept}");
}

/// The next message, where it has arrived.
fn next(connection: &mut Connection<Arriving>) -> Option<Message> {
    connection.next().now_or_never().map(|item| item.unwrap().unwrap())
}

/// A connection to which `messages` come, how many bytes have arrived so far, and where each
/// frame ends.
fn arriving(
    snappy: bool,
    messages: &[(u64, Vec<u8>)],
) -> (Connection<Arriving>, Arc<AtomicUsize>, Vec<usize>) {
    let (near, far) = sessions();
    let (mut egress, _) = near.into_codec().split();
    egress.established(usize::MAX, snappy);
    let mut wire = BytesMut::new();
    let seal = |(id, payload): &(u64, Vec<u8>)| {
        egress.seal(*id, payload, &mut wire).unwrap();
        wire.len()
    };
    let ends = messages.iter().map(seal).collect();
    let arrived = Arc::new(AtomicUsize::new(0));
    let io = Source { wire, read: 0, arrived: arrived.clone() };
    let mut connection =
        Connection::new(join(io, sink()), far, BytesMut::new(), &Config::default());
    Pin::new(&mut connection).established(snappy);
    // The timer is made at the first wait.
    assert!(connection.next().now_or_never().is_none());
    (connection, arrived, ends)
}

/// A stream from which as much can be read as has arrived.
struct Source {
    wire: BytesMut,
    read: usize,
    arrived: Arc<AtomicUsize>,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = self.arrived.load(Ordering::Relaxed).min(self.wire.len());
        let piece = &self.wire[self.read..end];
        if piece.is_empty() {
            return Poll::Pending;
        }
        let size = piece.len().min(into.remaining());
        into.put_slice(&piece[..size]);
        self.read += size;
        Poll::Ready(Ok(()))
    }
}

struct Opened {
    peak: usize,
    input: usize,
    delivered: usize,
}

impl Opened {
    fn assert_bounded(&self, name: &str) -> usize {
        let bound = 4 * (self.input + self.delivered) + SLACK;
        assert!(
            self.peak <= bound,
            "{name}: {} bytes for {} received and {} delivered",
            self.peak,
            self.input,
            self.delivered
        );
        self.peak
    }
}

/// What a connection takes that is fed what `forge` makes, and then the end of the stream.
async fn open(established: bool, forge: impl FnOnce(&mut Egress) -> BytesMut) -> Opened {
    let (near, far) = sessions();
    let (mut egress, _) = near.into_codec().split();
    if established {
        egress.established(usize::MAX, true);
    }
    let wire = forge(&mut egress);
    let io = join(&wire[..], sink());
    let mut connection = Connection::new(io, far, BytesMut::new(), &Config::default());
    if established {
        Pin::new(&mut connection).established(true);
    }
    let before = connection.traffic().ingress;
    let (peak, delivered) = peak_of(async {
        let mut delivered = 0;
        while let Some(Ok(message)) = connection.next().await {
            delivered += message.payload.len();
        }
        delivered
    })
    .await;
    let input = usize::try_from(connection.traffic().ingress - before).unwrap();
    Opened { peak, input, delivered }
}

async fn peak_of<T>(work: impl Future<Output = T>) -> (usize, T) {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = work.await;
    (HEAP.peak_usage() - before, result)
}

fn sealed(egress: &mut Egress, payloads: &[Vec<u8>]) -> BytesMut {
    let mut wire = BytesMut::new();
    for payload in payloads {
        egress.seal(0x10, payload, &mut wire).unwrap();
    }
    wire
}

fn header(size: usize) -> [u8; 16] {
    let [_, a, b, c] = u32::try_from(size).unwrap().to_be_bytes();
    [a, b, c, 0xc2, 0x80, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Rng::from_seed([9; 32]).fill(&mut bytes);
    bytes
}

fn key(byte: u8) -> NodeKey {
    NodeKey::from_bytes(&[byte; 32]).unwrap()
}

fn sessions() -> (Session, Session) {
    let mut dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let mut listener = Handshake::recipient(&key(2), Rng::from_seed([4; 32]));
    let auth = dialer.poll_transmit().unwrap();
    listener = listener.handle_input(&mut BytesMut::from(auth)).unwrap();
    let ack = listener.poll_transmit().unwrap();
    dialer = dialer.handle_input(&mut BytesMut::from(ack)).unwrap();
    (dialer.into_session().unwrap(), listener.into_session().unwrap())
}
