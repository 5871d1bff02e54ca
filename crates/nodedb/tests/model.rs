//! Any sequence of rows, restarts and pauses, against a map.
#![expect(clippy::unwrap_used, reason = "a test")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{cmp::Reverse, collections::BTreeMap};

use devp2p_core::{DiscoveryVersion, Node, NodeId, Seed, prefix_group};
use devp2p_nodedb::{MAX_ANCHORS, Options, SEED_LIFETIME};
use proptest::prelude::*;

use self::support::{DAY, NOW, endpoint, folder, local, node, open_with, sorted};

const MAX_SEEDS: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    Seed { protocol: DiscoveryVersion, node: u32, network: u32, age: u64 },
    Forget { protocol: DiscoveryVersion, node: u32 },
    LocalSeq(u64),
    Anchors(Vec<u32>),
    Flush,
    Restart { local: u8, later: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = || prop_oneof![Just(DiscoveryVersion::V4), Just(DiscoveryVersion::V5)];
    prop_oneof![
        8 => (protocol(), 0..20_u32, 0..4_u32, 0..7 * DAY).prop_map(
            |(protocol, node, network, age)| Step::Seed { protocol, node, network, age }
        ),
        2 => (protocol(), 0..20_u32).prop_map(|(protocol, node)| Step::Forget { protocol, node }),
        1 => (0..9_u64).prop_map(Step::LocalSeq),
        1 => prop::collection::vec(0..20_u32, 0..6).prop_map(Step::Anchors),
        2 => Just(Step::Flush),
        2 => (0..3_u8, 0..2 * DAY).prop_map(|(local, later)| Step::Restart { local, later }),
    ]
}

/// The same rules, in the plainest way.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    local: u8,
    seqs: BTreeMap<u8, u64>,
    anchors: Vec<Node>,
    stored: BTreeMap<(DiscoveryVersion, NodeId), Seed>,
    /// What waits for the next transaction.
    queued: BTreeMap<(DiscoveryVersion, NodeId), Option<Seed>>,
}

impl Model {
    fn commit(&mut self) {
        for (key, seed) in std::mem::take(&mut self.queued) {
            match seed {
                Some(seed) => drop(self.stored.insert(key, seed)),
                None => drop(self.stored.remove(&key)),
            }
        }
        for protocol in [DiscoveryVersion::V4, DiscoveryVersion::V5] {
            loop {
                let seeds: Vec<_> =
                    self.stored.values().filter(|seed| seed.protocol == protocol).collect();
                if seeds.len() <= MAX_SEEDS {
                    break;
                }
                // The last of the largest network goes; of several as large, the stalest.
                let fresher = |seed: &Seed| (Reverse(seed.last_pong), seed.node.id());
                let network = |seed: &Seed| prefix_group(seed.endpoint.ip());
                let rank = |seed: &Seed| {
                    let same = seeds.iter().filter(|other| network(other) == network(seed));
                    same.filter(|other| fresher(other) < fresher(seed)).count()
                };
                let worst = seeds.iter().max_by_key(|seed| (rank(seed), fresher(seed))).unwrap();
                let key = (protocol, worst.node.id());
                self.stored.remove(&key);
            }
        }
    }

    fn restart(&mut self, local: u8, later: u64) {
        self.commit();
        self.now += later;
        let now = self.now;
        self.stored.retain(|_, seed| now - seed.last_pong <= SEED_LIFETIME.as_secs());
        if local != self.local {
            self.stored.values_mut().for_each(|seed| seed.last_ping = 0);
        }
        self.local = local;
    }
}

fn options(local_id: u8, now: u64) -> Options {
    let mut options = Options::new(local(local_id), now, [1; 32]);
    options.max_seeds = MAX_SEEDS;
    options.seeds_at_open = usize::MAX;
    options
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_file_remembers_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let path = folder("model").join("nodes");
        let mut model = Model { now: NOW, ..Model::default() };
        let mut opened = open_with(&path, options(0, NOW)).unwrap();
        for step in steps.into_iter().chain([Step::Restart { local: 1, later: 0 }]) {
            match step {
                Step::Seed { protocol, node: n, network, age } => {
                    let last_pong = model.now - age;
                    let mut seed = Seed::new(node(n), endpoint(network), protocol, last_pong);
                    seed.last_ping = age;
                    model.queued.insert((protocol, node(n).id()), Some(seed.clone()));
                    opened.db.write_seed(seed);
                }
                Step::Forget { protocol, node: n } => {
                    model.queued.insert((protocol, node(n).id()), None);
                    opened.db.forget(protocol, node(n).id());
                }
                Step::LocalSeq(seq) => {
                    let known = model.seqs.entry(model.local).or_default();
                    *known = seq.max(*known);
                    opened.db.write_local_seq(seq);
                    // Written at once, and all that waits with it.
                    prop_assert!(opened.db.flush());
                    model.commit();
                }
                Step::Anchors(nodes) => {
                    let nodes: Vec<_> = nodes.into_iter().map(node).collect();
                    model.anchors = nodes.iter().take(MAX_ANCHORS).cloned().collect();
                    opened.db.write_anchors(nodes);
                    prop_assert!(opened.db.flush());
                    model.commit();
                }
                Step::Flush => {
                    prop_assert!(opened.db.flush());
                    model.commit();
                }
                Step::Restart { local, later } => {
                    opened.db.close();
                    model.restart(local, later);
                    opened = open_with(&path, options(local, model.now)).unwrap();
                    let found = &opened.remembered;
                    let expected: Vec<_> = model.stored.values().cloned().collect();
                    prop_assert_eq!(sorted(found.seeds.clone()), sorted(expected));
                    prop_assert_eq!(&found.anchors, &model.anchors);
                    prop_assert_eq!(found.local_seq, model.seqs.get(&local).copied());
                    prop_assert_eq!(opened.notices(), []);
                }
            }
        }
    }
}
