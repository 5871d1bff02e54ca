use devp2p_simnet::Link;

use crate::support::{Probe, address, assert_balanced, ms, numbers, secs, send, world};

#[test]
fn a_crashed_host_is_gone_with_its_state_and_its_timer() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    let now = world.now();
    world.with(ids[1], |host, _| host.timers.push_back(now + secs(1)));
    send(&mut world, ids[0], address(1), 1);
    world.run_for(ms(50));
    let old = world.crash(ids[1]).unwrap();
    assert_eq!(old.received.len(), 1);
    assert!(world.get(ids[1]).is_none() && world.crash(ids[1]).is_none());
    assert_eq!(world.hosts().count(), 1);

    send(&mut world, ids[0], address(1), 2);
    world.run_for(secs(2));
    assert_eq!(world.statistics().lost.down, 1);

    assert!(world.restart(ids[1], Probe::default()).is_none());
    send(&mut world, ids[0], address(1), 3);
    world.run_for(secs(2));
    assert_eq!(numbers(&world, ids[1]), [3]);
    assert!(world.host(ids[1]).woken.is_empty());
    assert_balanced(&world);
}

#[test]
fn what_is_in_flight_to_it_is_lost_even_if_it_is_back() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    send(&mut world, ids[0], address(1), 1);
    world.run_for(ms(20));
    assert!(world.restart(ids[1], Probe::default()).is_some());
    send(&mut world, ids[0], address(1), 2);
    world.run_for(secs(1));
    assert_eq!(numbers(&world, ids[1]), [2]);
    assert_eq!(world.statistics().lost.down, 1);
}

#[test]
fn what_it_sent_goes_on() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    send(&mut world, ids[0], address(1), 1);
    world.crash(ids[0]);
    world.run_for(secs(1));
    assert_eq!(numbers(&world, ids[1]), [1]);
}

#[test]
fn a_removed_hosts_address_is_free() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    send(&mut world, ids[0], address(1), 1);
    send(&mut world, ids[1], address(0), 2);
    assert!(world.remove(ids[1]).is_some());
    send(&mut world, ids[0], address(1), 3);
    let new = world.spawn(address(1), Probe::default());
    send(&mut world, ids[0], address(1), 4);
    world.run_for(secs(1));
    assert_ne!(new, ids[1]);
    assert_eq!((numbers(&world, new), numbers(&world, ids[0])), (vec![4], vec![2]));
    assert_eq!((world.statistics().lost.down, world.statistics().lost.nobody), (1, 1));
    assert_balanced(&world);
}

#[test]
fn a_restarted_host_sends_at_once() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    let mut host = Probe::default();
    host.out.push_back(devp2p_simnet::Transmit::datagram(address(1), vec![0; 4].into()));
    world.restart(ids[0], host);
    assert_eq!(world.in_flight(), 1);
}
