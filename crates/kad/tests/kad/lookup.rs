//! Searches in networks of live, dead and lying nodes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use devp2p_kad::{Id, Lookup, LookupConfig};
use proptest::prelude::*;

use crate::{
    network::{Network, nearest},
    support::{OWN, Random},
};

/// The time of an answer and of a timeout, in milliseconds.
const ANSWER: u64 = 50;
const TIMEOUT: u64 = 500;

struct Outcome {
    found: Vec<Id>,
    results: Vec<Id>,
    requests: usize,
    milliseconds: u64,
}

fn network(size: usize, random: &mut Random) -> Network {
    Network::new((0..size).map(|_| random.id()))
}

/// Runs a search in virtual time. `named` says whom a node names, and of the dead nothing.
fn search(
    target: Id,
    start: impl IntoIterator<Item = Id>,
    named: impl Fn(Id) -> Option<Vec<Id>>,
) -> Outcome {
    let start = start.into_iter().map(|id| (id, ()));
    let mut lookup = Lookup::new(LookupConfig::default(), OWN, target, start);
    let mut now = 0;
    let mut pending = BinaryHeap::new();
    let (mut results, mut asked) = (Vec::new(), BTreeSet::new());
    loop {
        while let Some((id, ())) = lookup.poll_request() {
            assert!(asked.insert(id), "asked twice");
            let takes = if named(id).is_some() { ANSWER } else { TIMEOUT };
            pending.push(Reverse((now + takes, id)));
        }
        results.extend(std::iter::from_fn(|| lookup.poll_result().map(|(id, ())| id)));
        assert!(pending.len() <= 3);
        assert_eq!(lookup.is_finished(), pending.is_empty());
        let Some(Reverse((at, id))) = pending.pop() else { break };
        now = at;
        match named(id) {
            Some(named) => {
                lookup.handle_nodes(&id, named.into_iter().map(|id| (id, ())));
                lookup.handle_answered(&id);
            }
            None => lookup.handle_failed(&id),
        }
    }
    assert_eq!(lookup.requests(), asked.len());
    let found = lookup.closest().map(|(id, ())| id).collect();
    Outcome { found, results, requests: asked.len(), milliseconds: now }
}

#[test]
fn the_defaults_are_those_of_the_specifications() {
    let config = LookupConfig::default();
    assert_eq!((config.parallelism, config.results, config.answer_limit), (3, 16, 16));
    assert!(config.max_requests <= 128 && config.max_nodes <= 256);
}

#[test]
fn without_anyone_to_ask_it_is_over() {
    let mut lookup = Lookup::new(LookupConfig::default(), OWN, OWN, [(OWN, ())]);
    assert!(lookup.is_finished());
    assert_eq!(lookup.poll_request(), None);
    assert_eq!(lookup.poll_result(), None);
    assert_eq!((lookup.closest().count(), lookup.requests()), (0, 0));
}

#[test]
fn in_a_network_smaller_than_k_it_finds_all() {
    let mut random = Random(1);
    for size in 1..16 {
        let target = random.id();
        let ids: Vec<_> = (0..size).map(|_| random.id()).collect();
        // A chain: each knows one other, the last nobody.
        let named = |asked| {
            let at = ids.iter().position(|id| *id == asked)?;
            Some(ids.get(at + 1).copied().into_iter().collect())
        };
        let outcome = search(target, [ids[0]], named);
        assert_eq!(outcome.found, nearest(target, ids.clone()));
        assert_eq!((outcome.requests, outcome.results), (size, ids));
    }
}

#[test]
fn in_a_network_of_ten_thousand_it_finds_the_nearest_by_few_requests() {
    let mut random = Random(2);
    let network = network(10_000, &mut random);
    for _ in 0..20 {
        let target = random.id();
        let start = network.named(network.ids()[5_000], target);
        let outcome = search(target, start, |asked| Some(network.named(asked, target)));
        assert_eq!(outcome.found, network.nearest(target));
        assert!(outcome.requests <= 40, "{}", outcome.requests);
    }
}

