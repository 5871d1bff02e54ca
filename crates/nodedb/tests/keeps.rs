//! What is remembered, for how long, and for whom.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{net::IpAddr, time::Duration};

use devp2p_core::{Ban, DiscoveryVersion, Host, MAX_BANS, Node};
use devp2p_nodedb::{MAX_ANCHORS, MAX_FILE_SIZE, MAX_LOCAL_IDS, OpenError, Options, SEED_LIFETIME};
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use self::support::{
    DAY, HOUR, NOW, folder, local, node, node_of_full_size, open, open_with, seed, seed_v5, sorted,
    try_open,
};

const SEEDS_V4: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("seeds-v4");
const LOCAL_SEQS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("local-seqs");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn rows(path: &std::path::Path, table: TableDefinition<'_, [u8; 32], &'static [u8]>) -> u64 {
    let database = Database::open(path).unwrap();
    let read = database.begin_read().unwrap();
    read.open_table(table).unwrap().len().unwrap()
}

#[test]
fn everything_is_there_after_a_restart() {
    let path = folder("restart").join("deeper").join("nodes");
    let first = open(&path, NOW);
    assert_eq!(first.remembered, Default::default());
    let mut answered = seed(1, NOW);
    answered.last_ping = NOW - 7;
    let seeds = vec![
        answered,
        seed_v5(1, NOW - HOUR),
        seed(2, NOW),
        devp2p_core::Seed::new(
            node_of_full_size(3),
            "[2001:db8::1]:9".parse().unwrap(),
            DiscoveryVersion::V5,
            NOW,
        ),
    ];
    let named = Node::new(node(9).public_key(), Some(Host::Dns("a.example".into())), 1, 2);
    let anchors = vec![node(1), node_of_full_size(3), named, Node::from(node(8).public_key())];
    seeds.iter().for_each(|seed| first.db.write_seed(seed.clone()));
    first.db.write_anchors(anchors.clone());
    first.db.write_local_seq(41);
    first.db.close();

    for _ in 0..2 {
        let again = open(&path, NOW + HOUR);
        assert_eq!(sorted(again.remembered.seeds), sorted(seeds.clone()));
        assert_eq!(again.remembered.anchors, anchors);
        assert_eq!(again.remembered.local_seq, Some(41));
        again.db.close();
    }
}

#[test]
fn the_newest_row_counts() {
    let path = folder("newest").join("nodes");
    let first = open(&path, NOW);
    for time in 0..9 {
        first.db.write_seed(seed(1, NOW + time));
        first.db.write_seed(seed(2, NOW + time));
        first.db.write_seed(seed_v5(2, NOW + time));
        // Now and then a transaction in between.
        assert!(time % 3 != 0 || first.db.flush());
    }
    first.db.forget(DiscoveryVersion::V4, node(2).id());
    first.db.write_seed(seed(3, NOW));
    first.db.forget(DiscoveryVersion::V4, node(3).id());
    first.db.forget(DiscoveryVersion::V4, node(4).id());
    first.db.write_seed(seed(4, NOW));
    first.db.write_anchors(vec![node(1), node(2)]);
    first.db.write_anchors((1..9).map(node).collect());
    first.db.write_anchors((5..15).map(node).collect());
    first.db.close();

    let again = open(&path, NOW + 9);
    let expected = sorted(vec![seed(1, NOW + 8), seed_v5(2, NOW + 8), seed(4, NOW)]);
    assert_eq!(sorted(again.remembered.seeds), expected);
    assert_eq!(again.remembered.anchors, (5..15).map(node).take(MAX_ANCHORS).collect::<Vec<_>>());
    again.db.write_anchors(Vec::new());
    again.db.close();
    assert_eq!(open(&path, NOW).remembered.anchors, []);
}

#[test]
fn bans_are_told_until_they_are_over() {
    let path = folder("bans").join("nodes");
    let first = open(&path, NOW);
    assert_eq!(first.remembered.bans, []);
    let for_good = Ban::new(node(1).id().into(), NOW, None);
    let network = "192.0.2.0/24".parse().unwrap();
    let of_an_hour = Ban::new(network, NOW, Some(Duration::from_secs(HOUR)));
    first.db.write_bans(vec![of_an_hour]);
    first.db.write_bans(vec![for_good, of_an_hour]);
    first.db.close();
    for (later, expected) in [(0, 2), (HOUR - 1, 2), (HOUR, 1)] {
        let again = open(&path, NOW + later);
        assert_eq!(again.remembered.bans, [for_good, of_an_hour][..expected], "{later}");
        again.db.close();
    }
    let again = try_open(&path, local(2), NOW).unwrap();
    assert_eq!(again.remembered.bans.len(), 2, "they are of use to any key");
    let address = |n: usize| IpAddr::from([8, 8, n.to_be_bytes()[6], n.to_be_bytes()[7]]);
    again.db.write_bans((0..5_000).map(|n| Ban::new(address(n).into(), NOW, None)).collect());
    again.db.close();
    assert_eq!(open(&path, NOW).remembered.bans.len(), MAX_BANS);
    assert!(std::fs::metadata(&path).unwrap().len() < MAX_FILE_SIZE / 4);
}

