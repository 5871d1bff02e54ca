//! Files that are damaged, not ours or cannot be: the database starts or says why it does not, and
//! nothing panics.
#![expect(clippy::unwrap_used, reason = "a test")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use devp2p_core::{Rng, Seed};
use devp2p_nodedb::{MAX_FILE_SIZE, Notice, OpenError};
use redb::{Database, TableDefinition};

use self::support::{NOW, folder, local, node, open, seed, seed_v5, sorted, try_open};

/// A file with some rows.
fn written(path: &Path) -> Vec<Seed> {
    let opened = open(path, NOW);
    let seeds: Vec<_> = (0..60).map(|n| seed(n, NOW)).chain([seed_v5(1, NOW)]).collect();
    for seed in &seeds {
        opened.db.write_seed(seed.clone());
        assert!(seed.node != node(30) || opened.db.flush());
    }
    opened.db.write_local_seq(5);
    opened.db.write_anchors(vec![node(1)]);
    opened.db.close();
    sorted(seeds)
}

/// Opens a file in whatever state; it must tell the truth or be moved aside, and be of use. Whether
/// it was moved aside.
fn opens_or_is_moved_aside(path: &Path, seeds: &[Seed], damage: &str) -> bool {
    let opened = try_open(path, local(1), NOW).unwrap();
    let moved = match &opened.notices()[..] {
        [] => false,
        [Notice::MovedAside { to, .. }] => {
            assert_eq!(opened.remembered, Default::default(), "{damage}");
            fs::remove_file(to).unwrap();
            true
        }
        notices => panic!("{damage}: {notices:?}"),
    };
    assert!(opened.remembered.seeds.iter().all(|seed| seeds.contains(seed)), "{damage}");
    assert!(opened.remembered.local_seq.is_none_or(|seq| seq == 5), "{damage}");
    assert!(opened.remembered.anchors.iter().all(|anchor| *anchor == node(1)), "{damage}");
    opened.db.write_local_seq(6);
    opened.db.close();
    let again = try_open(path, local(1), NOW).unwrap();
    assert_eq!(again.notices(), [], "{damage}");
    assert_eq!(again.remembered.local_seq, Some(6), "{damage}");
    again.db.close();
    moved
}

#[test]
fn a_file_that_was_cut_off_anywhere() {
    let folder = folder("cut");
    let path = folder.join("nodes");
    let seeds = written(&path);
    let whole = fs::read(&path).unwrap();
    let mut moved = 0;
    for length in (0..whole.len()).step_by(512) {
        fs::write(&path, &whole[..length]).unwrap();
        moved += u32::from(opens_or_is_moved_aside(&path, &seeds, &format!("{length} bytes")));
    }
    assert!(moved > 0);
}

#[test]
fn a_file_with_bits_flipped_or_pages_lost() {
    let folder = folder("flipped");
    let path = folder.join("nodes");
    let seeds = written(&path);
    let whole = fs::read(&path).unwrap();
    let mut rng = Rng::from_seed([5; 32]);
    let mut moved = 0;
    for round in 0..250 {
        let mut bytes = whole.clone();
        // Half of the damage goes to the header, which nothing but itself vouches for.
        let within = if round % 2 == 0 { 512 } else { whole.len() };
        for _ in 0..=rng.below(3) {
            let at = rng.below(within as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes[at] = rng.below(256) as u8,
                _ => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            }
        }
        fs::write(&path, &bytes).unwrap();
        moved += u32::from(opens_or_is_moved_aside(&path, &seeds, &format!("round {round}")));
    }
    assert!(moved > 20, "{moved}");
}

fn moved_aside(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.to_str().unwrap().contains(".damaged-")).collect();
    files.sort();
    files
}

#[test]
fn what_is_not_ours_is_moved_aside_as_it_is_and_the_newest_two_are_kept() {
    let folder = folder("foreign");
    let path = folder.join("nodes");
    let bystander = folder.join("nodes.damaged-by-me");
    fs::write(&bystander, "mine").unwrap();

    let text = || fs::write(&path, "not a database").unwrap();
    let large = || fs::File::create(&path).unwrap().set_len(MAX_FILE_SIZE + 1).unwrap();
    let others = || {
        let write = Database::create(&path).unwrap().begin_write().unwrap();
        let table = TableDefinition::<&str, &str>::new("meta");
        write.open_table(table).unwrap().insert("format", "mine").unwrap();
        write.commit().unwrap();
    };
    let newer = || {
        open(&path, NOW).db.close();
        let write = Database::create(&path).unwrap().begin_write().unwrap();
        let table = TableDefinition::<&str, &[u8]>::new("meta");
        write.open_table(table).unwrap().insert("format", &b"nodedb\x00\x02"[..]).unwrap();
        write.commit().unwrap();
    };
    let makers: [(&dyn Fn(), u64); 4] = [(&text, 10), (&large, 10), (&others, 10), (&newer, 30)];
    for (count, (make, time)) in makers.into_iter().enumerate() {
        make();
        let found = fs::metadata(&path).unwrap().len();
        let opened = try_open(&path, local(1), time).unwrap();
        let notices = opened.notices();
        let [Notice::MovedAside { to, reason }] = &notices[..] else { panic!("{notices:?}") };
        assert!(!reason.is_empty());
        assert_eq!(fs::metadata(to).unwrap().len(), found);
        assert_eq!(moved_aside(&folder).len(), 2.min(count + 1) + 1, "and the bystander");
        opened.db.close();
        fs::remove_file(&path).unwrap();
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let names: Vec<_> = moved_aside(&folder).iter().map(name).collect();
    assert_eq!(names, ["nodes.damaged-12", "nodes.damaged-30", "nodes.damaged-by-me"]);
}

#[test]
fn an_empty_file_becomes_a_database() {
    let path = folder("empty").join("nodes");
    fs::write(&path, "").unwrap();
    open(&path, NOW).db.close();
}

#[test]
fn where_there_can_be_no_file_the_error_says_so() {
    let folder = folder("no_file");
    let kind = |path: &Path| match try_open(path, local(1), NOW).err().unwrap() {
        OpenError::Io(error) => error.kind(),
        error => panic!("{error}"),
    };
    assert_eq!(kind(&folder), io::ErrorKind::InvalidInput);
    let file = folder.join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(kind(&file.join("nodes")), io::ErrorKind::NotADirectory);
    assert_eq!(fs::read(&file).unwrap(), b"x");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing was moved or made");
}

#[test]
fn a_file_that_breaks_while_it_is_open_is_replaced() {
    let folder = folder("breaks");
    let path = folder.join("nodes");
    let opened = open(&path, NOW);
    // More than the library keeps in memory.
    for n in 0..8_000 {
        opened.db.write_seed(seed(n, NOW));
        assert!(n % 2_000 != 0 || opened.db.flush());
    }
    opened.db.close();

    let opened = open(&path, NOW);
    fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    (8_000..10_000).for_each(|n| opened.db.write_seed(seed(n, NOW)));
    opened.db.write_local_seq(4);
    // The number is written at once, so the first failure may be over by now.
    assert!(opened.db.flush() || opened.db.flush());
    let notices = opened.notices();
    let expected = matches!(notices[..], [Notice::WriteFailed { .. }, Notice::MovedAside { .. }]);
    assert!(expected, "{notices:?}");
    opened.db.close();
    let again = open(&path, NOW);
    assert_eq!(again.remembered.local_seq, Some(4));
    assert_eq!(again.remembered.seeds.len(), 2_000, "what was not yet written was kept");
}
