//! What a message costs beside what it cannot cost less than, and what a handshake costs beside
//! its curves.
//!
//! The floor of a message is AES-128-GCM with a key that is scheduled, the masking with a key that
//! is not, and the memory that the packet is written to; it looks at nothing. That of a handshake
//! is a signature, a verified signature, that of the record, a fresh key and two multiplications.
//!
//! Criterion keeps the history; first the ratios are measured, in rounds in which every measurement
//! is taken once, so that whatever else the machine does hits all alike.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aes::{
    Aes128Enc,
    cipher::{KeyInit as _, KeyIvInit as _, StreamCipher as _, consts::U12},
};
use aes_gcm::{AeadInOut as _, AesGcm};
use criterion::{BenchmarkId, Criterion, criterion_group};
use devp2p_core::{NodeId, NodeKey, Record, Rng};
use devp2p_discv5::{
    crypto::{SessionKey, SessionSecrets, SharedSecret},
    handshake::{Challenge, Initiator},
    session::Session,
    wire::{Envelope, MAX_MESSAGE_SIZE, Masking, Nonce, Packet, ProtocolId, WhoAreYou},
};

/// A PING, a TALKREQ of 100 bytes, and the largest message.
const SIZES: [usize; 3] = [8, 120, MAX_MESSAGE_SIZE];
/// IV, static header and the sender's id.
const HEADER: usize = 71;
const TAG: usize = 16;
const KEY: [u8; 16] = [0x5a; 16];
const ROUNDS: usize = 201;

/// How long one measurement of one round takes, about.
const SLICE: Duration = Duration::from_micros(1_500);

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    ratios();
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// Two nodes, and a session between them.
struct Scene {
    alice: NodeKey,
    bob: NodeKey,
    /// Hashes, made once.
    alice_id: NodeId,
    bob_id: NodeId,
    record: Record,
    to_bob: Masking,
    session: Session,
    key: SessionKey,
    rng: Rng,
}

impl Scene {
    fn new() -> Self {
        let [alice, bob] = [1, 2].map(|byte| NodeKey::from_bytes(&[byte; 32]).unwrap());
        let nonce = Nonce::new([3; 12]);
        let whoareyou = WhoAreYou::new(ProtocolId::default(), [4; 16], nonce, [5; 16], 0);
        let shared = SharedSecret::between(&alice, &bob.public_key());
        let secrets = SessionSecrets::derive(&shared, &whoareyou, &alice.id(), &bob.id());
        Self {
            record: Record::builder().seq(1).sign(&alice).unwrap(),
            to_bob: Masking::new(bob.id(), ProtocolId::default()),
            session: Session::of_initiator(&secrets),
            key: SessionKey::new(&KEY),
            rng: Rng::from_seed([6; 32]),
            alice_id: alice.id(),
            bob_id: bob.id(),
            alice,
            bob,
        }
    }

    /// As a node that keeps no masking of others writes it.
    fn seal(&mut self, message: &[u8]) -> bytes::Bytes {
        let masking = Masking::new(self.bob_id, ProtocolId::default());
        self.session.seal(&masking, self.alice_id, message, &mut self.rng).unwrap()
    }

    fn open(&self, datagram: &[u8]) -> bytes::Bytes {
        let Ok(Packet::Ordinary(packet)) = self.to_bob.decode(datagram) else { unreachable!() };
        self.key.open(packet.nonce(), packet.message_ad(), packet.message()).unwrap()
    }

    /// From the packet that cannot be opened to the session of both.
    fn handshake(&mut self) -> (Session, Session) {
        let (protocol, nonce) = (ProtocolId::default(), Nonce::random(&mut self.rng));
        let rng = &mut self.rng;
        let challenge = Challenge::new(protocol, self.alice_id, nonce, None, rng);
        let (record, bob) = (&self.record, self.bob.public_key());
        let initiator = Initiator::new(&self.alice, record, bob, challenge.whoareyou(), rng);
        let (datagram, unconfirmed) = initiator.seal(&self.to_bob, b"hello", rng).unwrap();
        let Ok(Packet::Handshake(packet)) = self.to_bob.decode(&datagram) else { unreachable!() };
        let mut accepted = challenge.accept(&self.bob, &packet).unwrap();
        let to_alice = Masking::new(self.alice_id, protocol);
        let answer = accepted.session.seal(&to_alice, self.bob_id, b"answer", rng).unwrap();
        let Ok(Packet::Ordinary(packet)) = to_alice.decode(&answer) else { unreachable!() };
        (unconfirmed.confirm(&packet).unwrap().0, accepted.session)
    }

    /// What of a handshake no implementation can leave out.
    fn handshake_floor(&mut self) -> [u8; 64] {
        let ephemeral = self.alice.ephemeral(&mut self.rng);
        let shared = ephemeral.ecdh_point(&self.bob.public_key());
        let digest = *shared.first_chunk().unwrap();
        let signature = self.alice.sign(&digest);
        self.alice.public_key().verify(&digest, &signature).unwrap();
        // The record's.
        self.alice.public_key().verify(&digest, &signature).unwrap();
        black_box(self.bob.ecdh_point(&ephemeral.public_key()));
        signature
    }
}

/// The cipher and the masking, with nothing around them.
struct Floor {
    cipher: AesGcm<Aes128Enc, U12>,
    masking_key: [u8; 16],
}

impl Floor {
    fn new(destination: NodeId) -> Self {
        let masking_key = *destination.as_bytes().first_chunk().unwrap();
        Self { cipher: AesGcm::new(&KEY.into()), masking_key }
    }

    fn mask(&self, header: &mut [u8]) {
        let (iv, header) = header.split_at_mut(16);
        let iv: &[u8; 16] = (&*iv).try_into().unwrap();
        let mut cipher = ctr::Ctr128BE::<Aes128Enc>::new(&self.masking_key.into(), iv.into());
        cipher.apply_keystream(header);
    }

