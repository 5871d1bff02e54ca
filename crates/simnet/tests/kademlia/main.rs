//! 200 nodes with the tables and lookups of `devp2p-kad` find one another from one bootnode, over
//! links that lose, reorder and double.
#![expect(clippy::unwrap_used, reason = "a test")]

mod node;

use std::{net::SocketAddrV4, time::Duration};

use devp2p_kad::Id;
use devp2p_simnet::{HostId, Link, World, assert_repeats, for_seeds};

use crate::node::{Node, Peer};

const NODES: u8 = 200;

struct Network {
    world: World<Node>,
    /// Where each node is.
    nodes: Vec<(Id, HostId)>,
}

impl Network {
    /// All start at once. The first is everybody's bootnode, and knows nobody.
    fn new(seed: u64) -> Self {
        let link = Link {
            jitter: Duration::from_millis(40),
            loss: 0.05,
            reorder: 0.05,
            duplicate: 0.02,
            ..Link::default()
        };
        let mut world = World::new(seed, link);
        let mut nodes = Vec::new();
        let mut bootnode = None;
        for n in 0..NODES {
            // Each in a /24 of its own.
            let address = SocketAddrV4::new([10, 0, n, 1].into(), 30303);
            let (id, random) = (Id::new(world.rng().seed()), world.rng().next_u64());
            let node = Node::new(world.now(), random, id, bootnode);
            bootnode.get_or_insert((id, Peer(address)));
            nodes.push((id, world.spawn(address.into(), node)));
        }
        Self { world, nodes }
    }

    fn run_for(&mut self, secs: u64) {
        self.world.run_for(Duration::from_secs(secs));
    }

    /// Of the 16 nodes that live and are nearest to each node, how large a share is in its table.
    fn neighbours_known(&self) -> f64 {
        let (mut known, mut all) = (0, 0);
        for (own, node) in self.alive() {
            let table = &self.world.host(node).table;
            for id in self.nearest(own, own) {
                all += 1;
                known += u32::from(table.get(&id).is_some_and(|entry| entry.is_verified()));
            }
        }
        f64::from(known) / f64::from(all)
    }

    /// The share of table entries that are of dead nodes.
    fn dead_entries(&self) -> f64 {
        let (mut dead, mut all) = (0, 0);
        for (_, node) in self.world.hosts() {
            for entry in node.table.entries() {
                all += 1;
                dead += u32::from(!self.alive().any(|(id, _)| id == entry.id()));
            }
        }
        f64::from(dead) / f64::from(all)
    }

    /// Has 100 nodes look for random targets: how large a share of the nearest 16 they find.
    fn lookups(&mut self) -> f64 {
        let alive: Vec<_> = self.alive().collect();
        let mut lookups = Vec::new();
        for &(own, node) in alive.iter().cycle().take(100) {
            let target = Id::new(self.world.rng().seed());
            self.world.with(node, |node, now| node.find(now, target));
            let interval = Duration::from_millis(50);
            let done = self.world.run_until(Duration::from_secs(20), interval, |world| {
                world.host(node).found.as_ref().is_some_and(|(found, _)| *found == target)
            });
            assert!(done.is_some(), "a lookup takes more than 20 s");
            lookups.push((own, target, self.world.host(node).found.clone().unwrap().1));
        }
        let (mut right, mut all) = (0, 0);
        for (own, target, found) in lookups {
            let nearest = self.nearest(own, target);
            all += nearest.len();
            right += nearest.iter().filter(|id| found.contains(id)).count();
        }
        right as f64 / all as f64
    }

    fn alive(&self) -> impl Iterator<Item = (Id, HostId)> {
        self.nodes.iter().copied().filter(|(_, host)| self.world.get(*host).is_some())
    }

    /// The 16 live nodes nearest to `target` but for `own`.
    fn nearest(&self, own: Id, target: Id) -> Vec<Id> {
        let mut ids: Vec<_> = self.alive().map(|(id, _)| id).filter(|id| *id != own).collect();
        ids.sort_by_key(|id| id.distance(&target));
        ids.truncate(16);
        ids
    }
}

#[test]
fn from_one_bootnode_everybody_is_found() {
    for_seeds(2, |seed| {
        let mut network = Network::new(seed);
        assert_eq!(network.neighbours_known(), 0.0);
        network.run_for(300);
        let known = network.neighbours_known();
        let lossy = network.lookups();
        network.world.set_link(Link::default());
        let found = network.lookups();
        println!("seed {seed}: {known} known, {found} found, {lossy} where links lose");
        // Who does not answer is not found: where 5 % are lost each way, that is 1 of 10.
        assert!(known > 0.95 && found > 0.99 && (0.87..0.93).contains(&lossy));
    });
}

#[test]
fn lookups_go_on_where_a_third_of_the_nodes_is_killed() {
    for_seeds(2, |seed| {
        let mut network = Network::new(seed);
        network.run_for(300);
        for at in (1..usize::from(NODES)).step_by(3) {
            network.world.crash(network.nodes[at].1);
        }
        let before = network.dead_entries();
        network.world.set_link(Link::default());
        let found = network.lookups();
        network.run_for(600);
        let (after, known) = (network.dead_entries(), network.neighbours_known());
        println!("seed {seed}: {before} dead, {found} found, then {after} dead, {known} known");
        assert!(before > 0.25 && found > 0.9 && after < 0.03 && known > 0.95);
    });
}

#[test]
fn a_partition_heals() {
    for_seeds(2, |seed| {
        let mut network = Network::new(seed);
        network.run_for(300);
        let hosts: Vec<_> = network.nodes.iter().map(|(_, host)| *host).collect();
        network.world.partition(&[&hosts[100..]]);
        network.run_for(600);
        let parted = network.neighbours_known();
        network.world.heal();
        network.run_for(60);
        network.world.set_link(Link::default());
        let (known, found) = (network.neighbours_known(), network.lookups());
        println!("seed {seed}: {parted} known, then {known} known, {found} found");
        assert!(parted < 0.7 && known > 0.9 && found > 0.99);
    });
}

#[test]
fn one_seed_one_trace() {
    for_seeds(2, |seed| {
        assert_repeats(seed, |seed| {
            let mut network = Network::new(seed);
            network.run_for(60);
            assert!(network.world.statistics().delivered > 10_000);
            network.world.trace()
        });
    });
}
