//! The suite of [`DialScheduler`].
//!
//! It needs no runtime: time is an argument, and a second takes none. Its clauses:
//!
//! - **static nodes are dialed**, and dialed again: after a failure, a refusal, a collision and the
//!   end of a connection.
//! - **the static list**: `is_static` tells what is in it, and who was removed is not dialed again.
//! - **connected nodes are left alone**: whoever dialed.
//! - **a candidate**: one that was taken is dialed, and one that was refused is not.
//! - **wanted candidates**: run out as candidates are taken, and one that is not wanted is refused.
//! - **never ourselves**.
//! - **dials have an address**: a name is asked for first.
//! - **one dial of a node**: at a time, and each with an id of its own, whatever happens in which
//!   order.
//! - **time stands still**: no timer fires for ever at one moment, and calls that come late do no
//!   harm.
//! - **unknown ids**: of dials and nodes are ignored.
//! - **status**: tells no dial or search to be under way that was not asked for, or is over.
//! - **stop**: is the end of all output.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{Host, Node, NodeId, Rng};
use devp2p_dial::{DialId, DialKind, Input, Outcome, Output};

use super::{Report, Seen, Suite, ensure, key, node_at, seen};
use crate::DialScheduler;

/// Longer than any scheduler should wait before it dials a static node again.
const PATIENCE: Duration = Duration::from_mins(10);

/// How many candidates may be wanted at one moment.
const TOO_MANY: usize = 1_000;

/// How often a timer may fire at one moment.
const TOO_OFTEN: usize = 1_000;

/// How many random steps are taken.
const STEPS: usize = 20_000;

/// Tries every clause. `scheduler` makes one for the node with this id, which starts at this time
/// and takes candidates.
pub fn check(scheduler: impl Fn(NodeId, Instant) -> Box<dyn DialScheduler>) -> Report {
    let mut suite = Suite::new("DialScheduler");
    let make = &|| World::new(&scheduler);
    suite.verdict("static nodes are dialed", static_nodes(make));
    suite.verdict("the static list", static_list(make));
    suite.verdict("connected nodes are left alone", connected(make));
    suite.verdict("a candidate", candidate(make));
    suite.verdict("wanted candidates", wanted(make));
    suite.verdict("never ourselves", ourselves(make));
    suite.verdict("dials have an address", addresses(make));
    suite.verdict("one dial of a node", one_dial(make));
    suite.verdict("time stands still", standstill(make));
    suite.verdict("unknown ids", unknown_ids(make));
    suite.verdict("status", status(make));
    suite.verdict("stop", stop(make));
    suite.report()
}

/// A scheduler, its time, and what it wants.
struct World {
    scheduler: Box<dyn DialScheduler>,
    now: Instant,
    local: Node,
    /// Dials that have not been answered.
    dials: BTreeMap<DialId, Node>,
    /// Nodes whose address it asks for.
    searches: Vec<Node>,
    used: BTreeSet<DialId>,
    peers: BTreeSet<NodeId>,
    /// The first thing that no scheduler may do.
    wrong: Option<String>,
}

impl World {
    fn new(make: &impl Fn(NodeId, Instant) -> Box<dyn DialScheduler>) -> Result<Self, Seen> {
        let now = super::start();
        let local = node(200)?;
        let mut world = Self {
            scheduler: make(local.id(), now),
            now,
            local,
            dials: BTreeMap::new(),
            searches: Vec::new(),
            used: BTreeSet::new(),
            peers: BTreeSet::new(),
            wrong: None,
        };
        world.drain();
        Ok(world)
    }

    fn input(&mut self, input: Input) {
        self.scheduler.handle_input(self.now, input);
        self.drain();
    }

    fn candidate(&mut self, node: &Node) -> bool {
        let taken = self.scheduler.handle_candidate(self.now, node.clone()).is_ok();
        self.drain();
        taken
    }

    fn drain(&mut self) {
        while let Some(output) = self.scheduler.poll_output() {
            match output {
                Output::Dial { dial, node, .. } => self.dial(dial, node),
                Output::Resolve { node } => self.searches.push(node),
                _ => {}
            }
        }
    }

