//! Nodes whose address is missing, a name, out of date, or not allowed.

use std::net::IpAddr;

use devp2p_core::{Node, Record};
use devp2p_dial::{Config, Input, Outcome, Refusal};

use super::world::{World, id, key, node, node_at, node_named, node_without_address, secs};

fn only_static(node: &Node) -> World {
    World::new(|config| {
        config.dynamic = false;
        config.static_nodes = vec![node.clone()];
    })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_static_node_without_an_address_is_searched_for() {
    let bare = node_without_address(1);
    let first = node_at(1, "127.0.0.1:30303");
    let second = node_at(1, "127.0.0.55:30303");
    let mut world = only_static(&bare);
    world.searches("it is searched for", [bare]);
    assert_eq!(world.why_not(1), Some(Refusal::AlreadyDialing));
    world.resolved(1, Some(first.clone()));
    world.dials_at("what was found is dialed", [first.clone()]);

    world.end(1, Outcome::ConnectFailed);
    world.searches("nobody was there: it is searched for once more", [first]);
    world.resolved(1, Some(second.clone()));
    world.dials_at("it had moved, and is dialed within the same attempt", [second.clone()]);
    world.end(1, Outcome::ConnectFailed);
    world.no_dials("once more means once");
    assert_eq!(world.backing_off(1), secs(35));
    world.wait(secs(35));
    world.dials_at("the address found last is kept", [second]);
}

#[test]
fn a_search_that_fails_waits_a_minute_up_to_an_hour() {
    let bare = node_without_address(1);
    let mut world = only_static(&bare);
    for seconds in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        world.searches("the wait has passed", [bare.clone()]);
        world.resolved(1, None);
        assert_eq!(world.take_refused(), [(id(1), Refusal::NoAddress)]);
        assert_eq!(world.backing_off(1), secs(seconds));
        world.wait(secs(seconds - 1));
        world.no_dials("the wait has not passed");
        world.wait(secs(1));
    }
    world.searches("the wait has passed", [bare]);
    world.resolved(1, Some(node(1)));
    world.dials("found at last", [1]);
}

#[test]
fn an_address_that_only_repeats_itself_is_not_searched_for_all_the_time() {
    let mut world = only_static(&node(1));
    world.dials("its address is known", [1]);
    world.end(1, Outcome::ConnectFailed);
    world.searches("but may be out of date", [node(1)]);
    world.resolved(1, Some(node(1)));
    world.no_dials("it is not");
    assert_eq!(world.backing_off(1), secs(35));

    world.wait(secs(35));
    world.dials("the wait has passed", [1]);
    world.end(1, Outcome::ConnectFailed);
    world.no_dials("the last search was 35 s ago");
    world.wait(secs(70));
    world.dials("the wait has passed", [1]);
    world.end(1, Outcome::ConnectFailed);
    world.searches("the last search was 105 s ago", [node(1)]);
    world.resolved(1, None);
    world.wait(secs(120));
    world.dials("the wait has passed", [1]);
    world.end(1, Outcome::HandshakeFailed);
    world.no_dials("somebody was there: the address is good");
}

#[test]
fn what_was_found_does_not_keep_the_address_that_was_given_from_its_turn() {
    let mut world = only_static(&node(1));
    let elsewhere = node(1).with_ip(ip("192.0.2.77"));
    world.dials("its address is known", [1]);
    world.end(1, Outcome::ConnectFailed);
    world.searches("but may be out of date", [node(1)]);
    world.resolved(1, Some(elsewhere.clone()));
    world.dials_at("there it may be", [elsewhere.clone()]);
    world.end(1, Outcome::ConnectFailed);
    world.wait(secs(120));
    world.dials_at("once more", [elsewhere.clone()]);
    world.end(1, Outcome::ConnectFailed);
    world.searches("it may have moved", [elsewhere.clone()]);
    world.resolved(1, Some(elsewhere));
    world.wait(secs(120));
    world.dials("where it was said to be", [1]);
}

