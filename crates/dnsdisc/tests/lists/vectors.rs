//! The vectors of EIP-1459 and go-ethereum, and a tree that was once published for Holesky.

use std::collections::{BTreeMap, BTreeSet};

use devp2p_core::{KeyError, NodeKey, PublicKey, RecordError};
use devp2p_dnsdisc::{
    Config, Entry, EntryError, EntryName, Event, Link, LinkError, Root, RootError, SyncError, Tree,
};
use serde_json::Value;

use crate::world::World;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/dnsdisc.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn public_key(hex: &Value) -> PublicKey {
    let bytes = data_encoding::HEXLOWER.decode(text(hex).as_bytes()).unwrap();
    PublicKey::from_compressed(&bytes).unwrap()
}

#[test]
fn links() {
    let example = &vectors()["example"];
    for (url, key) in [("url_in_text", "url_key"), ("url_matching_root", "root_signer_recovered")] {
        let link: Link = text(&example[url]).parse().unwrap();
        assert_eq!(link.public_key(), public_key(&example[key]));
        assert_eq!(link.domain(), "nodes.example.org");
        assert_eq!(link.to_string(), text(&example[url]));
    }
}

#[test]
fn roots() {
    let vectors = vectors();
    let example: Root = text(&vectors["example"]["zone"][0]["txt"]).parse().unwrap();
    let signer = public_key(&vectors["example"]["root_signer_recovered"]);
    assert_eq!(example.verify(&signer), Ok(()));
    let other = public_key(&vectors["example"]["url_key"]);
    assert_eq!(example.verify(&other), Err(RootError::Signature), "the url of the eip's text");

    for vector in vectors["roots"].as_array().unwrap() {
        let root = text(&vector["txt"]).parse::<Root>();
        let expected = match vector["error"].as_str() {
            Some("syntax") => Err(RootError::Syntax),
            Some("signature_length") => Err(RootError::SignatureText),
            _ => root.clone(),
        };
        assert_eq!(root, expected, "{vector}");
        let Ok(root) = root else { continue };
        assert_eq!(vector["valid"], true);
        assert_eq!(root.to_string(), text(&vector["txt"]));
        assert_eq!(root.records().as_str(), text(&vector["e"]));
        assert_eq!(root.links().as_str(), text(&vector["l"]));
        assert_eq!(root.seq(), vector["seq"].as_u64().unwrap());
        assert_eq!(root.verify(&public_key(&vector["signer"])), Ok(()));
    }
}

#[test]
fn entries() {
    for vector in vectors()["entries"].as_array().unwrap() {
        let entry = text(&vector["txt"]).parse::<Entry>();
        let expected = match vector["error"].as_str() {
            None => {
                assert_eq!(entry.as_ref().unwrap().to_string(), text(&vector["txt"]));
                continue;
            }
            Some("branch, errInvalidChild") => EntryError::Name,
            Some("link, errNoPubkey") => EntryError::Link(LinkError::NoKey),
            Some("link, errBadPubkey") if text(&vector["txt"]).contains("57@") => {
                EntryError::Link(LinkError::Base32)
            }
            Some("link, errBadPubkey") => EntryError::Link(LinkError::Key(KeyError::NotOnCurve)),
            Some("enr, errInvalidENR") => EntryError::Record(RecordError::Base64),
            Some("errUnknownEntry") => EntryError::Unknown,
            Some(other) => panic!("{other} is new"),
        };
        assert_eq!(entry, Err(expected), "{vector}");
    }
}

