//! A host that notes all that happens to it and does what it is told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_simnet::{Class, Delivery, Host, HostId, Link, Transmit, World};

#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) received: Vec<(Instant, Delivery)>,
    pub(crate) woken: Vec<Instant>,
    pub(crate) unreachable: Vec<(Instant, SocketAddr)>,
    pub(crate) out: VecDeque<Transmit>,
    /// The next is the one that is waited for.
    pub(crate) timers: VecDeque<Instant>,
    /// Whether it sends back what it receives.
    pub(crate) echo: bool,
}

impl Probe {
    pub(crate) fn echo() -> Self {
        Self { echo: true, ..Self::default() }
    }

    fn note(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], class: Class) {
        let bytes = Bytes::copy_from_slice(bytes);
        if self.echo {
            let back = Transmit { from: None, to: from, bytes: bytes.clone(), class };
            self.out.push_back(back);
        }
        self.received.push((now, Delivery { from, to: from, bytes, class }));
    }
}

impl Host for Probe {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.note(now, from, bytes, Class::Datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.timers.pop_front();
        self.woken.push(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.front().copied()
    }

    fn handle_segment(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.note(now, from, bytes, Class::Segment);
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        self.unreachable.push((now, to));
    }
}

/// 192.0.2.`n`:30303.
pub(crate) fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 30303))
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A world of that many silent hosts, at 192.0.2.0 and so on.
pub(crate) fn world(link: Link, hosts: u8) -> (World<Probe>, Vec<HostId>) {
    let mut world = World::new(7, link);
    let ids = (0..hosts).map(|n| world.spawn(address(n), Probe::default())).collect();
    (world, ids)
}

pub(crate) fn send(world: &mut World<Probe>, from: HostId, to: SocketAddr, number: u32) {
    let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
    world.with(from, |host, _| host.out.push_back(Transmit::datagram(to, bytes)));
}

pub(crate) fn send_segment(world: &mut World<Probe>, from: HostId, to: SocketAddr, number: u32) {
    let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
    world.with(from, |host, _| host.out.push_back(Transmit::segment(to, bytes)));
}

/// The numbers that a host received, in order.
pub(crate) fn numbers(world: &World<Probe>, id: HostId) -> Vec<u32> {
    let received = world.host(id).received.iter();
    received.map(|(_, d)| u32::from_be_bytes(d.bytes[..].try_into().unwrap())).collect()
}

/// Nothing is unaccounted for.
pub(crate) fn assert_balanced(world: &World<Probe>) {
    let s = world.statistics();
    let accounted = s.delivered + s.lost.total() + world.in_flight() as u64;
    assert_eq!(s.sent + s.duplicated, accounted, "{s:?}");
}
