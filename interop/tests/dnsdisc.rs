//! Node lists in DNS: made by `devp2p dns`, served by a real name server, read by ours and by
//! go-ethereum; and those of go-ethereum, byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use devp2p_core::{NodeKey, Record};
use devp2p_dnsdisc::{
    AnyResolver, Config, HickoryResolver, Link, LookupError, Nodes, Resolver, Tree, Txt,
};
use devp2p_interop::OurPrograms;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};

const DOMAIN: &str = "nodes.example";

/// More than 13 twice over, so that there are branches below branches.
const COUNT: u16 = 190;

fn key(n: u16) -> NodeKey {
    let mut bytes = [3; 32];
    bytes[30..].copy_from_slice(&n.to_be_bytes());
    NodeKey::from_bytes(&bytes).unwrap()
}

/// Records of many kinds; the last are as long as records may be, in two strings of a TXT record.
fn records() -> Vec<Record> {
    let record = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let record = Record::builder().seq(u64::from(n) + 1).tcp(30303).udp(n.max(1025));
        let record = record.ip([10, 0, high, low].into());
        let filler = if n < COUNT / 2 { usize::from(n % 60) } else { 130 };
        let mut value = vec![0xb8, u8::try_from(filler.max(56)).unwrap()];
        value.resize(2 + filler.max(56), 7);
        record.entry("filler", value).sign(&key(n)).unwrap()
    };
    (0..COUNT).map(record).collect()
}

fn texts(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(Record::to_string).collect()
}

fn links() -> Vec<Link> {
    let link = |n: u16| Link::new(key(1_000 + n).public_key(), &format!("more-{n}.example"));
    [5, 2, 9].into_iter().map(|n| link(n).unwrap()).collect()
}

/// A folder for the files of one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("devp2p-interop-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a list as an editor would, and gives its directory.
fn definition(folder: &Path) -> PathBuf {
    let directory = folder.join(DOMAIN);
    fs::create_dir(&directory).unwrap();
    let nodes = records().into_iter().map(|record| {
        (record.id().to_string(), json!({ "seq": record.seq(), "record": record.to_string() }))
    });
    let nodes = Value::Object(nodes.collect::<Map<_, _>>());
    fs::write(directory.join("nodes.json"), nodes.to_string()).unwrap();
    let links: Vec<_> = links().iter().map(Link::to_string).collect();
    let info = json!({ "seq": 6, "links": links });
    fs::write(directory.join("enrtree-info.json"), info.to_string()).unwrap();
    directory
}

fn run(arguments: &[&str]) -> String {
    OurPrograms::get().devp2p(arguments).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_of_ours_is_read_by_ours_and_by_geth() {
    let Some(knot) = devp2p_interop::knot() else { return };
    let folder = folder("zone");
    let directory = definition(&folder);
    let directory = directory.to_str().unwrap();
    let (key_file, zone) = (folder.join("key"), folder.join("zone"));
    key(7).save_new(&key_file).unwrap();
    let url = run(&["dns", "sign", directory, key_file.to_str().unwrap()]);
    let url = url.trim_end();
    run(&["dns", "to-zone", directory, zone.to_str().unwrap(), "--ns", "ns.example"]);
    let server = knot.serve(&folder, DOMAIN, &zone).await;
    let address = server.address().to_string();

    // Our program: what it read is what was signed, so that it can be published again.
    let copy = folder.join("copy");
    let copy = copy.to_str().unwrap();
    let line = run(&["dns", "sync", url, copy, "--server", &address, "--rate", "1000"]);
    assert_eq!(line, format!("list domain={DOMAIN} seq=7 nodes={COUNT} links=3\n"));
    assert_eq!(run(&["dns", "to-txt", copy]), run(&["dns", "to-txt", directory]));

    // Our library: a stream of nodes.
    let mut config = Config::default();
    config.rate = 1_000;
    config.follow_links = false;
    let resolver = AnyResolver::new(HickoryResolver::from_servers([server.address()]).unwrap());
    let nodes = Nodes::new(config, [url.parse().unwrap()], resolver, [7; 32]);
    let nodes: BTreeSet<_> = nodes.take(COUNT.into()).map(|node| node.to_string()).collect().await;
    assert_eq!(nodes, texts(&records()));

    // And geth, where there is one.
    if let Some(geth) = devp2p_interop::geth() {
        let read = geth.dns(&["-url", url, "-server", &address]).unwrap();
        let set = |value: &Value| -> BTreeSet<String> {
            let texts = value.as_array().unwrap().iter();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(set(&read["nodes"]), texts(&records()));
        assert_eq!(set(&read["links"]), links().iter().map(Link::to_string).collect());
        assert_eq!(read["seq"], 7);
    }
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}

/// The names of a list that go-ethereum made.
struct Names(BTreeMap<String, String>);

impl Resolver for Names {
    async fn lookup_txt(&self, name: &str) -> Result<Vec<Txt>, LookupError> {
        let text = self.0.get(name).ok_or(LookupError::NotFound)?;
        Ok(vec![Txt::join(text.as_bytes().chunks(255))])
    }
}

#[tokio::test]
async fn a_list_of_geth_is_the_same_as_ours_and_read_by_ours() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let key = key(7);
    let all_links = links();
    for count in [0, 1, 2, 13, 14, 170, usize::from(COUNT)] {
        let records = records().split_off(usize::from(COUNT) - count);
        let links = all_links.get(..count.min(3)).unwrap();
        let join = |texts: Vec<String>| texts.join(",");
        let made = geth
            .dns(&[
                "-key",
                &HEXLOWER.encode(&*key.to_bytes()),
                "-domain",
                DOMAIN,
                "-seq",
                "9",
                "-nodes",
                &join(records.iter().map(Record::to_string).collect()),
                "-links",
                &join(links.iter().map(Link::to_string).collect()),
            ])
            .unwrap();
        let txt: BTreeMap<String, String> = serde_json::from_value(made["txt"].clone()).unwrap();
        let ours = Tree::new(9, records.clone(), links.to_vec()).unwrap();
        let ours = ours.sign(&key, DOMAIN).unwrap();
        assert_eq!(ours.txt().collect::<BTreeMap<_, _>>(), txt, "{count}");
        assert_eq!(ours.link().to_string(), made["url"]);

        let mut config = Config::default();
        config.rate = 10_000;
        config.follow_links = false;
        let link = made["url"].as_str().unwrap().parse().unwrap();
        let nodes = Nodes::new(config, [link], AnyResolver::new(Names(txt)), [7; 32]);
        let nodes: BTreeSet<_> = nodes.take(count).map(|node| node.to_string()).collect().await;
        assert_eq!(nodes, texts(&records), "{count}");
    }
}
