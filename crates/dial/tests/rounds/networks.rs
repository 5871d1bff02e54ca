//! How many nodes of one network are dialed.

use devp2p_core::{Host, LanPolicy, Node, Record};
use devp2p_dial::{DialKind, Input, Outcome, Refusal};

use super::world::{World, id, key, node_at, node_named, secs};

/// In the network 100.`network`.0.0/24, which is not exempt.
fn at(number: u32, network: u8) -> Node {
    node_at(number, &format!("100.{network}.0.{number}:30303"))
}

/// With an address in 100.`v4`.0.0/24 and one in 2a00:`v6`::/48.
fn at_both(number: u32, v4: u8, v6: u16) -> Node {
    let record = Record::builder()
        .ip(format!("100.{v4}.0.{number}").parse().unwrap())
        .tcp(30303)
        .ip(format!("2a00:{v6}::{number}").parse().unwrap())
        .tcp6(30303)
        .sign(&key(number))
        .unwrap();
    let node = Node::from_record(record);
    assert_eq!(node.tcp_addrs().len(), 2);
    node
}

fn world() -> World {
    World::with_slots(10)
}

fn peer(world: &mut World, number: u32, kind: Option<DialKind>, remote: Option<&str>) {
    let remote_addr = remote.map(|addr| addr.parse().unwrap());
    world.input(Input::PeerAdded { id: id(number), dialed: true, kind, remote_addr });
}

#[test]
fn two_of_one_network_are_dialed() {
    let mut world = world();
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    assert_eq!(world.offer_node(at(2, 1)), Ok(()));
    assert_eq!(world.offer_node(at(3, 1)), Err(Refusal::PrefixLimit));
    assert_eq!(world.offer_node(at(4, 2)), Ok(()), "another network has its own places");
    world.dials_at("two of the first, one of the second", [at(1, 1), at(2, 1), at(4, 2)]);

    world.connect(1);
    assert_eq!(world.offer_node(at(3, 1)), Err(Refusal::PrefixLimit), "a peer keeps its place");
    world.end(2, Outcome::HandshakeFailed);
    assert_eq!(world.offer_node(at(3, 1)), Ok(()), "a dial that failed gives it back");
    assert_eq!(world.offer_node(at(5, 1)), Err(Refusal::PrefixLimit));
    world.wait(secs(60));
    world.drop_peer(1);
    assert_eq!(world.offer_node(at(5, 1)), Ok(()), "and so does a peer that is gone");
    world.dials_at("one for each place that was free", [at(3, 1), at(5, 1)]);
}

#[test]
fn networks_of_ipv6_have_48_bits() {
    let mut world = world();
    let at = |number, network| node_at(number, &format!("[2a00:1:{network}::{number}]:30303"));
    assert_eq!(world.offer_node(at(1, "2")), Ok(()));
    assert_eq!(world.offer_node(at(2, "2:ffff")), Ok(()));
    assert_eq!(world.offer_node(at(3, "2:8000")), Err(Refusal::PrefixLimit));
    assert_eq!(world.offer_node(at(4, "3")), Ok(()));
}

#[test]
fn the_limit_can_be_changed_and_local_networks_are_exempt_by_default() {
    let mut world = World::new(|config| config.max_dialed_per_prefix = 1);
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    assert_eq!(world.offer_node(at(2, 1)), Err(Refusal::PrefixLimit));
    assert_eq!(world.offer(3..=6), [3, 4, 5, 6], "all of them in 10.0.0.0/24");

    let mut world = World::new(|config| config.lan_policy = LanPolicy::Limit);
    assert_eq!(world.offer(3..=6), [3, 4]);
    assert_eq!(world.why_not(5), Some(Refusal::PrefixLimit));
}

#[test]
fn nodes_that_were_configured_are_not_limited_and_take_no_place() {
    let mut world = World::new(|config| {
        config.static_nodes = (1..=4).map(|number| at(number, 1)).collect();
        config.bootnodes = vec![at(5, 1)];
    });
    world.dials_at("all static nodes are dialed", (1..=4).map(|number| at(number, 1)));
    for number in 1..=3 {
        world.connect(number);
    }
    assert_eq!(world.offer_node(at(6, 1)), Ok(()));
    assert_eq!(world.offer_node(at(7, 1)), Ok(()));
    assert_eq!(world.offer_node(at(8, 1)), Err(Refusal::PrefixLimit), "candidates have two places");
    world.take_dialed();

    for number in [4, 6, 7] {
        world.end(number, Outcome::HandshakeFailed);
    }
    for number in 1..=3 {
        world.drop_peer(number);
        world.remove_static(number);
    }
    world.remove_static(4);
    world.wait(secs(40));
    world.dials_at("without any peer the bootnode", [at(5, 1)]);
    assert_eq!(world.offer_node(at(8, 1)), Ok(()));
    assert_eq!(world.offer_node(at(9, 1)), Ok(()), "which takes no place");
}

