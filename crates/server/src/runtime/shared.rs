use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use devp2p_core::{Host, Node, NodeId};
use devp2p_dial::DialKind;
use devp2p_peer::{MessageDirection, MessageEvent, Protocol};
use tokio::{
    runtime::Handle,
    sync::{Notify, broadcast, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error};

use super::{now, own_record::OwnRecord, setup};
use crate::{
    Core, Dialer, Discovery, Event, Multiplexer, NodeDb, Output, PeerAdd, PeerControl, PeerInfo,
    PeerMessage, PortStatus, SetupId, Transport, event::EVENT_BUFFER, probe::Probe,
};

/// What is called with every new peer, before anybody else hears of it.
pub(crate) type PeerHook = Box<dyn Fn(&PeerInfo) + Send + Sync>;

/// The parts that can be swapped.
pub(crate) struct Seams {
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) multiplexer: Arc<dyn Multiplexer>,
    pub(crate) discovery: Box<dyn Discovery>,
    pub(crate) protocols: Vec<Protocol>,
    /// How many candidates the dial filter has refused.
    pub(crate) filtered: Arc<AtomicU64>,
    pub(crate) on_peer: Option<PeerHook>,
    pub(crate) node_db: Arc<dyn NodeDb>,
    pub(crate) probe: Probe,
    #[cfg(feature = "discv4")]
    pub(crate) discv4: Option<devp2p_discv4::Handle>,
    #[cfg(feature = "discv5")]
    pub(crate) discv5: Option<devp2p_discv5::Handle>,
}

/// What all tasks of one server share.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) multiplexer: Arc<dyn Multiplexer>,
    /// Until the stop, which drops it.
    pub(super) discovery: Mutex<Option<Box<dyn Discovery>>>,
    pub(crate) protocols: Vec<Protocol>,
    /// How many candidates the dial filter has refused.
    pub(crate) filtered: Arc<AtomicU64>,
    on_peer: Option<PeerHook>,
    pub(crate) probe: Probe,
    /// Wanted, and not begun yet: no more than the scheduler has in flight.
    dials: Mutex<VecDeque<(SetupId, Node, DialKind)>>,
    events: Mutex<Option<broadcast::Sender<Event>>>,
    pub(crate) record: Arc<OwnRecord>,
    /// The way to discovery v4, where it runs.
    #[cfg(feature = "discv4")]
    pub(crate) discv4: Option<devp2p_discv4::Handle>,
    /// The way to discovery v5, where it runs.
    #[cfg(feature = "discv5")]
    pub(crate) discv5: Option<devp2p_discv5::Handle>,
    /// The tasks that have the UDP sockets, until the stop, which waits for their end before it
    /// disconnects the peers: that of discovery v4 first.
    pub(crate) udp: Mutex<Vec<JoinHandle<()>>>,
    /// What the port mapper has told, where there is one.
    pub(crate) ports: Mutex<Option<PortStatus>>,
    /// Closed last of all.
    pub(crate) node_db: Arc<dyn NodeDb>,
    /// Held by whoever writes the bans to it.
    pub(crate) writing_bans: Mutex<()>,
    pub(super) setup_timeout: Duration,
    /// Where tasks run, also those that a call from outside of the runtime begins.
    runtime: Handle,
    /// Every task but the one that ends the others.
    pub(crate) tasks: TaskTracker,
    /// Stop: nothing new is begun, and every set-up is dropped.
    pub(crate) quit: CancellationToken,
    /// What has not ended in time after the stop is dropped.
    pub(super) kill: CancellationToken,
    /// Whether all tasks have ended.
    pub(crate) stopped: watch::Sender<bool>,
    /// The machine's state changed: the run loop looks at its timer again.
    pub(super) changed: Notify,
    /// A slot for an inbound connection may be free.
    pub(super) slot_freed: Notify,
    /// A set-up has ended or was refused: one that waits for another asks again.
    pub(super) setup_settled: Notify,
    /// A peer is gone.
    pub(crate) peer_gone: Notify,
    /// The listener accepts connections, or will as soon as there is a slot.
    pub(crate) is_listening: AtomicBool,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) core: Core,
    /// A handle for each of the machine's peers.
    pub(crate) controls: BTreeMap<NodeId, Arc<dyn PeerControl>>,
}

