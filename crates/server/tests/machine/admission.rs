//! Both checkpoints.

use std::{collections::BTreeSet, time::Duration};

use devp2p_core::NodeId;
use devp2p_dial::DialKind;
use devp2p_peer::{
    Direction::{self, Inbound, Outbound},
    DisconnectReason as Reason, Side,
};
use devp2p_server::{Admission, Output, SetupFailure};

use super::world::{OWN, World, end, id, key, smaller_and_greater};

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Asks {
    n: u8,
    direction: Direction,
    trusted: bool,
}

const STRANGER: Asks = Asks { n: 1, direction: Inbound, trusted: false };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoint {
    First,
    Second,
}

/// What a checkpoint says to somebody while these are peers already.
fn verdict(at: Checkpoint, asks: Asks, peers: &[(u8, Direction)]) -> Result<(), Reason> {
    let mut world = World::small();
    if asks.trusted {
        world.core.add_trusted_peer(id(asks.n));
    }
    let setup = world.begin(asks.n, asks.direction);
    if at == Checkpoint::First {
        for &(n, direction) in peers {
            world.admit(n, direction);
        }
        world.secure(setup, asks.n)
    } else {
        assert_eq!(world.secure(setup, asks.n), Ok(()), "there was room");
        for &(n, direction) in peers {
            world.admit(n, direction);
        }
        world.greet(setup, asks.n).map(|admission| {
            assert_eq!(admission, Admission::Added(id(asks.n)));
        })
    }
}

#[test]
fn both_checkpoints_hold_the_limits() {
    let outbound = Asks { direction: Outbound, ..STRANGER };
    let trusted = Asks { trusted: true, ..STRANGER };
    let trusted_outbound = Asks { trusted: true, ..outbound };
    let (no_peer, inbound): (&[_], &[_]) = (&[], &[(2, Inbound)]);
    let (dialed, full): (&[_], &[_]) = (&[(2, Outbound)], &[(2, Inbound), (3, Outbound)]);
    let table = [
        ("room for all", STRANGER, no_peer, Ok(())),
        ("room for all", outbound, no_peer, Ok(())),
        ("the inbound share is taken", STRANGER, inbound, Err(Reason::TooManyPeers)),
        ("the inbound share binds no dial", outbound, inbound, Ok(())),
        ("a dialed peer takes nothing of it", STRANGER, dialed, Ok(())),
        ("full", STRANGER, full, Err(Reason::TooManyPeers)),
        ("full", outbound, full, Err(Reason::TooManyPeers)),
        ("trusted, above the inbound share", trusted, inbound, Ok(())),
        ("trusted, above the limit", trusted, full, Ok(())),
        ("trusted, above the limit", trusted_outbound, full, Ok(())),
    ];
    for (case, asks, peers, expected) in table {
        for at in [Checkpoint::First, Checkpoint::Second] {
            assert_eq!(verdict(at, asks, peers), expected, "{case}: {asks:?} at {at:?}");
        }
    }
}

