//! A [`Core`] with a scheduler that records what it is told and dials whom the test names.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use devp2p_core::{Host, Node, NodeId, NodeKey, PublicKey};
use devp2p_dial::{DialId, DialKind, Input, Refusal};
use devp2p_peer::{Capability, Direction, DisconnectReason, End, Hello, Side};
use devp2p_server::{
    Admission, Core, CoreConfig, DialScheduler, Output, SetupFailure, SetupId, Unwelcome,
};

/// The number of our own node. Its id is greater than those of half of the others.
pub(crate) const OWN: u8 = 100;

pub(crate) fn key(n: u8) -> PublicKey {
    // Keys are dear to make and used often.
    static KEYS: Mutex<BTreeMap<u8, PublicKey>> = Mutex::new(BTreeMap::new());
    let make = || NodeKey::from_bytes(&[n.saturating_add(1); 32]).unwrap().public_key();
    *KEYS.lock().unwrap().entry(n).or_insert_with(make)
}

pub(crate) fn id(n: u8) -> NodeId {
    key(n).into()
}

pub(crate) fn node(n: u8) -> Node {
    Node::new(key(n), Some(Host::Ip(Ipv4Addr::new(10, 0, 0, n).into())), 30303, 0)
}

/// A node whose dials go before ours, and one whose dials do not.
pub(crate) fn smaller_and_greater() -> (u8, u8) {
    let find = |smaller| (0..OWN).find(|&n| (id(n) < id(OWN)) == smaller).unwrap();
    (find(true), find(false))
}

pub(crate) fn end(reason: DisconnectReason, side: Side) -> End {
    End::new(reason, side, None)
}

/// What the scheduler was told, in short: `added 3 dialed`, `done 1 Collided`.
pub(crate) type Told = Arc<Mutex<Vec<String>>>;

#[derive(Default)]
struct Recorder {
    told: Told,
    orders: Arc<Mutex<VecDeque<devp2p_dial::Output>>>,
}

impl DialScheduler for Recorder {
    fn handle_input(&mut self, _: Instant, input: Input) {
        // A crowd of others has no numbers.
        let n = |of: NodeId| (0..=OWN).find(|&n| id(n) == of).unwrap_or(u8::MAX);
        let told = match input {
            Input::PeerAdded { id, dialed, kind, .. } => {
                let how = if dialed { "dialed" } else { "inbound" };
                let kind = kind.map(|kind| format!(" {kind}")).unwrap_or_default();
                format!("added {} {how}{kind}", n(id))
            }
            Input::PeerRemoved { id } => format!("removed {}", n(id)),
            Input::PeerCollided { id } => format!("collided {}", n(id)),
            Input::PeerUseless { id } => format!("useless {}", n(id)),
            Input::Refused { id } => format!("refused {}", n(id)),
            Input::PendingInbound { id } => format!("pending {}", n(id)),
            Input::PendingInboundDone { id } => format!("no longer pending {}", n(id)),
            Input::DialDone { dial, outcome } => format!("done {dial} {outcome:?}"),
            Input::Resolved { id, result } => format!("resolved {} {}", n(id), result.is_some()),
            Input::AddStatic(node) => format!("static {}", n(node.id())),
            Input::RemoveStatic(id) => format!("not static {}", n(id)),
            Input::Stop => "stop".to_owned(),
            other => panic!("{other:?}"),
        };
        self.told.lock().unwrap().push(told);
    }

    fn handle_candidate(&mut self, _: Instant, _: Node) -> Result<(), Refusal> {
        Err(Refusal::NoSlot)
    }

    fn wanted_candidates(&self) -> usize {
        7
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self) -> Option<devp2p_dial::Output> {
        self.orders.lock().unwrap().pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(start())
    }

    fn is_static(&self, _: NodeId) -> bool {
        false
    }
}

#[expect(clippy::disallowed_methods, reason = "where virtual time begins")]
pub(crate) fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// The machine, its time, and its scheduler.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Instant,
    told: Told,
    orders: Arc<Mutex<VecDeque<devp2p_dial::Output>>>,
    dials: u64,
}

impl World {
    /// With room for two peers, one of them inbound, and for three inbound set-ups at a time.
    pub(crate) fn small() -> Self {
        Self::new(|config| {
            config.max_peers = 2;
            config.max_inbound = 1;
            config.max_pending_peers = 3;
        })
    }

    pub(crate) fn new(change: impl FnOnce(&mut CoreConfig)) -> Self {
        Self::build(change, &[])
    }

    /// With a scheduler that knows whom to dial from the beginning.
    pub(crate) fn with_orders(nodes: &[u8]) -> Self {
        Self::build(|_| {}, nodes)
    }

