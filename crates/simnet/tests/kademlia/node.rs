//! The least protocol that a Kademlia table needs: ping and pong, find and nodes. Nobody lies.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};

use devp2p_kad::{Check, Config, Contact, Group, Id, Lookup, LookupConfig, Table};
use devp2p_simnet::{Host, Transmit};

const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peer(pub(crate) SocketAddrV4);

impl Contact for Peer {
    fn group(&self) -> Option<Group> {
        Some(Group::new(u128::from(self.0.ip().to_bits() >> 8)))
    }

    fn same_endpoint(&self, other: &Self) -> bool {
        self == other
    }
}

pub(crate) struct Node {
    pub(crate) table: Table<Peer>,
    /// What the last lookup found, and for which target.
    pub(crate) found: Option<(Id, Vec<Id>)>,
    lookup: Option<Lookup<Peer>>,
    /// Targets of the next lookups.
    targets: VecDeque<Id>,
    /// Whether the lookup for our own id begins with the bootnode, as every second one does: where
    /// the network was in two parts, the tables of both are full of their own.
    rejoins: bool,
    /// By the number that the answer repeats.
    requests: BTreeMap<u64, Request>,
    out: VecDeque<Transmit>,
    refresh_at: Instant,
    random: u64,
}

struct Request {
    to: Id,
    peer: Peer,
    deadline: Instant,
    /// A ping; else it is a find.
    check: Option<Check<Peer>>,
}

impl Node {
    pub(crate) fn new(now: Instant, seed: u64, id: Id, bootnode: Option<(Id, Peer)>) -> Self {
        let mut table = Table::new(Config::default(), id);
        if let Some((id, peer)) = bootnode {
            table.pin(now, id, peer).unwrap();
        }
        Self {
            table,
            found: None,
            lookup: None,
            targets: VecDeque::new(),
            rejoins: false,
            requests: BTreeMap::new(),
            out: VecDeque::new(),
            refresh_at: now + Duration::from_secs(1),
            random: seed,
        }
    }

    /// Looks for a target before anything else.
    pub(crate) fn find(&mut self, now: Instant, target: Id) {
        self.lookup = None;
        self.targets.push_front(target);
        self.advance(now);
    }

    fn advance(&mut self, now: Instant) {
        while self.table.poll_timeout().is_some_and(|at| at <= now) {
            let random = self.random();
            let Some(check) = self.table.poll_check(now, random) else { break };
            self.request(now, check.id(), *check.value(), Some(check), None);
        }
        if now >= self.refresh_at {
            self.refresh_at = now + REFRESH_INTERVAL;
            let random = [(); 4].map(|()| self.random().to_be_bytes());
            let random = self.table.refresh_target(random.as_flattened().try_into().unwrap());
            self.targets = [self.table.own_id(), random].into();
            self.rejoins = !self.rejoins && self.table.pinned().next().is_some();
        }
        self.look_up(now);
        while self.table.poll_change().is_some() {}
    }

    fn look_up(&mut self, now: Instant) {
        loop {
            if self.lookup.is_none() {
                let Some(target) = self.targets.pop_front() else { return };
                let own = self.table.own_id();
                let start = match target == own && self.rejoins {
                    true => self.table.pinned().collect(),
                    false => self.table.closest_known(&target, 16),
                };
                let start: Vec<_> = start.into_iter().map(|(id, peer)| (id, *peer)).collect();
                self.lookup = Some(Lookup::new(LookupConfig::default(), own, target, start));
                self.table.refreshed(now, &target);
            }
            let Some(mut lookup) = self.lookup.take() else { return };
            while let Some((id, &peer)) = lookup.poll_request() {
                self.request(now, id, peer, None, Some(lookup.target()));
            }
            if !lookup.is_finished() {
                self.lookup = Some(lookup);
                return;
            }
            self.found = Some((lookup.target(), lookup.closest().map(|(id, _)| id).collect()));
        }
    }

