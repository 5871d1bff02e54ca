//! What `run` is configured by, and which of it wins.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::tool::{Running, command, devp2p, fresh_path, stdout_of};

/// A file with this content.
fn file(name: &str, content: &str) -> PathBuf {
    let path = fresh_path(name);
    fs::write(&path, content).unwrap();
    path
}

/// A folder that is not there yet.
fn fresh_folder(name: &str) -> PathBuf {
    let path = fresh_path(name);
    let _ = fs::remove_dir_all(&path);
    path
}

/// The configuration that is in effect.
fn dumped(command: &mut Command) -> String {
    let output = command.arg("--dump-config").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The value of a key that stands in no more than one table, if it is set.
fn value<'a>(dump: &'a str, key: &str) -> Option<&'a str> {
    dump.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let text = "[Node.P2P]\nMaxPeers = 11\nMaxPendingPeers = 12\nDialRatio = 4\nName = \"file\"\n";
    let path = file("precedence.toml", text);
    let mut run = command();
    run.args(["run", "--maxpeers", "31"]).arg("--config").arg(&path);
    run.env("DEVP2P_MAXPEERS", "21").env("DEVP2P_MAXPENDPEERS", "22").env("DEVP2P_NAME", "");
    let dump = dumped(&mut run);
    assert_eq!(value(&dump, "MaxPeers"), Some("31"), "the flag");
    assert_eq!(value(&dump, "MaxPendingPeers"), Some("22"), "the environment");
    assert_eq!(value(&dump, "DialRatio"), Some("4"), "the file");
    assert_eq!(value(&dump, "Name"), Some("\"file\""), "an empty variable tells nothing");
    assert_eq!(value(&dump, "NAT"), Some("\"any\""), "the default");
}

#[test]
fn the_file_itself_can_be_told_by_the_environment() {
    let path = file("named.toml", "[Node.P2P]\nMaxPeers = 11\n");
    let dump = dumped(command().arg("run").env("DEVP2P_CONFIG", path));
    assert_eq!(value(&dump, "MaxPeers"), Some("11"));
}

