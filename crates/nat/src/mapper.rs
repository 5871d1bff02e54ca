//! When to ask a gateway for what, without asking.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{EndpointClass, classify};

use crate::{Config, Event, Socket};

/// How long after a refresh that failed, and before the lease is over, the next one is, at least.
const SHORTEST_RETRY: Duration = Duration::from_secs(30);

/// How often mappings are refreshed at most, however short the leases are that a gateway gives.
const SHORTEST_REFRESH: Duration = Duration::from_secs(30);

/// The mappings of a node: finds a gateway, maps the sockets there, refreshes what was mapped, asks
/// for the external address, and takes the mappings back at the stop.
///
/// Nothing in here opens a socket or reads a clock: feed it replies and instants, drain
/// [`poll_output`](Self::poll_output) to `None`, then wait for a reply or for
/// [`poll_timeout`](Self::poll_timeout). There is one [`Request`] at a time, since home routers are
/// easily overwhelmed.
///
/// A mapping is there from the gateway's word on it until its lease is over. A refresh that fails is
/// tried again while the lease lasts, each time in half of what is left of it. When it is over the
/// mapping is lost, and a gateway is looked for anew, as it is after [`Config::failures`] requests in
/// a row that failed; while there are leases to save, that search is repeated as early.
///
/// What it tells is what strangers can use: an endpoint with both the external address and the
/// external port, and only if the address is one of the internet's. A gateway that is itself behind
/// a NAT has no such address.
#[derive(Debug)]
pub struct Mapper {
    config: Config,
    /// Whether addresses are all there is to learn.
    address_only: bool,
    slots: Vec<Slot>,
    has_gateway: bool,
    /// When to look for a gateway, while there is none; `None` where there is nothing to do ever.
    search_at: Option<Instant>,
    searched_at: Option<Instant>,
    address_at: Option<Instant>,
    /// The address that the gateway told last.
    address: Option<IpAddr>,
    /// The one that was told, and the one that was told of as useless.
    told: Option<IpAddr>,
    hidden: Option<IpAddr>,
    /// Requests in a row that failed.
    failures: u32,
    running: Option<(RequestId, Request)>,
    next_id: u64,
    quiet_until: Option<Instant>,
    /// Since the stop: when it is over at the latest.
    stop_at: Option<Instant>,
    outputs: VecDeque<Output>,
}

/// A socket, and its mapping.
#[derive(Debug)]
struct Slot {
    socket: Socket,
    granted: Option<Grant>,
    /// The port that was granted last, which is asked for again.
    wanted: u16,
    /// When to ask next.
    due: Option<Instant>,
    told: Option<SocketAddr>,
}

/// What the gateway has given.
#[derive(Clone, Copy, Debug)]
struct Grant {
    port: u16,
    until: Instant,
}

/// The number of a request, which its reply has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// What is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The external address, of the gateway.
    Address,
    /// A mapping of this socket: a new one, or the same for longer.
    Map {
        /// The socket.
        socket: Socket,
        /// The external port that is wanted. The gateway may give another.
        external_port: u16,
        /// For how long.
        lease: Duration,
    },
    /// A gateway, of the network.
    Search,
    /// That this mapping ends.
    Unmap {
        /// The socket.
        socket: Socket,
        /// Its external port.
        external_port: u16,
    },
}

/// What came of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The external address.
    Address(IpAddr),
    /// Nothing, or a refusal.
    Failed,
    /// There is a gateway.
    Found,
    /// The socket is mapped.
    Mapped {
        /// The external port, which is not 0.
        external_port: u16,
        /// For how long. A longer time than was asked for is not relied on.
        lease: Duration,
        /// The external address, where the protocol tells it along.
        address: Option<IpAddr>,
    },
    /// The mapping is gone.
    Unmapped,
}

/// What the machine wants done or known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Something to tell.
    Event(Event),
    /// Something to ask. The next is told only after the reply to this, or at the stop, which
    /// nobody's reply delays: what runs then is to be given up.
    Request(RequestId, Request),
}

impl Mapper {
    /// Maps those of these sockets that [can be mapped](Socket::is_mapped). Where there are none,
    /// nobody is asked for anything.
    pub fn new(config: Config, sockets: &[Socket], now: Instant) -> Self {
        let mapped = sockets.iter().copied().filter(Socket::is_mapped);
        let slots: Vec<_> = mapped.map(Slot::new).collect();
        let search_at = (!slots.is_empty()).then_some(now);
        Self::start(config, false, slots, search_at, now)
    }

    /// Maps nothing and learns the external address alone: of a node that others than this machine
    /// can reach.
    pub fn address_only(config: Config, sockets: &[Socket], now: Instant) -> Self {
        let reachable = sockets.iter().any(|socket| !socket.is_loopback());
        Self::start(config, true, Vec::new(), reachable.then_some(now), now)
    }