#[test]
fn the_first_reason_in_the_order_of_the_checks_is_given() {
    /// Who is at the other end of a connection to whom, and who is a peer or trusted.
    struct Case {
        what: &'static str,
        asks: Asks,
        remote: u8,
        peers: &'static [(u8, Direction)],
        expected: Reason,
    }
    const DIALED: Asks = Asks { direction: Outbound, ..STRANGER };
    const FULL: &[(u8, Direction)] = &[(1, Inbound), (3, Outbound)];
    let table = [
        Case {
            what: "another key than was dialed comes before the limits",
            asks: DIALED,
            remote: 4,
            peers: FULL,
            expected: Reason::UnexpectedIdentity,
        },
        Case {
            what: "another key than was dialed comes before our own",
            asks: DIALED,
            remote: OWN,
            peers: &[],
            expected: Reason::UnexpectedIdentity,
        },
        Case {
            what: "too many peers comes before already connected",
            asks: STRANGER,
            remote: 1,
            peers: FULL,
            expected: Reason::TooManyPeers,
        },
        Case {
            what: "the inbound share comes before already connected",
            asks: STRANGER,
            remote: 1,
            peers: &[(1, Inbound)],
            expected: Reason::TooManyPeers,
        },
        Case {
            what: "too many peers comes before self",
            asks: STRANGER,
            remote: OWN,
            peers: FULL,
            expected: Reason::TooManyPeers,
        },
        Case {
            what: "already connected",
            asks: STRANGER,
            remote: 1,
            peers: &[(1, Outbound)],
            expected: Reason::AlreadyConnected,
        },
        Case {
            what: "already connected, trusted and all",
            asks: Asks { trusted: true, ..STRANGER },
            remote: 1,
            peers: &[(1, Outbound)],
            expected: Reason::AlreadyConnected,
        },
        Case {
            what: "ourselves, from outside",
            asks: STRANGER,
            remote: OWN,
            peers: &[],
            expected: Reason::SelfConnect,
        },
        Case {
            what: "ourselves, dialed",
            asks: Asks { n: OWN, ..DIALED },
            remote: OWN,
            peers: &[],
            expected: Reason::SelfConnect,
        },
        Case {
            what: "ourselves, trusted and all",
            asks: Asks { n: OWN, trusted: true, ..STRANGER },
            remote: OWN,
            peers: &[],
            expected: Reason::SelfConnect,
        },
    ];
    for Case { what, asks, remote, peers, expected } in table {
        let mut world = World::small();
        for &(n, direction) in peers {
            world.admit(n, direction);
        }
        if asks.trusted {
            world.core.add_trusted_peer(id(asks.n));
        }
        let setup = world.begin(asks.n, asks.direction);
        assert_eq!(world.secure(setup, remote), Err(expected), "{what}");
        assert_eq!(world.core.counters().refused.get(&expected), Some(&1), "{what}");
    }
}

#[test]
fn a_useless_peer_is_told_so_before_anything_else_at_the_second_checkpoint() {
    let mut world = World::small();
    let setup = world.inbound();
    world.secure(setup, 1).unwrap();
    world.admit(2, Inbound);
    world.admit(3, Outbound);
    assert_eq!(world.greet_sharing(setup, 1, &[]), Err(Reason::UselessPeer), "not: too many");

    let mut world = World::new(|config| config.has_protocols = false);
    let setup = world.inbound();
    world.secure(setup, 1).unwrap();
    let verdict = world.greet_sharing(setup, 1, &[]);
    assert_eq!(verdict, Ok(Admission::Added(id(1))), "without subprotocols nobody is useless");
}

#[test]
fn the_second_checkpoint_finds_who_came_in_meanwhile() {
    // Of two connections that one side dialed the earlier goes first, at both checkpoints.
    let mut world = World::small();
    let (first, second, third) = (world.inbound(), world.inbound(), world.inbound());
    world.secure(second, 1).unwrap();
    world.secure(first, 1).unwrap();
    assert_eq!(world.secure(third, 1), Err(Reason::AlreadyConnected));
    assert_eq!(world.greet(second, 1), Err(Reason::AlreadyConnected));
    assert_eq!(world.greet(first, 1), Ok(Admission::Added(id(1))));
    assert_eq!(world.core.peers().len(), 1);
}

