//! `devp2p discv4` and `devp2p discv5`: what is alike in both.

use std::{net::UdpSocket, process::Output, str};

use devp2p_core::{DiscoveryVersion, Node, NodeKey, Record};
use serde_json::{Value, json};

use crate::{
    memory::{remember, remembered, unix},
    tool::{Running, devp2p, fresh_path, stdout_of},
};

const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";

pub(crate) const VERSIONS: [Version; 2] =
    [Version("discv4", DiscoveryVersion::V4), Version("discv5", DiscoveryVersion::V5)];

/// One of the versions, by the name of its command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version(&'static str, DiscoveryVersion);

pub(crate) const V5: Version = VERSIONS[1];

/// Each of the versions, of which the last that is printed is the one that a failed test was at.
fn each_version() -> impl Iterator<Item = Version> {
    VERSIONS.into_iter().inspect(|version| println!("{version:?}"))
}

impl Version {
    fn listen(self, options: &[&str]) -> Running {
        let args = [self.0, "listen", "--addr", "127.0.0.1:0"];
        Running::start([args.as_slice(), options].concat())
    }

    /// A node on loopback that prints its events, and its record.
    pub(crate) fn listener(self, options: &[&str]) -> (Running, Record) {
        let mut node = self.listen(&[&["--json"], options].concat());
        let ready = node.event("ready");
        let record: Record = ready["enr"].as_str().unwrap().parse().unwrap();
        assert_eq!(ready["id"], record.id().to_string());
        assert_eq!(ready["udp"], record.udp().unwrap());
        assert_eq!(ready["addr"], format!("127.0.0.1:{}", record.udp().unwrap()));
        assert_eq!(ready["enode"], Node::from_record(record.clone()).to_enode());
        assert_eq!(ready["seq"], record.seq());
        (node, record)
    }

    /// One of the other commands; it asks again where a machine that is busy missed the first time.
    pub(crate) fn ask(self, command: &str, node: &str, options: &[&str]) -> String {
        let args = [self.0, command, node, "--addr", "127.0.0.1:0", "--timeout", "20"];
        stdout_of([args.as_slice(), options].concat())
    }

    /// One of the other commands, however it ends.
    pub(crate) fn ask_once(self, command: &str, node: &str, options: &[&str]) -> Output {
        devp2p([[self.0, command, node, "--addr", "127.0.0.1:0"].as_slice(), options].concat())
    }

    pub(crate) fn ask_json(self, command: &str, node: &str, options: &[&str]) -> Value {
        let printed = self.ask(command, node, &[&["--json"], options].concat());
        serde_json::from_str(&printed).unwrap()
    }
}

/// The node, of which only the key is known.
fn unknown(record: &Record) -> String {
    Node::from(record.public_key()).to_enode()
}

#[test]
fn a_listener_answers_the_other_commands() {
    for version in each_version() {
        let mut node = version.listen(&["--nodekeyhex", KEY]);
        let record = node.line();
        let parsed: Record = record.parse().unwrap();
        assert_eq!(parsed.public_key(), NodeKey::from_hex(KEY).unwrap().public_key());
        let enode = Node::from_record(parsed.clone()).to_enode();

        let pong = version.ask("ping", &enode, &[]);
        let rtt = pong.strip_prefix("node responded to ping (RTT ").unwrap();
        let rtt = rtt.strip_suffix("s).\n").unwrap();
        assert!(rtt.starts_with(|first: char| first.is_ascii_digit()), "{pong}");
        assert_eq!(version.ask("requestenr", &enode, &[]), format!("{record}\n"));
        assert_eq!(version.ask("resolve", &enode, &[]), format!("{record}\n"));
        assert_eq!(version.ask("resolve", &record, &[]), format!("{record}\n"));

        let pong = version.ask_json("ping", &record, &[]);
        assert_eq!(
            (&pong["event"], &pong["id"]),
            (&json!("pong"), &json!(parsed.id().to_string()))
        );
        assert!(pong["rtt_ms"].as_f64().unwrap() > 0.0, "{pong}");
        let expected = json!({
            "event": "node", "id": parsed.id().to_string(), "enode": enode, "enr": record,
            "seq": parsed.seq(),
        });
        assert_eq!(version.ask_json("requestenr", &enode, &[]), expected);
        assert_eq!(version.ask_json("resolve", &enode, &[]), expected);

        // Without --events the record is all that it prints.
        assert_eq!(node.signal("INT"), (Some(0), String::new()));
    }
}

