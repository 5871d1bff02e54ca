use std::{net::SocketAddr, time::Instant};

use devp2p_simnet::{Delivery, Host, Link, Transmit, World};

use crate::support::{Probe, address, assert_balanced, numbers, secs, send, world};

#[test]
fn an_answer_to_a_spoofed_source_goes_to_its_owner() {
    let mut world = World::new(7, Link::default());
    let liar = world.spawn(address(0), Probe::default());
    let victim = world.spawn(address(1), Probe::default());
    let reflector = world.spawn(address(2), Probe::echo());
    world.with(liar, |host, _| {
        let datagram = Transmit::datagram(address(2), vec![0; 100].into());
        host.out.push_back(datagram.with_source(address(1)));
    });
    world.run_for(secs(1));
    assert_eq!(world.host(reflector).received[0].1.from, address(1));
    assert_eq!(world.host(victim).received[0].1.from, address(2));
    assert!(world.host(liar).received.is_empty());
    // So amplification can be metered.
    let traffic = world.traffic(reflector);
    assert_eq!((traffic.bytes_received, traffic.bytes_sent), (100, 100));
    assert_eq!((world.traffic(liar).sent, world.traffic(victim).received), (1, 1));
}

#[test]
fn an_answer_to_an_invented_source_goes_to_nobody() {
    let mut world = World::new(7, Link::default());
    let liar = world.spawn(address(0), Probe::default());
    world.spawn(address(2), Probe::echo());
    world.with(liar, |host, _| {
        let datagram = Transmit::datagram(address(2), vec![0; 4].into());
        host.out.push_back(datagram.with_source(address(99)));
    });
    world.run_for(secs(1));
    assert_eq!((world.statistics().delivered, world.statistics().lost.nobody), (1, 1));
}

#[test]
fn the_source_is_the_first_of_the_family() {
    let (mut world, ids) = world(Link::default(), 2);
    let v6 = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 30303));
    send(&mut world, ids[0], v6(1), 0);
    world.add_address(ids[0], v6(2));
    world.add_address(ids[0], v6(3));
    world.add_address(ids[1], v6(1));
    send(&mut world, ids[0], v6(1), 1);
    send(&mut world, ids[0], address(1), 2);
    world.run_for(secs(1));
    let mut from: Vec<_> = world.host(ids[1]).received.iter().map(|(_, d)| d.from).collect();
    from.sort_unstable();
    assert_eq!(from, [address(0), v6(2)]);
    assert_eq!(world.statistics().lost.nobody, 1);
    assert_balanced(&world);
}

#[test]
fn an_address_can_be_given_up_and_taken() {
    let (mut world, ids) = world(Link::default(), 3);
    world.remove_address(ids[1], address(1));
    // It is not this one's to give up.
    world.remove_address(ids[0], address(2));
    send(&mut world, ids[0], address(1), 1);
    world.add_address(ids[2], address(1));
    send(&mut world, ids[0], address(1), 2);
    send(&mut world, ids[0], address(2), 3);
    world.run_for(secs(1));
    let mut came = numbers(&world, ids[2]);
    came.sort_unstable();
    assert_eq!(came, [2, 3]);
}

#[test]
#[should_panic(expected = "192.0.2.1:30303 is taken")]
fn two_hosts_cannot_have_one_address() {
    let (mut world, _) = world(Link::default(), 2);
    world.spawn(address(1), Probe::default());
}

/// Notes at which of its addresses each datagram came.
#[derive(Default)]
struct Many {
    meant: Vec<SocketAddr>,
    out: Vec<Transmit>,
}

impl Host for Many {
    fn handle_datagram(&mut self, _now: Instant, _from: SocketAddr, _bytes: &[u8]) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_delivery(&mut self, _now: Instant, delivery: &Delivery) {
        self.meant.push(delivery.to);
    }
}

#[test]
fn a_host_can_see_which_of_its_addresses_was_meant() {
    let mut world = World::new(7, Link::default());
    let host = world.spawn(address(1), Many::default());
    world.add_address(host, address(2));
    let out = vec![Transmit::datagram(address(2), vec![].into())];
    world.spawn(address(0), Many { meant: vec![], out });
    world.run_for(secs(1));
    assert_eq!(world.host(host).meant, [address(2)]);
}

/// In a world of two kinds of hosts.
#[test]
fn port_0_is_every_port_that_no_other_has() {
    let mut world: World<Box<dyn Host>> = World::new(7, Link::default());
    let mut sender = Probe::default();
    for port in [1, 2, 30303] {
        let to = SocketAddr::new(address(1).ip(), port);
        sender.out.push_back(Transmit::datagram(to, vec![0; 4].into()));
    }
    let all = world.spawn(SocketAddr::new(address(1).ip(), 0), Box::new(Many::default()));
    let one = world.spawn(address(1), Box::new(Probe::default()));
    world.spawn(address(0), Box::new(sender));
    world.run_for(secs(1));
    assert_eq!((world.traffic(all).received, world.traffic(one).received), (2, 1));
}