#[test]
fn of_two_dials_the_one_of_the_smaller_id_goes_first() {
    let (smaller, greater) = smaller_and_greater();
    for (n, first, second) in [(smaller, Inbound, Outbound), (greater, Outbound, Inbound)] {
        // The second finds the first at the first checkpoint.
        let mut world = World::small();
        let (a, b) = (world.begin(n, first), world.begin(n, second));
        world.secure(a, n).unwrap();
        assert_eq!(world.secure(b, n), Err(Reason::AlreadyConnected));
        assert_eq!(world.greet(a, n), Ok(Admission::Added(id(n))));

        // It finds it at the second, and waits: the first becomes a peer.
        let mut world = World::small();
        let (b, a) = (world.begin(n, second), world.begin(n, first));
        world.secure(b, n).unwrap();
        world.secure(a, n).unwrap();
        for _ in 0..3 {
            assert_eq!(world.greet(b, n), Ok(Admission::Wait));
        }
        assert_eq!(world.greet(a, n), Ok(Admission::Added(id(n))));
        assert_eq!(world.greet(b, n), Err(Reason::AlreadyConnected));

        // It waits, and the first fails or is refused.
        for refused in [false, true] {
            let mut world = World::small();
            let (b, a) = (world.begin(n, second), world.begin(n, first));
            world.secure(b, n).unwrap();
            world.secure(a, n).unwrap();
            assert_eq!(world.greet(b, n), Ok(Admission::Wait));
            if refused {
                assert_eq!(world.greet_sharing(a, n, &[]), Err(Reason::UselessPeer));
            } else {
                world.fail(a, SetupFailure::Hello);
            }
            assert_eq!(world.greet(b, n), Ok(Admission::Added(id(n))), "refused: {refused}");
        }

        // It was a peer before the first was secure: it stays.
        let mut world = World::small();
        let (b, a) = (world.begin(n, second), world.begin(n, first));
        world.secure(b, n).unwrap();
        assert_eq!(world.greet(b, n), Ok(Admission::Added(id(n))));
        world.core.add_trusted_peer(id(n));
        assert_eq!(world.secure(a, n), Err(Reason::AlreadyConnected));
        assert_eq!(world.core.peer(id(n)).unwrap().direction, second);
    }
}

#[test]
fn trusted_peers_use_no_public_slot() {
    let mut world = World::small();
    for n in 10..20 {
        world.core.add_trusted_peer(id(n));
        world.admit(n, if n % 2 == 0 { Inbound } else { Outbound });
    }
    world.admit(1, Inbound);
    world.admit(2, Outbound);
    assert_eq!(world.core.peers().len(), 12);
    assert_eq!(world.core.peers().filter(|(_, peer)| peer.trusted).count(), 10);
}

#[test]
fn trust_changes_what_a_connected_peer_counts_as() {
    let mut world = World::small();
    world.admit(1, Inbound);
    world.core.add_trusted_peer(id(1));
    assert!(world.core.peer(id(1)).unwrap().trusted);
    world.admit(2, Inbound);
    world.core.remove_trusted_peer(id(1));
    assert!(!world.core.peer(id(1)).unwrap().trusted, "it stays, and counts again");
    let setup = world.inbound();
    assert_eq!(world.secure(setup, 3), Err(Reason::TooManyPeers));
}

#[test]
fn the_trust_of_the_moment_counts_at_each_checkpoint() {
    let mut world = World::small();
    let (trusted_later, trusted_before) = (world.inbound(), world.inbound());
    world.core.add_trusted_peer(id(2));
    world.secure(trusted_later, 1).unwrap();
    world.secure(trusted_before, 2).unwrap();
    world.admit(3, Inbound);
    world.core.add_trusted_peer(id(1));
    world.core.remove_trusted_peer(id(2));
    assert_eq!(world.greet(trusted_later, 1), Ok(Admission::Added(id(1))));
    assert_eq!(world.greet(trusted_before, 2), Err(Reason::TooManyPeers));
}

#[test]
fn trusted_nodes_of_the_options_are_trusted() {
    let mut world = World::new(|config| {
        config.max_peers = 0;
        config.trusted = BTreeSet::from([id(1)]);
    });
    world.admit(1, Inbound);
    let setup = world.inbound();
    assert_eq!(world.secure(setup, 2), Err(Reason::TooManyPeers));
}

