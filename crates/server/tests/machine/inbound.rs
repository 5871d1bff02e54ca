//! Slots for inbound connections, and the limits by address.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use devp2p_core::LanPolicy;
use devp2p_peer::{Direction, DisconnectReason as Reason};
use devp2p_server::{SetupFailure, SetupId, Unwelcome};

use super::world::{World, id, key};

const SECOND: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn no_more_slots_than_max_pending_peers() {
    let mut world = World::small();
    let setups: Vec<SetupId> = (0..3).map(|_| world.core.take_slot().unwrap()).collect();
    assert!(!world.core.has_free_slot());
    assert_eq!(world.core.take_slot(), None);
    assert_eq!(world.core.begin_setup(Direction::Inbound, None), None, "handed-in streams count");
    world.dial(1);
    for peer in 2..5 {
        assert!(world.core.begin_setup(Direction::Outbound, Some(id(peer))).is_some());
    }
    let handed_in = world.core.begin_setup(Direction::Outbound, Some(id(5)));
    assert_eq!(handed_in, None, "streams that we opened have slots of their own, dials need none");
    world.fail(setups[0], SetupFailure::Refused);
    assert!(world.core.has_free_slot());
    assert_eq!(world.core.pending(), 6);
}

#[test]
fn a_slot_comes_back_on_every_path() {
    let failures = [
        SetupFailure::SecureHandshake,
        SetupFailure::Hello,
        SetupFailure::RefusedByRemote(Reason::TooManyPeers),
        SetupFailure::Deadline,
        SetupFailure::Stopped,
    ];
    type Path = Box<dyn Fn(&mut World)>;
    let mut paths: Vec<(String, Path)> = vec![
        (
            "unwelcome".into(),
            Box::new(|world| {
                let setup = world.accept(Ipv4Addr::new(8, 8, 8, 8)).unwrap();
                world.accept(Ipv4Addr::new(8, 8, 8, 8)).unwrap_err();
                world.fail(setup, SetupFailure::Hello);
            }),
        ),
        ("a peer".into(), Box::new(|world| world.admit(1, Direction::Inbound))),
        (
            "refused at the first checkpoint".into(),
            Box::new(|world| {
                let setup = world.inbound();
                world.secure(setup, super::world::OWN).unwrap_err();
                world.fail(setup, SetupFailure::Refused);
            }),
        ),
        (
            "refused at the second checkpoint".into(),
            Box::new(|world| {
                let setup = world.inbound();
                world.secure(setup, 1).unwrap();
                world.greet_sharing(setup, 1, &[]).unwrap_err();
                world.fail(setup, SetupFailure::Refused);
            }),
        ),
        (
            "ended twice".into(),
            Box::new(|world| {
                let (setup, other) = (world.inbound(), world.inbound());
                world.fail(setup, SetupFailure::Hello);
                world.fail(setup, SetupFailure::Hello);
                assert_eq!(world.core.pending(), 1, "the other's slot is its own");
                world.fail(other, SetupFailure::Hello);
            }),
        ),
    ];
    for failure in failures {
        for secured in [false, true] {
            paths.push((
                format!("{failure:?}, secured: {secured}"),
                Box::new(move |world| {
                    let setup = world.inbound();
                    if secured {
                        world.secure(setup, 1).unwrap();
                    }
                    world.fail(setup, failure);
                }),
            ));
        }
    }
    for (path, walk) in paths {
        let mut world = World::small();
        walk(&mut world);
        assert_eq!(world.core.pending(), 0, "{path}");
        let all = (0..3).filter_map(|_| world.core.take_slot()).count();
        assert_eq!((all, world.core.take_slot()), (3, None), "{path}");
    }
}

#[test]
fn what_happened_is_counted() {
    let mut world = World::small();
    let setup = world.inbound();
    world.fail(setup, SetupFailure::Hello);
    let setup = world.inbound();
    world.secure(setup, super::world::OWN).unwrap_err();
    world.fail(setup, SetupFailure::Refused);
    world.core.handle_accept_error();
    world.accept(Ipv4Addr::new(8, 8, 8, 8)).unwrap();
    world.accept(Ipv4Addr::new(8, 8, 8, 8)).unwrap_err();
    let counters = world.core.counters();
    assert_eq!((counters.accepted, counters.accept_errors), (3, 1));
    assert_eq!(counters.failed[&SetupFailure::Hello], 1);
    assert_eq!(counters.failed[&SetupFailure::Refused], 2);
    assert_eq!(counters.refused[&Reason::SelfConnect], 1);
    assert_eq!(counters.unwelcome[&Unwelcome::TooManyAttempts], 1);
}

/// A machine with many slots.
fn open() -> World {
    World::new(|config| config.max_pending_peers = 1_000)
}

#[test]
fn an_address_may_connect_once_in_30_s() {
    let mut world = open();
    let address = ip("8.8.8.8");
    for _ in 0..3 {
        assert!(world.accept(address).is_ok());
        for _ in 0..29 {
            world.wait(SECOND);
            assert_eq!(world.accept(address), Err(Unwelcome::TooManyAttempts));
        }
        world.wait(SECOND);
    }
    assert!(world.accept(ip("8.8.8.9")).is_ok(), "another address");
    assert_eq!(world.accept(ip("::ffff:8.8.8.9")), Err(Unwelcome::TooManyAttempts), "the same");
}