#[test]
fn who_never_answered_leaves_no_row() {
    let path = folder("pings").join("nodes");
    let first = open(&path, NOW);
    first.db.write_local_seq(1);
    assert!(first.db.flush());
    for n in 0..2_000 {
        let mut pinged = seed(n, 0);
        pinged.last_ping = NOW;
        first.db.write_seed(pinged);
    }
    assert!(first.db.flush());
    first.db.close();
    assert_eq!(rows(&path, SEEDS_V4), 0);
    assert!(std::fs::metadata(&path).unwrap().len() < 100_000, "an empty file, in this format");
    assert_eq!(open(&path, NOW).remembered.seeds, []);
}

/// Whatever scope it has: no other run knows that number.
#[test]
fn link_local_addresses_leave_no_row() {
    let path = folder("link-local").join("nodes");
    let first = open(&path, NOW);
    let at = |endpoint: &str| {
        let endpoint = endpoint.parse().unwrap();
        devp2p_core::Seed::new(node(1), endpoint, DiscoveryVersion::V4, NOW)
    };
    for endpoint in ["[fe80::1%3]:30303", "[fe80::1]:30303", "169.254.1.2:30303"] {
        first.db.write_seed(at(endpoint));
    }
    let local = Node::new(node(2).public_key(), Some("[fe80::1]".parse().unwrap()), 1, 2);
    first.db.write_anchors(vec![local, node(3)]);
    assert!(first.db.flush());
    first.db.close();
    assert_eq!(rows(&path, SEEDS_V4), 0);
    let again = open(&path, NOW);
    assert_eq!(again.remembered.seeds, []);
    assert_eq!(again.remembered.anchors, [node(3)]);
    again.db.close();
}

#[test]
fn seeds_expire_at_the_start() {
    let path = folder("expiry").join("nodes");
    let lifetime = SEED_LIFETIME.as_secs();
    let first = open(&path, NOW);
    first.db.write_seed(seed(1, NOW - lifetime));
    first.db.write_seed(seed(2, NOW - lifetime - 1));
    first.db.write_seed(seed_v5(3, NOW - lifetime + HOUR));
    first.db.write_seed(seed(4, NOW));
    first.db.close();
    assert_eq!(rows(&path, SEEDS_V4), 3, "whether it is too old is for the next start to say");

    let second = open(&path, NOW);
    let left =
        sorted(vec![seed(1, NOW - lifetime), seed_v5(3, NOW - lifetime + HOUR), seed(4, NOW)]);
    assert_eq!(sorted(second.remembered.seeds.clone()), left);
    second.db.close();
    assert_eq!(rows(&path, SEEDS_V4), 2);

    assert_eq!(open(&path, NOW + 3 * lifetime).remembered.seeds, []);
}

/// A machine without a clock of its own starts in 1970, and one whose clock was wrong comes back.
#[test]
fn a_clock_that_was_set_back_costs_nothing() {
    let path = folder("clock").join("nodes");
    let first = open(&path, NOW);
    first.db.write_seed(seed(1, NOW + 4 * DAY));
    first.db.write_seed(seed(2, NOW));
    first.db.close();

    let at_1970 = open(&path, 5);
    let times: Vec<_> = at_1970.remembered.seeds.iter().map(|seed| seed.last_pong).collect();
    assert_eq!(times, [0, 0], "what is still to come has proved nothing");
    at_1970.db.close();
    let today = open(&path, NOW);
    assert_eq!(sorted(today.remembered.seeds), sorted(vec![seed(1, 0), seed(2, NOW)]));
}

#[test]
fn a_clock_that_was_ahead_for_a_moment_costs_no_rows_and_proves_nothing() {
    let path = folder("ahead").join("nodes");
    let first = open(&path, NOW);
    (1..=20).for_each(|n| first.db.write_seed(seed(n, NOW)));
    assert!(first.db.flush());
    let mut ahead = seed(21, NOW + 30 * DAY);
    ahead.last_ping = NOW + 30 * DAY;
    first.db.write_seed(ahead);
    first.db.close();
    assert_eq!(rows(&path, SEEDS_V4), 21);

    for day in [0, 1, 4] {
        let now = NOW + day * DAY;
        let again = open(&path, now);
        let expected = (1..=20).map(|n| seed(n, NOW)).chain([seed(21, 0)]).collect();
        assert_eq!(sorted(again.remembered.seeds.clone()), sorted(expected), "day {day}");
        again.db.close();
        // Nor is it among the freshest.
        let mut few = Options::new(local(1), now, [7; 32]);
        few.seeds_at_open = 2;
        let told = open_with(&path, few).unwrap();
        assert_eq!(
            told.remembered.seeds.first().map(|seed| seed.last_pong),
            Some(NOW),
            "day {day}"
        );
        told.db.close();
    }
}

