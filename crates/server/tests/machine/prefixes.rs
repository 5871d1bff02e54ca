//! How many inbound peers one network may have.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use devp2p_core::{LanPolicy, NodeId, NodeKey, PublicKey};
use devp2p_peer::{Capability, Direction, DisconnectReason as Reason, Hello};
use devp2p_server::{Admission, SetupFailure, SetupId};
use proptest::{collection::vec, prelude::*};

use super::world::{World, id, key};

/// A stream from there, as far as it gets.
fn arrive(world: &mut World, n: u8, from: &str) -> Result<Admission, Reason> {
    let address = from.parse().unwrap();
    let setup = world.accept(address).unwrap();
    pass(world, setup, key(n), Some(address))
}

/// Through both checkpoints, or out again.
fn pass(
    world: &mut World,
    setup: SetupId,
    key: PublicKey,
    from: Option<IpAddr>,
) -> Result<Admission, Reason> {
    let verdict = world.core.handle_secured(world.now, setup, key);
    let verdict = verdict.and_then(|()| greet(world, setup, key, from));
    if verdict.is_err() {
        world.fail(setup, SetupFailure::Refused);
    }
    world.outputs();
    verdict
}

fn greet(
    world: &mut World,
    setup: SetupId,
    key: PublicKey,
    from: Option<IpAddr>,
) -> Result<Admission, Reason> {
    let shared = [Capability::new("test", 1)];
    let hello = Hello::new("a node", shared.to_vec(), key);
    let remote = from.map(|ip| SocketAddr::new(ip, 40_000));
    world.core.handle_hello(world.now, setup, &hello, &shared, (None, remote))
}

/// A machine that lets everybody in as often as he likes.
fn open() -> World {
    World::new(|config| config.inbound.per_address = Duration::ZERO)
}

#[test]
fn ten_thousand_ids_of_one_network_get_two_places_in_an_hour() {
    let mut world = World::new(|_| {});
    let mut admitted = 0;
    for n in 0..10_000_u16 {
        world.wait(Duration::from_millis(360));
        let mut secret = [1; 32];
        secret[..2].copy_from_slice(&n.to_be_bytes());
        let key = NodeKey::from_bytes(&secret).unwrap().public_key();
        let address = IpAddr::from([8, 8, 8, n.to_be_bytes()[1]]);
        let setup = world.accept(address).unwrap();
        match pass(&mut world, setup, key, Some(address)) {
            Ok(_) => admitted += 1,
            Err(reason) => assert_eq!(reason, Reason::TooManyPeers),
        }
    }
    assert_eq!((admitted, world.core.peers().len(), world.core.pending()), (2, 2, 0));
    assert_eq!(world.core.counters().prefix_full, 9_998);
    for n in 0..32 {
        let verdict = arrive(&mut world, n, &format!("9.9.{n}.1"));
        assert_eq!(verdict, Ok(Admission::Added(id(n))), "all other inbound slots are free");
    }
    assert_eq!(arrive(&mut world, 32, "9.9.32.1"), Err(Reason::TooManyPeers), "and no more");
    assert_eq!(world.core.counters().prefix_full, 9_998, "which was another reason");
}

#[test]
fn a_network_is_a_24_or_a_48() {
    for (first, second, third, neighbour) in [
        ("8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.9.1"),
        ("8.8.8.1", "::ffff:8.8.8.1", "::ffff:8.8.8.2", "::ffff:8.8.9.1"),
        ("2a00:1:2::1", "2a00:1:2:1::1", "2a00:1:2:ffff::1", "2a00:1:3::1"),
    ] {
        let mut world = open();
        assert_eq!(arrive(&mut world, 1, first), Ok(Admission::Added(id(1))));
        assert_eq!(arrive(&mut world, 2, second), Ok(Admission::Added(id(2))), "{second}");
        assert_eq!(arrive(&mut world, 3, third), Err(Reason::TooManyPeers), "{third}");
        assert_eq!(arrive(&mut world, 3, neighbour), Ok(Admission::Added(id(3))), "{neighbour}");
    }
}

#[test]
fn the_second_checkpoint_finds_that_the_network_has_filled() {
    let mut world = open();
    let address = "8.8.8.8".parse().unwrap();
    let setups: Vec<SetupId> = (0..3).map(|_| world.accept(address).unwrap()).collect();
    for (n, &setup) in (0..).zip(&setups) {
        assert_eq!(world.secure(setup, n), Ok(()), "nobody is a peer yet");
    }
    let verdicts: Vec<_> = (0..)
        .zip(&setups)
        .map(|(n, &setup)| greet(&mut world, setup, key(n), Some(address)).is_ok())
        .collect();
    assert_eq!(verdicts, [true, true, false]);
}

