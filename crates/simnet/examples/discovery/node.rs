//! A node: the machine as it is shipped, and somebody who uses it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{
    Host as NodeHost, Node as Enode, NodeId, NodeKey, PublicKey, Record, Rng, WallClock,
};
use devp2p_simnet::{Host, Transmit};

use super::machine::{Discovery, Happening};

/// What stays when a node is restarted.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: NodeKey,
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
}

impl Identity {
    pub(crate) fn new(rng: &mut Rng, address: SocketAddr) -> Self {
        let key = super::keys::node_key(rng);
        Self { id: key.id(), key, address }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// Its record in a life that began at this time.
    pub(crate) fn record(&self, seq: u64) -> Record {
        let record = Record::builder().seq(seq).ip(self.address.ip());
        record.tcp(self.address.port()).udp(self.address.port()).sign(&self.key).unwrap()
    }

    pub(crate) fn node(&self) -> Enode {
        let host = Some(NodeHost::Ip(self.address.ip()));
        Enode::new(self.public_key(), host, self.address.port(), self.address.port())
    }
}

/// A lookup that is over.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) target: NodeId,
    /// Nearest first.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) took: Duration,
    /// How many nodes had to be asked one after the other to learn of the nearest, itself included.
    pub(crate) hops: u32,
}

/// One life of a node.
pub(crate) struct Node<D: Discovery> {
    pub(crate) machine: D,
    own: NodeId,
    now: Instant,
    /// How often its user looks around, and when next.
    pace: Option<Duration>,
    look_at: Option<Instant>,
    lookups: BTreeMap<D::Query, (NodeId, Instant)>,
    /// How many nodes were asked one after the other until somebody named a node. Kept only while
    /// a single lookup runs.
    depths: BTreeMap<NodeId, u32>,
    pub(crate) found: Vec<Found>,
    /// What others answered of what it asked.
    answers: BTreeSet<D::Query>,
    pub(crate) taps: Taps,
}

/// What is noted of a node on request.
#[derive(Default)]
pub(crate) struct Taps {
    /// What it sends to this address.
    pub(crate) watched: Option<IpAddr>,
    pub(crate) sent: Vec<(Instant, SocketAddr)>,
    /// All that it receives.
    pub(crate) records: bool,
    pub(crate) received: VecDeque<(SocketAddr, Bytes)>,
    /// The nodes that it names to others.
    pub(crate) audits: bool,
    pub(crate) named: u64,
    /// Those of them that have not proved to it that they are there.
    pub(crate) named_unproven: u64,
}

impl<D: Discovery> Node<D> {
    pub(crate) fn new(
        now: Instant,
        clock: WallClock,
        identity: &Identity,
        config: D::Config,
        pace: Option<Duration>,
        rng: &mut Rng,
    ) -> Self {
        let record = identity.record(clock.unix_secs(now));
        let mut node = Self {
            machine: D::new(config, &identity.key, record, rng.seed(), now, clock),
            own: identity.id,
            now,
            pace,
            look_at: None,
            lookups: BTreeMap::new(),
            depths: BTreeMap::new(),
            found: Vec::new(),
            answers: BTreeSet::new(),
            taps: Taps::default(),
        };
        node.set_pace(now, pace, rng.below(1 << 20) as f64 / f64::from(1 << 20));
        node
    }

    /// Lets its user look around so often, the first time after such a part of the pause.
    pub(crate) fn set_pace(&mut self, now: Instant, pace: Option<Duration>, first: f64) {
        self.pace = pace;
        self.look_at = pace.map(|pace| now + pace.mul_f64(first));
    }

    pub(crate) fn lookup(&mut self, now: Instant, target: [u8; 64]) {
        self.now = now;
        let (query, target) = self.machine.lookup(now, target);
        self.depths = self.machine.start(target).into_iter().map(|id| (id, 1)).collect();
        self.lookups.insert(query, (target, now));
    }

    /// Asks a node something that it answers only to who has proved itself.
    pub(crate) fn ask(&mut self, now: Instant, node: &Enode) -> D::Query {
        self.now = now;
        self.machine.ask(now, node)
    }

    pub(crate) fn is_answered(&self, query: D::Query) -> bool {
        self.answers.contains(&query)
    }

    /// The ids in its table, and where they are.
    pub(crate) fn table(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.machine.table().into_iter()
    }

    fn handle(&mut self, happening: Happening<D::Query>) {
        match happening {
            Happening::Answered(query) => _ = self.answers.insert(query),
            Happening::Found(query, nodes) => {
                let Some((target, since)) = self.lookups.remove(&query) else { return };
                let nodes: Vec<_> = nodes.iter().map(Enode::id).collect();
                let hops = nodes.first().and_then(|id| self.depths.get(id));
                let hops = hops.copied().unwrap_or(0);
                let took = self.now - since;
                self.found.push(Found { target, nodes, took, hops });
            }
            Happening::Failed(query, error) if self.lookups.contains_key(&query) => {
                panic!("a lookup failed: {error}");
            }
            Happening::Named { node, by } if !self.lookups.is_empty() => {
                if let Some(depth) = self.depths.get(&by) {
                    let depth = depth + 1;
                    self.depths.entry(node).or_insert(depth);
                }
            }
            _ => {}
        }
    }

    fn note_sent(&mut self, to: SocketAddr, bytes: &[u8]) {
        if self.taps.watched == Some(to.ip()) {
            self.taps.sent.push((self.now, to));
        }
        if !self.taps.audits {
            return;
        }
        for (id, endpoint) in D::named(bytes) {
            self.taps.named += 1;
            if !self.machine.has_proved(self.now, id, endpoint) {
                self.taps.named_unproven += 1;
            }
        }
    }

    pub(crate) const fn id(&self) -> NodeId {
        self.own
    }
}

impl<D: Discovery> Host for Node<D> {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.now = now;
        if self.taps.records {
            self.taps.received.push_back((from, Bytes::copy_from_slice(bytes)));
        }
        self.machine.handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = self.pace.map(|pace| now + pace);
            self.machine.lookup_random(now);
        }
        self.machine.handle_timeout(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            match self.machine.poll()? {
                Happening::Transmit(transmit) => {
                    self.note_sent(transmit.to, &transmit.bytes);
                    return Some(Transmit::datagram(transmit.to, transmit.bytes));
                }
                happening => self.handle(happening),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.machine.poll_timeout(), self.look_at].into_iter().flatten().min()
    }
}

impl Taps {
    /// The most packets that went to the watched address within a second.
    pub(crate) fn most_in_a_second(&self) -> usize {
        let within = |first: usize| {
            let rest = self.sent.get(first..).unwrap_or(&[]).iter();
            rest.take_while(|(at, _)| *at < self.sent[first].0 + Duration::from_secs(1)).count()
        };
        (0..self.sent.len()).map(within).max().unwrap_or(0)
    }
}