#[test]
fn numbers_are_kept_per_key_and_bonds_belong_to_one() {
    let path = folder("keys").join("nodes");
    let one = open(&path, NOW);
    let mut answered = seed(1, NOW);
    answered.last_ping = NOW;
    one.db.write_seed(answered.clone());
    one.db.write_local_seq(7);
    one.db.write_anchors(vec![node(5)]);
    one.db.close();

    let one = open(&path, NOW);
    assert_eq!(one.remembered.seeds, [answered]);
    one.db.close();
    let two = try_open(&path, local(2), NOW).unwrap();
    assert_eq!(two.remembered.local_seq, None);
    assert_eq!(two.remembered.seeds, [seed(1, NOW)], "the node was answered under another key");
    assert_eq!(two.remembered.anchors, [node(5)]);
    two.db.write_local_seq(3);
    two.db.close();

    let one = open(&path, NOW);
    assert_eq!(one.remembered.local_seq, Some(7));
    assert_eq!(one.remembered.seeds, [seed(1, NOW)], "and is not asked to remember");
    one.db.write_local_seq(6);
    one.db.close();
    assert_eq!(open(&path, NOW).remembered.local_seq, Some(7), "a number never goes down");
}

#[test]
fn only_the_newest_keys_have_numbers() {
    let path = folder("many_keys").join("nodes");
    let many = MAX_LOCAL_IDS as u8 + 10;
    for n in 0..many {
        let opened = try_open(&path, local(n), NOW + u64::from(n)).unwrap();
        opened.db.write_local_seq(u64::from(n));
        opened.db.close();
    }
    assert_eq!(rows(&path, LOCAL_SEQS), MAX_LOCAL_IDS as u64);
    for n in 0..many {
        let kept = usize::from(many - n) <= MAX_LOCAL_IDS;
        let opened = try_open(&path, local(n), NOW).unwrap();
        assert_eq!(opened.remembered.local_seq.is_some(), kept, "{n}");
        opened.db.close();
    }
}

#[test]
fn a_damaged_row_is_deleted_and_the_others_are_told() {
    let path = folder("rows").join("nodes");
    let first = open(&path, NOW);
    (1..=4).for_each(|n| first.db.write_seed(seed(n, NOW)));
    first.db.write_anchors(vec![node(1), node(2)]);
    first.db.write_bans(vec![Ban::new(node(1).id().into(), NOW, None)]);
    first.db.write_local_seq(5);
    first.db.close();

    let database = Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut seeds = write.open_table(SEEDS_V4).unwrap();
        // Nonsense, the version byte of the future, and a row whose node is another one.
        seeds.insert(node(1).id().as_bytes(), &[1, 2, 3][..]).unwrap();
        let row = seeds.get(node(2).id().as_bytes()).unwrap().unwrap().value().to_vec();
        seeds.insert(node(2).id().as_bytes(), &[&[2], &row[1..]].concat()[..]).unwrap();
        seeds.insert(node(3).id().as_bytes(), &row[..]).unwrap();
        write.open_table(META).unwrap().insert("anchors", &[9][..]).unwrap();
        write.open_table(META).unwrap().insert("bans", &[9][..]).unwrap();
        let mut seqs = write.open_table(LOCAL_SEQS).unwrap();
        seqs.insert(local(1).as_bytes(), &[][..]).unwrap();
    }
    write.commit().unwrap();
    drop(database);

    let second = open(&path, NOW);
    assert_eq!(second.remembered.seeds, [seed(4, NOW)]);
    assert_eq!(second.remembered.anchors, []);
    assert_eq!(second.remembered.bans, []);
    assert_eq!(second.remembered.local_seq, None);
    second.db.close();
    assert_eq!((rows(&path, SEEDS_V4), rows(&path, LOCAL_SEQS)), (1, 0));
}

#[test]
fn a_file_has_one_user_at_a_time() {
    let path = folder("in_use").join("nodes");
    let first = open(&path, NOW);
    first.db.write_local_seq(3);
    for _ in 0..2 {
        assert!(matches!(try_open(&path, local(1), NOW).err(), Some(OpenError::InUse)));
    }
    first.db.close();
    assert_eq!(open(&path, NOW).remembered.local_seq, Some(3));
}
