//! What is left when the end comes unannounced.
#![expect(clippy::unwrap_used, reason = "a test")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use devp2p_nodedb::OpenError;

use self::support::{NOW, folder, local, node, open, seed, sorted, try_open};

#[test]
fn dropped_without_close_it_writes_the_rest_by_itself() {
    let path = folder("dropped").join("nodes");
    let opened = open(&path, NOW);
    opened.db.write_seed(seed(1, NOW));
    opened.db.write_local_seq(3);
    drop(opened);
    let again = loop {
        match try_open(&path, local(1), NOW) {
            Ok(opened) => break opened,
            Err(OpenError::InUse) => thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(again.remembered.local_seq, Some(3));
    assert_eq!(again.remembered.seeds, [seed(1, NOW)]);
}

const CHILD: &str = "NODEDB_CRASH_TEST";

/// Not a test by itself: the process that is killed. Writes numbers, each with a seed, and says
/// which of them are on the disk.
#[test]
fn the_process_that_is_killed() {
    let Some(path) = env::var_os(CHILD) else { return };
    let opened = try_open(&PathBuf::from(path), local(1), NOW).unwrap();
    for n in 1.. {
        opened.db.write_seed(seed(n, NOW));
        opened.db.write_anchors(vec![node(n)]);
        opened.db.write_local_seq(n.into());
        if n % 7 == 0 {
            assert!(opened.db.flush());
            println!("written {n}");
        }
    }
}

#[test]
fn killed_at_any_moment_it_loses_only_what_was_queued() {
    let path = folder("killed").join("nodes");
    let mut last = 0;
    for round in 0..6 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["the_process_that_is_killed", "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut written = 0;
        while written < 7 * (3 + round) {
            let line = lines.next().unwrap().unwrap();
            written = line.strip_prefix("written ").map_or(written, |n| n.parse().unwrap());
        }
        child.kill().unwrap();
        // What it said before it was killed is on the disk as well.
        for line in lines {
            let line = line.unwrap();
            written = line.strip_prefix("written ").map_or(written, |n| n.parse().unwrap());
        }
        child.wait().unwrap();

        let left = open(&path, NOW);
        let seq = left.remembered.local_seq.unwrap();
        assert!(seq >= written && seq >= last, "{seq} of {written}");
        last = seq;
        let seeds = sorted(left.remembered.seeds);
        assert!((1..=written as u32).all(|n| seeds.contains(&seed(n, NOW))));
        assert_eq!(left.remembered.anchors.len(), 1);
        left.db.close();
    }
    let folder = path.parent().unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing was moved aside");
}
