//! Inputs that a driver should not give, and the end.

use devp2p_dial::{Input, Outcome, Refusal};

use super::world::{World, id, node, node_without_address, nodes, secs};

#[test]
fn a_dial_that_ended_twice_ends_once() {
    let mut world = World::with_statics([1]);
    let (dial, _) = world.running(1);
    world.dials("dialed", [1]);
    world.end(1, Outcome::HandshakeFailed);
    assert_eq!(world.backing_off(1), secs(35));
    world.input(Input::DialDone { dial, outcome: Outcome::HandshakeFailed });
    assert_eq!(world.backing_off(1), secs(35), "the second time does not count");
    world.wait(secs(35));
    world.dials("dialed", [1]);
    world.input(Input::DialDone { dial, outcome: Outcome::HandshakeFailed });
    assert_eq!(world.why_not(1), Some(Refusal::AlreadyDialing), "that was another dial");
}

#[test]
fn a_peer_that_is_told_after_the_end_of_its_dial_is_a_peer() {
    let mut world = World::with_slots(1);
    world.offer([1]);
    world.end(1, Outcome::Added);
    world.dialed_peer(1);
    assert_eq!(world.offer_node(node(1)), Err(Refusal::AlreadyConnected));
    assert_eq!(world.scheduler.wanted_candidates(), 0);
}

#[test]
fn a_dial_that_was_added_and_then_failed_was_added() {
    let mut world = World::with_statics([1]);
    world.dials("dialed", [1]);
    world.dialed_peer(1);
    world.end(1, Outcome::ConnectFailed);
    world.wait(secs(40));
    world.drop_peer(1);
    world.dials("no failure was counted", [1]);
}

#[test]
fn a_dial_that_was_refused_did_connect() {
    let mut world = World::with_statics([1]);
    world.dials("dialed", [1]);
    world.input(Input::Refused { id: id(1) });
    world.end(1, Outcome::ConnectFailed);
    world.no_dials("its address is good, there is nothing to search for");
    assert_eq!(world.backing_off(1), secs(35));
}

#[test]
fn a_peer_counts_once_and_a_stranger_not_at_all() {
    let mut world = World::with_slots(5);
    world.dialed_peer(1);
    world.dialed_peer(1);
    assert_eq!(world.scheduler.wanted_candidates(), 4);
    world.inbound_peer(1);
    assert_eq!(world.scheduler.wanted_candidates(), 5, "what was told last holds");
    world.drop_peer(1);
    world.drop_peer(1);
    world.drop_peer(2);
    world.input(Input::Refused { id: id(3) });
    world.input(Input::PendingInboundDone { id: id(4) });
    world.remove_static(5);
    assert_eq!(world.scheduler.wanted_candidates(), 5);
    world.no_dials("nothing came of all this");
}

#[test]
fn after_stop_there_is_no_output() {
    let mut world = World::new(|config| {
        config.static_nodes = nodes([1]);
        config.static_nodes.push(node_without_address(2));
        config.bootnodes = nodes([3]);
    });
    world.searches("one has no address", [node_without_address(2)]);
    world.dials("the other one is dialed", [1]);
    world.scheduler.handle_input(world.now, Input::AddStatic(node(4)));
    world.scheduler.handle_input(world.now, Input::Stop);
    assert!(world.scheduler.poll_output().is_none(), "what was waiting is dropped");

    world.input(Input::PeerAdded { id: id(1), dialed: true, kind: None, remote_addr: None });
    world.end(1, Outcome::HandshakeFailed);
    world.resolved(2, Some(node(2)));
    world.add_static(5);
    assert_eq!(world.offer_node(node(6)), Err(Refusal::Stopped));
    assert_eq!(world.why_not(1), Some(Refusal::Stopped));
    assert_eq!(world.scheduler.wanted_candidates(), 0);
    assert_eq!(world.scheduler.poll_timeout(), None);
    world.scheduler.handle_timeout(world.now + secs(1000));
    assert!(world.scheduler.poll_output().is_none());
    world.no_dials("nothing at all");
}
