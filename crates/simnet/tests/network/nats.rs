use std::net::SocketAddr;

use devp2p_simnet::{HostId, Link, Nat, NatId, NatKind, World};

use crate::support::{
    Probe, address, assert_balanced, ms, numbers, secs, send, send_segment, world,
};

const KINDS: [NatKind; 4] =
    [NatKind::FullCone, NatKind::Restricted, NatKind::PortRestricted, NatKind::Symmetric];

const INSIDE: [u8; 4] = [10, 0, 0, 1];

/// Hosts 0 to 2 outside, of which 1 has a second port, and one behind a NAT at 203.0.113.1.
fn natted(kind: NatKind) -> (World<Probe>, Vec<HostId>, HostId, NatId) {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 3);
    world.add_address(ids[1], other_port());
    let nat = world.add_nat(Nat::new(kind, [203, 0, 113, 1].into()));
    let hidden = world.spawn_behind(nat, SocketAddr::from((INSIDE, 30303)), Probe::default());
    (world, ids, hidden, nat)
}

fn other_port() -> SocketAddr {
    SocketAddr::new(address(1).ip(), 9)
}

/// The address under which a host last saw another.
fn seen(world: &World<Probe>, by: HostId) -> SocketAddr {
    world.host(by).received.last().unwrap().1.from
}

/// Whether a datagram from one of the host's addresses to `to` comes to `hidden`.
fn comes(
    world: &mut World<Probe>,
    by: HostId,
    from: SocketAddr,
    to: SocketAddr,
    hidden: HostId,
) -> bool {
    let before = world.host(hidden).received.len();
    world.with(by, |host, _| {
        let probe = devp2p_simnet::Transmit::datagram(to, vec![0; 4].into());
        host.out.push_back(probe.with_source(from));
    });
    world.run_for(secs(1));
    world.host(hidden).received.len() > before
}

#[test]
fn who_may_send_to_a_mapping() {
    // The destination itself, another port of its IP, another IP.
    let table = [
        (NatKind::FullCone, [true, true, true]),
        (NatKind::Restricted, [true, true, false]),
        (NatKind::PortRestricted, [true, false, false]),
        (NatKind::Symmetric, [true, false, false]),
    ];
    for (kind, expected) in table {
        let (mut world, ids, hidden, _) = natted(kind);
        send(&mut world, hidden, address(1), 0);
        world.run_for(secs(1));
        let mapped = seen(&world, ids[1]);
        assert_eq!(mapped.ip(), SocketAddr::from(([203, 0, 113, 1], 0)).ip());
        let got = [(ids[1], address(1)), (ids[1], other_port()), (ids[2], address(2))]
            .map(|(by, from)| comes(&mut world, by, from, mapped, hidden));
        assert_eq!(got, expected, "{kind:?}");
        let refused = got.iter().filter(|came| !**came).count() as u64;
        assert_eq!(world.statistics().lost.nat, refused);
        assert_balanced(&world);
    }
}

#[test]
fn nobody_comes_in_where_nobody_went_out() {
    for kind in KINDS {
        let (mut world, ids, hidden, _) = natted(kind);
        for to in [SocketAddr::from(([203, 0, 113, 1], 30303)), SocketAddr::from((INSIDE, 30303))] {
            assert!(!comes(&mut world, ids[0], address(0), to, hidden));
        }
        assert_eq!((world.statistics().lost.nat, world.statistics().lost.nobody), (1, 1));
    }
}

#[test]
fn only_a_symmetric_nat_has_a_mapping_for_each_destination() {
    for kind in KINDS {
        let (mut world, ids, hidden, _) = natted(kind);
        for n in 0..3 {
            send(&mut world, hidden, address(n), 0);
        }
        world.run_for(secs(1));
        let mut mapped: Vec<_> = ids.iter().map(|&id| seen(&world, id)).collect();
        mapped.sort_unstable();
        mapped.dedup();
        assert_eq!(mapped.len(), if kind == NatKind::Symmetric { 3 } else { 1 }, "{kind:?}");
    }
}

