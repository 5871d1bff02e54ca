//! Searches in networks of live, dead and lying nodes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use devp2p_kad::{Id, Lookup, LookupConfig};
use proptest::prelude::*;

use crate::{
    network::{Network, nearest},
    support::{OWN, Peer, Random, free},
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
    assert_eq!(config.max_endpoints, 3);
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
    let mut lookup =
        Lookup::new(LookupConfig::default(), OWN, Id::new([0; 32]), [(ids[0], free(0))]);
    // Not asked yet; not known at all.
    for id in &ids[..2] {
        lookup.handle_nodes(id, [(ids[2], free(0))]);
        lookup.handle_answered(id);
        lookup.handle_failed(id);
    }
    assert_eq!(lookup.poll_request(), Some((ids[0], &free(0))));
    assert_eq!(lookup.poll_request(), None);
    // It names 8 and 16 more, of which 16 are heard.
    lookup.handle_nodes(&ids[0], ids[1..9].iter().map(|id| (*id, free(1))));
    lookup.handle_nodes(&ids[0], ids[5..21].iter().map(|id| (*id, free(2))));
    lookup.handle_answered(&ids[0]);
    assert_eq!(lookup.poll_result(), Some((ids[0], &free(0))));
    // Too late.
    lookup.handle_nodes(&ids[0], [(ids[50], free(3))]);
    let mut heard = Vec::new();
    while let Some((id, value)) = lookup.poll_request().map(|(id, value)| (id, *value)) {
        heard.push((id, value));
        lookup.handle_failed(&id);
        lookup.handle_failed(&id);
        lookup.handle_answered(&id);
    }
    let first = ids[1..9].iter().map(|id| (*id, free(1)));
    let second = ids[9..13].iter().map(|id| (*id, free(2)));
    assert_eq!(heard, first.chain(second).collect::<Vec<_>>());
    assert!(lookup.is_finished());
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [(ids[0], &free(0))]);
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

/// Nodes that are where their number says, the search for all of them, and whom it asked where.
struct Hunt {
    lookup: Lookup<Peer>,
    asked: Vec<(Id, u32)>,
}

impl Hunt {
    fn new(start: &[(Id, u32)]) -> Self {
        let start = start.iter().map(|&(id, endpoint)| (id, free(endpoint)));
        let lookup = Lookup::new(LookupConfig::default(), OWN, Id::new([0; 32]), start);
        Self { lookup, asked: Vec::new() }
    }

    /// Asks the next node, which is `there` or nowhere and names these.
    fn ask(&mut self, there: Option<u32>, named: &[(Id, u32)]) {
        let (id, at) = self.lookup.poll_request().map(|(id, peer)| (id, peer.endpoint)).unwrap();
        self.asked.push((id, at));
        if there == Some(at) {
            let named = named.iter().map(|&(id, endpoint)| (id, free(endpoint)));
            self.lookup.handle_nodes(&id, named);
            self.lookup.handle_answered(&id);
        } else {
            self.lookup.handle_failed(&id);
        }
    }
}

fn low(byte: u8) -> Id {
    Id::new([byte; 32])
}

#[test]
fn a_liar_does_not_hide_a_node() {
    let (victim, other, liar, honest) = (low(1), low(2), low(3), low(4));
    // Whoever names it first, and whether it was asked in vain by then.
    for asks_first in [false, true] {
        let mut hunt = Hunt::new(&[(liar, 3), (honest, 4)]);
        hunt.ask(Some(3), &[(victim, 66), (victim, 67), (other, 2)]);
        if asks_first {
            hunt.ask(Some(1), &[]);
            hunt.ask(Some(2), &[]);
        }
        while !hunt.lookup.is_finished() {
            let next = hunt.asked.len();
            let named = [(victim, 1), (other, 2)];
            // All are where their first byte says.
            let id = hunt.lookup.clone().poll_request().map(|(id, _)| id).unwrap();
            hunt.ask(Some(id.as_bytes()[0].into()), &named);
            assert!(next < 10);
        }
        let found: Vec<_> = hunt.lookup.closest().map(|(id, at)| (id, at.endpoint)).collect();
        assert_eq!(found, [(victim, 1), (other, 2), (liar, 3), (honest, 4)]);
        let victim_at: Vec<_> = hunt.asked.iter().filter(|(id, _)| *id == victim).collect();
        assert_eq!(victim_at, [&(victim, 66), &(victim, 1)], "one liar has one word");
        let results: Vec<_> =
            std::iter::from_fn(|| hunt.lookup.poll_result().map(|(id, _)| id)).collect();
        assert_eq!(results.iter().filter(|id| **id == victim).count(), 1);
        assert_eq!(hunt.lookup.requests(), 5);
    }
}