    fn dial(&mut self, dial: DialId, node: Node) {
        let id = node.id();
        let wrong = if !self.used.insert(dial) {
            Some(format!("two dials have the id {dial}"))
        } else if self.dials.values().any(|other| other.id() == id) {
            Some(format!("a second dial of {id} before the first is done"))
        } else if self.peers.contains(&id) {
            Some(format!("a dial of {id}, which is a peer"))
        } else if id == self.local.id() {
            Some("a dial of ourselves".to_owned())
        } else if node.tcp_addrs().is_empty() {
            Some(format!("a dial of {id} without an address"))
        } else {
            None
        };
        self.wrong = self.wrong.take().or(wrong);
        self.dials.insert(dial, node);
    }

    /// Answers a dial.
    fn done(&mut self, dial: DialId, outcome: Outcome) {
        let Some(node) = self.dials.remove(&dial) else { return };
        let id = node.id();
        match outcome {
            Outcome::Added => {
                self.peers.insert(id);
                self.input(Input::PeerAdded {
                    id,
                    dialed: true,
                    kind: Some(DialKind::Static),
                    remote_addr: None,
                });
            }
            Outcome::Refused | Outcome::Useless => self.input(Input::Refused { id }),
            _ => {}
        }
        self.input(Input::DialDone { dial, outcome });
    }

    /// The dial of a node that is under way, or that comes within the patience.
    fn awaited(&mut self, id: NodeId) -> Option<DialId> {
        let until = self.now + PATIENCE;
        loop {
            let dial = self.dials.iter().find(|(_, node)| node.id() == id);
            if let Some((&dial, _)) = dial {
                return Some(dial);
            }
            // Nobody knows better.
            for node in std::mem::take(&mut self.searches) {
                self.input(Input::Resolved { id: node.id(), result: None });
            }
            if self.dials.values().any(|node| node.id() == id) {
                continue;
            }
            let next = self.scheduler.poll_timeout().filter(|&at| at <= until)?;
            self.now = self.now.max(next);
            self.timeout().ok()?;
        }
    }

    /// Lets timers fire at this moment until none is due.
    fn timeout(&mut self) -> Result<(), Seen> {
        for _ in 0..TOO_OFTEN {
            if self.scheduler.poll_timeout().is_none_or(|at| at > self.now) {
                return Ok(());
            }
            self.scheduler.handle_timeout(self.now);
            self.drain();
        }
        seen(format!("the timer fires {TOO_OFTEN} times at one moment"))
    }

    fn ensure_right(&mut self) -> Result<(), Seen> {
        self.wrong.take().map_or(Ok(()), seen)
    }
}

fn node(n: u8) -> Result<Node, Seen> {
    let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, n), 30_303));
    Ok(node_at(key(n)?.public_key(), address))
}

fn static_nodes(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let outcomes = [
        Outcome::ConnectFailed,
        Outcome::HandshakeFailed,
        Outcome::Refused,
        Outcome::Useless,
        Outcome::Collided,
    ];
    for outcome in outcomes {
        let mut world = make()?;
        let node = node(1)?;
        world.input(Input::AddStatic(node.clone()));
        let Some(first) = world.awaited(node.id()) else { return seen("no dial") };
        world.done(first, outcome);
        let Some(second) = world.awaited(node.id()) else {
            return seen(format!("no dial within {PATIENCE:?} of the outcome {outcome:?}"));
        };
        world.done(second, Outcome::Added);
        world.peers.remove(&node.id());
        world.input(match outcome {
            Outcome::Useless => Input::PeerUseless { id: node.id() },
            _ => Input::PeerRemoved { id: node.id() },
        });
        if world.awaited(node.id()).is_none() {
            return seen(format!("no dial within {PATIENCE:?} of the end of a connection"));
        }
    }
    Ok(())
}

fn static_list(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    let node = node(1)?;
    let is_static = |world: &World| world.scheduler.is_static(node.id());
    ensure(!is_static(&world), || "a stranger is static".to_owned())?;
    world.input(Input::AddStatic(node.clone()));
    ensure(is_static(&world), || "who was added is not static".to_owned())?;
    let Some(dial) = world.awaited(node.id()) else { return seen("no dial") };
    world.input(Input::RemoveStatic(node.id()));
    ensure(!is_static(&world), || "who was removed is static".to_owned())?;
    world.done(dial, Outcome::ConnectFailed);
    ensure(world.awaited(node.id()).is_none(), || "who was removed is dialed".to_owned())
}

