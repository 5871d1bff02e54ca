//! Any sequence of calls leaves the table as a naive one, which keeps one flat list.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use devp2p_kad::{BUCKETS, Change, Check, Config, Id, Place, Refused, Table};
use proptest::prelude::*;

use crate::support::{OWN, Peer, Random, id};

/// The nodes: a third of them in the first bucket, at several distances, the others in two more.
const NODES: u32 = 30;

#[derive(Clone, Debug)]
enum Step {
    Wait(u16),
    Add(u32, Peer),
    Verified(u32, Peer),
    Update(u32, Peer),
    Remove(u32),
    Pin(u32, Peer),
    Unpin(u32),
    RequestFailed(u32),
    RequestAnswered(u32),
    /// Polls for checks until there is none.
    Poll(u64),
    /// One of the checks under way passes or fails.
    Result(u16, bool),
    /// One of the checks under way has no result.
    Lose(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let peer = || {
        let group = prop::option::weighted(0.8, 0..4_u8);
        (0..3_u32, group).prop_map(|(endpoint, group)| Peer { endpoint, group })
    };
    prop_oneof![
        4 => (0..12_000_u16).prop_map(Step::Wait),
        5 => (node(), peer()).prop_map(|(node, peer)| Step::Add(node, peer)),
        6 => (node(), peer()).prop_map(|(node, peer)| Step::Verified(node, peer)),
        2 => (node(), peer()).prop_map(|(node, peer)| Step::Update(node, peer)),
        1 => node().prop_map(Step::Remove),
        1 => (node(), peer()).prop_map(|(node, peer)| Step::Pin(node, peer)),
        1 => node().prop_map(Step::Unpin),
        2 => node().prop_map(Step::RequestFailed),
        1 => node().prop_map(Step::RequestAnswered),
        8 => any::<u64>().prop_map(Step::Poll),
        8 => (any::<u16>(), prop::bool::weighted(0.6)).prop_map(|(at, ok)| Step::Result(at, ok)),
        1 => any::<u16>().prop_map(Step::Lose),
    ]
}

/// Near to us, or anywhere.
fn target() -> impl Strategy<Value = Id> {
    let near = (230..=256_u16, any::<u32>()).prop_map(|(distance, number)| id(distance, number));
    prop_oneof![near, any::<[u8; 32]>().prop_map(Id::new)]
}

fn config() -> Config {
    let mut config = Config::default();
    (config.bucket_size, config.replacements) = (4, 3);
    (config.bucket_group_limit, config.table_group_limit) = (2, 3);
    (config.max_pins, config.max_failed_requests, config.min_bucket) = (3, 2, 2);
    config
}

fn node(number: u32) -> Id {
    match number % 3 {
        0 => id(232 + (number % 9) as u16, number),
        1 => id(255, number),
        _ => id(256, number),
    }
}

/// A node that the naive table knows.
#[derive(Clone, Debug)]
struct Known {
    id: Id,
    peer: Peer,
    place: Place,
    verified: bool,
    checks: u32,
    failed_requests: u32,
    passed_last: bool,
    checking: Option<(usize, Instant)>,
}

#[derive(Debug)]
struct Pinned {
    id: Id,
    peer: Peer,
    due: Instant,
    checking: Option<usize>,
}

/// The naive table. Nodes that wait are in the order in which they came to.
#[derive(Debug)]
struct Model {
    config: Config,
    known: Vec<Known>,
    pins: Vec<Pinned>,
    checks: usize,
}

fn bucket(id: &Id) -> u16 {
    id.log_distance(&OWN).max(240)
}

impl Model {
    fn find(&mut self, id: &Id) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.id == *id)
    }

    fn take(&mut self, id: &Id) -> Option<Known> {
        let at = self.known.iter().position(|known| known.id == *id)?;
        Some(self.known.remove(at))
    }

    fn placed(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| known.place == Place::Bucket)
    }

    fn fits(&self, known: &Known) -> bool {
        let group =
            |other: &&Known| known.peer.group.is_some() && other.peer.group == known.peer.group;
        let near = |other: &&Known| bucket(&other.id) == bucket(&known.id);
        self.placed().filter(near).count() < self.config.bucket_size
            && self.placed().filter(near).filter(group).count() < self.config.bucket_group_limit
            && self.placed().filter(group).count() < self.config.table_group_limit
    }

    fn settle(&mut self, mut known: Known, had_place: bool) -> Result<Place, Refused> {
        if known.verified && self.fits(&known) {
            known.place = Place::Bucket;
            self.known.push(known);
            return Ok(Place::Bucket);
        }
        let waiting: Vec<_> = self
            .known
            .iter()
            .filter(|other| bucket(&other.id) == bucket(&known.id))
            .filter(|other| other.place == Place::Replacement)
            .cloned()
            .collect();
        let rival = waiting
            .iter()
            .find(|other| known.peer.group.is_some() && other.peer.group == known.peer.group);
        let gone = if let Some(rival) = rival {
            if rival.verified || !(known.verified || had_place) {
                return Err(Refused::GroupLimit);
            }
            Some(rival.id)
        } else if waiting.len() == self.config.replacements {
            match waiting.iter().find(|other| !other.verified) {
                Some(unproven) => Some(unproven.id),
                None if known.verified => Some(waiting[0].id),
                None => return Err(Refused::Full),
            }
        } else {
            None
        };
        self.known.retain(|other| Some(other.id) != gone);
        known.place = Place::Replacement;
        self.known.push(known);
        Ok(Place::Replacement)
    }

    fn learn(&mut self, id: Id, peer: Peer) -> (Known, bool) {
        let Some(mut known) = self.take(&id) else {
            let known = Known {
                id,
                peer,
                place: Place::Replacement,
                verified: false,
                checks: 0,
                failed_requests: 0,
                passed_last: false,
                checking: None,
            };
            return (known, false);
        };
        if known.peer.endpoint != peer.endpoint {
            (known.verified, known.checks, known.failed_requests) = (false, 0, 0);
            (known.passed_last, known.checking) = (false, None);
        }
        known.peer = peer;
        let had_place = known.place == Place::Bucket;
        (known, had_place)
    }

    fn verified(&mut self, id: Id, peer: Peer) -> Result<Place, Refused> {
        let (mut known, had_place) = self.learn(id, peer);
        (known.verified, known.passed_last) = (true, true);
        known.checks = known.checks.max(1);
        self.settle(known, had_place)
    }

    fn update(&mut self, id: Id, peer: Peer) -> Option<Place> {
        let known = self.find(&id)?;
        if known.peer == peer {
            return Some(known.place);
        }
        let (known, had_place) = self.learn(id, peer);
        self.settle(known, had_place).ok()
    }

    fn request_failed(&mut self, id: Id) {
        let placed = self.placed().filter(|other| bucket(&other.id) == bucket(&id)).count();
        let (limit, few) = (self.config.max_failed_requests, self.config.min_bucket);
        let Some(known) = self.find(&id) else { return };
        known.failed_requests += 1;
        known.passed_last = false;
        if known.failed_requests >= limit && placed >= few {
            self.take(&id);
        }
    }

    /// The check that the table asks for must be one that may be asked for.
    fn check(&mut self, now: Instant, check: &Check<Peer>) -> Result<usize, TestCaseError> {
        self.checks += 1;
        let number = self.checks;
        let placed: Vec<_> = self.placed().map(|known| known.id).collect();
        for pin in &mut self.pins {
            if pin.due <= now {
                pin.due = now + self.config.pin_interval;
                if !placed.contains(&pin.id) {
                    prop_assert_eq!((check.id(), check.value()), (pin.id, &pin.peer));
                    pin.checking = Some(number);
                    return Ok(number);
                }
            }
        }
        let timeout = self.config.check_timeout;
        let free = |known: &&Known| known.checking.is_none_or(|(_, at)| now >= at + timeout);
        let failing = self.placed().filter(free).any(|known| !known.passed_last);
        let known = self.known.iter().find(|known| known.id == check.id());
        let known = known.filter(free).expect("it is known, and not being checked");
        if known.place == Place::Replacement {
            prop_assert!(!known.verified && self.fits(known) && !failing);
        }
        prop_assert_eq!(check.value(), &known.peer);
        self.find(&check.id()).expect("as above").checking = Some((number, now));
        Ok(number)
    }

    /// A check ended. Its number is its own, whatever became of the node.
    fn result(&mut self, id: Id, number: usize, passed: bool) {
        if let Some(pin) = self.pins.iter_mut().find(|pin| pin.checking == Some(number)) {
            pin.checking = None;
            let peer = pin.peer;
            if passed {
                let _ = self.verified(id, peer);
            }
            return;
        }
        let known = self.find(&id);
        if known.is_none_or(|known| known.checking.is_none_or(|(checking, _)| checking != number)) {
            return;
        }
        let mut known = self.take(&id).expect("as above");
        let had_place = known.place == Place::Bucket;
        (known.checking, known.passed_last) = (None, passed);
        known.checks = if passed { known.checks + 1 } else { known.checks / 3 };
        known.verified |= passed;
        if known.checks > 0 {
            let _ = self.settle(known, had_place);
        }
    }
}

