use std::{fs, net::TcpListener, str};

use crate::tool::{devp2p, fresh_path};

/// No test listens anywhere else.
const LOOPBACK: &str = "127.0.0.1:0";

#[test]
fn bad_arguments_are_told_in_one_line_with_exit_code_2() {
    let file = |name: &str, content: &[u8]| {
        let path = fresh_path(name);
        fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let short = file("short", b"1234");
    let digit = file("digit", &[b'x'; 64]);
    let zero = file("zero", &[b'0'; 64]);
    let key_type = file("key-type", &[[0x08, 0x01, 0x12, 0x20].as_slice(), &[7; 32]].concat());
    let key = "1".repeat(64);
    let enode = "enode://ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138\
        7574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";
    let no_port = format!("{enode}@127.0.0.1:0?discport=1");
    let off_curve = format!("enode://{}@127.0.0.1:1", "1".repeat(128));
    let own = "enode://4f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa\
        385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1@127.0.0.1:1";
    let listed = format!("{own},{enode}");
    let long = "x".repeat(1_280);
    let genesis = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";

    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["a command is missing"]),
        (&["key"], &["a command is missing"]),
        (&["frob"], &["'frob'"]),
        (&["run", "--frob"], &["'--frob'"]),
        (&["key", "to-id"], &["<FILE>"]),
        (&["key", "to-id", "/nowhere/key"], &["/nowhere/key", "No such file"]),
        (&["key", "to-id", &short], &[&short, "wrong length of 4"]),
        (&["key", "to-id", &digit], &[&digit, "not a hex digit"]),
        (&["key", "to-id", &zero], &[&zero, "is zero"]),
        (&["key", "to-id", &key_type], &[&key_type, "not of the kind secp256k1"]),
        (&["key", "to-enr", &zero, "--ip", "1.2.3"], &["'1.2.3'", "--ip", "IP address"]),
        (&["key", "to-enr", &zero, "--udp", "65536"], &["'65536'", "--udp"]),
        (&["run", "--nodekey", &short], &[&short, "wrong length of 4"]),
        (&["run", "--nodekeyhex", "12"], &["--nodekeyhex", "wrong length of 2"]),
        (&["run", "--nodekeyhex", &key, "--nodekey", &zero], &["cannot be used with"]),
        (&["run", "--addr", "127.0.0.1"], &["'127.0.0.1'", "--addr"]),
        (&["run", "--addr", "localhost:1"], &["'localhost:1'", "--addr"]),
        (&["run", "--static", "frob"], &["'frob'", "--static", "missing prefix"]),
        (&["run", "--static", "enode://12@1.2.3.4:5"], &["--static", "want 128 hex digits"]),
        (&["run", "--static", &off_curve], &["--static", "not a point on the curve"]),
        (&["run", "--static", "enr:x"], &["'enr:x'", "--static", "base64"]),
        (&["run", "--static", enode, "--nodiscover"], &["--static", "no address"]),
        (&["run", "--static", &no_port], &["--static", "no tcp port"]),
        (&["run", "--nodekeyhex", &key, "--static", own], &["is this node itself"]),
        (&["run", "--bootnodes", "frob"], &["'frob'", "--bootnodes", "missing prefix"]),
        (&["run", "--bootnodes", &listed], &["--bootnodes", "no udp endpoint"]),
        (&["run", "--network", "ropsten"], &["'ropsten'", "--network", "mainnet", "hoodi"]),
        (&["run", "--discaddr", "1.2.3.4"], &["'1.2.3.4'", "--discaddr"]),
        (&["run", "--nodiscover", "--discaddr", "1.2.3.4:5"], &["cannot be used with"]),
        (&["run", "--nodiscover", "--bootnodes", own], &["--nodiscover", "cannot be used with"]),
        (
            &["run", "--addr", "127.0.0.1:0", "--nodedb", "/dev/null/x"],
            &["--nodedb", "/dev/null/x"],
        ),
        (&["discv4"], &["a command is missing"]),
        (&["discv4", "ping"], &["<NODE>"]),
        (&["discv4", "ping", "frob"], &["'frob'", "missing prefix"]),
        (&["discv4", "ping", enode, "--addr", LOOPBACK], &["no UDP endpoint"]),
        (&["discv4", "requestenr", enode, "--addr", LOOPBACK], &["no UDP endpoint"]),
        (&["discv4", "resolve", enode], &["no UDP endpoint", "--bootnodes"]),
        (&["discv4", "ping", own, "--nodekeyhex", &key, "--addr", LOOPBACK], &["our own id"]),
        (&["discv4", "ping", own, "--timeout", "x"], &["'x'", "--timeout"]),
        (&["discv4", "listen", "--bootnodes", enode], &["--bootnodes", "no udp endpoint"]),
        (&["discv4", "listen", "--nodekey", &short], &[&short, "wrong length of 4"]),
        (
            &["discv4", "listen", "--nodedb", "/dev/null/x", "--addr", LOOPBACK],
            &["--nodedb", "/dev/null/x"],
        ),
        (&["discv4", "listen", "--addr", "192.0.2.1:0"], &["cannot listen on 192.0.2.1:0"]),
        (&["discv5"], &["a command is missing"]),
        (&["discv5", "ping", enode, "--addr", LOOPBACK], &["no UDP endpoint"]),
        (&["discv5", "resolve", enode], &["no UDP endpoint", "--bootnodes"]),
        (&["discv5", "listen", "--echo", "0x1"], &["'0x1'", "--echo", "odd number"]),
        (&["discv5", "talk", own], &["--protocol"]),
        (&["discv5", "talk", own, "--protocol", "0xx1"], &["'0xx1'", "--protocol", "not a hex"]),
        (
            &["discv5", "talk", own, "--protocol", "x", "--request", &long, "--addr", LOOPBACK],
            &["does not fit into a packet"],
        ),
        (
            &["discv5", "talk", own, "--protocol", "x", "--nodekeyhex", &key, "--addr", LOOPBACK],
            &["our own id"],
        ),
        (&["discv4", "listen", "--echo", "x"], &["'--echo'"]),
        (&["run", "--trusted", "enode://"], &["--trusted", "want 128 hex digits"]),
        (&["run", "--maxpeers", "many"], &["'many'", "--maxpeers"]),
        (&["run", "--name", &"x".repeat(300)], &["name", "at most 256 bytes"]),
        (&["run", "--network-id", "1"], &["--genesis", "--fork-id"]),
        (&["run", "--genesis", genesis], &["--network-id", "--fork-id"]),
        (&["run", "--fork-id", "00000000"], &["--network-id", "--genesis"]),
        (
            &["run", "--network-id", "1", "--genesis", "12", "--fork-id", "00000000"],
            &["'12'", "--genesis", "2 hex digits instead of 64"],
        ),
        (
            &["run", "--network-id", "1", "--genesis", genesis, "--fork-id", "00000000/x"],
            &["'00000000/x'", "--fork-id", "not a number"],
        ),
        (&["devnet", "--nodes", "1"], &["'1'", "--nodes", "2..=64"]),
        (&["devnet", "--seconds", "x"], &["'x'", "--seconds"]),
        (&["devnet", "--discovery", "v6"], &["'v6'", "--discovery", "v4, v5, both"]),
        (&["devnet", "--static", "--discovery", "v4"], &["cannot be used with"]),
        (&["run", "--nodiscover", "--discovery", "v5"], &["cannot be used with"]),
    ];
    for (args, expected) in cases {
        let output = devp2p(*args);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.ends_with('\n'), "{args:?}: {stderr}");
        for part in *expected {
            assert!(stderr.contains(part), "{args:?}: {part:?} is not in {stderr}");
        }
    }
}

#[test]
fn an_address_of_another_machine_is_a_bad_argument() {
    let address = "192.0.2.1:0";
    if TcpListener::bind(address).is_ok() {
        // Linux can be told to allow this.
        return;
    }
    let output = devp2p(["run", "--addr", address]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = str::from_utf8(&output.stderr).unwrap();
    assert!(stderr.starts_with("error: cannot listen on 192.0.2.1:0: "), "{stderr}");
}

#[test]
fn a_mistyped_secret_is_not_repeated() {
    let secret = "1".repeat(63);
    let output = devp2p(["run", "--nodekeyhex", &secret]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!str::from_utf8(&output.stderr).unwrap().contains(&secret));
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [
        ["--help"].as_slice(),
        &["--version"],
        &["key", "--help"],
        &["run", "--help"],
        &["discv4", "--help"],
        &["discv5", "--help"],
        &["discv5", "talk", "--help"],
        &["devnet", "--help"],
    ] {
        let output = devp2p(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}
