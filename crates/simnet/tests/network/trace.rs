use devp2p_simnet::{Host, Link, Transmit, World, assert_repeats, for_seeds};

use crate::support::{Probe, address, ms, secs, send, send_segment, world};

/// Hosts that send back and forth over a rough link, with crashes in between.
fn run(seed: u64) -> u64 {
    let link = Link {
        loss: 0.01,
        reorder: 0.1,
        duplicate: 0.01,
        jitter: ms(20),
        ..Link::with_latency(ms(20))
    };
    let mut world = World::new(seed, link);
    let ids: Vec<_> = (0..20).map(|n| world.spawn(address(n), Probe::echo())).collect();
    for round in 0..50 {
        let [from, to] = [(); 2].map(|()| world.rng().below(20) as u8);
        send(&mut world, ids[usize::from(from)], address(to), round);
        send_segment(&mut world, ids[usize::from(to)], address(from), round);
        world.restart(ids[usize::from(from)], Probe::echo());
        world.run_for(ms(100));
    }
    assert!(world.statistics().delivered > 1_000);
    world.trace()
}

#[test]
fn one_seed_one_trace_and_another_another() {
    let mut traces = Vec::new();
    for_seeds(20, |seed| traces.push(assert_repeats(seed, run)));
    let runs = traces.len();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), runs);
}

/// Everything of a delivery counts: when it was, from and to whom, how, and each byte.
#[test]
fn the_trace_tells_all_deliveries_apart() {
    let delivered = |from: u8, to: u8, wait: u64, transmit: &dyn Fn(Transmit) -> Transmit| {
        let (mut world, ids) = world(Link::with_latency(ms(40)), 4);
        world.run_for(ms(wait));
        world.with(ids[usize::from(from)], |host, _| {
            let datagram = Transmit::datagram(address(to), vec![0; 40].into());
            host.out.push_back(transmit(datagram));
        });
        world.run_for(secs(1));
        assert_eq!(world.statistics().delivered, 1);
        world.trace()
    };
    let with = |bytes: Vec<u8>| move |t: Transmit| Transmit { bytes: bytes.clone().into(), ..t };
    let mut traces = vec![
        delivered(0, 1, 0, &|t| t),
        delivered(0, 2, 0, &|t| t),
        delivered(1, 0, 0, &|t| t),
        delivered(0, 1, 1, &|t| t),
        delivered(0, 1, 0, &|t| t.with_source(address(9))),
        delivered(0, 1, 0, &|t| Transmit::segment(t.to, t.bytes)),
    ];
    traces.extend((0..50).filter(|&n| n != 40).map(|n| delivered(0, 1, 0, &with(vec![0; n]))));
    for at in 0..40 {
        let mut bytes = vec![0; 40];
        bytes[at] = 1;
        traces.push(delivered(0, 1, 0, &with(bytes)));
    }
    assert_eq!(traces[0], delivered(0, 1, 0, &|t| t));
    let all = traces.len();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), all);
}

#[test]
fn the_order_of_deliveries_counts() {
    let run = |numbers: [u32; 2]| {
        let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
        for number in numbers {
            send(&mut world, ids[0], address(1), number);
        }
        world.run_for(secs(1));
        world.trace()
    };
    assert_ne!(run([1, 2]), run([2, 1]));
    assert_ne!(run([1, 1]), run([2, 2]));
}

/// A box of a host is that host.
#[test]
fn boxed_hosts_leave_the_same_trace() {
    let mut boxed: World<Box<dyn Host>> = World::new(7, Link::default());
    let mut plain = World::new(7, Link::default());
    let ping = |now| {
        let mut host = Probe::echo();
        host.out.push_back(Transmit::datagram(address(1), vec![1; 9].into()));
        host.out.push_back(Transmit::segment(address(1), vec![2; 9].into()));
        host.out.push_back(Transmit::segment(address(9), vec![2; 9].into()));
        host.timers.push_back(now);
        host
    };
    let (a, b) = (ping(boxed.now()), ping(plain.now()));
    boxed.spawn(address(1), Box::new(Probe::echo()));
    plain.spawn(address(1), Probe::echo());
    boxed.spawn(address(0), Box::new(a));
    plain.spawn(address(0), b);
    boxed.run_for(secs(10));
    plain.run_for(secs(10));
    assert!(plain.statistics().delivered > 100);
    assert_eq!((boxed.trace(), boxed.statistics()), (plain.trace(), plain.statistics()));
}