#[test]
fn trusted_nodes_and_dialed_ones_take_no_place() {
    let mut world = open();
    for n in 0..3 {
        world.core.add_trusted_peer(id(n));
        assert_eq!(arrive(&mut world, n, "8.8.8.8"), Ok(Admission::Added(id(n))));
    }
    let setup = world.dial(3);
    assert!(pass(&mut world, setup, key(3), "8.8.8.9".parse().ok()).is_ok());
    assert!(arrive(&mut world, 4, "8.8.8.8").is_ok());
    assert!(arrive(&mut world, 5, "8.8.8.8").is_ok());
    assert_eq!(arrive(&mut world, 6, "8.8.8.8"), Err(Reason::TooManyPeers));
    world.core.add_trusted_peer(id(6));
    assert!(arrive(&mut world, 6, "8.8.8.8").is_ok(), "a trusted one always has one");
    world.core.remove_trusted_peer(id(0));
    world.drop_peer(4);
    assert_eq!(arrive(&mut world, 4, "8.8.8.8"), Err(Reason::TooManyPeers), "0 counts now");
}

#[test]
fn a_local_network_has_all_the_places_unless_it_is_limited() {
    for (policy, allowed) in [(LanPolicy::Exempt, 5), (LanPolicy::Limit, 2)] {
        let mut world = World::new(|config| {
            config.inbound.per_address = Duration::ZERO;
            config.inbound.lan_policy = policy;
        });
        let admitted = (0..5).filter(|&n| arrive(&mut world, n, "192.168.1.7").is_ok()).count();
        assert_eq!(admitted, allowed, "{policy:?}");
    }
}

#[test]
fn a_stream_that_is_handed_in_takes_a_place_by_its_address() {
    let mut world = open();
    for n in 0..4 {
        let setup = world.core.begin_setup(Direction::Inbound, None).unwrap();
        let verdict = pass(&mut world, setup, key(n), "8.8.8.8".parse().ok());
        assert_eq!(verdict.is_ok(), n < 2, "{n}");
    }
    let setup = world.core.begin_setup(Direction::Inbound, None).unwrap();
    assert!(pass(&mut world, setup, key(4), None).is_ok(), "it has none");
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A node comes from an address of a network.
    Arrive(u8, u8),
    /// It gives up after the first checkpoint.
    GiveUp(u8, u8),
    /// A peer goes.
    End(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (n, network) = (0..12_u8, 0..3_u8);
    let op = prop_oneof![
        4 => (n.clone(), network.clone()).prop_map(|(n, network)| Op::Arrive(n, network)),
        1 => (n.clone(), network).prop_map(|(n, network)| Op::GiveUp(n, network)),
        2 => n.prop_map(Op::End),
    ];
    vec(op, 0..200)
}

proptest! {
    #[test]
    fn places_are_taken_and_given_back_one_by_one(ops in ops()) {
        let mut world = World::new(|config| {
            config.inbound.per_address = Duration::ZERO;
            config.inbound.per_prefix = 1_000;
        });
        let mut peers: BTreeMap<u8, u8> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Arrive(n, network) => {
                    let others = peers.values().filter(|&&other| other == network).count();
                    let expected = match peers.get(&n) {
                        Some(_) => Err(Reason::AlreadyConnected),
                        None if others == 2 => Err(Reason::TooManyPeers),
                        None => Ok(Admission::Added(id(n))),
                    };
                    if expected.is_ok() {
                        peers.insert(n, network);
                    }
                    let address = format!("8.8.{network}.{n}");
                    prop_assert_eq!(arrive(&mut world, n, &address), expected);
                }
                Op::GiveUp(n, network) => {
                    let setup = world.accept(IpAddr::from([8, 8, network, n])).unwrap();
                    let _ = world.secure(setup, n);
                    world.fail(setup, SetupFailure::Hello);
                }
                Op::End(n) => {
                    world.drop_peer(n);
                    peers.remove(&n);
                }
            }
            let connected: Vec<NodeId> = world.core.peers().map(|(&id, _)| id).collect();
            let mut expected: Vec<NodeId> = peers.keys().map(|&n| id(n)).collect();
            expected.sort();
            prop_assert_eq!(connected, expected);
        }
    }
}
