//! `devp2p dns` through the program; a name server of a few lines answers on loopback.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    thread,
};

use devp2p_core::{NodeKey, Record};
use serde_json::{Value, json};

use crate::tool::{devp2p, fresh_path, stdout_of};

const LINKS: [&str; 2] = [
    "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org",
    "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE@all.example.org",
];

/// The key of go-ethereum's tests, and the link to a list of its at `nodes.example`.
const KEY: &str = "dc599867fc513f8f5e2c2c9c489cde5e71362d1d9ec6e693e0de063236ed1240";
const URL: &str = "enrtree://AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2@nodes.example";

/// An empty directory for the files of one test.
fn directory(name: &str) -> PathBuf {
    let path = fresh_path(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn record(n: u8) -> Record {
    let key = NodeKey::from_bytes(&[n; 32]).unwrap();
    Record::builder().seq(n.into()).ip([192, 0, 2, n].into()).tcp(30303).sign(&key).unwrap()
}

fn nodes(count: u8) -> Value {
    let nodes = (1..=count).map(record).map(|record| {
        // With what a crawler writes.
        let node = json!({
            "seq": record.seq(), "record": record.to_string(), "score": 3,
            "firstResponse": "2024-01-01T00:00:00Z", "lastCheck": "2024-01-02T00:00:00Z",
        });
        (record.id().to_string(), node)
    });
    Value::Object(nodes.collect())
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A directory with a list of so many nodes, and a file with its key.
fn list(name: &str, count: u8) -> (PathBuf, String) {
    let parent = directory(name);
    let list = parent.join("nodes.example");
    fs::create_dir(&list).unwrap();
    fs::write(list.join("nodes.json"), nodes(count).to_string()).unwrap();
    let key = parent.join("key");
    fs::write(&key, KEY).unwrap();
    (list, text(&key))
}

fn sign(list: &Path, key: &str, options: &[&str]) -> String {
    stdout_of([&["dns", "sign", &text(list), key], options].concat())
}

#[test]
fn a_list_is_signed_and_its_number_grows() {
    let (list, key) = list("dns-sign", 3);
    assert_eq!(sign(&list, &key, &[]), format!("{URL}\n"), "the directory's name is the domain");
    let info = list.join("enrtree-info.json");
    let first = read(&info);
    assert_eq!(
        (&first["url"], &first["seq"], &first["links"]),
        (&json!(URL), &json!(1), &json!([]))
    );
    let modified = first["lastModified"].as_str().unwrap();
    assert!(modified.len() == 20 && modified.starts_with("20") && modified.ends_with('Z'));
    assert_eq!(first["signature"].as_str().unwrap().len(), 87);

    sign(&list, &key, &[]);
    assert_eq!(read(&info)["seq"], 2);
    let url = sign(&list, &key, &["--seq", "7", "--domain", "other.example"]);
    assert!(url.ends_with("@other.example\n"));
    sign(&list, &key, &[]);
    let last = read(&info);
    assert_eq!((&last["seq"], &last["url"]), (&json!(8), &json!(url.trim_end())));

    // What is signed is the same again for the same number.
    let before = last["signature"].clone();
    sign(&list, &key, &["--seq", "8"]);
    assert_eq!(read(&info)["signature"], before);
}

#[test]
fn txt_records_are_written_as_json_and_as_a_zone() {
    let (list, key) = list("dns-txt", 14);
    let info = json!({ "seq": 4, "links": LINKS });
    fs::write(list.join("enrtree-info.json"), info.to_string()).unwrap();
    sign(&list, &key, &[]);
    let to_txt = stdout_of(["dns", "to-txt", &text(&list)]);
    let txt: BTreeMap<String, String> = serde_json::from_str(&to_txt).unwrap();
    // 14 records, two branches, two links, one branch, and the root.
    assert_eq!(txt.len(), 20);
    assert!(txt["nodes.example"].contains(" seq=5 sig="));
    assert!(LINKS.iter().all(|link| txt.values().any(|text| text == link)));

    let file = list.join("txt.json");
    assert_eq!(stdout_of(["dns", "to-txt", &text(&list), &text(&file)]), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), to_txt);

    let zone = stdout_of(["dns", "to-zone", &text(&list), "-", "--ns", "ns.example"]);
    let lines: Vec<_> = zone.lines().collect();
    assert_eq!(lines[..2], [format!("; {URL}").as_str(), "$ORIGIN nodes.example."]);
    assert!(lines[2].starts_with("@ 1800 IN SOA ns.example. hostmaster.nodes.example. 5 "));
    assert_eq!(lines[3], "@ 1800 IN NS ns.example.");
    assert_eq!(lines.len(), 24);
}

#[test]
fn what_was_changed_has_to_be_signed_again() {
    let (list, key) = list("dns-changed", 3);
    let directory = text(&list);
    let fails = |why: &str| {
        let output = devp2p(["dns", "to-txt", &directory]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(why), "{why} is in {stderr}");
    };
    fails("is not signed");
    sign(&list, &key, &[]);
    stdout_of(["dns", "to-txt", &directory]);
    fs::write(list.join("nodes.json"), nodes(4).to_string()).unwrap();
    fails("not signed by the key of the tree");

    let id = record(1).id().to_string();
    let cases = [
        (json!([]), "not an object"),
        (json!({ "12": {} }), "node 12"),
        (json!({ &id: {} }), "no record"),
        (json!({ &id: { "record": "enr:AA" } }), "node "),
        (json!({ &id: { "record": record(2).to_string() } }), "the record is of"),
        (json!({ &id: { "record": record(1).to_string(), "seq": 9 } }), "not that of the record"),
    ];
    for (nodes, why) in cases {
        fs::write(list.join("nodes.json"), nodes.to_string()).unwrap();
        fails(why);
    }
    fs::remove_file(list.join("nodes.json")).unwrap();
    fails("there is no such file");
    fs::write(list.join("nodes.json"), nodes(1).to_string()).unwrap();
    for (info, why) in [
        (json!({ "seq": -1 }), "seq is not a number"),
        (json!({ "links": ["enrtree://x"] }), "enrtree://x"),
        (json!({ "links": 1 }), "not a list"),
        (json!({ "url": 1 }), "url is not a text"),
    ] {
        fs::write(list.join("enrtree-info.json"), info.to_string()).unwrap();
        fails(why);
    }
}

/// Answers questions for TXT records from the names that it is given, on a thread that ends with
/// the test program.
fn serve(names: BTreeMap<String, String>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..size];
            let (mut labels, mut at) = (Vec::new(), 12);
            while query[at] != 0 {
                let end = at + 1 + usize::from(query[at]);
                labels.push(str::from_utf8(&query[at + 1..end]).unwrap().to_owned());
                at = end;
            }
            let found = names.get(&labels.join("."));
            let mut answer = query[..2].to_vec();
            let (code, count) = if found.is_some() { (0x80, 1) } else { (0x83, 0) };
            answer.extend([0x85, code, 0, 1, 0, count, 0, 0, 0, 0]);
            answer.extend(&query[12..at + 5]);
            if let Some(found) = found {
                let strings: Vec<_> = found.as_bytes().chunks(255).collect();
                let size: usize = strings.iter().map(|string| string.len() + 1).sum();
                answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
                answer.extend(u16::try_from(size).unwrap().to_be_bytes());
                for string in strings {
                    answer.push(u8::try_from(string.len()).unwrap());
                    answer.extend(string);
                }
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    address
}

#[test]
fn a_list_is_read_whole_or_not_at_all() {
    let (list, key) = list("dns-sync", 30);
    let info = json!({ "links": LINKS });
    fs::write(list.join("enrtree-info.json"), info.to_string()).unwrap();
    sign(&list, &key, &[]);
    let to_txt = stdout_of(["dns", "to-txt", &text(&list)]);
    let mut txt: BTreeMap<String, String> = serde_json::from_str(&to_txt).unwrap();

    let copy = list.with_file_name("copy");
    let (server, rate) = (serve(txt.clone()).to_string(), ["--rate", "1000"]);
    let sync = |server: &str, url: &str| {
        let copy = text(&copy);
        let args = ["dns", "sync", url, &copy, "--server", server];
        devp2p([&args[..], &rate].concat())
    };
    let done = sync(&server, URL);
    let stdout = String::from_utf8(done.stdout).unwrap();
    assert_eq!(stdout, "list domain=nodes.example seq=1 nodes=30 links=2\n");
    assert_eq!(stdout_of(["dns", "to-txt", &text(&copy)]), to_txt, "it can be published again");
    assert_eq!(read(&copy.join("nodes.json")).as_object().unwrap().len(), 30);

    // A part of it is missing: it is told which, and what was there stays as it is.
    let missing = txt.iter().find(|(_, text)| text.starts_with("enr:")).unwrap().0.clone();
    txt.remove(&missing);
    fs::write(copy.join("nodes.json"), "{}").unwrap();
    let failed = sync(&serve(txt).to_string(), URL);
    let stderr = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&missing) && stderr.contains("nothing is written"), "{stderr}");
    assert_eq!(read(&copy.join("nodes.json")), json!({}));

    // A list by another key, and one that is not there.
    let other = URL.replace(
        "AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2",
        "AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE",
    );
    let elsewhere = URL.replace("nodes.example", "elsewhere.example");
    for (url, why) in [(other, "not signed by the key"), (elsewhere, "no such txt record")] {
        let failed = sync(&server, &url);
        let stderr = String::from_utf8(failed.stderr).unwrap();
        assert_eq!((failed.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(why), "{why} is in {stderr}");
    }
}

#[test]
fn bad_arguments() {
    let cases: [(&[&str], &str); 5] = [
        (&["dns"], "a command is missing"),
        (&["dns", "sync", "enrtree://nodes.example.org"], "no key before an @"),
        (&["dns", "sync", URL, "--rate", "0"], "--rate"),
        (&["dns", "sync", URL, "--server", "localhost"], "--server"),
        (&["dns", "to-zone", "/nowhere"], "/nowhere"),
    ];
    for (args, why) in cases {
        let output = devp2p(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(why), "{why} is in {stderr}");
    }
    let (list, key) = list("dns-bad-zone", 1);
    sign(&list, &key, &[]);
    let output = devp2p(["dns", "to-zone", &text(&list), "-", "--ns", "no where"]);
    assert_eq!(output.status.code(), Some(2));
    let output = devp2p(["dns", "sign", &text(&list), &key, "--domain", "no where"]);
    assert_eq!(output.status.code(), Some(2));
}
