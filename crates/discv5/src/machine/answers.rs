//! What others answer to us.

use std::time::Instant;

use bytes::Bytes;
use devp2p_core::{Node, Record, check_relay_addr};

use super::{
    Discv5, Peer, after,
    contact::udp_endpoints,
    purpose::Purpose,
    requests::{Answer, Parts, Request, RequestNumber},
};
use crate::{
    DropCause, Event,
    crypto::Identity,
    message::{Body, MessageKind, Nodes, Pong, RequestId},
    statistics::count_one,
};

/// The messages of one answer to FINDNODE that are waited for, however many it says there are. So
/// many are enough where each has one of sixteen nodes.
const MAX_PARTS: u64 = 16;
/// The records of one answer that are looked at, each at the cost of a signature: twice as many as
/// anybody tells.
const MAX_RECORDS_READ: usize = 32;

impl<I: Identity> Discv5<I> {
    pub(super) fn handle_pong(
        &mut self,
        now: Instant,
        peer: Peer,
        id: &RequestId,
        pong: &Pong,
    ) -> Result<(), DropCause> {
        let number = self.asked(&peer, id, MessageKind::Pong)?;
        let Some(request) = self.requests.close(number) else { return Ok(()) };
        let (enr_seq, endpoint) = (pong.enr_seq, pong.endpoint());
        let rtt = now.saturating_duration_since(request.sent_at);
        // Whoever came to us would come by the thousand to vote.
        if !matches!(request.purpose, Some(Purpose::Newcomer)) {
            self.tell(Event::Vote { voter: peer.endpoint.ip(), endpoint });
        }
        self.finish(now, request, Answer::Pong { enr_seq, endpoint, rtt });
        Ok(())
    }

    pub(super) fn handle_talk_response(
        &mut self,
        now: Instant,
        peer: Peer,
        id: &RequestId,
        response: Bytes,
    ) -> Result<(), DropCause> {
        let number = self.asked(&peer, id, MessageKind::TalkResponse)?;
        if let Some(request) = self.requests.close(number) {
            self.finish(now, request, Answer::Talk(response));
        }
        Ok(())
    }

    /// A part of an answer to FINDNODE.
    pub(super) fn handle_nodes(
        &mut self,
        now: Instant,
        peer: Peer,
        id: &RequestId,
        nodes: &Nodes,
    ) -> Result<(), DropCause> {
        let number = self.asked(&peer, id, MessageKind::Nodes)?;
        let Some(request) = self.requests.get_mut(number) else { return Ok(()) };
        let Body::FindNode(find_node) = &mut request.message.body else { return Ok(()) };
        // Both go back below.
        let distances = std::mem::take(&mut find_node.distances);
        let mut parts = std::mem::take(&mut request.parts);
        let last = after(request.sent_at, self.config.nodes_timeout);

        if parts.came == 0 {
            parts.total = nodes.total.clamp(1, MAX_PARTS);
        }
        parts.came = parts.came.saturating_add(1);
        let known = parts.nodes.len();
        for bytes in &nodes.records {
            match self.accept(&peer, &distances, &mut parts, bytes) {
                Some(record) => parts.nodes.push(Node::from_record(record)),
                None => count_one(&mut self.statistics.nodes_refused),
            }
        }
        self.sightings(now, peer.id, parts.nodes.get(known..).unwrap_or_default());

        let is_complete = parts.came >= parts.total;
        let Some(request) = self.requests.get_mut(number) else { return Ok(()) };
        request.parts = parts;
        if let Body::FindNode(find_node) = &mut request.message.body {
            find_node.distances = distances;
        }
        if !is_complete {
            let deadline = after(now, self.config.request_timeout).min(last);
            self.requests.set_deadline(number, Some(deadline));
        } else if let Some(request) = self.requests.close(number) {
            self.finish_nodes(now, request);
        }
        Ok(())
    }

    /// No more parts of an answer to FINDNODE will come.
    pub(super) fn finish_nodes(&mut self, now: Instant, mut request: Request) {
        let nodes = std::mem::take(&mut request.parts.nodes);
        self.finish(now, request, Answer::Nodes(nodes));
    }

    /// A record that was told, if it is of a node that was asked for and that the other one can
    /// know, and if we may speak to that. Of its own record only the node itself can tell.
    fn accept(
        &mut self,
        peer: &Peer,
        distances: &[u16],
        parts: &mut Parts,
        bytes: &[u8],
    ) -> Option<Record> {
        if parts.records >= MAX_RECORDS_READ {
            return None;
        }
        parts.records = parts.records.saturating_add(1);
        let record = self.verify_record(bytes).ok()?;
        let id = record.id();
        if id == self.own || !distances.contains(&peer.id.log_distance(&id)) {
            return None;
        }
        if !parts.ids.insert(id) {
            return None;
        }
        (id == peer.id || self.is_credible(peer, &record)).then_some(record)
    }

    /// Whether we may speak to the node of a record that another one told, and that one can know
    /// that it is there.
    fn is_credible(&self, peer: &Peer, record: &Record) -> bool {
        let mut endpoints =
            udp_endpoints(record).filter(|endpoint| self.is_allowed(endpoint.ip())).peekable();
        endpoints.peek().is_some()
            && endpoints.all(|endpoint| check_relay_addr(peer.endpoint.ip(), endpoint).is_ok())
    }

    /// The request that a message of this type from there answers.
    fn asked(
        &self,
        peer: &Peer,
        id: &RequestId,
        kind: MessageKind,
    ) -> Result<RequestNumber, DropCause> {
        RequestNumber::from_id(id)
            .filter(|&number| {
                let request = self.requests.get(number);
                request.is_some_and(|request| request.peer == *peer && request.awaits(kind))
            })
            .ok_or(DropCause::Unsolicited)
    }

    /// A request is closed, and was answered.
    fn finish(&mut self, now: Instant, request: Request, answer: Answer) {
        count_one(&mut self.statistics.answers);
        match request.purpose {
            // Who asked is told of it as it is.
            Some(Purpose::Query(query)) => self.tell(match answer {
                Answer::Nodes(nodes) => Event::Nodes { query, nodes },
                Answer::Pong { enr_seq, endpoint, rtt } => {
                    Event::Pong { query, rtt, endpoint, enr_seq }
                }
                Answer::Talk(response) => Event::TalkResponse { query, response },
            }),
            Some(purpose) => self.request_answered(now, purpose, request.peer, answer),
            None => {}
        }
    }
}
