//! Requests of ours on their way to an answer, and the handshakes that they may need.

use std::{net::SocketAddr, time::Instant};

use devp2p_core::{Node, Record};

use super::{
    Discv5, Peer, after,
    contact::canonical,
    purpose::Purpose,
    requests::{Ask, Request, RequestNumber, Stage},
    sessions::{KeysId, Proved, Rank},
};
use crate::{
    DropCause, Event, QueryId, RequestError,
    crypto::Identity,
    handshake::Initiator,
    message::Message,
    statistics::count_one,
    wire::{
        MAX_HANDSHAKE_MESSAGE_SIZE, MAX_MESSAGE_SIZE, Masking, OrdinaryPacket, PacketKind,
        WhoAreYou,
    },
};

impl<I: Identity> Discv5<I> {
    /// Asks a node something, after a handshake where one is needed. The answer, or its absence,
    /// comes to [`request_answered`](Self::request_answered) or
    /// [`request_failed`](Self::request_failed), but not before this returns.
    ///
    /// The key is what is needed of the node; its record, too, if it is known.
    pub(super) fn request(
        &mut self,
        now: Instant,
        node: &Node,
        endpoint: SocketAddr,
        ask: Ask,
        purpose: Purpose,
    ) -> Result<(), RequestError> {
        let peer = Peer { id: node.id(), endpoint: canonical(endpoint) };
        if peer.id == self.own {
            return Err(RequestError::OwnId);
        }
        if peer.endpoint.port() == 0 {
            return Err(RequestError::NoEndpoint);
        }
        if !self.is_allowed(peer.endpoint.ip()) {
            return Err(RequestError::Restricted);
        }
        if !self.requests.has_room(&peer) {
            return Err(RequestError::Busy);
        }
        let (number, mut request) = self.make_request(now, peer, node, ask);
        request.purpose = Some(purpose);
        self.write(&request.message);
        if self.scratch.len() > MAX_MESSAGE_SIZE {
            return Err(RequestError::TooLarge);
        }
        let deadline = after(now, self.config.request_timeout);
        if self.requests.must_wait(&peer) {
            self.requests.open(number, request, deadline);
            return Ok(());
        }
        let sealed = self.sessions.seal(&peer, None, &self.scratch, &mut self.rng);
        if let Some(Ok((nonce, packet))) = sealed {
            self.send(peer.endpoint, PacketKind::Ordinary, request.kind(), packet);
            request.stage = Stage::Sealed(nonce);
            self.requests.open(number, request, deadline);
        } else if self.scratch.len() <= MAX_HANDSHAKE_MESSAGE_SIZE {
            self.knock(now, number, request);
        } else {
            // It follows the handshake of something smaller.
            let (first, ping) = self.make_request(now, peer, node, Ask::Ping);
            self.write(&ping.message);
            self.knock(now, first, ping);
            self.requests.open(number, request, deadline);
        }
        Ok(())
    }

    fn make_request(
        &mut self,
        now: Instant,
        peer: Peer,
        node: &Node,
        ask: Ask,
    ) -> (RequestNumber, Request) {
        let number = self.requests.next_number();
        let message = Message { request_id: number.id(), body: ask.into_body(self.record.seq()) };
        (number, Request::new(peer, node, message, now))
    }

    /// Sends something that nobody can open, so that a WHOAREYOU comes. It has the size of the
    /// message, which was written before, so that it does not tell itself from one.
    fn knock(&mut self, now: Instant, number: RequestNumber, mut request: Request) {
        let masking = Masking::new(request.peer.id, self.config.protocol);
        let (nonce, packet) =
            masking.random_packet_like(self.own, self.scratch.len(), &mut self.rng);
        self.transmit(request.peer.endpoint, PacketKind::Ordinary, packet);
        request.stage = Stage::Knocked(nonce);
        self.requests.open(number, request, after(now, self.config.request_timeout));
    }

