//! `devp2p run` with discovery: nodes that find each other.

use std::net::{TcpListener, UdpSocket};

use devp2p_core::{DiscoveryVersion, Node, NodeKey};
use serde_json::{Value, json};

use crate::{
    discovery::VERSIONS,
    memory::{remember, remembered, unix},
    tool::{Running, devp2p, fresh_path},
};

const KEYS: [&str; 2] = [
    "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291",
    "eef77acb6c6a6eebc5b363a475ac583ec7eccdb42b6481424c60f59aa326547f",
];

/// A node on loopback, and its `ready` line.
fn start(options: &[&str]) -> (Running, Value) {
    let args = ["run", "--json", "--addr", "127.0.0.1:0"];
    let mut node = Running::start([args.as_slice(), options].concat());
    let ready = node.event("ready");
    (node, ready)
}

fn enode(ready: &Value) -> &str {
    ready["enode"].as_str().unwrap()
}

/// The peer with this id is added; others are passed over.
fn added(node: &mut Running, id: &Value) -> Value {
    loop {
        let add = node.event("add");
        if add["id"] == *id {
            return add;
        }
    }
}

/// A key, and the node of which only that is known.
fn identity(index: usize) -> (&'static str, NodeKey, String) {
    let key = NodeKey::from_hex(KEYS[index]).unwrap();
    let node = Node::from(key.public_key()).to_enode();
    (KEYS[index], key, node)
}

#[test]
fn two_nodes_find_each_other_through_a_third() {
    for versions in ["v4", "v5", "both"] {
        println!("{versions}");
        let (bootnode, boot) = start(&["--discovery", versions, "--maxpeers", "0"]);
        let options = ["--discovery", versions, "--bootnodes", enode(&boot)];
        let (mut left, left_ready) = start(&options);
        let (mut right, right_ready) = start(&options);
        for ready in [&boot, &left_ready, &right_ready] {
            assert_eq!(ready["udp"], ready["port"], "both on one port");
        }
        let seen = added(&mut left, &right_ready["id"]);
        assert_eq!(added(&mut right, &left_ready["id"])["inbound"], json!(seen["inbound"] != true));
        for node in [bootnode, left, right] {
            assert_eq!(node.signal("INT"), (Some(0), String::new()));
        }
    }
}

#[test]
fn each_version_is_served_if_it_is_wanted() {
    for (versions, is_served) in [("v4", [true, false]), ("v5", [false, true]), ("both", [true; 2])]
    {
        let (_node, ready) = start(&["--discovery", versions]);
        for (version, is_served) in VERSIONS.into_iter().zip(is_served) {
            let (command, timeout) = ("ping", if is_served { "20" } else { "1" });
            let pong = version.ask_once(command, enode(&ready), &["--timeout", timeout]);
            let code = if is_served { 0 } else { 1 };
            assert_eq!(pong.status.code(), Some(code), "{versions}: {version:?}");
        }
    }
}

#[test]
fn a_static_node_is_found_by_its_key() {
    let (left_hex, _, left_url) = identity(0);
    let (right_hex, _, right_url) = identity(1);
    let (_bootnode, boot) = start(&["--maxpeers", "0"]);
    // Without places for others nobody dials but to the static node, and only who is trusted
    // is let in.
    let common = ["--maxpeers", "0", "--bootnodes", enode(&boot), "--nodekeyhex"];
    let (_right, right) =
        start(&[&common, [right_hex, "--trusted", &left_url].as_slice()].concat());
    let options = [left_hex, "--static", &right_url, "--trusted", &right_url];
    let (mut left, _) = start(&[&common, options.as_slice()].concat());
    assert_eq!(added(&mut left, &right["id"])["inbound"], false);
}

#[test]
fn what_a_file_remembers_is_enough_to_find_a_peer() {
    let (hex, key, _) = identity(0);
    for version in [DiscoveryVersion::V4, DiscoveryVersion::V5] {
        println!("{version:?}");
        let (_other, other) = start(&[]);
        let path = fresh_path("seeds.nodedb");
        let seed = other["enr"].as_str().unwrap().parse().unwrap();
        remember(&path, &key, 1, Some((&seed, version)));
        let (mut node, _) = start(&["--nodekeyhex", hex, "--nodedb", path.to_str().unwrap()]);
        added(&mut node, &other["id"]);
        assert_eq!(node.signal("INT"), (Some(0), String::new()));
    }
}

#[test]
fn the_number_of_the_record_rises_with_every_start() {
    let (hex, key, _) = identity(0);
    let path = fresh_path("run.nodedb");
    // A day ahead of the clock, which is what it starts from without a file.
    let mut last = u64::try_from(unix().as_millis()).unwrap() + 86_400_000;
    remember(&path, &key, last, None);
    for _ in 0..2 {
        let (node, ready) = start(&["--nodekeyhex", hex, "--nodedb", path.to_str().unwrap()]);
        let record: devp2p_core::Record = ready["enr"].as_str().unwrap().parse().unwrap();
        assert!(record.seq() > last, "{} after {last}", record.seq());
        last = record.seq();
        assert_eq!(node.signal("INT"), (Some(0), String::new()));
        assert_eq!(remembered(&path, &key).local_seq, Some(last));
    }
}

#[test]
fn without_discovery_there_is_no_udp_socket() {
    // A port that is free for TCP and taken for UDP.
    let (_taken, addr) = (0..100)
        .find_map(|_| {
            let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
            let addr = taken.local_addr().unwrap();
            TcpListener::bind(addr).is_ok().then(|| (taken, addr.to_string()))
        })
        .unwrap();
    let refused = devp2p(["run", "--addr", &addr]);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{stderr}");
    assert!(stderr.starts_with(&format!("error: cannot listen on {addr} for UDP: ")), "{stderr}");

    let args = ["run", "--json", "--addr", &addr, "--nodiscover"];
    let ready = Running::start(args).event("ready");
    assert_eq!(ready["udp"], Value::Null);
    assert_eq!(enode(&ready).parse::<Node>().unwrap().udp_port(), None);
}

#[test]
fn discovery_can_have_an_address_of_its_own() {
    let (_node, ready) = start(&["--discaddr", "127.0.0.1:0"]);
    let (tcp, udp) = (ready["port"].as_u64().unwrap(), ready["udp"].as_u64().unwrap());
    let url: Node = enode(&ready).parse().unwrap();
    assert_eq!(url.udp_port().map(u64::from), Some(udp));
    assert_eq!(url.tcp_port().map(u64::from), Some(tcp));
    assert_ne!(udp, 0);
    assert!(UdpSocket::bind(format!("127.0.0.1:{udp}")).is_err());
}
