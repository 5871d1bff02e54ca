//! Lists, name servers and publishers that are not as they should be.

use std::time::Duration;

use devp2p_dnsdisc::{
    Config, Entry, EntryError, EntryName, Event, LookupError, MAX_DEPTH, RootError, SyncError, Tree,
};

use crate::world::{Behaviour, SECOND, World, ids, link, record, records, signer, sorted, tree};

const DOMAIN: &str = "nodes.example";

fn nothing() -> Entry {
    Entry::Branch(Vec::new())
}

fn branch(children: &[Entry]) -> Entry {
    Entry::Branch(children.iter().map(|child| EntryName::of(&child.to_string())).collect())
}

/// A world where these are the two halves of a tree, and these are its other entries.
fn world(config: Config, e: &Entry, l: &Entry, entries: &[Entry]) -> World {
    let mut world = World::new(config, [link(DOMAIN)], 1);
    world.publish_parts(DOMAIN, 1, e, l);
    for entry in entries {
        world.publish_entry(DOMAIN, entry);
    }
    world.want(usize::MAX);
    world
}

fn errors(world: &World) -> Vec<SyncError> {
    world.failures().into_iter().map(|(_, error)| error).collect()
}

#[test]
fn a_name_that_comes_again_is_read_once() {
    // Ten levels, each of which has the one below it thirteen times: 13^10 ways to one record.
    let mut entries = vec![Entry::Record(record(1))];
    for _ in 0..10 {
        let below = entries.last().unwrap().clone();
        entries.push(branch(&vec![below; 13]));
    }
    let mut world = world(Config::default(), entries.last().unwrap(), &nothing(), &entries);
    assert_eq!(world.run_round(), (1, 0));
    assert_eq!(world.lookups.len(), 13);
}

#[test]
fn a_branch_that_leads_back_to_where_it_began() {
    // No hash can do that; a name server that lies can try.
    let (a, b) = (branch(&[Entry::Record(record(1))]), branch(&[Entry::Record(record(2))]));
    let top = branch(&[a.clone(), b.clone()]);
    let mut world = world(Config::default(), &top, &nothing(), &[]);
    for entry in [&a, &b] {
        let name = EntryName::of(&entry.to_string());
        world.answer(&format!("{name}.{DOMAIN}"), &top.to_string());
    }
    assert_eq!(world.run_round(), (0, 2));
    assert_eq!(errors(&world), [SyncError::Hash, SyncError::Hash]);
    assert_eq!(world.lookups.len(), 5);
}

#[test]
fn a_wrong_entry_costs_itself_alone() {
    let made = tree(DOMAIN, 1, records(5), vec![]);
    let bad = EntryName::of(&record(2).to_string());
    let name = format!("{bad}.{DOMAIN}");
    let huge = format!("enrtree-branch:{}", vec!["A".repeat(26); 5_000].join(","));
    let cases = [
        (record(9).to_string(), SyncError::Hash),
        (huge, SyncError::TooLarge),
        ("hello".to_owned(), SyncError::NoEntry),
        (String::new(), SyncError::NoEntry),
    ];
    for (text, error) in cases {
        let mut world = World::of(Config::default(), &made);
        world.answer(&name, &text);
        assert_eq!(world.run_round(), (4, 1), "{error}");
        assert_eq!(world.failures(), [(name.clone(), error)]);
        assert!(!world.found().contains(&record(2).id()));
        assert_eq!(world.lookups_of(&name).len(), 1, "nobody asks again in this round");
    }
    // Something that has the hash and is nothing.
    let text = "enrtree-something:new";
    let strange = EntryName::of(text);
    let top = Entry::Branch(vec![strange.clone(), EntryName::of(&record(1).to_string())]);
    let mut world = world(Config::default(), &top, &nothing(), &[Entry::Record(record(1))]);
    world.answer(&format!("{strange}.{DOMAIN}"), text);
    assert_eq!(world.run_round(), (1, 1));
    assert_eq!(errors(&world), [SyncError::Entry(EntryError::Unknown)]);
}

