//! The table of safe defaults in docs/SECURITY.md is what libraries and program have.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path, process::Command};

use devp2p_core::MAX_BANS;
use devp2p_server::Config;

/// The rows of the table: the option, and its value.
fn documented() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SECURITY.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("## Safe defaults\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.nth(1).unwrap(), cells.next().unwrap())
    })
    .collect()
}

/// What a key of the configuration file is where nobody says anything.
fn dumped(table: &str, key: &str) -> String {
    let dump = Command::new(env!("CARGO_BIN_EXE_devp2p"))
        .args(["run", "--dump-config"])
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(dump.stdout).unwrap();
    let mut lines = text.lines().skip_while(|line| *line != format!("[{table}]"));
    lines.find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap().to_owned()
}

#[test]
fn the_table_of_safe_defaults_holds() {
    let config = Config::default();
    let (inbound, dial, peer) = (&config.inbound, &config.dial, &config.peer);
    let v4 = devp2p_discv4::Config::default();
    let v5 = devp2p_discv5::Config::default();
    assert_eq!(v4.table, v5.table, "one row for both");
    let key = |table: &str, key: &str| (format!("{table}.{key}"), dumped(table, key));
    let option = |name: &str, value: String| (name.to_owned(), value);
    let defaults = [
        option("max_peers", config.max_peers.to_string()),
        option("max_pending_peers", config.max_pending_peers.to_string()),
        option("dial_ratio", config.dial_ratio.to_string()),
        option("setup_timeout", format!("{:?}", config.setup_timeout)),
        option("lan_policy", format!("{:?}", config.lan_policy)),
        option("inbound.per_address", format!("{:?}", inbound.per_address)),
        option("inbound.per_prefix", inbound.per_prefix.to_string()),
        option("inbound.peers_per_prefix", inbound.peers_per_prefix.to_string()),
        option("dial.max_active_dials", dial.max_active_dials.to_string()),
        option("dial.max_dialed_per_prefix", dial.max_dialed_per_prefix.to_string()),
        option("dial.useless_backoff", format!("{:?}", dial.useless_backoff)),
        option("peer.max_message", peer.max_message.to_string()),
        option("peer.inbound_bytes", peer.inbound_bytes.to_string()),
        option("peer.outbound_bytes", peer.outbound_bytes.to_string()),
        option("peer.pong_timeout", format!("{:?}", peer.pong_timeout)),
        option("peer.stall_timeout", format!("{:?}", peer.stall_timeout)),
        option("table.bucket_group_limit", v4.table.bucket_group_limit.to_string()),
        option("table.table_group_limit", v4.table.table_group_limit.to_string()),
        option("newcomers_wait", (v4.newcomers_wait && v5.newcomers_wait).to_string()),
        option("discv4.max_bonds", v4.max_bonds.to_string()),
        option("discv5.max_sessions", v5.max_sessions.to_string()),
        option("discv5.max_challenges", v5.max_challenges.to_string()),
        option("discv5.max_talks", v5.max_talks.to_string()),
        option("MAX_BANS", MAX_BANS.to_string()),
        key("Node", "HTTPHost"),
        key("Node", "WSHost"),
        key("Metrics", "Enabled"),
        key("Metrics", "HTTP"),
    ];
    let documented = documented();
    for (at, default) in defaults.iter().enumerate() {
        assert_eq!(documented.get(at), Some(default), "row {at}");
    }
    assert_eq!(documented.len(), defaults.len(), "rows that nobody holds");
}