    /// A node could not open a packet of ours. It is told who we are, and the message again, once:
    /// the packet is not waiting for a WHOAREYOU after that.
    pub(super) fn handle_whoareyou(
        &mut self,
        now: Instant,
        from: SocketAddr,
        whoareyou: &WhoAreYou,
    ) -> Result<(), DropCause> {
        let nonce = whoareyou.request_nonce();
        let number = self.requests.find_challenged(&nonce, from).ok_or(DropCause::Unsolicited)?;
        let request = self.requests.get(number).ok_or(DropCause::Unsolicited)?;
        let (peer, key) = (request.peer, request.key);
        // There is one handshake with a peer at a time.
        if self.requests.handshake_with(&peer).is_some_and(|other| other != number) {
            return Err(DropCause::Unsolicited);
        }
        let mut carrier = number;
        write(&mut self.scratch, &request.message);
        let mut ping = None;
        if self.scratch.len() > MAX_HANDSHAKE_MESSAGE_SIZE {
            let node = Node::from(key);
            let (first, request) = self.make_request(now, peer, &node, Ask::Ping);
            self.write(&request.message);
            (carrier, ping) = (first, Some(request));
        }

        let Self { identity, record, rng, .. } = self;
        let initiator = Initiator::new(identity, record, key, whoareyou, rng);
        let masking = Masking::new(peer.id, self.config.protocol);
        let sealed = initiator.seal(&masking, &self.scratch, &mut self.rng);
        // A secret was drawn.
        self.rng.rekey();
        // All messages fit that are not larger than what was checked above.
        let Ok((packet, unconfirmed)) = sealed else { return Ok(()) };

        let stage = Stage::Handshake(Some(unconfirmed), now);
        let deadline = after(now, self.config.request_timeout);
        if let Some(mut ping) = ping {
            self.requests.advance(number, Stage::Queued, deadline);
            ping.stage = stage;
            self.requests.open(carrier, ping, deadline);
        } else {
            self.requests.advance(number, stage, deadline);
        }
        if let Some(request) = self.requests.get_mut(carrier) {
            request.sent_at = now;
            let kind = request.kind();
            self.send(peer.endpoint, PacketKind::Handshake, kind, packet);
        }
        Ok(())
    }

    /// Opens a packet with keys of which only our side is known to exist. If that succeeds the
    /// other side has them, too, and they are those of the session.
    pub(super) fn confirm(
        &mut self,
        now: Instant,
        peer: Peer,
        packet: &OrdinaryPacket<'_>,
    ) -> Option<(bytes::Bytes, Option<KeysId>)> {
        let number = self.requests.handshake_with(&peer)?;
        let request = self.requests.get_mut(number)?;
        let Stage::Handshake(unconfirmed, began) = &mut request.stage else { return None };
        match unconfirmed.take()?.confirm(packet) {
            Ok((session, message)) => {
                let proved = Proved { session, is_initiator: true, began: *began, proved: now };
                let record = request.record.clone();
                self.requests.end_handshake(&peer);
                count_one(&mut self.statistics.sessions_initiated);
                let record = newest(record, self.known_record(peer.id));
                let keys = self.establish(now, peer, proved, record);
                Some((message, keys))
            }
            Err(still) => {
                *unconfirmed = Some(still);
                None
            }
        }
    }

    /// Both sides have new keys: what waited for some can be sent.
    pub(super) fn establish(
        &mut self,
        now: Instant,
        peer: Peer,
        proved: Proved,
        record: Option<Record>,
    ) -> Option<KeysId> {
        let is_initiator = proved.is_initiator;
        let rank = match is_initiator {
            _ if self.is_table_node(&peer) => Rank::Table,
            true => Rank::Contacted,
            false => Rank::Stranger,
        };
        let protocol = self.config.protocol;
        let masking = || Masking::new(peer.id, protocol);
        let keys = self.sessions.insert(peer, proved, rank, masking);
        self.statistics.sessions_evicted = self.sessions.evicted();

        // A packet that only asks for a WHOAREYOU need not wait for it.
        let knocked = self.requests.handshake_with(&peer).filter(|&number| {
            let request = self.requests.get(number);
            request.is_some_and(|request| matches!(request.stage, Stage::Knocked(_)))
        });
        let queue = self.requests.take_queue(&peer);
        for number in knocked.into_iter().chain(queue) {
            self.send_request(now, number);
        }
        self.tell(Event::SessionEstablished { id: peer.id, endpoint: peer.endpoint, is_initiator });
        self.session_established(now, peer, record, is_initiator);
        keys
    }

