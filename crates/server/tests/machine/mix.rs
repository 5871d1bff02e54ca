//! The mix of candidates.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use devp2p_core::{Host, Node};
use devp2p_server::Mix;
use proptest::prelude::*;

use super::world::{key, start};

const PATIENCE: Duration = Duration::from_millis(100);

/// The `number`th candidate of a source. Only the address tells them apart: keys are dear.
fn candidate(source: usize, number: u16) -> Node {
    let [high, low] = number.to_be_bytes();
    let ip = [10, u8::try_from(source).unwrap(), high, low];
    Node::new(key(1), Some(Host::Ip(ip.into())), 30303, 0)
}

fn source_of(node: &Node) -> usize {
    let ip = node.ip().unwrap().to_string();
    ip.split('.').nth(1).unwrap().parse().unwrap()
}

/// Gives these sources a candidate each, as far as they have none in the mix.
fn fill(mix: &mut Mix, sources: impl IntoIterator<Item = usize>) {
    for source in sources {
        if mix.wants(source) {
            assert!(mix.push(source, candidate(source, 0)));
        }
    }
}

/// Takes candidates while these sources always have some; counts them by source. Nobody is waited
/// for.
fn count(mix: &mut Mix, now: Instant, sources: &[usize], rounds: usize) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..rounds {
        fill(mix, sources.iter().copied());
        let node = mix.next(now).unwrap();
        *counts.entry(source_of(&node)).or_default() += 1;
    }
    counts
}

/// Takes the next candidate, as soon as it may be taken; tells how long that took.
fn wait(mix: &mut Mix, now: &mut Instant) -> (usize, Duration) {
    let begin = *now;
    loop {
        if let Some(node) = mix.next(*now) {
            return (source_of(&node), *now - begin);
        }
        let until = mix.poll_timeout().unwrap();
        assert!(until > *now, "it wants to be asked in the past");
        *now = until;
    }
}

#[test]
fn shares_hold_while_all_sources_are_full() {
    let mut mix = Mix::new([1, 2, 3, 4], PATIENCE);
    let counts = count(&mut mix, start(), &[0, 1, 2, 3], 10_000);
    assert_eq!(counts, BTreeMap::from([(0, 1000), (1, 2000), (2, 3000), (3, 4000)]));

    let mut equal = Mix::new([1; 3], PATIENCE);
    let turns: Vec<_> = (0..6)
        .map(|_| {
            fill(&mut equal, 0..3);
            source_of(&equal.next(start()).unwrap())
        })
        .collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_turns_of_a_large_share_are_spread() {
    let mut mix = Mix::new([5, 1, 1], PATIENCE);
    let turns: Vec<_> = (0..7)
        .map(|_| {
            fill(&mut mix, 0..3);
            source_of(&mix.next(start()).unwrap())
        })
        .collect();
    assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_silent_source_is_waited_for_less_and_less() {
    let (mut mix, mut now) = (Mix::new([1, 1], PATIENCE), start());
    let mut waits = Vec::new();
    for _ in 0..100 {
        fill(&mut mix, [1]);
        let (source, waited) = wait(&mut mix, &mut now);
        assert_eq!(source, 1);
        waits.push(waited);
    }
    waits.retain(|wait| !wait.is_zero());
    assert_eq!(waits.first(), Some(&PATIENCE));
    assert!(waits.is_sorted_by(|one, next| *one == *next * 2), "{waits:?}");
    assert!(now - start() < PATIENCE * 2, "all that it costs");

    // Once it has something again, it goes first, and is waited for again.
    fill(&mut mix, [0, 1]);
    assert_eq!(wait(&mut mix, &mut now), (0, Duration::ZERO));
    fill(&mut mix, [1]);
    assert_eq!(wait(&mut mix, &mut now), (1, Duration::ZERO));
    fill(&mut mix, [1]);
    assert_eq!(wait(&mut mix, &mut now), (1, PATIENCE));
}

#[test]
fn who_comes_in_time_has_his_turn() {
    let (mut mix, now) = (Mix::new([1, 1], PATIENCE), start());
    fill(&mut mix, [1]);
    assert_eq!(mix.next(now), None);
    assert_eq!(mix.poll_timeout(), Some(now + PATIENCE));
    fill(&mut mix, [0]);
    assert_eq!(source_of(&mix.next(now + PATIENCE / 2).unwrap()), 0);
    assert_eq!(source_of(&mix.next(now + PATIENCE / 2).unwrap()), 1);
    assert_eq!(mix.poll_timeout(), None, "nobody has anything");
}

#[test]
fn the_turns_of_a_silent_source_are_shared_fairly() {
    let (mut mix, mut now) = (Mix::new([1, 2, 1, 3], PATIENCE), start());
    let mut counts = BTreeMap::<usize, usize>::new();
    for _ in 0..6_000 {
        fill(&mut mix, [1, 2, 3]);
        let (source, _) = wait(&mut mix, &mut now);
        *counts.entry(source).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([(1, 2000), (2, 1000), (3, 3000)]));

    // It gets its share from then on, and nothing for the time when it had nothing.
    let counts = count(&mut mix, now, &[0, 1, 2, 3], 7_000);
    for (source, share) in [(0, 1_000), (1, 2_000), (2, 1_000), (3, 3_000)] {
        assert!(counts[&source].abs_diff(share) <= 2, "{counts:?}");
    }
}

#[test]
fn a_source_that_ends_is_left_out() {
    let (mut mix, mut now) = (Mix::new([8, 1, 1], PATIENCE), start());
    fill(&mut mix, 0..3);
    mix.end(0);
    assert!(!mix.wants(0));
    assert!(!mix.push(0, candidate(0, 7)));
    for _ in 0..10 {
        fill(&mut mix, [1, 2]);
        let (source, waited) = wait(&mut mix, &mut now);
        assert_ne!(source, 0, "what it had is gone with it");
        assert_eq!(waited, Duration::ZERO);
    }
    // Also while it is waited for.
    let mut mix = Mix::new([1, 1, 1], PATIENCE);
    fill(&mut mix, [2]);
    assert_eq!(mix.next(now), None);
    mix.end(0);
    assert_eq!(mix.next(now), None, "the next in turn is waited for");
    assert_eq!(mix.poll_timeout(), Some(now + PATIENCE));
    mix.end(1);
    assert_eq!(mix.next(now).map(|node| source_of(&node)), Some(2));
    mix.end(2);
    assert_eq!((mix.next(now), mix.poll_timeout()), (None, None));
}

#[test]
fn each_source_has_room_for_one_candidate() {
    let mut mix = Mix::new([1], PATIENCE);
    assert!(mix.wants(0) && !mix.wants(1));
    assert!(mix.push(0, candidate(0, 1)));
    assert!(!mix.wants(0));
    assert!(!mix.push(0, candidate(0, 2)));
    assert!(!mix.push(9, candidate(0, 2)));
    assert_eq!(mix.next(start()), Some(candidate(0, 1)));
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Next,
    Wait(u16),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..5_usize).prop_map(Step::Push),
        8 => Just(Step::Next),
        4 => (0..200_u16).prop_map(Step::Wait),
        1 => (0..5_usize).prop_map(Step::End),
    ]
}