fn connected(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let (mut world, node) = (make()?, node(1)?);
    let id = node.id();
    world.peers.insert(id);
    world.input(Input::PendingInbound { id });
    world.input(Input::PeerAdded { id, dialed: false, kind: None, remote_addr: None });
    world.input(Input::PendingInboundDone { id });
    world.input(Input::AddStatic(node.clone()));
    world.candidate(&node);
    ensure(world.awaited(id).is_none(), || "a dial of a node that had dialed us".to_owned())?;
    world.peers.remove(&id);
    world.input(Input::PeerRemoved { id });
    let Some(dial) = world.awaited(id) else { return seen("no dial once it is gone") };
    world.done(dial, Outcome::Added);
    ensure(world.awaited(id).is_none(), || "a dial of a node that we had dialed".to_owned())
}

fn candidate(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    ensure(world.scheduler.wanted_candidates() > 0, || "none is wanted".to_owned())?;
    let (first, nowhere) = (node(1)?, Node::new(key(2)?.public_key(), None, 0, 0));
    ensure(world.candidate(&first), || "the first one is refused".to_owned())?;
    ensure(world.awaited(first.id()).is_some(), || "it was taken and not dialed".to_owned())?;
    ensure(!world.candidate(&first), || "it was taken twice".to_owned())?;
    if !world.candidate(&nowhere) {
        let dialed = world.awaited(nowhere.id()).is_some();
        ensure(!dialed, || "it was refused and dialed".to_owned())?;
    }
    world.ensure_right()
}

fn wanted(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    let mut rng = Rng::from_seed([6; 32]);
    let mut next = || {
        // In a local network, so that no limit by address concerns it.
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 30_303));
        node_at(devp2p_core::NodeKey::from_rng(&mut rng).public_key(), address)
    };
    for _ in 0..TOO_MANY {
        let wanted = world.scheduler.wanted_candidates();
        let taken = world.candidate(&next());
        if wanted == 0 {
            return ensure(!taken, || "one that is not wanted is taken".to_owned());
        }
        ensure(taken, || format!("{wanted} are wanted, and a new one is refused"))?;
    }
    seen(format!("{TOO_MANY} were taken, and more are wanted"))
}

fn ourselves(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    let local = world.local.clone();
    world.candidate(&local);
    world.input(Input::AddStatic(local.clone()));
    world.awaited(local.id());
    world.ensure_right()
}

fn addresses(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    let key = key(1)?.public_key();
    let named = Node::new(key, Some(Host::Dns("node.example".to_owned())), 30_303, 30_303);
    world.input(Input::AddStatic(named.clone()));
    // A scheduler without use for names may leave it alone.
    if world.searches.pop().is_some() {
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        world.input(Input::Resolved { id: named.id(), result: Some(named.with_ip(ip)) });
        ensure(world.awaited(named.id()).is_some(), || "no dial once it is found".to_owned())?;
    }
    world.input(Input::AddStatic(Node::new(self::key(2)?.public_key(), None, 0, 0)));
    world.awaited(self::key(2)?.id());
    world.ensure_right()
}

fn one_dial(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    let mut rng = Rng::from_seed([8; 32]);
    let nodes = (1..=12).map(node).collect::<Result<Vec<_>, _>>()?;
    let outcomes = [
        Outcome::Added,
        Outcome::Refused,
        Outcome::Useless,
        Outcome::ConnectFailed,
        Outcome::HandshakeFailed,
        Outcome::Collided,
    ];
    for step in 0..STEPS {
        let Some(node) = pick(&mut rng, &nodes) else { continue };
        let id = node.id();
        match rng.below(9) {
            0 => world.input(Input::AddStatic(node.clone())),
            1 => world.input(Input::RemoveStatic(id)),
            2 => drop(world.candidate(node)),
            3 if world.peers.remove(&id) => world.input(Input::PeerRemoved { id }),
            4 if !world.peers.contains(&id) => {
                world.input(Input::PendingInbound { id });
                if rng.below(2) == 0 {
                    world.peers.insert(id);
                    world.input(Input::PeerAdded {
                        id,
                        dialed: false,
                        kind: None,
                        remote_addr: None,
                    });
                }
                world.input(Input::PendingInboundDone { id });
            }
            5 => {
                world.now += Duration::from_millis(rng.below(60_000));
                world.timeout()?;
            }
            6 => {
                let found = std::mem::take(&mut world.searches);
                for node in found {
                    let result = (rng.below(2) == 0).then(|| node.clone());
                    world.input(Input::Resolved { id: node.id(), result });
                }
            }
            _ => {
                let dials: Vec<_> = world.dials.keys().copied().collect();
                let Some(&dial) = pick(&mut rng, &dials) else { continue };
                let taken =
                    world.dials.get(&dial).is_some_and(|node| world.peers.contains(&node.id()));
                let outcome = pick(&mut rng, &outcomes).copied().unwrap_or(Outcome::Added);
                world.done(dial, if taken { Outcome::Collided } else { outcome });
            }
        }
        if let Err(Seen(what)) = world.ensure_right() {
            return seen(format!("at step {step}: {what}"));
        }
    }
    Ok(())
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> Option<&'a T> {
    let count = u64::try_from(from.len()).ok().filter(|&count| count > 0)?;
    from.get(usize::try_from(rng.below(count)).ok()?)
}

