//! The seam that decides whom to dial next.

use std::time::Instant;

use devp2p_core::{Node, NodeId};
use devp2p_dial::{Input, Outlook, Output, Refusal, Scheduler, Status};

/// Decides whom to dial next. Synchronous; time is an argument.
///
/// # Contract
/// - After its construction and after any `handle_*`, the caller drains
///   [`poll_output`](DialScheduler::poll_output) to `None` and then waits for
///   [`poll_timeout`](DialScheduler::poll_timeout).
/// - A node is not dialed twice at once: between its `Output::Dial` and the `Input::DialDone` of
///   that dial there is no second one.
/// - Before `Input::DialDone` the caller tells what became of it, `PeerAdded` or `Refused`, where
///   the dial got that far.
/// - A peer is gone with one of `PeerRemoved`, `PeerCollided` and `PeerUseless`.
/// - Each dial has an id of its own, and a node with an address; a name is asked for first, with
///   `Output::Resolve`, unless the [`Dialer`](crate::Dialer) takes names. Neither we ourselves nor connected nodes are dialed.
/// - A static node is dialed until it is connected, and again when it is gone; one that was removed
///   is not.
/// - A candidate that was taken is dialed, and one that was refused is not. One that is not wanted
///   is refused.
/// - Late calls do no harm, and ids that it does not know are ignored. At one moment the timer
///   fires a few times at most.
/// - What [`status`](DialScheduler::status) tells to be under way has been asked for, and is not
///   over.
/// - After `Input::Stop` there is no output.
///
/// The suite `contract::scheduler` (feature `test-util`) checks this.
pub trait DialScheduler: Send + 'static {
    /// Something happened.
    fn handle_input(&mut self, now: Instant, input: Input);

    /// A candidate from discovery.
    ///
    /// # Errors
    /// Why it is not dialed now.
    fn handle_candidate(&mut self, now: Instant, node: Node) -> Result<(), Refusal>;

    /// How many more candidates are wanted now.
    fn wanted_candidates(&self) -> usize;

    /// The time of [`poll_timeout`](DialScheduler::poll_timeout) has come.
    fn handle_timeout(&mut self, now: Instant);

    /// What to do next.
    fn poll_output(&mut self) -> Option<Output>;

    /// When to call [`handle_timeout`](DialScheduler::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether the node is in the static list.
    fn is_static(&self, id: NodeId) -> bool;

    /// How it stands with the dials, for whoever operates the node. Nothing depends on it; without
    /// an own one it tells how many candidates are wanted, and no more.
    fn status(&self, now: Instant) -> Status {
        let _ = now;
        let mut status = Status::default();
        status.wanted = self.wanted_candidates();
        status
    }

    /// What earlier dials of a node mean for the next one, for the same purpose; without an own one
    /// nothing.
    fn outlook(&self, now: Instant, id: NodeId) -> Outlook {
        let _ = (now, id);
        Outlook::default()
    }
}

impl DialScheduler for Scheduler {
    fn handle_input(&mut self, now: Instant, input: Input) {
        Self::handle_input(self, now, input);
    }

    fn handle_candidate(&mut self, now: Instant, node: Node) -> Result<(), Refusal> {
        Self::handle_candidate(self, now, node)
    }

    fn wanted_candidates(&self) -> usize {
        Self::wanted_candidates(self)
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn is_static(&self, id: NodeId) -> bool {
        Self::is_static(self, id)
    }

    fn status(&self, now: Instant) -> Status {
        Self::status(self, now)
    }

    fn outlook(&self, now: Instant, id: NodeId) -> Outlook {
        Self::outlook(self, now, id)
    }
}