#[test]
fn a_candidate_that_fails_is_not_searched_for() {
    let mut world = World::with_slots(1);
    world.offer([1]);
    world.dials("dialed", [1]);
    world.end(1, Outcome::ConnectFailed);
    world.no_dials("there are other candidates");
}

#[test]
fn a_name_is_looked_up_before_each_dial() {
    let named = node_named(1, "node.example.org");
    let (first, second) = (named.with_ip(ip("10.0.0.1")), named.with_ip(ip("10.0.0.2")));
    let mut world = only_static(&named);
    world.searches("looked up", [named.clone()]);
    world.resolved(1, Some(first.clone()));
    world.dials_at("the first address", [first]);
    world.connect(1);
    world.wait(secs(100));
    world.drop_peer(1);

    world.searches("looked up again", [named.clone()]);
    world.resolved(1, Some(second.clone()));
    world.dials_at("the name has moved", [second.clone()]);
    world.end(1, Outcome::ConnectFailed);
    world.searches("now its id is searched for, as its name was just looked up", [second.clone()]);
    world.resolved(1, None);

    world.wait(secs(35));
    world.searches("looked up again", [named.clone()]);
    world.resolved(1, None);
    world.dials_at("while lookups fail, the last address has to do", [second.clone()]);
    world.end(1, Outcome::HandshakeFailed);
    world.wait(secs(59));
    world.no_dials("the wait of the second failure has not passed");
    world.wait(secs(11));
    world.searches("70 s later the failed lookup may be repeated", [named]);
    world.resolved(1, Some(second.clone()));
    world.dials_at("found", [second]);
}

#[test]
fn where_a_proxy_looks_names_up_they_are_dialed() {
    let named = node_named(1, "node.example.org");
    let world = |configure: fn(&mut Config)| {
        World::new(|config| {
            config.static_nodes = vec![named.clone()];
            config.dial_names = true;
            configure(config);
        })
    };
    let mut through_proxy = world(|_| ());
    through_proxy.dials_at("by its name", [named.clone()]);
    through_proxy.end(1, Outcome::ConnectFailed);
    through_proxy.no_dials("it failed");
    through_proxy.searches("and nobody is asked for another address", []);
    through_proxy.wait(secs(35));
    through_proxy.dials_at("again", [named.clone()]);

    let candidate = node_named(2, "other.example.org");
    let refused = through_proxy.offer_node(candidate);
    assert_eq!(refused, Err(Refusal::NoAddress), "no limit by address would hold for it");

    let mut restricted = world(|config| config.net_restrict = Some("10.0.0.0/8".parse().unwrap()));
    restricted.no_dials("where it leads nobody can say");
    assert_eq!(restricted.scheduler.why_not(restricted.now, &named), Some(Refusal::NetRestrict));

    let nowhere = Node::new(key(1).public_key(), named.host().cloned(), 0, 30303);
    let mut world = World::new(|config| {
        config.static_nodes = vec![nowhere.clone()];
        config.dial_names = true;
    });
    world.no_dials("there is no port");
    assert_eq!(world.scheduler.why_not(world.now, &nowhere), Some(Refusal::NoPort));
}

#[test]
fn a_name_that_was_never_found_is_not_dialed() {
    let named = node_named(1, "node.example.org");
    let mut world = only_static(&named);
    world.searches("looked up", [named.clone()]);
    world.resolved(1, None);
    world.wait(secs(59));
    world.no_dials("there is nothing to dial");
    world.wait(secs(1));
    world.searches("looked up again", [named]);
}

#[test]
fn an_answer_that_does_not_fit_is_no_answer() {
    let bare = node_without_address(1);
    for answer in [node(2), bare.clone(), node_at(1, "10.0.0.1:0")] {
        let mut world = only_static(&bare);
        world.searches("searched for", [bare.clone()]);
        world.resolved(1, Some(answer));
        world.no_dials("another node, or no address, or no port");
        assert_eq!(world.backing_off(1), secs(60));
    }
    let mut world = only_static(&bare);
    world.searches("searched for", [bare]);
    world.resolved(2, Some(node(2)));
    world.no_dials("nobody asked");
    assert_eq!(world.why_not(1), Some(Refusal::AlreadyDialing));
}