#[test]
fn a_candidate_that_is_added_to_the_static_list_gives_its_place_back() {
    let mut world = world();
    for number in 1..=2 {
        assert_eq!(world.offer_node(at(number, 1)), Ok(()));
        world.connect(number);
    }
    world.input(Input::AddStatic(at(1, 1)));
    assert_eq!(world.offer_node(at(3, 1)), Ok(()));
    assert_eq!(world.offer_node(at(4, 1)), Err(Refusal::PrefixLimit));
}

#[test]
fn a_candidate_of_several_sources_counts_once() {
    let mut world = world();
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    for _ in 0..5 {
        assert_eq!(world.offer_node(at(1, 1)), Err(Refusal::AlreadyDialing));
    }
    world.connect(1);
    for _ in 0..5 {
        assert_eq!(world.offer_node(at(1, 1)), Err(Refusal::AlreadyConnected));
    }
    assert_eq!(world.offer_node(at(2, 1)), Ok(()));
    assert_eq!(world.offer_node(at(3, 1)), Err(Refusal::PrefixLimit));
}

#[test]
fn a_peer_that_dialed_us_takes_no_place() {
    let mut world = world();
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    assert_eq!(world.offer_node(at(2, 1)), Ok(()));
    world.inbound_peer(1);
    assert_eq!(world.offer_node(at(3, 1)), Err(Refusal::PrefixLimit), "our dial goes on");
    world.end(1, Outcome::Collided);
    assert_eq!(world.offer_node(at(3, 1)), Ok(()), "it gave way");
}

#[test]
fn a_candidate_that_collided_keeps_its_place_for_the_second_dial() {
    let mut world = world();
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    assert_eq!(world.offer_node(at(2, 1)), Ok(()));
    world.end(1, Outcome::Collided);
    assert_eq!(world.offer_node(at(3, 1)), Err(Refusal::PrefixLimit));
    world.take_dialed();
    world.wait(secs(4));
    world.dials_at("the second dial", [at(1, 1)]);
}

#[test]
fn of_several_addresses_the_one_that_answered_counts() {
    let mut world = world();
    let both = at_both(1, 1, 1);
    assert_eq!(world.offer_node(both.clone()), Ok(()));
    assert_eq!(world.offer_node(at_both(2, 1, 1)), Ok(()));
    world.dials_at("with all their addresses", [both, at_both(2, 1, 1)]);
    let v6 = |number| node_at(number, &format!("[2a00:1::{number}]:30303"));
    assert_eq!(world.offer_node(at(3, 1)), Err(Refusal::PrefixLimit), "any may answer");
    assert_eq!(world.offer_node(v6(3)), Err(Refusal::PrefixLimit));

    peer(&mut world, 1, Some(DialKind::Dynamic), Some("[2a00:1::1]:30303"));
    assert_eq!(world.offer_node(v6(3)), Err(Refusal::PrefixLimit));
    assert_eq!(world.offer_node(at(3, 1)), Ok(()), "the other address is free");

    peer(&mut world, 2, Some(DialKind::Dynamic), Some("10.0.0.1:1080"));
    assert_eq!(world.offer_node(v6(4)), Err(Refusal::PrefixLimit), "a proxy says nothing");
    assert_eq!(world.offer_node(at(4, 1)), Err(Refusal::PrefixLimit));
}

#[test]
fn only_the_addresses_with_a_place_are_dialed() {
    let mut world = world();
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    assert_eq!(world.offer_node(at(2, 1)), Ok(()));
    world.take_dialed();
    assert_eq!(world.offer_node(at_both(3, 1, 1)), Ok(()));
    let dialed = Node::new(
        key(3).public_key(),
        Some(Host::Ip("2a00:1::3".parse().unwrap())),
        30303,
        at_both(3, 1, 1).udp_port().unwrap_or(0),
    );
    world.dials_at("its other network is full", [dialed]);
}

#[test]
fn a_name_is_counted_by_what_it_stands_for() {
    let mut world = world();
    assert_eq!(world.offer_node(at(1, 1)), Ok(()));
    assert_eq!(world.offer_node(at(2, 1)), Ok(()));
    world.take_dialed();
    let named = node_named(3, "node.example.org");
    assert_eq!(world.offer_node(named.clone()), Ok(()));
    world.searches("its name is looked up", [named.clone()]);
    world.resolved(3, Some(named.with_ip("100.1.0.3".parse().unwrap())));
    world.no_dials("its network is full");
    assert_eq!(world.take_refused(), [(id(3), Refusal::PrefixLimit)]);
    assert_eq!(world.scheduler.wanted_candidates(), 8, "the slot is free again");
}

#[test]
fn a_peer_that_the_user_brought_takes_no_place() {
    let mut world = world();
    for number in 1..=3 {
        peer(&mut world, number, None, Some("100.1.0.1:30303"));
    }
    assert_eq!(world.offer_node(at(4, 1)), Ok(()));
}
