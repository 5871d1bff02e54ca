//! What is often done, and often looked at.

use std::net::SocketAddr;

use devp2p_core::{Node, NodeId, Record};
use devp2p_discv5::{Config, Contact, Event};
use devp2p_kad::{Entry, Id};

use crate::world::{World, addr_of, key, limited, record};

/// So many machines that all know the first one, and have had time to find each other.
pub(crate) fn network(size: u32, change: impl Fn(&mut Config)) -> World {
    let mut world = World::new();
    let boot = node(0);
    for number in 0..size {
        let mut config = limited();
        if number > 0 {
            config.bootstrap_nodes = vec![boot.clone()];
        }
        change(&mut config);
        world.add(number, config);
    }
    world.run(crate::world::secs(20));
    world
}

/// The node of a number where it is by default.
pub(crate) fn node(number: u32) -> Node {
    Node::from_record(record(&key(number), 1, addr_of(number)))
}

/// What a peer's table knows of a node.
pub(crate) fn entry(world: &World, peer: usize, id: NodeId) -> Option<&Entry<Contact>> {
    world.peers[peer].machine.table().get(&Id::new(*id.as_bytes()))
}

/// Where a peer has verified a node, if it has.
pub(crate) fn verified_at(world: &World, peer: usize, id: NodeId) -> Option<SocketAddr> {
    let mut entries = world.peers[peer].machine.table().entries();
    let entry = entries.find(|entry| entry.value().node().id() == id)?;
    Some(entry.value().endpoint())
}

/// The number of the record that a peer has of a node.
pub(crate) fn seq(world: &World, peer: usize, id: NodeId) -> Option<u64> {
    entry(world, peer, id)?.value().node().record().map(Record::seq)
}

/// What a peer told, as far as it is of interest.
pub(crate) fn told<'a, T>(
    world: &'a World,
    peer: usize,
    choose: impl Fn(&'a Event) -> Option<T> + 'a,
) -> Vec<T> {
    world.peers[peer].events.iter().filter_map(choose).collect()
}
