//! Whatever happens in whatever order, the invariants hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use devp2p_core::NodeId;
use devp2p_peer::{Direction, DisconnectReason, Side};
use devp2p_server::{Admission, Output, SetupFailure, SetupId};
use proptest::{collection::vec, prelude::*};

use super::world::{OWN, World, end, id, node};

const NODES: u8 = 8;
const MAX_PEERS: usize = 4;
const MAX_INBOUND: usize = 2;
const MAX_PENDING: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    TakeSlot,
    HandIn(Direction),
    Dial(u8),
    Secure(usize, u8),
    Greet(usize, bool),
    Fail(usize, SetupFailure),
    PeerEnds(u8, DisconnectReason),
    Trust(u8),
    Distrust(u8),
    AddStatic(u8),
    Remove(u8),
    Wait(u64),
    Stop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Our own node among them.
    let n = || (0..=NODES).prop_map(|n| if n == NODES { OWN } else { n });
    let direction = || prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)];
    let failure = prop_oneof![
        Just(SetupFailure::Connect),
        Just(SetupFailure::SecureHandshake),
        Just(SetupFailure::Hello),
        Just(SetupFailure::Deadline),
        Just(SetupFailure::RefusedByRemote(DisconnectReason::AlreadyConnected)),
        Just(SetupFailure::RefusedByRemote(DisconnectReason::UselessPeer)),
    ];
    let reason = prop_oneof![
        Just(DisconnectReason::AlreadyConnected),
        Just(DisconnectReason::NetworkError),
        Just(DisconnectReason::Requested),
        Just(DisconnectReason::UselessPeer),
    ];
    let op = prop_oneof![
        4 => Just(Op::TakeSlot),
        2 => direction().prop_map(Op::HandIn),
        4 => n().prop_map(Op::Dial),
        12 => (0..6_usize, n()).prop_map(|(setup, n)| Op::Secure(setup, n)),
        12 => (0..6_usize, any::<bool>()).prop_map(|(setup, shared)| Op::Greet(setup, shared)),
        4 => (0..6_usize, failure).prop_map(|(setup, failure)| Op::Fail(setup, failure)),
        4 => (n(), reason).prop_map(|(n, reason)| Op::PeerEnds(n, reason)),
        1 => n().prop_map(Op::Trust),
        1 => n().prop_map(Op::Distrust),
        1 => n().prop_map(Op::AddStatic),
        1 => n().prop_map(Op::Remove),
        1 => (0..60_u64).prop_map(Op::Wait),
    ];
    // A stop among many.
    (vec(op, 0..120), any::<Option<proptest::sample::Index>>()).prop_map(|(mut ops, stop)| {
        if let Some(at) = stop
            && !ops.is_empty()
        {
            let at = at.index(ops.len());
            ops.insert(at, Op::Stop);
        }
        ops
    })
}

/// A set-up, as the test knows it.
#[derive(Clone, Copy, Debug)]
struct Setup {
    id: SetupId,
    direction: Direction,
    expected: Option<u8>,
    takes_slot: bool,
    remote: Option<u8>,
    refused: bool,
}

struct Model {
    world: World,
    setups: Vec<Setup>,
    trusted: BTreeSet<u8>,
    /// Connected when their trust ended: they may be above the limits.
    demoted: BTreeSet<NodeId>,
    connected: BTreeMap<NodeId, Direction>,
    dials: u64,
    stopped: bool,
}

impl Model {
    fn new() -> Self {
        Self {
            world: World::new(|config| {
                config.max_peers = MAX_PEERS;
                config.max_inbound = MAX_INBOUND;
                config.max_pending_peers = MAX_PENDING;
            }),
            setups: Vec::new(),
            trusted: BTreeSet::new(),
            demoted: BTreeSet::new(),
            connected: BTreeMap::new(),
            dials: 0,
            stopped: false,
        }
    }

    fn begun(&mut self, id: Option<SetupId>, direction: Direction, expected: Option<u8>) {
        let free = self.has_free_slot(direction);
        assert_eq!(id.is_some(), free, "a slot exactly where one is free");
        self.push(id, direction, expected, true);
    }

    fn has_free_slot(&self, direction: Direction) -> bool {
        let taken = self.setups.iter().filter(|it| it.takes_slot && it.direction == direction);
        !self.stopped && taken.count() < MAX_PENDING
    }

    fn push(
        &mut self,
        id: Option<SetupId>,
        direction: Direction,
        expected: Option<u8>,
        takes_slot: bool,
    ) {
        let setup =
            |id| Setup { id, direction, expected, takes_slot, remote: None, refused: false };
        self.setups.extend(id.map(setup));
    }

