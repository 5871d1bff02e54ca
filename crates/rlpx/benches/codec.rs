//! Frames and handshakes under criterion, which keeps a history: for what a change does. What
//! they cost beside the floor is told by the bench `ratios`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

mod floor;

use std::{hint::black_box, time::Duration};

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use devp2p_core::{NodeKey, Rng};
use devp2p_rlpx::{FrameCodec, Handshake, MAX_FRAME_SIZE, Secrets, keccak::Backend};
use floor::Floor;
use sha3::Digest as _;
use zeroize::Zeroizing;

const SIZES: [usize; 5] = [128, 1 << 10, 16 << 10, 256 << 10, 1 << 20];

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for size in SIZES {
        let payload = vec![0x5a; size];
        group.throughput(Throughput::Bytes(size as u64));

        let mut out = vec![0; Floor::<sha3::Keccak256>::frame_size(size)];
        let mut bare = Floor::new(floor::ours());
        let name = format!("floor {}", Backend::detect().name());
        group.bench_with_input(BenchmarkId::new(name, size), &payload, |bencher, payload| {
            bencher.iter(|| bare.frame(black_box(payload), &mut out));
        });
        let mut bare = Floor::new(sha3::Keccak256::new());
        group.bench_with_input(
            BenchmarkId::new("floor sha3", size),
            &payload,
            |bencher, payload| {
                bencher.iter(|| bare.frame(black_box(payload), &mut out));
            },
        );
        for snappy in [false, true] {
            let (mut sealing, mut opening) = codecs(snappy);
            let (plain, mut wire) = (if snappy { " snappy" } else { "" }, BytesMut::new());
            group.bench_with_input(
                BenchmarkId::new(format!("seal and open{plain}"), size),
                &payload,
                |bencher, payload| {
                    bencher.iter(|| {
                        sealing.seal(0x10, black_box(payload), &mut wire).unwrap();
                        opening.open(&mut wire).unwrap()
                    });
                },
            );
        }
    }
}

fn handshakes(criterion: &mut Criterion) {
    let (alice, bob) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    criterion.bench_function("handshake pair", |bencher| {
        bencher.iter_batched(
            || bob.public_key(),
            |remote| {
                let mut dialer = Handshake::initiator(&alice, &remote, Rng::from_seed([7; 32]));
                let mut listener = Handshake::recipient(&bob, Rng::from_seed([8; 32]));
                let auth = dialer.poll_transmit().unwrap();
                listener = listener.handle_input(&mut BytesMut::from(auth)).unwrap();
                let ack = listener.poll_transmit().unwrap();
                dialer = dialer.handle_input(&mut BytesMut::from(ack)).unwrap();
                (dialer.into_session().unwrap(), listener.into_session().unwrap())
            },
            BatchSize::SmallInput,
        );
    });
}

fn codecs(snappy: bool) -> (FrameCodec, FrameCodec) {
    let secrets = Secrets {
        aes: Zeroizing::new([1; 32]),
        mac: Zeroizing::new([2; 32]),
        egress: floor::ours(),
        ingress: floor::ours(),
    };
    let (mut a, mut b) = (FrameCodec::new(&secrets), FrameCodec::new(&secrets));
    a.established(MAX_FRAME_SIZE, snappy);
    b.established(MAX_FRAME_SIZE, snappy);
    (a, b)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = frames, handshakes
}
criterion_main!(benches);