    fn start(
        config: Config,
        address_only: bool,
        slots: Vec<Slot>,
        search_at: Option<Instant>,
        now: Instant,
    ) -> Self {
        let mut mapper = Self {
            config,
            address_only,
            slots,
            has_gateway: false,
            search_at,
            searched_at: None,
            address_at: None,
            address: None,
            told: None,
            hidden: None,
            failures: 0,
            running: None,
            next_id: 0,
            quiet_until: None,
            stop_at: None,
            outputs: VecDeque::new(),
        };
        mapper.ask(now);
        mapper
    }

    /// What came of the request with this id. That of any other request is of no interest any more.
    pub fn handle_reply(&mut self, now: Instant, id: RequestId, reply: Reply) {
        let Some((_, request)) = self.running.take_if(|(running, _)| *running == id) else {
            return;
        };
        self.quiet_until = now.checked_add(self.config.gap);
        match (request, reply) {
            (Request::Search, Reply::Found) => self.found(now),
            (Request::Search, _) => self.search_at = now.checked_add(self.pause(now)),
            (Request::Address, Reply::Address(address)) => {
                self.failures = 0;
                self.learned(now, address);
            }
            (Request::Address, _) => self.failed(now),
            (Request::Map { socket, .. }, Reply::Mapped { external_port, lease, address })
                if external_port != 0 && !lease.is_zero() =>
            {
                self.failures = 0;
                self.granted(now, socket, external_port, lease);
                if let Some(address) = address {
                    self.learned(now, address);
                }
            }
            (Request::Map { socket, .. }, _) => {
                self.not_granted(now, socket);
                self.failed(now);
            }
            (Request::Unmap { .. }, _) => {}
        }
        self.settle(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) told has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
    }

    /// Tells that all is lost, and asks for the end of every mapping; what is running is given up.
    pub fn stop(&mut self, now: Instant) {
        if self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(now.checked_add(self.config.stop_patience).unwrap_or(now));
        // The gateway may have heard of it all the same.
        if let Some((_, Request::Map { socket, external_port, lease })) = self.running.take()
            && let Some(slot) = self.slot(socket)
            && slot.granted.is_none()
        {
            let until = now.checked_add(lease).unwrap_or(now);
            slot.granted = Some(Grant { port: external_port, until });
        }
        self.settle(now);
    }

