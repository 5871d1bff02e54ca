//! Two hosts with as many identities as they like want to be all that a node knows.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use devp2p_core::NodeId;

use devp2p_discv4::Discv4;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::{MINED, StandIn, mined},
    liar::{Liar, Names},
    network::{Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "False Friends: 2 hosts, 32,768 identities",
    measures: &[
        Measure { what: "their entries in the table", bar: Bar::AtMost(20.0) },
        Measure { what: "their entries in one bucket", bar: Bar::AtMost(4.0) },
        Measure { what: "of the entries before the attack, still there", bar: Bar::AtLeast(0.8) },
    ],
    run,
    nodes: 50,
};

const IPS: [Ipv4Addr; 2] = [Ipv4Addr::new(45, 10, 7, 1), Ipv4Addr::new(45, 11, 7, 1)];
/// PINGs of each host to the victim each second: as many as are answered.
const PINGS: usize = 5;
const SECS: u64 = 40;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut network = Network::<Discv4<StandIn>>::new(seed, Plan::small(nodes));
    network.run_for(40);
    let victim = 1 + (seed as usize % (nodes - 1));
    let identity = network.nodes[victim].0.clone();
    let before: Vec<_> = network.at(victim).table().map(|(id, _)| id).collect();

    let liar = Liar::new(network.clock, IPS.to_vec(), Names::Itself);
    let liar = network.add_liar(&IPS, liar);
    for at in (0..nodes).filter(|at| *at != victim) {
        let address = network.nodes[at].0.address;
        let identity = network.rng.below(MINED as u64) as usize;
        network.with_liar(liar, |liar, now| liar.ping(now, identity, address));
    }
    // Only the victim asks, and so is lied to.
    network.set_pace(None);
    let pace = Some(Duration::from_secs(10));
    network.with(victim, |node, now| node.set_pace(now, pace, 0.0));
    let mut order = in_turn(identity.id);
    for _ in 0..SECS {
        for _ in 0..PINGS * IPS.len() {
            let Some(at) = order.pop_front() else { break };
            network.with_liar(liar, |liar, now| liar.ping(now, at, identity.address));
            network.world.run_for(Duration::from_secs(1) / (PINGS * IPS.len()) as u32);
        }
    }

    let table: Vec<_> = network.at(victim).table().map(|(id, _)| id).collect();
    let theirs: Vec<_> = table.iter().filter(|id| Liar::knows(id)).collect();
    let mut buckets = BTreeMap::<_, usize>::new();
    for id in &theirs {
        let distance = identity.id.log_distance(id).max(240);
        *buckets.entry(distance).or_default() += 1;
    }
    let most = buckets.values().max().copied().unwrap_or(0);
    let kept = before.iter().filter(|id| table.contains(id)).count();
    vec![theirs.len() as f64, most as f64, kept as f64 / before.len() as f64]
}

/// All identities, from each bucket of the victim in turn.
fn in_turn(victim: NodeId) -> VecDeque<usize> {
    let mut buckets = BTreeMap::<_, VecDeque<_>>::new();
    for (at, identity) in mined().iter().enumerate() {
        buckets.entry(victim.log_distance(&identity.id)).or_default().push_back(at);
    }
    let mut order = VecDeque::new();
    while order.len() < MINED {
        order.extend(buckets.values_mut().filter_map(VecDeque::pop_front));
    }
    order
}
