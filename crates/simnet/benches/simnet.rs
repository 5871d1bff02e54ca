//! What the network itself costs: hosts that do next to nothing.
#![expect(clippy::expect_used, reason = "a bench")]

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use devp2p_simnet::{Host, Link, Transmit, World};

/// Answers each datagram, and sets its timer anew each time, as one that waits for an answer does.
struct Echo {
    now: Instant,
    out: Option<Transmit>,
    timer: bool,
}

impl Host for Echo {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        black_box(bytes);
        self.now = now;
        self.out = Some(Transmit::datagram(from, PACKET));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.take()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timer.then(|| self.now + Duration::from_millis(500))
    }
}

/// About the size of most discovery packets.
const PACKET: Bytes = Bytes::from_static(&[7; 200]);

const HOSTS: u32 = 5_000;

/// Every host has four datagrams with others on the way, for ever.
fn world(timer: bool) -> World<Echo> {
    let mut world = World::new(7, Link::default());
    let address = |n: u32| SocketAddr::from(((0x0a00_0000 | n).to_be_bytes(), 30303));
    let now = world.now();
    let ids: Vec<_> =
        (0..HOSTS).map(|n| world.spawn(address(n), Echo { now, out: None, timer })).collect();
    for _ in 0..4 {
        for &id in &ids {
            let to = u32::try_from(world.rng().below(HOSTS.into())).expect("a host");
            world.with(id, |host, _| {
                host.out = Some(Transmit::datagram(address(to), PACKET));
            });
        }
    }
    world
}

fn deliveries(c: &mut Criterion) {
    let mut group = c.benchmark_group("deliveries");
    for (name, timer) in [("5000 hosts", false), ("5000 hosts, a timer set with each", true)] {
        // With one seed it is always the same number.
        let mut counted = world(timer);
        counted.run_for(Duration::from_secs(1));
        let delivered = counted.statistics().delivered;
        group.throughput(Throughput::Elements(delivered)).sample_size(20);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || world(timer),
                |world| {
                    world.run_for(Duration::from_secs(1));
                    assert_eq!(world.statistics().delivered, delivered);
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, deliveries);
criterion_main!(benches);