/// The zone of the EIP, made again of its records and its link: every byte, the signature too.
#[test]
fn the_tree_of_the_eip() {
    let vectors = vectors();
    let zone = vectors["example"]["zone"].as_array().unwrap();
    let zone: BTreeMap<_, _> =
        zone.iter().map(|line| (text(&line["name"]), text(&line["txt"]))).collect();
    let (mut records, mut links) = (Vec::new(), Vec::new());
    for (&name, text) in zone.iter().filter(|&(&name, _)| name != "@") {
        assert_eq!(EntryName::of(text).as_str(), name);
        match text.parse().unwrap() {
            Entry::Link(link) => links.push(link),
            Entry::Record(record) => records.push(record),
            _ => {}
        }
    }
    let key = NodeKey::from_hex(text(&vectors["signing_key_go_ethereum_tests"])).unwrap();
    let tree = Tree::new(1, records, links).unwrap().sign(&key, "nodes.example.org").unwrap();
    let made: BTreeMap<_, _> = tree.txt().collect();
    let expected: BTreeMap<_, _> = zone
        .iter()
        .map(|(&name, &text)| match name {
            "@" => ("nodes.example.org".to_owned(), text.to_owned()),
            name => (format!("{name}.nodes.example.org"), text.to_owned()),
        })
        .collect();
    assert_eq!(made, expected);
    assert_eq!(tree.link().to_string(), text(&vectors["example"]["url_matching_root"]));
}

#[test]
fn a_tree_with_a_bad_record() {
    let vector = &vectors()["tree_with_bad_node"];
    let mut world = World::new(Config::default(), [text(&vector["url"]).parse().unwrap()], 1);
    for (name, txt) in vector["txt"].as_object().unwrap() {
        world.answer(name, text(txt));
    }
    world.want(usize::MAX);
    assert_eq!(world.run_round(), (0, 1));
    let error = SyncError::Entry(EntryError::Record(RecordError::Malformed));
    let failures = world.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].0, text(&vector["expected_error_at"]));
    assert!(
        matches!(failures[0].1, SyncError::Entry(EntryError::Record(_))),
        "{:?} rather than {error:?}",
        failures[0].1
    );
    let linked: Vec<_> = world.client.trees().map(Link::domain).collect();
    assert_eq!(linked, ["n", "morenodes.example.org"]);
}

/// The capture kept 253 bytes of each TXT record: longer branches have lost their hash, and
/// everything else is found.
#[test]
fn a_published_tree() {
    let snapshot: Value =
        serde_json::from_str(include_str!("../vectors/dnsdisc-holesky-snapshot.json")).unwrap();
    let domain = text(&snapshot["domain"]);
    let txt: BTreeMap<&str, &str> =
        snapshot["txt"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), text(v))).collect();
    let cut = snapshot["truncated_txt_hash_mismatch"].as_array().unwrap();
    let cut: BTreeSet<&str> = cut.iter().map(text).collect();

    // Which records can be reached without the branches that were cut.
    let root: Root = txt[domain].parse().unwrap();
    let (mut reachable, mut stack) = (Vec::new(), vec![root.records().clone()]);
    while let Some(name) = stack.pop() {
        let name = format!("{name}.{domain}");
        match txt[&*name].parse() {
            _ if cut.contains(&*name) => {}
            Ok(Entry::Branch(children)) => stack.extend(children),
            Ok(Entry::Record(record)) => reachable.push(record.id()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(root.seq(), snapshot["seq"].as_u64().unwrap());

    let mut world = World::new(Config::default(), [text(&snapshot["url"]).parse().unwrap()], 1);
    for (name, txt) in &txt {
        world.answer(name, txt);
    }
    world.want(usize::MAX);
    let (found, failed) = world.run_round();
    assert_eq!(crate::world::sorted(world.found()), crate::world::sorted(reachable.clone()));
    let failures = world.failures();
    assert!(
        failures.iter().all(|(name, error)| {
            cut.contains(name.as_str()) && matches!(error, SyncError::Hash)
        })
    );
    assert_eq!((found, failed), (reachable.len(), failures.len()));
    assert!(found > 0 && failed > 0, "{found} {failed}");
    assert!(world.events.iter().any(|event| matches!(event, Event::Root { .. })));
}