#[test]
fn a_tree_without_an_end() {
    let mut entries = vec![Entry::Record(record(1))];
    for _ in 0..=MAX_DEPTH {
        entries.push(branch(&entries[entries.len() - 1..]));
    }
    let deepest = &entries[MAX_DEPTH];
    let mut world_at_limit = world(Config::default(), deepest, &nothing(), &entries);
    assert_eq!(world_at_limit.run_round(), (1, 0));
    let mut world_above = world(Config::default(), &entries[MAX_DEPTH + 1], &nothing(), &entries);
    assert_eq!(world_above.run_round(), (0, 1));
    assert_eq!(errors(&world_above), [SyncError::TooDeep]);

    // Children and children's children, none of which exist, and a limit of 100.
    let child = |n: usize| EntryName::of(&n.to_string());
    let leaves = |n: usize| Entry::Branch((0..64).map(|m| child(n * 64 + m)).collect());
    let branches: Vec<_> = (1..=64).map(leaves).collect();
    let mut config = Config::default();
    config.max_entries = 100;
    let mut world = world(config, &branch(&branches), &nothing(), &branches);
    let (found, failed) = world.run_round();
    assert_eq!(found, 0);
    assert!(failed <= 100, "{failed}");
    assert!(errors(&world).contains(&SyncError::TooManyEntries));
    // 100 entries, the links and the root, which may be asked for more often.
    let entries = world.lookups.iter().filter(|(_, name)| name != DOMAIN).count();
    assert!(entries <= 101, "{entries}");
}

#[test]
fn more_links_than_allowed() {
    let links: Vec<_> = (0..70).map(|n| Entry::Link(link(&format!("linked-{n}")))).collect();
    let halves = [branch(&links[..35]), branch(&links[35..])];
    let entries = [&links[..], &halves[..]].concat();
    let mut config = Config::default();
    config.rate = 100;
    let mut first = world(config.clone(), &Entry::Record(record(1)), &branch(&halves), &entries);
    assert_eq!(first.run_round(), (1, 0));
    let too_many = errors(&first);
    let too_many = too_many.iter().filter(|&error| *error == SyncError::TooManyLinks).count();
    assert_eq!(too_many, 70 - Tree::MAX_LINKS);
    assert_eq!(first.client.trees().count(), 9);

    // Branches without an end among the links do not keep the records from being read.
    let child = |n: usize| EntryName::of(&n.to_string());
    let leaves = |n: usize| Entry::Branch((0..64).map(|m| child(n * 64 + m)).collect());
    let branches: Vec<_> = (1..=64).map(leaves).collect();
    let mut second = world(config, &Entry::Record(record(1)), &branch(&branches), &branches);
    assert_eq!(second.run_round(), (1, 0));
    assert!(errors(&second).contains(&SyncError::TooManyEntries));
    assert!(second.lookups.len() < 150, "{}", second.lookups.len());
}

#[test]
fn records_and_links_belong_where_they_belong() {
    let (a_record, a_link) = (Entry::Record(record(1)), Entry::Link(link("other")));
    let mut world = world(
        Config::default(),
        &branch(&[a_link.clone(), Entry::Record(record(2))]),
        &branch(&[a_record.clone(), Entry::Link(link("more"))]),
        &[a_record, a_link, Entry::Record(record(2)), Entry::Link(link("more"))],
    );
    assert_eq!(world.run_round(), (1, 1));
    assert_eq!(world.found(), [record(2).id()]);
    let misplaced = errors(&world).iter().filter(|&e| *e == SyncError::Misplaced).count();
    assert_eq!(misplaced, 2);
    let followed: Vec<_> = world.client.trees().map(|link| link.domain().to_owned()).collect();
    assert_eq!(followed, [DOMAIN, "more"]);
}

