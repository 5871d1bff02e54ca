//! What the machine does of its own accord: it checks the nodes of the table, refreshes the table,
//! fetches records, and says what is worth remembering.

use std::{
    iter::once,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{
    DiscoveryVersion, EndpointClass, Family, Node, NodeId, Record, Seed, check_relay_addr, classify,
};
use devp2p_kad::{Change, Place};

use super::{
    Discv4, after,
    asks::{Client, Question},
    contact::{Contact, Newcomer, canonical, gives_endpoint, kad_id, node_id, udp_endpoints},
    lookups::Goal,
    requests::Purpose,
};
use crate::{
    Event, QueryId, RequestError,
    statistics::count_one,
    wire::{PacketKind, Signer, Target},
};

/// The random targets among which that in the bucket is taken that has waited longest for a lookup.
/// Half of all targets are in the farthest bucket, a quarter in the next; those that no target is
/// in among so many are refreshed by the lookup for our own id.
const REFRESH_DRAWS: usize = 64;
/// The shortest time between refreshes, whatever is configured.
const MIN_REFRESH: Duration = Duration::from_secs(1);

/// A node of the table that is remembered across restarts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    /// When this run last said so, if it did.
    told_at: Option<Instant>,
    /// When it first did not answer since it last did.
    failed_at: Option<Instant>,
}

/// What fails as a whole: one family in the internet, or in local networks.
pub(super) type Network = (Family, bool);

fn network(ip: IpAddr) -> Network {
    let class = classify(ip);
    let is_local =
        matches!(class, EndpointClass::Lan | EndpointClass::LinkLocal | EndpointClass::Loopback);
    (Family::of(ip), is_local)
}

fn is_link_local(endpoint: SocketAddr) -> bool {
    classify(endpoint.ip()) == EndpointClass::LinkLocal
}

impl<S: Signer> Discv4<S> {
    /// Does all that there is to do now; to be called at the end of every call.
    pub(super) fn advance(&mut self, now: Instant) {
        loop {
            self.tend_table(now);
            self.refresh_if_due(now);
            self.start_lookups(now);
            let Some(query) = self.next_changed_lookup() else { return };
            self.drive_lookup(now, query);
        }
    }

    fn tend_table(&mut self, now: Instant) {
        loop {
            let random = self.rng.next_u64();
            let Some(check) = self.table.poll_check(now, random) else { break };
            let contact = check.value().clone();
            let is_trusted = self.is_pinned(&contact);
            // A check that cannot be made now is given up. The table makes it again later, and does
            // not take it for a failure.
            if is_trusted || self.may_contact(now, &contact) {
                let _ = self.send_ping(now, contact, Purpose::Check(Box::new(check)));
            }
        }
        self.handle_changes(now);
    }

    /// Takes up what changed in the table, which keeps only so many changes.
    pub(super) fn handle_changes(&mut self, now: Instant) {
        while let Some(change) = self.table.poll_change() {
            self.handle_change(now, change);
        }
    }

    fn handle_change(&mut self, now: Instant, change: Change<Contact>) {
        match change {
            Change::Verified(id) => {
                let Some(known) = self.table.get(&id) else { return };
                let node = known.value().node().clone();
                // The first node, perhaps after an outage, knows others.
                if self.placed.is_empty() && !self.lookups.is_refreshing() {
                    self.refresh_at = Some(now);
                }
                self.placed.insert(node_id(id));
                self.tell(Event::NodeVerified(node));
            }
            Change::Demoted(id) => {
                let Some(known) = self.table.get(&id) else { return };
                let node = known.value().node().clone();
                if self.placed.remove(&node_id(id)) {
                    self.tell(Event::NodeRemoved(node));
                }
            }
            Change::Removed { id, value } => {
                let had_place = self.placed.remove(&node_id(id));
                if had_place {
                    self.tell(Event::NodeRemoved(value.node().clone()));
                }
                let remembered = self.remembered.remove(&node_id(id));
                // A seed that never got a place is none of our time, and may have waited behind too
                // many others. It expires.
                let is_ours = |known: &Remembered| had_place || known.told_at.is_some();
                if remembered.filter(is_ours).is_some_and(|known| self.is_gone(&known, &value)) {
                    self.tell(Event::Forget(node_id(id)));
                }
            }
            _ => {}
        }
    }

