use std::process::Stdio;

use devp2p_core::{Node, NodeKey, Record};
use serde_json::{Value, json};

use crate::tool::{Running, command, devp2p};

const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
const GENESIS: &str = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";

/// The options of a node that listens on a free port, on one of two networks.
fn on_network<'a>(id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = ["run", "--json", "--addr", "127.0.0.1:0", "--genesis", GENESIS];
    [&common, ["--fork-id", "07c9462e/17", "--network-id", id].as_slice(), more].concat()
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_else(|| panic!("no {key} in {event}"))
}

#[test]
fn two_nodes_meet_and_part() {
    let mut listener = Running::start(on_network("1", &["--name", "first node"]));
    let ready = listener.event("ready");
    let enode = text(&ready, "enode").to_owned();
    let mut dialer = Running::start(on_network("1", &["--static", &enode]));
    let dialer_id = dialer.event("ready")["id"].clone();

    for (node, other, is_inbound) in
        [(&mut listener, &dialer_id, true), (&mut dialer, &ready["id"], false)]
    {
        let add = node.event("add");
        assert_eq!((&add["id"], &add["inbound"]), (other, &json!(is_inbound)));
        assert_eq!(add["caps"], json!(["demo/1", "eth/69"]));
        // The subprotocols run at the same time, so their events come in any order.
        let mut events = [node.line(), node.line(), node.line()]
            .map(|line| serde_json::from_str::<Value>(&line).unwrap());
        events.sort_by_key(|event| event["event"].to_string());
        let [echo, greeting, status] = &events;
        assert_eq!((&echo["event"], &echo["number"]), (&json!("echo"), &json!(1)));
        assert_eq!(greeting["event"], "greeting");
        let expected = json!({
            "event": "status", "id": other, "cap": "eth/69", "version": 69, "network_id": 1,
            "genesis": GENESIS, "fork_id": "07c9462e/17", "earliest": 0, "latest": 0,
            "latest_hash": GENESIS, "incompatible": null,
        });
        assert_eq!(status, &expected);
    }

    assert_eq!(listener.signal("INT"), (Some(0), String::new()));
    let drop = dialer.event("drop");
    assert_eq!(
        (&drop["id"], text(&drop, "reason"), text(&drop, "side")),
        (&ready["id"], "client quitting", "remote")
    );
    assert_eq!(dialer.signal("TERM"), (Some(0), String::new()));
}

#[test]
fn another_network_is_useless() {
    let mut listener = Running::start(on_network("1", &[]));
    let enode = text(&listener.event("ready"), "enode").to_owned();
    let mut dialer = Running::start(on_network("5", &["--static", &enode]));
    let mut told = 0;
    for (node, incompatible) in
        [(&mut listener, "network id 5 instead of 1"), (&mut dialer, "network id 1 instead of 5")]
    {
        node.event("add");
        // Whoever is slower may hear the reason before it has read the Status.
        let event: Value = loop {
            let event: Value = serde_json::from_str(&node.line()).unwrap();
            match text(&event, "event") {
                "status" => {
                    assert_eq!(text(&event, "incompatible"), incompatible);
                    told += 1;
                }
                "drop" => break event,
                _ => {}
            }
        };
        assert_eq!((event["code"].as_u64(), text(&event, "reason")), (Some(3), "useless peer"));
    }
    assert!(told > 0);
}

#[test]
fn a_public_network_is_spoken_up_to_status() {
    let start = |more: &[&str]| {
        let common =
            ["run", "--json", "--addr", "127.0.0.1:0", "--nodiscover", "--network", "hoodi"];
        Running::start([&common, more].concat())
    };
    let mut listener = start(&[]);
    let enode = text(&listener.event("ready"), "enode").to_owned();
    // From the last fork that this program knows of, in November 2025, on.
    let genesis = "bbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b";
    for (more, network_id, genesis, fork_id) in [
        ([].as_slice(), 560_048, genesis, "23aa1351/0"),
        (&["--fork-id", "23aa1351/99999999999"], 560_048, genesis, "23aa1351/99999999999"),
        (&["--network-id", "5"], 5, genesis, "23aa1351/0"),
        (&["--genesis", GENESIS], 560_048, GENESIS, "23aa1351/0"),
    ] {
        let mut dialer = start(&[more, &["--static", &enode]].concat());
        let ready = dialer.event("ready");
        let status = loop {
            let status = listener.event("status");
            if status["id"] == ready["id"] {
                break status;
            }
        };
        assert_eq!(status["network_id"], network_id, "{status}");
        assert_eq!((text(&status, "genesis"), text(&status, "fork_id")), (genesis, fork_id));
        let is_same = network_id == 560_048 && genesis != GENESIS;
        assert_eq!(status["incompatible"].is_null(), is_same, "{status}");
        assert_eq!(dialer.signal("INT").0, Some(0));
    }
}