#[test]
fn a_root_by_another_key() {
    let made = tree(DOMAIN, 1, records(3), vec![]);
    let text = made.root().to_string();
    let forged = Tree::new(9, records(3), []).unwrap().sign(&signer("thief"), DOMAIN).unwrap();
    let (start, signature) = text.split_at(text.len() - 80);
    let flipped = format!("{start}{}", signature.replacen('A', "B", 1).replacen('c', "d", 1));
    assert_ne!(flipped, text);
    for root in [forged.root().to_string(), flipped, text.replace("seq=1", "seq=2")] {
        let mut world = World::of(Config::default(), &made);
        world.answer(DOMAIN, &root);
        world.run_for(600 * SECOND);
        assert_eq!(world.found(), []);
        let failures = errors(&world);
        assert!(failures.iter().all(|e| *e == SyncError::Root(RootError::Signature)));
        // At 0, 5, 15, 35, 75, 155, 315 seconds: nothing else was looked up.
        assert_eq!(world.lookups.len(), 7);
    }
}

#[test]
fn a_root_that_goes_back() {
    for (seq, count) in [(4, 2), (5, 2)] {
        let mut world = World::of(Config::default(), &tree(DOMAIN, 5, records(3), vec![]));
        assert_eq!(world.run_round(), (3, 0));
        world.publish(&tree(DOMAIN, seq, records(count), vec![]));
        world.run_until(|event| matches!(event, Event::Failed { .. }));
        assert_eq!(errors(&world), [SyncError::OldRoot { known: 5, seq }]);
        // What is known stays.
        assert_eq!(world.run_round(), (3, 0));
        world.publish(&tree(DOMAIN, 6, records(1), vec![]));
        world.run_until(|event| matches!(event, Event::Root { .. }));
        assert_eq!(world.run_round(), (1, 0));
    }
}

#[test]
fn names_that_are_gone_and_servers_that_say_nothing() {
    let made = tree(DOMAIN, 1, records(5), vec![]);
    let name = format!("{}.{DOMAIN}", EntryName::of(&record(2).to_string()));
    let failed = LookupError::Failed("refused".into());
    let cases = [
        (Behaviour::Fail(LookupError::NotFound), LookupError::NotFound, 1),
        (Behaviour::Fail(failed.clone()), failed, 3),
        (Behaviour::Silent, LookupError::Timeout, 3),
    ];
    for (behaviour, error, lookups) in cases {
        let mut world = World::of(Config::default(), &made);
        world.zone.insert(name.clone(), behaviour);
        assert_eq!(world.run_round(), (4, 1));
        assert_eq!(world.failures(), [(name.clone(), SyncError::Lookup(error))]);
        assert_eq!(world.lookups_of(&name).len(), lookups);
        // In the next round it is there again.
        world.publish(&made);
        assert_eq!(world.run_round(), (5, 0));
        assert_eq!(sorted(world.found().split_off(4)), ids(&records(5)));
    }
}

#[test]
fn a_root_that_never_answers() {
    let mut world = World::new(Config::default(), [link(DOMAIN)], 1);
    world.zone.insert(DOMAIN.to_owned(), Behaviour::Silent);
    world.want(1);
    world.run_for(100 * SECOND);
    let at: Vec<_> = world.lookups_of(DOMAIN).iter().map(Duration::as_secs).collect();
    // Five seconds of waiting, and then 5, 10, 20 and 40.
    assert_eq!(at, [0, 10, 25, 50, 95]);
}

#[test]
fn many_failures_are_a_reason_to_look_for_a_new_root() {
    let mut world = World::of(Config::default(), &tree(DOMAIN, 1, records(60), vec![]));
    world.run_until(|event| matches!(event, Event::Record { .. }));
    // The publisher has replaced all of it.
    world.zone.clear();
    world.publish(&tree(DOMAIN, 2, (100..130).map(record).collect(), vec![]));
    world.run_until(|event| matches!(event, Event::Root { root, .. } if root.seq() == 2));
    assert!(world.elapsed() < 30 * SECOND, "{:?}", world.elapsed());
    assert_eq!(world.run_round(), (30, 0));
}

#[test]
fn a_late_answer_and_one_to_nothing() {
    let mut world = World::of(Config::default(), &tree(DOMAIN, 1, records(2), vec![]));
    world.latency = 7 * SECOND;
    world.run_for(60 * SECOND);
    assert_eq!(world.found(), []);
    assert!(errors(&world).iter().all(|e| *e == SyncError::Lookup(LookupError::Timeout)));
    world.latency = SECOND;
    assert_eq!(world.run_round(), (2, 0));
}
