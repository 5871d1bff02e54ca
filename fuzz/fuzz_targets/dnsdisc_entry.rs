//! The texts of a node list in DNS: entries, roots, links and names; and a whole answer.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use devp2p_core::NodeKey;
use devp2p_dnsdisc::{
    Client, Config, Entry, EntryName, Event, Link, LookupError, Output, Root, Tree, Txt,
};
use devp2p_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;

/// A client that is called this often at one moment and still wants to be called has lost its way.
const MAX_CALLS: usize = 64;

static KEY: LazyLock<NodeKey> =
    LazyLock::new(|| NodeKey::from_bytes(&[1; 32]).expect("a small number"));

/// The link to a list of nothing, and its root.
static LIST: LazyLock<(Link, String)> = LazyLock::new(|| {
    let tree = Tree::new(1, [], []).expect("a tree of nothing").sign(&KEY, "n").expect("a domain");
    (tree.link().clone(), tree.root().to_string())
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    entry(text);
    root(text);
    link(text);
    name(text);
    answer(data);
});

fn entry(text: &str) {
    let entry = match bounded(text.len(), || (0, text.parse::<Entry>())) {
        Ok(entry) => entry,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(text.len() <= Entry::MAX_SIZE);
    let written = entry.to_string();
    assert_eq!(written.parse::<Entry>().as_ref(), Ok(&entry));
    match entry {
        Entry::Branch(children) => {
            assert_eq!(written, text, "there is one text for a branch");
            assert!(children.len() <= Entry::MAX_CHILDREN);
        }
        Entry::Link(_) => assert!(written.eq_ignore_ascii_case(text)),
        Entry::Record(_) => assert_eq!(written, text, "there is one text for a record"),
        _ => unreachable!("there are three kinds"),
    }
}

fn root(text: &str) {
    let Ok(root) = bounded(text.len(), || (0, text.parse::<Root>())) else { return };
    assert_eq!(root.to_string(), text, "there is one text for a root");
    let _ = root.verify(&KEY.public_key());
}

fn link(text: &str) {
    let Ok(link) = bounded(text.len(), || (0, text.parse::<Link>())) else { return };
    assert!(link.to_string().eq_ignore_ascii_case(text));
    assert_eq!(Link::new(link.public_key(), link.domain()), Ok(link));
}

fn name(text: &str) {
    let own = EntryName::of(text);
    assert!(own.is_of(text.as_bytes()));
    assert_eq!(own.as_str().parse::<EntryName>().as_ref(), Ok(&own));
    if let Ok(name) = text.parse::<EntryName>() {
        assert_eq!(name.as_str(), text);
    }
}

/// Every answer is the input: a client bears it, and asks no more than it may.
fn answer(data: &[u8]) {
    let (link, root) = &*LIST;
    let mut now = devp2p_fuzz::start();
    let mut client = Client::new(Config::default(), [link.clone()], [1; 32], now);
    client.want(now, usize::MAX);
    let end = now + Duration::from_secs(20);
    let mut calls = 0;
    while let Some(next) = step(&mut client, now, data, root) {
        calls = if next > now { 0 } else { calls + 1 };
        assert!(calls < MAX_CALLS, "it asks to be called without an end");
        now = now.max(next);
        if now > end {
            break;
        }
        client.handle_timeout(now);
    }
}

fn step(client: &mut Client, now: Instant, data: &[u8], root: &str) -> Option<Instant> {
    while let Some(output) = client.poll_output() {
        match output {
            Output::Lookup { id, name } if name == "n" => {
                client.handle_answer(now, id, Ok(vec![Txt::join([data]), root.into()]));
            }
            Output::Lookup { id, .. } if data.first() == Some(&0) => {
                client.handle_answer(now, id, Err(LookupError::Timeout));
            }
            Output::Lookup { id, .. } => {
                client.handle_answer(now, id, Ok(vec![Txt::join([data])]));
            }
            Output::Event(Event::Record { .. }) => panic!("nobody signed that"),
            Output::Event(_) => {}
        }
    }
    client.poll_timeout()
}
