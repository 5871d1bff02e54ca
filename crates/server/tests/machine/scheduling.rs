//! What the dial scheduler is told, and in which order.

use std::time::Duration;

use devp2p_dial::{Outcome, RefusalCause};
use devp2p_peer::{
    Direction::{Inbound, Outbound},
    DisconnectReason as Reason, Side,
};
use devp2p_server::{Output, SetupFailure};

use super::world::{OWN, World, end, id, node, smaller_and_greater};

#[test]
fn what_the_scheduler_knew_at_its_construction_is_done_first() {
    let mut world = World::small();
    world.order(1);
    // Any call finds it.
    world.core.add_peer(world.now, node(2));
    assert!(
        matches!(world.outputs().as_slice(), [Output::Dial { node, .. }] if node.id() == id(1))
    );
}

#[test]
fn a_dial_is_done_only_after_its_peer_was_added() {
    let mut world = World::small();
    world.admit(1, Outbound);
    assert_eq!(world.told(), ["added 1 dialed static", "done 1 Added"]);
    world.drop_peer(1);
    assert_eq!(world.told(), ["removed 1"]);
}

#[test]
fn a_dial_is_done_only_after_it_was_refused() {
    // At the first checkpoint, and at the second.
    let mut world = World::small();
    let (first, second) = (world.dial(1), world.dial(2));
    world.secure(second, 2).unwrap();
    world.admit(8, Inbound);
    world.admit(9, Outbound);
    world.told();
    world.secure(first, 1).unwrap_err();
    assert_eq!(world.told(), ["refused 1"]);
    world.fail(first, SetupFailure::Refused);
    assert_eq!(world.told(), ["done 1 Refused"]);
    world.greet(second, 2).unwrap_err();
    assert_eq!(world.told(), ["refused 2"]);
    world.fail(second, SetupFailure::Refused);
    assert_eq!(world.told(), ["done 2 Refused"]);
}

#[test]
fn a_dial_that_reaches_another_node_is_refused_under_the_name_of_the_one_it_was_for() {
    let mut world = World::small();
    let setup = world.dial(1);
    world.secure(setup, 2).unwrap_err();
    world.fail(setup, SetupFailure::Refused);
    assert_eq!(world.told(), ["refused 1", "done 1 Refused"]);
}

#[test]
fn every_end_of_a_dial_has_its_outcome() {
    let table = [
        (SetupFailure::Connect, Outcome::ConnectFailed),
        (SetupFailure::SecureHandshake, Outcome::HandshakeFailed),
        (SetupFailure::Hello, Outcome::HandshakeFailed),
        (SetupFailure::Deadline, Outcome::HandshakeFailed),
        (SetupFailure::Stopped, Outcome::HandshakeFailed),
        (SetupFailure::RefusedByRemote(Reason::TooManyPeers), Outcome::Refused),
        (SetupFailure::RefusedByRemote(Reason::UselessPeer), Outcome::Useless),
        (SetupFailure::RefusedByRemote(Reason::AlreadyConnected), Outcome::Collided),
    ];
    for (failure, outcome) in table {
        let mut world = World::small();
        let setup = world.dial(1);
        world.fail(setup, failure);
        world.fail(setup, failure);
        assert_eq!(world.told(), [format!("done 1 {outcome:?}")], "{failure:?}");
    }
}

#[test]
fn a_dial_that_gives_way_to_another_connection_collided() {
    // The remote's dial is a peer.
    let mut world = World::small();
    let setup = world.dial(1);
    world.admit(1, Inbound);
    world.told();
    world.core.add_trusted_peer(id(1));
    world.secure(setup, 1).unwrap_err();
    world.fail(setup, SetupFailure::Refused);
    assert_eq!(world.told(), ["refused 1", "done 1 Collided"]);

    // The remote's dial goes first.
    let (smaller, _) = smaller_and_greater();
    let mut world = World::small();
    let (dialed, inbound) = (world.dial(smaller), world.inbound());
    world.secure(inbound, smaller).unwrap();
    world.secure(dialed, smaller).unwrap_err();
    world.fail(dialed, SetupFailure::Refused);
    assert_eq!(
        world.told(),
        [format!("pending {smaller}"), format!("refused {smaller}"), "done 1 Collided".into()]
    );
}

#[test]
fn a_dialed_peer_that_takes_us_for_connected_already_collided() {
    let table = [
        (Outbound, Reason::AlreadyConnected, Side::Remote, "collided 1"),
        (Outbound, Reason::AlreadyConnected, Side::Local, "removed 1"),
        (Outbound, Reason::TooManyPeers, Side::Remote, "removed 1"),
        (Inbound, Reason::AlreadyConnected, Side::Remote, "removed 1"),
    ];
    for (direction, reason, side, told) in table {
        let mut world = World::small();
        world.admit(1, direction);
        world.told();
        world.core.handle_peer_ended(world.now, id(1), end(reason, side));
        assert_eq!(world.told(), [told], "{direction} {reason} {side:?}");
    }
}

#[test]
fn a_dial_of_a_node_without_a_shared_capability_is_useless() {
    let mut world = World::small();
    let setup = world.dial(1);
    world.secure(setup, 1).unwrap();
    world.told();
    assert_eq!(world.greet_sharing(setup, 1, &[]), Err(Reason::UselessPeer));
    world.fail(setup, SetupFailure::Refused);
    assert_eq!(world.told(), ["refused 1", "done 1 Useless"]);
}