    fn request(
        &mut self,
        now: Instant,
        to: Id,
        peer: Peer,
        check: Option<Check<Peer>>,
        target: Option<Id>,
    ) {
        let number = self.random();
        let deadline = now + REQUEST_TIMEOUT;
        self.requests.insert(number, Request { to, peer, deadline, check });
        let body: &[u8] = target.as_ref().map_or(&[], |target| target.as_bytes());
        self.send(peer.0.into(), if target.is_some() { FIND } else { PING }, number, body);
    }

    fn time_out(&mut self, now: Instant) {
        let due =
            |(&number, request): (&u64, &Request)| (request.deadline <= now).then_some(number);
        let due: Vec<_> = self.requests.iter().filter_map(due).collect();
        for number in due {
            let Request { to, check, .. } = self.requests.remove(&number).unwrap();
            if let Some(check) = check {
                self.table.check_failed(now, check);
            } else {
                self.table.request_failed(now, &to);
                if let Some(lookup) = &mut self.lookup {
                    lookup.handle_failed(&to);
                }
            }
        }
    }

    fn answered(&mut self, now: Instant, number: u64, id: Id, from: SocketAddr, nodes: &[u8]) {
        let known = self.requests.get(&number);
        if !known.is_some_and(|request| request.to == id && from == request.peer.0.into()) {
            return;
        }
        let Request { peer, check, .. } = self.requests.remove(&number).unwrap();
        if let Some(check) = check {
            return self.table.check_passed(now, check);
        }
        let _ = self.table.verified(now, id, peer);
        self.table.request_answered(&id);
        let (nodes, _) = nodes.as_chunks::<38>();
        let nodes: Vec<_> = nodes.iter().map(decode).collect();
        for &(id, peer) in &nodes {
            let _ = self.table.add(now, id, peer);
        }
        if let Some(lookup) = &mut self.lookup {
            lookup.handle_nodes(&id, nodes);
            lookup.handle_answered(&id);
        }
    }

    fn send(&mut self, to: SocketAddr, kind: u8, number: u64, body: &[u8]) {
        let own = self.table.own_id();
        let parts = [&[kind], &number.to_be_bytes()[..], own.as_bytes(), body];
        self.out.push_back(Transmit::datagram(to, parts.concat().into()));
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Host for Node {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let (head, body) = bytes.split_first_chunk::<41>().unwrap();
        let number = u64::from_be_bytes(head[1..9].try_into().unwrap());
        let id = Id::new(head[9..].try_into().unwrap());
        match head[0] {
            PING => self.send(from, PONG, number, &[]),
            FIND => {
                let target = Id::new(body.try_into().unwrap());
                let nodes = self.table.closest(&target, 16);
                let nodes: Vec<_> =
                    nodes.iter().flat_map(|node| encode(node.id(), *node.value())).collect();
                self.send(from, NODES, number, &nodes);
            }
            _ => self.answered(now, number, id, from, body),
        }
        if let (PING | FIND, SocketAddr::V4(from)) = (head[0], from) {
            let _ = self.table.add(now, id, Peer(from));
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.time_out(now);
        self.advance(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let requests = self.requests.values().map(|request| request.deadline);
        requests.chain(self.table.poll_timeout()).chain([self.refresh_at]).min()
    }
}

const PING: u8 = 1;
const PONG: u8 = 2;
const FIND: u8 = 3;
const NODES: u8 = 4;

fn encode(id: Id, Peer(address): Peer) -> Vec<u8> {
    [&id.as_bytes()[..], &address.ip().octets(), &address.port().to_be_bytes()].concat()
}

fn decode(bytes: &[u8; 38]) -> (Id, Peer) {
    let (id, address) = bytes.split_first_chunk::<32>().unwrap();
    let (ip, port) = address.split_first_chunk::<4>().unwrap();
    let port = u16::from_be_bytes(port.try_into().unwrap());
    (Id::new(*id), Peer(SocketAddrV4::new((*ip).into(), port)))
}
