use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Bounded by the slots of the nodes and the kills: any other end of a session is an error.
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
    /// How many messages this end is to send at least.
    pub(super) quota: u64,
    is_open: AtomicBool,
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

    /// Opens the account of one end of a session. One that comes when the messages are being
    /// finished has none to send.
    pub(super) fn open(&self, local: (usize, u64), remote: (usize, u64)) -> Arc<Session> {
        let is_running = *self.phase.borrow() == Phase::Running;
        let session = Arc::new(Session {
            local,
            remote,
            quota: if is_running { QUOTA } else { 0 },
            is_open: AtomicBool::new(true),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            received: AtomicU64::new(0),
            remote_done: AtomicBool::new(false),
        });
        let mut sessions = lock(&self.sessions);
        let has_same = sessions.iter().any(|it| {
            it.is_open.load(Ordering::Relaxed) && (it.local, it.remote) == (local, remote)
        });
        sessions.push(Arc::clone(&session));
        drop(sessions);
        if has_same {
            self.error(local.0, format!("a second session with node {}", remote.0));
        }
        session
    }

    /// A session has ended; one that neither a kill nor the stop has ended is an error.
    pub(super) fn close(&self, session: &Session, why: Option<String>) {
        session.is_open.store(false, Ordering::Relaxed);
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

    /// The partners with which a node has exchanged everything, both ways.
    pub(super) fn partners(&self, node: usize) -> BTreeSet<usize> {
        let sessions = lock(&self.sessions);
        let whole = |from, to| {
            let mut between = sessions.iter().filter(|it| (it.local.0, it.remote.0) == (from, to));
            between.any(|it| it.quota > 0 && !self.was_killed(it) && it.is_complete())
        };
        let own = sessions.iter().filter(|it| it.local.0 == node).map(|it| it.remote.0);
        own.filter(|&other| whole(node, other) && whole(other, node)).collect()
    }

    /// The sessions, as who sends and to whom, that no kill ended and in which something is missing
    /// at the one end or the other.
    pub(super) fn incomplete(&self) -> Vec<(usize, usize)> {
        let sessions = lock(&self.sessions);
        let due = sessions.iter().filter(|it| it.quota > 0 && !self.was_killed(it));
        due.filter(|it| !it.is_complete()).map(|it| (it.local.0, it.remote.0)).collect()
    }

    /// Who is connected with whom now.
    pub(super) fn links(&self) -> Vec<(usize, usize)> {
        let sessions = lock(&self.sessions);
        let open = sessions.iter().filter(|it| it.is_open.load(Ordering::Relaxed));
        open.filter(|it| !self.was_killed(it)).map(|it| (it.local.0, it.remote.0)).collect()
    }

    fn was_killed(&self, session: &Session) -> bool {
        [session.local, session.remote].iter().any(|&(node, life)| self.life(node) > life)
    }
}

impl Session {
    /// Whether all of the quota was sent, and all that was sent, either way, has arrived.
    fn is_complete(&self) -> bool {
        let sent = self.sent.load(Ordering::Relaxed);
        sent >= self.quota
            && sent == self.acknowledged.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = 0;

    /// Three nodes, and both ends of a session between the first two.
    fn pair() -> (Ledger, Arc<Session>, Arc<Session>) {
        let ledger = Ledger::new(&[1, 2, 3].map(|byte| NodeId::new([byte; 32])));
        let (left, right) = (ledger.open((0, LIFE), (1, LIFE)), ledger.open((1, LIFE), (0, LIFE)));
        (ledger, left, right)
    }

    /// One end has sent its messages, and the other has so many of them.
    fn deliver(from: &Session, to: &Session, arrived: u64) {
        from.sent.store(QUOTA, Ordering::Relaxed);
        from.acknowledged.store(arrived, Ordering::Relaxed);
        to.received.store(arrived, Ordering::Relaxed);
        to.remote_done.store(arrived == QUOTA, Ordering::Relaxed);
    }

    #[test]
    fn what_is_delivered_both_ways_is_whole() {
        let (ledger, left, right) = pair();
        assert_eq!(ledger.incomplete(), [(0, 1), (1, 0)]);
        deliver(&left, &right, QUOTA);
        assert!(ledger.partners(0).is_empty() && ledger.partners(1).is_empty());
        deliver(&right, &left, QUOTA);
        assert_eq!(ledger.incomplete(), []);
        assert_eq!((ledger.partners(0), ledger.partners(1)), ([1].into(), [0].into()));
        assert!(ledger.partners(2).is_empty());
        let whole = Totals { sent: QUOTA, acknowledged: QUOTA, received: QUOTA };
        assert_eq!((ledger.totals(0), ledger.totals(1)), (whole, whole));
    }

    #[test]
    fn a_message_that_is_lost_is_missed_at_both_ends() {
        let (ledger, left, right) = pair();
        deliver(&left, &right, QUOTA - 1);
        deliver(&right, &left, QUOTA);
        assert_eq!(ledger.incomplete(), [(0, 1), (1, 0)]);
        assert!(ledger.partners(0).is_empty());
        assert_eq!(ledger.totals(0).acknowledged, QUOTA - 1);
        assert_eq!(ledger.totals(1).received, QUOTA - 1);
    }

    #[test]
    fn a_kill_excuses_the_sessions_of_that_life_and_nothing_else() {
        let (ledger, left, right) = pair();
        let other = ledger.open((1, LIFE), (2, LIFE));
        ledger.kill(0);
        ledger.close(&right, None);
        ledger.close(&left, None);
        assert_eq!(ledger.errors(), [""; 0]);
        assert_eq!(ledger.incomplete(), [(1, 2)]);
        assert_eq!(ledger.links(), [(1, 2)]);

        // The next life answers for itself.
        let next = ledger.open((1, LIFE), (0, ledger.life(0)));
        assert_eq!(ledger.incomplete(), [(1, 2), (1, 0)]);
        ledger.close(&next, Some("too many peers".to_owned()));
        ledger.close(&other, None);
        assert_eq!(
            ledger.errors(),
            [
                "node 1: the session with node 0 ended: too many peers",
                "node 1: the session with node 2 ended: for no reason",
            ]
        );
        assert_eq!((ledger.error_count(1), ledger.error_count(0)), (2, 0));
        assert_eq!(ledger.incomplete(), [(1, 2), (1, 0)]);
        assert!(ledger.links().is_empty());
    }

    #[test]
    fn two_nodes_have_one_session_at_a_time() {
        let (ledger, left, right) = pair();
        ledger.set_phase(Phase::Stopping);
        ledger.close(&left, None);
        ledger.open((0, LIFE), (1, LIFE));
        assert_eq!(ledger.errors(), [""; 0]);
        ledger.open((1, LIFE), (0, LIFE));
        assert_eq!(ledger.errors(), ["node 1: a second session with node 0"]);
        drop(right);
    }

    #[test]
    fn who_comes_at_the_end_owes_nothing() {
        let (ledger, left, right) = pair();
        deliver(&left, &right, QUOTA);
        deliver(&right, &left, QUOTA);
        ledger.set_phase(Phase::Finishing);
        let late = [ledger.open((0, LIFE), (2, LIFE)), ledger.open((2, LIFE), (0, LIFE))];
        assert!(late.iter().all(|session| session.quota == 0));
        assert_eq!(ledger.incomplete(), []);
        assert_eq!(ledger.partners(0), [1].into());
    }
}
