use std::{thread::sleep, time::Duration};

use serde_json::Value;

use crate::tool::Running;

const GENESIS: &str = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";

/// A node on the chain with this fork id that begins with these nodes.
fn start(fork_id: &str, bootnodes: &str) -> Running {
    let common = ["run", "--json", "-vvv", "--addr", "127.0.0.1:0", "--network-id", "1"];
    let chain = ["--genesis", GENESIS, "--fork-id", fork_id];
    let bootnodes = ["--bootnodes", bootnodes].into_iter().filter(|_| !bootnodes.is_empty());
    Running::start(common.into_iter().chain(chain).chain(bootnodes))
}

fn text(event: &Value, key: &str) -> String {
    event[key].as_str().unwrap_or_else(|| panic!("no {key} in {event}")).to_owned()
}

#[test]
fn a_node_of_another_chain_is_found_and_not_dialed() {
    let (mut same, mut other) = (start("07c9462e", ""), start("11111111", ""));
    let (same_ready, other_ready) = (same.event("ready"), other.event("ready"));
    let bootnodes = [&same_ready, &other_ready].map(|ready| text(ready, "enode")).join(",");
    let stranger = text(&other_ready, "id");
    let mut is_refused = false;
    for _ in 0..5 {
        let mut ours = start("07c9462e", &bootnodes);
        assert_eq!(ours.event("add")["id"], same_ready["id"]);
        // It may well have been found later than the other.
        sleep(Duration::from_secs(1));
        let (code, lines, log) = ours.signal_and_rest("INT");
        assert_eq!(code, Some(0));
        let added = |line: &&String| line.contains("\"add\"") && line.contains(&stranger);
        assert_eq!(lines.iter().find(added), None);
        let refused = |line: &str| line.contains("the dial filter") && line.contains(&stranger);
        is_refused |= log.lines().any(refused);
        if is_refused {
            break;
        }
    }
    assert!(is_refused, "it was never found");
    for node in [same, other] {
        assert_eq!(node.signal("INT").0, Some(0));
    }
}