#[test]
fn who_was_not_asked_comes_before_who_is_asked_again() {
    let (victim, liar, honest) = (low(1), low(2), low(3));
    let mut hunt = Hunt::new(&[(liar, 2), (honest, 3)]);
    hunt.ask(Some(2), &[(victim, 66)]);
    hunt.ask(Some(1), &[]);
    hunt.ask(Some(3), &[(victim, 1), (low(9), 9)]);
    hunt.ask(Some(9), &[]);
    hunt.ask(Some(1), &[]);
    let expected = [(liar, 2), (victim, 66), (honest, 3), (low(9), 9), (victim, 1)];
    assert_eq!(hunt.asked, expected);
    assert!(hunt.lookup.is_finished());
}

#[test]
fn a_node_is_asked_in_three_places_at_most() {
    let gone = low(1);
    let namers: Vec<_> = (2..12_u8).map(|byte| (low(byte), u32::from(byte))).collect();
    let mut hunt = Hunt::new(&namers);
    while let Some(id) = hunt.lookup.clone().poll_request().map(|(id, _)| id) {
        let at = u32::from(id.as_bytes()[0]);
        // Everybody names it elsewhere, where it is not.
        hunt.ask((id != gone).then_some(at), &[(gone, 100 + at)]);
    }
    assert!(hunt.lookup.is_finished());
    assert_eq!(hunt.asked.iter().filter(|(id, _)| *id == gone).count(), 3);
    assert_eq!(hunt.lookup.closest().count(), namers.len());
}

/// The lookup without any cleverness: all that was ever heard, in order, and what came of it.
#[derive(Default)]
struct Model {
    /// Who was named, where, by whom.
    heard: Vec<(Id, u32, Option<Id>)>,
    /// Who was asked where, and what came of it until now.
    asked: Vec<(Id, u32, Option<bool>)>,
    named: BTreeMap<Id, usize>,
}

impl Model {
    fn hear(&mut self, id: Id, at: u32, by: Option<Id>) {
        let mut same = self.heard.iter().filter(|(known, ..)| *known == id);
        let is_old = same.clone().any(|&(_, known, who)| known == at || by.is_some() && who == by);
        let answered = self.asked.iter().any(|known| known.0 == id && known.2 == Some(true));
        if id != OWN && !is_old && !answered && same.by_ref().count() < 3 {
            self.heard.push((id, at, by));
        }
    }

    fn is_asked(&self, id: Id) -> bool {
        self.asked.iter().any(|known| known.0 == id && known.2.is_none())
    }

    fn next(&self, config: &LookupConfig) -> Option<(Id, u32)> {
        let target = Id::new([0; 32]);
        let waiting = self.asked.iter().filter(|known| known.2.is_none()).count();
        if waiting >= config.parallelism || self.asked.len() >= config.max_requests {
            return None;
        }
        let times = |id: Id| self.asked.iter().filter(|known| known.0 == id).count();
        let place = |id: Id| self.heard.iter().filter(|known| known.0 == id).nth(times(id));
        let answered =
            |id: Id| self.asked.iter().any(|known| known.0 == id && known.2 == Some(true));
        let ids: BTreeSet<_> = self.heard.iter().map(|known| known.0).collect();
        let mut near: Vec<_> = ids.into_iter().collect();
        near.sort_by_key(|id| id.distance(&target));
        near.retain(|&id| answered(id) || self.is_asked(id) || place(id).is_some());
        near.truncate(config.results);
        near.retain(|&id| !answered(id) && !self.is_asked(id));
        near.sort_by_key(|&id| times(id) > 0);
        near.first().and_then(|&id| place(id)).map(|&(id, at, _)| (id, at))
    }