    /// Whether a node that leaves the table is not there any more, as far as we can tell. While
    /// nobody answers, it is rather our own network that is down.
    fn is_gone(&self, node: &Remembered, contact: &Contact) -> bool {
        let answered_at = self.answered_at.get(&network(contact.endpoint().ip()));
        node.failed_at.is_some_and(|failed_at| answered_at.is_some_and(|&at| at > failed_at))
    }

    /// A node answered.
    pub(super) fn note_answer(&mut self, now: Instant, id: NodeId, endpoint: SocketAddr) {
        self.answered_at.insert(network(endpoint.ip()), now);
        if let Some(known) = self.remembered.get_mut(&id) {
            known.failed_at = None;
        }
    }

    /// A node did not.
    pub(super) fn note_silence(&mut self, now: Instant, id: NodeId) {
        if let Some(known) = self.remembered.get_mut(&id) {
            known.failed_at.get_or_insert(now);
        }
    }

    /// Whether the node can be spoken to at all.
    pub(super) fn check_contact(&self, contact: &Contact) -> Result<(), RequestError> {
        if contact.id() == self.own {
            Err(RequestError::OwnId)
        } else if !self.is_allowed(contact.endpoint().ip()) {
            Err(RequestError::Restricted)
        } else {
            Ok(())
        }
    }

    /// Whether a PING may go to a node that nobody but others may have named. One that has proved
    /// that it is there is free. To the others goes one a second for each address, whatever is said
    /// of who is there. What was sent for a PING from there does not count: anybody can forge those.
    pub(super) fn may_contact(&mut self, now: Instant, contact: &Contact) -> bool {
        let (id, endpoint) = (contact.id(), contact.endpoint());
        if self.bonds.is_proven(now, id, endpoint)
            || self.requests.find(id, endpoint, PacketKind::Ping).is_some()
        {
            return true;
        }
        let may = self.limits.hearsay(now, endpoint.ip());
        if !may {
            count_one(&mut self.statistics.hearsay_held);
        }
        may
    }

    /// Whether it is a bootnode.
    pub(super) fn is_pinned(&self, contact: &Contact) -> bool {
        let id = kad_id(contact.id());
        let mut pinned = self.table.pinned();
        pinned.any(|(pinned, value)| pinned == id && value.endpoint() == contact.endpoint())
    }

    pub(super) fn pin_bootnodes(&mut self, now: Instant) {
        for node in self.config.bootstrap_nodes.clone() {
            self.pin(now, node);
        }
    }

    /// Makes it a bootnode, if it is not one already at this very endpoint.
    pub(super) fn pin(&mut self, now: Instant, node: Node) {
        if let Some(contact) = self.contact_of(node)
            && self.check_contact(&contact).is_ok()
            && !self.is_pinned(&contact)
        {
            // More than the table takes are left out.
            let _ = self.table.pin(now, kad_id(contact.id()), contact);
        }
    }

    /// A node as the user names it, at the first of its endpoints to which we may speak, if any.
    pub(super) fn contact_of(&self, node: Node) -> Option<Contact> {
        let preferred = canonical(node.udp_addr()?);
        let recorded = node.record().into_iter().flat_map(udp_endpoints);
        let allowed = once(preferred).chain(recorded).find(|at| self.is_allowed(at.ip()));
        let endpoint = allowed.unwrap_or(preferred);
        Some(Contact::new(node, endpoint, self.config.lan_policy))
    }

