//! What the machine does of its own accord: it checks the nodes of the table, refreshes the table,
//! fetches records, and says what is worth remembering. And what it is told of the requests for
//! that.

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
    Discv5, Peer, after,
    contact::{Contact, canonical, gives_endpoint, host_group, kad_id, node_id, udp_endpoints},
    newcomers::peer_of,
    purpose::Purpose,
    requests::{Answer, Ask},
    sessions::Rank,
};
use crate::{Event, RequestError, Source, crypto::Identity, statistics::count_one};

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

impl<I: Identity> Discv5<I> {
    /// Does all that there is to do now; to be called at the end of every call.
    pub(super) fn advance(&mut self, now: Instant) {
        loop {
            self.tend_table(now);
            self.greet_newcomers(now);
            self.refresh_if_due(now);
            self.start_lookups(now);
            let Some(query) = self.next_changed_lookup() else { break };
            self.drive_lookup(now, query);
        }
        self.handle_changes(now);
    }

    /// When there is something to do for the table.
    pub(super) fn next_upkeep(&self) -> Option<Instant> {
        [self.table.poll_timeout(), self.refresh_at].into_iter().flatten().min()
    }

    /// Keys are shared with a node: it has proved who it is, and that it is there. `record` is the
    /// newest that is known of it; there is none where it was asked by its key alone.
    pub(super) fn session_established(
        &mut self,
        now: Instant,
        peer: Peer,
        record: Option<Record>,
        initiated_by_us: bool,
    ) {
        let Some(record) = record.filter(|_| !initiated_by_us) else { return };
        let node = Node::from_record(record.clone());
        self.tell(Event::Sighting { node: node.clone(), source: Source::Handshake });
        // Behind a NAT, say, nobody finds a node by its record.
        let is_there = gives_endpoint(&record, peer.endpoint);
        let contact = Contact::new(node, peer.endpoint, self.config.lan_policy);
        let id = kad_id(peer.id);
        let known = self.table.get(&id).map(|known| (known.is_verified(), known.value().clone()));
        match known {
            None if is_there => self.take_newcomer(contact),
            None => {}
            Some((is_verified, known)) => {
                if is_there && !is_verified && record.seq() >= known.seen_seq() {
                    self.table.update(now, &id, contact.clone());
                    self.greet(now, &contact);
                } else {
                    self.take_newer_record(now, record);
                }
            }
        }
    }

    /// A node asks whether we are there: we are in its table. If it is in ours it tells whether its
    /// record is newer; and if it lost its place, because a packet of ours was lost say, it may have
    /// another one.
    pub(super) fn note_ping(&mut self, now: Instant, peer: &Peer, enr_seq: u64) {
        if self.table.get(&kad_id(peer.id)).is_some() {
            self.request_newer_record(now, peer, enr_seq);
        } else if let Some(record) = self.known_record(peer.id)
            && gives_endpoint(&record, peer.endpoint)
        {
            let (node, policy) = (Node::from_record(record), self.config.lan_policy);
            self.take_newcomer(Contact::new(node, peer.endpoint, policy));
        }
    }

    /// A request of ours was answered.
    pub(super) fn request_answered(
        &mut self,
        now: Instant,
        purpose: Purpose,
        peer: Peer,
        answer: Answer,
    ) {
        self.note_answer(now, &peer);
        if let Purpose::Check(check) = purpose {
            self.table.check_passed(now, *check);
            // It may have been dropped meanwhile, or be one of the pinned nodes.
            self.take_answering(now, &peer);
        } else {
            self.take_answering(now, &peer);
            self.serve_purpose(now, purpose, peer, &answer);
        }
        if let Answer::Pong { enr_seq, .. } = answer {
            self.request_newer_record(now, &peer, enr_seq);
            self.remember(now, &peer);
        }
    }

    fn serve_purpose(&mut self, now: Instant, purpose: Purpose, peer: Peer, answer: &Answer) {
        let own_record = match answer {
            Answer::Nodes(nodes) => nodes.iter().find(|node| node.id() == peer.id),
            Answer::Pong { .. } | Answer::Talk(_) => None,
        };
        let own_record = own_record.and_then(|node| node.record().cloned());
        match purpose {
            Purpose::Enr(query) => self.tell(match own_record {
                Some(record) => Event::Enr { query, record },
                None => Event::Failed { query, error: RequestError::BadRecord },
            }),
            Purpose::Lookup(query) => {
                if let Answer::Nodes(nodes) = answer {
                    self.handle_lookup_answer(query, peer.id, Some(nodes));
                }
            }
            Purpose::Newcomer => self.newcomers.settled(&peer),
            Purpose::Resolve(query) => self.handle_resolve_answer(query, peer, Some(answer)),
            Purpose::Update => {
                if let Some(record) = own_record {
                    self.take_newer_record(now, record);
                }
            }
            // Those are dealt with elsewhere.
            Purpose::Check(_) | Purpose::Query(_) => {}
        }
    }