    /// Sends a request that waited, within the session that is there now.
    fn send_request(&mut self, now: Instant, number: RequestNumber) {
        let Some(request) = self.requests.get_mut(number) else { return };
        request.sent_at = now;
        let (peer, kind) = (request.peer, request.kind());
        write(&mut self.scratch, &request.message);
        match self.sessions.seal(&peer, None, &self.scratch, &mut self.rng) {
            Some(Ok((nonce, packet))) => {
                let deadline = after(now, self.config.request_timeout);
                self.requests.advance(number, Stage::Sealed(nonce), deadline);
                self.send(peer.endpoint, PacketKind::Ordinary, kind, packet);
            }
            Some(Err(_)) | None => {
                if let Some(request) = self.requests.close(number) {
                    self.fail(now, request, RequestError::Busy);
                }
            }
        }
    }

    /// A request was not answered in time.
    pub(super) fn handle_request_timeout(&mut self, now: Instant, number: RequestNumber) {
        let Some(request) = self.requests.get(number) else { return };
        let peer = request.peer;
        let had_handshake = self.requests.handshake_with(&peer) == Some(number);
        let Some(request) = self.requests.close(number) else { return };
        self.requests.note_lost(now, &request);
        let mut failed = Vec::new();
        if had_handshake {
            // There will be no session; if there is one already, nobody but the WHOAREYOU said that
            // it is lost.
            for number in self.requests.take_queue(&peer) {
                if self.sessions.contains(&peer) {
                    self.send_request(now, number);
                } else {
                    failed.extend(self.requests.close(number));
                }
            }
        }
        if request.parts.came > 0 {
            self.finish_nodes(now, request);
        } else {
            self.fail(now, request, RequestError::Timeout);
        }
        for request in failed {
            self.fail(now, request, RequestError::Timeout);
        }
    }

    /// A request is closed, and was not answered.
    fn fail(&mut self, now: Instant, request: Request, error: RequestError) {
        let (peer, kind) = (request.peer, request.kind());
        let Some(purpose) = request.purpose else { return };
        if error == RequestError::Timeout {
            count_one(&mut self.statistics.timeouts);
            self.tell(Event::RequestTimeout { id: peer.id, endpoint: peer.endpoint, kind });
        }
        match purpose {
            Purpose::Query(query) => self.tell(Event::Failed { query, error }),
            purpose => self.request_failed(now, purpose, peer, error),
        }
    }

    /// Nobody waits for the answers to these any more.
    pub(super) fn cancel_requests(&mut self, query: QueryId) {
        for number in self.requests.of_query(query) {
            let Some(request) = self.requests.get_mut(number) else { continue };
            let peer = request.peer;
            // Others may wait for its handshake.
            request.purpose = None;
            if self.requests.handshake_with(&peer) != Some(number) {
                self.requests.close(number);
            }
        }
    }

    /// Writes a message to where it is sealed from.
    pub(super) fn write(&mut self, message: &Message) {
        write(&mut self.scratch, message);
    }
}

fn write(scratch: &mut bytes::BytesMut, message: &Message) {
    scratch.clear();
    // Records are lists, as they were verified: that cannot fail.
    let _ = message.encode(scratch);
}

fn newest(a: Option<Record>, b: Option<Record>) -> Option<Record> {
    [a, b].into_iter().flatten().max_by_key(Record::seq)
}
