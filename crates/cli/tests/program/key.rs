use std::{fs, path::Path};

use devp2p_core::{Node, NodeKey, Record};

use crate::tool::{devp2p, fresh_path, stdout_of};

/// The key of the EIP-778 test vector, and what go-ethereum 1.17.10 prints for it.
const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
const ID: &str = "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7";
const ENODE: &str = "enode://ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138\
    7574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";

fn key_file(name: &str) -> String {
    let path = fresh_path(name);
    fs::write(&path, KEY).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn key(command: &str, file: &str, options: &[&str]) -> String {
    stdout_of([&["key", command, file], options].concat())
}

#[test]
fn ids_are_those_of_geth_and_libp2p() {
    let file = key_file("ids");
    assert_eq!(key("to-id", &file, &[]), format!("{ID}\n"));
    assert_eq!(
        key("to-peer-id", &file, &[]),
        "16Uiu2HAmSH2XVgZqYHWucap5kuPzLnt2TsNQkoppVxB5eJGvaXwm\n"
    );
}

#[test]
fn urls_and_records_are_those_of_geth() {
    let file = key_file("urls");
    let cases: [(&[&str], &str, &str); 6] = [
        (
            &[],
            "@127.0.0.1:30303",
            "enr:-Iu4QBsipQn6MFlTDOJVRtttpIKRtdaFAG2hc-SFTgT8QMtTfLhbbEf2Rq7bbTv6VGesdBx0mbEPtC0o\
             O8y7Zt8qfGKAgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8y\
             WM0xOIN0Y3CCdl-DdWRwgnZf",
        ),
        (
            &["--ip", "192.0.2.1", "--udp", "30301"],
            "@192.0.2.1:30303?discport=30301",
            "enr:-Iu4QIpRjAF9-3nGiiRLlaJiL042UXyRYOFdgJJdOTvW5Xooe64UI04nK4D2mxNbkEBaBgTtB6ZinmpL\
             oLOfStD3DjiAgmlkgnY0gmlwhMAAAgGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8y\
             WM0xOIN0Y3CCdl-DdWRwgnZd",
        ),
        (
            &["--ip", "2001:db8::1"],
            "@[2001:db8::1]:30303",
            "enr:-Ji4QImd6LyWRohZRuNtM-4NSys46DaJxbLrPBvb07-I5y_fOT-uwDYcQl3zMMcsBWCdRY8X8mCEY0mT\
             nBbWIHdJuNmAgmlkgnY0g2lwNpAgAQ24AAAAAAAAAAAAAAABiXNlY3AyNTZrMaEDymNMrg1JrLQB2KTGtv6M\
             VbcNEVv0AHacwUAPMljNMTiDdGNwgnZfg3VkcIJ2Xw",
        ),
        (
            &["--udp", "0"],
            "@127.0.0.1:30303?discport=0",
            "enr:-IS4QO7pn8Df5oVOhffTbg0C8-aX5yJc3Iw-DZuKO62NHK_RQu42dl0tiZDv89w9NsJW8LujUBIs_WnH\
             JPbTq2bIWPKAgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8y\
             WM0xOIN0Y3CCdl8",
        ),
        (
            &["--tcp", "0"],
            "@127.0.0.1:0?discport=30303",
            "enr:-IS4QPJJ49maJ1joqvdBUCMsEBGREZNmTeqF4nB3N13SfOOAJ04Na1psf4FudZEixm9_sDwCQFzA9haE\
             3UHteLC-mOyAgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8y\
             WM0xOIN1ZHCCdl8",
        ),
        (
            &["--ip", "::ffff:192.0.2.1", "--tcp", "1", "--udp", "2"],
            "@192.0.2.1:1?discport=2",
            "enr:-Ie4QGyEFk5SR8kQqUwYQgp4xD0dZR17rWREpG1D4GrlMWztIi5mD2_YQDfVSBeq8QRsUyGX4_jfbPo3\
             lHbWQxOejliAgmlkgnY0gmlwhMAAAgGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8y\
             WM0xOIN0Y3ABg3VkcAI",
        ),
    ];
    for (options, location, record) in cases {
        assert_eq!(key("to-enode", &file, options), format!("{ENODE}{location}\n"), "{options:?}");
        assert_eq!(key("to-enr", &file, options), format!("{record}\n"), "{options:?}");
    }
}

#[test]
fn a_new_key_is_written_once_and_read_again() {
    let path = fresh_path("generated");
    let file = path.to_str().unwrap();
    assert_eq!(key("generate", file, &[]), "");
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written.trim_end().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let own = NodeKey::load(&path).unwrap();
    assert_eq!(key("to-id", file, &[]).trim_end(), own.id().to_string());
    let node: Node = key("to-enode", file, &["--tcp", "7"]).trim_end().parse().unwrap();
    assert_eq!((node.public_key(), node.tcp_port()), (own.public_key(), Some(7)));
    let record: Record = key("to-enr", file, &[]).trim_end().parse().unwrap();
    assert_eq!((record.public_key(), record.seq()), (own.public_key(), 0));

    // An identity is not overwritten.
    let again = devp2p(["key", "generate", file]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
}

#[test]
fn key_files_of_libp2p_are_read_too() {
    let path = fresh_path("protobuf");
    NodeKey::from_hex(KEY).unwrap().save_protobuf(Path::new(&path)).unwrap();
    assert_eq!(key("to-id", path.to_str().unwrap(), &[]), format!("{ID}\n"));
}
