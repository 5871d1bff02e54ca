//! A client and a name server in virtual time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use devp2p_core::{NodeId, NodeKey, Record};
use devp2p_dnsdisc::{
    Client, Config, Entry, Event, Link, LookupError, LookupId, Output, SignedTree, SyncError, Tree,
    Txt,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// More than any of these clients does in one moment.
const MAX_STEPS: usize = 10_000;

pub(crate) fn key(n: u32) -> NodeKey {
    let mut bytes = [1; 32];
    bytes[28..].copy_from_slice(&(n + 1).to_be_bytes());
    NodeKey::from_bytes(&bytes).unwrap()
}

pub(crate) fn record(n: u32) -> Record {
    let ip = n.to_be_bytes();
    Record::builder().ip([10, ip[1], ip[2], ip[3]].into()).tcp(30303).sign(&key(n)).unwrap()
}

pub(crate) fn records(count: u32) -> Vec<Record> {
    (0..count).map(record).collect()
}

/// A tree of so many records at this domain, by a key of the domain.
pub(crate) fn tree(domain: &str, seq: u64, records: Vec<Record>, links: Vec<Link>) -> SignedTree {
    Tree::new(seq, records, links).unwrap().sign(&signer(domain), domain).unwrap()
}

pub(crate) fn signer(domain: &str) -> NodeKey {
    key(1_000_000 + domain.bytes().fold(0, |sum, byte| sum * 31 % 99_991 + u32::from(byte)))
}

pub(crate) fn link(domain: &str) -> Link {
    Link::new(signer(domain).public_key(), domain).unwrap()
}

/// What a name server does with one name.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Answer(Vec<Txt>),
    Fail(LookupError),
    Silent,
}

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) zone: BTreeMap<String, Behaviour>,
    pub(crate) latency: Duration,
    /// All lookups that there were, and when since the start.
    pub(crate) lookups: Vec<(Duration, String)>,
    /// All events that there were.
    pub(crate) events: Vec<Event>,
    start: Instant,
    now: Instant,
    waiting: BTreeMap<(Instant, LookupId), String>,
}

impl World {
    pub(crate) fn new(config: Config, links: impl IntoIterator<Item = Link>, seed: u8) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an Instant comes from the clock alone")]
        let start = Instant::now();
        Self {
            client: Client::new(config, links, [seed; 32], start),
            zone: BTreeMap::new(),
            latency: SECOND / 20,
            lookups: Vec::new(),
            events: Vec::new(),
            start,
            now: start,
            waiting: BTreeMap::new(),
        }
    }

    /// A world with this tree published, and a client that wants all of it.
    pub(crate) fn of(config: Config, tree: &SignedTree) -> Self {
        let mut world = Self::new(config, [tree.link().clone()], 7);
        world.publish(tree);
        world.want(usize::MAX);
        world
    }

    pub(crate) fn publish(&mut self, tree: &SignedTree) {
        for (name, text) in tree.txt() {
            self.zone.insert(name, Behaviour::Answer(vec![text.as_str().into()]));
        }
    }

    /// Publishes a tree that is no tree, by the domain's key: its root points where it is told.
    pub(crate) fn publish_parts(&mut self, domain: &str, seq: u64, e: &Entry, l: &Entry) {
        // The names in the root are those of the two entries, whatever they are.
        use data_encoding::BASE64URL_NOPAD;
        use devp2p_dnsdisc::EntryName;
        use sha3::{Digest as _, Keccak256};
        let name = |entry: &Entry| EntryName::of(&entry.to_string());
        let text = format!("enrtree-root:v1 e={} l={} seq={seq}", name(e), name(l));
        let signature = signer(domain).sign_recoverable(&Keccak256::digest(&text).into());
        let root = format!("{text} sig={}", BASE64URL_NOPAD.encode(&signature));
        self.answer(domain, &root);
        self.publish_entry(domain, e);
        self.publish_entry(domain, l);
    }

    pub(crate) fn publish_entry(&mut self, domain: &str, entry: &Entry) {
        let text = entry.to_string();
        let name = devp2p_dnsdisc::EntryName::of(&text);
        self.answer(&format!("{name}.{domain}"), &text);
    }

    pub(crate) fn answer(&mut self, name: &str, text: &str) {
        self.zone.insert(name.to_owned(), Behaviour::Answer(vec![text.into()]));
    }

    pub(crate) fn want(&mut self, records: usize) {
        self.client.want(self.now, records);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Runs on for so long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    /// Runs until there is such an event.
    pub(crate) fn run_until(&mut self, is_it: impl FnMut(&Event) -> bool) -> Event {
        assert!(self.run(100_000 * SECOND, is_it), "it never comes");
        self.events.last().unwrap().clone()
    }

    /// Runs until a round is over, and gives the numbers of records and failures.
    pub(crate) fn run_round(&mut self) -> (usize, usize) {
        match self.run_until(|event| matches!(event, Event::Round { .. })) {
            Event::Round { records, failed, .. } => (records, failed),
            _ => unreachable!(),
        }
    }

    fn run(&mut self, time: Duration, mut is_it: impl FnMut(&Event) -> bool) -> bool {
        let end = self.now + time;
        let mut steps = 0;
        loop {
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::Event(event) => {
                        self.events.push(event);
                        if is_it(self.events.last().unwrap()) {
                            return true;
                        }
                    }
                    Output::Lookup { id, name } => {
                        self.lookups.push((self.elapsed(), name.clone()));
                        self.waiting.insert((self.now + self.latency, id), name);
                    }
                }
            }
            let answer = self.waiting.keys().next().map(|&(at, _)| at);
            let Some(next) = answer.into_iter().chain(self.client.poll_timeout()).min() else {
                self.now = end;
                return false;
            };
            if next > end {
                self.now = end;
                return false;
            }
            steps = if next > self.now { 0 } else { steps + 1 };
            assert!(steps < MAX_STEPS, "the client is busy with nothing");
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            while let Some((&(at, id), _)) = self.waiting.first_key_value()
                && at <= self.now
            {
                let name = self.waiting.remove(&(at, id)).unwrap();
                let answer = match self.zone.get(&name) {
                    Some(Behaviour::Answer(answer)) => Ok(answer.clone()),
                    Some(Behaviour::Fail(error)) => Err(error.clone()),
                    Some(Behaviour::Silent) => continue,
                    None => Err(LookupError::NotFound),
                };
                self.client.handle_answer(self.now, id, answer);
            }
        }
    }

    /// The nodes that were told of, in order.
    pub(crate) fn found(&self) -> Vec<NodeId> {
        let records = self.events.iter().filter_map(|event| match event {
            Event::Record { record, .. } => Some(record.id()),
            _ => None,
        });
        records.collect()
    }

    /// What failed, by name.
    pub(crate) fn failures(&self) -> Vec<(String, SyncError)> {
        let failures = self.events.iter().filter_map(|event| match event {
            Event::Failed { name, error, .. } => Some((name.clone(), error.clone())),
            _ => None,
        });
        failures.collect()
    }

    pub(crate) fn lookups_of(&self, name: &str) -> Vec<Duration> {
        let lookups = self.lookups.iter().filter(|(_, looked_up)| looked_up == name);
        lookups.map(|&(at, _)| at).collect()
    }
}

/// The ids in ascending order.
pub(crate) fn sorted(mut ids: Vec<NodeId>) -> Vec<NodeId> {
    ids.sort();
    ids
}

pub(crate) fn ids(records: &[Record]) -> Vec<NodeId> {
    sorted(records.iter().map(Record::id).collect())
}
