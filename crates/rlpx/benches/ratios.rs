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
use devp2p_core::{Connection as _, Message, NodeKey, Rng};
use devp2p_rlpx::{
    Config, Connection, FrameCodec, Handshake, MAX_FRAME_SIZE, Secrets, accept_tcp, connect_tcp,
    keccak::{Backend, Keccak256},
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
    println!("kernel: {:?}; medians of {ROUNDS} rounds, us a message\n", Backend::detect());
    println!(
        "             floor  MB/s    sha3    seal  ratio    open  ratio     TCP    RLPx  ratio"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for size in SIZES {
        let mut rounds = Rounds::default();
        let (mut frames, mut streams) = (Frames::new(size), runtime.block_on(Streams::new(size)));
        for _ in 0..ROUNDS {
            frames.round(&mut rounds);
            streams.round(&runtime, &mut rounds);
        }
        rounds.print(size);
    }
    handshakes();
    println!("\nRLPx is a message over loopback TCP, its ratio that to seal + open + TCP.");
}

/// Times of one message in microseconds, a value for every round.
#[derive(Default)]
struct Rounds {
    floor: Vec<f64>,
    sha3: Vec<f64>,
    seal: Vec<f64>,
    open: Vec<f64>,
    tcp: Vec<f64>,
    rlpx: Vec<f64>,
}

impl Rounds {
    fn print(&self, size: usize) {
        let parts: Vec<_> =
            (0..self.rlpx.len()).map(|at| self.seal[at] + self.open[at] + self.tcp[at]).collect();
        println!(
            "{:>8} {:>9.3} {:>5.0} {:>7.2} {:>7.2} {:>6.3} {:>7.2} {:>6.3} {:>7.2} {:>7.2} {:>6.3}",
            name(size),
            median(&self.floor),
            size as f64 / median(&self.floor),
            median(&self.sha3),
            median(&self.seal),
            ratio(&self.seal, &self.floor),
            median(&self.open),
            ratio(&self.open, &self.floor),
            median(&self.tcp),
            median(&self.rlpx),
            ratio(&self.rlpx, &parts),
        );
    }
}

/// The bare loop, and a codec for each side.
struct Frames {
    payload: Vec<u8>,
    frame_size: usize,
    count: usize,
    repeats: usize,
    bare: Floor<Keccak256>,
    bare_sha3: Floor<sha3::Keccak256>,
    sealing: FrameCodec,
    opening: FrameCodec,
    /// Where the bare loop writes.
    out: Vec<u8>,
    wire: BytesMut,
    /// All batches of a round, kept to be opened.
    sealed: BytesMut,
    input: BytesMut,
}

impl Frames {
    fn new(size: usize) -> Self {
        let frame_size = Floor::<sha3::Keccak256>::frame_size(size);
        let count = (BATCH / size).max(1);
        let (sealing, opening) = codecs();
        // A kernel makes about half a gigabyte a second.
        let repeats = SLICE.as_nanos() as usize / (2 * count * (size + 600));
        Self {
            payload: vec![0x5a; size],
            frame_size,
            count,
            repeats: repeats.max(1),
            bare: Floor::new(floor::ours()),
            bare_sha3: Floor::new(sha3::Keccak256::new()),
            sealing,
            opening,
            out: vec![0; frame_size * count],
            wire: BytesMut::new(),
            sealed: BytesMut::new(),
            input: BytesMut::new(),
        }
    }

    fn round(&mut self, rounds: &mut Rounds) {
        let all = self.repeats * self.count;
        let start = Instant::now();
        for _ in 0..self.repeats {
            for frame in self.out.chunks_exact_mut(self.frame_size) {
                self.bare.frame(black_box(&self.payload), frame);
            }
        }
        rounds.floor.push(micros(start.elapsed(), all));

        let start = Instant::now();
        for _ in 0..self.repeats {
            for frame in self.out.chunks_exact_mut(self.frame_size) {
                self.bare_sha3.frame(black_box(&self.payload), frame);
            }
        }
        rounds.sha3.push(micros(start.elapsed(), all));

        self.sealed.clear();
        let mut elapsed = Duration::ZERO;
        for _ in 0..self.repeats {
            self.wire.clear();
            let start = Instant::now();
            for _ in 0..self.count {
                self.sealing.seal(0x10, black_box(&self.payload), &mut self.wire).unwrap();
            }
            elapsed += start.elapsed();
            self.sealed.extend_from_slice(&self.wire);
        }
        rounds.seal.push(micros(elapsed, all));

        let mut elapsed = Duration::ZERO;
        for batch in self.sealed.chunks_exact(self.wire.len()) {
            self.input.clear();
            self.input.extend_from_slice(batch);
            let start = Instant::now();
            for _ in 0..self.count {
                black_box(self.opening.open(&mut self.input).unwrap().unwrap());
            }
            elapsed += start.elapsed();
        }
        rounds.open.push(micros(elapsed, all));
    }
}

/// Two sockets and two connections over loopback, all on one core.
struct Streams {
    payload: Bytes,
    frame_size: usize,
    count: usize,
    sockets: (TcpStream, TcpStream),
    connections: (Connection<TcpStream>, Connection<TcpStream>),
    /// Whole frames up to 64 KiB or just beyond, as a connection writes them.
    chunk: Vec<u8>,
    space: Vec<u8>,
}

impl Streams {
    async fn new(size: usize) -> Self {
        let frame_size = Floor::<sha3::Keccak256>::frame_size(size);
        Self {
            payload: Bytes::from(vec![0x5a; size]),
            frame_size,
            count: (SLICE.as_nanos() as usize / (2 * (size + 600))).max(4),
            sockets: sockets().await,
            connections: connections().await,
            chunk: vec![0x5a; frame_size * BATCH.div_ceil(frame_size)],
            space: vec![0; BATCH],
        }
    }

    fn round(&mut self, runtime: &Runtime, rounds: &mut Rounds) {
        let (near, far) = &mut self.sockets;
        let total = self.count * self.frame_size;
        let start = Instant::now();
        runtime.block_on(async {
            let writing = async {
                let mut left = total;
                while left > 0 {
                    let piece = left.min(self.chunk.len());
                    near.write_all(&self.chunk[..piece]).await.unwrap();
                    left -= piece;
                }
            };
            let reading = async {
                let mut left = total;
                while left > 0 {
                    left -= far.read(&mut self.space).await.unwrap();
                }
            };
            tokio::join!(writing, reading);
        });
        rounds.tcp.push(micros(start.elapsed(), self.count));

        let (near, far) = &mut self.connections;
        let start = Instant::now();
        runtime.block_on(async {
            let writing = async {
                for _ in 0..self.count {
                    let payload = self.payload.clone();
                    near.feed(Message { id: 0x10, payload }).await.unwrap();
                }
                near.flush().await.unwrap();
            };
            let reading = async {
                for _ in 0..self.count {
                    black_box(far.next().await.unwrap().unwrap());
                }
            };
            tokio::join!(writing, reading);
        });
        rounds.rlpx.push(micros(start.elapsed(), self.count));
    }
}

fn handshakes() {
    let (alice, bob) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let mut pair = Vec::new();
    for round in 0..400_u16 {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&round.to_be_bytes());
        let start = Instant::now();
        let mut dialer = Handshake::initiator(&alice, &bob.public_key(), Rng::from_seed(seed));
        let mut listener = Handshake::recipient(&bob, Rng::from_seed(seed));
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