#[test]
fn a_search_without_an_answer_is_given_up() {
    let bare = node_without_address(1);
    let mut world = only_static(&bare);
    world.searches("searched for", [bare]);
    world.wait(secs(30));
    assert_eq!(world.take_refused(), [(id(1), Refusal::NoAddress)]);
    assert_eq!(world.scheduler.stats().dialing, 0);
    world.resolved(1, Some(node(1)));
    world.no_dials("the answer comes too late");
}

#[test]
fn a_node_that_comes_to_us_during_the_search_is_not_dialed() {
    let mut world = only_static(&node_without_address(1));
    world.inbound_peer(1);
    assert_eq!(world.scheduler.stats().dialing, 0);
    world.searches("searched for", [node_without_address(1)]);
    world.resolved(1, Some(node(1)));
    world.no_dials("it is a peer");

    let mut world = only_static(&node_without_address(1));
    world.searches("searched for", [node_without_address(1)]);
    world.input(Input::PendingInbound { id: id(1) });
    world.resolved(1, Some(node(1)));
    world.no_dials("it is dialing us");
    assert_eq!(world.take_refused(), [(id(1), Refusal::PendingInbound)]);
    world.input(Input::PendingInboundDone { id: id(1) });
    world.dials("which came to nothing", [1]);
}

#[test]
fn removing_a_node_ends_the_search_for_it() {
    let bare = node_without_address(1);
    let mut world = only_static(&bare);
    world.remove_static(1);
    assert_eq!(world.scheduler.stats().dialing, 0);
    world.searches("searched for", [bare.clone()]);
    world.resolved(1, Some(node(1)));
    world.no_dials("it is not wanted any more");
    world.input(Input::AddStatic(bare.clone()));
    world.searches("wanted again", [bare]);
}

#[test]
fn a_new_address_ends_the_search_for_the_old_one() {
    let named = node_named(1, "old.example.org");
    let mut world = only_static(&named);
    world.searches("the old name is looked up", [named.clone()]);
    world.add_static(1);
    world.dials("the new address is dialed", [1]);
    world.resolved(1, Some(named.with_ip(ip("10.0.0.7"))));
    world.end(1, Outcome::HandshakeFailed);
    world.wait(secs(35));
    world.dials("what the old name led to does not matter", [1]);
}

#[test]
fn an_address_outside_of_netrestrict_is_not_dialed_however_it_was_found() {
    let named = node_named(1, "node.example.org");
    let mut world = World::new(|config| {
        config.dynamic = false;
        config.net_restrict = Some("10.0.0.0/8".parse().unwrap());
        config.static_nodes = vec![named.clone()];
    });
    world.searches("looked up", [named.clone()]);
    world.resolved(1, Some(named.with_ip(ip("192.0.2.1"))));
    world.no_dials("outside");
    assert_eq!(world.take_refused(), [(id(1), Refusal::NetRestrict)]);
    assert_eq!(world.backing_off(1), secs(60));
    world.wait(secs(60));
    world.searches("it may have moved", [named.clone()]);
    world.resolved(1, Some(named.with_ip(ip("10.0.0.1"))));
    world.dials_at("inside", [named.with_ip(ip("10.0.0.1"))]);
}

#[test]
fn of_two_addresses_only_the_one_inside_of_netrestrict_is_dialed() {
    let record = Record::builder()
        .seq(1)
        .ip(ip("192.0.2.1"))
        .tcp(30303)
        .ip(ip("2001:db8::1"))
        .tcp6(30306)
        .sign(&key(1))
        .unwrap();
    let both = Node::from_record(record);
    assert_eq!(both.tcp_addrs().len(), 2);
    let mut world = World::new(|config| {
        config.net_restrict = Some("2001:db8::/32".parse().unwrap());
    });
    assert_eq!(world.offer_node(both), Ok(()));
    world.dials_at(
        "not the other family's",
        [Node::new(key(1).public_key(), Some(devp2p_core::Host::Ip(ip("2001:db8::1"))), 30306, 0)],
    );
}