    /// A request of ours was not answered, or could not be.
    pub(super) fn request_failed(
        &mut self,
        now: Instant,
        purpose: Purpose,
        peer: Peer,
        error: RequestError,
    ) {
        // All else is no fault of the node.
        let is_silent = error == RequestError::Timeout;
        if is_silent {
            self.note_silence(now, peer.id);
        }
        match purpose {
            Purpose::Check(check) => {
                if is_silent {
                    self.table.check_failed(now, *check);
                }
            }
            Purpose::Enr(query) | Purpose::Query(query) => {
                self.tell(Event::Failed { query, error });
            }
            Purpose::Lookup(query) => {
                if is_silent && self.is_known_at(&peer) {
                    self.table.request_failed(now, &kad_id(peer.id));
                }
                self.handle_lookup_answer(query, peer.id, None);
            }
            Purpose::Newcomer => self.newcomers.settled(&peer),
            Purpose::Resolve(query) => self.handle_resolve_answer(query, peer, None),
            Purpose::Update => {}
        }
    }

    /// The newest verified record of a node.
    pub(super) fn known_record(&self, id: NodeId) -> Option<Record> {
        let kad = kad_id(id);
        let known = self.table.get(&kad).and_then(|known| known.value().node().record());
        let mut pinned = self.table.pinned().filter(|(pinned, _)| *pinned == kad);
        let pinned = pinned.find_map(|(_, contact)| contact.node().record());
        let records = [known, pinned, self.records.newest(id)].into_iter().flatten();
        records.max_by_key(|record| record.seq()).cloned()
    }

    /// Whether the table has the node verified at this endpoint.
    pub(super) fn is_table_node(&self, peer: &Peer) -> bool {
        self.table.place(&kad_id(peer.id)) == Some(Place::Bucket) && self.is_known_at(peer)
    }

    /// Whether the table has the node at this endpoint, verified or not.
    fn is_known_at(&self, peer: &Peer) -> bool {
        let known = self.table.get(&kad_id(peer.id));
        known.is_some_and(|known| known.value().endpoint() == peer.endpoint)
    }

    /// Nodes that another one named; their records are verified, and all may be spoken to.
    pub(super) fn sightings(&mut self, now: Instant, from: NodeId, nodes: &[Node]) {
        for node in nodes.iter().filter(|node| node.id() != from) {
            let source = Source::Nodes(from);
            self.tell(Event::Sighting { node: node.clone(), source });
            self.take_hearsay(now, node.clone());
        }
    }

    /// A node that may be there.
    pub(super) fn take_hearsay(&mut self, now: Instant, node: Node) {
        if let Some(contact) = self.contact_of(node).filter(|it| self.may_ever_contact(it)) {
            // Where it finds no place it is one of the many that we do not keep.
            let _ = self.table.add(now, kad_id(contact.id()), contact);
        }
    }

    /// Makes it a bootnode, if it is not one already at this very endpoint.
    pub(super) fn pin(&mut self, now: Instant, node: Node) {
        if let Some(contact) = self.contact_of(node).filter(|it| self.may_ever_contact(it))
            && !self.is_pinned(&contact)
        {
            // More than the table takes are left out.
            let _ = self.table.pin(now, kad_id(contact.id()), contact);
        }
    }

    /// Takes up a node of an earlier run. Whether it is still there is checked at once, so that it
    /// has its place before others take it.
    pub(super) fn take_seed(&mut self, now: Instant, seed: Seed) {
        let endpoint = canonical(seed.endpoint);
        let contact = Contact::new(seed.node, endpoint, self.config.lan_policy);
        if seed.protocol != DiscoveryVersion::V5
            || is_link_local(endpoint)
            || !self.may_ever_contact(&contact)
        {
            return;
        }
        if self.table.add(now, kad_id(contact.id()), contact.clone()).is_ok() {
            self.remembered.insert(contact.id(), Remembered::default());
        }
        self.handle_changes(now);
        if self.may_contact(now, &contact) {
            self.greet(now, &contact);
        }
    }