#[test]
fn a_peer_is_useless_where_one_side_says_so_soon() {
    let (soon, late) = (Duration::from_secs(59), Duration::from_secs(60));
    let table = [
        (Reason::UselessPeer, Side::Local, soon, "useless 1"),
        (Reason::UselessPeer, Side::Remote, soon, "useless 1"),
        // It makes room for others.
        (Reason::UselessPeer, Side::Remote, late, "removed 1"),
        // As go-ethereum says that it is on another chain.
        (Reason::Subprotocol, Side::Remote, soon, "useless 1"),
        (Reason::Subprotocol, Side::Remote, late, "removed 1"),
        // That may be our own fault.
        (Reason::Subprotocol, Side::Local, soon, "removed 1"),
        (Reason::TooManyPeers, Side::Remote, soon, "removed 1"),
        (Reason::NetworkError, Side::Remote, soon, "removed 1"),
    ];
    for (reason, side, age, told) in table {
        let mut world = World::small();
        world.admit(1, Outbound);
        world.told();
        world.wait(age);
        world.core.handle_peer_ended(world.now, id(1), end(reason, side));
        assert_eq!(world.told(), [told], "{reason} {side:?} {age:?}");
    }
}

#[test]
fn an_inbound_connection_is_pending_between_the_checkpoints() {
    let mut world = World::small();
    let setup = world.inbound();
    assert!(world.told().is_empty(), "nobody knows who it is");
    world.secure(setup, 1).unwrap();
    assert_eq!(world.told(), ["pending 1"]);
    world.greet(setup, 1).unwrap();
    assert_eq!(world.told(), ["added 1 inbound", "no longer pending 1"]);

    // However it ends.
    let setup = world.inbound();
    world.core.add_trusted_peer(id(2));
    world.secure(setup, 2).unwrap();
    world.fail(setup, SetupFailure::Deadline);
    assert_eq!(world.told(), ["pending 2", "no longer pending 2"]);
    // One that never was pending never ceases to be: another one of the same node may be.
    let setup = world.inbound();
    world.secure(setup, OWN).unwrap_err();
    world.fail(setup, SetupFailure::Refused);
    assert!(world.told().is_empty());
}

#[test]
fn a_stream_that_was_handed_in_is_no_dial() {
    let mut world = World::small();
    let setup = world.core.begin_setup(Outbound, Some(id(1))).unwrap();
    world.secure(setup, 1).unwrap();
    world.greet(setup, 1).unwrap();
    assert_eq!(world.told(), ["added 1 dialed"]);
    let setup = world.core.begin_setup(Outbound, Some(id(2))).unwrap();
    assert_eq!(world.secure(setup, 3), Err(Reason::UnexpectedIdentity));
    world.fail(setup, SetupFailure::Refused);
    assert!(world.told().is_empty());
}

#[test]
fn commands_and_answers_are_passed_on() {
    let mut world = World::small();
    world.core.add_peer(world.now, node(1));
    world.core.handle_resolved(world.now, id(1), Some(node(1)));
    world.core.handle_resolved(world.now, id(2), None);
    world.core.remove_peer(world.now, id(1));
    assert_eq!(world.told(), ["static 1", "resolved 1 true", "resolved 2 false", "not static 1"]);
    assert_eq!(world.core.wanted_candidates(), 7);
    assert!(world.core.handle_candidate(world.now, node(3)).is_err());
}

#[test]
fn what_became_of_dials_is_told_whoever_schedules_them() {
    // This scheduler tells nothing itself.
    let mut world = World::small();
    let setup = world.dial(1);
    world.fail(setup, SetupFailure::Connect);
    world.wait(Duration::from_secs(3));
    let setup = world.dial(2);
    world.secure(setup, 2).unwrap();
    world.greet_sharing(setup, 2, &[]).unwrap_err();
    world.fail(setup, SetupFailure::Refused);
    world.admit(3, Outbound);
    world.admit(4, Inbound);
    for _ in 0..2 {
        world.core.handle_candidate(world.now, node(5)).unwrap_err();
    }
    let status = world.core.dial_status(world.now);
    let records: Vec<_> = status
        .recent
        .iter()
        .map(|it| (it.id, it.addr, it.outcome.to_string(), it.ago.as_secs()))
        .collect();
    let record = |n, outcome: &str, ago| (id(n), node(n).tcp_addr(), outcome.to_owned(), ago);
    let refused = record(2, "refused by us: useless peer", 0);
    assert_eq!(records, [record(3, "connected", 0), refused, record(1, "no connection", 3)]);
    assert_eq!((status.wanted, status.refusals[&RefusalCause::NoSlot]), (7, 2));

    world.core.handle_peer_ended(world.now, id(3), end(Reason::TooManyPeers, Side::Remote));
    world.core.handle_peer_ended(world.now, id(4), end(Reason::Requested, Side::Local));
    let status = world.core.dial_status(world.now);
    assert_eq!(status.recent[0].outcome.to_string(), "disconnected by the remote: too many peers");
    assert_eq!(status.recent.len(), 3, "nobody dialed the other one");
    let ends = world.core.disconnects(world.now + Duration::from_secs(10), 1_000);
    let ends: Vec<_> = ends.iter().map(|it| (it.id, it.direction, it.at)).collect();
    assert_eq!(ends, [(id(4), Inbound, 990), (id(3), Outbound, 990)]);
}
