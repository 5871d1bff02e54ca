use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

/// A machine in a [`World`](crate::World), or an adversary.
///
/// After any `handle_*` the world takes all that [`poll_transmit`](Self::poll_transmit) has, and
/// calls [`handle_timeout`](Self::handle_timeout) exactly at the instant that
/// [`poll_timeout`](Self::poll_timeout) names then. A machine is wrapped in the first four methods.
/// Different machines share a world as `Box<dyn Host>` or as an enum.
pub trait Host {
    /// A datagram came.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]);

    /// The instant of [`poll_timeout`](Self::poll_timeout) is here.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to send.
    fn poll_transmit(&mut self) -> Option<Transmit>;

    /// When to call [`handle_timeout`](Self::handle_timeout). An instant that has passed is now.
    fn poll_timeout(&self) -> Option<Instant>;

    /// A segment came: see [`Class::Segment`]. By default it is ignored.
    fn handle_segment(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let _ = (now, from, bytes);
    }

    /// A segment to this address could not be delivered, nor was any that was sent there after it
    /// until now. By default this is ignored.
    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        let _ = (now, to);
    }

    /// Anything came. By default it goes to [`handle_datagram`](Self::handle_datagram) or
    /// [`handle_segment`](Self::handle_segment). A host that has several addresses finds here which
    /// of them was meant.
    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        match delivery.class {
            Class::Datagram => self.handle_datagram(now, delivery.from, &delivery.bytes),
            Class::Segment => self.handle_segment(now, delivery.from, &delivery.bytes),
        }
    }
}

impl<H: Host + ?Sized> Host for Box<H> {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        (**self).handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        (**self).poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn handle_segment(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        (**self).handle_segment(now, from, bytes);
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        (**self).handle_unreachable(now, to);
    }

    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        (**self).handle_delivery(now, delivery);
    }
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// As over UDP: all that a [`Link`](crate::Link) can do happens to it.
    Datagram,
    /// A piece of a stream as over TCP: of those from one host to one address none is lost or
    /// doubled, and they come in order. It takes the link's latency and jitter; the rest of the link
    /// does nothing to it.
    ///
    /// Where one cannot be delivered, because of a crash, a partition, or a NAT, or because nobody
    /// has the address, the stream is broken: nothing that was sent on it comes any more, until the
    /// sender's [`handle_unreachable`](Host::handle_unreachable) is called, once, after
    /// [a while](crate::World::set_unreachable_after). What it sends then is a new stream.
    Segment,
}

/// Something that a host sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The source address. `None` is the host's first address of the family of `to`. Datagrams may
    /// have any, also somebody else's; segments only one of the host's own.
    pub from: Option<SocketAddr>,
    /// The destination.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: Bytes,
    /// How it travels.
    pub class: Class,
}

impl Transmit {
    /// A datagram from the host's own address.
    pub const fn datagram(to: SocketAddr, bytes: Bytes) -> Self {
        Self { from: None, to, bytes, class: Class::Datagram }
    }

    /// A segment from the host's own address.
    pub const fn segment(to: SocketAddr, bytes: Bytes) -> Self {
        Self { from: None, to, bytes, class: Class::Segment }
    }

    /// The same from `from`.
    #[must_use]
    pub const fn with_source(mut self, from: SocketAddr) -> Self {
        self.from = Some(from);
        self
    }
}

/// Something that comes to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The source address, as it is seen here: that of a NAT, where one is in between.
    pub from: SocketAddr,
    /// The address of the host that was meant: its own, where it is behind a NAT.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: Bytes,
    /// How it traveled.
    pub class: Class,
}