#[test]
fn all_that_is_wrong_is_told_with_its_line_and_what_is_allowed() {
    let text = "[Node.P2P]\nMaxPeer = 1\nDialRatio = 0\nNAT = \"maybe\"\n\n[Node]\nHTTPHost = \"x\"\n\
                HTTPPort = 70000\n";
    let path = file("wrong.toml", text);
    let output = devp2p(["run", "--dump-config", "--config", path.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for part in [
        "wrong.toml:2: Node.P2P.MaxPeer: is not known: did you mean MaxPeers?",
        "wrong.toml:3: Node.P2P.DialRatio: wants a whole number from 1 to 65535, not 0",
        "wrong.toml:4: Node.P2P.NAT: \"maybe\"",
        "wrong.toml:7: Node.HTTPHost: \"x\": wants an IP address, or localhost",
        "wrong.toml:8: Node.HTTPPort: wants a whole number from 0 to 65535, not 70000",
    ] {
        assert!(stderr.contains(part), "no {part:?} in {stderr}");
    }
    assert_eq!(stderr.lines().count(), 1);

    let path = file("torn.toml", "[Node.P2P]\nMaxPeers = \n");
    let output = devp2p(["run", "--dump-config", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("torn.toml:2: "));
}

#[test]
fn what_is_dumped_loads_to_the_same() {
    let first = stdout_of([
        "run",
        "--dump-config",
        "--network",
        "sepolia",
        "--maxpeers",
        "7",
        "--netrestrict",
        "10.0.0.0/8,fd00::/8",
        "--nat",
        "extip:192.0.2.7",
        "--nodial",
        "--metrics",
        "--http",
        "--http.port",
        "7",
        "--http.api",
        "admin,net",
        "--http.vhosts",
        "a,b",
        "--ws=false",
        "--ws.origins",
        "https://example.org",
        "--ipcpath",
        "other.ipc",
        "--proxy",
        "socks5://127.0.0.1:9050",
        "--peers-per-network",
        "5",
        "--discv5addr",
        "127.0.0.1:8",
        "--discovery",
        "v5",
        "--addr",
        "127.0.0.1:7",
    ]);
    for (key, told) in [
        ("HTTPHost", "\"127.0.0.1\""),
        ("HTTPPort", "7"),
        ("HTTPModules", "[\n    \"admin\",\n    \"net\",\n]"),
        ("WSHost", "\"\""),
        ("WSOrigins", "[\"https://example.org\"]"),
        ("IPCPath", "\"other.ipc\""),
        ("NAT", "\"extip:192.0.2.7\""),
        ("DiscoveryV4", "false"),
        ("PeersPerNetwork", "5"),
        ("DiscoveryV5Addr", "\"127.0.0.1:8\""),
        ("Network", "\"sepolia\""),
    ] {
        assert!(first.contains(&format!("\n{key} = {told}\n")), "no {key} = {told} in {first}");
    }
    let path = file("dumped.toml", &first);
    let second = stdout_of(["run", "--dump-config", "--config", path.to_str().unwrap()]);
    assert_eq!(first, second);
}

#[test]
fn a_file_of_geth_will_do() {
    let geth = include_str!("../vectors/geth-config.toml");
    let path = file("geth.toml", geth);
    let output = devp2p(["run", "--dump-config", "--config", path.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one warning: {stderr}");
    for part in ["Eth.TxPool", "Node.AuthAddr", "Metrics.InfluxDBToken"] {
        assert!(stderr.contains(part), "{part} is not named in {stderr}");
    }
    let dump = String::from_utf8(output.stdout).unwrap();
    for (key, told) in [
        ("DataDir", "\"geth-data\""),
        ("IPCPath", "\"geth.ipc\""),
        ("HTTPHost", "\"\""),
        ("HTTPPort", "8545"),
        ("MaxPeers", "50"),
        ("ListenAddr", "\"0.0.0.0:30303\""),
        ("StaticNodes", "[]"),
    ] {
        assert_eq!(value(&dump, key), Some(told), "{key}");
    }
    assert_eq!(dump.matches("enode://").count(), geth.matches("enode://").count());
}

#[test]
fn the_documented_file_is_what_is_in_effect_without_one() {
    let documented = include_str!("../../../../docs/config.toml");
    let without_name = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("Name = ")).map(str::to_owned).collect()
    };
    assert_eq!(without_name(documented), without_name(&stdout_of(["run", "--dump-config"])));
}

/// What a node tells when it is ready, which runs in this folder.
fn started(folder: &str, more: &[&str]) -> (Running, Value) {
    let common = ["run", "--json", "--addr", "127.0.0.1:0", "--nodiscover", "--datadir", folder];
    let mut node = Running::start(common.iter().chain(more));
    let ready = node.event("ready");
    (node, ready)
}

#[test]
fn a_node_comes_back_as_the_same_from_its_folder() {
    let folder = fresh_folder("datadir-restart");
    let folder = folder.to_str().unwrap();
    let (node, first) = started(folder, &[]);
    assert_eq!(node.signal("INT"), (Some(0), String::new()));
    let (node, second) = started(folder, &[]);
    assert_eq!(node.signal("INT"), (Some(0), String::new()));
    assert_eq!(first["id"], second["id"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name| fs::metadata(format!("{folder}/{name}")).unwrap().permissions().mode();
        assert_eq!((mode("") & 0o777, mode("nodekey") & 0o777), (0o700, 0o600));
    }
    assert!(PathBuf::from(folder).join("nodes").is_file());
}

#[test]
fn the_nodes_of_static_nodes_json_are_dialed() {
    let (mut listener, ready) = started(fresh_folder("datadir-listener").to_str().unwrap(), &[]);
    let folder = fresh_folder("datadir-static");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("static-nodes.json"), format!("[\"\", {}]", ready["enode"])).unwrap();
    let (mut dialer, own) = started(folder.to_str().unwrap(), &[]);
    assert_eq!(dialer.event("add")["id"], ready["id"]);
    assert_eq!(listener.event("add")["id"], own["id"]);

    fs::write(folder.join("trusted-nodes.json"), "[\"\", \"enode://00@127.0.0.1:1\"]").unwrap();
    drop(dialer);
    let output = devp2p(["run", "--addr", "127.0.0.1:0", "--datadir", folder.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("trusted-nodes.json") && stderr.contains('1'), "{stderr}");
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout_of(["completions", shell]);
        assert!(script.contains("dump-config") && script.contains("devnet"), "{shell}");
    }
}

#[test]
fn who_tells_where_the_socket_is_wants_one() {
    let path = file("no-socket.toml", "[Node]\nIPCPath = \"\"\n");
    let told = |arguments: &[&str]| {
        let mut run = command();
        run.args(["run", "--config"]).arg(&path).args(arguments);
        value(&dumped(&mut run), "IPCPath").map(str::to_owned)
    };
    assert_eq!(told(&[]).as_deref(), Some("\"\""));
    assert_eq!(told(&["--ipcpath", "x.ipc"]).as_deref(), Some("\"x.ipc\""));
    assert_eq!(told(&["--ipc"]), None, "it is where it is unless told");
    let mut run = command();
    run.args(["run", "--ipcpath", "x.ipc", "--ipc=false"]);
    assert_eq!(value(&dumped(&mut run), "IPCPath"), Some("\"\""));
}

#[test]
fn the_login_of_a_proxy_is_printed_nowhere() {
    let said = |run: &mut Command| {
        let output = run.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let right = "socks5://alice:hunter2@127.0.0.1:9050";
    let (succeeded, text) = said(command().args(["run", "--dump-config", "--proxy", right]));
    assert!(succeeded && text.contains("Proxy = \"socks5://127.0.0.1:9050\""), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let wrong = "socks5://alice:hunter2@127.0.0.1:port";
    let path = file("proxy.toml", &format!("[Devp2p]\nProxy = \"{wrong}\"\n"));
    let mut flag = command();
    flag.args(["run", "--addr", "127.0.0.1:0", "--proxy", wrong]);
    let mut variable = command();
    variable.args(["run", "--addr", "127.0.0.1:0"]).env("DEVP2P_PROXY", wrong);
    let mut in_file = command();
    in_file.args(["run", "--config"]).arg(path);
    for (mut run, blamed) in [(flag, "--proxy"), (variable, "--proxy"), (in_file, "Devp2p.Proxy")] {
        let (succeeded, text) = said(&mut run);
        assert!(!succeeded && text.contains(blamed) && text.contains("port"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// Whoever reads what is printed may go away before there is anything.
#[test]
fn a_node_that_nobody_listens_to_stops_in_order() {
    let datadir = fresh_folder("datadir-closed");
    let mut run = command();
    run.args(["run", "--addr", "127.0.0.1:0", "--nat", "none", "--datadir"]).arg(&datadir);
    let mut child = run.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
    assert!(!datadir.join("devp2p.ipc").exists(), "the socket is removed at the stop");
}
