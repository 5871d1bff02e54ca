use devp2p_simnet::Link;

use crate::support::{address, assert_balanced, ms, numbers, secs, send, world};

const COUNT: u32 = 10_000;

/// Sends numbers, 1 ms apart, and returns those that came, with how long each took.
fn run(link: Link) -> Vec<(u32, u128)> {
    let (mut world, ids) = world(link, 2);
    let start = world.now();
    for number in 0..COUNT {
        send(&mut world, ids[0], address(1), number);
        world.run_for(ms(1));
    }
    world.run_for(secs(10));
    assert_balanced(&world);
    let received = world.host(ids[1]).received.iter().zip(numbers(&world, ids[1]));
    received
        .map(|((at, _), number)| (number, (*at - start).as_micros() - u128::from(number) * 1_000))
        .collect()
}

/// As many as are likely, four standard deviations around the mean.
fn assert_about(count: usize, probability: f64) {
    let mean = f64::from(COUNT) * probability;
    let deviation = (mean * (1.0 - probability)).sqrt();
    let difference = (count as f64 - mean).abs();
    assert!(difference < 4.0 * deviation, "{count} of {COUNT}, not {mean}");
}

#[test]
fn latency_is_exact_and_keeps_the_order() {
    let came = run(Link::with_latency(ms(40)));
    assert!(came.iter().copied().eq((0..COUNT).map(|number| (number, 40_000))));
}

#[test]
fn jitter_is_uniform() {
    let came = run(Link { jitter: ms(20), ..Link::with_latency(ms(40)) });
    assert_eq!(came.len(), COUNT as usize);
    assert!(came.iter().all(|(_, took)| (40_000..60_000).contains(took)));
    for quarter in 0..4 {
        let range = 40_000 + quarter * 5_000..45_000 + quarter * 5_000;
        assert_about(came.iter().filter(|(_, took)| range.contains(took)).count(), 0.25);
    }
}

#[test]
fn loss_is_as_likely_as_it_says() {
    let came = run(Link { loss: 0.1, ..Link::with_latency(ms(40)) });
    assert_about(came.len(), 0.9);
    // Losses are independent: both of two neighbours come with the product.
    let pairs = came.windows(2).filter(|pair| pair[0].0 + 1 == pair[1].0).count();
    assert_about(pairs, 0.81);
    assert!(run(Link { loss: 1.0, ..Link::default() }).is_empty());
}

#[test]
fn reordered_datagrams_are_overtaken() {
    let came = run(Link { reorder: 0.2, ..Link::with_latency(ms(40)) });
    assert_eq!(came.len(), COUNT as usize);
    assert_about(came.iter().filter(|(_, took)| *took == 80_000).count(), 0.2);
    assert_about(came.iter().filter(|(_, took)| *took == 40_000).count(), 0.8);
    assert!(came.windows(2).any(|pair| pair[0].0 > pair[1].0));
}

#[test]
fn duplicates_come_twice() {
    let came = run(Link { duplicate: 0.3, ..Link::with_latency(ms(40)) });
    assert_about(came.len() - COUNT as usize, 0.3);
    let mut numbers: Vec<_> = came.iter().map(|(number, _)| *number).collect();
    numbers.dedup();
    assert!(numbers.into_iter().eq(0..COUNT));
}

#[test]
fn what_is_larger_than_the_mtu_is_dropped() {
    for (mtu, delivered) in [(3, 0), (4, 1), (5, 1)] {
        let (mut world, ids) = world(Link { mtu, ..Link::default() }, 2);
        send(&mut world, ids[0], address(1), 0);
        world.run_for(secs(1));
        let statistics = world.statistics();
        assert_eq!((statistics.delivered, statistics.lost.mtu), (delivered, 1 - delivered));
    }
}

#[test]
fn a_pair_may_have_a_link_of_its_own_in_one_direction() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    world.set_link_between(ids[0], ids[1], Link::with_latency(ms(700)));
    let start = world.now();
    send(&mut world, ids[0], address(1), 1);
    send(&mut world, ids[1], address(0), 2);
    world.run_for(secs(1));
    let took = |n: usize| world.host(ids[n]).received[0].0 - start;
    assert_eq!((took(1), took(0)), (ms(700), ms(40)));
}

#[test]
fn the_common_link_may_change() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    world.set_link(Link { loss: 1.0, ..Link::default() });
    send(&mut world, ids[0], address(1), 1);
    world.run_for(secs(1));
    assert_eq!(world.statistics().lost.link, 1);
}

#[test]
fn a_rule_gives_each_pair_its_link() {
    let (mut world, ids) = world(Link::with_latency(ms(1)), 3);
    world.set_link_rule(|from, to| Link::with_latency(ms((10 * from.index() + to.index()) as u64)));
    world.set_link_between(ids[0], ids[2], Link::with_latency(ms(50)));
    let start = world.now();
    for (from, to) in [(0, 1), (1, 0), (2, 1), (0, 2)] {
        send(&mut world, ids[from], address(to), from as u32);
    }
    world.run_for(secs(1));
    let came = |to: usize| -> Vec<_> {
        let received = world.host(ids[to]).received.iter();
        received.map(|(at, _)| (*at - start).as_millis()).collect()
    };
    assert_eq!([came(0), came(1), came(2)], [vec![10], vec![1, 21], vec![50]]);

    world.set_link(Link::with_latency(ms(7)));
    let start = world.now();
    send(&mut world, ids[2], address(1), 2);
    world.run_for(secs(1));
    let (last, _) = world.host(ids[1]).received.last().unwrap();
    assert_eq!((*last - start).as_millis(), 7);
}