/// The two tables, and the checks that both wait for.
struct Pair {
    table: Table<Peer>,
    model: Model,
    now: Instant,
    checks: Vec<(Check<Peer>, usize)>,
}

impl Pair {
    fn new() -> Self {
        let model = Model { config: config(), known: Vec::new(), pins: Vec::new(), checks: 0 };
        let table = Table::new(config(), OWN);
        Self { table, model, now: Instant::now(), checks: Vec::new() }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let Self { table, model, now, checks } = self;
        let now = *now;
        match *step {
            Step::Wait(milliseconds) => self.now += Duration::from_millis(milliseconds.into()),
            Step::Add(n, peer) => {
                let id = node(n);
                let expected = match model.find(&id) {
                    Some(known) => Ok(known.place),
                    None => {
                        let (known, _) = model.learn(id, peer);
                        model.settle(known, false)
                    }
                };
                prop_assert_eq!(table.add(now, id, peer), expected);
            }
            Step::Verified(n, peer) => {
                prop_assert_eq!(table.verified(now, node(n), peer), model.verified(node(n), peer));
            }
            Step::Update(n, peer) => {
                prop_assert_eq!(table.update(now, &node(n), peer), model.update(node(n), peer));
            }
            Step::Remove(n) => {
                let expected = model.take(&node(n)).map(|known| known.peer);
                prop_assert_eq!(table.remove(now, &node(n)), expected);
            }
            Step::Pin(n, peer) => {
                let pin = Pinned { id: node(n), peer, due: now, checking: None };
                let full = model.pins.len() == model.config.max_pins;
                let expected = match model.pins.iter_mut().find(|pin| pin.id == node(n)) {
                    Some(known) => {
                        *known = pin;
                        Ok(())
                    }
                    None if full => Err(Refused::TooManyPins),
                    None => {
                        model.pins.push(pin);
                        Ok(())
                    }
                };
                prop_assert_eq!(table.pin(now, node(n), peer), expected);
            }
            Step::Unpin(n) => {
                let known = model.pins.iter().any(|pin| pin.id == node(n));
                model.pins.retain(|pin| pin.id != node(n));
                prop_assert_eq!(table.unpin(&node(n)), known);
            }
            Step::RequestFailed(n) => {
                table.request_failed(now, &node(n));
                model.request_failed(node(n));
            }
            Step::RequestAnswered(n) => {
                table.request_answered(&node(n));
                if let Some(known) = model.find(&node(n)) {
                    known.failed_requests = 0;
                }
            }
            Step::Poll(seed) => return self.poll(seed),
            Step::Result(at, passed) => {
                if !checks.is_empty() {
                    let (check, number) = checks.remove(usize::from(at) % checks.len());
                    model.result(check.id(), number, passed);
                    if passed {
                        table.check_passed(now, check);
                    } else {
                        table.check_failed(now, check);
                    }
                }
            }
            Step::Lose(at) => {
                if !checks.is_empty() {
                    drop(checks.remove(usize::from(at) % checks.len()));
                }
            }
        }
        Ok(())
    }

