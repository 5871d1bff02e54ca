//! Reading lists that are as they should be.

use std::time::Duration;

use devp2p_core::NodeId;
use devp2p_dnsdisc::{Config, Event, Link, SyncError, Txt};
use proptest::{prelude::*, test_runner::Config as Cases};

use crate::world::{Behaviour, SECOND, World, ids, link, record, records, sorted, tree};

proptest! {
    #![proptest_config(Cases::with_cases(48))]

    /// What was made is what is found: every record and link once, with one lookup for each name.
    #[test]
    fn all_of_a_tree_is_found(
        records in 0..220_u32,
        links in 0..40_usize,
        latency in 0..3_000_u64,
        cache in prop_oneof![Just(0_usize), Just(1_000)],
        seed in any::<u8>(),
    ) {
        let records = crate::world::records(records);
        let links: Vec<_> = (0..links).map(|n| link(&format!("linked-{n}.example"))).collect();
        let made = tree("nodes.example", 1, records.clone(), links.clone());
        let mut config = Config::default();
        config.follow_links = false;
        config.cache_entries = cache;
        let mut world = World::new(config, [made.link().clone()], seed);
        world.publish(&made);
        world.latency = Duration::from_millis(latency);
        world.want(usize::MAX);
        prop_assert_eq!(world.run_round(), (records.len(), 0));
        prop_assert_eq!(sorted(world.found()), ids(&records));
        let found = world.events.iter().filter_map(|event| match event {
            Event::Link { link, .. } => Some(link.clone()),
            _ => None,
        });
        let found: Vec<Link> = found.collect();
        prop_assert_eq!(found, links, "in their order");
        let names = made.txt().count();
        let lookups = if cache == 0 { names..=names + 2 } else { names..=names };
        prop_assert!(lookups.contains(&world.lookups.len()), "{} of {}", world.lookups.len(), names);
        prop_assert_eq!(world.failures(), []);
    }
}

#[test]
fn a_few_nodes_take_a_few_lookups_and_are_any() {
    let made = tree("nodes.example", 1, records(2_000), vec![]);
    let mut firsts = Vec::new();
    for seed in 0..8 {
        let mut world = World::new(Config::default(), [made.link().clone()], seed);
        world.publish(&made);
        world.want(1);
        world.run_for(1_000 * SECOND);
        let found = world.found();
        assert!((1..=4).contains(&found.len()), "one and those under way, not {}", found.len());
        assert!(world.lookups.len() < 200, "{}", world.lookups.len());
        firsts.push(found[0]);
    }
    firsts.sort();
    firsts.dedup();
    assert!(firsts.len() >= 7, "{firsts:?}");
}

#[test]
fn rounds_follow_each_other_and_a_small_tree_is_kept() {
    let made = tree("nodes.example", 1, records(20), vec![]);
    let mut world = World::of(Config::default(), &made);
    let first = (world.run_round(), world.lookups.len());
    assert_eq!(first, ((20, 0), made.txt().count()));
    let start = world.elapsed();
    let mut orders: Vec<Vec<NodeId>> = Vec::new();
    for _ in 0..5 {
        let before = world.found().len();
        assert_eq!(world.run_round(), (20, 0));
        orders.push(world.found().split_off(before));
    }
    assert_eq!(world.lookups.len(), made.txt().count(), "nothing is looked up again");
    let took = world.elapsed() - start;
    assert!((4 * SECOND..=5 * SECOND).contains(&took), "a second a round, not {took:?}");
    orders.dedup();
    assert_eq!(orders.len(), 5, "no order like the one before");
}

#[test]
fn nothing_is_looked_up_that_nobody_wants() {
    let made = tree("nodes.example", 1, records(20), vec![]);
    let mut world = World::new(Config::default(), [made.link().clone()], 1);
    world.publish(&made);
    world.run_for(10_000 * SECOND);
    assert_eq!((world.lookups.len(), world.client.poll_timeout()), (0, None));
    world.want(1);
    world.run_for(10_000 * SECOND);
    let count = world.lookups.len();
    world.run_for(10_000 * SECOND);
    assert_eq!(world.lookups.len(), count);
}