#[test]
fn a_peer_is_what_its_handshakes_told() {
    let mut world = World::small();
    world.wait(Duration::from_secs(5));
    let setup = world.dial(1);
    world.secure(setup, 1).unwrap();
    world.greet(setup, 1).unwrap();
    assert!(matches!(world.outputs().as_slice(), [Output::Added { id: added }] if *added == id(1)));
    let peer = world.core.peer(id(1)).unwrap();
    assert_eq!((peer.public_key, peer.name.as_str()), (key(1), "node 1"));
    assert_eq!((peer.direction, peer.dialed_as), (Outbound, Some(DialKind::Static)));
    assert_eq!((peer.trusted, peer.added_at), (false, world.now));

    world.wait(Duration::from_secs(7));
    let over = end(Reason::Subprotocol, Side::Local);
    world.core.handle_peer_ended(world.now, id(1), over.clone());
    world.core.handle_peer_ended(world.now, id(1), over);
    match world.outputs().as_slice() {
        [Output::Dropped(drop)] => {
            assert_eq!((drop.id, drop.duration), (id(1), Duration::from_secs(7)));
            assert_eq!((drop.reason, drop.side), (Reason::Subprotocol, Side::Local));
            assert_eq!(drop.direction, Outbound);
        }
        outputs => panic!("one drop, of two ends: {outputs:?}"),
    }
    assert_eq!(world.core.peers().len(), 0);
    assert_eq!((world.core.counters().added, world.core.counters().dropped), (1, 1));
}

#[test]
fn a_node_that_is_removed_while_it_is_dialed_is_refused() {
    for secured in [false, true] {
        let mut world = World::small();
        let setup = world.dial(1);
        if secured {
            world.secure(setup, 1).unwrap();
        }
        assert!(!world.core.remove_peer(world.now, id(1)), "it is not connected yet");
        let verdict =
            if secured { world.greet(setup, 1).map(|_| ()) } else { world.secure(setup, 1) };
        assert_eq!(verdict, Err(Reason::Requested), "secured: {secured}");
        world.fail(setup, SetupFailure::Refused);
        assert_eq!((world.core.peers().len(), world.core.pending()), (0, 0));
    }
}

#[test]
fn a_node_that_is_removed_and_added_again_while_it_is_dialed_is_welcome() {
    let mut world = World::small();
    let setup = world.dial(1);
    world.core.remove_peer(world.now, id(1));
    world.core.add_peer(world.now, super::world::node(1));
    assert_eq!(world.secure(setup, 1), Ok(()));
    assert_eq!(world.greet(setup, 1), Ok(Admission::Added(id(1))));
}

#[test]
fn a_removed_peer_is_disconnected_and_forgotten() {
    let mut world = World::small();
    world.admit(1, Outbound);
    world.told();
    assert!(world.core.remove_peer(world.now, id(1)));
    assert!(matches!(
        world.outputs().as_slice(),
        [Output::Disconnect { id: gone, reason: Reason::Requested }] if *gone == id(1)
    ));
    assert_eq!(world.told(), ["not static 1"]);
    assert_eq!(world.core.peers().len(), 1, "it is a peer until its connection has ended");
}

#[test]
fn after_the_stop_nobody_is_admitted() {
    let mut world = World::small();
    world.admit(1, Inbound);
    let (new, secured, dialed) = (world.inbound(), world.inbound(), world.dial(4));
    world.core.add_trusted_peer(id(3));
    world.secure(secured, 3).unwrap();
    world.told();
    world.order(5);
    world.core.stop(world.now);
    world.core.stop(world.now);
    assert!(
        matches!(
            world.outputs().as_slice(),
            [Output::Disconnect { id: peer, reason: Reason::Quitting }] if *peer == id(1)
        ),
        "each peer is told once, and nothing more is dialed"
    );
    assert_eq!(world.told(), ["stop"]);
    assert_eq!(world.core.take_slot(), None);
    assert_eq!(world.core.begin_setup(Outbound, Some(id(9))), None);
    assert!(!world.core.has_free_slot());
    assert_eq!((world.core.poll_timeout(), world.core.wanted_candidates()), (None, 0));
    assert_eq!(world.secure(new, 2), Err(Reason::Quitting));
    assert_eq!(world.greet(secured, 3), Err(Reason::Quitting));
    assert_eq!(world.secure(dialed, 4), Err(Reason::Quitting));
    for setup in [new, secured, dialed] {
        world.fail(setup, SetupFailure::Stopped);
    }
    world.drop_peer(1);
    let left: Vec<NodeId> = world.core.peers().map(|(&id, _)| id).collect();
    assert_eq!((left, world.core.pending()), (vec![], 0));
    assert!(matches!(world.outputs().as_slice(), [Output::Dropped(_)]));
}