    /// A lookup of a refresh is over, and was in vain if nobody answered. Then those near to us have
    /// not heard of us, though a bootnode may have a place already: it is made again soon.
    pub(super) fn handle_refreshed(&mut self, now: Instant, is_vain: bool) {
        self.takes_newcomers |= !self.lookups.is_refreshing();
        if is_vain || self.table.is_empty() && !self.lookups.is_refreshing() {
            let soon = after(now, self.config.empty_refresh_interval.max(MIN_REFRESH));
            self.refresh_at = Some(self.refresh_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// A node as it is named, at the first of its endpoints to which we may speak, if any.
    pub(super) fn contact_of(&self, node: Node) -> Option<Contact> {
        let preferred = canonical(node.udp_addr()?);
        let recorded = node.record().into_iter().flat_map(udp_endpoints);
        let allowed = once(preferred).chain(recorded).find(|at| self.is_allowed(at.ip()));
        let endpoint = allowed.unwrap_or(preferred);
        Some(Contact::new(node, endpoint, self.config.lan_policy))
    }

    /// Whether something may be sent to a node that nobody but others may have named. One with which
    /// we share keys has proved that it is there, and whom the user named may be tried. To the
    /// others goes one packet a second for each address, whatever is said of who is there.
    pub(super) fn may_contact(&mut self, now: Instant, contact: &Contact) -> bool {
        let peer = peer_of(contact);
        if self.sessions.contains(&peer)
            || self.requests.must_wait(&peer)
            || self.is_table_node(&peer)
            || self.is_pinned(contact)
            || self.config.lan_policy.exempts(peer.endpoint.ip())
            || self.hearsay.allow(now, &host_group(peer.endpoint.ip()))
        {
            return true;
        }
        count_one(&mut self.statistics.hearsay_held);
        false
    }

    /// Whether the node can be spoken to at all.
    fn may_ever_contact(&self, contact: &Contact) -> bool {
        contact.id() != self.own && self.is_allowed(contact.endpoint().ip())
    }

    /// Whether it is a bootnode.
    fn is_pinned(&self, contact: &Contact) -> bool {
        let id = kad_id(contact.id());
        let mut pinned = self.table.pinned();
        pinned.any(|(pinned, value)| pinned == id && value.endpoint() == contact.endpoint())
    }

    fn tend_table(&mut self, now: Instant) {
        if self.table.poll_timeout().is_some_and(|due| due <= now) {
            loop {
                let random = self.rng.next_u64();
                let Some(check) = self.table.poll_check(now, random) else { break };
                let contact = check.value().clone();
                // A check that cannot be made now is given up. The table makes it again later, and
                // does not take it for a failure.
                if self.may_contact(now, &contact) {
                    let purpose = Purpose::Check(Box::new(check));
                    let (node, endpoint) = (contact.node(), contact.endpoint());
                    let _ = self.request(now, node, endpoint, Ask::Ping, purpose);
                }
            }
        }
        self.handle_changes(now);
    }

    /// Takes up what changed in the table, which keeps only so many changes.
    fn handle_changes(&mut self, now: Instant) {
        while let Some(change) = self.table.poll_change() {
            self.handle_change(now, change);
        }
    }

    fn handle_change(&mut self, now: Instant, change: Change<Contact>) {
        match change {
            Change::Verified(id) => {
                let Some(known) = self.table.get(&id) else { return };
                let contact = known.value().clone();
                // The first node, perhaps after an outage, knows others.
                if self.placed.is_empty() && !self.lookups.is_refreshing() {
                    self.refresh_at = Some(now);
                }
                self.placed.insert(node_id(id));
                self.sessions.set_rank(&peer_of(&contact), Rank::Table);
                self.tell(Event::NodeVerified(contact.node().clone()));
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
                    self.sessions.set_rank(&peer_of(&value), Rank::Contacted);
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

    fn note_answer(&mut self, now: Instant, peer: &Peer) {
        self.answered_at.insert(network(peer.endpoint.ip()), now);
        if let Some(known) = self.remembered.get_mut(&peer.id) {
            known.failed_at = None;
        }
        if self.is_known_at(peer) {
            self.table.request_answered(&kad_id(peer.id));
        }
    }

    fn note_silence(&mut self, now: Instant, id: NodeId) {
        if let Some(known) = self.remembered.get_mut(&id) {
            known.failed_at.get_or_insert(now);
        }
    }

    /// Gives a node that has just answered there its place in the table, if it says itself that it
    /// is there.
    fn take_answering(&mut self, now: Instant, peer: &Peer) {
        let id = kad_id(peer.id);
        let contact = match self.table.get(&id) {
            Some(known) if known.value().endpoint() == peer.endpoint => {
                // A check has its own way to say that a node is there.
                (!known.is_verified()).then(|| known.value().clone())
            }
            // While it answers where it was, that is where it is.
            Some(known) if known.is_verified() => None,
            _ => self.known_record(peer.id).and_then(|record| {
                let is_there = gives_endpoint(&record, peer.endpoint);
                let policy = self.config.lan_policy;
                is_there.then(|| Contact::new(Node::from_record(record), peer.endpoint, policy))
            }),
        };
        if let Some(contact) = contact {
            // Where it finds no place it is one of the many that we do not keep.
            let _ = self.table.verified(now, id, contact);
        }
    }

    /// A node of the table told the number of its record.
    fn request_newer_record(&mut self, now: Instant, peer: &Peer, seq: u64) {
        let known = self.table.get(&kad_id(peer.id)).map(|known| known.value());
        let Some(known) = known.filter(|known| known.endpoint() == peer.endpoint) else { return };
        let known = known.clone();
        if seq > known.seen_seq() && self.limits.record(now, peer.id) {
            // If it cannot be asked now, it will tell the number again.
            let ask = Ask::FindNode(vec![0]);
            let _ = self.request(now, known.node(), peer.endpoint, ask, Purpose::Update);
        }
    }

    /// A node has given its record, which may be newer than that in the table. If it gives the
    /// endpoint where the node is, all is well. If it gives another one, the node has to answer
    /// there before it has a place again; and if it gives none, it has no place any more. But a
    /// bootnode is where the user says.
    fn take_newer_record(&mut self, now: Instant, record: Record) {
        let (id, policy) = (kad_id(record.id()), self.config.lan_policy);
        let Some(known) = self.table.get(&id).map(|known| known.value().clone()) else { return };
        if record.seq() <= known.seen_seq() {
            return;
        }
        let endpoint = known.endpoint();
        if gives_endpoint(&record, endpoint) {
            let contact = Contact::new(Node::from_record(record), endpoint, policy);
            self.table.update(now, &id, contact);
            return;
        }
        if self.is_pinned(&known) {
            self.table.update(now, &id, known.with_seen_seq(record.seq()));
            return;
        }
        let elsewhere = udp_endpoints(&record)
            .find(|&at| check_relay_addr(endpoint.ip(), at).is_ok() && self.is_allowed(at.ip()));
        let Some(elsewhere) = elsewhere else {
            self.table.remove(now, &id);
            return;
        };
        let moved = Contact::new(Node::from_record(record), elsewhere, policy);
        self.sessions.set_rank(&peer_of(&known), Rank::Contacted);
        self.table.update(now, &id, moved.clone());
        if self.may_contact(now, &moved) {
            self.greet(now, &moved);
        }
    }

    /// A node has answered a PING. It is worth remembering if it has done so often, or is known for
    /// long; so ids that somebody makes up by the thousand are not. A link-local address is not: its
    /// scope is one of this run.
    fn remember(&mut self, now: Instant, peer: &Peer) {
        if !self.is_table_node(peer) || is_link_local(peer.endpoint) {
            return;
        }
        let known = self.table.get(&kad_id(peer.id)).filter(|known| {
            let age = now.saturating_duration_since(known.added_at());
            known.checks() > self.config.remember_checks || age >= self.config.remember_interval
        });
        let Some(known) = known else { return };
        let remembered = self.remembered.get(&peer.id).copied().unwrap_or_default();
        let ago = remembered.told_at.map(|at| now.saturating_duration_since(at));
        if ago.is_some_and(|ago| ago < self.config.remember_interval) {
            return;
        }
        let (node, unix) = (known.value().node().clone(), self.clock.unix_secs(now));
        let seed = Seed::new(node, peer.endpoint, DiscoveryVersion::V5, unix);
        self.remembered.insert(peer.id, Remembered { told_at: Some(now), ..remembered });
        self.tell(Event::Remember(seed));
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
        self.queue_refresh(self.own);
        // A lookup that has only the bootnodes begins with them anyway.
        if !self.table.is_empty() {
            self.queue_rejoin();
        }
        for _ in 0..self.config.refresh_lookups {
            let mut random = [0; 32];
            self.rng.fill(&mut random);
            let target = self.table.refresh_target(random);
            // The next one is for another bucket.
            self.table.refreshed(now, &target);
            self.queue_refresh(node_id(target));
        }
    }
}
