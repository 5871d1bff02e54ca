use devp2p_simnet::{Link, World};

use crate::support::{Probe, address, ms, secs, send, world};

#[test]
fn timers_fire_at_their_deadline_and_in_order() {
    let (mut world, ids) = world(Link::default(), 50);
    let start = world.now();
    let mut expected = Vec::new();
    for &id in &ids {
        let mut timers: Vec<_> = (0..20).map(|_| world.rng().duration(secs(10))).collect();
        timers.sort_unstable();
        world.with(id, |host, now| host.timers.extend(timers.iter().map(|&after| now + after)));
        expected.push(timers);
    }
    world.run_for(secs(10));
    for (&id, expected) in ids.iter().zip(expected) {
        let woken: Vec<_> = world.host(id).woken.iter().map(|&at| at - start).collect();
        assert_eq!(woken, expected);
    }
}

#[test]
fn a_timer_can_be_moved_and_taken_back() {
    let (mut world, ids) = world(Link::default(), 3);
    let start = world.now();
    for &id in &ids {
        world.with(id, |host, now| host.timers.push_back(now + secs(5)));
    }
    world.run_for(secs(1));
    world.with(ids[0], |host, _| host.timers[0] = start + secs(2));
    world.with(ids[1], |host, _| host.timers[0] = start + secs(8));
    world.with(ids[2], |host, _| host.timers.clear());
    world.run_for(secs(10));
    assert_eq!(world.host(ids[0]).woken, [start + secs(2)]);
    assert_eq!(world.host(ids[1]).woken, [start + secs(8)]);
    assert_eq!(world.host(ids[2]).woken, []);
}

#[test]
fn a_deadline_that_has_passed_is_now() {
    let (mut world, ids) = world(Link::default(), 1);
    let start = world.now();
    world.run_for(secs(5));
    world.with(ids[0], |host, _| host.timers.extend([start, start + secs(9)]));
    world.run_for(secs(10));
    assert_eq!(world.host(ids[0]).woken, [start + secs(5), start + secs(9)]);
}

#[test]
fn a_timeout_is_before_the_datagram_of_its_instant() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    world.with(ids[1], |host, now| host.timers.push_back(now + ms(40)));
    send(&mut world, ids[0], address(1), 1);
    assert!(world.step());
    assert_eq!((world.host(ids[1]).woken.len(), world.host(ids[1]).received.len()), (1, 0));
    assert!(world.step());
    assert_eq!(world.host(ids[1]).received.len(), 1);
    assert_eq!(world.elapsed(), ms(40));
    assert!(!world.step(), "nothing will happen any more");
}

#[test]
fn time_passes_without_events() {
    let mut world = World::<Probe>::new(7, Link::default());
    let start = world.now();
    world.run_for(secs(3_600));
    assert_eq!((world.elapsed(), world.now() - start), (secs(3_600), secs(3_600)));
}

#[test]
fn run_until_stops_at_the_condition_or_the_limit() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    send(&mut world, ids[0], address(1), 1);
    let came = |world: &World<Probe>| !world.host(ids[1]).received.is_empty();
    assert_eq!(world.run_until(ms(30), ms(20), came), None);
    assert_eq!(world.elapsed(), ms(30));
    assert_eq!(world.run_until(secs(1), ms(20), came), Some(ms(20)));
    assert_eq!(world.run_until(secs(1), ms(20), came), Some(ms(0)));
    assert_eq!(world.elapsed(), ms(50));
}
