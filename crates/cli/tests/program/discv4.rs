use std::{net::UdpSocket, process::Output, str};

use devp2p_core::{Node, NodeKey, Record};
use serde_json::{Value, json};

use crate::{
    memory::{remember, remembered, unix},
    tool::{Running, devp2p, fresh_path, stdout_of},
};

const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";

fn listen(options: &[&str]) -> Running {
    let args = ["discv4", "listen", "--addr", "127.0.0.1:0"];
    Running::start([args.as_slice(), options].concat())
}

/// A node on loopback that prints its events, and its record.
fn listener(options: &[&str]) -> (Running, Record) {
    let mut node = listen(&[&["--json"], options].concat());
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
fn ask(command: &str, node: &str, options: &[&str]) -> String {
    let args = ["discv4", command, node, "--addr", "127.0.0.1:0", "--timeout", "20"];
    stdout_of([args.as_slice(), options].concat())
}

/// One of the other commands, however it ends.
fn ask_once(command: &str, node: &str, options: &[&str]) -> Output {
    devp2p([["discv4", command, node, "--addr", "127.0.0.1:0"].as_slice(), options].concat())
}

fn ask_json(command: &str, node: &str, options: &[&str]) -> Value {
    serde_json::from_str(&ask(command, node, &[&["--json"], options].concat())).unwrap()
}

/// The node by its key and the options to look for it with.
fn unknown(record: &Record) -> String {
    Node::from(record.public_key()).to_enode()
}

#[test]
fn a_listener_answers_the_other_commands() {
    let mut node = listen(&["--nodekeyhex", KEY]);
    let record = node.line();
    let parsed: Record = record.parse().unwrap();
    assert_eq!(parsed.public_key(), NodeKey::from_hex(KEY).unwrap().public_key());
    let enode = Node::from_record(parsed.clone()).to_enode();

    let pong = ask("ping", &enode, &[]);
    let rtt = pong.strip_prefix("node responded to ping (RTT ").unwrap();
    let rtt = rtt.strip_suffix("s).\n").unwrap();
    assert!(rtt.starts_with(|first: char| first.is_ascii_digit()), "{pong}");
    assert_eq!(ask("requestenr", &enode, &[]), format!("{record}\n"));
    assert_eq!(ask("resolve", &enode, &[]), format!("{record}\n"));
    assert_eq!(ask("resolve", &record, &[]), format!("{record}\n"));

    let pong = ask_json("ping", &record, &[]);
    assert_eq!((&pong["event"], &pong["id"]), (&json!("pong"), &json!(parsed.id().to_string())));
    assert!(pong["rtt_ms"].as_f64().unwrap() > 0.0, "{pong}");
    let expected = json!({
        "event": "node", "id": parsed.id().to_string(), "enode": enode, "enr": record,
        "seq": parsed.seq(),
    });
    assert_eq!(ask_json("requestenr", &enode, &[]), expected);
    assert_eq!(ask_json("resolve", &enode, &[]), expected);

    // Without --events the record is all that it prints.
    assert_eq!(node.signal("INT"), (Some(0), String::new()));
}

#[test]
fn a_node_is_found_through_a_bootnode() {
    let (mut bootnode, boot) = listener(&[]);
    let (mut node, record) = listener(&["--bootnodes", &boot.to_string()]);
    assert_eq!(node.event("verified")["id"], boot.id().to_string());
    assert_eq!(bootnode.event("verified")["id"], record.id().to_string());

    let boot_url = Node::from_record(boot).to_enode();
    let options = ["--bootnodes", &boot_url];
    assert_eq!(ask("resolve", &unknown(&record), &options), format!("{record}\n"));

    // A node that moved is where its newest record says, whatever the asker has.
    let moved = Node::new(record.public_key(), Some("127.0.0.1".parse().unwrap()), 0, 9);
    assert_eq!(ask("resolve", &moved.to_enode(), &options), format!("{record}\n"));

    let stranger = unknown(&Record::builder().sign(&NodeKey::from_hex(KEY).unwrap()).unwrap());
    let output = ask_once("resolve", &stranger, &["--bootnodes", &boot_url]);
    let stderr = str::from_utf8(&output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    assert_eq!(stderr, "error: can't find the node: nobody knows it\n");
    for node in [bootnode, node] {
        assert_eq!(node.signal("TERM"), (Some(0), String::new()));
    }
}

#[test]
fn who_does_not_answer_is_told_in_one_line_with_exit_code_1() {
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
            let output = ask_once(command, &enode, &options);
            let stderr = str::from_utf8(&output.stderr).unwrap();
            assert_eq!((output.status.code(), stderr), (Some(1), line));
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn the_number_of_the_record_rises_with_every_start() {
    let path = fresh_path("discv4.nodedb");
    let key = NodeKey::from_hex(KEY).unwrap();
    // A day ahead of the clock, which is what it starts from without a file.
    let mut last = u64::try_from(unix().as_millis()).unwrap() + 86_400_000;
    remember(&path, &key, last, None);
    for _ in 0..2 {
        let options = ["--nodekeyhex", KEY, "--nodedb", path.to_str().unwrap()];
        let (node, record) = listener(&options);
        assert!(record.seq() > last, "{} after {last}", record.seq());
        last = record.seq();
        assert_eq!(node.signal("INT"), (Some(0), String::new()));
        assert_eq!(remembered(&path, &key).local_seq, Some(last));
    }
}

#[test]
fn a_file_in_use_is_not_shared() {
    let path = fresh_path("busy.nodedb");
    let (_node, _) = listener(&["--nodedb", path.to_str().unwrap()]);
    let args = ["discv4", "listen", "--addr", "127.0.0.1:0", "--nodedb", path.to_str().unwrap()];
    let output = devp2p(args);
    let stderr = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: --nodedb ") && stderr.contains("in use"), "{stderr}");
}

#[test]
fn with_events_there_are_lines_for_people() {
    for options in [["--events"].as_slice(), &["-v", "--events"], &["-v"]] {
        let mut node = listen(options);
        let record: Record = node.line().parse().unwrap();
        ask("ping", &record.to_string(), &[]);
        if options.contains(&"--events") {
            let line = node.line();
            assert!(line.starts_with("sighting id=") && line.contains(" source=ping"), "{line}");
        }
        let (code, printed, _) = node.signal_and_rest("INT");
        assert_eq!(code, Some(0));
        assert!(options.contains(&"--events") || printed.is_empty(), "{printed:?}");
    }
}

#[test]
fn a_node_of_ipv6_is_asked_from_an_address_of_ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        // A machine without IPv6.
        return;
    }
    let mut node = Running::start(["discv4", "listen", "--addr", "[::1]:0"]);
    let record = node.line();
    let parsed: Record = record.parse().unwrap();
    let enode = Node::from_record(parsed).to_enode();
    assert!(enode.contains("@[::1]:"), "{enode}");
    let at = ["--addr", "[::1]:0", "--timeout", "20"];
    let pong = stdout_of([["discv4", "ping", &enode].as_slice(), &at].concat());
    assert!(pong.starts_with("node responded to ping"), "{pong}");
    let found = stdout_of([["discv4", "requestenr", &enode].as_slice(), &at].concat());
    assert_eq!(found, format!("{record}\n"));

    for command in ["ping", "requestenr", "resolve"] {
        let output = ask_once(command, &enode, &[]);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(
            stderr.contains("--addr 127.0.0.1:0 is not of the IP version of [::1]:"),
            "{stderr}"
        );
    }
}

#[test]
fn a_bootnode_whose_name_is_dead_is_left_out() {
    let mut node = listen(&[]);
    let record = node.line();
    let parsed: Record = record.parse().unwrap();
    let key = NodeKey::from_hex(KEY).unwrap().public_key();
    // Not a host's name, so that no server is asked for it.
    let dead = format!("enode://{key}@-dead.invalid:30303");
    let both = format!("{dead},{record}");
    for (command, asked, bootnodes) in
        [("ping", record, &dead), ("resolve", unknown(&parsed), &both)]
    {
        let output = ask_once(command, &asked, &["--timeout", "20", "--bootnodes", bootnodes]);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.contains("WARN") && stderr.contains("cannot resolve -dead.invalid"),
            "{stderr}"
        );
    }
    let output = ask_once("resolve", &unknown(&parsed), &["--bootnodes", &dead]);
    let stderr = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.ends_with("no bootnode can be asked for it\n"), "{stderr}");
}
