//! Two hosts with as many identities as they like, all with valid records, want to be all that the
//! nodes know. They follow the protocol; each identity is a node like any other.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use devp2p_core::NodeId;
use devp2p_discv5::{Config, Discv5};

use crate::discovery::{
    attacks::{Attack, Bar, Measure},
    keys::StandIn,
    network::{Network, Plan},
    node::Identity,
};

pub(crate) const ATTACK: Attack = Attack {
    name: "False Friends: 2 hosts, 400 identities",
    measures: &[
        Measure { what: "their entries in the table", bar: Bar::AtMost(20.0) },
        Measure { what: "their entries in one bucket", bar: Bar::AtMost(4.0) },
        Measure { what: "their entries in any table", bar: Bar::AtMost(20.0) },
        Measure { what: "of the entries before the attack, still there", bar: Bar::AtLeast(0.8) },
    ],
    run,
    nodes: 50,
};

const IPS: [Ipv4Addr; 2] = [Ipv4Addr::new(45, 10, 7, 1), Ipv4Addr::new(45, 11, 7, 1)];
const FIRST_PORT: u16 = 10_000;
const IDENTITIES: usize = 400;
/// They choose among so many, to have some for each bucket.
const MADE: usize = 1_000;
/// The sessions of each host with the victim each second: as many as are answered.
const EACH_SECOND: usize = 10;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::<Config>::small(nodes);
    let config = plan.config.clone();
    plan.pace = Some(Duration::from_secs(10));
    let mut network = Network::<Discv5<StandIn>>::new(seed, plan);
    network.run_for(40);
    let victim = 1 + (seed as usize % (nodes - 1));
    let identity = network.nodes[victim].0.clone();
    let before: Vec<_> = network.at(victim).table().map(|(id, _)| id).collect();
    let honest = network.alive();

    let all: Vec<_> = (0..MADE)
        .map(|n| {
            let port = FIRST_PORT + (n / IPS.len()) as u16;
            Identity::new(&mut network.rng, (IPS[n % IPS.len()], port).into())
        })
        .collect();
    let mut theirs = BTreeSet::new();
    for liar in in_turn(identity.id, all).into_iter().take(IDENTITIES) {
        theirs.insert(liar.id);
        let at = network.join_as(liar, config.clone());
        let node = identity.node();
        network.with(at, |it, now| it.ask(now, &node));
        network.world.run_for(Duration::from_secs(1) / (EACH_SECOND * IPS.len()) as u32);
    }
    network.run_for(20);

    let table: Vec<_> = network.at(victim).table().map(|(id, _)| id).collect();
    let mut buckets = BTreeMap::<_, usize>::new();
    for id in table.iter().filter(|id| theirs.contains(id)) {
        *buckets.entry(identity.id.log_distance(id).max(240)).or_default() += 1;
    }
    let count = |at: &usize| network.at(*at).table().filter(|(id, _)| theirs.contains(id)).count();
    let anywhere = honest.iter().map(count).max().unwrap_or(0);
    let kept = before.iter().filter(|id| table.contains(id)).count();
    vec![
        buckets.values().sum::<usize>() as f64,
        buckets.values().max().copied().unwrap_or(0) as f64,
        anywhere as f64,
        kept as f64 / before.len() as f64,
    ]
}

/// All of them, from each bucket of the victim in turn.
fn in_turn(victim: NodeId, all: Vec<Identity>) -> Vec<Identity> {
    let (mut buckets, count) = (BTreeMap::<_, VecDeque<_>>::new(), all.len());
    for identity in all {
        buckets.entry(victim.log_distance(&identity.id)).or_default().push_back(identity);
    }
    let mut order = Vec::new();
    while order.len() < count {
        order.extend(buckets.values_mut().filter_map(VecDeque::pop_front));
    }
    order
}