    /// Polls to the end. Whom the table promotes and checks is its choice, among those it may.
    fn poll(&mut self, seed: u64) -> Result<(), TestCaseError> {
        let mut random = Random(seed);
        loop {
            let due = self.table.poll_timeout();
            let check = self.table.poll_check(self.now, random.next());
            prop_assert!(check.is_none() || due.is_some_and(|due| due <= self.now));
            while let Some(change) = self.table.poll_change() {
                let Change::Verified(id) = change else { panic!("polling brought {change:?}") };
                let mut known = self.model.take(&id).expect("it is known");
                prop_assert!(known.verified && known.place == Place::Replacement);
                prop_assert!(self.model.fits(&known));
                (known.place, known.passed_last) = (Place::Bucket, false);
                self.model.known.push(known);
            }
            let Some(check) = check else { break };
            let number = self.model.check(self.now, &check)?;
            self.checks.push((check, number));
        }
        for pin in &mut self.model.pins {
            if pin.due <= self.now {
                pin.due = self.now + self.model.config.pin_interval;
            }
        }
        let model = &self.model;
        let mut waiting = model.known.iter().filter(|known| known.place == Place::Replacement);
        prop_assert!(!waiting.any(|known| known.verified && model.fits(known)));
        prop_assert!(self.table.poll_timeout().is_none_or(|due| due >= self.now));

        // What there is to check is checked in time.
        let listed = |passed: bool| {
            model.known.iter().any(|known| match known.place {
                Place::Bucket => known.passed_last == passed,
                Place::Replacement => !passed && !known.verified && model.fits(known),
            })
        };
        let config = &model.config;
        for (is_listed, pause) in
            [(listed(false), config.fast_interval), (listed(true), config.slow_interval)]
        {
            let due = self.table.poll_timeout();
            prop_assert!(!is_listed || due.is_some_and(|due| due <= self.now + pause));
        }
        Ok(())
    }

