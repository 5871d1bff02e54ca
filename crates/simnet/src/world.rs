mod route;
mod streams;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use self::{route::Event, streams::Streams};
use crate::{
    Host, Link, Nat, NatId, Rng, Statistics, Traffic, addresses::Addresses, nat::Router,
    queue::Queue, rng::nanos, timers::Timers, trace::Trace,
};

/// How many messages may be in flight. A million datagrams of the size of discovery packets are
/// about a gigabyte; a network that has more on its way is being flooded, and loses some. Segments
/// are counted apart, and as they cannot be lost, more of them end the test.
pub const MAX_IN_FLIGHT: usize = 1 << 20;

/// How many times one host may send or have a timeout in one instant. More is a loop that would
/// never end, as no time passes in it; it ends the test.
pub const MAX_WORK_PER_INSTANT: u32 = 100_000;

/// How long a sender waits before it is told that a segment was not delivered.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(5);

/// One of the hosts of a [`World`]. Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u32);

impl HostId {
    /// How many hosts were spawned before it.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A network of hosts, its time and its chances.
///
/// Time passes only in [`run_for`](Self::run_for), [`run_until`](Self::run_until) and
/// [`step`](Self::step); an hour in which nothing happens takes none. Where a timeout and a message
/// come at one instant, the timeout is first; timeouts of one instant come in the order of the
/// hosts, messages in the order in which they were sent.
///
/// Methods that take a [`HostId`] panic where it is not of this world or was
/// [removed](Self::remove).
pub struct World<H> {
    start: Instant,
    /// Nanoseconds since `start`, as are all times within.
    now: u64,
    rng: Rng,
    link: Link,
    links: BTreeMap<(HostId, HostId), Link>,
    link_rule: Option<LinkRule>,
    hosts: Vec<Option<Slot<H>>>,
    addresses: Addresses,
    nats: Vec<Router>,
    nat_ips: BTreeMap<IpAddr, NatId>,
    timers: Timers,
    events: Queue<Event>,
    streams: Streams,
    is_parted: bool,
    unreachable_after: Duration,
    trace: Trace,
    statistics: Statistics,
}

/// The link by sender and receiver.
type LinkRule = Box<dyn Fn(HostId, HostId) -> Link + Send>;

#[derive(Debug)]
struct Slot<H> {
    /// `None` while it is down.
    host: Option<H>,
    addresses: Vec<SocketAddr>,
    nat: Option<NatId>,
    /// The part of the partition in which it is.
    part: usize,
    /// How often it crashed.
    crashes: u32,
    traffic: Traffic,
    worked_at: u64,
    work: u32,
}

impl<H: Host> World<H> {
    /// An empty world, in which all hosts are linked in the same way until told otherwise.
    pub fn new(seed: u64, link: Link) -> Self {
        // No host can see where it begins, only what passes.
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the first")]
        let start = Instant::now();
        Self {
            start,
            now: 0,
            rng: Rng::new(seed),
            link,
            links: BTreeMap::new(),
            link_rule: None,
            hosts: Vec::new(),
            addresses: Addresses::default(),
            nats: Vec::new(),
            nat_ips: BTreeMap::new(),
            timers: Timers::default(),
            events: Queue::new(),
            streams: Streams::default(),
            is_parted: false,
            unreachable_after: UNREACHABLE_AFTER,
            trace: Trace::new(),
            statistics: Statistics::default(),
        }
    }

    /// Adds a host with an address. With port 0 it receives whatever is sent to the IP and is for
    /// no other host.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn spawn(&mut self, address: SocketAddr, host: H) -> HostId {
        self.insert(None, address, host)
    }