/// Runs the steps; what came out, and when.
fn run(shares: &[u32], steps: &[Step]) -> Vec<(Duration, Option<Node>)> {
    let (mut mix, mut now) = (Mix::new(shares.iter().copied(), PATIENCE), start());
    let mut inside = vec![VecDeque::new(); 5];
    let mut ended = [false; 5];
    let mut out = Vec::new();
    let mut empty_since: Option<Instant> = None;
    for (number, step) in (0_u16..).zip(steps) {
        match *step {
            Step::Push(source) => {
                let node = candidate(source, number);
                let room = source < shares.len() && !ended[source] && inside[source].is_empty();
                assert_eq!(mix.wants(source), room);
                assert_eq!(mix.push(source, node.clone()), room);
                if room {
                    inside[source].push_back(node);
                }
            }
            Step::Next => {
                let next = mix.next(now);
                let ready = inside.iter().any(|source| !source.is_empty());
                match &next {
                    Some(node) => {
                        let first = inside[source_of(node)].pop_front();
                        assert_eq!(first.as_ref(), Some(node), "neither lost nor made up");
                        empty_since = None;
                    }
                    None if ready => {
                        let since = *empty_since.get_or_insert(now);
                        let until = mix.poll_timeout().unwrap();
                        assert!(until > now && until <= now + PATIENCE);
                        assert!(now - since <= PATIENCE);
                    }
                    None => assert_eq!(mix.poll_timeout(), None),
                }
                out.push((now - start(), next));
            }
            Step::Wait(millis) => now += Duration::from_millis(millis.into()),
            Step::End(source) => {
                mix.end(source);
                // The one whose turn it is then is waited for too.
                empty_since = None;
                if let Some(inside) = inside.get_mut(source) {
                    inside.clear();
                    ended[source] = true;
                }
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_is_lost_held_back_or_left_to_chance(
        shares in prop::collection::vec(0..9_u32, 1..5),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        prop_assert_eq!(run(&shares, &steps), run(&shares, &steps));
    }

    #[test]
    fn any_shares_hold(shares in prop::collection::vec(1..50_u32, 1..6)) {
        let mut mix = Mix::new(shares.iter().copied(), PATIENCE);
        let sources: Vec<_> = (0..shares.len()).collect();
        let all: u32 = shares.iter().sum();
        let counts = count(&mut mix, start(), &sources, usize::try_from(all).unwrap() * 3);
        for (source, share) in shares.iter().enumerate() {
            prop_assert_eq!(counts[&source], usize::try_from(*share).unwrap() * 3);
        }
    }
}