    fn refresh_if_due(&mut self, now: Instant) {
        if self.refresh_at.is_none_or(|at| now < at) {
            return;
        }
        let half = self.config.refresh_interval / 2;
        let random = self.rng.below(u64::try_from(half.as_nanos()).unwrap_or(u64::MAX));
        let pause = half.saturating_add(Duration::from_nanos(random)).max(MIN_REFRESH);
        self.refresh_at = Some(after(now, pause));
        if self.lookups.is_refreshing() {
            return;
        }
        let own = Target::from(self.signer.public_key());
        let query = self.query();
        self.queue_lookup(query, own, Goal::Refresh);
        // A lookup that has only the bootnodes begins with them anyway.
        if !self.table.is_empty() {
            let query = self.query();
            self.queue_lookup(query, own, Goal::Rejoin);
        }
        for _ in 0..self.config.refresh_lookups {
            let (query, target) = (self.query(), self.refresh_target(now));
            self.queue_lookup(query, target, Goal::Refresh);
        }
    }

    /// A target in a bucket into which no lookup went for long. Which id a target has cannot be
    /// chosen, so it is the best of a few.
    fn refresh_target(&mut self, now: Instant) -> Target {
        let own = self.table.own_id();
        let mut best = self.random_target();
        let mut best_time = self.refreshed_at(own.log_distance(&kad_id(best.id())));
        for _ in 1..REFRESH_DRAWS {
            if best_time.is_none() {
                break;
            }
            let target = self.random_target();
            let time = self.refreshed_at(own.log_distance(&kad_id(target.id())));
            if time < best_time {
                (best, best_time) = (target, time);
            }
        }
        // The next one is for another bucket.
        self.table.refreshed(now, &kad_id(best.id()));
        best
    }

    fn refreshed_at(&self, distance: u16) -> Option<Instant> {
        let mut buckets = self.table.buckets().iter();
        buckets.find(|bucket| bucket.distances().contains(&distance))?.refreshed_at()
    }

