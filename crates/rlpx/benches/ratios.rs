//! What a frame, a handshake and a message over TCP cost, beside the floor in the same run.
//!
//! Every round measures everything once, one after the other, so that whatever else the machine
//! does hits all of them alike; the medians over the rounds are printed, and the medians of the
//! rounds' ratios. Times are of one core, with both ends on it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]

mod floor;

use std::{
    hint::black_box,
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use devp2p_core::{Connection as _, Message, NodeKey};
use devp2p_rlpx::{
    Config, Connection, FrameCodec, Handshake, MAX_FRAME_SIZE, Secrets, accept_tcp, connect_tcp,
    keccak::Backend,
};
use floor::Floor;
use futures::{SinkExt as _, StreamExt as _};
use sha3::Digest as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use zeroize::Zeroizing;

const SIZES: [usize; 5] = [128, 1 << 10, 16 << 10, 256 << 10, 1 << 20];
const ROUNDS: usize = 41;

/// About as many bytes as a connection writes at once.
const BATCH: usize = 64 * 1024;

/// How long one measurement of one round takes, about.
const SLICE: Duration = Duration::from_millis(4);

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("kernel: {:?}; medians of {ROUNDS} rounds, us\n", Backend::detect());
    println!("frames        floor  (MB/s)   sha3   seal  ratio   open  ratio");
    let frames = SIZES.map(frames);
    println!("\nend to end      TCP  seal+open+TCP  RLPx  ratio  (MB/s)   least  ratio");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (size, frame) in SIZES.into_iter().zip(frames) {
        end_to_end(&runtime, size, &frame);
    }
    handshakes();
}

/// Times of one message, in microseconds, of every round.
struct Frames {
    seal: Vec<f64>,
    open: Vec<f64>,
}

fn frames(size: usize) -> Frames {
    let payload = vec![0x5a; size];
    let count = (BATCH / size).max(1);
    let frame_size = Floor::<sha3::Keccak256>::frame_size(size);

    let mut bare = Floor::new(floor::ours());
    let mut bare_sha3 = Floor::new(sha3::Keccak256::new());
    let mut out = vec![0; frame_size * count];
    let (mut sealing, mut opening) = codecs();
    let (mut wire, mut sealed, mut input) = (BytesMut::new(), BytesMut::new(), BytesMut::new());

    let [mut floor, mut sha3, mut seal, mut open] = [const { Vec::new() }; 4];
    let repeats = repeats(|| bare.frame(&payload, &mut out[..frame_size]), count);
    for _ in 0..ROUNDS {
        floor.push(time(repeats, count, || {
            for frame in out.chunks_exact_mut(frame_size) {
                bare.frame(black_box(&payload), frame);
            }
        }));
        sha3.push(time(repeats, count, || {
            for frame in out.chunks_exact_mut(frame_size) {
                bare_sha3.frame(black_box(&payload), frame);
            }
        }));
        // What is sealed is kept, a batch after the other, to be opened.
        sealed.clear();
        let mut elapsed = Duration::ZERO;
        for _ in 0..repeats {
            wire.clear();
            let start = Instant::now();
            for _ in 0..count {
                sealing.seal(0x10, black_box(&payload), &mut wire).unwrap();
            }
            elapsed += start.elapsed();
            sealed.extend_from_slice(&wire);
        }
        seal.push(micros(elapsed, repeats * count));
        let mut elapsed = Duration::ZERO;
        for batch in sealed.chunks_exact(wire.len()) {
            input.clear();
            input.extend_from_slice(batch);
            let start = Instant::now();
            for _ in 0..count {
                black_box(opening.open(&mut input).unwrap().unwrap());
            }
            elapsed += start.elapsed();
        }
        open.push(micros(elapsed, repeats * count));
    }
    let (seal_ratio, open_ratio) = (ratio(&seal, &floor), ratio(&open, &floor));
    println!(
        "{:>8} {:>10.3} {:>8.0} {:>6.2} {:>6.2} {seal_ratio:>6.3} {:>6.2} {open_ratio:>6.3}",
        name(size),
        median(&floor),
        size as f64 / median(&floor),
        median(&sha3),
        median(&seal),
        median(&open),
    );
    Frames { seal, open }
}