    fn places(&self) -> BTreeMap<Id, (Place, Peer)> {
        self.model.known.iter().map(|known| (known.id, (known.place, known.peer))).collect()
    }

    /// The changes are the difference between the pictures.
    fn compare_changes(
        &mut self,
        before: &BTreeMap<Id, (Place, Peer)>,
    ) -> Result<(), TestCaseError> {
        let after = self.places();
        let mut changed = BTreeMap::new();
        while let Some(change) = self.table.poll_change() {
            let (id, place) = match change {
                Change::Verified(id) => (id, Some(Place::Bucket)),
                Change::Inserted(id) | Change::Demoted(id) => (id, Some(Place::Replacement)),
                Change::Removed { id, .. } => (id, None),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(changed.insert(id, place), None);
        }
        for id in (0..NODES).map(node) {
            let place =
                |places: &BTreeMap<_, (Place, Peer)>| places.get(&id).map(|(place, _)| *place);
            let (before, after) = (place(before), place(&after));
            prop_assert_eq!(changed.get(&id).copied(), (before != after).then_some(after));
        }
        Ok(())
    }

    fn compare(&self, target: Id) -> Result<(), TestCaseError> {
        let Self { table, model, .. } = self;
        for known in &model.known {
            let entry = table.get(&known.id).expect("the model knows it");
            prop_assert_eq!(table.place(&known.id), Some(known.place));
            prop_assert_eq!(entry.value(), &known.peer);
            prop_assert_eq!((entry.is_verified(), entry.checks()), (known.verified, known.checks));
        }
        let all: usize =
            table.buckets().iter().map(|b| b.entries().len() + b.replacements().len()).sum();
        prop_assert_eq!(all, model.known.len());
        prop_assert_eq!(table.len(), model.placed().count());
        prop_assert_eq!(table.buckets().len(), BUCKETS);
        for found in table.buckets() {
            let waiting: Vec<_> = found.replacements().iter().map(|entry| entry.id()).collect();
            let here = |known: &&Known| found.distances().contains(&known.id.log_distance(&OWN));
            let known = model.known.iter().filter(|known| known.place == Place::Replacement);
            let expected: Vec<_> = known.filter(here).map(|known| known.id).collect();
            prop_assert_eq!(waiting, expected);
        }

        let nearest = |known: &mut Vec<Id>| {
            known.sort_by_key(|id| id.distance(&target));
            known.dedup();
            known.truncate(5);
        };
        let mut placed: Vec<_> = model.placed().map(|known| known.id).collect();
        let mut distances: Vec<Id> = (0..=256)
            .flat_map(|distance| table.at_distance(distance).map(|entry| entry.id()))
            .collect();
        placed.sort_unstable();
        distances.sort_unstable();
        prop_assert_eq!(&distances, &placed);
        nearest(&mut placed);
        let closest: Vec<_> = table.closest(&target, 5).iter().map(|entry| entry.id()).collect();
        prop_assert_eq!(closest, placed);

        let pins = model.pins.iter().map(|pin| pin.id);
        let mut known: Vec<_> = model.known.iter().map(|known| known.id).chain(pins).collect();
        nearest(&mut known);
        let closest: Vec<_> = table.closest_known(&target, 5).iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(closest, known);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_table_is_as_a_naive_one(
        steps in prop::collection::vec(step(), 1..150),
        target in target(),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            let before = pair.places();
            pair.step(step)?;
            if !matches!(step, Step::Poll(_)) {
                pair.compare_changes(&before)?;
            }
            pair.compare(target)?;
        }
    }
}
