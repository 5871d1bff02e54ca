//! Trees and zones that are made.

use devp2p_core::Record;
use devp2p_dnsdisc::{Entry, Link, LinkError, RootError, Tree, TreeError, Zone};

use crate::world::{key, link, record, records, signer, tree};

#[test]
fn what_makes_no_tree() {
    let make = |records: Vec<Record>, links: Vec<Link>| Tree::new(1, records, links).map(|_| ());
    assert_eq!(make(vec![], vec![]), Ok(()));
    let twice = make(vec![record(1), record(2), record(1)], vec![]);
    assert_eq!(twice, Err(TreeError::SameNode(record(1).id())));
    let twice = make(vec![], vec![link("a"), Link::new(link("a").public_key(), "A").unwrap()]);
    assert_eq!(twice, Err(TreeError::SameLink(link("a").to_string())));
    let links = |count: usize| (0..count).map(|n| link(&format!("n{n}"))).collect::<Vec<_>>();
    assert_eq!(make(vec![], links(Tree::MAX_LINKS)), Ok(()));
    assert_eq!(make(vec![], links(Tree::MAX_LINKS + 1)), Err(TreeError::TooManyLinks));

    for value in [&[0x83, 1, 0, 0][..], &[0xc0], &[0x82, 0, 1]] {
        let odd = Record::builder().entry("udp6", value.to_vec()).sign(&key(1)).unwrap();
        let port = TreeError::Port { id: odd.id(), key: "udp6" };
        assert_eq!(make(vec![odd], vec![]), Err(port));
    }
    let unusual = Record::builder().entry("udp", [0x80].to_vec()).sign(&key(1)).unwrap();
    assert_eq!(make(vec![unusual], vec![]), Ok(()), "a port of 0 can be read");
}

#[test]
fn branches_are_full_and_nothing_alone_has_one() {
    // Records, and how many branches there are above them; the links have one more.
    for (count, branches) in
        [(0, 1), (1, 0), (2, 1), (13, 1), (14, 2), (15, 3), (26, 3), (27, 3), (169, 14), (170, 15)]
    {
        let tree = tree("n", 1, records(count), vec![]);
        let entries = tree.entries().values();
        let found: Vec<_> = entries
            .filter_map(|entry| match entry {
                Entry::Branch(children) => Some(children.len()),
                _ => None,
            })
            .collect();
        let empty = usize::from(count != 0);
        assert_eq!(found.len(), branches + empty, "{count}");
        assert!(found.iter().all(|&children| children <= 13 && (children != 1)), "{found:?}");
        for (_, text) in tree.txt() {
            assert!(text.len() <= 404, "{text}");
        }
    }
}

#[test]
fn a_signature_is_good_for_its_tree_alone() {
    let signed = tree("nodes.example", 3, records(5), vec![]);
    let signature = signed.root().signature();
    let again = |seq, count, key: &str| {
        let link = Link::new(signer(key).public_key(), "nodes.example").unwrap();
        let tree = Tree::new(seq, records(count), []).unwrap();
        tree.with_signature(link, &signature).map(|tree| tree.txt().collect::<Vec<_>>())
    };
    assert_eq!(again(3, 5, "nodes.example"), Ok(signed.txt().collect()));
    assert_eq!(again(4, 5, "nodes.example"), Err(RootError::Signature));
    assert_eq!(again(3, 4, "nodes.example"), Err(RootError::Signature));
    assert_eq!(again(3, 5, "other"), Err(RootError::Signature));
    let tree = Tree::new(3, records(5), []).unwrap();
    let bad = tree.with_signature(signed.link().clone(), "AAAA").map(|_| ());
    assert_eq!(bad, Err(RootError::SignatureText));
    let nowhere = Tree::new(3, records(5), []).unwrap().sign(&key(1), "no where").map(|_| ());
    assert_eq!(nowhere, Err(LinkError::Domain));
}

#[test]
fn a_zone_file() {
    let signed = tree("nodes.example", (1 << 32) + 9, records(14), vec![link("more.example")]);
    let records_alone = Zone::new(&signed, &[]).unwrap().to_string();
    let mut lines = records_alone.lines();
    assert_eq!(lines.next().unwrap(), format!("; {}", signed.link()));
    assert_eq!(lines.next(), Some("$ORIGIN nodes.example."));
    let root = lines.next().unwrap();
    assert_eq!(root, format!("@ 1800 IN TXT \"{}\"", signed.root()));
    let entries: Vec<_> = lines.collect();
    assert_eq!(entries.len(), 17);
    for ((name, entry), line) in signed.entries().iter().zip(entries) {
        let text = entry.to_string();
        let start = format!("{name} 2419200 IN TXT \"");
        let strings = line.strip_prefix(&start).unwrap().strip_suffix('"').unwrap();
        let strings: Vec<_> = strings.split("\" \"").collect();
        assert_eq!(strings.concat(), text);
        assert!(strings.iter().all(|string| (1..=255).contains(&string.len())));
        assert_eq!(strings.len(), text.len().div_ceil(255));
    }

    let servers = ["ns1.example".to_owned(), "ns2.example.".to_owned()];
    let whole = Zone::new(&signed, &servers).unwrap().to_string();
    let head: Vec<_> = whole.lines().skip(2).take(3).collect();
    assert_eq!(
        head,
        [
            "@ 1800 IN SOA ns1.example. hostmaster.nodes.example. 9 7200 900 1209600 300",
            "@ 1800 IN NS ns1.example.",
            "@ 1800 IN NS ns2.example.",
        ]
    );
    assert_eq!(whole.lines().count(), records_alone.lines().count() + 3);
    for bad in ["", ".", "a..b", "a b", "ns.example.\n@ IN A 192.0.2.1"] {
        assert!(Zone::new(&signed, &[bad.to_owned()]).is_err(), "{bad}");
    }
}
