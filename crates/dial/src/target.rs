use std::time::Instant;

use devp2p_core::{Host, Node, Rng};

use crate::{
    Config,
    backoff::{Backoff, delay, random},
    deadlines::after,
};

/// After how many collisions in a row one more counts as a failure. Two nodes that draw their
/// delays from seconds do not meet so often by chance; a remote that goes on taking us for
/// connected does.
const MAX_COLLISIONS: u32 = 2;

/// A node that we dial, and what we learnt by it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) is_static: bool,
    pub(crate) is_bootnode: bool,
    node: Node,
    /// The node with the address found last, where its own is a name, is missing or was no good.
    found: Option<Node>,
    failures: u32,
    collisions: u32,
    /// When to dial again after a failure or a collision.
    retry_at: Option<Instant>,
    /// The search for an address before a dial.
    search: Backoff,
    /// The search for a newer address after a dial failed.
    renewal: Backoff,
}

/// What a dial begins with.
pub(crate) enum Step {
    /// Dial this address.
    Dial(Node),
    /// Find the node's address.
    Search(Node),
    /// Nothing before that time: no address is known, and the search for one failed.
    Wait(Instant),
}

impl Target {
    pub(crate) fn new(node: Node) -> Self {
        Self {
            is_static: false,
            is_bootnode: false,
            node,
            found: None,
            failures: 0,
            collisions: 0,
            retry_at: None,
            search: Backoff::default(),
            renewal: Backoff::default(),
        }
    }

    /// The node as it would be dialed, as far as known.
    pub(crate) fn node(&self) -> &Node {
        self.found.as_ref().unwrap_or(&self.node)
    }

    /// Replaces what is known of the address, and tells whether that changes it. What became of
    /// earlier dials stays.
    pub(crate) fn set_node(&mut self, node: Node) -> bool {
        let changed = node != self.node;
        self.node = node;
        self.found = None;
        self.search.reset();
        self.renewal.reset();
        changed
    }

    /// What the next dial begins with.
    pub(crate) fn step(&self, now: Instant, config: &Config) -> Step {
        if config.dial_names && self.is_named() {
            return Step::Dial(self.node.clone());
        }
        // A name is looked up before every dial, since its address may have changed.
        let named = self.is_named();
        let dialable = !self.node().tcp_addrs().is_empty();
        match self.search.pending(now) {
            _ if dialable && !named => Step::Dial(self.node().clone()),
            None => Step::Search(self.node.clone()),
            Some(_) if dialable => Step::Dial(self.node().clone()),
            Some(until) => Step::Wait(until),
        }
    }

    const fn is_named(&self) -> bool {
        matches!(self.node.host(), Some(Host::Dns(_)))
    }

    /// When its last failure or collision allows the next dial, where that is yet to come.
    pub(crate) fn backing_off(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|&until| until > now)
    }

    /// How many dials in a row did not lead to a peer.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn search_succeeded(&mut self, node: Node) {
        self.found = Some(node);
        self.search.reset();
    }

    /// Returns what an earlier search had found.
    pub(crate) fn search_failed(&mut self, now: Instant, config: &Config) -> Option<Node> {
        self.search.fail(now, &config.resolve_backoff);
        self.found.clone()
    }

    /// Whether to search for a newer address after a failed dial. Nodes that are dialed only once
    /// are not worth it.
    pub(crate) fn wants_renewal(&self, now: Instant, config: &Config) -> bool {
        let by_name = config.dial_names && self.is_named();
        !by_name && (self.is_static || self.is_bootnode) && self.renewal.pending(now).is_none()
    }

    pub(crate) fn renewal_succeeded(&mut self, node: Node) {
        self.found = Some(node);
        self.renewal.reset();
    }

    /// The search brought nothing, or the very address that had just failed. The address that the
    /// node was given with has its turn again: what a search finds may be older than that.
    pub(crate) fn renewal_failed(&mut self, now: Instant, config: &Config) {
        self.renewal.fail(now, &config.resolve_backoff);
        if !self.node.tcp_addrs().is_empty() {
            self.found = None;
        }
    }

    /// A dial that began at `started` did not lead to a peer.
    pub(crate) fn failed(&mut self, started: Instant, config: &Config) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(after(started, delay(&config.static_backoff, self.failures)));
    }

    /// A dial collided. Tells whether to dial again soon, which is not so if it happens too often.
    pub(crate) fn collided(&mut self, now: Instant, config: &Config, rng: &mut Rng) -> bool {
        self.collisions = self.collisions.saturating_add(1);
        let again = self.collisions <= MAX_COLLISIONS;
        if again {
            self.retry_at = Some(after(now, random(&config.collision_backoff, rng)));
        } else {
            self.collisions = 0;
        }
        again
    }

    /// The node is a peer: what failed before no longer counts. Collisions do: the remote may take
    /// this very connection for a second one.
    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    /// The node was a peer, and no collision ended that.
    pub(crate) const fn parted(&mut self) {
        self.collisions = 0;
    }
}
