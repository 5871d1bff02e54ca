//! The way of a message: sent, routed, delayed, delivered; or lost.

use std::{net::SocketAddr, time::Duration};

use super::{HostId, MAX_IN_FLIGHT, World};
use crate::{Class, Delivery, Host, Link, NatId, Transmit, rng::nanos, statistics::Cause};

/// What is to happen.
#[derive(Debug)]
pub(super) enum Event {
    Arrival(Arrival),
    /// The sender is told that a stream broke.
    Unreachable {
        sender: HostId,
        to: SocketAddr,
        stream: u64,
    },
}

/// A message at the end of its way.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    sender: HostId,
    receiver: HostId,
    /// Of the receiver, when this was sent.
    crashes: u32,
    /// The NAT of the receiver, and the port there, where the message comes through it.
    door: Option<(NatId, u16)>,
    /// Of a segment. Boxed, so that datagrams need not carry room for it.
    stream: Option<Box<StreamRef>>,
    delivery: Delivery,
}

#[derive(Clone, Debug)]
struct StreamRef {
    /// The address that the sender gave.
    to: SocketAddr,
    number: u64,
}

impl<H: Host> World<H> {
    pub(super) fn send(&mut self, sender: HostId, transmit: Transmit) {
        let size = transmit.bytes.len() as u64;
        let traffic = &mut self.slot_mut(sender).traffic;
        traffic.sent += 1;
        traffic.bytes_sent += size;
        self.statistics.sent += 1;
        self.statistics.bytes_sent += size;
        match transmit.class {
            Class::Datagram => {
                if let Err(cause) = self.send_datagram(sender, transmit) {
                    self.statistics.lost.count(cause);
                }
            }
            Class::Segment => self.send_segment(sender, transmit),
        }
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival(arrival) => self.handle_arrival(&arrival),
            Event::Unreachable { sender, to, stream } => {
                if self.streams.notify(sender, to, stream) {
                    let now = self.now();
                    if let Some(host) = &mut self.slot_mut(sender).host {
                        host.handle_unreachable(now, to);
                    }
                    self.settle(sender);
                }
            }
        }
    }

    fn send_datagram(&mut self, sender: HostId, transmit: Transmit) -> Result<(), Cause> {
        let size = transmit.bytes.len();
        let arrival = self.route(sender, transmit)?;
        let link = self.link_between(sender, arrival.receiver);
        if size > link.mtu {
            return Err(Cause::Mtu);
        }
        if self.rng.chance(link.loss) {
            return Err(Cause::Link);
        }
        if self.rng.chance(link.duplicate) {
            self.statistics.duplicated += 1;
            if let Err(cause) = self.depart(&link, arrival.clone()) {
                self.statistics.lost.count(cause);
            }
        }
        self.depart(&link, arrival)
    }

    fn depart(&mut self, link: &Link, arrival: Arrival) -> Result<(), Cause> {
        if self.in_flight() - self.streams.in_flight() >= MAX_IN_FLIGHT {
            return Err(Cause::Overflow);
        }
        let delay = link.delay(&mut self.rng);
        let at = self.after(delay);
        self.events.push(at, Event::Arrival(arrival));
        Ok(())
    }

    fn send_segment(&mut self, sender: HostId, transmit: Transmit) {
        let to = transmit.to;
        if transmit.from.is_some_and(|from| !self.slot(sender).addresses.contains(&from)) {
            return self.statistics.lost.count(Cause::Spoofed);
        }
        if self.streams.is_broken(sender, to) {
            return self.statistics.lost.count(Cause::Broken);
        }
        match self.route(sender, transmit) {
            Ok(mut arrival) => {
                assert!(
                    self.streams.in_flight() < MAX_IN_FLIGHT,
                    "{MAX_IN_FLIGHT} segments are in flight, and {sender:?} sends one more"
                );
                let link = self.link_between(sender, arrival.receiver);
                let delay = link.once(&mut self.rng);
                let at = self.after(delay);
                let (number, at) = self.streams.send(sender, to, at);
                arrival.stream = Some(Box::new(StreamRef { to, number }));
                self.events.push(at, Event::Arrival(arrival));
            }
            Err(cause) => self.break_stream(sender, to, cause),
        }
    }

    fn break_stream(&mut self, sender: HostId, to: SocketAddr, cause: Cause) {
        self.statistics.lost.count(cause);
        let stream = self.streams.cut(sender, to);
        let at = self.after(self.unreachable_after);
        self.events.push(at, Event::Unreachable { sender, to, stream });
    }

    /// Finds the receiver, through the sender's NAT and the receiver's.
    fn route(&mut self, sender: HostId, transmit: Transmit) -> Result<Arrival, Cause> {
        let Transmit { from, to, bytes, class } = transmit;
        let now = self.now;
        let nat = self.slot(sender).nat;
        let mut from = from.or_else(|| self.source(sender, to)).ok_or(Cause::Nobody)?;
        let (mut inside, mut door) = (to, None);
        let mut receiver = self.addresses.get(nat, to);
        if receiver.is_none()
            && let Some(NatId(nat)) = nat
        {
            let router = self.nats.get_mut(nat as usize).ok_or(Cause::Nobody)?;
            from = router.outbound(now, &mut self.rng, class, from, to).ok_or(Cause::Nat)?;
            receiver = self.addresses.get(None, to);
        }
        if receiver.is_none() {
            let nat = self.nat_ips.get(&to.ip()).ok_or(Cause::Nobody)?;
            let router = self.nats.get(nat.0 as usize).ok_or(Cause::Nobody)?;
            inside = router.inside(now, class, to.port()).ok_or(Cause::Nat)?;
            door = Some((*nat, to.port()));
            receiver = self.addresses.get(Some(*nat), inside);
        }
        let receiver = receiver.ok_or(Cause::Nobody)?;
        if self.are_parted(sender, receiver) {
            return Err(Cause::Partition);
        }
        let slot = self.slot(receiver);
        let crashes = slot.crashes;
        slot.host.as_ref().ok_or(Cause::Down)?;
        let delivery = Delivery { from, to: inside, bytes, class };
        Ok(Arrival { sender, receiver, crashes, door, stream: None, delivery })
    }

    fn handle_arrival(&mut self, arrival: &Arrival) {
        let Some(stream) = &arrival.stream else {
            if let Err(cause) = self.deliver(arrival) {
                self.statistics.lost.count(cause);
            }
            return;
        };
        if !self.streams.arrive(arrival.sender, stream.to, stream.number) {
            self.statistics.lost.count(Cause::Broken);
        } else if let Err(cause) = self.deliver(arrival) {
            self.break_stream(arrival.sender, stream.to, cause);
        }
    }

    fn deliver(&mut self, arrival: &Arrival) -> Result<(), Cause> {
        let Arrival { sender, receiver, crashes, door, ref delivery, .. } = *arrival;
        if let Some((nat, port)) = door {
            let router = self.nats.get(nat.0 as usize).ok_or(Cause::Nat)?;
            if !router.admits(self.now, delivery, port) {
                return Err(Cause::Nat);
            }
        }
        if self.are_parted(sender, receiver) {
            return Err(Cause::Partition);
        }
        let (at, now, size) = (self.now, self.now(), delivery.bytes.len() as u64);
        let slot = self.hosts.get_mut(receiver.index()).and_then(Option::as_mut);
        let slot = slot.filter(|slot| slot.crashes == crashes).ok_or(Cause::Down)?;
        let host = slot.host.as_mut().ok_or(Cause::Down)?;
        slot.traffic.received += 1;
        slot.traffic.bytes_received += size;
        self.statistics.delivered += 1;
        self.statistics.bytes_delivered += size;
        self.trace.record(at, delivery);
        host.handle_delivery(now, delivery);
        self.settle(receiver);
        Ok(())
    }

    fn link_between(&self, from: HostId, to: HostId) -> Link {
        if !self.links.is_empty()
            && let Some(own) = self.links.get(&(from, to))
        {
            return *own;
        }
        self.link_rule.as_ref().map_or(self.link, |rule| rule(from, to))
    }

    /// The host's first address of the family of `to`.
    fn source(&self, sender: HostId, to: SocketAddr) -> Option<SocketAddr> {
        let mut addresses = self.slot(sender).addresses.iter();
        addresses.find(|own| own.is_ipv4() == to.is_ipv4()).copied()
    }

    fn are_parted(&self, a: HostId, b: HostId) -> bool {
        if !self.is_parted {
            return false;
        }
        let part = |id: HostId| Some(self.hosts.get(id.index())?.as_ref()?.part);
        // Who is gone is in no part.
        part(a).zip(part(b)).is_some_and(|(a, b)| a != b)
    }

    fn after(&self, duration: Duration) -> u64 {
        self.now.saturating_add(nanos(duration))
    }
}
