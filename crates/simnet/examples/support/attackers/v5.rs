//! How they speak discovery v5.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    ops::Range,
    rc::Rc,
    time::Instant,
};

use bytes::Bytes;
use devp2p_core::{NodeId, PublicKey, Record, Rng};
use devp2p_discv5::{
    handshake::{Challenge, Initiator, Unconfirmed},
    message::{Body, Message, Nodes, Ping, Pong, RequestId},
    session::Session,
    wire::{Masking, Nonce, OrdinaryPacket, Packet, ProtocolId},
};
use devp2p_simnet::Transmit;

use super::{
    super::keys::{StandIn, mined, mined_record},
    NEIGHBORS, Places, Speaker, TCP_PORT, Target, position,
};

/// The records in one NODES message: of those of 142 bytes that they have.
const RECORDS: usize = 8;
/// The number of all their records.
const SEQ: u64 = 1;

pub(super) struct SpeakerV5 {
    places: Rc<Places>,
    victim: NodeId,
    /// What each identity has with a node at an endpoint.
    ties: BTreeMap<(usize, SocketAddr), Tie>,
    rng: Rng,
    out: VecDeque<Transmit>,
}

/// What there is between an identity and a node.
#[derive(Default)]
struct Tie {
    session: Option<Session>,
    /// Their WHOAREYOU, for the node's answer.
    challenge: Option<Challenge>,
    /// Their last PING, for a WHOAREYOU of the node.
    pinged: Option<(Nonce, PublicKey)>,
    /// The keys after that, until the node has used them.
    unconfirmed: Option<Unconfirmed>,
}

/// One identity, and one node.
#[derive(Clone, Copy)]
struct Pair {
    at: usize,
    id: NodeId,
    endpoint: SocketAddr,
}

impl SpeakerV5 {
    pub(super) fn new(places: Rc<Places>, victim: NodeId, seed: [u8; 32]) -> Self {
        let (ties, out) = Default::default();
        Self { places, victim, ties, rng: Rng::from_seed(seed), out }
    }

    fn tie(&mut self, pair: Pair) -> &mut Tie {
        self.ties.entry((pair.at, pair.endpoint)).or_default()
    }

    fn transmit(&mut self, pair: Pair, bytes: Bytes) {
        let from = self.places.endpoint(pair.at);
        self.out.push_back(Transmit::datagram(pair.endpoint, bytes).with_source(from));
    }

    /// Opens a packet, or asks who sent it.
    fn open(&mut self, pair: Pair, packet: &OrdinaryPacket<'_>) -> Option<Bytes> {
        let tie = self.tie(pair);
        match tie.unconfirmed.take().map(|keys| keys.confirm(packet)) {
            Some(Ok((session, message))) => {
                tie.session = Some(session);
                return Some(message);
            }
            Some(Err(keys)) => tie.unconfirmed = Some(keys),
            None => {}
        }
        let opened = tie.session.as_ref().and_then(|session| session.open(packet));
        if opened.is_none() {
            let (id, nonce, rng) = (pair.id, packet.nonce(), &mut self.rng);
            let challenge = Challenge::new(ProtocolId::default(), id, nonce, None, rng);
            let whoareyou = challenge.encode(&masking(id));
            self.tie(pair).challenge = Some(challenge);
            self.transmit(pair, Bytes::copy_from_slice(&whoareyou));
        }
        opened
    }

    fn say(&mut self, pair: Pair, message: &Message) -> Option<Nonce> {
        let message = message.to_bytes().ok()?;
        let own = mined()[pair.at].id;
        let tie = self.ties.get_mut(&(pair.at, pair.endpoint))?;
        let session = tie.session.as_mut()?;
        let sealed = session.seal_numbered(&masking(pair.id), own, &message, &mut self.rng);
        let (nonce, packet) = sealed.ok()?;
        self.transmit(pair, packet);
        Some(nonce)
    }

    fn answer_message(&mut self, pair: Pair, message: &Bytes) {
        let Ok(Message { request_id, body }) = Message::decode(message) else { return };
        match body {
            Body::Ping(_) => {
                let (ip, port) = (pair.endpoint.ip(), pair.endpoint.port());
                let body = Body::Pong(Pong { enr_seq: SEQ, ip, port });
                self.say(pair, &Message { request_id, body });
            }
            Body::FindNode(find_node) => {
                let named = self.named(pair.at, &find_node.distances);
                let records = named.into_iter().map(|at| self.record(at).to_bytes());
                let records: Vec<_> = records.collect();
                let total = records.len().div_ceil(RECORDS).max(1) as u64;
                for records in records.chunks(RECORDS) {
                    let body = Body::Nodes(Nodes { total, records: records.to_vec() });
                    self.say(pair, &Message { request_id, body });
                }
            }
            _ => {}
        }
    }