    /// A lookup of a refresh is over, and was in vain if nobody answered. Then those near to us have
    /// not heard of us, though a bootnode may have a place already: it is made again soon.
    pub(super) fn handle_refreshed(&mut self, now: Instant, is_vain: bool) {
        if !self.takes_newcomers && !self.lookups.is_refreshing() {
            self.takes_newcomers = true;
            self.take_newcomers(now);
        }
        if is_vain || self.table.is_empty() && !self.lookups.is_refreshing() {
            let soon = after(now, self.config.empty_refresh_interval.max(MIN_REFRESH));
            self.refresh_at = Some(self.refresh_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Those who came while we looked around ourselves get the places that are left. Where all start
    /// together everybody does that at the same time, and who was not taken then might be in nobody's
    /// table until its next refresh.
    fn take_newcomers(&mut self, now: Instant) {
        while let Some((_, Newcomer { contact, enr_seq })) = self.newcomers.pop() {
            let (id, endpoint) = (contact.id(), contact.endpoint());
            if self.bonds.is_proven(now, id, endpoint) {
                self.take_verified(now, contact, true);
                self.request_newer_record(now, id, endpoint, enr_seq);
            }
        }
    }

    /// A node told the number of its record, and has proved that it is there.
    pub(super) fn request_newer_record(
        &mut self,
        now: Instant,
        id: NodeId,
        endpoint: SocketAddr,
        seq: Option<u64>,
    ) {
        if !self.config.request_records {
            return;
        }
        let known = self.table.get(&kad_id(id)).map(|known| known.value());
        let Some(known) = known.filter(|known| known.endpoint() == endpoint) else { return };
        if seq.is_some_and(|seq| seq > known.seen_seq())
            && !self.asks.is_updating(id)
            && self.limits.record(now, id)
        {
            // If it cannot be asked now, it will tell the number again.
            let _ = self.ask(now, known.clone(), Question::Enr, Client::Table, true);
        }
    }

    /// A node of the table has given its record. If that gives the endpoint where the node is, all
    /// is well. If it gives another one, that is believed when the node answers there; until then
    /// we speak to it where it is, without the record.
    pub(super) fn handle_newer_record(&mut self, now: Instant, contact: &Contact, record: Record) {
        let (id, endpoint) = (kad_id(contact.id()), contact.endpoint());
        let known = self.table.get(&id).map(|known| known.value().clone());
        let Some(known) = known.filter(|known| known.endpoint() == endpoint) else { return };
        let policy = self.config.lan_policy;
        if gives_endpoint(&record, endpoint) {
            let contact = Contact::new(Node::from_record(record), endpoint, policy);
            self.table.update(now, &id, contact);
            return;
        }
        self.table.update(now, &id, known.with_seen_seq(record.seq()));
        let elsewhere = udp_endpoints(&record)
            .find(|&at| check_relay_addr(endpoint.ip(), at).is_ok() && self.is_allowed(at.ip()));
        if let Some(elsewhere) = elsewhere {
            let moved = Contact::new(Node::from_record(record), elsewhere, policy);
            if self.may_contact(now, &moved) {
                let _ = self.send_ping(now, moved, Purpose::Moved);
            }
        }
    }

    /// A node has answered a PING. It is worth remembering if it has done so often, or is known for
    /// long; so ids that somebody makes up by the thousand are not. A link-local address is not: its
    /// scope is one of this run.
    pub(super) fn remember(&mut self, now: Instant, id: NodeId, endpoint: SocketAddr) {
        let is_placed = self.table.place(&kad_id(id)) == Some(Place::Bucket);
        let known = self.table.get(&kad_id(id)).filter(|known| {
            let age = now.saturating_duration_since(known.added_at());
            is_placed
                && !is_link_local(endpoint)
                && known.value().endpoint() == endpoint
                && (known.checks() > self.config.remember_checks
                    || age >= self.config.remember_interval)
        });
        let Some(known) = known else { return };
        let remembered = self.remembered.get(&id).copied().unwrap_or_default();
        let last = remembered.told_at;
        let ago = last.map(|at| now.saturating_duration_since(at));
        if ago.is_some_and(|ago| ago < self.config.remember_interval) {
            return;
        }
        let mut seed = Seed::new(
            known.value().node().clone(),
            endpoint,
            DiscoveryVersion::V4,
            self.clock.unix_secs(now),
        );
        seed.last_ping =
            self.bonds.last_ping(id, endpoint).map_or(0, |at| self.clock.unix_secs(at));
        self.remembered.insert(id, Remembered { told_at: Some(now), ..remembered });
        self.tell(Event::Remember(seed));
    }

    /// Takes up what an earlier run remembered. The proofs hold if they are not too old. Whether
    /// the nodes are still there is checked at once, so that they have their places before others
    /// take them.
    pub(super) fn take_seed(&mut self, now: Instant, seed: Seed) {
        let endpoint = canonical(seed.endpoint);
        let contact = Contact::new(seed.node, endpoint, self.config.lan_policy);
        if seed.protocol != DiscoveryVersion::V4
            || is_link_local(endpoint)
            || self.check_contact(&contact).is_err()
        {
            return;
        }
        let id = contact.id();
        let instant = |secs: u64| {
            let at = self.clock.instant(Duration::from_secs(secs))?;
            // A time to come is a wrong clock's, and would be valid for too long.
            (secs > 0 && at <= now).then_some(at)
        };
        let is_valid = |at: &Instant| now.saturating_duration_since(*at) < self.config.bond_expiry;
        let (last_pong, last_ping) = (instant(seed.last_pong), instant(seed.last_ping));
        if let Some(last_pong) = last_pong.filter(is_valid) {
            self.bonds.restore(id, endpoint, last_pong, last_ping);
        }
        if self.table.add(now, kad_id(id), contact.clone()).is_ok() {
            self.remembered.insert(id, Remembered::default());
        }
        if self.may_contact(now, &contact) {
            let _ = self.send_ping(now, contact, Purpose::Seed);
        }
    }

    /// A name for a command.
    pub(super) const fn query(&mut self) -> QueryId {
        self.next_query = self.next_query.wrapping_add(1);
        QueryId(self.next_query)
    }
}