    /// What is to be done or told next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_finished() {
            return None;
        }
        if self.stop_at.is_some() {
            return self.stop_at;
        }
        let lease_ends = self.slots.iter().filter_map(|slot| Some(slot.granted?.until)).min();
        let request = self.next_request().filter(|_| self.running.is_none());
        lease_ends.into_iter().chain(request).min()
    }

    /// Whether the stop is done: no mapping is left, or its time is over.
    pub fn is_finished(&self) -> bool {
        self.stop_at.is_some()
            && self.running.is_none()
            && self.slots.iter().all(|slot| slot.granted.is_none())
    }

    /// When something is to be asked, if nothing is running.
    fn next_request(&self) -> Option<Instant> {
        let at = if self.has_gateway {
            self.slots.iter().filter_map(|slot| slot.due).chain(self.address_at).min()
        } else {
            self.search_at
        };
        at.map(|at| self.quiet_until.map_or(at, |quiet| quiet.max(at)))
    }

    /// After every change: leases that are over, what is to be told, what is to be asked.
    fn settle(&mut self, now: Instant) {
        let is_over = self.stop_at.is_some_and(|at| at <= now);
        let mut lost = false;
        for slot in &mut self.slots {
            lost |= slot.granted.take_if(|grant| is_over || grant.until <= now).is_some();
        }
        if is_over {
            self.running = None;
        }
        if lost && self.stop_at.is_none() {
            self.search(now);
        }
        self.tell();
        self.ask(now);
    }

    /// Asks for the next thing, if it is time and nothing is running.
    fn ask(&mut self, now: Instant) {
        if self.running.is_some() {
            return;
        }
        let request = if self.stop_at.is_some() {
            self.slots.iter_mut().find_map(|slot| {
                let grant = slot.granted.take()?;
                Some(Request::Unmap { socket: slot.socket, external_port: grant.port })
            })
        } else if self.next_request().is_none_or(|at| at > now) {
            None
        } else if !self.has_gateway {
            Some(Request::Search)
        } else {
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            // The mappings first: some gateways tell their address along.
            let slot = self.slots.iter().filter(|slot| due(slot.due)).min_by_key(|slot| slot.due);
            slot.map(|slot| Request::Map {
                socket: slot.socket,
                external_port: slot.wanted,
                lease: self.config.lease,
            })
            .or_else(|| due(self.address_at).then_some(Request::Address))
        };
        let Some(request) = request else { return };
        match request {
            Request::Address => self.address_at = now.checked_add(self.config.address_interval),
            Request::Search => self.searched_at = Some(now),
            Request::Map { .. } | Request::Unmap { .. } => {}
        }
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.running = Some((id, request));
        self.outputs.push_back(Output::Request(id, request));
    }

    /// There is a gateway, perhaps another one: everything is asked of it.
    fn found(&mut self, now: Instant) {
        self.has_gateway = true;
        self.failures = 0;
        self.address_at = Some(now);
        self.refresh_all(now);
    }

    fn refresh_all(&mut self, now: Instant) {
        self.slots.iter_mut().for_each(|slot| slot.due = Some(now));
    }

    /// Looks for a gateway again: at once, unless it was just looked for. One that is there and
    /// refuses everything is not to be asked without end.
    fn search(&mut self, now: Instant) {
        self.has_gateway = false;
        self.failures = 0;
        let pause = self.pause(now);
        let next = self.searched_at.and_then(|at| at.checked_add(pause));
        self.search_at = Some(next.map_or(now, |next| next.max(now)));
    }

    /// How long to wait before a gateway is looked for again: less while there are leases to save.
    fn pause(&self, now: Instant) -> Duration {
        let grants = self.slots.iter().filter_map(|slot| slot.granted);
        self.wait_for(grants.min_by_key(|grant| grant.until), now)
    }

    /// How long to wait after a failure: half of what is left of the lease, where there is one.
    fn wait_for(&self, grant: Option<Grant>, now: Instant) -> Duration {
        let retry = self.config.retry;
        let left = grant.map(|grant| grant.until.saturating_duration_since(now));
        left.map_or(retry, |left| (left / 2).max(SHORTEST_RETRY).min(retry))
    }

    /// A request was not answered, or refused.
    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.config.failures {
            if self.address_only {
                // No lease says how long it is good for.
                self.address = None;
            }
            self.search(now);
        }
    }

    fn learned(&mut self, now: Instant, address: IpAddr) {
        let address = Some(address.to_canonical());
        let moved = self.address.is_some() && self.address != address;
        self.address = address;
        if moved {
            // The gateway, or the whole node, is somewhere else.
            self.refresh_all(now);
        }
    }

    fn granted(&mut self, now: Instant, socket: Socket, port: u16, lease: Duration) {
        let lease = lease.min(self.config.lease);
        let early = self.config.lease.saturating_sub(self.config.refresh);
        let refresh = lease.saturating_sub(early.min(lease / 4)).max(SHORTEST_REFRESH);
        if let Some(slot) = self.slot(socket) {
            slot.granted = now.checked_add(lease).map(|until| Grant { port, until });
            slot.wanted = port;
            slot.due = now.checked_add(refresh);
        }
    }

    fn not_granted(&mut self, now: Instant, socket: Socket) {
        let grant = self.slot(socket).and_then(|slot| slot.granted);
        let due = now.checked_add(self.wait_for(grant, now));
        if let Some(slot) = self.slot(socket) {
            slot.due = due;
        }
    }

    fn slot(&mut self, socket: Socket) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.socket == socket)
    }

    /// Tells of what differs from what was told: first what is lost, then the address, then what is
    /// mapped.
    fn tell(&mut self) {
        let stops = self.stop_at.is_some();
        let is_global = |ip: &IpAddr| classify(*ip) == EndpointClass::Global;
        let address = self.address.filter(|_| !stops);
        let usable = address.filter(is_global);
        let endpoint = |slot: &Slot| Some(SocketAddr::new(usable?, slot.granted?.port));

        for slot in &mut self.slots {
            let endpoint = endpoint(slot);
            if let Some(external) = slot.told
                && endpoint != Some(external)
            {
                slot.told = None;
                // What moved is told of as it is now, alone.
                if endpoint.is_none() {
                    let lost = Event::Lost { socket: slot.socket, external };
                    self.outputs.push_back(Output::Event(lost));
                }
            }
        }
        let serves = self.address_only || self.slots.iter().any(|slot| slot.granted.is_some());
        let told = usable.filter(|_| serves);
        if told != self.told {
            self.told = told;
            self.outputs.push_back(Output::Event(Event::Address(told)));
        }
        for slot in &mut self.slots {
            if let Some(external) = endpoint(slot)
                && slot.told.is_none()
            {
                slot.told = Some(external);
                let mapped = Event::Mapped { socket: slot.socket, external };
                self.outputs.push_back(Output::Event(mapped));
            }
        }
        let hidden = address.filter(|ip| !is_global(ip));
        if hidden != self.hidden {
            self.hidden = hidden;
            let event = hidden.map(|address| Output::Event(Event::Hidden { address }));
            self.outputs.extend(event);
        }
    }
}

impl Slot {
    const fn new(socket: Socket) -> Self {
        let wanted = socket.address.port();
        Self { socket, granted: None, wanted, due: None, told: None }
    }
}