#[test]
fn a_new_root_is_found_within_half_an_hour() {
    let mut world = World::of(Config::default(), &tree("n", 1, records(3), vec![]));
    assert_eq!(world.run_round(), (3, 0));
    world.publish(&tree("n", 2, vec![record(1), record(7)], vec![link("more")]));
    world.run_until(|event| matches!(event, Event::Root { root, .. } if root.seq() == 2));
    let took = world.elapsed();
    assert!((1_795 * SECOND..=1_802 * SECOND).contains(&took), "{took:?}");
    let before = world.found().len();
    assert_eq!(world.run_round(), (2, 0));
    assert_eq!(sorted(world.found().split_off(before)), ids(&[record(1), record(7)]));
    assert_eq!(world.client.trees().count(), 2);

    // The link goes, and with it the other tree.
    world.publish(&tree("n", 3, vec![record(1)], vec![]));
    world.run_until(|event| matches!(event, Event::Root { root, .. } if root.seq() == 3));
    world.run_round();
    assert_eq!(world.client.trees().map(Link::domain).collect::<Vec<_>>(), ["n"]);
}

#[test]
fn other_records_of_a_name_and_strings_of_a_record() {
    let made = tree("nodes.example", 5, records(30), vec![]);
    let mut world = World::new(Config::default(), [made.link().clone()], 1);
    let older = tree("nodes.example", 4, records(1), vec![]);
    for (name, text) in made.txt() {
        let mut answer = vec![Txt::from("v=spf1 -all"), Txt::join([[0xff, 0xfe], [0, 1]])];
        if name == "nodes.example" {
            answer.push(older.root().to_string().as_str().into());
            answer.push("enrtree-root:v1 nonsense".into());
        }
        // As DNS has it: 255 bytes a string at most, here in fewer.
        answer.push(Txt::join(text.as_bytes().chunks(100)));
        world.zone.insert(name, Behaviour::Answer(answer));
    }
    world.want(usize::MAX);
    assert_eq!(world.run_round(), (30, 0));
    assert_eq!(world.failures(), []);
}

#[test]
fn linked_trees_are_followed_up_to_their_limits() {
    // A chain of trees, the last of which leads back to the first and to itself.
    let name = |n: usize| format!("tree-{n}");
    let mut config = Config::default();
    config.rate = 100;
    let mut world = World::new(config.clone(), [link(&name(0))], 1);
    for n in 0..7_u32 {
        let index = usize::try_from(n).unwrap();
        let mut links = vec![link(&name(index + 1)), link(&name(0)), link(&name(index))];
        links.dedup();
        links.sort();
        links.dedup();
        world.publish(&tree(&name(index), 1, vec![record(n)], links));
    }
    world.want(usize::MAX);
    world.run_for(60 * SECOND);
    let followed: Vec<_> = world.client.trees().map(Link::domain).collect();
    assert_eq!(followed, ["tree-0", "tree-1", "tree-2", "tree-3", "tree-4"], "four links away");
    let mut found = sorted(world.found());
    found.dedup();
    assert_eq!(found, ids(&records(5)));

    config.max_linked_trees = 2;
    let mut narrow = World::new(config.clone(), [link(&name(0))], 1);
    narrow.zone.clone_from(&world.zone);
    narrow.want(usize::MAX);
    narrow.run_for(60 * SECOND);
    assert_eq!(narrow.client.trees().count(), 3);

    config.follow_links = false;
    let mut alone = World::new(config, [link(&name(0))], 1);
    alone.zone.clone_from(&world.zone);
    alone.want(usize::MAX);
    alone.run_for(60 * SECOND);
    assert_eq!(alone.client.trees().count(), 1);
}

#[test]
fn a_small_tree_has_its_chance_beside_a_large_one() {
    let large = tree("large", 1, records(1_500), vec![]);
    let small = tree("small", 1, (5_000..5_010).map(record).collect(), vec![]);
    let links = [large.link().clone(), small.link().clone()];
    let mut world = World::new(Config::default(), links, 3);
    world.publish(&large);
    world.publish(&small);
    world.want(usize::MAX);
    world.run_until(|event| matches!(event, Event::Round { .. }));
    // Both have had some 13 lookups by then.
    assert!(world.lookups.len() < 60, "{}", world.lookups.len());
}

#[test]
fn a_domain_without_a_tree_is_looked_at_again() {
    let made = tree("n", 1, records(2), vec![]);
    let mut world = World::new(Config::default(), [made.link().clone()], 1);
    world.want(usize::MAX);
    world.run_for(40 * SECOND);
    let at: Vec<_> = world.lookups_of("n").iter().map(Duration::as_secs).collect();
    assert_eq!(at, [0, 5, 15, 35]);
    let not_found = SyncError::Lookup(devp2p_dnsdisc::LookupError::NotFound);
    assert!(world.failures().iter().all(|failure| *failure == ("n".to_owned(), not_found.clone())));
    world.publish(&made);
    assert_eq!(world.run_round(), (2, 0));
}