    /// Those whom an identity names when it is asked for these distances. The first is that of the
    /// target, which nobody is told: of those who may be nearest to it half are near to the victim,
    /// and half as far from each other as can be.
    fn named(&self, own: usize, distances: &[u16]) -> Vec<usize> {
        let mut named = Vec::new();
        for &distance in distances {
            if distance == 0 {
                named.push(own);
                continue;
            }
            let all = at_distance(own, distance);
            let half = all.len().min(NEIGHBORS / 2);
            let near = position(&self.victim).clamp(all.start, all.end - half);
            named.extend(near..near + half);
            // Neighbours in this order are in different prefixes.
            named
                .extend((0..half).map(|n| (all.start + n * all.len() / half + n).min(all.end - 1)));
            if named.len() >= NEIGHBORS {
                break;
            }
        }
        named.truncate(NEIGHBORS);
        named
    }

    fn record(&self, at: usize) -> Record {
        mined_record(at, self.places.endpoint(at), TCP_PORT)
    }
}

impl Speaker for SpeakerV5 {
    /// Within a session, if they think that there is one.
    fn ping(&mut self, _: Instant, at: usize, (key, endpoint): Target) {
        let pair = Pair { at, id: key.into(), endpoint };
        let nonce = self.say(pair, &ping()).unwrap_or_else(|| {
            let own = mined()[at].id;
            let (nonce, packet) = masking(pair.id).random_packet_like(own, 12, &mut self.rng);
            self.transmit(pair, packet);
            nonce
        });
        self.tie(pair).pinged = Some((nonce, key));
    }

    fn answer(&mut self, _: Instant, at: usize, from: SocketAddr, bytes: &[u8]) -> bool {
        let (own, endpoint) = (StandIn(mined()[at].key), from);
        let masking_of_own = masking(mined()[at].id);
        let Ok(peek) = masking_of_own.peek(bytes) else { return false };
        match masking_of_own.decode_peeked(&peek) {
            Ok(Packet::Ordinary(packet)) => {
                let pair = Pair { at, id: packet.src_id(), endpoint };
                if let Some(message) = self.open(pair, &packet) {
                    self.answer_message(pair, &message);
                }
            }
            Ok(Packet::Handshake(packet)) => {
                let pair = Pair { at, id: packet.src_id(), endpoint };
                let challenge = self.tie(pair).challenge.take();
                if let Some(Ok(accepted)) = challenge.map(|it| it.accept(&own, &packet)) {
                    self.tie(pair).session = Some(accepted.session);
                    self.answer_message(pair, &accepted.message);
                }
            }
            Ok(Packet::WhoAreYou(whoareyou)) => {
                let Some(tie) = self.ties.get_mut(&(at, from)) else { return true };
                let pinged = tie.pinged.take_if(|(nonce, _)| *nonce == whoareyou.request_nonce());
                let Some((_, key)) = pinged else { return true };
                let pair = Pair { at, id: key.into(), endpoint };
                let record = self.record(at);
                let initiator = Initiator::new(&own, &record, key, &whoareyou, &mut self.rng);
                let Ok(ping) = ping().to_bytes() else { return true };
                let sealed = initiator.seal(&masking(pair.id), &ping, &mut self.rng);
                if let Ok((packet, unconfirmed)) = sealed {
                    self.tie(pair).unconfirmed = Some(unconfirmed);
                    self.transmit(pair, packet);
                }
            }
            Err(_) => {}
        }
        true
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }
}

fn masking(to: NodeId) -> Masking {
    Masking::new(to, ProtocolId::default())
}

fn ping() -> Message {
    Message { request_id: RequestId::from(1), body: Body::Ping(Ping { enr_seq: SEQ }) }
}

/// The identities so far from one of them, which are neighbours in the order of ids.
fn at_distance(own: usize, distance: u16) -> Range<usize> {
    let own = mined()[own].id;
    let within = |distance: u16| {
        let is_far = |id: &NodeId| own.log_distance(id) > distance;
        let first = mined().partition_point(|it| it.id < own && is_far(&it.id));
        first..mined().partition_point(|it| it.id < own || !is_far(&it.id))
    };
    let (all, nearer) = (within(distance), within(distance - 1));
    if all.start < nearer.start { all.start..nearer.start } else { nearer.end..all.end }
}