fn end_to_end(runtime: &Runtime, size: usize, frames: &Frames) {
    let count = (2 * SLICE.as_micros() as usize / (2 + size / 300)).max(4);
    let frame = Floor::<sha3::Keccak256>::frame_size(size);
    let (mut raw_near, mut raw_far) = runtime.block_on(sockets());
    let (mut near, mut far) = runtime.block_on(connections());
    let payload = Bytes::from(vec![0x5a; size]);
    // As a connection writes: whole frames, until 64 KiB are reached.
    let per_write = BATCH.div_ceil(frame);
    let chunk = vec![0x5a; frame * per_write];
    let mut space = vec![0; BATCH];

    let [mut tcp, mut rlpx] = [const { Vec::new() }; 2];
    for round in 0..=ROUNDS {
        let start = Instant::now();
        runtime.block_on(async {
            let writing = async {
                let mut left = count * frame;
                while left > 0 {
                    let piece = left.min(chunk.len());
                    raw_near.write_all(&chunk[..piece]).await.unwrap();
                    left -= piece;
                }
            };
            let reading = async {
                let mut left = count * frame;
                while left > 0 {
                    left -= raw_far.read(&mut space).await.unwrap();
                }
            };
            tokio::join!(writing, reading);
        });
        let raw = micros(start.elapsed(), count);

        let start = Instant::now();
        runtime.block_on(async {
            let writing = async {
                for _ in 0..count {
                    let payload = payload.clone();
                    near.feed(Message { id: 0x10, payload }).await.unwrap();
                }
                near.flush().await.unwrap();
            };
            let reading = async {
                for _ in 0..count {
                    black_box(far.next().await.unwrap().unwrap());
                }
            };
            tokio::join!(writing, reading);
        });
        let whole = micros(start.elapsed(), count);
        // The first round warms up.
        if round > 0 {
            tcp.push(raw);
            rlpx.push(whole);
        }
    }
    let parts = median(&frames.seal) + median(&frames.open) + median(&tcp);
    let least_parts = least(&frames.seal) + least(&frames.open) + least(&tcp);
    println!(
        "{:>8} {:>10.3} {:>14.2} {:>6.2} {:>6.3} {:>7.0} {:>7.2} {:>6.3}",
        name(size),
        median(&tcp),
        parts,
        median(&rlpx),
        median(&rlpx) / parts,
        size as f64 / median(&rlpx),
        least(&rlpx),
        least(&rlpx) / least_parts,
    );
}

fn handshakes() {
    let (alice, bob) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let mut pair = Vec::new();
    for round in 0..400_u16 {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&round.to_be_bytes());
        let start = Instant::now();
        let mut dialer = Handshake::initiator(&alice, &bob.public_key(), seed);
        let mut listener = Handshake::recipient(&bob, seed);
        let auth = dialer.poll_transmit().unwrap();
        listener = listener.handle_input(&mut BytesMut::from(auth)).unwrap();
        let ack = listener.poll_transmit().unwrap();
        dialer = dialer.handle_input(&mut BytesMut::from(ack)).unwrap();
        black_box((dialer.into_session().unwrap(), listener.into_session().unwrap()));
        pair.push(micros(start.elapsed(), 1));
    }
    let (median, least) = (median(&pair), least(&pair));
    println!("\nhandshake, both sides: {median:.0} (least {least:.0}) us of one core");
}

fn codecs() -> (FrameCodec, FrameCodec) {
    let secrets = Secrets {
        aes: Zeroizing::new([1; 32]),
        mac: Zeroizing::new([2; 32]),
        egress: floor::ours(),
        ingress: floor::ours(),
    };
    let (mut a, mut b) = (FrameCodec::new(&secrets), FrameCodec::new(&secrets));
    a.established(MAX_FRAME_SIZE, false);
    b.established(MAX_FRAME_SIZE, false);
    (a, b)
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn connections() -> (Connection<TcpStream>, Connection<TcpStream>) {
    let (near, far) = sockets().await;
    let (alice, bob) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let (config, remote) = (Config::default(), bob.public_key());
    let (near, far) =
        tokio::join!(connect_tcp(near, &alice, &remote, &config), accept_tcp(far, &bob, &config));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    Pin::new(&mut near).established(false);
    Pin::new(&mut far).established(false);
    (near, far)
}

/// How often to repeat a batch of `count` to fill a slice.
fn repeats(mut work: impl FnMut(), count: usize) -> usize {
    work();
    let start = Instant::now();
    work();
    let batch = start.elapsed().as_nanos() as usize * count;
    (SLICE.as_nanos() as usize / batch.max(1)).max(1)
}

/// The time of one of `count` in a batch, over that many repeats of the batch.
fn time(repeats: usize, count: usize, mut batch: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        batch();
    }
    micros(start.elapsed(), repeats * count)
}

fn micros(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / 1_000.0 / count as f64
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

fn ratio(samples: &[f64], floor: &[f64]) -> f64 {
    let ratios: Vec<_> = samples.iter().zip(floor).map(|(a, b)| a / b).collect();
    median(&ratios)
}

fn name(size: usize) -> String {
    match size {
        size if size >= 1 << 20 => format!("{} MiB", size >> 20),
        size if size >= 1 << 10 => format!("{} KiB", size >> 10),
        size => format!("{size} B"),
    }
}
