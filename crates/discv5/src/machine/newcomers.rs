//! Nodes that came to us, and wait to be asked whether they are there.

use std::{collections::BTreeSet, time::Instant};

use devp2p_core::NodeId;
use devp2p_kad::Place;

use super::{
    Discv5, Peer,
    contact::{Contact, kad_id},
    purpose::Purpose,
    requests::Ask,
};
use crate::crypto::Identity;

/// The newcomers that wait. Those who come while so many do are not asked: they come again, with
/// their next session.
const MAX_WAITING: usize = 256;
/// Those of one group among them: as many as the table would take of it by default.
const MAX_WAITING_OF_GROUP: usize = 10;
/// The newcomers that are asked at the same time. Those who answer make room within a round trip; if
/// none does, all that wait have been asked within 8 s.
const MAX_ASKED: usize = 16;

#[derive(Debug)]
pub(super) struct Newcomers {
    waiting: devp2p_kad::Newcomers<Contact>,
    /// Those who are being asked.
    asked: BTreeSet<Peer>,
}

impl Default for Newcomers {
    fn default() -> Self {
        let waiting = devp2p_kad::Newcomers::new(MAX_WAITING, MAX_WAITING_OF_GROUP);
        Self { waiting, asked: BTreeSet::new() }
    }
}

impl Newcomers {
    pub(super) fn settled(&mut self, peer: &Peer) {
        self.asked.remove(peer);
    }
}

impl<I: Identity> Discv5<I> {
    /// A node that is not in the table came to us, from where its record says that it is.
    pub(super) fn take_newcomer(&mut self, contact: Contact) {
        self.newcomers.waiting.push(kad_id(contact.id()), contact);
    }

    /// Asks those who wait whether they are there, as far as there may be a place for them. That
    /// begins when we have looked around ourselves.
    pub(super) fn greet_newcomers(&mut self, now: Instant) {
        while self.takes_newcomers
            && self.newcomers.asked.len() < MAX_ASKED
            && let Some((id, contact)) = self.newcomers.waiting.pop()
        {
            let endpoint = contact.endpoint();
            let place = self.table.add(now, id, contact);
            let known = self.table.get(&id).filter(|known| !known.is_verified());
            let known = known.map(|known| known.value().clone());
            if place == Ok(Place::Replacement)
                && let Some(contact) = known.filter(|known| known.endpoint() == endpoint)
            {
                self.greet(now, &contact);
            }
        }
    }

    /// Asks a node whether it is there, as it says itself. If it cannot be asked now, the table
    /// does that later.
    pub(super) fn greet(&mut self, now: Instant, contact: &Contact) {
        let peer = peer_of(contact);
        if !self.newcomers.asked.contains(&peer)
            && self
                .request(now, contact.node(), peer.endpoint, Ask::Ping, Purpose::Newcomer)
                .is_ok()
        {
            self.newcomers.asked.insert(peer);
        }
    }
}

pub(super) fn peer_of(contact: &Contact) -> Peer {
    let id: NodeId = contact.id();
    Peer { id, endpoint: contact.endpoint() }
}