fn standstill(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    for n in 1..=20 {
        world.input(Input::AddStatic(node(n)?));
    }
    for _ in 0..200 {
        world.timeout()?;
        for dial in world.dials.keys().copied().collect::<Vec<_>>() {
            world.done(dial, Outcome::ConnectFailed);
        }
        for node in std::mem::take(&mut world.searches) {
            world.input(Input::Resolved { id: node.id(), result: None });
        }
        world.timeout()?;
        // As after the machine was asleep: whatever was due is late.
        world.now += Duration::from_hours(1);
    }
    world.ensure_right()
}

fn unknown_ids(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    let id = node(9)?.id();
    world.input(Input::DialDone { dial: DialId::new(u64::MAX), outcome: Outcome::Added });
    world.input(Input::PeerRemoved { id });
    world.input(Input::PeerUseless { id });
    world.input(Input::PendingInboundDone { id });
    world.input(Input::Refused { id });
    world.input(Input::RemoveStatic(id));
    world.input(Input::Resolved { id, result: Some(node(9)?) });
    ensure(world.awaited(id).is_none(), || "a dial of a stranger".to_owned())?;
    // And it works as before.
    world.input(Input::AddStatic(node(1)?));
    ensure(world.awaited(node(1)?.id()).is_some(), || "no dial of a static node".to_owned())
}

fn status(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    ensure_under_way(&world)?;
    for n in 1..=3 {
        world.input(Input::AddStatic(node(n)?));
    }
    world.candidate(&node(4)?);
    ensure_under_way(&world)?;
    for outcome in [Outcome::Added, Outcome::Refused, Outcome::ConnectFailed] {
        let first = world.dials.keys().next().copied();
        first.into_iter().for_each(|dial| world.done(dial, outcome));
        ensure_under_way(&world)?;
    }
    Ok(())
}

fn ensure_under_way(world: &World) -> Result<(), Seen> {
    for dialing in world.scheduler.status(world.now).dialing {
        let id = dialing.node.id();
        let mut asked_for = world.dials.values().chain(&world.searches);
        let is_under_way = asked_for.any(|node| node.id() == id);
        ensure(is_under_way, || format!("{id} is said to be dialed"))?;
    }
    Ok(())
}

fn stop(make: &impl Fn() -> Result<World, Seen>) -> Result<(), Seen> {
    let mut world = make()?;
    for n in 1..=30 {
        world.scheduler.handle_input(world.now, Input::AddStatic(node(n)?));
    }
    // Some output is waiting, and is not wanted any more.
    world.scheduler.handle_input(world.now, Input::Stop);
    let ensure_silent = |world: &mut World, when: &str| match world.scheduler.poll_output() {
        None => Ok(()),
        Some(output) => seen(format!("{output:?} {when}")),
    };
    ensure_silent(&mut world, "at the stop")?;
    world.scheduler.handle_input(world.now, Input::AddStatic(node(31)?));
    ensure_silent(&mut world, "after another static node")?;
    let _ = world.scheduler.handle_candidate(world.now, node(32)?);
    ensure_silent(&mut world, "after a candidate")?;
    ensure(world.scheduler.wanted_candidates() == 0, || "candidates are wanted".to_owned())?;
    world.now += Duration::from_hours(1);
    world.scheduler.handle_timeout(world.now);
    ensure_silent(&mut world, "an hour later")
}