#[test]
fn a_dead_node_costs_one_timeout() {
    let mut random = Random(3);
    let network = network(1_000, &mut random);
    let target = random.id();
    let start = network.named(network.ids()[500], target);
    let all_alive = search(target, start.clone(), |asked| Some(network.named(asked, target)));
    assert_eq!(all_alive.found, network.nearest(target));
    for dead in &all_alive.results {
        let outcome = search(target, start.clone(), |asked| {
            (asked != *dead).then(|| network.named(asked, target))
        });
        let alive = network.ids().iter().filter(|id| *id != dead).copied();
        assert_eq!(outcome.found, nearest(target, alive.collect()));
        let more = outcome.milliseconds.saturating_sub(all_alive.milliseconds);
        assert!(more <= TIMEOUT, "{more} ms more");
    }
}

/// A third of the network dies at once, and nobody has noticed yet.
#[test]
fn it_finds_its_way_around_many_dead() {
    let mut random = Random(4);
    let network = network(1_000, &mut random);
    let alive: BTreeSet<_> =
        network.ids().iter().copied().filter(|_| !random.next().is_multiple_of(3)).collect();
    for _ in 0..20 {
        let target = random.id();
        let start = network.named(network.ids()[500], target);
        let outcome = search(target, start, |asked| {
            alive.contains(&asked).then(|| network.named(asked, target))
        });
        assert_eq!(outcome.found.len(), 16);
        let truth = nearest(target, alive.iter().copied().collect());
        let right = outcome.found.iter().filter(|id| truth.contains(id)).count();
        assert!(right >= 10, "{right} of 16");
        assert!(outcome.requests <= 60, "{}", outcome.requests);
    }
}

/// Whoever is asked names sixteen that do not exist, all nearer than any.
#[test]
fn a_liar_costs_a_few_timeouts_and_no_result() {
    let mut random = Random(5);
    let network = network(300, &mut random);
    let target = random.id();
    let start = network.named(network.ids()[150], target);
    let liar = start[0];
    let inventions: Vec<_> = (1..=16)
        .map(|number| {
            let mut near = *target.as_bytes();
            near[31] ^= number;
            Id::new(near)
        })
        .collect();
    let outcome = search(target, start, |asked| match asked {
        asked if asked == liar => Some(inventions.clone()),
        asked => (!inventions.contains(&asked)).then(|| network.named(asked, target)),
    });
    assert_eq!(outcome.found, network.nearest(target));
    assert!(outcome.milliseconds <= 16_u64.div_ceil(3) * TIMEOUT + 2_000);
}

/// Inventions that answer, and name ever nearer ones.
#[test]
fn a_lookup_that_is_led_on_ends() {
    let target = Id::new([0; 32]);
    let mut number = u64::MAX;
    let mut nearer = || {
        number -= 1;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Id::new(bytes)
    };
    let config = LookupConfig::default();
    let mut lookup = Lookup::new(config.clone(), OWN, target, [(nearer(), ())]);
    let mut asked = 0;
    while let Some((id, ())) = lookup.poll_request() {
        asked += 1;
        lookup.handle_nodes(&id, std::iter::repeat_with(|| (nearer(), ())));
        lookup.handle_answered(&id);
    }
    assert!(lookup.is_finished());
    assert_eq!((asked, lookup.requests()), (config.max_requests, config.max_requests));
}

#[test]
fn of_too_many_nodes_the_nearest_are_kept() {
    let mut config = LookupConfig::default();
    config.max_nodes = 20;
    let ids: Vec<_> = (1..=30).map(|byte| Id::new([byte; 32])).collect();
    let start = ids.iter().rev().map(|id| (*id, ()));
    let mut lookup = Lookup::new(config, OWN, Id::new([0; 32]), start);
    let mut asked = Vec::new();
    while let Some((id, ())) = lookup.poll_request() {
        asked.push(id);
        lookup.handle_failed(&id);
    }
    assert_eq!(asked, ids[..20]);
}

