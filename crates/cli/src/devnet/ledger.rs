use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use devp2p_core::NodeId;
use tokio::sync::watch;

use super::protocol::QUOTA;

/// What the nodes are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Send messages.
    Running,
    /// Send what is left of the quota, and see that all is acknowledged.
    Finishing,
    /// The nodes are being stopped: sessions end.
    Stopping,
}

/// One account of what all nodes send and receive.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    nodes: BTreeMap<NodeId, usize>,
    phase: watch::Sender<Phase>,
    /// Bounded by the pairs of partners and the kills.
    sessions: Mutex<Vec<Arc<Session>>>,
    errors: Mutex<Vec<String>>,
}

/// What is known of one node apart from its sessions.
#[derive(Debug, Default)]
struct Account {
    /// How many times it was killed.
    life: AtomicU64,
    errors: AtomicU64,
}

/// One end of a session between two lives of two nodes. The counters are of `Data` messages.
#[derive(Debug)]
pub(super) struct Session {
    local: (usize, u64),
    remote: (usize, u64),
    /// Messages sent.
    pub(super) sent: AtomicU64,
    /// Messages that the remote has received and verified.
    pub(super) acknowledged: AtomicU64,
    /// Messages received and verified.
    pub(super) received: AtomicU64,
    /// The remote has sent all of its messages, and all have arrived.
    pub(super) remote_done: AtomicBool,
}

/// A sum over sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Messages sent.
    pub(super) sent: u64,
    /// Messages that the remote has received and verified.
    pub(super) acknowledged: u64,
    /// Messages received and verified.
    pub(super) received: u64,
}

/// How many errors are told; more are only counted.
const ERRORS_TOLD: usize = 20;

impl Ledger {
    /// An account of these nodes.
    pub(super) fn new(nodes: &[NodeId]) -> Self {
        Self {
            accounts: nodes.iter().map(|_| Account::default()).collect(),
            nodes: nodes.iter().enumerate().map(|(index, &id)| (id, index)).collect(),
            phase: watch::Sender::new(Phase::Running),
            sessions: Mutex::default(),
            errors: Mutex::default(),
        }
    }

    /// The index of the node with this id.
    pub(super) fn node(&self, id: NodeId) -> Option<usize> {
        self.nodes.get(&id).copied()
    }

    /// The phase, and its changes.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Tells all nodes what to do from now on.
    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// A node's present life: how many times it was killed.
    pub(super) fn life(&self, node: usize) -> u64 {
        self.accounts.get(node).map_or(0, |account| account.life.load(Ordering::Relaxed))
    }

    /// A node is about to be killed: the sessions of this life of it are expected to end.
    pub(super) fn kill(&self, node: usize) {
        if let Some(account) = self.accounts.get(node) {
            account.life.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the account of one end of a session.
    pub(super) fn open(&self, local: (usize, u64), remote: (usize, u64)) -> Arc<Session> {
        let session = Arc::new(Session {
            local,
            remote,
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            received: AtomicU64::new(0),
            remote_done: AtomicBool::new(false),
        });
        lock(&self.sessions).push(Arc::clone(&session));
        session
    }

    /// A session has ended; one that neither a kill nor the stop has ended is an error.
    pub(super) fn close(&self, session: &Session, why: Option<String>) {
        if self.was_killed(session) || *self.phase.borrow() == Phase::Stopping {
            return;
        }
        let why = why.unwrap_or_else(|| "for no reason".to_owned());
        let (local, remote) = (session.local.0, session.remote.0);
        self.error(local, format!("the session with node {remote} ended: {why}"));
    }

    /// Counts an error of a node.
    pub(super) fn error(&self, node: usize, what: String) {
        if let Some(account) = self.accounts.get(node) {
            account.errors.fetch_add(1, Ordering::Relaxed);
        }
        let mut errors = lock(&self.errors);
        if errors.len() < ERRORS_TOLD {
            errors.push(format!("node {node}: {what}"));
        }
    }

    /// The first errors, in words.
    pub(super) fn errors(&self) -> Vec<String> {
        lock(&self.errors).clone()
    }

    /// How many errors a node had.
    pub(super) fn error_count(&self, node: usize) -> u64 {
        self.accounts.get(node).map_or(0, |account| account.errors.load(Ordering::Relaxed))
    }

    /// Everything so far, sessions that a kill ended included.
    pub(super) fn progress(&self) -> Totals {
        lock(&self.sessions).iter().fold(Totals::default(), |totals, it| totals.plus(it))
    }

    /// One node's sessions that no kill ended.
    pub(super) fn totals(&self, node: usize) -> Totals {
        let sessions = lock(&self.sessions);
        let own = sessions.iter().filter(|it| it.local.0 == node && !self.was_killed(it));
        own.fold(Totals::default(), |totals, it| totals.plus(it))
    }

    /// Whether node `from` has a session with node `to` in which both have sent their quota, all
    /// of it is acknowledged, and all that `to` has sent has arrived.
    pub(super) fn is_complete(&self, from: usize, to: usize) -> bool {
        let sessions = lock(&self.sessions);
        let mut between = sessions.iter().filter(|it| it.local.0 == from && it.remote.0 == to);
        between.any(|it| !self.was_killed(it) && it.is_complete())
    }

    fn was_killed(&self, session: &Session) -> bool {
        [session.local, session.remote].iter().any(|&(node, life)| self.life(node) > life)
    }
}

impl Session {
    fn is_complete(&self) -> bool {
        let sent = self.sent.load(Ordering::Relaxed);
        sent >= QUOTA
            && sent == self.acknowledged.load(Ordering::Relaxed)
            && self.received.load(Ordering::Relaxed) >= QUOTA
            && self.remote_done.load(Ordering::Relaxed)
    }
}

impl Totals {
    fn plus(self, session: &Session) -> Self {
        let sum = |total: u64, more: &AtomicU64| total.saturating_add(more.load(Ordering::Relaxed));
        Self {
            sent: sum(self.sent, &session.sent),
            acknowledged: sum(self.acknowledged, &session.acknowledged),
            received: sum(self.received, &session.received),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every operation under the lock leaves the data whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