    fn closest(&self, config: &LookupConfig) -> Vec<(Id, u32)> {
        let answered = self.asked.iter().filter(|known| known.2 == Some(true));
        let mut closest: Vec<_> = answered.map(|&(id, at, _)| (id, at)).collect();
        closest.sort_by_key(|(id, _)| id.distance(&Id::new([0; 32])));
        closest.truncate(config.results);
        closest
    }
}

#[derive(Clone, Debug)]
enum Call {
    Poll,
    Nodes(u8, Vec<(u8, u32)>),
    Answered(u8),
    Failed(u8),
}

fn call() -> impl Strategy<Value = Call> {
    let id = || 0..12_u8;
    prop_oneof![
        4 => Just(Call::Poll),
        3 => (id(), prop::collection::vec((id(), 0..5_u32), 0..6)).prop_map(|(a, b)| Call::Nodes(a, b)),
        1 => id().prop_map(Call::Answered),
        3 => id().prop_map(Call::Failed),
    ]
}

proptest! {
    /// Whatever is called in whichever order, it asks and finds what the naive one does.
    #[test]
    fn it_does_what_the_naive_one_does(
        start in prop::collection::vec((0..12_u8, 0..5_u32), 0..6),
        calls in prop::collection::vec(call(), 0..120),
    ) {
        // One of them is us.
        let id = |byte: u8| if byte == 11 { OWN } else { low(byte + 1) };
        let mut config = LookupConfig::default();
        (config.results, config.answer_limit, config.max_requests) = (4, 5, 20);
        let mut model = Model::default();
        for &(byte, at) in &start {
            model.hear(id(byte), at, None);
        }
        let start = start.into_iter().map(|(byte, at)| (id(byte), free(at)));
        let mut lookup = Lookup::new(config.clone(), OWN, Id::new([0; 32]), start);
        let mut answered = Vec::new();
        for call in calls {
            match call {
                Call::Poll => {
                    let next = model.next(&config);
                    let asked = lookup.poll_request().map(|(id, peer)| (id, peer.endpoint));
                    prop_assert_eq!(asked, next);
                    if let Some((id, at)) = next {
                        model.asked.push((id, at, None));
                        model.named.insert(id, 0);
                    }
                }
                Call::Nodes(from, nodes) => {
                    let from = id(from);
                    let nodes: Vec<_> = nodes.into_iter().map(|(byte, at)| (id(byte), at)).collect();
                    if model.is_asked(from) {
                        for &(named, at) in &nodes {
                            let count = model.named.entry(from).or_default();
                            *count += 1;
                            if *count <= config.answer_limit {
                                model.hear(named, at, Some(from));
                            }
                        }
                    }
                    lookup.handle_nodes(&from, nodes.into_iter().map(|(id, at)| (id, free(at))));
                }
                Call::Answered(byte) | Call::Failed(byte) => {
                    let (from, good) = (id(byte), matches!(call, Call::Answered(_)));
                    let open = model.asked.iter_mut().find(|ask| ask.0 == from && ask.2.is_none());
                    if let Some(open) = open {
                        open.2 = Some(good);
                        answered.extend(good.then_some((from, open.1)));
                    }
                    if good { lookup.handle_answered(&from) } else { lookup.handle_failed(&from) }
                }
            }
            let idle = model.asked.iter().all(|ask| ask.2.is_some());
            prop_assert_eq!(lookup.is_finished(), idle && model.next(&config).is_none());
            prop_assert_eq!(lookup.requests(), model.asked.len());
            let closest: Vec<_> = lookup.closest().map(|(id, at)| (id, at.endpoint)).collect();
            prop_assert_eq!(closest, model.closest(&config));
        }
        let results: Vec<_> =
            std::iter::from_fn(|| lookup.poll_result().map(|(id, at)| (id, at.endpoint))).collect();
        prop_assert_eq!(results, answered);
    }

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
