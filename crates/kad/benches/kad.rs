//! What the table and a lookup cost beside the messages that they save.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench; its clock starts at any instant"
)]

#[path = "../tests/kad/network.rs"]
mod network;

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use devp2p_kad::{Config, Contact, Distance, Group, Id, Lookup, LookupConfig, Table};

use crate::network::Network;

const OWN: Id = Id::new([0x5a; 32]);

#[derive(Clone)]
struct Peer(u32);

impl Contact for Peer {
    fn group(&self) -> Option<Group> {
        Some(Group::new(self.0.into()))
    }

    fn same_endpoint(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The `number`th of many ids that are spread evenly, in no order.
fn id(number: u64) -> Id {
    let mut bytes = [0; 32];
    for (word, bytes) in (number * 4..).zip(bytes.chunks_exact_mut(8)) {
        let mut z = word.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
    }
    Id::new(bytes)
}

/// All places and all replacements are taken, each by a group of its own.
fn full_table(now: Instant) -> Table<Peer> {
    let mut table = Table::new(Config::default(), OWN);
    for distance in 240..=256_u16 {
        for number in 0..26_u16 {
            let mut bytes = [0; 32];
            let bit = usize::from(256 - distance);
            bytes[bit / 8] = 0x80 >> (bit % 8);
            bytes[30..].copy_from_slice(&number.to_be_bytes());
            let peer = Peer(u32::from(distance) << 16 | u32::from(number));
            let _ = table.verified(now, OWN.at(&Distance::new(bytes)), peer);
        }
    }
    while table.poll_change().is_some() {}
    table
}

fn table(c: &mut Criterion) {
    let now = Instant::now();
    let full = full_table(now);
    let strangers: Vec<_> = (0..10_000).map(id).collect();
    let mut group = c.benchmark_group("table");
    group.bench_function("insert 10,000 verified", |b| {
        b.iter_batched(
            || Table::new(Config::default(), OWN),
            |mut table| {
                for (number, id) in (0..).zip(&strangers) {
                    let _ = table.verified(now, *id, Peer(number));
                    while table.poll_change().is_some() {}
                }
                table
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("hearsay, full table", |b| {
        let mut table = full.clone();
        let mut number = 0;
        b.iter(|| {
            number = (number + 1) % 10_000;
            let _ = table.add(now, strangers[number], Peer(0));
            while table.poll_change().is_some() {}
        });
    });
    group.bench_function("closest 16, full table", |b| {
        let mut number = 0;
        b.iter(|| {
            number = (number + 1) % 10_000;
            black_box(full.closest(&strangers[number], 16));
        });
    });
    group.bench_function("check passed, full table", |b| {
        let mut table = full.clone();
        b.iter(|| {
            let check = loop {
                let now = table.poll_timeout().expect("something to check");
                if let Some(check) = table.poll_check(now, 1 << 63 | 1 << 31) {
                    break check;
                }
            };
            table.check_passed(now, check);
        });
    });
    group.finish();
}

fn lookup(c: &mut Criterion) {
    let network = Network::new((0..10_000).map(id));
    let (own, target) = (network.ids()[0], id(1 << 40));
    let search = |answers: &BTreeMap<Id, Vec<Id>>| {
        let start = answers[&own].iter().map(|id| (*id, ()));
        let mut lookup = Lookup::new(LookupConfig::default(), own, target, start);
        while let Some((asked, ())) = lookup.poll_request() {
            let Some(named) = answers.get(&asked) else { return Err(asked) };
            lookup.handle_nodes(&asked, named.iter().map(|id| (*id, ())));
            lookup.handle_answered(&asked);
            while lookup.poll_result().is_some() {}
        }
        Ok(lookup)
    };
    // What the network would answer is worked out beforehand.
    let mut answers = BTreeMap::from([(own, network.named(own, target))]);
    while let Err(asked) = search(&answers) {
        answers.insert(asked, network.named(asked, target));
    }
    let found = search(&answers).expect("all answers are known");
    assert!(found.closest().map(|(id, ())| id).eq(network.nearest(target)));
    c.bench_function("lookup among 10,000 nodes", |b| {
        b.iter(|| search(black_box(&answers)));
    });
}

criterion_group!(benches, table, lookup);
criterion_main!(benches);