#[test]
fn an_ipv6_subscriber_is_a_64() {
    let mut world = open();
    assert!(world.accept(ip("2a00:1:2:3::1")).is_ok());
    for host in ["2a00:1:2:3::2", "2a00:1:2:3:ffff::", "2a00:1:2:3::1"] {
        assert_eq!(world.accept(ip(host)), Err(Unwelcome::TooManyAttempts), "{host}");
    }
    assert!(world.accept(ip("2a00:1:2:4::1")).is_ok(), "the next /64");
}

#[test]
fn a_prefix_may_begin_8_set_ups_a_second() {
    let v4 = |prefix: u8, host: u8| IpAddr::from(Ipv4Addr::new(8, 8, prefix, host));
    let v6 = |prefix: u8, host: u8| {
        IpAddr::from(Ipv6Addr::new(0x2a00, 1, prefix.into(), host.into(), 0, 0, 0, 1))
    };
    let makers: [&dyn Fn(u8, u8) -> IpAddr; 2] = [&v4, &v6];
    for make in makers {
        let mut world = open();
        for round in 0..4 {
            let hosts = (0..50).map(|host| make(1, round * 50 + host));
            let verdicts: Vec<_> = hosts.map(|host| world.accept(host)).collect();
            assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 8);
            assert_eq!(verdicts[8], Err(Unwelcome::TooManyFromPrefix));
            assert!(world.accept(make(2 + round, 1)).is_ok(), "the neighbours are not concerned");
            world.wait(SECOND);
        }
    }
}

#[test]
fn one_address_does_not_use_up_the_share_of_its_prefix() {
    let mut world = open();
    for _ in 0..100 {
        let _ = world.accept(ip("8.8.8.8"));
    }
    for host in 1..8 {
        assert!(world.accept(Ipv4Addr::new(8, 8, 8, host)).is_ok(), "its neighbour {host}");
    }
}

#[test]
fn one_prefix_does_not_fill_the_table_for_strangers() {
    let mut world = open();
    let addresses = (0..10_000_u32).map(|n| ip(&format!("2a00:1:1:{n:x}::1")));
    let passed = addresses.filter(|ip| world.accept(*ip).is_ok()).count();
    assert_eq!(passed, 8);
    for n in 0..500_u32 {
        let stranger = ip(&format!("2a00:2:{n:x}::1"));
        assert!(world.accept(stranger).is_ok(), "{stranger}");
    }
}

#[test]
fn an_address_that_its_neighbours_crowded_out_may_come_back_at_once() {
    let mut world = open();
    for last in 1..=8 {
        assert!(world.accept(ip(&format!("8.8.4.{last}"))).is_ok());
    }
    let honest = ip("8.8.4.99");
    for _ in 0..100 {
        assert_eq!(world.accept(honest), Err(Unwelcome::TooManyFromPrefix));
    }
    world.wait(SECOND);
    assert!(world.accept(honest).is_ok());
    assert_eq!(world.accept(honest), Err(Unwelcome::TooManyAttempts));
}

#[test]
fn private_addresses_are_exempt_by_default_and_not_by_policy() {
    let own = ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"];
    let mut exempt = open();
    let mut limited = World::new(|config| config.inbound.lan_policy = LanPolicy::Limit);
    for address in own.map(ip) {
        for _ in 0..20 {
            assert!(exempt.accept(address).is_ok(), "{address}");
        }
        assert!(limited.accept(address).is_ok(), "{address}");
        assert_eq!(limited.accept(address), Err(Unwelcome::TooManyAttempts), "{address}");
    }
}

#[test]
fn limits_by_address_can_be_changed() {
    let mut world = World::new(|config| {
        config.max_pending_peers = 1_000;
        config.inbound.per_address = Duration::ZERO;
        config.inbound.per_prefix = 20;
    });
    let accepted = (0..50).filter(|_| world.accept(ip("8.8.8.8")).is_ok()).count();
    assert_eq!(accepted, 20);
}

#[test]
fn net_restrict_comes_first_and_binds_private_addresses_too() {
    let mut world = World::new(|config| {
        config.inbound.net_restrict = Some("8.8.0.0/16,fd00::/8".parse().unwrap())
    });
    for stranger in ["9.9.9.9", "10.0.0.1", "127.0.0.1", "2a00::1", "::ffff:9.9.9.9"] {
        for _ in 0..2 {
            assert_eq!(world.accept(ip(stranger)), Err(Unwelcome::NetRestrict), "{stranger}");
        }
    }
    for friend in ["8.8.4.4", "fd00::1", "::ffff:8.8.4.5"] {
        assert!(world.accept(ip(friend)).is_ok(), "{friend}");
    }
    assert_eq!(world.accept(ip("8.8.4.4")), Err(Unwelcome::TooManyAttempts), "not exempt by it");
}

#[test]
fn streams_without_an_address_are_not_checked_by_it() {
    let mut world = open();
    for _ in 0..20 {
        let setup = world.core.take_slot().unwrap();
        assert_eq!(world.core.handle_accepted(world.now, setup, None), Ok(()));
    }
    let setup = world.core.take_slot().unwrap();
    world.core.stop(world.now);
    let verdict = world.core.handle_accepted(world.now, setup, None);
    assert_eq!(verdict, Err(Unwelcome::Stopped));
}

#[test]
fn a_set_up_without_a_slot_is_over() {
    let mut world = open();
    let setup = world.inbound();
    world.fail(setup, SetupFailure::Deadline);
    assert_eq!(world.core.handle_secured(world.now, setup, key(1)), Err(Reason::Quitting));
    assert_eq!(world.greet(setup, 1), Err(Reason::Quitting));
    assert_eq!(world.core.peers().len(), 0);
}
