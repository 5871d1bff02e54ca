use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeId, NodeKey};
use devp2p_dial::{
    Config, DialId, DialKind, Dialing, Input, Outcome, Output, Refusal, Scheduler, Status,
};
use devp2p_server::{DialScheduler, contract::scheduler};

use crate::support::foreign::first_come::FirstCome;

fn default_scheduler(local: NodeId, now: Instant) -> Scheduler {
    Scheduler::new(Config::new(local), [5; 32], now)
}

#[test]
fn the_scheduler() {
    scheduler::check(|local, now| Box::new(default_scheduler(local, now))).assert_kept();
}

#[test]
fn foreign() {
    scheduler::check(|local, _| Box::new(FirstCome::new(local, 8))).assert_kept();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Each dial comes twice.
    Stutter,
    /// One id for all dials.
    Nameless,
    /// The timer is always due.
    Restless,
    /// Output that waits at the stop still comes.
    Unstoppable,
    /// Static nodes stay for ever.
    Clinging,
    /// What discovery finds is never refused, and dialed only if it fits.
    Polite,
    /// Room for any number of candidates.
    Greedy,
    /// A dial that failed is not forgiven.
    Resentful,
    /// Who dialed us is not known to be connected.
    Forgetful,
    /// Ourselves, in the static list, are dialed like any other.
    Selfish,
    /// It says that it dials somebody whom it does not.
    Boastful,
}

#[test]
fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::Stutter, "one dial of a node"),
        (Flaw::Nameless, "one dial of a node"),
        (Flaw::Restless, "time stands still"),
        (Flaw::Unstoppable, "stop"),
        (Flaw::Clinging, "the static list"),
        (Flaw::Polite, "a candidate"),
        (Flaw::Greedy, "wanted candidates"),
        (Flaw::Resentful, "static nodes are dialed"),
        (Flaw::Forgetful, "connected nodes are left alone"),
        (Flaw::Selfish, "never ourselves"),
        (Flaw::Boastful, "status"),
    ] {
        let report = scheduler::check(|local, now| Box::new(Broken::new(local, now, flaw)));
        // One flaw of a machine shows in many places.
        assert!(report.violated().contains(&expected), "{flaw:?}: {report}");
    }
}

struct Broken {
    inner: Scheduler,
    flaw: Flaw,
    local: NodeId,
    now: Instant,
    extra: VecDeque<Output>,
    /// The ids that a nameless one does not tell.
    dials: VecDeque<DialId>,
    count: u64,
}

impl Broken {
    fn new(local: NodeId, now: Instant, flaw: Flaw) -> Self {
        let inner = default_scheduler(local, now);
        let (extra, dials) = (VecDeque::new(), VecDeque::new());
        Self { inner, flaw, local, now, extra, dials, count: 0 }
    }

    fn other_id(&mut self) -> DialId {
        self.count += 1;
        DialId::new(u64::MAX / 2 + self.count)
    }
}

impl DialScheduler for Broken {
    fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        let input = match (self.flaw, input) {
            (Flaw::Clinging, Input::RemoveStatic(_))
            | (Flaw::Unstoppable, Input::Stop)
            | (Flaw::Forgetful, Input::PeerAdded { dialed: false, .. })
            | (Flaw::Resentful, Input::DialDone { outcome: Outcome::ConnectFailed, .. }) => return,
            (Flaw::Nameless, Input::DialDone { outcome, .. }) => {
                let Some(dial) = self.dials.pop_front() else { return };
                Input::DialDone { dial, outcome }
            }
            (Flaw::Selfish, Input::AddStatic(node)) if node.id() == self.local => {
                let dial = self.other_id();
                return self.extra.push_back(Output::Dial { dial, node, kind: DialKind::Static });
            }
            (_, input) => input,
        };
        self.inner.handle_input(now, input);
    }

    fn handle_candidate(&mut self, now: Instant, node: Node) -> Result<(), Refusal> {
        self.now = now;
        let verdict = self.inner.handle_candidate(now, node);
        if self.flaw == Flaw::Polite { Ok(()) } else { verdict }
    }

    fn wanted_candidates(&self) -> usize {
        if self.flaw == Flaw::Greedy { 5 } else { self.inner.wanted_candidates() }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.inner.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let output = self.extra.pop_front().or_else(|| self.inner.poll_output())?;
        let Output::Dial { dial, node, kind } = output else { return Some(output) };
        match self.flaw {
            Flaw::Stutter if dial < DialId::new(u64::MAX / 2) => {
                let again = self.other_id();
                self.extra.push_back(Output::Dial { dial: again, node: node.clone(), kind });
                Some(Output::Dial { dial, node, kind })
            }
            Flaw::Nameless => {
                self.dials.push_back(dial);
                Some(Output::Dial { dial: DialId::new(0), node, kind })
            }
            _ => Some(Output::Dial { dial, node, kind }),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.flaw == Flaw::Restless { Some(self.now) } else { self.inner.poll_timeout() }
    }

    fn is_static(&self, id: NodeId) -> bool {
        self.inner.is_static(id)
    }

    fn status(&self, now: Instant) -> Status {
        let mut status = self.inner.status(now);
        if self.flaw == Flaw::Boastful {
            let node = Node::from(NodeKey::from_bytes(&[99; 32]).unwrap().public_key());
            status.dialing.push(Dialing::new(node, DialKind::Dynamic, Duration::ZERO));
        }
        status
    }
}