    fn run(&mut self, op: Op) {
        let now = self.world.now;
        match op {
            Op::TakeSlot => {
                let id = self.world.core.take_slot();
                self.begun(id, Direction::Inbound, None);
            }
            Op::HandIn(direction) => {
                let expected = (direction == Direction::Outbound).then_some(1);
                let id = self.world.core.begin_setup(direction, expected.map(id));
                self.begun(id, direction, expected);
            }
            Op::Dial(n) => {
                // As the contract of the scheduler says: none twice at once.
                let dialing = self.setups.iter().any(|setup| setup.expected == Some(n));
                if !self.stopped && !dialing {
                    let setup = self.world.dial(n);
                    self.dials += 1;
                    self.push(Some(setup), Direction::Outbound, Some(n), false);
                }
            }
            Op::Secure(which, n) => {
                if let Some(setup) = self.setups.get_mut(which)
                    && setup.remote.is_none()
                {
                    // A dial reaches whom it was for, most of the time.
                    let n = setup.expected.filter(|_| n != 0).unwrap_or(n);
                    setup.remote = Some(n);
                    setup.refused = self.world.secure(setup.id, n).is_err();
                }
            }
            Op::Greet(which, shared) => self.greet(which, shared),
            Op::Fail(which, failure) => {
                if which < self.setups.len() {
                    let setup = self.setups.remove(which);
                    let failure = if setup.refused { SetupFailure::Refused } else { failure };
                    self.world.fail(setup.id, failure);
                }
            }
            Op::PeerEnds(n, reason) => {
                let end = end(reason, Side::Remote);
                self.world.core.handle_peer_ended(now, id(n), end);
            }
            Op::Trust(n) => {
                self.trusted.insert(n);
                self.demoted.remove(&id(n));
                self.world.core.add_trusted_peer(id(n));
            }
            Op::Distrust(n) => {
                if self.trusted.remove(&n) && self.connected.contains_key(&id(n)) {
                    self.demoted.insert(id(n));
                }
                self.world.core.remove_trusted_peer(id(n));
            }
            Op::AddStatic(n) => self.world.core.add_peer(now, node(n)),
            Op::Remove(n) => {
                let connected = self.world.core.remove_peer(now, id(n));
                assert_eq!(connected, self.connected.contains_key(&id(n)));
            }
            Op::Wait(seconds) => self.world.wait(Duration::from_secs(seconds)),
            Op::Stop => {
                self.stopped = true;
                self.world.core.stop(now);
            }
        }
        self.drain();
        self.check();
    }

    fn greet(&mut self, which: usize, shared: bool) {
        let Some(setup) = self.setups.get_mut(which) else { return };
        let Some(n) = setup.remote.filter(|_| !setup.refused) else { return };
        let shared = if shared { vec![devp2p_peer::Capability::new("test", 1)] } else { vec![] };
        match self.world.greet_sharing(setup.id, n, &shared) {
            Ok(Admission::Added(added)) => {
                assert_eq!(added, id(n));
                self.setups.remove(which);
            }
            Ok(Admission::Wait) => {
                // For a connection of the same node and of the other direction, undecided too.
                let direction = setup.direction;
                assert!(self.setups.iter().any(|other| {
                    other.remote == Some(n) && other.direction != direction && !other.refused
                }));
            }
            Err(_) => setup.refused = true,
        }
    }

    /// Additions and drops of one peer take turns.
    fn drain(&mut self) {
        for output in self.world.outputs() {
            match output {
                Output::Added { id } => {
                    let direction = self.world.core.peer(id).unwrap().direction;
                    assert!(!self.stopped);
                    assert!(self.connected.insert(id, direction).is_none(), "added twice");
                }
                Output::Dropped(drop) => {
                    assert_eq!(self.connected.remove(&drop.id), Some(drop.direction));
                    self.demoted.remove(&drop.id);
                }
                Output::Disconnect { id, .. } => assert!(self.connected.contains_key(&id)),
                output => panic!("{output:?}"),
            }
        }
    }

    fn check(&self) {
        let core = &self.world.core;
        let ids: Vec<NodeId> = core.peers().map(|(&id, _)| id).collect();
        assert_eq!(ids, self.connected.keys().copied().collect::<Vec<_>>());
        assert!(!ids.contains(&id(OWN)), "we are no peer of ours");
        let trusted: BTreeSet<NodeId> = self.trusted.iter().map(|&n| id(n)).collect();
        let bound = |limit: usize, inbound: bool| {
            let public = core.peers().filter(|(id, peer)| {
                assert_eq!(peer.trusted, trusted.contains(id));
                !peer.trusted && (!inbound || peer.direction == Direction::Inbound)
            });
            assert!(public.count() <= limit + self.demoted.len());
        };
        bound(MAX_PEERS, false);
        bound(MAX_INBOUND, true);
        assert!(ids.len() <= MAX_PEERS + self.trusted.len() + self.demoted.len());
        assert_eq!(core.pending(), self.setups.len(), "no set-up is lost, and none stays");
    }

    /// Ends everything, then looks at the whole story that the scheduler was told.
    fn finish(mut self) {
        while !self.setups.is_empty() {
            self.run(Op::Fail(0, SetupFailure::Deadline));
        }
        for n in 0..NODES {
            self.run(Op::PeerEnds(n, DisconnectReason::Quitting));
        }
        assert_eq!((self.world.core.pending(), self.world.core.peers().len()), (0, 0));
        if !self.stopped {
            let slots = (0..).map_while(|_: u8| self.world.core.take_slot()).count();
            assert_eq!(slots, MAX_PENDING, "no slot has leaked");
        }

        let told = self.world.told();
        let done = told.iter().filter(|told| told.starts_with("done")).count();
        assert_eq!(u64::try_from(done).unwrap(), self.dials, "each dial was done once: {told:?}");
        let mut peers = BTreeSet::new();
        for (index, line) in told.iter().enumerate() {
            let mut words = line.split(' ');
            match (words.next().unwrap(), words.next().unwrap_or_default()) {
                ("added", n) => assert!(peers.insert(n), "{told:?}"),
                ("removed" | "collided" | "useless", n) => assert!(peers.remove(n), "{told:?}"),
                ("done", _) if line.ends_with(" Added") => {
                    let before = &told[index - 1];
                    assert!(before.starts_with("added") && before.contains("dialed"), "{told:?}");
                }
                ("done", _) if line.ends_with(" Refused") => {
                    assert!(told[..index].iter().any(|line| line.starts_with("refused")));
                }
                _ => {}
            }
        }
        assert!(peers.is_empty(), "{told:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_operations_breaks_the_rules(ops in ops()) {
        let mut model = Model::new();
        for op in ops {
            model.run(op);
        }
        model.finish();
    }
}
