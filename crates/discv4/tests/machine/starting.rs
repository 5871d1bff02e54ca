//! The first moments of a run: who gets the places of an empty table.

use devp2p_core::{DiscoveryVersion, Seed};
use devp2p_discv4::{Config, Event, wire::PacketKind};

use super::world::{START, Stranger, World, addr_of, key, limited, ms, node_at, secs};

#[test]
fn who_comes_before_the_first_refresh_is_over_gets_a_place_after_it() {
    for waits in [true, false] {
        let mut world = World::new();
        let mut config = limited();
        // Nobody is there, so that the refresh takes a timeout.
        config.bootstrap_nodes = vec![node_at(&key(9), addr_of(9))];
        config.newcomers_wait = waits;
        world.add(0, addr_of(0), config);
        world.call(0, |machine, now| machine.handle_timeout(now));
        let early = Stranger::new(100, "66.6.6.6:30303");
        early.bond(&mut world, 0);
        let is_bonded = world.peers[0].machine.is_bonded(world.now, early.id(), early.endpoint);
        assert!(is_bonded, "it is answered as ever");
        // Also when it has proved itself.
        early.ping(&mut world, 0);
        assert_eq!(world.peers[0].knows(early.id()), !waits);
        world.run(ms(400));
        assert_eq!(world.peers[0].knows(early.id()), !waits);

        world.run(secs(1));
        assert!(world.peers[0].knows(early.id()));
        let late = Stranger::new(101, "67.6.6.6:30303");
        late.bond(&mut world, 0);
        assert!(world.peers[0].knows(late.id()));
    }
}

#[test]
fn seeds_are_asked_at_once_and_have_their_places_first() {
    let mut world = World::new();
    world.add(0, addr_of(0), Config::default());
    let seeds = (1..=30).map(|number| {
        world.add(number, addr_of(number), Config::default());
        let node = node_at(&key(number), addr_of(number));
        Seed::new(node, addr_of(number), DiscoveryVersion::V4, START - 60)
    });
    let seeds: Vec<_> = seeds.collect();
    // The last is not there any more.
    world.peers[30].is_up = false;
    world.call(0, |machine, now| machine.add_seeds(now, seeds));
    for number in 1..=30 {
        assert!(world.kinds_to(addr_of(number)).contains(&PacketKind::Ping), "{number}");
    }
    // A round trip later. Half of them are in one bucket, which has places for no more than 16.
    world.run(ms(20));
    let placed = (1..30).filter(|&number| world.peers[0].knows(key(number).id())).count();
    assert!(placed >= 25, "{placed}");
    world.run(secs(60));
    let is_forget = |event: &Event| matches!(event, Event::Forget(_));
    assert!(!world.peers[0].events.iter().any(is_forget), "neither those behind nor the last");
}

#[test]
fn nodes_are_met_from_the_table_first_in_any_order() {
    let mut world = World::network(30, |_| {});
    world.run(secs(60));
    let known = world.peers[0].machine.nodes().count();
    let found = (25..60).map(|number| node_at(&key(number), addr_of(number))).collect::<Vec<_>>();
    let mut first = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let met = world.call(0, |machine, _| machine.nodes_to_meet(found.clone()));
        let ids: std::collections::BTreeSet<_> = met.iter().map(|node| node.id()).collect();
        assert_eq!(ids.len(), met.len(), "each once");
        assert!(found.iter().all(|node| ids.contains(&node.id())));
        assert!(met[..known].iter().all(|node| world.peers[0].knows(node.id())));
        first.insert(met[0].id());
    }
    assert_eq!(first.len(), known);
}

#[test]
fn more_seeds_than_the_table_tells_changes_of_are_taken_up() {
    let mut world = World::new();
    world.add(0, addr_of(0), limited());
    let seed = |number: u32| {
        let node = Stranger::new(number, &addr_of(number).to_string());
        Seed::new(node.node(), node.endpoint, DiscoveryVersion::V4, START)
    };
    let seeds = (1_000..5_000).map(seed).collect();
    world.call(0, |machine, now| machine.add_seeds(now, seeds));
    assert_eq!(world.peers[0].machine.table().lost_changes(), 0);
}

#[test]
fn a_refresh_in_which_nobody_answered_is_made_again_soon() {
    let mut world = World::network(1, |_| {});
    let mut config = limited();
    config.bootstrap_nodes = vec![world.peers[0].node()];
    world.add(1, addr_of(1), config);
    world.call(1, |machine, now| machine.handle_timeout(now));
    let questions = |world: &World| {
        let kinds = world.kinds_to(addr_of(0)).into_iter();
        kinds.filter(|kind| *kind == PacketKind::FindNode).count()
    };
    while questions(&world) == 0 {
        world.run(ms(1));
    }
    // It has answered a PING, so the table is not empty. What is on its way to it now is lost.
    assert!(world.peers[1].knows(key(0).id()));
    world.peers[0].is_up = false;
    world.run(secs(2));
    world.peers[0].is_up = true;
    assert_eq!(questions(&world), 1);
    world.run(secs(15));
    assert!(questions(&world) > 1);
}