    /// Adds a host behind a NAT. Its address is unique there, and means nothing elsewhere.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn spawn_behind(&mut self, nat: NatId, address: SocketAddr, host: H) -> HostId {
        self.insert(Some(nat), address, host)
    }

    /// Adds a NAT.
    ///
    /// # Panics
    /// When another has its IP.
    pub fn add_nat(&mut self, nat: Nat) -> NatId {
        let id = NatId(self.nats.len() as u32);
        assert!(self.nat_ips.insert(nat.ip, id).is_none(), "{} is taken", nat.ip);
        self.nats.push(Router::new(nat));
        id
    }

    /// Gives a host one more address; see [`spawn`](Self::spawn).
    ///
    /// # Panics
    /// When the address is taken.
    pub fn add_address(&mut self, id: HostId, address: SocketAddr) {
        let slot = self.slot_mut(id);
        slot.addresses.push(address);
        let nat = slot.nat;
        self.addresses.insert(nat, address, id);
    }

    /// Takes an address from a host, so that another may have it. What is in flight still comes.
    pub fn remove_address(&mut self, id: HostId, address: SocketAddr) {
        let slot = self.slot_mut(id);
        let before = slot.addresses.len();
        slot.addresses.retain(|own| *own != address);
        let (nat, had) = (slot.nat, slot.addresses.len() < before);
        if had {
            self.addresses.remove(nat, address);
        }
    }

    /// Takes a host down at once, and returns what it was. Whatever is on its way to it is lost,
    /// also where it is [restarted](Self::restart) meanwhile. The datagrams that it sent go on;
    /// its segments do not. `None` where it is down.
    pub fn crash(&mut self, id: HostId) -> Option<H> {
        let slot = self.slot_mut(id);
        let host = slot.host.take()?;
        slot.crashes += 1;
        self.timers.set(id.0, None);
        self.streams.sender_gone(id);
        Some(host)
    }

    /// Starts a host at the addresses of one that [crashed](Self::crash), or still runs; then that
    /// crashes first, and is returned.
    pub fn restart(&mut self, id: HostId, host: H) -> Option<H> {
        let old = self.crash(id);
        self.slot_mut(id).host = Some(host);
        self.settle(id);
        old
    }

    /// Takes a host down for ever, and its addresses from it. `None` where it is down.
    pub fn remove(&mut self, id: HostId) -> Option<H> {
        let host = self.crash(id);
        let slot = self.hosts.get_mut(id.index()).and_then(Option::take);
        if let Some(slot) = slot {
            for address in slot.addresses {
                self.addresses.remove(slot.nat, address);
            }
        }
        host
    }

    /// Parts the network: hosts of one group reach one another, and those in no group one another.
    /// What is in flight between the parts is lost unless the network is whole when it comes.
    pub fn partition(&mut self, groups: &[&[HostId]]) {
        self.heal();
        self.is_parted = true;
        for (part, group) in groups.iter().enumerate() {
            for id in *group {
                self.slot_mut(*id).part = part + 1;
            }
        }
    }

    /// Ends a [`partition`](Self::partition).
    pub fn heal(&mut self) {
        self.is_parted = false;
        for slot in self.hosts.iter_mut().flatten() {
            slot.part = 0;
        }
    }

    /// Changes the link between all hosts that have none of their own, and ends a
    /// [rule](Self::set_link_rule).
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
        self.link_rule = None;
    }

    /// Gives what one host sends to another the link that the rule names, where it has none of its
    /// own. So each pair of thousands can have a latency without anybody keeping all of them; the
    /// rule must name the same whenever it is asked.
    pub fn set_link_rule(&mut self, rule: impl Fn(HostId, HostId) -> Link + Send + 'static) {
        self.link_rule = Some(Box::new(rule));
    }

    /// Gives what `from` sends to `to` a link of its own. The way back is another.
    pub fn set_link_between(&mut self, from: HostId, to: HostId, link: Link) {
        self.links.insert((from, to), link);
    }

    /// How long it takes until a sender is told that a segment was not delivered. 5 s.
    pub fn set_unreachable_after(&mut self, after: Duration) {
        self.unreachable_after = after;
    }

    /// Does something with a host, and takes what it sends then.
    ///
    /// # Panics
    /// When the host is down.
    pub fn with<R>(&mut self, id: HostId, act: impl FnOnce(&mut H, Instant) -> R) -> R {
        let now = self.now();
        let Some(host) = self.slot_mut(id).host.as_mut() else { panic!("{id:?} is down") };
        let result = act(host, now);
        self.settle(id);
        result
    }

    /// A host.
    ///
    /// # Panics
    /// When the host is down.
    pub fn host(&self, id: HostId) -> &H {
        let Some(host) = self.get(id) else { panic!("{id:?} is down") };
        host
    }

    /// A host, if it is there and up.
    pub fn get(&self, id: HostId) -> Option<&H> {
        self.hosts.get(id.index())?.as_ref()?.host.as_ref()
    }

    /// The hosts that are up.
    pub fn hosts(&self) -> impl Iterator<Item = (HostId, &H)> {
        let slots = self.hosts.iter().enumerate();
        slots.filter_map(|(at, slot)| Some((HostId(at as u32), slot.as_ref()?.host.as_ref()?)))
    }

    /// The first address of a host.
    ///
    /// # Panics
    /// When it has none any more.
    pub fn address(&self, id: HostId) -> SocketAddr {
        let Some(address) = self.slot(id).addresses.first() else {
            panic!("{id:?} has no address")
        };
        *address
    }

    /// What a host sent and received, in all its lives.
    pub fn traffic(&self, id: HostId) -> Traffic {
        self.slot(id).traffic
    }

    /// What became of all that was sent.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How many messages are on their way.
    pub fn in_flight(&self) -> usize {
        self.events.len() - self.streams.notices()
    }

    /// A hash of all that was delivered until now: when, from and to whom, how, and what. Two runs
    /// with one seed have the same.
    pub const fn trace(&self) -> u64 {
        self.trace.value()
    }

    /// The randomness of the world: for seeds, and whatever else a test chooses at random.
    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The instant that it is.
    pub fn now(&self) -> Instant {
        self.instant(self.now)
    }

    /// How long the world exists.
    pub const fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now.saturating_add(nanos(duration));
        while self.next_event().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until the condition holds, and says how long that took; `None` where it does
    /// not come to hold within `limit`. It is looked at in the beginning, and after each `interval`.
    ///
    /// # Panics
    /// When the interval is zero.
    pub fn run_until(
        &mut self,
        limit: Duration,
        interval: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        assert!(!interval.is_zero(), "an interval of zero");
        let start = self.now;
        let end = start.saturating_add(nanos(limit));
        while !condition(self) {
            if self.now >= end {
                return None;
            }
            self.run_for(interval.min(Duration::from_nanos(end - self.now)));
        }
        Some(Duration::from_nanos(self.now - start))
    }

    /// Goes to the next instant in which something happens, and does the first thing; `false` where
    /// nothing will ever happen.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_event() else { return false };
        self.now = at;
        if self.timers.first() == Some(at) {
            self.fire();
        } else if let Some(event) = self.events.pop() {
            self.handle(event);
        }
        true
    }

    fn next_event(&mut self) -> Option<u64> {
        match (self.timers.first(), self.events.first()) {
            (Some(timer), Some(event)) => Some(timer.min(event)),
            (timer, event) => timer.or(event),
        }
    }

    fn fire(&mut self) {
        let Some(host) = self.timers.pop() else { return };
        let id = HostId(host);
        let now = self.now();
        self.count_work(id);
        if let Some(host) = &mut self.slot_mut(id).host {
            host.handle_timeout(now);
        }
        self.settle(id);
    }

    /// Takes all that the host wants to send, and sets its timer.
    fn settle(&mut self, id: HostId) {
        loop {
            let Some(host) = &mut self.slot_mut(id).host else { return };
            let Some(transmit) = host.poll_transmit() else { break };
            self.count_work(id);
            self.send(id, transmit);
        }
        let timeout = self.get(id).and_then(Host::poll_timeout);
        let at = timeout.map(|at| nanos(at.saturating_duration_since(self.start)).max(self.now));
        self.timers.set(id.0, at);
    }

    fn count_work(&mut self, id: HostId) {
        let now = self.now;
        let slot = self.slot_mut(id);
        if slot.worked_at != now {
            (slot.worked_at, slot.work) = (now, 0);
        }
        slot.work += 1;
        assert!(
            slot.work <= MAX_WORK_PER_INSTANT,
            "{id:?} at {:?} sent or woke {MAX_WORK_PER_INSTANT} times at {:?}, and goes on",
            slot.addresses,
            Duration::from_nanos(now),
        );
    }

    fn insert(&mut self, nat: Option<NatId>, address: SocketAddr, host: H) -> HostId {
        let id = HostId(self.hosts.len() as u32);
        self.addresses.insert(nat, address, id);
        self.hosts.push(Some(Slot {
            host: Some(host),
            addresses: vec![address],
            nat,
            part: 0,
            crashes: 0,
            traffic: Traffic::default(),
            worked_at: 0,
            work: 0,
        }));
        self.settle(id);
        id
    }

    fn slot(&self, id: HostId) -> &Slot<H> {
        let Some(Some(slot)) = self.hosts.get(id.index()) else { panic!("there is no {id:?}") };
        slot
    }

    fn slot_mut(&mut self, id: HostId) -> &mut Slot<H> {
        let Some(Some(slot)) = self.hosts.get_mut(id.index()) else { panic!("there is no {id:?}") };
        slot
    }

    fn instant(&self, at: u64) -> Instant {
        self.start + Duration::from_nanos(at)
    }
}

impl<H> std::fmt::Debug for World<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("elapsed", &Duration::from_nanos(self.now))
            .field("hosts", &self.hosts.len())
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}