    fn build(change: impl FnOnce(&mut CoreConfig), orders: &[u8]) -> Self {
        let mut config = CoreConfig::new(id(OWN));
        change(&mut config);
        let recorder = Recorder::default();
        let mut dials = 0;
        for &n in orders {
            dials += 1;
            let (dial, kind) = (DialId::new(dials), DialKind::Static);
            let order = devp2p_dial::Output::Dial { dial, node: node(n), kind };
            recorder.orders.lock().unwrap().push_back(order);
        }
        let (told, orders) = (Arc::clone(&recorder.told), Arc::clone(&recorder.orders));
        let core = Core::new(config, Box::new(recorder), [7; 32]);
        Self { core, now: start(), told, orders, dials }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// What the scheduler was told since the last call.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// A stream from this address comes in.
    pub(crate) fn accept(&mut self, ip: impl Into<IpAddr>) -> Result<SetupId, Unwelcome> {
        let setup = self.core.take_slot().unwrap();
        let from = SocketAddr::new(ip.into(), 40_000);
        match self.core.handle_accepted(self.now, setup, Some(from)) {
            Ok(()) => Ok(setup),
            Err(why) => {
                self.core.handle_setup_ended(self.now, setup, SetupFailure::Refused);
                Err(why)
            }
        }
    }

    /// A stream of a private network comes in.
    pub(crate) fn inbound(&mut self) -> SetupId {
        self.accept(Ipv4Addr::new(10, 0, 0, 1)).unwrap()
    }

    /// The scheduler wants the node dialed, and the machine has it done.
    pub(crate) fn dial(&mut self, n: u8) -> SetupId {
        self.dial_as(node(n), DialKind::Static)
    }

    pub(crate) fn dial_as(&mut self, node: Node, kind: DialKind) -> SetupId {
        self.order_as(node, kind);
        self.core.handle_timeout(self.now);
        match self.outputs().pop() {
            Some(Output::Dial { setup, .. }) => setup,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn order(&mut self, n: u8) {
        self.order_as(node(n), DialKind::Static);
    }

    fn order_as(&mut self, node: Node, kind: DialKind) {
        self.dials += 1;
        let dial = DialId::new(self.dials);
        let order = devp2p_dial::Output::Dial { dial, node, kind };
        self.orders.lock().unwrap().push_back(order);
    }

    pub(crate) fn begin(&mut self, n: u8, direction: Direction) -> SetupId {
        match direction {
            Direction::Inbound => self.inbound(),
            Direction::Outbound => self.dial(n),
        }
    }

    pub(crate) fn secure(&mut self, setup: SetupId, n: u8) -> Result<(), DisconnectReason> {
        self.core.handle_secured(self.now, setup, key(n))
    }

    pub(crate) fn greet(&mut self, setup: SetupId, n: u8) -> Result<Admission, DisconnectReason> {
        self.greet_sharing(setup, n, &[Capability::new("test", 1)])
    }

    pub(crate) fn greet_sharing(
        &mut self,
        setup: SetupId,
        n: u8,
        shared: &[Capability],
    ) -> Result<Admission, DisconnectReason> {
        let hello = Hello::new(format!("node {n}"), vec![Capability::new("test", 1)], key(n));
        self.core.handle_hello(self.now, setup, &hello, shared, (None, None))
    }

    /// The same, where the stream tells from where it comes.
    pub(crate) fn greet_from(
        &mut self,
        setup: SetupId,
        n: u8,
        from: Option<IpAddr>,
    ) -> Result<Admission, DisconnectReason> {
        let shared = [Capability::new("test", 1)];
        let hello = Hello::new(format!("node {n}"), shared.to_vec(), key(n));
        let remote = from.map(|ip| SocketAddr::new(ip, 40_000));
        self.core.handle_hello(self.now, setup, &hello, &shared, (None, remote))
    }

    /// The whole way, which leads to a peer.
    pub(crate) fn admit(&mut self, n: u8, direction: Direction) {
        let setup = self.begin(n, direction);
        assert_eq!(self.secure(setup, n), Ok(()), "node {n} at the first checkpoint");
        assert_eq!(self.greet(setup, n), Ok(Admission::Added(id(n))), "node {n} at the second");
        self.outputs();
    }

    pub(crate) fn fail(&mut self, setup: SetupId, failure: SetupFailure) {
        self.core.handle_setup_ended(self.now, setup, failure);
    }

    pub(crate) fn drop_peer(&mut self, n: u8) {
        let end = end(DisconnectReason::NetworkError, Side::Remote);
        self.core.handle_peer_ended(self.now, id(n), end);
    }
}