#[test]
fn the_node_itself_is_printed_first() {
    let mut node = Running::start(["run", "--addr", "127.0.0.1:0", "--nodekeyhex", KEY, "-v"]);
    let enode: Node = node.line().parse().unwrap();
    let record: Record = node.line().parse().unwrap();
    let key = NodeKey::from_hex(KEY).unwrap().public_key();
    assert_eq!((enode.public_key(), record.public_key()), (key, key));
    let addr = enode.tcp_addr().unwrap();
    assert!(addr.ip().is_loopback() && addr.port() != 0);
    assert_eq!((record.ip().map(Into::into), record.tcp()), (Some(addr.ip()), Some(addr.port())));

    // The port is really the one that is listened on.
    let taken = devp2p(["run", "--addr", &addr.to_string()]);
    assert_eq!(taken.status.code(), Some(1));
    let stderr = String::from_utf8(taken.stderr).unwrap();
    assert!(stderr.starts_with(&format!("error: cannot listen on {addr}: ")), "{stderr}");

    let (code, log) = node.signal("INT");
    assert_eq!(code, Some(0));
    assert!(log.contains("INFO") && log.contains("RLPx listener up"), "{log}");
}

#[test]
fn each_v_logs_a_level_more() {
    let mut listener = Running::start(["run", "--addr", "127.0.0.1:0"]);
    let enode = listener.line();
    for (verbose, levels) in
        [(None, 0), (Some("-v"), 1), (Some("-vv"), 2), (Some("-vvv"), 3), (Some("-vvvv"), 3)]
    {
        let args = ["run", "--addr", "127.0.0.1:0", "--json", "--static", &enode];
        let mut dialer = Running::start(args.into_iter().chain(verbose));
        dialer.event("add");
        let (code, log) = dialer.signal("INT");
        assert_eq!(code, Some(0));
        for (level, line) in [
            (1, " INFO devp2p_server::server: RLPx listener up "),
            (2, "DEBUG conn{"),
            (3, "TRACE conn{"),
        ] {
            assert_eq!(log.contains(line), level <= levels, "{verbose:?}, {line:?}: {log}");
        }
        assert!(log.lines().all(|line| line.contains(" devp2p")), "{log}");
        if levels == 0 {
            assert_eq!(log, "");
        }
    }
}

#[test]
fn lines_are_for_people_without_json() {
    let mut listener = Running::start(["run", "--addr", "127.0.0.1:0", "--name", "a \"b\""]);
    let enode = listener.line();
    let mut dialer = Running::start(["run", "--addr", "127.0.0.1:0", "--static", &enode]);
    let id = enode.parse::<Node>().unwrap().id();
    dialer.line();
    dialer.line();
    let addr = enode.parse::<Node>().unwrap().tcp_addr().unwrap();
    assert_eq!(
        dialer.line(),
        format!("add id={id} inbound=false addr={addr} caps=demo/1 name=\"a \\\"b\\\"\"")
    );
    assert_eq!(dialer.line(), format!("greeting id={id} text=\"hello from a \\\"b\\\"\""));
    assert_eq!(dialer.line(), format!("echo id={id} number=1"));
    assert_eq!(dialer.signal("INT").0, Some(0));
}

#[test]
fn a_reader_that_is_gone_ends_the_program() {
    // Gone before the program starts, however long that takes.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut node = command();
    let node = node.args(["run", "--addr", "127.0.0.1:0"]).stdout(writer).stderr(Stdio::piped());
    let output = node.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: cannot write to stdout: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