    fn seal(&self, header: &[u8; HEADER], message: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + message.len() + TAG);
        packet.extend_from_slice(header);
        packet.extend_from_slice(message);
        let (header, message) = packet.split_at_mut(HEADER);
        let nonce: [u8; 12] = header[25..37].try_into().unwrap();
        let tag = self.cipher.encrypt_inout_detached(&nonce.into(), header, message.into());
        self.mask(header);
        packet.extend_from_slice(&tag.unwrap());
        packet
    }

    fn open(&self, packet: &[u8]) -> Vec<u8> {
        let mut header: [u8; HEADER] = *packet.first_chunk().unwrap();
        self.mask(&mut header);
        let (sealed, tag) = packet[HEADER..].split_last_chunk::<TAG>().unwrap();
        let mut message = sealed.to_vec();
        let nonce: [u8; 12] = header[25..37].try_into().unwrap();
        let (nonce, buffer) = (nonce.into(), message.as_mut_slice().into());
        self.cipher.decrypt_inout_detached(&nonce, &header, buffer, tag.into()).unwrap();
        message
    }
}

/// A packet under [`KEY`].
fn packet(scene: &Scene, message: &[u8]) -> bytes::Bytes {
    let src_id = scene.alice_id;
    let envelope = Envelope { masking_iv: [7; 16], nonce: Nonce::new([8; 12]), src_id };
    scene.to_bob.seal_ordinary(&envelope, &scene.key, message).unwrap()
}

fn ratios() {
    println!("medians of {ROUNDS} rounds, ns\n");
    println!("                    floor    seal  ratio    floor    open  ratio   both");
    let mut scene = Scene::new();
    let floor = Floor::new(scene.bob_id);
    for size in SIZES {
        let message = vec![9; size];
        let datagram = packet(&scene, &message);
        let mut header = *datagram.first_chunk().unwrap();
        floor.mask(&mut header);
        assert_eq!(floor.seal(&header, &message), datagram, "the floor does the same work");
        assert_eq!(floor.open(&datagram), scene.open(&datagram));
        let mut rounds: [Vec<f64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(time(|| floor.seal(black_box(&header), black_box(&message))));
            rounds[1].push(time(|| scene.seal(black_box(&message))));
            rounds[2].push(time(|| floor.open(black_box(&datagram))));
            rounds[3].push(time(|| scene.open(black_box(&datagram))));
        }
        let [seal_floor, seal, open_floor, open] = &rounds;
        let both = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
        println!(
            "message of {size:>4} B {:>8.0} {:>7.0} {:>6.3} {:>8.0} {:>7.0} {:>6.3} {:>6.3}",
            median(seal_floor),
            median(seal),
            ratio(seal, seal_floor),
            median(open_floor),
            median(open),
            ratio(open, open_floor),
            ratio(&both(seal, open), &both(seal_floor, open_floor)),
        );
    }
    let (mut random, mut masking) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        random.push(time(|| {
            Envelope::random(
                NodeId::new([1; 32]),
                Nonce::counted(7, &mut scene.rng),
                &mut scene.rng,
            )
        }));
        masking.push(time(|| Masking::new(black_box(scene.bob_id), ProtocolId::default())));
    }
    println!("of a seal: random bytes {:.0}, masking key {:.0}", median(&random), median(&masking));
    let mut rounds: [Vec<f64>; 2] = Default::default();
    // One of each in turn: they are long enough for the clock, and short for whatever interrupts.
    for _ in 0..ROUNDS * 5 {
        rounds[0].push(once(|| scene.handshake_floor()));
        rounds[1].push(once(|| scene.handshake()));
    }
    let [floor, handshake] = &rounds;
    println!(
        "handshake, both   {:>8.0} {:>7.0} {:>6.3}",
        median(floor),
        median(handshake),
        ratio(handshake, floor)
    );
    println!(
        "\nbytes: session {} and its keys {}, masking {}, challenge {}\n",
        size_of::<Session>(),
        2 * size_of::<SessionKey>(),
        size_of::<Masking>(),
        size_of::<Challenge>(),
    );
}

fn messages(criterion: &mut Criterion) {
    let mut scene = Scene::new();
    let mut group = criterion.benchmark_group("message");
    for size in SIZES {
        let message = vec![9; size];
        let datagram = packet(&scene, &message);
        group.bench_function(BenchmarkId::new("seal", size), |bencher| {
            bencher.iter(|| scene.seal(black_box(&message)));
        });
        group.bench_function(BenchmarkId::new("peek", size), |bencher| {
            bencher.iter(|| scene.to_bob.peek(black_box(&datagram)).unwrap().nonce());
        });
        group.bench_function(BenchmarkId::new("open", size), |bencher| {
            bencher.iter(|| scene.open(black_box(&datagram)));
        });
    }
}

fn handshakes(criterion: &mut Criterion) {
    let mut scene = Scene::new();
    criterion.bench_function("handshake", |bencher| bencher.iter(|| scene.handshake()));
}

/// Nanoseconds that `f` takes, over as many calls as fill a [`SLICE`].
fn time<T>(mut f: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < SLICE {
        // So that the clock costs nothing.
        for _ in 0..8 {
            black_box(f());
        }
        count += 8;
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

/// Nanoseconds that one call of `f` takes.
fn once<T>(f: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(f());
    start.elapsed().as_nanos() as f64
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn ratio(samples: &[f64], floor: &[f64]) -> f64 {
    let ratios: Vec<_> = samples.iter().zip(floor).map(|(a, b)| a / b).collect();
    median(&ratios)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = messages, handshakes
}