impl Shared {
    pub(crate) fn new(
        core: Core,
        record: Arc<OwnRecord>,
        seams: Seams,
        events: broadcast::Sender<Event>,
        setup_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { core, controls: BTreeMap::new() }),
            dialer: seams.dialer,
            transport: seams.transport,
            multiplexer: seams.multiplexer,
            discovery: Mutex::new(Some(seams.discovery)),
            protocols: seams.protocols,
            filtered: seams.filtered,
            on_peer: seams.on_peer,
            probe: seams.probe,
            dials: Mutex::default(),
            events: Mutex::new(Some(events)),
            record,
            #[cfg(feature = "discv4")]
            discv4: seams.discv4,
            #[cfg(feature = "discv5")]
            discv5: seams.discv5,
            udp: Mutex::default(),
            ports: Mutex::default(),
            node_db: seams.node_db,
            writing_bans: Mutex::default(),
            setup_timeout,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            quit: CancellationToken::new(),
            kill: CancellationToken::new(),
            stopped: watch::Sender::new(false),
            changed: Notify::new(),
            slot_freed: Notify::new(),
            setup_settled: Notify::new(),
            peer_gone: Notify::new(),
            is_listening: AtomicBool::new(false),
        })
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&lock(&self.state))
    }

    /// Tells the machine something, and does what it wants done in answer.
    pub(crate) fn tell<T>(self: &Arc<Self>, tell: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = now();
        let mut outputs = Vec::new();
        let result = {
            let mut state = lock(&self.state);
            let result = tell(&mut state, now);
            while let Some(output) = state.core.poll_output() {
                match output {
                    // Under the lock: once it is free, the node may be added again, and its `add`
                    // must not come before this `drop`.
                    Output::Dropped(drop) => {
                        let control = state.controls.remove(&drop.id);
                        self.probe.handle_gone(&state, &drop, control.as_deref());
                        self.emit(Event::Drop(drop));
                        self.peer_gone.notify_waiters();
                    }
                    output => outputs.push(output),
                }
            }
            result
        };
        // Outside of the lock: what belongs to the user may call back. Nor may it panic here, where
        // a set-up or a peer that nobody runs would be left behind.
        for output in outputs {
            if catch_unwind(AssertUnwindSafe(|| self.execute(output))).is_err() {
                error!("A hook or a part of the server panicked");
            }
        }
        self.changed.notify_one();
        result
    }

    fn execute(self: &Arc<Self>, output: Output) {
        match output {
            Output::Dial { setup, node, kind } => {
                lock(&self.dials).push_back((setup, node, kind));
            }
            Output::Resolve { node } => self.spawn(resolve(Arc::clone(self), node)),
            Output::Disconnect { id, reason } => {
                let control = self.read(|state| state.controls.get(&id).cloned());
                match control {
                    Some(control) if self.quit.is_cancelled() => control.stop(),
                    Some(control) => control.disconnect(reason),
                    None => {}
                }
            }
            Output::Added { id } => self.announce(id),
            // Done under the lock.
            Output::Dropped(_) => {}
        }
    }

    /// Tells of a new peer: the hook first, then the event.
    fn announce(&self, id: NodeId) {
        let now = now();
        let Some(mut info) = self.read(|state| state.peer_info(now, id)) else { return };
        let added = Event::Add(PeerAdd {
            id,
            name: info.name.clone(),
            shared: info.shared.clone(),
            direction: info.direction,
            local_addr: info.local_addr,
            remote_addr: info.remote_addr,
        });
        if let Some(on_peer) = &self.on_peer {
            let hook = || {
                self.ask_protocols(&mut info);
                on_peer(&info);
            };
            if catch_unwind(AssertUnwindSafe(hook)).is_err() {
                error!(%id, "The on_peer hook panicked");
            }
        }
        self.emit(added);
    }

    /// Begins the dials that the machine wants: from the run loop alone, so that dials that fail at
    /// once cannot begin each other without end.
    pub(super) fn begin_dials(self: &Arc<Self>) {
        loop {
            let next = lock(&self.dials).pop_front();
            let Some((setup, node, kind)) = next else { return };
            let slot = setup::Slot::new(Arc::clone(self), setup);
            self.spawn(setup::dial(slot, node, kind));
        }
    }

    /// Runs a task that the stop waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    pub(crate) fn emit(&self, event: Event) {
        if let Some(events) = lock(&self.events).as_ref() {
            // An error says that nobody listens.
            let _ = events.send(event);
        }
    }

    pub(crate) fn subscribe(&self) -> Option<broadcast::Receiver<Event>> {
        lock(&self.events).as_ref().map(broadcast::Sender::subscribe)
    }

    /// The last event was sent.
    pub(super) fn close_events(&self) {
        *lock(&self.events) = None;
    }

    pub(crate) fn peer_infos(&self) -> Vec<PeerInfo> {
        let now = now();
        let mut infos: Vec<_> = self.read(|state| {
            state.core.peers().filter_map(|(&id, _)| state.peer_info(now, id)).collect()
        });
        infos.iter_mut().for_each(|info| self.ask_protocols(info));
        infos
    }

    pub(crate) fn peer_info(&self, id: NodeId) -> Option<PeerInfo> {
        let now = now();
        let mut info = self.read(|state| state.peer_info(now, id))?;
        self.ask_protocols(&mut info);
        Some(info)
    }

    /// Adds what the subprotocols know of a peer; not under the lock, since they are the user's.
    fn ask_protocols(&self, info: &mut PeerInfo) {
        for protocol in &self.protocols {
            let capability = protocol.capability();
            if info.shared.contains(&capability) {
                info.protocols.insert(capability.name, protocol.peer_info(info.id));
            }
        }
    }
}