#[test]
fn only_who_is_asked_is_heard() {
    let ids: Vec<_> = (1..100).map(|byte| Id::new([byte; 32])).collect();
    let mut lookup = Lookup::new(LookupConfig::default(), OWN, Id::new([0; 32]), [(ids[0], 0)]);
    // Not asked yet; not known at all.
    for id in &ids[..2] {
        lookup.handle_nodes(id, [(ids[2], 0)]);
        lookup.handle_answered(id);
        lookup.handle_failed(id);
    }
    assert_eq!(lookup.poll_request(), Some((ids[0], &0)));
    assert_eq!(lookup.poll_request(), None);
    // It names 8 and 16 more, of which 16 are heard, each with the value that came first.
    lookup.handle_nodes(&ids[0], ids[1..9].iter().map(|id| (*id, 1)));
    lookup.handle_nodes(&ids[0], ids[5..21].iter().map(|id| (*id, 2)));
    lookup.handle_answered(&ids[0]);
    assert_eq!(lookup.poll_result(), Some((ids[0], &0)));
    // Too late.
    lookup.handle_nodes(&ids[0], [(ids[50], 3)]);
    let mut heard = Vec::new();
    while let Some((id, value)) = lookup.poll_request().map(|(id, value)| (id, *value)) {
        heard.push((id, value));
        lookup.handle_failed(&id);
        lookup.handle_failed(&id);
        lookup.handle_answered(&id);
    }
    let first = ids[1..9].iter().map(|id| (*id, 1));
    let second = ids[9..13].iter().map(|id| (*id, 2));
    assert_eq!(heard, first.chain(second).collect::<Vec<_>>());
    assert!(lookup.is_finished());
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [(ids[0], &0)]);
}

/// Part of an answer is used before the rest is there.
#[test]
fn nodes_are_asked_as_they_are_named() {
    let (a, b) = (Id::new([2; 32]), Id::new([1; 32]));
    let mut lookup = Lookup::new(LookupConfig::default(), OWN, Id::new([0; 32]), [(a, ())]);
    assert_eq!(lookup.poll_request(), Some((a, &())));
    lookup.handle_nodes(&a, [(b, ())]);
    assert_eq!(lookup.poll_request(), Some((b, &())));
    assert!(!lookup.is_finished());
}

proptest! {
    /// Where the nodes know their neighbourhood, the search finds exactly the nearest of all.
    #[test]
    fn it_finds_the_nearest_k(seed: u64, size in 1..300_usize) {
        let mut random = Random(seed);
        let network = network(size, &mut random);
        let target = random.id();
        let outcome = search(target, [network.ids()[0]], |asked| Some(network.named(asked, target)));
        prop_assert_eq!(outcome.found, network.nearest(target));
    }

    /// Wherever the dead, the ignorant and the gaps are, it ends within its bounds, and what it
    /// found is what answered.
    #[test]
    fn it_ends_with_those_who_answer(
        seed: u64,
        size in 1..200_u64,
        known in 0..20_usize,
        dead in 0..100_u64,
    ) {
        let mut random = Random(seed);
        let target = random.id();
        let ids: Vec<_> = (0..size).map(|_| random.id()).collect();
        let mut network = BTreeMap::new();
        for id in &ids {
            let others = (0..known).map(|_| ids[usize::try_from(random.next() % size).unwrap()]);
            network.insert(*id, others.collect::<Vec<_>>());
        }
        network.retain(|_, _| random.next() % 100 >= dead);
        let start: Vec<_> = ids.iter().copied().take(5).collect();
        let outcome = search(target, start.clone(), |asked| network.get(&asked).cloned());

        // Whoever can be reached over the living, by a naive search through all.
        let mut reached: BTreeSet<_> = start.iter().copied().collect();
        let mut left = start;
        while let Some(id) = left.pop() {
            for named in network.get(&id).into_iter().flatten().take(16) {
                if reached.insert(*named) {
                    left.push(*named);
                }
            }
        }
        let alive: BTreeSet<_> = reached.into_iter().filter(|id| network.contains_key(id)).collect();
        let results: BTreeSet<_> = outcome.results.iter().copied().collect();
        prop_assert_eq!(results.len(), outcome.results.len());
        prop_assert!(results.is_subset(&alive));
        prop_assert_eq!(&outcome.found, &nearest(target, results.into_iter().collect()));
        prop_assert!(outcome.requests <= 128);
        // It stops early only because it has enough, or asked enough.
        let all = outcome.found.len() == 16 || outcome.results.len() == alive.len();
        prop_assert!(all || outcome.requests == 128);
    }
}
