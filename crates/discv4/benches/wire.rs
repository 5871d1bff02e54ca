//! What a packet costs beside what it cannot cost less than: one signature, or the recovery of its
//! signer, and its two Keccak hashes.
//!
//! Every round measures everything once, one after the other, so that whatever else the machine
//! does hits all of them alike; the medians over the rounds are printed, and the medians of the
//! rounds' ratios. Times are of one core.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]

use std::{
    hint::black_box,
    net::IpAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{NodeKey, Record};
use devp2p_discv4::wire::{
    Datagram, Endpoint, EnrRequest, EnrResponse, FindNode, MAX_NEIGHBORS, Neighbor, Neighbors,
    Packet, Ping, Pong, Target, VERSION,
};
use secp256k1::{
    All, Message, PublicKey, Secp256k1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use sha3::{Digest as _, Keccak256};

const SECRET: [u8; 32] = [0x5a; 32];
const ROUNDS: usize = 401;

/// How long one measurement of one round takes, about: a few dozen packets.
const SLICE: Duration = Duration::from_micros(1_500);

/// Hash, signature: what the first hash covers begins after the former, what the second covers
/// after both.
const HASH: usize = 32;
const HEAD: usize = 97;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("medians of {ROUNDS} rounds, us a packet\n");
    println!("                    bytes    floor    seal  ratio    floor    read  ratio");
    let key = NodeKey::from_bytes(&SECRET).unwrap();
    let floor = Floor::new();
    for (name, packet) in packets(&key) {
        let bytes = packet.seal(&key).unwrap().bytes;
        assert_eq!(floor.seal(&bytes), bytes, "the floor does the same work");
        let mut rounds: [Vec<f64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(time(|| floor.seal(&bytes)));
            rounds[1].push(time(|| packet.seal(&key)));
            rounds[2].push(time(|| floor.read(&bytes)));
            rounds[3].push(time(|| read(&key, &bytes)));
        }
        let [seal_floor, seal, read_floor, read] = &rounds;
        println!(
            "{name:<18} {:>6} {:>8.2} {:>7.2} {:>6.3} {:>8.2} {:>7.2} {:>6.3}",
            bytes.len(),
            median(seal_floor),
            median(seal),
            ratio(seal, seal_floor),
            median(read_floor),
            median(read),
            ratio(read, read_floor),
        );
    }
}

fn packets(key: &NodeKey) -> Vec<(&'static str, Packet)> {
    let expiration = 1_800_000_000;
    let endpoint = Endpoint::new("10.1.2.3:30303".parse().unwrap(), 30303);
    let record = Record::builder()
        .seq(1_700_000_000_000)
        .ip([10, 1, 2, 3].into())
        .tcp(30303)
        .udp(30303)
        .entry("eth", vec![0xc7, 0xc6, 0x84, 1, 2, 3, 4, 0x80])
        .sign(key)
        .unwrap();
    let record = Bytes::copy_from_slice(record.as_bytes());
    let neighbors = |ip: fn(u8) -> IpAddr| {
        let node = |number: u8| Neighbor {
            ip: ip(number),
            udp: 30303,
            tcp: 30303,
            public_key: NodeKey::from_bytes(&[number; 32]).unwrap().public_key(),
        };
        let nodes = (1..=u8::try_from(MAX_NEIGHBORS).unwrap()).map(node).collect();
        Packet::Neighbors(Neighbors { nodes, expiration })
    };
    let (from, to, enr_seq) = (endpoint, endpoint, Some(1_700_000_000_000));
    vec![
        ("PING", Packet::Ping(Ping { version: VERSION, from, to, expiration, enr_seq })),
        ("PONG", Packet::Pong(Pong { to, ping_hash: [7; 32], expiration, enr_seq })),
        ("FINDNODE", Packet::FindNode(FindNode { target: Target::new([8; 64]), expiration })),
        ("NEIGHBORS, none", Packet::Neighbors(Neighbors { nodes: vec![], expiration })),
        ("NEIGHBORS, 12 IPv4", neighbors(|number| [10, 1, 2, number].into())),
        (
            "NEIGHBORS, 12 IPv6",
            neighbors(|number| [0x2a00, 1, 2, 3, 4, 5, 6, number.into()].into()),
        ),
        ("ENRREQUEST", Packet::EnrRequest(EnrRequest { expiration })),
        ("ENRRESPONSE", Packet::EnrResponse(EnrResponse { request_hash: [9; 32], record })),
    ]
}

/// Everything that is to be known of a datagram.
fn read(key: &NodeKey, bytes: &[u8]) -> (Packet, devp2p_core::PublicKey) {
    let datagram = Datagram::parse(bytes).unwrap();
    (datagram.packet().unwrap(), datagram.signer(key).unwrap())
}

/// libsecp256k1 and two hashes, with nothing around them: no data is written or looked at.
struct Floor {
    secp: Secp256k1<All>,
    secret: SecretKey,
}

impl Floor {
    fn new() -> Self {
        let secret = SecretKey::from_byte_array(SECRET).unwrap();
        Self { secp: Secp256k1::new(), secret }
    }

    fn seal(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let digest = Keccak256::digest(&out[HEAD..]);
        let message = Message::from_digest(digest.into());
        let (id, compact) =
            self.secp.sign_ecdsa_recoverable(message, &self.secret).serialize_compact();
        out[HASH..HEAD - 1].copy_from_slice(&compact);
        out[HEAD - 1] = u8::try_from(i32::from(id)).unwrap();
        let hash = Keccak256::digest(&out[HASH..]);
        out[..HASH].copy_from_slice(&hash);
        out
    }

    fn read(&self, bytes: &[u8]) -> PublicKey {
        assert_eq!(Keccak256::digest(&bytes[HASH..])[..], bytes[..HASH]);
        let digest = Keccak256::digest(&bytes[HEAD..]);
        let id = RecoveryId::try_from(i32::from(bytes[HEAD - 1])).unwrap();
        let signature = RecoverableSignature::from_compact(&bytes[HASH..HEAD - 1], id).unwrap();
        self.secp.recover_ecdsa(Message::from_digest(digest.into()), &signature).unwrap()
    }
}

/// Microseconds that `f` takes, over as many calls as fill a [`SLICE`].
fn time<T>(f: impl Fn() -> T) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < SLICE {
        // So that the clock costs nothing.
        for _ in 0..8 {
            black_box(f());
        }
        count += 8;
    }
    start.elapsed().as_nanos() as f64 / 1_000.0 / f64::from(count)
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