impl State {
    fn peer_info(&self, now: Instant, id: NodeId) -> Option<PeerInfo> {
        let entry = self.core.peer(id)?;
        let control = self.controls.get(&id);
        Some(PeerInfo {
            id,
            public_key: entry.public_key,
            name: entry.name.clone(),
            capabilities: entry.capabilities.clone(),
            shared: entry.shared.clone(),
            local_addr: entry.local_addr,
            remote_addr: entry.remote_addr,
            direction: entry.direction,
            is_static: self.core.is_static(id),
            is_trusted: entry.trusted,
            age: now.saturating_duration_since(entry.added_at),
            rtt: control.and_then(|control| control.rtt()),
            traffic: control.map(|control| control.traffic()).unwrap_or_default(),
            meters: control.map(|control| control.meters()).unwrap_or_default(),
            protocols: BTreeMap::new(),
        })
    }
}

/// A lock that a panic has poisoned is taken all the same: the machine's state is whole between
/// its own steps, and what a user's part left undone there is that part's affair.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks a node's address up: a host name with the dialer, an id with discovery.
async fn resolve(shared: Arc<Shared>, node: Node) {
    let id = node.id();
    let lookup = async {
        match node.host() {
            Some(Host::Dns(name)) => match shared.dialer.resolve(name).await {
                // geth's choice: the first address.
                Ok(found) => found.first().map(|&ip| node.with_ip(ip)),
                Err(error) => {
                    debug!(%node, err = %error, "DNS lookup of dial target failed");
                    None
                }
            },
            _ => {
                let key = node.public_key();
                let lookup = lock(&shared.discovery).as_ref().map(|source| source.resolve(key));
                lookup?.await
            }
        }
    };
    let Some(result) = shared.quit.run_until_cancelled(lookup).await else { return };
    shared.tell(|state, now| state.core.handle_resolved(now, id, result));
}

/// A channel for events.
pub(crate) fn event_channel() -> broadcast::Sender<Event> {
    broadcast::Sender::new(EVENT_BUFFER)
}

/// The event for a message of a subprotocol.
pub(crate) fn message_event(id: NodeId, event: &MessageEvent<'_>) -> Event {
    let message =
        PeerMessage { id, capability: event.capability.clone(), code: event.id, size: event.size };
    match event.direction {
        MessageDirection::Sent => Event::MsgSend(message),
        MessageDirection::Received => Event::MsgRecv(message),
    }
}