#[test]
fn a_node_is_found_through_a_bootnode() {
    for version in each_version() {
        let (mut bootnode, boot) = version.listener(&[]);
        let (mut node, record) = version.listener(&["--bootnodes", &boot.to_string()]);
        assert_eq!(node.event("verified")["id"], boot.id().to_string());
        assert_eq!(bootnode.event("verified")["id"], record.id().to_string());

        let boot_url = Node::from_record(boot).to_enode();
        let options = ["--bootnodes", &boot_url];
        assert_eq!(version.ask("resolve", &unknown(&record), &options), format!("{record}\n"));

        // A node that moved is where its newest record says, whatever the asker has.
        let moved = Node::new(record.public_key(), Some("127.0.0.1".parse().unwrap()), 0, 9);
        assert_eq!(version.ask("resolve", &moved.to_enode(), &options), format!("{record}\n"));

        let stranger = unknown(&Record::builder().sign(&NodeKey::from_hex(KEY).unwrap()).unwrap());
        let output = version.ask_once("resolve", &stranger, &["--bootnodes", &boot_url]);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert_eq!(stderr, "error: can't find the node: nobody knows it\n");
        for node in [bootnode, node] {
            assert_eq!(node.signal("TERM"), (Some(0), String::new()));
        }
    }
}

#[test]
fn who_does_not_answer_is_told_in_one_line_with_exit_code_1() {
    for version in each_version() {
        // Bound, so that nobody else has the port, and silent.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let key = NodeKey::from_hex(KEY).unwrap().public_key();
        let enode = format!("enode://{key}@{}", silent.local_addr().unwrap());
        for (command, line) in [
            ("ping", "error: node didn't respond: no answer in time\n"),
            ("requestenr", "error: can't retrieve record: no answer in time\n"),
            ("resolve", "error: can't find the node: nobody knows it\n"),
        ] {
            for options in [["--timeout", "0"], ["--timeout", "1"]] {
                let output = version.ask_once(command, &enode, &options);
                let stderr = str::from_utf8(&output.stderr).unwrap();
                assert_eq!((output.status.code(), stderr), (Some(1), line));
                assert!(output.stdout.is_empty());
            }
        }
    }
}

#[test]
fn the_number_of_the_record_rises_with_every_start() {
    for version in each_version() {
        let path = fresh_path("discovery.nodedb");
        let key = NodeKey::from_hex(KEY).unwrap();
        // A day ahead of the clock, which is what it starts from without a file.
        let mut last = u64::try_from(unix().as_millis()).unwrap() + 86_400_000;
        remember(&path, &key, last, None);
        for _ in 0..2 {
            let options = ["--nodekeyhex", KEY, "--nodedb", path.to_str().unwrap()];
            let (node, record) = version.listener(&options);
            assert!(record.seq() > last, "{} after {last}", record.seq());
            last = record.seq();
            assert_eq!(node.signal("INT"), (Some(0), String::new()));
            assert_eq!(remembered(&path, &key).local_seq, Some(last));
        }
    }
}

#[test]
fn what_a_file_remembers_is_enough_to_find_a_node() {
    for version in each_version() {
        let (_other, record) = version.listener(&[]);
        let path = fresh_path("discovery-seeds.nodedb");
        let seed = (&Node::from_record(record.clone()), version.1);
        remember(&path, &NodeKey::from_hex(KEY).unwrap(), 1, Some(seed));
        let (mut node, _) = version.listener(&["--nodedb", path.to_str().unwrap()]);
        assert_eq!(node.event("verified")["id"], record.id().to_string());
        assert_eq!(node.signal("INT"), (Some(0), String::new()));

        let options = ["--nodedb", path.to_str().unwrap()];
        let found = version.ask("resolve", &unknown(&record), &options);
        assert_eq!(found, format!("{record}\n"));
    }
}