#[test]
fn a_mapping_expires_unless_the_host_sends() {
    for kind in KINDS {
        let (mut world, ids, hidden, _) = natted(kind);
        send(&mut world, hidden, address(1), 0);
        world.run_for(secs(200));
        let mapped = seen(&world, ids[1]);
        // What comes in does not keep it; what goes out does.
        assert!(comes(&mut world, ids[1], address(1), mapped, hidden));
        send(&mut world, hidden, address(1), 0);
        world.run_for(secs(298));
        assert_eq!(seen(&world, ids[1]), mapped);
        assert!(comes(&mut world, ids[1], address(1), mapped, hidden));
        world.run_for(secs(2));
        assert!(!comes(&mut world, ids[1], address(1), mapped, hidden));
        // The next has another port.
        send(&mut world, hidden, address(1), 0);
        world.run_for(secs(1));
        assert_ne!(seen(&world, ids[1]), mapped);
    }
}

#[test]
fn a_permission_expires_alone() {
    let (mut world, ids, hidden, _) = natted(NatKind::Restricted);
    send(&mut world, hidden, address(1), 0);
    world.run_for(secs(200));
    let mapped = seen(&world, ids[1]);
    send(&mut world, hidden, address(2), 0);
    world.run_for(secs(200));
    assert!(comes(&mut world, ids[2], address(2), mapped, hidden));
    assert!(!comes(&mut world, ids[1], address(1), mapped, hidden));
}

#[test]
fn neighbours_reach_one_another_inside_and_at_the_nats_address() {
    let (mut world, ids, hidden, nat) = natted(NatKind::FullCone);
    let inside = SocketAddr::from(([10, 0, 0, 2], 30303));
    let neighbour = world.spawn_behind(nat, inside, Probe::default());
    send(&mut world, hidden, inside, 1);
    world.run_for(secs(1));
    assert_eq!(seen(&world, neighbour), world.address(hidden));
    // Outside its mapping is learned, and serves the neighbour too.
    send(&mut world, hidden, address(0), 2);
    world.run_for(secs(1));
    let mapped = seen(&world, ids[0]);
    send(&mut world, neighbour, mapped, 3);
    world.run_for(secs(1));
    assert_eq!(seen(&world, hidden).ip(), mapped.ip());
    assert_eq!(numbers(&world, hidden), [3]);
}

#[test]
fn two_nats_may_hide_the_same_addresses() {
    let (mut world, ids, hidden, _) = natted(NatKind::FullCone);
    let nat = world.add_nat(Nat::new(NatKind::FullCone, [203, 0, 113, 2].into()));
    let other = world.spawn_behind(nat, world.address(hidden), Probe::default());
    send(&mut world, other, address(0), 1);
    world.run_for(secs(1));
    let mapped = seen(&world, ids[0]);
    send(&mut world, ids[0], mapped, 2);
    world.run_for(secs(1));
    assert_eq!((numbers(&world, other), numbers(&world, hidden)), (vec![2], vec![]));
}

#[test]
fn a_mapping_of_datagrams_is_none_of_segments() {
    let (mut world, ids, hidden, _) = natted(NatKind::FullCone);
    send(&mut world, hidden, address(0), 1);
    world.run_for(secs(1));
    let mapped = seen(&world, ids[0]);
    send_segment(&mut world, ids[0], mapped, 2);
    world.run_for(secs(10));
    assert_eq!(world.host(ids[0]).unreachable.len(), 1);
    assert_eq!(numbers(&world, hidden), []);
    // Answers to its own segments come.
    send_segment(&mut world, hidden, address(0), 3);
    world.run_for(secs(1));
    let mapped = seen(&world, ids[0]);
    send_segment(&mut world, ids[0], mapped, 4);
    world.run_for(secs(1));
    assert_eq!(numbers(&world, hidden), [4]);
}

#[test]
fn a_hole_may_be_open_by_the_time_a_datagram_comes() {
    let (mut world, ids, hidden, _) = natted(NatKind::PortRestricted);
    send(&mut world, hidden, address(0), 1);
    world.run_for(secs(1));
    let mapped = seen(&world, ids[0]);
    send(&mut world, ids[1], mapped, 2);
    world.run_for(ms(20));
    send(&mut world, hidden, address(1), 3);
    world.run_for(secs(1));
    assert_eq!(numbers(&world, hidden), [2]);
}
