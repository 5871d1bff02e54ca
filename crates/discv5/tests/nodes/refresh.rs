//! When and where a machine looks for more nodes of its own accord.

use devp2p_core::NodeId;
use devp2p_discv5::{
    Event,
    message::{Body, MessageKind},
};

use crate::{
    support::{network, verified_at},
    world::{Got, Stranger, World, key, limited, ms, secs},
};

#[test]
fn a_refresh_in_which_nobody_answered_is_made_again_soon() {
    let mut world = network(1, |_| {});
    let mut config = limited();
    config.bootstrap_nodes = vec![world.peers[0].node()];
    world.add(1, config);
    world.call(1, |machine, now| machine.handle_timeout(now));
    let boot = world.peers[0].id();
    let questions =
        |world: &World| world.peers[1].machine.statistics().sent(MessageKind::FindNode).packets;
    while questions(&world) == 0 {
        world.run(ms(1));
    }
    // It has answered a PING, so the table is not empty. What is on its way to it now is lost.
    assert!(verified_at(&world, 1, boot).is_some());
    world.peers[0].is_up = false;
    world.run(secs(2));
    world.peers[0].is_up = true;
    assert_eq!(questions(&world), 1);
    world.run(secs(15));
    assert!(questions(&world) > 1);
}

/// The bootnode answers what came from a peer, knows nobody, and returns the distances that it was
/// asked for.
fn asked(boot: &mut Stranger, world: &mut World, peer: usize) -> Vec<Vec<u16>> {
    let from = world.peers[peer].endpoint;
    world.sent.retain(|sent| sent.to != boot.endpoint || sent.from == from);
    let mut asked = Vec::new();
    for got in boot.receive(world) {
        match got {
            Got::Message(message) => match message.body {
                Body::FindNode(find_node) => {
                    asked.push(find_node.distances);
                    boot.nodes(world, peer, message.request_id, 1, &[]);
                }
                _ => boot.pong(world, peer, &message),
            },
            Got::Unopened(nonce) => boot.challenge(world, peer, nonce),
            Got::WhoAreYou(_) => {}
        }
    }
    asked
}

/// The answers of those that it knows keep it among them, as in one of two halves of a network that
/// have lost each other.
#[test]
fn a_refresh_asks_the_bootnodes_though_many_are_nearer() {
    let own: NodeId = key(0).id();
    let far = (100..200).max_by_key(|&number| key(number).id().distance(&own)).unwrap();
    let mut boot = Stranger::new(far);
    let mut config = limited();
    config.bootstrap_nodes = vec![boot.node()];
    config.refresh_interval = secs(120);
    let mut world = World::new();
    world.add(0, config);
    for number in 1..=20 {
        assert!(key(number).id().distance(&own) < boot.id().distance(&own));
        let friend = world.add(number, limited());
        let node = world.peers[friend].node();
        world.call(0, |machine, now| machine.add_node(now, node));
    }
    let mut run = |world: &mut World, seconds: u64| {
        let step = |_| {
            world.run(ms(50));
            asked(&mut boot, world, 0)
        };
        (0..20 * seconds).flat_map(step).collect::<Vec<_>>()
    };
    run(&mut world, 30);
    assert!(world.peers[0].machine.table().len() > 16);
    let distance = key(far).id().log_distance(&own);
    let asked = run(&mut world, 120);
    assert!((1..=2).contains(&asked.len()), "once in a refresh: {asked:?}");
    assert!(asked.iter().all(|distances| distances[0] == distance), "for those near to us");
}

#[test]
fn a_lookup_for_no_nodes_is_over_at_once() {
    let mut world = network(4, |_| {});
    world.forget();
    let any = Box::new(|_: &_| true);
    let target = NodeId::new([3; 32]);
    let query = world.call(0, |machine, now| machine.lookup_where(now, target, 0, any));
    assert_eq!(world.peers[0].result(query), &Event::LookupDone { query, nodes: Vec::new() });
    assert!(world.sent.is_empty(), "nobody is asked");
}
