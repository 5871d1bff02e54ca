use std::str;

use crate::tool::devp2p;

/// Runs a devnet, which must be a good one, and gives the numbers of its last line.
fn devnet(nodes: &str, seconds: &str, options: &[&str]) -> [u64; 6] {
    let args = ["devnet", "--nodes", nodes, "--seconds", seconds];
    let output = devp2p([args.as_slice(), options].concat());
    let (stdout, stderr) =
        (str::from_utf8(&output.stdout).unwrap(), str::from_utf8(&output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    // A head, a line for each node, the last line.
    assert_eq!(stdout.lines().count(), nodes.parse::<usize>().unwrap() + 2, "{stdout}");
    let last = stdout.lines().last().unwrap();
    let numbers: Vec<u64> = last
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [n, k, d, all, r, e] = numbers[..] else { panic!("{last}") };
    assert_eq!(
        last,
        format!("devnet: {n} nodes, min peers {k}, delivered {d}/{all}, restarts {r}, errors {e}")
    );
    [n, k, d, all, r, e]
}

#[test]
fn four_static_nodes_deliver_everything() {
    let [nodes, peers, delivered, sent, restarts, errors] = devnet("4", "3", &["--static"]);
    assert_eq!((nodes, peers, restarts, errors), (4, 3, 1, 0));
    // 6 pairs, 500 messages each way.
    assert!(delivered == sent && sent >= 6_000, "{delivered} of {sent}");
}

#[test]
fn two_static_nodes_deliver_everything() {
    let [nodes, peers, delivered, sent, restarts, errors] = devnet("2", "2", &["--static"]);
    assert_eq!((nodes, peers, restarts, errors), (2, 1, 1, 0));
    assert!(delivered == sent && sent >= 1_000, "{delivered} of {sent}");
}

#[test]
fn six_nodes_find_each_other_and_deliver_everything() {
    // By both versions of discovery.
    let [nodes, peers, delivered, sent, restarts, errors] = devnet("6", "4", &[]);
    assert_eq!((nodes, restarts, errors), (6, 1, 0));
    assert!(peers >= 4, "{peers}");
    // 4 peers each are 12 pairs, with 500 messages each way.
    assert!(delivered == sent && sent >= 12_000, "{delivered} of {sent}");
}

#[test]
fn six_nodes_of_v5_alone_find_each_other() {
    let [nodes, peers, delivered, sent, restarts, errors] =
        devnet("6", "4", &["--discovery", "v5"]);
    assert_eq!((nodes, restarts, errors), (6, 1, 0));
    assert!(peers >= 4, "{peers}");
    assert!(delivered == sent && sent >= 12_000, "{delivered} of {sent}");
}

#[test]
fn two_nodes_find_each_other_again() {
    for versions in ["v4", "v5", "both"] {
        let [nodes, peers, delivered, sent, restarts, errors] =
            devnet("2", "2", &["--discovery", versions]);
        assert_eq!((nodes, peers, restarts, errors), (2, 1, 1, 0), "{versions}");
        assert!(delivered == sent && sent >= 1_000, "{versions}: {delivered} of {sent}");
    }
}
