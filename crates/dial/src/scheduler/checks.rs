//! The checks: what may be dialed, and when.

use std::{net::SocketAddr, time::Instant};

use devp2p_core::{Host, Node, NodeId};

use super::{FEW_PEERS, Scheduler};
use crate::{
    DialKind, Refusal,
    target::{Step, Target},
};

impl Scheduler {
    pub(super) fn may_begin(&self) -> bool {
        self.attempts.len() < self.config.max_active_dials
    }

    /// How many more dynamic dials may begin.
    pub(super) fn free_slots(&self) -> usize {
        let used = self.peers.dialed().saturating_add(self.attempts.len());
        let slots = self.config.max_dialed.saturating_sub(used).saturating_sub(self.held.len());
        slots.min(self.config.max_active_dials.saturating_sub(self.attempts.len()))
    }

    pub(super) fn looking_for_peers(&self) -> bool {
        let wanted = if self.config.dynamic { self.config.max_dialed } else { self.statics };
        !self.config.stats_interval.is_zero() && self.peers.dialed() < wanted.min(FEW_PEERS)
    }

    pub(super) fn candidate_refusal(&self, now: Instant, node: &Node) -> Option<Refusal> {
        let id = node.id();
        let target = self.targets.get(&id);
        if self.stopped {
            return Some(Refusal::Stopped);
        }
        if !self.config.dynamic {
            return Some(Refusal::DialingOff);
        }
        if target.is_some_and(|target| target.is_static) {
            return Some(Refusal::IsStatic);
        }
        if let Some(refusal) = self.node_refusal(now, node, false) {
            return Some(refusal);
        }
        if let Some(until) = self.useless.pending(id, now) {
            return Some(Refusal::Useless { until });
        }
        let backing_off = target.and_then(|target| target.backing_off(now));
        let backing_off = backing_off.max(self.failing.pending(id, now));
        if let Some(refusal) = self.past_refusal(now, id, backing_off) {
            return Some(refusal);
        }
        if node.tcp_addrs().is_empty()
            && let Some(Step::Wait(until)) = target.map(|target| target.step(now, &self.config))
        {
            return Some(Refusal::BackingOff { until });
        }
        self.network_refusal(node, DialKind::Dynamic)
            .or_else(|| (self.wanted_candidates() == 0).then_some(Refusal::NoSlot))
    }

    /// Why a static node or a bootnode is not dialed, slots apart.
    pub(super) fn target_refusal(&self, now: Instant, target: &Target) -> Option<Refusal> {
        let node = target.node();
        if let Some(refusal) = self.node_refusal(now, node, true) {
            return Some(refusal);
        }
        let past = self.past_refusal(now, node.id(), target.backing_off(now));
        if past.is_some() {
            return past;
        }
        match target.step(now, &self.config) {
            Step::Wait(until) => Some(Refusal::BackingOff { until }),
            Step::Dial(_) | Step::Search(_) => None,
        }
    }

    /// Why earlier dials speak against another one: the reason that holds longest.
    fn past_refusal(
        &self,
        now: Instant,
        id: NodeId,
        backing_off: Option<Instant>,
    ) -> Option<Refusal> {
        let recent = self.history.pending(id, now);
        match (recent, backing_off) {
            (recent, Some(until)) if recent <= Some(until) => Some(Refusal::BackingOff { until }),
            (Some(until), _) => Some(Refusal::RecentlyDialed { until }),
            _ => None,
        }
    }

    /// Why no node with this id and address is dialed, whatever its past. Where `searchable`, it
    /// need not have an address.
    pub(super) fn node_refusal(
        &self,
        now: Instant,
        node: &Node,
        searchable: bool,
    ) -> Option<Refusal> {
        let id = node.id();
        if id == self.config.local_id {
            return Some(Refusal::SelfDial);
        }
        let dialable = !node.tcp_addrs().is_empty();
        match node.host() {
            _ if dialable => {}
            Some(_) if node.tcp_port().is_none() => return Some(Refusal::NoPort),
            Some(Host::Ip(_)) => return Some(Refusal::NoAddress),
            None if !searchable => return Some(Refusal::NoAddress),
            // Where it is, only a proxy will know.
            Some(Host::Dns(_)) if self.config.dial_names && !searchable => {
                return Some(Refusal::NoAddress);
            }
            Some(Host::Dns(_)) if self.config.dial_names && self.config.net_restrict.is_some() => {
                return Some(Refusal::NetRestrict);
            }
            Some(Host::Dns(_)) | None => {}
        }
        if self.attempts.contains(id) {
            return Some(Refusal::AlreadyDialing);
        }
        if self.peers.contains(id) {
            return Some(Refusal::AlreadyConnected);
        }
        if self.inbound.pending(id, now).is_some() {
            return Some(Refusal::PendingInbound);
        }
        let outside = dialable && !node.tcp_addrs().iter().any(|addr| self.is_inside(addr));
        outside.then_some(Refusal::NetRestrict)
    }

    /// Whether its networks have no place for a node that is to be dialed as `kind`.
    pub(super) fn network_refusal(&self, node: &Node, kind: DialKind) -> Option<Refusal> {
        let dialable = !node.tcp_addrs().is_empty();
        dialable.then(|| self.allowed(node, kind).err()).flatten()
    }

    /// The node with only addresses that may be dialed.
    pub(super) fn allowed(&self, node: &Node, kind: DialKind) -> Result<Node, Refusal> {
        let has_place = |addr: &SocketAddr| {
            !kind.is_our_choice() || !self.networks.is_full(node.id(), addr.ip())
        };
        let addrs = node.tcp_addrs();
        if addrs.iter().all(|addr| self.is_inside(addr) && has_place(addr)) {
            return Ok(node.clone());
        }
        let mut inside = addrs.iter().filter(|addr| self.is_inside(addr)).peekable();
        inside.peek().ok_or(Refusal::NetRestrict)?;
        let first = inside.find(|addr| has_place(addr)).ok_or(Refusal::PrefixLimit)?;
        let udp = node.udp_port().unwrap_or(0);
        Ok(Node::new(node.public_key(), Some(Host::Ip(first.ip())), first.port(), udp))
    }

    /// Whether the address is in the networks that may be dialed.
    fn is_inside(&self, addr: &SocketAddr) -> bool {
        self.config.net_restrict.as_ref().is_none_or(|networks| networks.contains(addr.ip()))
    }

    /// When a refusal ends by itself.
    pub(super) fn ends(&self, id: NodeId, refusal: Refusal) -> Option<Instant> {
        match refusal {
            Refusal::BackingOff { until }
            | Refusal::RecentlyDialed { until }
            | Refusal::Useless { until } => Some(until),
            Refusal::PendingInbound => self.inbound.get(id),
            _ => None,
        }
    }
}