#[test]
fn a_file_in_use_is_not_shared() {
    for version in each_version() {
        let path = fresh_path("busy.nodedb");
        let (_node, _) = version.listener(&["--nodedb", path.to_str().unwrap()]);
        let args =
            [version.0, "listen", "--addr", "127.0.0.1:0", "--nodedb", path.to_str().unwrap()];
        let output = devp2p(args);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: --nodedb ") && stderr.contains("in use"), "{stderr}");
    }
}

#[test]
fn with_events_there_are_lines_for_people() {
    for version in each_version() {
        for options in [["--events"].as_slice(), &["-v", "--events"], &["-v"]] {
            let mut node = version.listen(options);
            let record: Record = node.line().parse().unwrap();
            version.ask("ping", &record.to_string(), &[]);
            let (first, last) = match version.1 {
                DiscoveryVersion::V4 => ("sighting id=", " source=ping"),
                _ => ("session id=", " initiator=false"),
            };
            if options.contains(&"--events") {
                let line = node.line();
                assert!(line.starts_with(first) && line.contains(last), "{line}");
            }
            let (code, printed, _) = node.signal_and_rest("INT");
            assert_eq!(code, Some(0));
            assert!(options.contains(&"--events") || printed.is_empty(), "{printed:?}");
        }
    }
}

#[test]
fn a_node_of_ipv6_is_asked_from_an_address_of_ipv6() {
    for version in each_version() {
        if UdpSocket::bind("[::1]:0").is_err() {
            // A machine without IPv6.
            return;
        }
        let mut node = Running::start([version.0, "listen", "--addr", "[::1]:0"]);
        let record = node.line();
        let parsed: Record = record.parse().unwrap();
        let enode = Node::from_record(parsed).to_enode();
        assert!(enode.contains("@[::1]:"), "{enode}");
        let at = ["--addr", "[::1]:0", "--timeout", "20"];
        let pong = stdout_of([[version.0, "ping", &enode].as_slice(), &at].concat());
        assert!(pong.starts_with("node responded to ping"), "{pong}");
        let found = stdout_of([[version.0, "requestenr", &enode].as_slice(), &at].concat());
        assert_eq!(found, format!("{record}\n"));

        for command in ["ping", "requestenr", "resolve"] {
            let output = version.ask_once(command, &enode, &[]);
            let stderr = str::from_utf8(&output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
            assert!(
                stderr.contains("--addr 127.0.0.1:0 is not of the IP version of [::1]:"),
                "{stderr}"
            );
        }
    }
}

#[test]
fn a_bootnode_whose_name_is_dead_is_left_out() {
    for version in each_version() {
        let mut node = version.listen(&[]);
        let record = node.line();
        let parsed: Record = record.parse().unwrap();
        let key = NodeKey::from_hex(KEY).unwrap().public_key();
        // Not a host's name, so that no server is asked for it.
        let dead = format!("enode://{key}@-dead.invalid:30303");
        let both = format!("{dead},{record}");
        for (command, asked, bootnodes) in
            [("ping", record, &dead), ("resolve", unknown(&parsed), &both)]
        {
            let output =
                version.ask_once(command, &asked, &["--timeout", "20", "--bootnodes", bootnodes]);
            let stderr = str::from_utf8(&output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{command}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(
                stderr.contains("WARN") && stderr.contains("cannot resolve -dead.invalid"),
                "{stderr}"
            );
        }
        let output = version.ask_once("resolve", &unknown(&parsed), &["--bootnodes", &dead]);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.ends_with("no bootnode can be asked for it\n"), "{stderr}");
    }
}
